"""The field of view of an ultrasound screen: the part that shows tissue, without device and patient text.

A screen is a field of speckle on an even background, with writing, scales and a grey bar beside it. The field is the
largest solid region that is not background. What is written *inside* it (body side, callipers) stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_CELLS = 256
"""The longer side is looked at in about so many cells; writing fills less than half of a cell, tissue all of it."""
_THIN = 9
"""Cells; what is narrower (letters, rulers, the grey bar) is no field of view."""
_EVEN = 0.02
"""Values that differ from the background by less than this share of the range are background."""
_LEAST_BACKGROUND, _LEAST_FIELD = 0.03, 0.08
"""Shares of the picture: less background means that the picture is cut out already; a smaller field is none."""


@dataclass(frozen=True, eq=False)
class FieldOfView:
    """Where a picture shows tissue.

    Attributes:
        region: (y0, x0, y1, x1), a square of rows y0 to y1 - 1 and columns x0 to x1 - 1. It may reach beyond the
            picture; there it is black.
        inside: bool (rows, columns) of the picture: what belongs to the field. The rest is shown black.
        cut: whether anything was cut away.
    """

    region: tuple[int, int, int, int]
    inside: NDArray[np.bool_]
    cut: bool


def find_field(picture: NDArray[np.generic]) -> FieldOfView:
    """Find the field of view of a screen, and make it square.

    It is made square by black margins, so that nothing is cut off and shapes stay as they are: whether a lesion is
    taller than wide is a sign in itself. A picture without an even background, or without a large solid region on
    it, is taken whole.

    Args:
        picture: grey values (rows, columns); of several pictures of one device, their maximum.
    """
    rows, columns = picture.shape
    solid = _solid(picture)
    if solid is None:
        inside = np.ones((rows, columns), bool)
        return FieldOfView(_square(0, 0, rows, columns), inside, False)
    inside = _hull(solid)
    ys, xs = np.nonzero(inside.any(axis=1))[0], np.nonzero(inside.any(axis=0))[0]
    region = _square(int(ys[0]), int(xs[0]), int(ys[-1]) + 1, int(xs[-1]) + 1)
    return FieldOfView(region, inside, True)


def cut_out(values: NDArray[np.float32], found: FieldOfView, black: float = 0.0) -> NDArray[np.float32]:
    """The square of the field, (..., side, side), of values (..., rows, columns)."""
    y0, x0, y1, x1 = found.region
    rows, columns = values.shape[-2:]
    square = np.full((*values.shape[:-2], y1 - y0, x1 - x0), black, np.float32)
    top, left, bottom, right = max(y0, 0), max(x0, 0), min(y1, rows), min(x1, columns)
    square[..., top - y0 : bottom - y0, left - x0 : right - x0] = np.where(
        found.inside[top:bottom, left:right], values[..., top:bottom, left:right], np.float32(black)
    )
    return square


def _solid(picture: NDArray[np.generic]) -> NDArray[np.bool_] | None:
    """The largest solid region that is not background, bool (rows, columns); None without either."""
    values = np.nan_to_num(picture.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return None
    # 256 steps, so that pictures of any depth have a most frequent value.
    steps = np.minimum((values - low) / (high - low) * 256, 255).astype(np.uint8)
    background = int(np.bincount(steps.ravel(), minlength=256).argmax())
    even = np.abs(steps.astype(np.int16) - background) <= _EVEN * 256
    # Speckle has its most frequent value too, but not side by side.
    if ndimage.binary_erosion(even, np.ones((3, 3))).mean() < _LEAST_BACKGROUND:
        return None
    size = max(1, -(-max(picture.shape) // _CELLS))
    cells = _cells(~even, size) > 0.5
    # Echo-free parts inside the field are as black as the background: cysts, shadows.
    cells = ndimage.binary_closing(np.pad(cells, 3), np.ones((3, 3)), iterations=2)[3:-3, 3:-3]
    cells = ndimage.binary_fill_holes(cells)
    cells = _opened(cells)
    parts, count = ndimage.label(cells)
    if not count:
        return None
    sizes = np.bincount(parts.ravel())[1:]
    if sizes.max() < _LEAST_FIELD * cells.size:
        return None
    largest = parts == int(sizes.argmax()) + 1
    full: NDArray[np.bool_] = np.kron(largest, np.ones((size, size), bool))
    return full[: picture.shape[0], : picture.shape[1]]


def _cells(mask: NDArray[np.bool_], size: int) -> NDArray[np.float64]:
    """Share of each cell of size × size pixels, (rows / size, columns / size) rounded up, that is True."""
    rows, columns = mask.shape
    down, right = -rows % size, -columns % size
    whole = np.pad(mask.astype(np.float64), ((0, down), (0, right)), mode="edge")
    shape = (whole.shape[0] // size, size, whole.shape[1] // size, size)
    found: NDArray[np.float64] = whole.reshape(shape).mean(axis=(1, 3))
    return found


def _opened(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without what is thin. A field that ends at the picture's edge is not thin there."""
    wide = np.pad(cells, _THIN, mode="edge")
    opened = ndimage.binary_opening(wide, np.ones((_THIN, _THIN)))
    found: NDArray[np.bool_] = opened[_THIN:-_THIN, _THIN:-_THIN]
    return found


def _square(y0: int, x0: int, y1: int, x1: int) -> tuple[int, int, int, int]:
    """The smallest square around a rectangle, with the same centre to half a pixel."""
    side = max(y1 - y0, x1 - x0)
    top, left = y0 - (side - (y1 - y0)) // 2, x0 - (side - (x1 - x0)) // 2
    return top, left, top + side, left + side


def _hull(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The convex hull of a mask, bool (rows, columns): beside a fan there is writing inside its rectangle."""
    ys = np.nonzero(mask.any(axis=1))[0]
    first = mask[ys].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[ys, ::-1].argmax(axis=1)
    left, right = _envelope(ys, first, 1.0), _envelope(ys, last, -1.0)
    every = np.arange(ys[0], ys[-1] + 1)
    low = np.interp(every, *left)[:, None]
    high = np.interp(every, *right)[:, None]
    columns = np.arange(mask.shape[1])[None, :]
    hull = np.zeros_like(mask)
    hull[every] = (columns >= np.floor(low)) & (columns <= np.ceil(high))
    return hull


def _envelope(
    ys: NDArray[np.intp], xs: NDArray[np.intp], sign: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners (ys, xs) of the lowest convex line below the points (sign 1), or highest above them (-1).

    Source: A. M. Andrew, Another efficient algorithm for convex hulls in two dimensions, 1979.
    """
    corners: list[tuple[float, float]] = []
    for y, x in zip(ys.astype(float), xs.astype(float) * sign, strict=True):
        while len(corners) > 1:
            (y0, x0), (y1, x1) = corners[-2:]
            if (y1 - y0) * (x - x0) > (x1 - x0) * (y - y0):
                break
            corners.pop()
        corners.append((y, x))
    found = np.array(corners)
    return found[:, 0], found[:, 1] * sign
