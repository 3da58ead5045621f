"""How good the scores are, always with an interval."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from .errors import TrainingError

FloatArray = NDArray[np.float64]

CHALLENGE_WEIGHTS = {
    "malignancy": 0.6,
    "normal": 0.1,
    "other benign": 0.1,
    "IDC": 0.1,
    "other malignant": 0.1,
}
"""What each AUC weighs in the score of the JFR 2018 data challenge."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its confidence interval.

    Attributes:
        value: the estimate.
        low, high: limits of the interval, within the figure's own range.
        n: what it rests on: how many cases, patients or slices.
        method: name of the interval, such as "Wilson 95 %".
    """

    value: float
    low: float
    high: float
    n: int
    method: str

    def to_json(self) -> dict[str, float | int | str]:
        """Plain values for a JSON file."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n, "interval": self.method}

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


def proportion(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """A proportion with Wilson's score interval.

    Source: Wilson, J Am Stat Assoc 1927;22:209-212.

    Raises:
        TrainingError: when n is 0 or there are more successes than trials.
    """
    if n < 1 or not 0 <= successes <= n:
        raise TrainingError(f"{successes} of {n} is not a proportion.")
    z = float(norm.ppf(0.5 + confidence / 2))
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Estimate(p, max(0.0, centre - half), min(1.0, centre + half), n, f"Wilson {confidence:.0%}")


def auc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting one half.

    Args:
        scores: (n,), higher means positive.
        positive: (n,) truth, as booleans or 0 and 1.

    Raises:
        TrainingError: when one of the two classes is missing, or a score is not finite.
    """
    cases, controls = two_classes(scores, positive)
    ranks = rankdata(np.concatenate([cases, controls]))
    m, n = len(cases), len(controls)
    return float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))


def auc_delong(scores: ArrayLike, positive: ArrayLike, confidence: float = 0.95) -> Estimate:
    """AUC with DeLong's interval, cut at 0 and 1.

    At an AUC of exactly 0 or 1 DeLong's variance is 0 and says nothing; Wilson's interval on the smaller
    class is given instead, which is wide where it should be.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 1988;44:837-845, by mid-ranks as in Sun and Xu, IEEE
        Signal Process Lett 2014;21:1389-1393.

    Raises:
        TrainingError: as `auc`.
    """
    cases, controls = two_classes(scores, positive)
    value = auc(scores, positive)
    n = len(cases) + len(controls)
    if value in (0.0, 1.0):
        smaller = min(len(cases), len(controls))
        wilson = proportion(smaller if value else 0, smaller, confidence)
        return Estimate(value, wilson.low, wilson.high, n, wilson.method + " on the smaller class")
    v10, v01 = _placements(cases, controls)
    half = float(norm.ppf(0.5 + confidence / 2)) * sqrt(_variance(v10, v10) + _variance(v01, v01))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), n, f"DeLong {confidence:.0%}")


@dataclass(frozen=True)
class Comparison:
    """Two scores' AUCs on the same cases: difference (first minus second), its standard error, and the p
    value.
    """

    first: float
    second: float
    standard_error: float
    p: float


def delong_test(first: ArrayLike, second: ArrayLike, positive: ArrayLike) -> Comparison:
    """DeLong's two-sided test of the difference of two AUCs on the same cases.

    Source: as `auc_delong`.

    Raises:
        TrainingError: as `auc`.
    """
    a, b = (_placements(*two_classes(s, positive)) for s in (first, second))
    variance = sum(_variance(x, x) + _variance(y, y) - 2 * _variance(x, y) for x, y in zip(a, b, strict=True))
    error = sqrt(max(variance, 0.0))
    auc_a, auc_b = auc(first, positive), auc(second, positive)
    # Equal rankings have no variance and no difference: nothing speaks against equality.
    p = 2 * float(norm.sf(abs(auc_a - auc_b) / error)) if error > 0 else float(auc_a == auc_b)
    return Comparison(auc_a, auc_b, error, p)


def auc_bootstrap(
    scores: ArrayLike,
    positive: ArrayLike,
    patients: Sequence[Hashable],
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Estimate:
    """AUC over slices with a percentile interval from drawing whole *patients* with replacement.

    Slices of one patient are alike, so that an interval from independent slices would be too narrow. Draws
    that lack a class are drawn again.

    Args:
        scores, positive: per slice, (n,).
        patients: patient of each slice.
        confidence: of the interval.
        draws: number of bootstrap samples.
        seed: of the draws.

    Raises:
        TrainingError: as `auc`, or when one class is so rare that draws keep missing it.
    """
    score, truth = np.asarray(scores, np.float64), np.asarray(positive, bool)
    value = auc(score, truth)
    codes = {patient: i for i, patient in enumerate(dict.fromkeys(patients))}
    member = np.array([codes[patient] for patient in patients])
    rows = [np.flatnonzero(member == i) for i in range(len(codes))]
    rng = np.random.default_rng(seed)
    drawn: list[float] = []
    for _ in range(20 * draws):
        index = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
        if truth[index].any() and not truth[index].all():
            drawn.append(auc(score[index], truth[index]))
            if len(drawn) == draws:
                break
    else:
        raise TrainingError("Too few patients of one class for a bootstrap interval.")
    low, high = np.quantile(drawn, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Estimate(value, float(low), float(high), len(rows), f"patient bootstrap {confidence:.0%}")


def challenge_score(aucs: Mapping[str, float]) -> float:
    """The JFR 2018 challenge's score: 0.6 of the AUC of malignancy and 0.1 of each of the four classes' AUCs.

    Args:
        aucs: label to AUC, for all of `CHALLENGE_WEIGHTS`.

    Source: "Detection of MRI breast lesions using deep learning" (JFR 2018 data challenge).

    Raises:
        TrainingError: naming the labels without an AUC.
    """
    missing = [label for label in CHALLENGE_WEIGHTS if label not in aucs]
    if missing:
        raise TrainingError(f"The challenge's score needs the AUC of {', '.join(missing)} as well.")
    return sum(weight * aucs[label] for label, weight in CHALLENGE_WEIGHTS.items())


@dataclass(frozen=True)
class OverRuns:
    """A figure over several runs (folds, shuffles) of the same recipe.

    Attributes:
        mean: of the runs; None without any.
        sd: their standard deviation (n - 1 below); None for fewer than two. It says how runs differ, whose
            training sets overlap; it is no confidence interval.
        values: of the runs in which the figure is defined, in order.
        undefined: in how many runs it is not.
    """

    mean: float | None
    sd: float | None
    values: tuple[float, ...]
    undefined: int

    def __str__(self) -> str:
        if self.mean is None:
            return "undefined"
        return f"{self.mean:.3f}" if self.sd is None else f"{self.mean:.3f} ({self.sd:.3f})"


def over_runs(values: Sequence[float | None]) -> OverRuns:
    """Mean and standard deviation over runs; None stands for a run in which the figure is undefined."""
    known = tuple(value for value in values if value is not None)
    return OverRuns(
        float(np.mean(known)) if known else None,
        float(np.std(known, ddof=1)) if len(known) > 1 else None,
        known,
        len(values) - len(known),
    )


def two_classes(scores: ArrayLike, positive: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Scores of the positives and of the negatives.

    Raises:
        TrainingError: when one of the two classes is missing, or a score is not finite.
    """
    score, truth = np.asarray(scores, np.float64), np.asarray(positive).astype(bool)
    if score.ndim != 1 or score.shape != truth.shape:
        raise ValueError("Scores and truth must be one-dimensional and of the same length.")
    if not np.isfinite(score).all():
        raise TrainingError("Some scores are not finite numbers; the model did not learn anything usable.")
    if truth.all() or not truth.any():
        raise TrainingError("An AUC needs cases of both classes; all cases here are of one.")
    return score[truth], score[~truth]


def _placements(cases: FloatArray, controls: FloatArray) -> tuple[FloatArray, FloatArray]:
    """DeLong's components: per positive the share of negatives below it, per negative the share of positives
    above.
    """
    m, n = len(cases), len(controls)
    together = rankdata(np.concatenate([cases, controls]))
    v10 = (together[:m] - rankdata(cases)) / n
    v01 = 1 - (together[m:] - rankdata(controls)) / m
    return v10, v01


def _variance(a: FloatArray, b: FloatArray) -> float:
    """Covariance of two samples' means; 0 for one case, whose spread is not known."""
    n = len(a)
    return float(((a - a.mean()) * (b - b.mean())).sum() / (n - 1) / n) if n > 1 else 0.0
