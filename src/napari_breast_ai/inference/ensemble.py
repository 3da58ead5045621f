"""How far a case's probabilities could have come out otherwise: fold models and the calibration's own uncertainty."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import t as student
from torch import Tensor, nn

from ..core import CaseScores, LabelGroup
from ..models import probabilities
from ..models.bundle import Bundle
from ..models.pooling import Pooled, Pooling
from .aggregation import aggregate

LEAST = 3
"""From fewer fold models no spread is told."""

CONFIDENCE, NORMAL = 0.95, 1.96
_CLIP = 1e-6


class FoldHeads:
    """Pooling and head of each fold, on one device."""

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        self._members: list[tuple[Pooling, nn.Module]] = [
            (
                copy.deepcopy(pooling).eval().requires_grad_(False).to(device),
                copy.deepcopy(head).eval().requires_grad_(False).to(device),
            )
            for pooling, head in bundle.folds
        ]

    def logits(self, features: Tensor) -> Tensor | None:
        """What the folds say of the feature maps (n, C, h, w) that the model itself looks at.

        Returns:
            (n, folds, labels); None for a model without folds.
        """
        if not self._members:
            return None
        with torch.no_grad():
            said = [head(cast(Pooled, pooling(features)).vector) for pooling, head in self._members]
            return torch.stack(said, dim=1)


def with_folds(
    case: CaseScores,
    of_folds: Tensor | None,
    slices: Sequence[int],
    boxed: Collection[int] | None,
    bundle: Bundle,
) -> CaseScores:
    """The case's scores calibrated, with their intervals and what these come from.

    Args:
        case: as `aggregate` put it together from the model's own scores.
        of_folds: logits (slices, folds, labels) of `FoldHeads`, or None.
        slices: in their order.
        boxed: as of `aggregate`.
        bundle: the model.
    """
    spec = bundle.spec
    found = []
    for logits in () if of_folds is None else of_folds.unbind(1):
        scores = {
            label: np.asarray(values.numpy(), np.float32)
            for label, values in probabilities(logits, spec.groups).items()
        }
        found.append(aggregate(scores, slices, spec.groups, spec.aggregation, boxed)[0])
    return with_intervals(case, found, bundle)


def with_intervals(case: CaseScores, folds: Sequence[CaseScores], bundle: Bundle) -> CaseScores:
    """Scores calibrated, with intervals.

    On the log odds of the calibrated probability, the half width of the interval is
    √((t s)² + (1.96 c)²): s is the standard deviation of the fold models' log odds, t the quantile of Student's t
    for their number, c half the difference that one standard error of 1 / T up and down makes. The interval lies round
    the model's own probability. Folds share most of their patients, so that s is rather too small than too large.

    Args:
        case: the model's own scores, not calibrated.
        folds: those of the fold models, likewise.
        bundle: the model.
    """
    groups, calibration = bundle.spec.groups, bundle.calibration
    made = calibration.apply(case, groups)
    members = [calibration.apply(one, groups) for one in folds]
    up, down = (calibration.moved(errors).apply(case, groups) for errors in (1.0, -1.0))
    intervals: dict[str, tuple[float, float]] = {}
    answered: dict[str, int] = {}
    for label, value in made.probabilities.items():
        told = [p for one in members if (p := one.probabilities.get(label)) is not None]
        answered[label] = len(told)
        known = _has_error(label, groups, calibration.temperatures)
        if value is None or (len(told) < LEAST and not known):
            continue
        half = 0.0
        if len(told) >= LEAST:
            quantile = float(student.ppf((1 + CONFIDENCE) / 2, len(told) - 1))
            half = quantile * float(np.std(_odds(told), ddof=1))
        above, below = up.probabilities[label], down.probabilities[label]
        if known and above is not None and below is not None:
            moved = _odds([above, below])
            half = sqrt(half**2 + (NORMAL * abs(float(moved[0] - moved[1])) / 2) ** 2)
        middle = float(_odds([value])[0])
        intervals[label] = float(expit(middle - half)), float(expit(middle + half))
    return replace(
        made, intervals=intervals, interval_rule=_words(intervals, answered, calibration.has_error)
    )


def _has_error(label: str, groups: Sequence[LabelGroup], temperatures: Mapping[str, object]) -> bool:
    """Whether a temperature whose error is known acts on this label."""
    group = next(group for group in groups if label in group.labels)
    name = group.name if group.activation == "softmax" else label
    return getattr(temperatures.get(name), "error", None) is not None


def _odds(values: Sequence[float]) -> NDArray[np.float64]:
    """Log odds, finite at 0 and 1 too."""
    return np.asarray(logit(np.clip(np.asarray(values, np.float64), _CLIP, 1 - _CLIP)), np.float64)


def _words(intervals: Mapping[str, object], answered: Mapping[str, int], calibrated: bool) -> str:
    """What the intervals come from."""
    most = max(answered.values(), default=0)
    if not intervals:
        return "No interval: the model brings neither fold models nor an error of its calibration."
    if most < LEAST:
        return "95 % intervals: the calibration's error alone; another training could move them further."
    of_folds = f"the spread of {most} models of the cross-validation"
    both = f"{of_folds} and the calibration's error" if calibrated else of_folds
    return f"95 % intervals: {both}. They say how firm the answer is, not how often it is right."
