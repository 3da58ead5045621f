"""Who made boxes of which cases, and which cases of two belong together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..core import Box
from .cases import CaseRecord
from .errors import AnnotationError
from .stacks import onto


@dataclass(frozen=True)
class Reading:
    """One rater's boxes of one case.

    Attributes:
        rater: a reader's name ("anna#2" in a second reading), or who suggested ("model:NAME").
        record: the journal that they come from, with its stack.
        boxes: of the rater.
        looked: slices that the rater has looked at: with a box, said to be without a lesion, or all of a case that is
            done.
        finished: the rater has seen the whole case.
    """

    rater: str
    record: CaseRecord
    boxes: tuple[Box, ...]
    looked: frozenset[int]
    finished: bool = True


@dataclass(frozen=True)
class Pair:
    """Two readings of one case on one stack.

    Attributes:
        case_id, study_uid: which case.
        first, second: the boxes.
        looked: slices that both have looked at.
        how: how the second was brought onto the first's stack; see `stacks.Moved`.
    """

    case_id: str
    study_uid: str
    first: tuple[Box, ...]
    second: tuple[Box, ...]
    looked: frozenset[int]
    how: str


@dataclass(frozen=True)
class Pairing:
    """The cases of two raters.

    Attributes:
        first, second: names.
        pairs: cases of both, in the first's order.
        only_first, only_second: names of cases of one.
        lost: boxes of the first and of the second that could not be compared.
        notes: sentences.
    """

    first: str
    second: str
    pairs: tuple[Pair, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    lost: tuple[int, int]
    notes: tuple[str, ...]


def raters(records: Iterable[CaseRecord]) -> tuple[str, ...]:
    """The readers, then those who suggested, each in order of names."""
    readers: set[str] = set()
    makers: set[str] = set()
    for record in records:
        readers.add(record.rater)
        makers |= record.suggested.keys()
    return (*sorted(readers), *sorted(makers - readers))


def readings(records: Iterable[CaseRecord], rater: str) -> tuple[Reading, ...]:
    """All readings of a rater, one a case.

    What a model suggested is taken as it was suggested, whoever was shown it and whatever was answered; it has looked
    at every slice. The same suggestions in several readers' journals count once.
    """
    found: dict[str, Reading] = {}
    for record in records:
        if record.rater == rater:
            finished = record.status == "done" or record.empty_case
            made = Reading(rater, record, record.boxes, _looked(record), finished)
        elif rater in record.suggested:
            boxes = record.suggested[rater]
            every = range(record.geometry.shape[0]) if record.geometry else (box.z for box in boxes)
            made = Reading(rater, record, boxes, frozenset(every))
        else:
            continue
        found.setdefault(record.key, made)
    return tuple(found.values())


def choose(records: Iterable[CaseRecord], names: tuple[str, ...] = ()) -> tuple[str, str]:
    """The two raters to compare: those named, or the only two there are.

    Raises:
        AnnotationError: a name is not there, or there are not two; the sentence says who is there.
    """
    records = tuple(records)
    known = raters(records)
    listed = ", ".join(known) or "nobody"
    for name in names:
        if name not in known:
            raise AnnotationError(f"There are no boxes of {name}. There are boxes of: {listed}.")
    if len(names) == 2:
        if names[0] == names[1]:
            raise AnnotationError(
                f"Name two different readers; {names[0]}'s second reading is called {names[0]}#2."
            )
        return names[0], names[1]
    readers = tuple(name for name in known if any(record.rater == name for record in records))
    for group in (readers, known):
        if len(group) == 2:
            return group[0], group[1]
    raise AnnotationError(
        f"Name the two to compare with --readers; there are boxes of: {listed}."
        if len(known) > 2
        else f"Two readers are needed to compare; there are boxes of: {listed}."
    )


def pair(first: Iterable[Reading], second: Iterable[Reading]) -> Pairing:
    """Bring the cases of two raters together: by study where both know it, else by name."""
    first, second = tuple(first), tuple(second)
    by_study = {one.record.study_uid: one for one in second if one.record.study_uid}
    by_name: dict[str, Reading] = {}
    for one in second:
        by_name.setdefault(one.record.case_id, one)
    pairs, alone, taken = [], [], set()
    lost_first = lost_second = unfinished = shown = 0
    ways: dict[str, int] = {}
    for mine in first:
        uid = mine.record.study_uid
        theirs = by_study.get(uid) if uid else None
        if theirs is None:
            theirs = by_name.get(mine.record.case_id)
            if theirs is not None and uid and theirs.record.study_uid:
                theirs = None  # the same name for two studies
        if theirs is None or id(theirs) in taken:
            alone.append(mine.record.case_id)
            continue
        taken.add(id(theirs))
        moved = onto(theirs.record, theirs.boxes, theirs.looked, mine.record)
        # A box that the other could not have drawn is no box that the other missed.
        back = onto(mine.record, mine.boxes, (), theirs.record)
        boxes = tuple(mine.boxes[i] for i in back.kept)
        lost_first += back.lost_boxes
        lost_second += moved.lost_boxes
        ways[moved.how] = ways.get(moved.how, 0) + 1
        unfinished += not (mine.finished and theirs.finished)
        shown += theirs.rater in mine.record.suggested or mine.rater in theirs.record.suggested
        pairs.append(
            Pair(
                mine.record.case_id,
                uid or theirs.record.study_uid,
                boxes,
                moved.boxes,
                mine.looked & moved.slices,
                moved.how,
            )
        )
    return Pairing(
        first[0].rater if first else "the first",
        second[0].rater if second else "the second",
        tuple(pairs),
        tuple(alone),
        tuple(one.record.case_id for one in second if id(one) not in taken),
        (lost_first, lost_second),
        _said(ways, unfinished, shown),
    )


def _said(ways: dict[str, int], unfinished: int, shown: int) -> tuple[str, ...]:
    notes = []
    if shown:
        notes.append(
            f"Cases in which the reader was shown these very suggestions: {shown}. Agreement with them is not that of "
            "two independent readers."
        )
    if unfinished:
        notes.append(
            f"Cases that not both have marked as done: {unfinished}. A box that is missing there may not have been "
            "drawn yet, and slices without a word are not counted as looked at."
        )
    if count := ways.get("patient coordinates"):
        notes.append(f"Cases brought onto one stack of slices by the patient's coordinates: {count}.")
    if count := ways.get("slice numbers"):
        notes.append(
            "Cases compared by their slice numbers, because a journal does not know its stack of slices: "
            f"{count}."
        )
    if count := ways.get("not comparable"):
        notes.append(f"Cases whose stacks of slices have no coordinates in common: {count}.")
    return tuple(notes)


def _looked(record: CaseRecord) -> frozenset[int]:
    looked = {box.z for box in record.boxes} | set(record.empty_slices)
    if (record.status == "done" or record.empty_case) and record.geometry is not None:
        looked |= set(range(record.geometry.shape[0]))
    return frozenset(looked)
