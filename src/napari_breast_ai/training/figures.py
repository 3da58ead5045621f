"""Figures that may be undefined, and their intervals from drawing whole patients again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.figures import Figure, ratio
from .errors import TrainingError
from .metrics import Estimate

__all__ = ["DRAWS", "SEED", "Figure", "FloatArray", "PatientDraws", "drawn_aucs", "estimated", "ratio"]

FloatArray = NDArray[np.float64]

DRAWS = 2000
SEED = 0
_CELLS = 4_000_000
"""How many weights are held at a time: thousands of draws of thousands of slices would fill the memory."""


def estimated(make: Callable[[], Estimate]) -> Figure:
    """The estimate that `make` makes, or the sentence with which it refuses."""
    try:
        found = make()
    except TrainingError as error:
        return Figure(None, reason=str(error))
    if found.high - found.low < 1e-12:
        return Figure(found.value, n=found.n, reason="The patients do not differ here: no interval.")
    return Figure(found.value, found.low, found.high, found.n, found.method)


class PatientDraws:
    """Patients drawn with replacement, the same draws for every figure of the same slices.

    Slices of one patient are alike, so that the patient, not the slice, is what is drawn.

    Attributes:
        member: (n,) the number of each slice's patient.
        weights: (draws, patients), how often each draw holds each patient.
    """

    def __init__(self, patients: Sequence[Hashable], draws: int = DRAWS, seed: int = SEED) -> None:
        """Draw `draws` samples of as many patients as there are.

        Args:
            patients: patient of each slice, (n,).
            draws: number of samples.
            seed: of the draws.
        """
        codes = {patient: i for i, patient in enumerate(dict.fromkeys(patients))}
        self.member: NDArray[np.intp] = np.array([codes[patient] for patient in patients], np.intp)
        drawn = np.random.default_rng(seed).integers(max(len(codes), 1), size=(draws, len(codes)))
        self.weights: FloatArray = np.zeros((draws, len(codes)))
        np.add.at(self.weights, (np.arange(draws)[:, None], drawn), 1.0)

    @property
    def patients(self) -> int:
        """How many there are."""
        return int(self.weights.shape[1])

    def of_slices(self) -> Iterator[FloatArray]:
        """How often each draw holds each slice, in blocks (some draws, n)."""
        step = max(1, _CELLS // max(len(self.member), 1))
        for start in range(0, len(self.weights), step):
            yield self.weights[start : start + step][:, self.member]

    def sums(self, values: ArrayLike) -> FloatArray:
        """Sums over the slices of each draw.

        Args:
            values: (n, k).

        Returns:
            (draws, k).
        """
        table = np.asarray(values, np.float64).reshape(len(self.member), -1)
        own = np.zeros((self.patients, table.shape[1]))
        np.add.at(own, self.member, table)
        return np.asarray(self.weights @ own, np.float64)

    def figure(self, value: float, drawn: ArrayLike, undefined: str, confidence: float = 0.95) -> Figure:
        """A figure with a percentile interval.

        Args:
            value: of the figure on all slices; NaN where it is undefined.
            drawn: (draws,) of each draw; NaN where it is undefined there, which leaves the draw out.
            undefined: the sentence for a value of NaN.
            confidence: of the interval.
        """
        n = self.patients
        if np.isnan(value):
            return Figure(None, n=n, reason=undefined)
        if n < 2:
            return Figure(value, n=n, reason="One patient tells nothing of how patients differ: no interval.")
        found = np.asarray(drawn, np.float64)
        found = found[~np.isnan(found)]
        if len(found) < len(self.weights) / 2:
            return Figure(value, n=n, reason="Too few patients carry the figure: no interval.")
        low, high = np.quantile(found, [0.5 - confidence / 2, 0.5 + confidence / 2])
        if high - low < 1e-12:
            return Figure(value, n=n, reason="The patients do not differ here: no interval.")
        return Figure(value, float(low), float(high), n, f"patient bootstrap {confidence:.0%}")


def drawn_aucs(scores: ArrayLike, positive: ArrayLike, draws: PatientDraws) -> FloatArray:
    """The AUC of each draw, (draws,); NaN where the draw lacks a class.

    Args:
        scores: (n,).
        positive: (n,) truth.
        draws: of the n slices' patients.
    """
    score, truth = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if not len(score):
        return np.full(len(draws.weights), np.nan)
    order = np.argsort(score, kind="stable")
    ranked, is_case = score[order], truth[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    out = []
    for weights in draws.of_slices():
        sorted_weights = weights[:, order]
        cases = np.add.reduceat(sorted_weights * is_case, starts, axis=1)
        controls = np.add.reduceat(sorted_weights * ~is_case, starts, axis=1)
        below = np.cumsum(controls, axis=1) - controls
        won = (cases * (below + controls / 2)).sum(axis=1)
        out.append(ratio(won, cases.sum(axis=1) * controls.sum(axis=1)))
    return np.concatenate(out)
