"""Are the scores probabilities? Brier score and its parts, reliability curve, and temperature scaling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from ..models.calibration import logs_of, rescale
from .errors import TrainingError
from .figures import FloatArray
from .metrics import Estimate, proportion

BINS = 10
COLDEST, HOTTEST = 0.02, 50.0
"""Temperatures outside are not looked for: they turn every score into 0 or 1, or into a guess."""


@dataclass(frozen=True)
class Bin:
    """Cases of like scores.

    Attributes:
        low, high: limits of the scores; the lower one is inside, and of the last bin the upper one, too.
        mean: of the scores.
        observed: the share of positives, with Wilson's interval.
    """

    low: float
    high: float
    mean: float
    observed: Estimate


@dataclass(frozen=True)
class Brier:
    """The Brier score and its parts: score = reliability - resolution + uncertainty + spread - covariance.

    Attributes:
        score: mean squared difference of score and truth; 0 is perfect, 0.25 is what always saying 0.5 gives.
        reliability: mean squared distance of the bins' mean scores from their shares of positives: less is better.
        resolution: how far these shares lie from the share of all: more is better.
        uncertainty: variance of the truth, whatever the model says.
        spread, covariance: of the scores inside the bins and, twice, with the truth there; both are 0 where all scores
            of a bin are equal.
        n: how many cases.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    spread: float
    covariance: float
    n: int


def brier(scores: ArrayLike, positive: ArrayLike, bins: int = BINS) -> Brier:
    """The Brier score with its decomposition over bins of equal width.

    Args:
        scores: (n,) in 0..1.
        positive: (n,) truth.
        bins: number of bins.

    Source: Murphy, J Appl Meteorol 1973;12:595-600; the two terms inside the bins: Stephenson, Coelho and
        Jolliffe, Weather Forecast 2008;23:752-757.

    Raises:
        TrainingError: there are no cases, or a score is no probability.
    """
    score, truth = _probabilities(scores, positive)
    n, base = len(score), truth.mean()
    reliability = resolution = spread = covariance = 0.0
    place = _places(score, bins)
    for k in np.unique(place):
        s, t = score[place == k], truth[place == k]
        reliability += len(s) * (s.mean() - t.mean()) ** 2 / n
        resolution += len(s) * (t.mean() - base) ** 2 / n
        spread += float(((s - s.mean()) ** 2).sum()) / n
        covariance += 2 * float(((s - s.mean()) * (t - t.mean())).sum()) / n
    return Brier(
        float(((score - truth) ** 2).mean()),
        float(reliability),
        float(resolution),
        float(base * (1 - base)),
        spread,
        covariance,
        n,
    )


def reliability_curve(
    scores: ArrayLike, positive: ArrayLike, bins: int = BINS, confidence: float = 0.95
) -> tuple[Bin, ...]:
    """Bins of equal width that hold cases, with the share of positives in each.

    Wilson's intervals take the cases as independent; of several slices of one patient they are too narrow.

    Args:
        scores, positive, bins: as of `brier`.
        confidence: of the intervals.

    Raises:
        TrainingError: as `brier`.
    """
    score, truth = _probabilities(scores, positive)
    place = _places(score, bins)
    return tuple(
        Bin(
            float(k / bins),
            float((k + 1) / bins),
            float(score[place == k].mean()),
            proportion(int(truth[place == k].sum()), int((place == k).sum()), confidence),
        )
        for k in np.unique(place)
    )


