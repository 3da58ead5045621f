"""Right and wrong answers: confusion matrices and the shares that are read from them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .figures import Figure, FloatArray, PatientDraws, ratio
from .metrics import proportion

SHARES = ("accuracy", "sensitivity", "specificity", "precision", "negative predictive value", "F1")
"""The names of the figures of `shares` and `drawn_shares`, in their order."""

_UNDEFINED = {
    "accuracy": "There are no cases.",
    "sensitivity": "No case is truly positive, so that sensitivity is undefined.",
    "specificity": "No case is truly negative, so that specificity is undefined.",
    "precision": "No case was called positive, so that precision is undefined.",
    "negative predictive value": "No case was called negative, so that this share is undefined.",
    "F1": "No case is positive, neither truly nor as called, so that F1 is undefined.",
}


@dataclass(frozen=True)
class Counts:
    """The four cells of a question with two answers: true and false positives, false and true negatives."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def n(self) -> int:
        """All cases."""
        return self.tp + self.fp + self.fn + self.tn


def count(called: ArrayLike, positive: ArrayLike) -> Counts:
    """Count the cells.

    Args:
        called: (n,) what was said.
        positive: (n,) what is true.
    """
    said, truth = np.asarray(called, bool), np.asarray(positive, bool)
    return Counts(
        int((said & truth).sum()),
        int((said & ~truth).sum()),
        int((~said & truth).sum()),
        int((~said & ~truth).sum()),
    )


def shares(counts: Counts, confidence: float = 0.95) -> dict[str, Figure]:
    """Accuracy, sensitivity, specificity, precision, negative predictive value and F1, with Wilson's intervals.

    F1 = 2 J / (1 + J) rises with J = tp / (tp + fp + fn), which is a proportion; its interval is Wilson's of J, put
    through that formula. Wilson's intervals take the cases as independent: of several slices of one patient they are
    too narrow, and `drawn_shares` is to be read.
    """
    parts = {
        "accuracy": (counts.tp + counts.tn, counts.n),
        "sensitivity": (counts.tp, counts.tp + counts.fn),
        "specificity": (counts.tn, counts.tn + counts.fp),
        "precision": (counts.tp, counts.tp + counts.fp),
        "negative predictive value": (counts.tn, counts.tn + counts.fn),
        "F1": (counts.tp, counts.tp + counts.fp + counts.fn),
    }
    found = {}
    for name, (right, n) in parts.items():
        if n == 0:
            found[name] = Figure(None, reason=_UNDEFINED[name])
            continue
        one = proportion(right, n, confidence)
        values, method = (one.value, one.low, one.high), one.method
        if name == "F1":
            values, method = tuple(2 * j / (1 + j) for j in values), f"{method} of tp / (tp + fp + fn)"  # type: ignore[assignment]
        found[name] = Figure(*values, n, method)
    return found


def drawn_shares(called: ArrayLike, positive: ArrayLike, draws: PatientDraws) -> dict[str, Figure]:
    """The same figures with intervals from drawing whole patients.

    Args:
        called, positive: (n,) per slice.
        draws: of the n slices' patients.
    """
    said, truth = np.asarray(called, bool), np.asarray(positive, bool)
    cells = np.stack([said & truth, said & ~truth, ~said & truth, ~said & ~truth], axis=-1)
    whole, drawn = _shares(cells.sum(axis=0)), _shares(draws.sums(cells))
    return {name: draws.figure(float(whole[name]), drawn[name], _UNDEFINED[name]) for name in SHARES}


def _shares(cells: ArrayLike) -> dict[str, FloatArray]:
    """The six figures from counts (..., 4) in the order of `Counts`."""
    tp, fp, fn, tn = np.moveaxis(np.asarray(cells, np.float64), -1, 0)
    return {
        "accuracy": ratio(tp + tn, tp + fp + fn + tn),
        "sensitivity": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "precision": ratio(tp, tp + fp),
        "negative predictive value": ratio(tn, tn + fn),
        "F1": ratio(2 * tp, 2 * tp + fp + fn),
    }


def confusion_matrix(
    truth: Sequence[Hashable], predicted: Sequence[Hashable], labels: Sequence[Hashable]
) -> tuple[tuple[int, ...], ...]:
    """How often a case of each class (row) was called each class (column), in the order of `labels`.

    Raises:
        ValueError: a class is not in `labels`, or there are not as many answers as truths.
    """
    place = {label: i for i, label in enumerate(labels)}
    unknown = {*truth, *predicted} - set(place)
    if unknown:
        raise ValueError(f"Not among the classes: {sorted(map(str, unknown))}")
    table = np.zeros((len(place), len(place)), np.int64)
    for t, p in zip(truth, predicted, strict=True):
        table[place[t], place[p]] += 1
    return tuple(tuple(int(n) for n in row) for row in table)
