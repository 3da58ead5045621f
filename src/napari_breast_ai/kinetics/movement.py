"""A movement on a coarse grid, and a phase sampled where it leads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core import Progress, silent
from .signals import as_float
from .tiles import row_blocks, spread

F32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
Three = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Movement:
    """Where each voxel of one phase is found in another, less its own place.

    Attributes:
        grid: mm along (slices, rows, columns) at the middle of each cell, (3, slices, rows, columns) of cells; linear
            between the middles, and constant from the outermost cells' edges on.
        cell: voxels of a cell along each axis.
        corner: the voxel that the first cell begins with.
        shape: voxels of the phases.
        spacing: mm of a voxel.
    """

    grid: F32 = field(repr=False)
    cell: Three
    corner: Three
    shape: Three
    spacing: tuple[float, float, float]

    def slices(self, at: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]) -> Callable[[int], F32]:
        """A function that gives the movement in mm of one of the places along the slices: (3, rows, columns).

        Args:
            at: places along slices, rows and columns, in voxels.
        """
        (z, dz), (y, dy), (x, dx) = (self._between(axis, one) for axis, one in enumerate(at))
        grid = np.pad(self.grid, ((0, 0), *((0, int(n == 1)) for n in self.grid.shape[1:])), mode="edge")
        dy = dy[:, None]

        def one(k: int) -> F32:
            plane = grid[:, z[k]] + dz[k] * (grid[:, z[k] + 1] - grid[:, z[k]])
            plane = plane[:, y] + dy * (plane[:, y + 1] - plane[:, y])
            return np.asarray(plane[:, :, x] + dx * (plane[:, :, x + 1] - plane[:, :, x]), np.float32)

        return one

    def _between(self, axis: int, at: NDArray[Any]) -> tuple[NDArray[np.intp], F32]:
        """The cell before each place along an axis, and how far towards the next one it lies, in cells."""
        cells = self.grid.shape[1 + axis]
        place = np.clip((at + 0.5 - self.corner[axis]) / self.cell[axis] - 0.5, -0.5, cells - 0.5)
        low = np.clip(np.floor(place), 0, max(0, cells - 2)).astype(np.intp)
        return low, np.asarray(place - low, np.float32)

    def dense(self) -> F32:
        """The movement of every voxel in mm: (slices, rows, columns, 3)."""
        slices, rows, columns = (np.arange(n) for n in self.shape)
        one = self.slices((slices, rows, columns))
        out = np.empty((*self.shape, 3), np.float32)
        for k in range(self.shape[0]):
            out[k] = np.moveaxis(one(k), 0, -1)
        return out


def blocks(values: NDArray[Any], cell: Three) -> NDArray[Any]:
    """Whole cells of an array as (cells, voxels, cells, voxels, cells, voxels)."""
    n = [size // step for size, step in zip(values.shape, cell, strict=True)]
    part = tuple(slice(0, m * step) for m, step in zip(n, cell, strict=True))
    return values[part].reshape(n[0], cell[0], n[1], cell[1], n[2], cell[2])


def moved(
    phase: NDArray[Any], movement: Movement, where: Bool | None = None, progress: Progress = silent
) -> NDArray[Any]:
    """A phase sampled by a cubic spline where a movement finds its voxels, in the phase's own type.

    Args:
        phase: (slices, rows, columns).
        movement: of its voxels.
        where: cells of the movement that are sampled, the rest stays as it is. None
            for all.
        progress: may raise `Cancelled`.
    """
    values = as_float(phase)

    def first(done: int, total: int, what: str) -> None:
        progress(done, 3 * total, what)

    def then(done: int, total: int, what: str) -> None:
        progress(total + 2 * done, 3 * total, what)

    spline = _spline(values, first)
    out = values.copy()
    slices, rows, columns = (np.arange(n, dtype=np.float32) for n in phase.shape)
    shift = movement.slices((slices, rows, columns))
    most = np.array(phase.shape, np.float32)[:, None] - 1
    mm = np.array(movement.spacing, np.float32)[:, None]
    owner = [_owner(movement, axis) for axis in range(3)]

    def one(k: int) -> None:
        inside = np.ones(phase.shape[1:], bool) if where is None else where[owner[0][k]][np.ix_(*owner[1:])]
        y, x = np.nonzero(inside)
        if y.size:
            at = shift(k)[:, y, x] / mm + np.stack([np.full(y.size, k, np.float32), rows[y], columns[x]])
            # Beyond the images their edge goes on.
            np.clip(at, 0, most, out=at)
            out[k, y, x] = ndimage.map_coordinates(
                spline, at, np.float32, order=3, mode="mirror", prefilter=False
            )

    spread(one, list(range(phase.shape[0])), then, "sampling")
    # A spline swings over at edges: no value may leave the phase's own range.
    np.clip(out, values.min(), values.max(), out=out)
    return np.asarray(np.rint(out) if phase.dtype.kind in "iu" else out).astype(phase.dtype)


def _owner(movement: Movement, axis: int) -> NDArray[np.intp]:
    """The cell of each voxel along an axis; the nearest one where there is none."""
    at = (np.arange(movement.shape[axis]) - movement.corner[axis]) // movement.cell[axis]
    return np.asarray(np.clip(at, 0, movement.grid.shape[1 + axis] - 1), np.intp)


def _spline(values: F32, progress: Progress) -> F32:
    """Coefficients of the cubic spline through a stack; the filter of scipy, on all threads."""
    spline = np.empty_like(values)

    def within(k: int) -> None:
        ndimage.spline_filter(values[k], 3, output=spline[k], mode="mirror")

    def across(rows: slice) -> None:
        # Lines along the last axis: the filter would else fetch each number from another page of memory.
        turned = np.ascontiguousarray(np.moveaxis(spline[:, rows], 0, -1))
        ndimage.spline_filter1d(turned, 3, axis=-1, output=turned, mode="mirror")
        spline[:, rows] = np.moveaxis(turned, -1, 0)

    spread(within, list(range(values.shape[0])), progress, "sampling")
    if values.shape[0] > 1:
        spread(across, row_blocks(values.shape[1], values.shape[2], 8192), silent)
    return spline
