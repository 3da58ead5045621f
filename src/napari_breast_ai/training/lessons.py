"""Cases that are not on the screen, as far as boxes on them teach: the feature maps of the slices that were judged."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..annotations import Journal, Placing
from ..annotations.boxed import BoxedCase
from ..annotations.cases import CaseRecord
from ..core import Box, BreastAIError, DceVolume, Prediction, Progress, silent
from ..inference import FeatureCache, KeptFeatures, predict
from ..inference.box_cells import ReduceRule
from ..models.bundle import Bundle
from ..study import read_study
from .errors import TrainingError
from .targets import NOT_A_LESION, attention_maps

MOST = 1 << 30
"""Bytes that the feature maps of all judged slices may take together: some 2,500 slices."""

WHAT = "Looking at the boxed cases"

MOST_EMPTY = 12
"""Of a case without a lesion, so many slices are learnt from, spread evenly."""

Covered = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a case teaches under one model.

    Attributes:
        study_uid: of the case.
        placing: finds boxes in the stack of slices whose numbers are used here.
        slices: that somebody has judged, rising.
        maps: float32 (n, C, h, w), the feature maps of these n slices.
        scores: label to float32 (n,), what the model itself says of them.
        covered: (y0, x0, y1, x1), the pixels that the maps cover, see `Prediction.covered`.
        boxes, empty: a reader's boxes, and the slices that are said to show no lesion.
    """

    study_uid: str
    placing: Placing
    slices: tuple[int, ...]
    maps: Tensor
    scores: dict[str, NDArray[np.float32]]
    covered: Covered
    boxes: tuple[Box, ...]
    empty: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the feature maps."""
        return self.maps.numel() * 4

    def judged_anew(self, boxes: Sequence[Box], empty: Sequence[int]) -> Lesson | None:
        """The same case with other boxes; None where they lie on slices that are not here."""
        wanted = judged(boxes, empty)
        if not set(wanted) <= set(self.slices):
            return None
        rows = [self.slices.index(z) for z in wanted]
        return replace(
            self,
            slices=wanted,
            maps=self.maps[rows],
            scores={label: values[rows] for label, values in self.scores.items()},
            boxes=tuple(boxes),
            empty=tuple(empty),
        )


def judged(boxes: Collection[Box], empty: Collection[int]) -> tuple[int, ...]:
    """The slices that boxes and “no lesion” say something about, rising."""
    return tuple(sorted({box.z for box in boxes} | set(empty)))


def some_of(n_slices: int) -> tuple[int, ...]:
    """The slices of a case without a lesion that are learnt from."""
    return tuple(sorted({round(z) for z in np.linspace(0, n_slices - 1, min(n_slices, MOST_EMPTY))}))


def lesson_of(
    volume: DceVolume,
    bundle: Bundle,
    boxes: Sequence[Box],
    empty: Sequence[int],
    progress: Progress = silent,
) -> Lesson:
    """Look at the judged slices of a study, and at no others. Their feature maps are looked for on the disk first, and
    written there.

    Args:
        volume: the study.
        bundle: the model.
        boxes, empty: of the study; there must be at least one.
        progress: told the number of slices that are done; may cancel.

    Raises:
        InferenceError: the study lacks the phase that the model sees.
        TrainingError: the maps are too large for memory.
    """
    slices = judged(boxes, empty)
    kept = KeptFeatures(volume, bundle, disk=FeatureCache())
    own = predict(volume, bundle, slices=slices, kept=kept, with_maps=True, progress=progress)
    maps = kept.get(slices)
    if maps is None:
        raise TrainingError("Its feature maps are too large to be kept in memory.")
    kept.write(progress)
    return _lesson_of(volume, maps, own, slices, boxes, empty)


def lesson_from(
    volume: DceVolume, maps: Tensor, own: Prediction, boxes: Sequence[Box], empty: Sequence[int]
) -> Lesson:
    """What a study that was on the screen teaches: nothing is computed.

    Args:
        volume: the study.
        maps: of all its slices.
        own: what the model itself said of all its slices.
        boxes, empty: of the study.
    """
    slices = judged(boxes, empty)
    rows = list(slices)
    some = replace(
        own, slices=slices, probabilities={k: values[rows] for k, values in own.probabilities.items()}
    )
    return _lesson_of(volume, maps[rows], some, slices, boxes, empty)


def _lesson_of(
    volume: DceVolume,
    maps: Tensor,
    own: Prediction,
    slices: tuple[int, ...],
    boxes: Sequence[Box],
    empty: Sequence[int],
) -> Lesson:
    return Lesson(
        volume.identity.study_uid,
        Placing.of(volume),
        slices,
        maps.clone(),
        own.probabilities,
        own.covered,
        tuple(boxes),
        tuple(empty),
    )


def wanted_maps(
    boxes: Collection[Box],
    slices: Sequence[int],
    covered: Covered,
    shape: tuple[int, int],
    rule: ReduceRule = "area",
) -> NDArray[np.float32]:
    """What the attention should be on these slices, float32 (n, h, w): see `attention_maps`."""
    y0, x0, y1, x1 = covered
    moved = [replace(box, y0=box.y0 - y0, y1=box.y1 - y0, x0=box.x0 - x0, x1=box.x1 - x0) for box in boxes]
    return attention_maps(
        [[box for box in moved if box.z == z] for z in slices], (y1 - y0, x1 - x0), shape, rule
    )


def lesions(boxes: Collection[Box]) -> tuple[Box, ...]:
    """The boxes that mark a lesion."""
    return tuple(box for box in boxes if box.label not in NOT_A_LESION)


def gather_lessons(
    cases: Sequence[BoxedCase],
    bundle: Bundle,
    known: dict[str, Lesson],
    here: str = "",
    limit_bytes: int = MOST,
    progress: Progress = silent,
) -> tuple[str, ...]:
    """Look at the judged slices of cases; what is known already costs no look at images.

    Args:
        cases: that teach.
        bundle: the model.
        known: study to lesson under this model; filled as cases are done, also where it is cancelled. Those that are
            no longer among the cases are taken out.
        here: the study on the screen, which is not looked at: its maps are elsewhere.
        limit_bytes: that all lessons together may take.
        progress: told the number of cases that are done; may cancel.

    Returns:
        Which cases do not teach, and why, in sentences.
    """
    for uid in set(known) - {here, *(case.record.study_uid for case in cases)}:
        known.pop(uid, None)
    cases = [case for case in cases if case.record.study_uid != here]
    troubles: list[str] = []
    for done, case in enumerate(cases):
        progress(done, len(cases), WHAT)
        try:
            lesson = _lesson(
                case, bundle, known.get(case.record.study_uid), _within(progress, done, len(cases))
            )
        except BreastAIError as error:
            troubles.append(f"Case “{case.case_id}”: {error}")
            continue
        if lesson is None:
            known.pop(case.record.study_uid, None)
            continue
        rest = sum(one.size for uid, one in list(known.items()) if uid != lesson.study_uid)
        if rest + lesson.size > limit_bytes:
            troubles.append(f"Case “{case.case_id}”: there is no more room in memory for its feature maps.")
            known.pop(lesson.study_uid, None)
        else:
            known[lesson.study_uid] = lesson
    progress(len(cases), len(cases), WHAT)
    return tuple(troubles)


def _within(progress: Progress, at: int, of: int) -> Progress:
    """For the steps within a case: they may cancel, and move no bar."""

    def step(done: int, total: int, what: str) -> None:
        progress(at, of, WHAT)

    return step


def _lesson(case: BoxedCase, bundle: Bundle, known: Lesson | None, progress: Progress) -> Lesson | None:
    """What a case teaches now; None where nothing of it lies on the study that is opened for it."""
    if known is not None:
        boxes, empty = _said(case.record, known.placing)
        if not judged(boxes, empty):
            return None
        if (lesson := known.judged_anew(boxes, empty)) is not None:
            return lesson
    volume = read_study(case.path, progress)
    if volume.identity.study_uid != case.record.study_uid:
        raise TrainingError("Its boxes belong to another study than the one that lies there now.")
    boxes, empty = _said(case.record, Placing.of(volume))
    return lesson_of(volume, bundle, boxes, empty, progress) if judged(boxes, empty) else None


def _said(record: CaseRecord, placing: Placing) -> tuple[tuple[Box, ...], tuple[int, ...]]:
    """Boxes and slices without a lesion in the slices of that stack."""
    journal = Journal(record.path, record.reader, placing=placing)
    empty = some_of(placing.geometry.shape[0]) if journal.empty_case else journal.empty_slices
    return journal.boxes, empty
