"""Boxes and masks as cells of a heat map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..core import Box

ReduceRule = Literal["area", "max"]
"""How a mask becomes a cell's target: the covered fraction of the cell, or 1 where anything of it is
covered.
"""


def boxes_to_map(
    boxes: Iterable[Box],
    image_shape: tuple[int, int],
    map_shape: tuple[int, int],
    rule: ReduceRule = "area",
) -> NDArray[np.float32]:
    """Reduce the union of boxes to the attention map's size, exactly (no rasterisation).

    The map covers the image's rectangle, -0.5 to rows - 0.5 and -0.5 to columns - 0.5, in equal cells. The
    parts of boxes outside the image are cut off; overlapping boxes count once.

    Args:
        boxes: boxes of one slice; their `z` is not looked at.
        image_shape: (rows, columns).
        map_shape: (h, w).
        rule: "area" gives the covered fraction of each cell, "max" gives 1 where any part is covered.

    Returns:
        float32 (h, w) in 0..1.

    Source: supervision by reduced masks, "Detection of MRI breast lesions using deep learning" (JFR 2018
        challenge); the reduction's rule is not published there.
    """
    rows, columns = image_shape
    clipped = [box.clipped(rows, columns) for box in boxes]
    clipped = [box for box in clipped if box.y1 > box.y0 and box.x1 > box.x0]
    if not clipped:
        return np.zeros(map_shape, np.float32)
    # The boxes' edges cut the image into rectangles, each wholly inside or outside the union.
    ys = np.unique([-0.5, rows - 0.5, *(b.y0 for b in clipped), *(b.y1 for b in clipped)])
    xs = np.unique([-0.5, columns - 0.5, *(b.x0 for b in clipped), *(b.x1 for b in clipped)])
    inside = np.zeros((len(ys) - 1, len(xs) - 1))
    for b in clipped:
        inside[
            np.searchsorted(ys, b.y0) : np.searchsorted(ys, b.y1),
            np.searchsorted(xs, b.x0) : np.searchsorted(xs, b.x1),
        ] = 1
    return _reduce(inside, ys, xs, map_shape, rule)


def mask_to_map(
    mask: NDArray[np.generic], map_shape: tuple[int, int], rule: ReduceRule = "area"
) -> NDArray[np.float32]:
    """Reduce a pixel mask (rows, columns), 0..1, to (h, w); pixels that straddle cells count by their
    shares.
    """
    rows, columns = mask.shape
    return _reduce(
        np.asarray(mask, np.float64), np.arange(rows + 1) - 0.5, np.arange(columns + 1) - 0.5, map_shape, rule
    )


def covered_fraction(boxes: Iterable[Box], image_shape: tuple[int, int]) -> float:
    """The share of the image's area inside the union of the boxes: a blind guess's chance to hit one."""
    return float(boxes_to_map(boxes, image_shape, (1, 1))[0, 0])


def _reduce(
    value: NDArray[np.float64],
    ys: NDArray[np.float64],
    xs: NDArray[np.float64],
    map_shape: tuple[int, int],
    rule: ReduceRule,
) -> NDArray[np.float32]:
    """Average a piecewise constant image, given on the rectangles between `ys` and `xs`, over h × w equal
    cells.
    """
    h, w = map_shape
    cells_y = np.linspace(ys[0], ys[-1], h + 1)
    cells_x = np.linspace(xs[0], xs[-1], w + 1)
    over_y, over_x = _overlap(cells_y, ys), _overlap(cells_x, xs)
    area: NDArray[np.float64] = (
        over_y @ value @ over_x.T / ((cells_y[1] - cells_y[0]) * (cells_x[1] - cells_x[0]))
    )
    if rule == "max":
        # Rounding can leave a sliver of 1e-16 where a box ends on a cell's edge; that is no overlap.
        return np.asarray(area > 1e-9, np.float32)
    return np.asarray(np.clip(area, 0, 1), np.float32)


def _overlap(cells: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths that the intervals of `cells` (n + 1 edges) share with those of `edges` (m + 1 edges): (n,
    m).
    """
    low = np.maximum(cells[:-1, None], edges[None, :-1])
    high = np.minimum(cells[1:, None], edges[None, 1:])
    return np.asarray(np.maximum(high - low, 0), np.float64)
