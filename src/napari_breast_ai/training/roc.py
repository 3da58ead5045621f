"""The ROC curve, its band, and the threshold at which a model is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .errors import TrainingError
from .figures import FloatArray, PatientDraws
from .metrics import two_classes

Rule = Literal["youden", "sensitivity"]


@dataclass(frozen=True, eq=False)
class Roc:
    """The curve's corners; a case is called positive from the threshold on.

    Attributes:
        fpr, tpr: (k,) shares of negatives and of positives that are called positive, both rising from 0 to 1.
        thresholds: (k,) falling; the first is infinite: nothing is called positive.
    """

    fpr: FloatArray
    tpr: FloatArray
    thresholds: FloatArray


def roc(scores: ArrayLike, positive: ArrayLike) -> Roc:
    """All corners of the ROC curve; scores that tie make one slanting step.

    Args:
        scores: (n,), higher means positive.
        positive: (n,) truth.

    Raises:
        TrainingError: when one of the two classes is missing, or a score is not finite.
    """
    cases, controls = two_classes(scores, positive)
    levels = np.unique(np.concatenate([cases, controls]))[::-1]
    called_cases = len(cases) - np.searchsorted(np.sort(cases), levels, side="left")
    called_controls = len(controls) - np.searchsorted(np.sort(controls), levels, side="left")
    return Roc(
        np.r_[0.0, called_controls / len(controls)],
        np.r_[0.0, called_cases / len(cases)],
        np.r_[np.inf, levels],
    )


def roc_band(
    scores: ArrayLike,
    positive: ArrayLike,
    draws: PatientDraws,
    grid: ArrayLike,
    confidence: float = 0.95,
) -> tuple[FloatArray, FloatArray]:
    """The band of the curve, point by point: at each share of false positives, the interval of the sensitivity.

    Args:
        scores, positive: (n,) per slice.
        draws: of the n slices' patients.
        grid: (k,) shares of false positives.
        confidence: of each point's interval; the whole curve leaves the band more often.

    Returns:
        Lower and upper limits, each (k,).

    Raises:
        TrainingError: as `roc`, or when fewer than half of the draws hold both classes.
    """
    score, truth = np.asarray(scores, np.float64), np.asarray(positive, bool)
    two_classes(score, truth)
    at = np.asarray(grid, np.float64)
    order = np.argsort(-score, kind="stable")
    ranked, is_case = score[order], truth[order]
    ends = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])
    curves = []
    for block in draws.of_slices():
        weights = block[:, order]
        cases = np.cumsum(weights * is_case, axis=1)[:, ends]
        controls = np.cumsum(weights * ~is_case, axis=1)[:, ends]
        for up, right in zip(cases, controls, strict=True):
            if up[-1] and right[-1]:
                curves.append(_sensitivity_at(at, np.r_[0, right] / right[-1], np.r_[0, up] / up[-1]))
    if len(curves) < len(draws.weights) / 2:
        raise TrainingError("Too few patients of one class for a band around the ROC curve.")
    low, high = np.quantile(curves, [0.5 - confidence / 2, 0.5 + confidence / 2], axis=0)
    return low, high


def _sensitivity_at(grid: FloatArray, fpr: FloatArray, tpr: FloatArray) -> FloatArray:
    """The curve's height; at a vertical step its upper end, at 0 included."""
    last = np.r_[fpr[1:] != fpr[:-1], True]
    return np.asarray(np.interp(grid, fpr[last], tpr[last]), np.float64)


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and how it was chosen.

    Attributes:
        threshold: a case is called positive from this score on.
        sensitivity, specificity: on the data on which it was chosen; they flatter. None where nobody told.
        n: how many cases it was chosen on; 0 where nobody told.
        how: the rule in words.
    """

    threshold: float
    sensitivity: float | None
    specificity: float | None
    n: int
    how: str


def operating_point(
    scores: ArrayLike, positive: ArrayLike, rule: Rule = "youden", least: float = 0.95
) -> OperatingPoint:
    """Choose the threshold at which a model is used. Give validation data; on test data the choice would flatter.

    Args:
        scores, positive: (n,) of the validation data.
        rule: "youden" takes the highest sum of sensitivity and specificity, of several the one with the higher
            sensitivity; "sensitivity" takes the highest threshold whose sensitivity is at least `least`.
        least: see `rule`; above 0, at most 1.

    Source: Youden, Cancer 1950;3:32-35.

    Raises:
        TrainingError: as `roc`, or `least` is no sensitivity.
    """
    if not 0 < least <= 1:
        raise TrainingError(f"{least} is no sensitivity. Give a number above 0 and at most 1.")
    curve = roc(scores, positive)
    if rule == "youden":
        gain = curve.tpr - curve.fpr
        best = int(np.flatnonzero(gain >= gain.max() - 1e-12)[-1])
        how = "the highest sum of sensitivity and specificity"
    else:
        best = int(np.argmax(curve.tpr >= least - 1e-12))
        how = f"the highest threshold with a sensitivity of at least {least:g}"
    # Between two scores: a threshold on a score would turn on the last digit of one case.
    near = curve.thresholds[best : best + 2]
    return OperatingPoint(
        float(near.mean()),
        float(curve.tpr[best]),
        float(1 - curve.fpr[best]),
        len(np.asarray(scores)),
        how,
    )
