"""Boxes of several slices as lesions: which belong together, how large they are, and what lies between two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..core import Box, Geometry
from .errors import AnnotationError

NEIGHBOUR_IOU = 0.1
"""A new box that overlaps one of the same class on a neighbouring slice at least so much belongs to its lesion."""


@dataclass(frozen=True)
class Lesion:
    """Boxes of one lesion, in order of their slices.

    Attributes:
        key: what its boxes carry in `Box.lesion`, or the id of its only box.
        label: the class of most of its boxes.
    """

    key: str
    label: str
    boxes: tuple[Box, ...]

    def size_mm(self, geometry: Geometry) -> tuple[float, float, float]:
        """Extent of all boxes together in mm: (through the slices, down the rows, along the columns)."""
        dz, dy, dx = geometry.spacing
        low, high = min(box.z for box in self.boxes), max(box.z for box in self.boxes)
        return (
            (high - low + 1) * dz,
            (max(box.y1 for box in self.boxes) - min(box.y0 for box in self.boxes)) * dy,
            (max(box.x1 for box in self.boxes) - min(box.x0 for box in self.boxes)) * dx,
        )


def lesions(boxes: Iterable[Box]) -> tuple[Lesion, ...]:
    """Group boxes by lesion, in the order of their first boxes."""
    groups: dict[str, list[Box]] = {}
    for box in boxes:
        groups.setdefault(box.lesion or box.id, []).append(box)
    found = []
    for key, members in groups.items():
        labels = [box.label for box in members]
        label = max(dict.fromkeys(labels), key=labels.count)
        found.append(Lesion(key, label, tuple(sorted(members, key=lambda box: box.z))))
    return tuple(found)


def lesion_of(box: Box, others: Iterable[Box]) -> str:
    """The lesion that a new box belongs to: that of the box it overlaps most on a neighbouring slice, or "".

    Boxes of another class do not count.
    """
    best, lesion = NEIGHBOUR_IOU, ""
    for other in others:
        if abs(other.z - box.z) == 1 and other.label == box.label:
            overlap = replace(other, z=box.z).iou(box)
            if overlap >= best:
                best, lesion = overlap, other.lesion or other.id
    return lesion


def between(one: Box, other: Box) -> tuple[Box, ...]:
    """Boxes on the slices between two, their edges interpolated linearly; class and lesion are those of `one`.

    Raises:
        AnnotationError: the boxes lie on the same or on neighbouring slices.
    """
    first, last = sorted((one, other), key=lambda box: box.z)
    steps = last.z - first.z
    if steps < 2:
        raise AnnotationError(
            "There is no slice between the two boxes. Draw the second one some slices further on."
        )
    made = []
    for step in range(1, steps):
        part = step / steps
        edges = {
            name: (1 - part) * getattr(first, name) + part * getattr(last, name)
            for name in ("y0", "x0", "y1", "x1")
        }
        made.append(
            replace(
                one,
                z=first.z + step,
                **edges,
                lesion=one.lesion or one.id,
                id="",
                author="",
                origin="interpolated",
                edited=False,
            )
        )
    return tuple(made)


def partner(box: Box, boxes: Sequence[Box]) -> Box | None:
    """The other key box for `between`: of the same lesion, or else class, with empty slices between; the nearest one."""
    taken = {(other.lesion or other.id, other.z) for other in boxes}

    def free(other: Box) -> bool:
        low, high = sorted((box.z, other.z))
        keys = {box.lesion or box.id, other.lesion or other.id}
        return high - low > 1 and not any((key, z) in taken for key in keys for z in range(low + 1, high))

    same = [other for other in boxes if other.id != box.id and free(other)]
    for wanted in (
        [other for other in same if (other.lesion or other.id) == (box.lesion or box.id)],
        [other for other in same if other.label == box.label],
    ):
        if wanted:
            return min(wanted, key=lambda other: abs(other.z - box.z))
    return None
