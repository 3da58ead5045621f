"""Figures with their intervals: resampled over cases, or asymptotic; what is undefined says why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.figures import Figure, ratio

__all__ = ["SEED", "Figure", "FloatArray", "Resampling", "kappa", "ratio"]

FloatArray = NDArray[np.float64]

RESAMPLES = 2000
SEED = 20180
CONFIDENCE = 0.95
_Z = 1.959963984540054  # 97.5 % of the normal distribution


class Resampling:
    """The same random draws of cases, with replacement, for every figure."""

    def __init__(self, cases: int, seed: int = SEED, times: int = RESAMPLES) -> None:
        """Draw `times` samples of as many cases as there are."""
        self.cases = cases
        dice = np.random.default_rng(seed)
        self.weights: FloatArray = np.zeros((times, cases))
        if cases > 1:
            self.weights = dice.multinomial(cases, np.full(cases, 1 / cases), times).astype(np.float64)

    def figure(
        self, counts: ArrayLike, formula: Callable[[FloatArray], FloatArray], n: int, undefined: str
    ) -> Figure:
        """A figure made of sums over cases.

        Args:
            counts: (cases, k), what each case adds to the sums.
            formula: from sums (..., k) to the figure (...), NaN where undefined.
            n: what it rests on.
            undefined: the sentence for a figure that is undefined.
        """
        table = np.asarray(counts, np.float64).reshape(self.cases, -1)
        value = float(formula(table.sum(axis=0)))
        if np.isnan(value):
            return Figure(None, n=n, reason=undefined)
        return self._interval(value, formula(self.weights @ table), n)

    def median(self, values: Sequence[float], cases: Sequence[int], undefined: str) -> Figure:
        """The median of values that come from cases, several from one.

        Args:
            values: (n,).
            cases: (n,), the index of each value's case.
            undefined: the sentence for no values.
        """
        if not len(values):
            return Figure(None, reason=undefined)
        order = np.argsort(values, kind="stable")
        ranked, owners = np.asarray(values, np.float64)[order], np.asarray(cases)[order]
        drawn = np.full(len(self.weights), np.nan)
        if self.cases > 1:
            for number, weights in enumerate(self.weights):
                times = weights[owners].astype(np.intp)
                if times.any():
                    drawn[number] = np.median(np.repeat(ranked, times))
        return self._interval(float(np.median(ranked)), drawn, len(ranked))

    def _interval(self, value: float, drawn: FloatArray, n: int) -> Figure:
        if self.cases < 2:
            return Figure(value, n=n, reason="One case tells nothing of how cases differ: no interval.")
        drawn = drawn[~np.isnan(drawn)]
        if len(drawn) < len(self.weights) / 2:
            return Figure(value, n=n, reason="Too few cases carry the figure: no interval.")
        low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        if high - low < 1e-12:
            return Figure(value, n=n, reason="The cases do not differ in this figure: no interval.")
        return Figure(value, float(low), float(high), n, "bootstrap over cases 95 %")


def kappa(table: ArrayLike, undefined: str) -> Figure:
    """Cohen's kappa of two raters with its asymptotic 95 % interval.

    Args:
        table: (k, k) counts; rows are the first rater's answers, columns the second's.
        undefined: the sentence for an empty table.

    Source: Cohen, Educ Psychol Meas 1960;20:37-46; standard error: Fleiss, Cohen and Everitt, Psychol Bull
        1969;72:323-327, equation 13.
    """
    counts = np.asarray(table, np.float64)
    n = int(counts.sum())
    if not n:
        return Figure(None, reason=undefined)
    p = counts / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    expected = float(rows @ columns)
    if 1 - expected < 1e-12:
        return Figure(
            None,
            n=n,
            reason="Both gave one and the same answer throughout: kappa needs two different answers.",
        )
    value = float((np.trace(p) - expected) / (1 - expected))
    rest = 1 - value
    # Cell (i, j) goes with how often the second said i and the first said j.
    margins = columns[:, None] + rows[None, :]
    agreed = np.diag(p) @ (1 - (rows + columns) * rest) ** 2
    off = p * margins**2
    variance = agreed + rest**2 * (off.sum() - np.trace(off)) - (value - expected * rest) ** 2
    half = _Z * sqrt(max(0.0, float(variance)) / n) / (1 - expected)
    if half < 1e-9:
        return Figure(
            value, n=n, reason="The asymptotic standard error is 0 here and says nothing: no interval."
        )
    return Figure(value, max(-1.0, value - half), min(1.0, value + half), n, "asymptotic 95 %")
