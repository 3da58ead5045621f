"""From feature maps to vectors: plain average, or average weighted by attention."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .errors import ModelError
from .spec import PoolingSpec


class Pooled(NamedTuple):
    """What pooling gives for n slices.

    Attributes:
        vector: (n, C).
        attention_logits: (n, h, w) before the sigmoid, or None without attention.
        attention: (n, h, w) in 0..1, or None without attention.
    """

    vector: Tensor
    attention_logits: Tensor | None
    attention: Tensor | None


class AveragePooling(nn.Module):
    """The mean over the cells of the feature map."""

    def forward(self, features: Tensor) -> Pooled:
        """Pool features (n, C, h, w)."""
        return Pooled(features.mean(dim=(2, 3)), None, None)


class AttentionPooling(nn.Module):
    """x_k = Σ p f_k / Σ p with p = sigmoid(1 × 1 convolution of f), sums over the cells. Source: M2.

    p / Σ p is computed as softmax(log sigmoid(z)), which is the same number, but stays exact where every p is
    tiny.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attend = nn.Conv2d(channels, 1, 1)
        nn.init.xavier_uniform_(self.attend.weight)
        nn.init.zeros_(self.attend.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Pooled:
        """Pool features (n, C, h, w)."""
        logits = self.attend(features)[:, 0]
        weights = torch.softmax(functional.logsigmoid(logits).flatten(1), dim=1)
        vector = torch.bmm(features.flatten(2), weights[:, :, None])[:, :, 0]
        return Pooled(vector, logits, torch.sigmoid(logits))


def make_pooling(spec: PoolingSpec, channels: int) -> nn.Module:
    """The pooling that the spec describes, for feature maps of so many channels."""
    if spec.kind == "average":
        return AveragePooling()
    if spec.kind == "attention":
        return AttentionPooling(channels)
    raise ModelError(" ".join(spec.problems()))
