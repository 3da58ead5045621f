"""How far two sets of boxes of the same cases agree: two readers, a reader and a model, a reader and herself later.

The first set is the reference of precision (share of the second's boxes that the first has too) and recall (share of
the first's boxes that the second has too). A box of the first matches one of the second on the same slice where their
IoU reaches the threshold; of all ways to pair, the one with the most pairs counts, and of these the one with the
largest sum of IoU.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from ..core import BOX_LABELS, NORMAL_TISSUE, Box
from .errors import AnnotationError
from .figures import SEED, Figure, FloatArray, Resampling, kappa, ratio
from .raters import Pair, Pairing, Reading, pair

ALL = "all lesions"
"""The name of the figures over all classes of lesions."""


@dataclass(frozen=True)
class ClassAgreement:
    """Agreement on the boxes of one class, or on lesions of any class.

    Attributes:
        label: the class, or `ALL`.
        first_boxes, second_boxes, matched: counts of boxes; of a class, only boxes of that class match each other.
        precision, recall, f1: of detection; bootstrap over cases.
        iou_median: of the matched boxes; bootstrap over cases.
        iou_quartiles: first and third quartile of the matched boxes' IoU, or None.
        slices: of the slices that both have looked at: both see a box, only the first, only the second, neither.
        slice_agreement: share of these slices on which both say the same; bootstrap over cases.
        slice_kappa: Cohen's kappa on these slices; asymptotic.
        label_kappa: Cohen's kappa of the classes of boxes that match whatever their class is; of one class: this
            class against all others; asymptotic.
    """

    label: str
    first_boxes: int
    second_boxes: int
    matched: int
    precision: Figure
    recall: Figure
    f1: Figure
    iou_median: Figure
    iou_quartiles: tuple[float, float] | None
    slices: tuple[int, int, int, int]
    slice_agreement: Figure
    slice_kappa: Figure
    label_kappa: Figure

    @property
    def figures(self) -> dict[str, Figure]:
        """All figures by name."""
        names = ("precision", "recall", "f1", "iou_median", "slice_agreement", "slice_kappa", "label_kappa")
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "label": self.label,
            "first_boxes": self.first_boxes,
            "second_boxes": self.second_boxes,
            "matched": self.matched,
            "iou_quartiles": self.iou_quartiles,
            "slices": dict(zip(("both", "only_first", "only_second", "neither"), self.slices, strict=True)),
            **{name: figure.to_json() for name, figure in self.figures.items()},
        }


@dataclass(frozen=True)
class CaseAgreement:
    """Lesion boxes of one case."""

    case_id: str
    study_uid: str
    first_boxes: int
    second_boxes: int
    matched: int
    slices: tuple[int, int, int, int]
    how: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**self.__dict__, "slices": list(self.slices)}


@dataclass(frozen=True)
class Agreement:
    """Agreement of two raters.

    Attributes:
        first, second: their names.
        iou_threshold: from which boxes match.
        overall: on lesions, whatever their class; boxes of normal tissue count only in their own class.
        classes: per class.
        cases: what each case adds.
        confusion: rows are the first's classes, columns the second's, of boxes that match whatever their class is.
        confusion_labels: the classes of its rows and columns.
        ious: of matched lesion boxes, in order of cases.
        only_first, only_second: cases that the other one has not read.
        not_compared: boxes of the first and the second that lie on images the other one's stack does not have.
        notes: what a person must know to read the figures.
    """

    first: str
    second: str
    iou_threshold: float
    overall: ClassAgreement
    classes: tuple[ClassAgreement, ...]
    cases: tuple[CaseAgreement, ...]
    confusion: tuple[tuple[int, ...], ...]
    confusion_labels: tuple[str, ...]
    ious: tuple[float, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    not_compared: tuple[int, int]
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "schema": "napari-breast-ai/agreement",
            "version": 1,
            "first": self.first,
            "second": self.second,
            "iou_threshold": self.iou_threshold,
            "overall": self.overall.to_json(),
            "classes": [one.to_json() for one in self.classes],
            "cases": [one.to_json() for one in self.cases],
            "confusion": {
                "labels": list(self.confusion_labels),
                "counts": [list(row) for row in self.confusion],
            },
            "ious": list(self.ious),
            "only_first": list(self.only_first),
            "only_second": list(self.only_second),
            "not_compared": {"first": self.not_compared[0], "second": self.not_compared[1]},
            "notes": list(self.notes),
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row for each figure of each class: class, figure, value, low, high, n, interval, reason."""
        rows = []
        for one in (self.overall, *self.classes):
            start = {"first": self.first, "second": self.second, "class": one.label}
            counts = {
                "first_boxes": one.first_boxes,
                "second_boxes": one.second_boxes,
                "matched": one.matched,
                **{
                    f"slices_{name}": value
                    for name, value in zip(
                        ("both", "only_first", "only_second", "neither"), one.slices, strict=True
                    )
                },
            }
            quartiles = one.iou_quartiles or (None, None)
            plain = {**counts, "iou_q1": quartiles[0], "iou_q3": quartiles[1]}
            empty = dict.fromkeys(Figure(None).to_json())
            rows += [{**start, "figure": name, **empty, "value": value} for name, value in plain.items()]
            rows += [{**start, "figure": name, **figure.to_json()} for name, figure in one.figures.items()]
        return rows


