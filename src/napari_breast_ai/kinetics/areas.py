"""Parts of a study that figures are taken of: a voxel, a box, boxes on several slices, a mask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import Box
from .errors import KineticsError

Bool = NDArray[np.bool_]
Place = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Area:
    """Some voxels of a stack.

    Attributes:
        place: the block of (slices, rows, columns) that holds them all.
        mask: bool, of the block's shape; at least one voxel.
        name: of the lesion, box or place, for people.
        label: its class, or "".
    """

    place: Place
    mask: Bool = field(repr=False)
    name: str = ""
    label: str = ""

    @property
    def voxels(self) -> int:
        """How many voxels there are."""
        return int(np.count_nonzero(self.mask))

    def whole(self, shape: tuple[int, int, int]) -> Bool:
        """The mask in a stack of that shape."""
        out: Bool = np.zeros(shape, bool)
        out[self.place] = self.mask
        return out


def area_of_boxes(boxes: Iterable[Box], shape: tuple[int, int, int], name: str = "") -> Area:
    """The pixels whose centres lie in boxes, edges included: one box, or those of one lesion on several slices.

    Args:
        boxes: at least one; what lies outside the stack is cut off.
        shape: (slices, rows, columns).
        name: for people; "" takes the first box's lesion or id.

    Raises:
        KineticsError: the boxes hold no pixel of the study.
    """
    boxes = tuple(boxes)
    parts = []
    for box in boxes:
        rows = slice(max(0, ceil(box.y0)), min(shape[1], floor(box.y1) + 1))
        columns = slice(max(0, ceil(box.x0)), min(shape[2], floor(box.x1) + 1))
        if 0 <= box.z < shape[0] and rows.stop > rows.start and columns.stop > columns.start:
            parts.append((box.z, rows, columns))
    if not parts:
        raise KineticsError(
            "The box holds no pixel of this study. Draw it on the study itself, or choose boxes that belong to it."
        )
    low = [min(z for z, _, _ in parts), min(r.start for _, r, _ in parts), min(c.start for _, _, c in parts)]
    high = [
        max(z for z, _, _ in parts) + 1,
        max(r.stop for _, r, _ in parts),
        max(c.stop for _, _, c in parts),
    ]
    mask = np.zeros([b - a for a, b in zip(low, high, strict=True)], bool)
    for z, r, c in parts:
        mask[z - low[0], r.start - low[1] : r.stop - low[1], c.start - low[2] : c.stop - low[2]] = True
    place = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    labels = [box.label for box in boxes]
    label = max(dict.fromkeys(labels), key=labels.count)
    return Area(place, mask, name or boxes[0].lesion or boxes[0].id, label)


def area_of_mask(mask: NDArray[Any], name: str = "", label: str = "") -> Area:
    """The voxels of a mask (slices, rows, columns) that are not 0.

    Raises:
        KineticsError: there are none.
    """
    inside = mask != 0
    if not inside.any():
        raise KineticsError("The mask is empty: paint or grow a region first.")
    place = []
    for axis in range(3):
        along = np.flatnonzero(inside.any(axis=tuple(i for i in range(3) if i != axis)))
        place.append(slice(int(along[0]), int(along[-1]) + 1))
    where = (place[0], place[1], place[2])
    return Area(where, np.ascontiguousarray(inside[where]), name, label)


def area_of_voxel(
    index: tuple[int, int, int], shape: tuple[int, int, int], size: int = 1, name: str = ""
) -> Area:
    """The `size` × `size` pixels around a voxel on its slice, as far as they lie in the image.

    Args:
        index: (slice, row, column).
        shape: (slices, rows, columns).
        size: odd.

    Raises:
        KineticsError: the voxel lies outside the study.
    """
    if not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
        raise KineticsError("The place lies outside the study's images. Point at the images.")
    z, y, x = index
    half = size // 2
    rows = slice(max(0, y - half), min(shape[1], y + half + 1))
    columns = slice(max(0, x - half), min(shape[2], x + half + 1))
    mask = np.ones((1, rows.stop - rows.start, columns.stop - columns.start), bool)
    said = f"slice {z}, row {y}, column {x}" + (f", {size} × {size}" if size > 1 else "")
    return Area((slice(z, z + 1), rows, columns), mask, name or said)
