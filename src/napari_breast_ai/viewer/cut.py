"""A stack seen in another plane: how its axes lie on the screen, its pixels and heat maps there, frames of its boxes.

Axes are counted as in the volume: 0 slices, 1 rows, 2 columns. An order is (axis that is cut, axis that runs down
the screen, axis that runs across it). Nothing here copies pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core import Box, Geometry
from . import layers as look

Order = tuple[int, int, int]
Spans = list[tuple[float, float]]
"""Stretches of an axis that do not overlap, in rising order."""

Lines = NDArray[np.float64]
"""Shape (n, 2, 2): where each line begins and how far it goes, (down, across) in mm from the first voxel's centre."""

Place = NDArray[np.float64]
"""(down, across) in mm."""

_WHERE = ("through", "down", "across")
_UPWARDS = ("H", "A", "R")
"""From the most to the least upright: what stands at the top or, where it lies across, at the left."""

_PLANES = {"H": "Axial", "A": "Coronal", "R": "Sagittal"}
_NAMES = ("Slice", "Row", "Column")


def _side(geometry: Geometry, axis: int) -> str:
    """Which of H, A and R the axis is about."""
    letters = geometry.directions[_WHERE[axis]].split("-")
    return next(one for one in _UPWARDS if one in letters)


def order_of(geometry: Geometry, axis: int) -> Order:
    """How the other two axes lie on the screen where one is cut: the more upright one in the patient runs down."""
    if axis == 0:
        return 0, 1, 2  # as the study's own slices
    others = [one for one in (0, 1, 2) if one != axis]
    down, across = sorted(others, key=lambda one: _UPWARDS.index(_side(geometry, one)))
    return axis, down, across


def plane_name(geometry: Geometry, axis: int) -> str:
    """The plane that one gets by cutting an axis: "Axial", "Coronal" or "Sagittal", the nearest one."""
    return _PLANES[_side(geometry, axis)]


def place_text(geometry: Geometry, axis: int, index: int) -> str:
    """Where on an axis, counted from 0 as the sliders do: "Row 20 of 0–39"."""
    return f"{_NAMES[axis]} {index} of 0–{geometry.shape[axis] - 1}"


def upright(geometry: Geometry, order: Order) -> tuple[Literal["up", "down"], Literal["left", "right"]]:
    """Which way the axes of a reformatted plane run: head or front above, the patient's right or front at the left."""
    down, across = (geometry.directions[_WHERE[axis]] for axis in order[1:])
    return "down" if down[0] in _UPWARDS else "up", "right" if across[0] in _UPWARDS else "left"


def edges(geometry: Geometry, order: Order, vertical: str, horizontal: str) -> dict[str, str]:
    """The patient's side at the "top", "bottom", "left" and "right" of a plane that runs that way."""
    down, across = (geometry.directions[_WHERE[axis]].split("-") for axis in order[1:])
    top, bottom = down if vertical == "down" else down[::-1]
    left, right = across if horizontal == "right" else across[::-1]
    return {"top": top, "bottom": bottom, "left": left, "right": right}


# ------------------------------------------------------------------------ pixels


class Turned:
    """One phase of an array (phases, slices, rows, columns), or one without phases, with its axes in another order.

    Computed when asked for: for arrays that are none of numpy's, such as the subtraction; numpy turns its own.
    """

    ndim = 3

    def __init__(self, data: Any, phase: int | None, order: Order) -> None:
        """`phase` None: the array has none."""
        self._data, self._order = data, order
        self._phase = () if phase is None else (phase,)
        self.shape: tuple[int, ...] = tuple(int(data.shape[-3:][axis]) for axis in order)
        self.dtype = data.dtype

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        parts = _whole(key)
        source = [parts[self._order.index(axis)] for axis in (0, 1, 2)]
        found: NDArray[Any] = self._data[(*self._phase, *source)]
        kept = [axis for axis in (0, 1, 2) if isinstance(source[axis], slice)]
        return found.transpose([kept.index(axis) for axis in self._order if axis in kept])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


