"""Scores, attention and Grad-CAM of every class from feature maps that are already there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..models.pooling import Pooling


@dataclass(frozen=True, eq=False)
class Explained:
    """What the part behind the backbone says about n slices.

    Attributes:
        logits: (n, labels).
        attention: (n, h, w) in 0..1, or None.
        gradcam: (n, labels, h, w), not negative, in the units of the logits.
    """

    logits: Tensor
    attention: Tensor | None
    gradcam: Tensor


def explain(features: Tensor, pooling: Pooling, head: nn.Module) -> Explained:
    """Run pooling and head on features (n, C, h, w) without autograd history, and Grad-CAM for every label.

    α_k = mean over the cells of ∂y/∂A_k; map = ReLU(Σ_k α_k A_k), with y the label's logit and A the feature
    map. Only pooling and head lie between y and A, so that the backbone needs neither a second run nor a
    gradient.
    Source: Selvaraju et al., Grad-CAM, ICCV 2017.
    """
    with torch.no_grad():
        pooled = pooling(features)
    with torch.enable_grad():
        vector = pooled.vector.detach().requires_grad_(True)
        logits = head(vector)
        count = int(logits.shape[1])
        # Slices don't see each other, so the sum over them has each slice's own gradient.
        gradient = torch.stack(
            [
                torch.autograd.grad(logits[:, label].sum(), vector, retain_graph=label + 1 < count)[0]
                for label in range(count)
            ],
            dim=1,
        )
    with torch.no_grad():
        weights = pooling.mean_gradient(features, pooled, gradient)
        maps = torch.relu(torch.bmm(weights, features.flatten(2)))
    return Explained(logits.detach(), pooled.attention, maps.reshape(*maps.shape[:2], *features.shape[2:]))
