"""Heat maps projected as the MIP they lie over: the highest of what lies behind each other, in the same slab."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import Geometry
from . import cut
from .projected import Made

Picture = NDArray[np.float32]
Where = dict[str, tuple[float, float]]
"""`scale` and `translate` of a picture in mm, (down, across), as napari has them."""

ACROSS, DEEP = 4, 6
"""Of a turned view: so many columns, and so many places along the line of sight, for a cell; no finer than a voxel."""


def project_maps(
    made: Made, maps: Any, scale: Sequence[float], translate: Sequence[float], sided: bool = False
) -> tuple[Picture, Where]:
    """A stack of heat maps as the highest number of each line of sight, in a projection's slab or at its angle.

    Cells are projected, and the picture of cells is drawn smooth as every heat map is.

    Args:
        made: the projection.
        maps: (slices, h, w).
        scale, translate: of the stack in mm, (slices, rows, columns), as napari has them.
        sided: a difference, whose numbers are below 0 too: the number furthest from 0 is taken.

    Returns:
        (down, across) and where it lies in the projection's picture.
    """
    geometry = made.image.geometry
    if made.turning is not None:
        return _turned(made, np.asarray(maps, np.float32), geometry, scale, translate, sided)
    array, where = cut.cut_maps(maps, geometry, made.order, scale, translate)
    first, stop = int(made.where[0]), int(made.where[1] or 0)
    behind = np.asarray(array[first:stop], dtype=np.float32)
    return _furthest(behind, 0, sided), {key: tuple(value[1:]) for key, value in where.items()}


def _furthest(values: NDArray[np.float32], axis: int, sided: bool) -> Picture:
    high: Picture = values.max(axis=axis)
    if not sided:
        return high
    low = values.min(axis=axis)
    return np.where(-low > high, low, high)


def _turned(
    made: Made,
    maps: NDArray[np.float32],
    geometry: Geometry,
    scale: Sequence[float],
    translate: Sequence[float],
    sided: bool,
) -> tuple[Picture, Where]:
    """Sampled along the lines of sight through the two axes that turn; the third one's cells are the rows."""
    turning = made.turning
    assert turning is not None
    view = int(made.where[0])
    a, b = (axis for axis in (0, 1, 2) if axis != turning.upright)
    width = made.spacing[1]

    def seen(place: Sequence[float]) -> NDArray[np.float64]:
        """(across, away) in mm."""
        _, column, away = turning.seen_at(view, place)
        return np.array([column * width, away])

    # Where a place is seen is linear in the place: told by three of them.
    origin = seen((0.0, 0.0, 0.0))
    steps = np.stack([seen(np.eye(3)[axis]) - origin for axis in (a, b)], axis=1)
    cell = min(scale[a], scale[b])
    size = made.pixels.shape[1] * width
    columns = ceil(size / max(width, cell / ACROSS))
    across = (np.arange(columns) + 0.5) * (size / columns) - width / 2
    corners = [
        seen([float(end * (count - 1)) for end, count in zip(ends, geometry.shape, strict=True)])[1]
        for ends in np.ndindex(2, 2, 2)
    ]
    near, far = min(corners), max(corners)
    if made.span is not None:
        near, far = max(near, made.span[0]), max(near, min(far, made.span[1]))
    deep = near + np.linspace(0.0, far - near, 1 + ceil((far - near) / max(min(width, cell), cell / DEEP)))
    grid = np.stack(np.meshgrid(across, deep, indexing="ij"), axis=-1) - origin
    index = grid @ np.linalg.inv(steps).T
    at = [
        (index[..., k] * geometry.spacing[axis] - translate[axis]) / scale[axis]
        for k, axis in enumerate((a, b))
    ]
    stack = np.moveaxis(maps, turning.upright, 2)
    seen_there = [_furthest(_mixed(stack, *at), 1, sided)]
    # Between two such places the summit of a cell would be missed, and come and go with the turn: it is its own.
    cells = np.indices(stack.shape[:2]).reshape(2, -1).T * [scale[a], scale[b]] + [translate[a], translate[b]]
    column, away = (cells / [geometry.spacing[a], geometry.spacing[b]] @ steps.T + origin).T
    kept = (away >= near) & (away <= far)
    column = np.clip((column + width / 2) / (size / columns), 0, columns - 1).astype(np.intp)
    for extreme in (np.maximum, np.minimum) if sided else (np.maximum,):
        summits: NDArray[np.float32] = np.zeros((columns, stack.shape[2]), np.float32)
        extreme.at(summits, column[kept], stack.reshape(-1, stack.shape[2])[kept])
        seen_there.append(summits)
    picture = np.ascontiguousarray(_furthest(np.stack(seen_there), 0, sided).T)
    return picture, {
        "scale": (float(scale[turning.upright]), size / columns),
        "translate": (float(translate[turning.upright]), float(across[0])),
    }


def _mixed(
    maps: NDArray[np.float32], first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Values (..., n) of maps (h, w, n) at places counted in cells; as far as the cells' edges, and 0 beyond."""
    h, w = maps.shape[:2]
    inside = (first >= -0.5) & (first <= h - 0.5) & (second >= -0.5) & (second <= w - 0.5)
    found: NDArray[np.float32] = np.zeros((*first.shape, maps.shape[2]), np.float32)
    y, x = np.clip(first[inside], 0, h - 1), np.clip(second[inside], 0, w - 1)
    top, left = y.astype(np.intp), x.astype(np.intp)
    down, right = np.minimum(top + 1, h - 1), np.minimum(left + 1, w - 1)
    v, u = ((y - top)[:, None]).astype(np.float32), ((x - left)[:, None]).astype(np.float32)
    upper = maps[top, left] * (1 - u) + maps[top, right] * u
    found[inside] = upper * (1 - v) + (maps[down, left] * (1 - u) + maps[down, right] * u) * v
    return found