class Between:
    """Heat maps at every index of the cut axis, of which they have fewer cells than the image has rows or columns.

    Between the centres of two cells the maps are mixed linearly, as the graphics card does in the plane itself; from
    the outer cells' centres to their edges they stay, and beyond there is nothing. So all planes show the one map
    that resizing with `align_corners=False` gives.
    """

    ndim = 3

    def __init__(self, maps: NDArray[Any], order: Order, at: NDArray[np.float64]) -> None:
        """`at`: for every index of the cut axis where it lies among the maps' cells, counted from cell 0's centre."""
        self._maps, self._order, self._at = maps, order, at
        self.shape: tuple[int, ...] = (at.size, maps.shape[order[1]], maps.shape[order[2]])
        self.dtype = np.dtype(np.float32)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        first, *rest = _whole(key)
        if not isinstance(first, slice):
            one: NDArray[np.float32] = self._one(int(first))[tuple(rest)]
            return one
        wanted = range(*first.indices(self.shape[0]))
        made = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        for place, index in enumerate(wanted):
            made[place] = self._one(index)
        found: NDArray[np.float32] = made[(slice(None), *rest)]
        return found

    def _one(self, index: int) -> NDArray[np.float32]:
        axis, count = self._order[0], self._maps.shape[self._order[0]]
        at = float(self._at[index])
        if not -0.5 <= at <= count - 0.5:
            return np.zeros(self.shape[1:], self.dtype)
        at = min(max(at, 0.0), count - 1.0)
        low = int(at)
        part = np.float32(at - low)
        found: NDArray[np.float32] = self._maps.take(low, axis).astype(np.float32)
        if part:
            found = (1 - part) * found + part * self._maps.take(low + 1, axis)
        return found if self._order[1] < self._order[2] else found.T

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


def turned(data: Any, phase: int, order: Order) -> Any:
    """One phase of (phases, slices, rows, columns) with its axes in another order: a view of numpy's arrays."""
    return data[phase].transpose(order) if isinstance(data, np.ndarray) else Turned(data, phase, order)


def cut_maps(
    maps: Any, geometry: Geometry, order: Order, scale: Sequence[float], translate: Sequence[float]
) -> tuple[Any, dict[str, Any]]:
    """A stack of maps (slices, h, w) in another plane: the array, with its `scale` and `translate` there in mm.

    Args:
        maps: the stack.
        geometry: of the image it lies over.
        order: of the plane.
        scale, translate: of the stack in mm, (slices, rows, columns), as napari has them.
    """
    axis = order[0]
    scale_there = [float(scale[one]) for one in order]
    start_there = [float(translate[one]) for one in order]
    array: Any
    fits = maps.shape[axis] == geometry.shape[axis] and np.isclose(scale[axis], geometry.spacing[axis])
    if fits and np.isclose(translate[axis], 0.0):
        array = maps.transpose(order) if isinstance(maps, np.ndarray) else Turned(maps, None, order)
    else:
        places = np.arange(geometry.shape[axis]) * geometry.spacing[axis]
        cells = np.asarray((places - float(translate[axis])) / float(scale[axis]), dtype=np.float64)
        array = Between(np.asarray(maps), order, cells)
        scale_there[0], start_there[0] = geometry.spacing[axis], 0.0
    return array, {"scale": tuple(scale_there), "translate": tuple(start_there)}


def _whole(key: Any) -> list[Any]:
    """An index with one part an axis, of three."""
    parts = list(key) if isinstance(key, tuple) else [key]
    for at, part in enumerate(parts):
        if part is Ellipsis:
            parts[at : at + 1] = [slice(None)] * (4 - len(parts))
            break
    return parts + [slice(None)] * (3 - len(parts))


# ------------------------------------------------------------------------- boxes


def frames(boxes: Iterable[Box], geometry: Geometry, order: Order, index: int) -> Mapping[str, Lines]:
    """The outlines of the boxes that a plane cuts, by class: what they cover there, as thick as their slices.

    Boxes of one class that touch, as those of a lesion on neighbouring slices do, have one outline together.
    """
    rows: dict[str, dict[int, Spans]] = {}
    for box in boxes:
        low, high, span = (
            (box.y0, box.y1, (box.x0, box.x1)) if order[0] == 1 else (box.x0, box.x1, (box.y0, box.y1))
        )
        if low <= index <= high:
            rows.setdefault(box.label, {}).setdefault(box.z, []).append(span)
    there = 3 - order[0]  # the axis in the plane that is not the slices'
    upright_slices = order[1] == 0
    spacing = np.array([geometry.spacing[0], geometry.spacing[there]])
    found = {}
    for label, by_slice in rows.items():
        corners = np.array(_outline({z: _union(spans) for z, spans in by_slice.items()})) * spacing
        found[label] = _lines(corners if upright_slices else corners[..., ::-1])
    return found