def ious(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Intersection over union of every box of one list with every box of another.

    Args:
        first: (n, 4), edges y0, x0, y1, x1.
        second: (m, 4).

    Returns:
        float64 (n, m); 0 where both have no area.
    """
    a = np.asarray(first, np.float64).reshape(-1, 1, 4)
    b = np.asarray(second, np.float64).reshape(1, -1, 4)
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    shared = sides.prod(axis=-1)
    whole = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - shared
    out: FloatArray = np.zeros_like(shared)
    np.divide(shared, whole, out=out, where=whole > 0)
    return out


def match(
    first: Sequence[Box], second: Sequence[Box], threshold: float = 0.5
) -> tuple[tuple[int, int, float], ...]:
    """Pair boxes of the same slice: the most pairs of at least the threshold, and of these the largest sum of IoU.

    Returns:
        Triples (index in `first`, index in `second`, IoU), in order of `first`. Classes are not looked at.
    """
    pairs: list[tuple[int, int, float]] = []
    for z in sorted({box.z for box in first} & {box.z for box in second}):
        mine = [i for i, box in enumerate(first) if box.z == z]
        theirs = [j for j, box in enumerate(second) if box.z == z]
        overlap = ious([_edges(first[i]) for i in mine], [_edges(second[j]) for j in theirs])
        enough = overlap >= threshold - 1e-9  # a threshold that is met exactly counts, whatever rounding did
        # One more pair weighs more than all that the IoUs of the others can add.
        weight = np.where(enough, overlap + min(overlap.shape) + 1, 0.0)
        for row, column in zip(*linear_sum_assignment(weight, maximize=True), strict=True):
            if enough[row, column]:
                pairs.append((mine[row], theirs[column], float(overlap[row, column])))
    return tuple(sorted(pairs))


def agreement(
    first: Iterable[Reading], second: Iterable[Reading], iou: float = 0.5, seed: int = SEED
) -> Agreement:
    """Compare two raters.

    Args:
        first, second: readings of each, one a case (`raters.readings`). Cases pair by study, else by name.
        iou: threshold, above 0, at most 1.
        seed: of the resampling.

    Raises:
        AnnotationError: they have no case in common, or the threshold is none.
    """
    if not 0 < iou <= 1:
        raise AnnotationError(f"{iou} is not a threshold of IoU. Give a number above 0 and at most 1.")
    pairing = pair(first, second)
    pairs = pairing.pairs
    if not pairs:
        raise AnnotationError(
            f"{pairing.first} and {pairing.second} have no case in common. Cases belong together by their study, "
            "or by their name where a journal does not know its study."
        )
    resampling = Resampling(len(pairs), seed)
    labels = _labels(pairs)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    for one in pairs:
        for i, j, _ in match(one.first, one.second, iou):
            confusion[labels.index(one.first[i].label), labels.index(one.second[j].label)] += 1
    overall, overlaps, matched = _class_agreement(ALL, pairs, iou, resampling, confusion, labels)
    classes = [_class_agreement(label, pairs, iou, resampling, confusion, labels)[0] for label in labels]
    return Agreement(
        first=pairing.first,
        second=pairing.second,
        iou_threshold=iou,
        overall=overall,
        classes=tuple(classes),
        cases=tuple(
            CaseAgreement(
                one.case_id,
                one.study_uid,
                len(_of(ALL, one.first)),
                len(_of(ALL, one.second)),
                count,
                _slices(ALL, one),
                one.how,
            )
            for one, count in zip(pairs, matched, strict=True)
        ),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        confusion_labels=labels,
        ious=overlaps,
        only_first=pairing.only_first,
        only_second=pairing.only_second,
        not_compared=pairing.lost,
        notes=_notes(pairing),
    )


def _class_agreement(
    label: str,
    pairs: Sequence[Pair],
    iou: float,
    resampling: Resampling,
    confusion: NDArray[np.int64],
    labels: Sequence[str],
) -> tuple[ClassAgreement, tuple[float, ...], list[int]]:
    """The figures of a class, the matched boxes' IoUs, and how many matched in each case."""
    counts, overlaps, owners = [], [], []
    for number, one in enumerate(pairs):
        mine, theirs = _of(label, one.first), _of(label, one.second)
        found = match(mine, theirs, iou)
        counts.append((len(found), len(mine), len(theirs)))
        overlaps += [overlap for _, _, overlap in found]
        owners += [number] * len(found)
    slices = [_slices(label, one) for one in pairs]
    matched, n_first, n_second = (int(n) for n in np.sum(counts, axis=0))
    both, mine_only, theirs_only, neither = (int(n) for n in np.sum(slices, axis=0))
    kind = "lesion" if label == ALL else f"“{label}”"
    table: NDArray[np.int64] = confusion
    if label != ALL:
        at = list(labels).index(label)
        agreed, row, column = confusion[at, at], confusion[at].sum(), confusion[:, at].sum()
        table = np.array([[agreed, row - agreed], [column - agreed, confusion.sum() - row - column + agreed]])
    made = ClassAgreement(
        label,
        n_first,
        n_second,
        matched,
        resampling.figure(
            counts, lambda s: ratio(s[..., 0], s[..., 2]), n_second, f"The second has no {kind} boxes."
        ),
        resampling.figure(
            counts, lambda s: ratio(s[..., 0], s[..., 1]), n_first, f"The first has no {kind} boxes."
        ),
        resampling.figure(
            counts,
            lambda s: ratio(2 * s[..., 0], s[..., 1] + s[..., 2]),
            n_first + n_second,
            f"Neither has any {kind} boxes.",
        ),
        resampling.median(overlaps, owners, f"No {kind} boxes match."),
        None if not overlaps else (float(np.quantile(overlaps, 0.25)), float(np.quantile(overlaps, 0.75))),
        (both, mine_only, theirs_only, neither),
        resampling.figure(
            slices,
            lambda s: ratio(s[..., 0] + s[..., 3], s.sum(axis=-1)),
            both + mine_only + theirs_only + neither,
            "There is no slice that both have looked at.",
        ),
        kappa([[both, mine_only], [theirs_only, neither]], "There is no slice that both have looked at."),
        kappa(table, "No boxes match."),
    )
    return made, tuple(overlaps), [count[0] for count in counts]


def _slices(label: str, one: Pair) -> tuple[int, int, int, int]:
    """Slices that both have looked at: both with a box, only the first, only the second, neither."""
    mine, theirs = {box.z for box in _of(label, one.first)}, {box.z for box in _of(label, one.second)}
    seen = one.looked
    return (
        len(seen & mine & theirs),
        len((seen & mine) - theirs),
        len((seen & theirs) - mine),
        len(seen - mine - theirs),
    )


def _of(label: str, boxes: Sequence[Box]) -> list[Box]:
    if label == ALL:
        return [box for box in boxes if box.label != NORMAL_TISSUE]
    return [box for box in boxes if box.label == label]


def _labels(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """The classes that were used, the usual ones first."""
    used = {box.label for one in pairs for box in (*one.first, *one.second)}
    return (*(label for label in BOX_LABELS if label in used), *sorted(used - set(BOX_LABELS)))


def _edges(box: Box) -> tuple[float, float, float, float]:
    return box.y0, box.x0, box.y1, box.x1


def _notes(pairing: Pairing) -> tuple[str, ...]:
    notes = list(pairing.notes)
    for name, cases in ((pairing.first, pairing.only_first), (pairing.second, pairing.only_second)):
        if cases:
            notes.append(f"Cases read by {name} only, and left out: {len(cases)}.")
    for name, lost in zip((pairing.first, pairing.second), pairing.lost, strict=True):
        if lost:
            notes.append(
                f"Boxes of {name} that could not be compared, because they lie on images that the other's stack of "
                f"slices does not have: {lost}."
            )
    return tuple(notes)
