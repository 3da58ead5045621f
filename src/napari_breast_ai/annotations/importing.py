"""Boxes of a file into a reader's journal: nothing that is there is changed, and one undo takes all of it back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..core import NORMAL_TISSUE, Box
from .anchors import Anchor, Placing
from .errors import AnnotationError
from .exchange import CaseItems, Item
from .journal import Journal
from .ledger import new_id

SAME_PX = 0.01
"""A box of the same slice and class whose edges all lie so close is there already."""


@dataclass(frozen=True)
class Imported:
    """What became of a file's boxes of one case.

    Attributes:
        case_id: the case.
        journal: where they are now.
        added: the new boxes.
        present: how many were there already.
        empty: how many slices (or the case) are now said to be without a lesion.
        notes: what was left out and why, in sentences.
    """

    case_id: str
    journal: Path
    added: tuple[Box, ...]
    present: int
    empty: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"boxes added: {len(self.added)}"]
        if self.present:
            parts.append(f"there already: {self.present}")
        if self.empty:
            parts.append(f"“no lesion” taken over: {self.empty}")
        if self.notes:
            parts.append(f"left out: {len(self.notes)}")
        return f"{self.case_id}: {', '.join(parts)}."


class _LeftOut(Exception):
    """Why an item is left out, in words."""


def import_items(
    journal: Journal, placing: Placing, cases: Iterable[CaseItems], source: str, case_id: str = ""
) -> Imported:
    """Add what a file says about a case to a reader's journal, as one step.

    The stored image decides which slice a box belongs to, where the file and the study know it; else the slice's
    number does. Boxes get new ids, the origin "import:SOURCE", and keep their class, lesion and author. What the reader
    said stays: a lesion's box on a slice that the reader said is without one is left out, and so is “no lesion” where
    the reader has boxes of lesions.

    Args:
        journal: of the reader, opened with this placing.
        placing: of the study.
        cases: what the file says about this case, in one reader's name or in several.
        source: the file's name.
        case_id: the case's name for the report.

    Raises:
        AnnotationError: the journal cannot be written.
    """
    if journal.read_only:
        raise AnnotationError(journal.read_only)
    cases = tuple(cases)
    taken = _Taken(journal, f"import:{source}")
    notes = []
    items = [(item, case) for case in cases for item in case.items]
    for item, case in sorted(
        items, key=lambda one: one[0].box is None
    ):  # boxes first: they decide what is empty
        try:
            taken.take(_placed(item, case, journal, placing))
        except _LeftOut as why:
            where = item.where[:1].upper() + item.where[1:]
            notes.append(f"{where} of {source} is left out (case “{case_id or case.case_id}”): {why}.")
    added = journal.add_many(taken.finished(), empty=taken.empty)
    return Imported(
        case_id or next((case.case_id for case in cases), ""),
        journal.path,
        added,
        taken.present,
        len(taken.empty),
        tuple(notes),
    )


def _placed(item: Item, case: CaseItems, journal: Journal, placing: Placing) -> Item:
    """The item on the study's stack."""
    slices, rows, columns = placing.geometry.shape
    if item.size is not None and item.size != (rows, columns):
        raise _LeftOut(
            f"its image has {item.size[0]} rows and {item.size[1]} columns, the study {rows} and {columns}"
        )
    if item.z is None:
        return item
    box = item.box or Box(item.z, -0.5, -0.5, rows - 0.5, columns - 0.5, "no lesion")
    if item.image is not None:
        found = placing.place(box, Anchor(item.image))
        if found is not None:
            box = found
        elif case.study_uid and case.study_uid == journal.study_uid:
            raise _LeftOut("its stored image is not part of the series that the study opens with")
        # Else the images were given new UIDs: their numbers still hold.
    if found_wrong := box.problems((slices, rows, columns)):
        raise _LeftOut(" ".join(found_wrong).removesuffix(".").replace("The box", "the box"))
    return replace(item, z=box.z, box=None if item.box is None else box)


class _Taken:
    """What will be added, while it is looked through."""

    def __init__(self, journal: Journal, origin: str) -> None:
        self._journal = journal
        self._origin = origin
        self._there = journal.boxes
        self._boxes: list[Box] = []
        self._names: dict[str, str] = {}
        self.empty: list[int | None] = []
        self.present = 0

    def take(self, item: Item) -> None:
        """Take an item up, or raise `_LeftOut`."""
        if item.box is None:
            self._say_empty(item.z)
            return
        box = item.box
        known = _same(box, (*self._there, *self._boxes))
        if known is not None:
            self.present += 1
            if box.id:
                self._names.setdefault(box.id, known.lesion or known.id)
            return
        if box.label != NORMAL_TISSUE:
            if self._journal.empty_case:
                raise _LeftOut("the reader said that the case is without a lesion")
            if box.z in self._journal.empty_slices:
                raise _LeftOut(f"the reader said that slice {box.z} is without a lesion")
        new = new_id()
        if box.id:
            self._names[box.id] = new
        self._boxes.append(replace(box, id=new, origin=self._origin, edited=False))

    def finished(self) -> tuple[Box, ...]:
        """The new boxes; lesions that were named after a box bear its new id."""
        return tuple(
            replace(box, lesion=self._names.get(box.lesion, box.lesion)) if box.lesion else box
            for box in self._boxes
        )

    def _say_empty(self, z: int | None) -> None:
        said = self._journal.empty_case if z is None else z in self._journal.empty_slices
        if said or z in self.empty:
            self.present += 1
            return
        boxes: Sequence[Box] = (*self._there, *self._boxes)
        if any(box.label != NORMAL_TISSUE and z in (None, box.z) for box in boxes):
            place = "the case" if z is None else f"slice {z}"
            raise _LeftOut(f"{place} has boxes of lesions")
        self.empty.append(z)


def _same(box: Box, others: Iterable[Box]) -> Box | None:
    for other in others:
        near = max(
            abs(box.y0 - other.y0), abs(box.x0 - other.x0), abs(box.y1 - other.y1), abs(box.x1 - other.x1)
        )
        # The last digits of an edge are a matter of rounding.
        if other.z == box.z and other.label == box.label and near <= SAME_PX + 1e-9:
            return other
    return None
