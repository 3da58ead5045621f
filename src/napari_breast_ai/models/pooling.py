"""From feature maps to vectors: plain average, or average weighted by attention."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .errors import ModelError
from .spec_parts import PoolingSpec


class Pooled(NamedTuple):
    """What pooling gives for n slices.

    Attributes:
        vector: (n, C).
        attention_logits: (n, h, w) before the sigmoid, or None without attention.
        attention: (n, h, w) in 0..1, or None without attention.
        of_tasks: (n, tasks, h, w), the attention of each task's copy, of which `attention` is the first; None where
            tasks have no copies, or no attention.
    """

    vector: Tensor
    attention_logits: Tensor | None
    attention: Tensor | None
    of_tasks: Tensor | None = None


class Pooling(nn.Module):
    """Features (n, C, h, w) to `Pooled`."""

    def mean_gradient(self, features: Tensor, pooled: Pooled, gradient: Tensor) -> Tensor:
        """Grad-CAM's weights α: gradients by the features, averaged over the cells.

        This form serves any pooling. Those whose derivative is known in closed form bring their own, which
        needs no array of the features' size for every label.

        Args:
            features: (n, C, h, w).
            pooled: what this pooling makes of them.
            gradient: of the L labels' scores by the pooled vector, (n, L, C).

        Returns:
            (n, L, C).
        """
        with torch.enable_grad():
            leaf = features.detach().requires_grad_(True)
            vector = cast(Pooled, self(leaf)).vector
            found = [
                torch.autograd.grad(vector, leaf, part, retain_graph=True)[0].mean(dim=(2, 3))
                for part in gradient.unbind(dim=1)
            ]
        return torch.stack(found, dim=1)

    def weighted(self, features: Tensor, pooled: Pooled, gradient: Tensor) -> Tensor:
        """Grad-CAM's maps Σ_k α_k f_k, before their ReLU, with α as of `mean_gradient`.

        Returns:
            (n, L, h w).
        """
        return torch.bmm(self.mean_gradient(features, pooled, gradient), features.flatten(2))


class AveragePooling(Pooling):
    """The mean over the cells of the feature map."""

    def forward(self, features: Tensor) -> Pooled:
        """Pool features (n, C, h, w)."""
        return Pooled(features.mean(dim=(2, 3)), None, None)

    def mean_gradient(self, features: Tensor, pooled: Pooled, gradient: Tensor) -> Tensor:
        """As in `Pooling`: every cell has the same share, hence α = g / (h w)."""
        return gradient / (features.shape[2] * features.shape[3])


class AttentionPooling(Pooling):
    """x_k = Σ p f_k / Σ p with p = sigmoid(1 × 1 convolution of f), sums over the cells. Source: M2.

    p / Σ p is computed as softmax(log sigmoid(z)), which is the same number, but stays exact where every p is
    tiny.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attend = nn.Conv2d(channels, 1, 1)
        nn.init.xavier_uniform_(self.attend.weight)
        nn.init.zeros_(cast(Tensor, self.attend.bias))

    def forward(self, features: Tensor) -> Pooled:
        """Pool features (n, C, h, w)."""
        logits = self.attend(features)[:, 0]
        # A row times a matrix: the other way round torch would copy maps that are channels last in memory.
        vector = torch.bmm(self._shares(logits)[:, None, :], features.flatten(2).transpose(1, 2))[:, 0]
        return Pooled(vector, logits, torch.sigmoid(logits))

    @staticmethod
    def _shares(logits: Tensor) -> Tensor:
        """p / Σ p for attention logits (n, h, w), flattened to (n, h w)."""
        return torch.softmax(functional.logsigmoid(logits).flatten(1), dim=1)

    def mean_gradient(self, features: Tensor, pooled: Pooled, gradient: Tensor) -> Tensor:
        """As in `Pooling`, with the part of the gradient that flows through the attention.

        With z = w·f + b, p = sigmoid(z), s = p / Σ p and dp/dz = p (1 − p):
        ∂y/∂f_k(ij) = g_k s(ij) + w_k s(ij) (1 − p(ij)) Σ_m g_m (f_m(ij) − x_m), averaged over ij.
        """
        through = self._through(pooled, gradient, torch.bmm(gradient, features.flatten(2)))
        return (gradient + through * self.attend.weight[0, :, 0, 0]) / (features.shape[2] * features.shape[3])

    def weighted(self, features: Tensor, pooled: Pooled, gradient: Tensor) -> Tensor:
        """As in `Pooling`. The features are read once: w·f is known from the attention, z − b."""
        assert pooled.attention_logits is not None
        seen = torch.bmm(gradient, features.flatten(2))
        attended = (pooled.attention_logits - cast(Tensor, self.attend.bias)).flatten(1)[:, None, :]
        return (seen + self._through(pooled, gradient, seen) * attended) / seen.shape[2]

    def _through(self, pooled: Pooled, gradient: Tensor, seen: Tensor) -> Tensor:
        """What flows through the attention, as a multiple of w, (n, L, 1); `seen` is Σ_m g_m f_m, (n, L, h w)."""
        assert pooled.attention_logits is not None
        # 1 − sigmoid(z) would lose its digits where p is close to 1.
        slope = self._shares(pooled.attention_logits) * torch.sigmoid(-pooled.attention_logits).flatten(1)
        excess = seen - torch.bmm(gradient, pooled.vector[:, :, None])
        return torch.bmm(excess, slope[:, :, None])


def make_pooling(spec: PoolingSpec, channels: int) -> Pooling:
    """The pooling that the spec describes, for feature maps of so many channels."""
    if spec.kind == "average":
        return AveragePooling()
    if spec.kind == "attention":
        return AttentionPooling(channels)
    raise ModelError(" ".join(spec.problems()))
