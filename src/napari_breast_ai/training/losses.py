"""Losses: attention that should lie on the boxes, and the tasks' own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..core import LabelGroup
from .fitspec import LossWeights as LossWeights

UNKNOWN = -1
"""Class index of a slice on which a softmax group's question does not arise, or whose answer is not known."""


def attention_loss(logits: Tensor, target: Tensor, positive_weight: float = 1.0) -> Tensor:
    """Binary cross-entropy between the attention's logits and the reduced masks, mean over cells and slices.

    The covered fraction of a cell is a valid target: the loss is smallest where the sigmoid equals it.

    Args:
        logits: (n, h, w), before the sigmoid.
        target: (n, h, w) in 0..1.
        positive_weight: weight of the covered part of a cell.
    """
    weight = None if positive_weight == 1 else torch.tensor(positive_weight, dtype=logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, target, pos_weight=weight)


def group_loss(logits: Tensor, target: Tensor, group: LabelGroup, focal: float = 0.0) -> Tensor:
    """Loss of one label group, mean over the slices (and, for sigmoids, labels) with a known answer; 0
    without any. Cross-entropy, -log p with p the true class's probability, or the focal loss -(1 - p)^γ log p, in
    which answers that are right already count for less.

    Args:
        logits: (n, labels of the group).
        target: for a softmax group int64 (n,), `UNKNOWN` where it does not count; for sigmoids float (n,
            labels), NaN where it does not count.
        group: which group.
        focal: γ; 0 is cross-entropy.

    Source of the focal loss: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017; without its class weight α.
    """
    if group.activation == "softmax":
        counts = target != UNKNOWN
        if not bool(counts.any()):
            return logits.sum() * 0
        if focal == 0:
            return functional.cross_entropy(logits[counts], target[counts])
        return _focused(functional.cross_entropy(logits[counts], target[counts], reduction="none"), focal)
    counts = ~torch.isnan(target)
    if not bool(counts.any()):
        return logits.sum() * 0
    if focal == 0:
        return functional.binary_cross_entropy_with_logits(logits[counts], target[counts])
    each = functional.binary_cross_entropy_with_logits(logits[counts], target[counts], reduction="none")
    return _focused(each, focal)


def _focused(each: Tensor, focal: float) -> Tensor:
    """Mean of cross-entropies -log p, each weighted with (1 - p)^γ."""
    # 1 - exp(-x) would lose its digits where p is close to 1. No gradient of 0^(γ - 1) where p is 1.
    wrong = -torch.expm1(-each)
    return (wrong.clamp_min(1e-12) ** focal * each).mean()


def total_loss(
    logits: Tensor,
    attention_logits: Tensor | None,
    groups: Sequence[LabelGroup],
    targets: Mapping[str, Tensor],
    attention_target: Tensor | None,
    weights: LossWeights,
) -> tuple[Tensor, dict[str, float]]:
    """Weighted sum of all parts, and each part's own value (unweighted) for the record.

    Args:
        logits: (n, labels of all groups in order).
        attention_logits: (n, h, w), or None for a model without attention.
        groups: the model's label groups.
        targets: target per group's name, as in `group_loss`.
        attention_target: (n, h, w), or None to leave the attention unsupervised.
        weights: of the parts.
    """
    total = logits.sum() * 0
    parts: dict[str, float] = {}
    start = 0
    for group in groups:
        stop = start + len(group.labels)
        part = group_loss(logits[:, start:stop], targets[group.name], group, weights.focal)
        total = total + weights.groups.get(group.name, 1.0) * part
        parts[group.name] = float(part.detach())
        start = stop
    if attention_logits is not None and attention_target is not None and weights.attention > 0:
        part = attention_loss(attention_logits, attention_target, weights.attention_positive)
        total = total + weights.attention * part
        parts["attention"] = float(part.detach())
    return total, parts
