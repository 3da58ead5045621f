"""Scores, attention and Grad-CAM of every class from feature maps that are already there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..models.heads import LinearHead
from ..models.pooling import Pooling


@dataclass(frozen=True, eq=False)
class Explained:
    """What the part behind the backbone says about n slices.

    Attributes:
        logits: (n, labels).
        attention: (n, h, w) in 0..1, or None.
        gradcam: (n, labels, h, w), not negative, in the units of the logits.
        of_tasks: (n, tasks, h, w), where each task has a copy with attention of its own; else None.
        of_folds: (n, folds, labels), logits of the models of the folds, where they were asked; else None.
    """

    logits: Tensor
    attention: Tensor | None
    gradcam: Tensor
    of_tasks: Tensor | None = None
    of_folds: Tensor | None = None


def explain(features: Tensor, pooling: Pooling, head: nn.Module) -> Explained:
    """Run pooling and head on features (n, C, h, w) without autograd history, and Grad-CAM for every label.

    α_k = mean over the cells of ∂y/∂A_k; map = ReLU(Σ_k α_k A_k), with y the label's logit and A the feature
    map. Only pooling and head lie between y and A, so that the backbone needs neither a second run nor a
    gradient.
    Source: Selvaraju et al., Grad-CAM, ICCV 2017.
    """
    with torch.no_grad():
        pooled = pooling(features)
    logits, gradient = _of_head(head, pooled.vector)
    with torch.no_grad():
        maps = torch.relu(pooling.weighted(features, pooled, gradient))
    maps = maps.reshape(*maps.shape[:2], *features.shape[2:])
    return Explained(logits, pooled.attention, maps, pooled.of_tasks)


def _of_head(head: nn.Module, pooled: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, labels) of pooled vectors (n, C), and their gradients by these, (n, labels, C)."""
    if isinstance(head, LinearHead):
        with torch.no_grad():
            return head(pooled), head.output.weight.detach().expand(len(pooled), -1, -1)
    with torch.enable_grad():
        vector = pooled.detach().requires_grad_(True)
        logits = head(vector)
        count = int(logits.shape[1])
        # Slices don't see each other, so the sum over them has each slice's own gradient.
        found = [
            torch.autograd.grad(logits[:, label].sum(), vector, retain_graph=label + 1 < count)[0]
            for label in range(count)
        ]
    return logits.detach(), torch.stack(found, dim=1)
