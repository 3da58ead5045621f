"""Boxes of one case that were drawn on different stacks of its images, brought onto one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..core import Box, FrameRef
from .anchors import Placing
from .cases import CaseRecord


@dataclass(frozen=True)
class Moved:
    """What of a record lies on another record's stack.

    Attributes:
        boxes: those that could be brought onto it.
        kept: their indices among those asked for.
        slices: the slices, of those asked for, on the other stack.
        lost_boxes, lost_slices: how many could not.
        how: "same stack", "patient coordinates", "stored images", "slice numbers" (nothing better is known) or
            "not comparable".
    """

    boxes: tuple[Box, ...]
    kept: tuple[int, ...]
    slices: frozenset[int]
    lost_boxes: int
    lost_slices: int
    how: str


def onto(record: CaseRecord, boxes: Sequence[Box], slices: Iterable[int], target: CaseRecord) -> Moved:
    """Bring boxes and slices of `record` onto the stack of `target`.

    The same stack keeps its numbers. Another one of the same frame of reference is brought over by the patient's
    coordinates; the planes and directions of rows must agree, and the slices lie within half a slice. Where one of
    the two does not know its stack (a journal of version 1), the stored images decide as far as they are known, and
    else the numbers are taken as they are.
    """
    slices = sorted(set(slices))
    mine, other = record.geometry, target.geometry
    if mine is None or other is None:
        return _by_images(record, boxes, slices, target)
    if mine.same_as(other):
        return Moved(tuple(boxes), tuple(range(len(boxes))), frozenset(slices), 0, 0, "same stack")
    name = record.frame_of_reference
    if not name or name != target.frame_of_reference:
        return Moved((), (), frozenset(), len(boxes), len(slices), "not comparable")
    here, there = Placing(mine, name), Placing(other, name)
    found = [there.place(box, here.anchor(box)) for box in boxes]
    kept = tuple(i for i, box in enumerate(found) if box is not None)
    placed = tuple(box for box in found if box is not None)
    rows, columns = mine.shape[1:]
    whole = [Box(z, -0.5, -0.5, rows - 0.5, columns - 0.5, "slice") for z in slices]
    planes = [there.place(box, here.anchor(box)) for box in whole]
    known = [box.z for box in planes if box is not None]
    return Moved(
        placed,
        kept,
        frozenset(known),
        len(boxes) - len(placed),
        len(slices) - len(known),
        "patient coordinates",
    )


def _by_images(record: CaseRecord, boxes: Sequence[Box], slices: Sequence[int], target: CaseRecord) -> Moved:
    mine, other = _slices_of_images(record), _slices_of_images(target)
    shift = {mine[image]: other[image] for image in mine.keys() & other.keys()}
    if all(here == there for here, there in shift.items()):
        how = "slice numbers" if not shift else "stored images"
        return Moved(tuple(boxes), tuple(range(len(boxes))), frozenset(slices), 0, 0, how)
    # Another sorting: only slices whose image both know can be told.
    kept = tuple(i for i, box in enumerate(boxes) if box.z in shift)
    placed = tuple(replace(boxes[i], z=shift[boxes[i].z]) for i in kept)
    known = frozenset(shift[z] for z in slices if z in shift)
    return Moved(
        placed,
        kept,
        known,
        len(boxes) - len(placed),
        sum(z not in shift for z in slices),
        "stored images",
    )


def _slices_of_images(record: CaseRecord) -> dict[FrameRef, int]:
    known = {record.images[box.id]: box.z for box in record.boxes if box.id in record.images}
    return {**known, **{image: z for z, image in record.empty_images.items()}}