def calibration_error(scores: ArrayLike, positive: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: the mean distance of a bin's score from its share of positives, by cases.

    It depends on the bins, and few cases alone make it larger than 0: with n cases by about 1 / sqrt(n).

    Source: Naeini, Cooper and Hauskrecht, AAAI 2015;29:2901-2907, with bins of equal width.

    Raises:
        TrainingError: as `brier`.
    """
    curve = reliability_curve(scores, positive, bins)
    n = sum(one.observed.n for one in curve)
    return sum(one.observed.n * abs(one.mean - one.observed.value) for one in curve) / n


@dataclass(frozen=True)
class Temperature:
    """One number that makes all scores bolder (below 1) or more careful (above 1); their order stays.

    Attributes:
        value: the temperature T: logarithms of the scores are divided by it.
        n: how many validation cases it was fitted on.
        before, after: mean negative log likelihood of these cases, with T = 1 and with `value`.
        note: a sentence where the fit went to a limit, or "".
        error: standard error of 1 / `value`, from the curvature of the likelihood; None at a limit.
    """

    value: float
    n: int
    before: float
    after: float
    note: str = ""
    error: float | None = None

    def apply(self, probabilities: ArrayLike) -> FloatArray:
        """Scores at this temperature; see `rescale`."""
        return rescale(probabilities, self.value)


def fit_temperature(probabilities: ArrayLike, truth: ArrayLike) -> Temperature:
    """The temperature with the highest likelihood. Give validation data, never the data that it is judged on.

    The negative log likelihood is convex in 1 / T, so that halving the range of its slope finds the one minimum.

    Args:
        probabilities: (n,) of a yes-or-no question, or (n, k) of exclusive classes.
        truth: (n,) booleans, or numbers of the classes from 0.

    Raises:
        TrainingError: there are no cases, or only one class, or a score is no probability.
    """
    values = np.asarray(probabilities, np.float64)
    answer = np.asarray(truth).astype(np.intp)
    if not len(values) or not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise TrainingError("A temperature needs validation cases whose scores lie between 0 and 1.")
    if len(np.unique(answer)) < 2:
        raise TrainingError("A temperature needs validation cases of more than one class.")
    logs = logs_of(values)
    own = logs[np.arange(len(logs)), answer]

    def loss(beta: float) -> float:
        return float((logsumexp(beta * logs, axis=1) - beta * own).mean())

    def slope(beta: float) -> float:
        weight = np.exp(beta * logs - logsumexp(beta * logs, axis=1, keepdims=True))
        return float(((weight * logs).sum(axis=1) - own).mean())

    low, high, note = 1 / HOTTEST, 1 / COLDEST, ""
    if slope(low) >= 0:
        beta, note = (
            low,
            "The scores do not go with the truth in the validation data; T is at its upper limit.",
        )
    elif slope(high) <= 0:
        beta, note = high, "The scores part the validation data without an error; T is at its lower limit."
    else:
        for _ in range(60):
            beta = (low + high) / 2
            low, high = (beta, high) if slope(beta) < 0 else (low, beta)
        beta = (low + high) / 2
    error = None
    if not note:
        # The likelihood's second derivative by 1 / T is the variance of the logarithms over the classes.
        weight = np.exp(beta * logs - logsumexp(beta * logs, axis=1, keepdims=True))
        mean = (weight * logs).sum(axis=1, keepdims=True)
        error = float(1 / np.sqrt((weight * (logs - mean) ** 2).sum()))
    return Temperature(1 / beta, len(values), loss(1.0), loss(beta), note, error)


def _places(score: FloatArray, bins: int) -> NDArray[np.intp]:
    """Number of the bin of each score."""
    return np.minimum((score * bins).astype(np.intp), bins - 1)


def _probabilities(scores: ArrayLike, positive: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Scores and truth as numbers, checked."""
    score, truth = np.asarray(scores, np.float64), np.asarray(positive, bool).astype(np.float64)
    if score.ndim != 1 or score.shape != truth.shape:
        raise ValueError("Scores and truth must be one-dimensional and of the same length.")
    if not len(score):
        raise TrainingError("There are no cases whose scores could be compared with the truth.")
    if not np.isfinite(score).all() or score.min() < 0 or score.max() > 1:
        raise TrainingError("Scores that are judged as probabilities must lie between 0 and 1.")
    return score, truth