def seen_through(
    boxes: Iterable[Box], geometry: Geometry, order: Order, first: int, stop: int
) -> Mapping[str, Lines]:
    """The outlines of the boxes in a slab, from `first` to `stop` - 1 along the axis that is seen through, by class.

    Those of one class that lie over each other are one rectangle.
    """
    by_label: dict[str, list[NDArray[np.float64]]] = {}
    for box in boxes:
        low, high = (box.z - 0.5, box.y0, box.x0), (box.z + 0.5, box.y1, box.x1)
        if low[order[0]] > stop - 0.5 or high[order[0]] < first - 0.5:
            continue
        # Those that lie over each other become one, until none does: (down, across) of two corners.
        one = np.array([[end[axis] for axis in order[1:]] for end in (low, high)])
        apart = by_label.setdefault(box.label, [])
        while (hit := next((other for other in apart if _meet(one, other)), None)) is not None:
            apart[:] = [other for other in apart if other is not hit]
            one = np.stack([np.minimum(one[0], hit[0]), np.maximum(one[1], hit[1])])
        apart.append(one)
    found = {}
    spacing = [geometry.spacing[axis] for axis in order[1:]]
    for label, rectangles in by_label.items():
        corners = np.array([[(a[0], a[1]), (a[0], b[1]), (b[0], b[1]), (b[0], a[1])] for a, b in rectangles])
        corners = corners * spacing
        found[label] = _lines(np.stack([corners, np.roll(corners, -1, axis=1)], axis=2).reshape(-1, 2, 2))
    return found


def _meet(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return bool((one[0] <= other[1]).all() and (other[0] <= one[1]).all())


def _outline(rows: Mapping[int, Spans]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Lines from (slice, place) to (slice, place) around what is covered on each slice, half a slice to both sides."""
    lines = []
    for z, spans in rows.items():
        for end in (end for span in spans for end in span):
            lines.append(((z - 0.5, end), (z + 0.5, end)))
    for z in sorted({z + step for z in rows for step in (0, 1)}):
        # Between two slices there is an edge where one of them is covered and the other is not.
        ends = sorted(end for one in (z - 1, z) for span in rows.get(one, ()) for end in span)
        for start, stop in zip(ends[::2], ends[1::2], strict=True):
            if start < stop:
                lines.append(((z - 0.5, start), (z - 0.5, stop)))
    return lines


def _union(spans: Spans) -> Spans:
    found: Spans = []
    for start, stop in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], stop))
        else:
            found.append((start, stop))
    return found


def _lines(ends: NDArray[np.float64]) -> Lines:
    """From lines with both their ends, shape (n, 2, 2), to lines with their beginning and their way."""
    made = ends.astype(np.float64)
    made[:, 1] -= made[:, 0]
    return made


def cross(point: Place, low: Place, high: Place, gap: float) -> Lines:
    """Two lines through a point, from edge to edge, that leave what lies at the point itself free.

    All in mm: the point, the picture's first and last edges (down, across), half the gap.
    """
    lines = []
    for axis in (0, 1):
        for edge, sign in ((low[axis], -1.0), (high[axis], 1.0)):
            start = [float(one) for one in point]
            start[axis] += sign * gap
            way = [0.0, 0.0]
            way[axis] = edge - start[axis]
            # At the picture's rim the gap reaches beyond it: no line there.
            lines.append((start, way if sign * way[axis] > 0 else [0.0, 0.0]))
    return np.array(lines)


def plane_settings(order: Order) -> dict[str, Any]:
    """Units and axis names of a layer in a plane, as the study's own layers have them."""
    names = [look.AXES[1 + axis] for axis in order]
    return {"units": look.UNITS[-3:], "axis_labels": tuple(names)}
