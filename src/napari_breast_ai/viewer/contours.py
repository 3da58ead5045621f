"""Lines of equal height on heat maps, drawn of the slice that is looked at and of no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from cmap import Colormap as CatalogColormap
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

from .heat_colors import COLORS, DIFFERENCE

FINE = 640
"""About so many steps along the longer side of a map: a line is about as thin as the screen's pixels."""


class Contours:
    """Heat maps (slices, h, w) as lines where their interpolated heights are those of some levels.

    An array of uint8, (slices, h k, w l), that costs no memory: a slice is computed when it is asked for. 0 is no
    line; a line holds its level as `code` has it, in the colours of `contour_colormap`.

    Attributes:
        maps, levels: as given.
        fine: k and l, the steps in a cell down and across.
    """

    def __init__(
        self,
        maps: NDArray[np.float32],
        top: float,
        levels: Sequence[float],
        cell: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        """`top`: the number that the levels, parts of 1, are measured by; levels may be negative. `cell`: how large
        one is, (down, across) in whatever unit: a line is as thin either way."""
        self.maps, self.levels = maps, tuple(levels)
        self._top = top
        self._levels = np.array(sorted(levels), np.float32) * np.float32(top)
        self._codes = np.array([0, *(code(level) for level in sorted(levels))], np.uint8)
        count, h, w = maps.shape
        step = max(h * cell[0], w * cell[1]) / FINE
        self.fine = max(1, round(cell[0] / step)), max(1, round(cell[1] / step))
        self._down, self._across = (_linear(size, fine) for size, fine in zip((h, w), self.fine, strict=True))
        self.shape: tuple[int, ...] = (count, h * self.fine[0], w * self.fine[1])
        self.ndim = 3
        self.dtype = np.dtype(np.uint8)

    def of(self, maps: NDArray[np.float32], cell: tuple[float, float]) -> Contours:
        """The same lines on other maps of the same numbers, (slices, h, w)."""
        return Contours(maps, self._top, self.levels, cell)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        key = key if isinstance(key, tuple) else (key,)
        first, rest = key[0], key[1:]
        if isinstance(first, int | np.integer):
            made = self._draw(int(first))
            return np.asarray(made[rest] if rest else made)
        stack = np.stack([self._draw(int(z)) for z in np.arange(len(self))[first]])
        return np.asarray(stack[(slice(None), *rest)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def _draw(self, z: int) -> NDArray[np.uint8]:
        low = self.maps[z]
        lines = np.zeros(self.shape[1:], np.uint8)
        if not low.any():
            return lines
        heights = self._down @ low @ self._across.T
        # How many levels lie below each point; where that changes, there is a line.
        place = np.zeros(heights.shape, np.uint8)
        for level in self._levels:
            place += heights >= level
        # Of several levels between two neighbours the one furthest from 0 is drawn: on the negative side the lower.
        below = int((self._levels < 0).sum())
        for one, other, here, there in (
            (place[:-1], place[1:], lines[:-1], lines[1:]),
            (place[:, :-1], place[:, 1:], lines[:, :-1], lines[:, 1:]),
        ):
            rows, columns = np.nonzero(one != other)
            low_side, high_side = (
                np.minimum(one[rows, columns], other[rows, columns]),
                np.maximum(one[rows, columns], other[rows, columns]),
            )
            # Crossing from n to m levels passes levels n + 1 … m, counted from 1.
            crossed = np.where(high_side <= below, low_side + 1, high_side)
            here[rows, columns] = there[rows, columns] = self._codes[crossed]
        return lines


def code(level: float) -> int:
    """A level from -1 to 1 as a number from 1 to 255."""
    return round(128 + 127 * level)


def contour_colormap(name: str, difference: bool = False) -> Colormap:
    """The colours of the map whose lines they are, for 0 to 255 as `code` gives them; clear at 0."""
    steps = (np.arange(256) - 128) / 127
    if difference:
        colors = np.array(CatalogColormap(DIFFERENCE)(0.5 - 0.5 * np.clip(steps, -1, 1)), np.float32)
    else:
        colors = np.array(CatalogColormap(COLORS[name])(0.25 + 0.75 * np.clip(steps, 0, 1)), np.float32)
    colors[:, 3] = 1
    colors[0] = 0
    # Each number has a colour of its own: between two of them nothing is mixed.
    edges = np.array([0.0, *((np.arange(255) + 0.5) / 255), 1.0])
    return Colormap(colors, controls=edges, interpolation="zero", name=f"breast-ai {name} lines")


def _linear(size: int, fine: int) -> NDArray[np.float32]:
    """Matrix (size · fine, size) of linear interpolation, align_corners=False; constant beyond the outer centres."""
    at = np.clip((np.arange(size * fine) + 0.5) / fine - 0.5, 0, size - 1)
    left = np.minimum(at.astype(np.intp), max(size - 2, 0))
    part = (at - left).astype(np.float32)
    matrix = np.zeros((size * fine, size), np.float32)
    rows = np.arange(size * fine)
    matrix[rows, left] += 1 - part
    if size > 1:
        matrix[rows, left + 1] += part
    return matrix
