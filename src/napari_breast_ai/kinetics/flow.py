"""An elastic movement between two images, by least squares in a window.

In every window the movement is the one that makes the images most alike (Lucas and Kanade, IJCAI 1981:674-679). Three
things fit it to contrast-enhanced phases: the images are freed of their local mean and scale before; voxels that differ
by much, as where contrast arrives, count little (Cauchy weights); and the slopes are of the mean of both images, so
that neither leads. Products of slopes are summed up on a coarse grid, where windows cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .movement import Movement, Three, blocks
from .tiles import spread

F32 = NDArray[np.float32]

ROBUST = 0.5
"""A difference of freed signals that counts half."""

FLAT = 0.01
"""Of the mean slope: where there is less of it, the window tells little and the movement stays what it is around."""

STILL = 0.02
"""mm; iterations end when the movement changes by less on average."""


def freed(values: F32, spacing: tuple[float, float, float], window_mm: float) -> F32:
    """Signals less their local mean, over their local standard deviation and a part of the noise's size.

    Args:
        values: (slices, rows, columns).
        spacing: mm.
        window_mm: standard deviation of the window; along the slices at most 1.5 slices.
    """
    sigma = [min(window_mm / spacing[0], 1.5), *(window_mm / step for step in spacing[1:])]
    mean = ndimage.gaussian_filter(values, sigma, truncate=2)
    square = ndimage.gaussian_filter(values * values, sigma, truncate=2)
    square -= mean * mean
    least = np.float32(0.02 * np.percentile(values[:, ::4, ::4], 99) + 1e-6)
    return np.asarray((values - mean) / np.sqrt(np.maximum(square, 0) + least * least), np.float32)


def elastic(
    fixed: F32,
    moving: F32,
    step: Three,
    base: Movement,
    start: F32,
    iterations: int,
    smooth_mm: float,
    told: Callable[[], None],
) -> F32:
    """Improve an elastic movement.

    Args:
        fixed, moving: freed images at the level's size, (slices, rows, columns).
        step: voxels of the study to one of the level; the cells of `base` are multiples of it.
        base: a movement that is kept, such as a rigid one.
        start: an elastic movement on the cells of `base`, mm, added to it; (3, slices, rows, columns).
        iterations: at most.
        smooth_mm: standard deviation of the window.
        told: called between steps of the work; what it raises ends it.

    Returns:
        The better elastic movement, as `start`.
    """
    found = start
    spacing = tuple(mm * k for mm, k in zip(base.spacing, step, strict=True))
    cell: Three = (base.cell[0] // step[0], base.cell[1] // step[1], base.cell[2] // step[2])
    cells = base.grid.shape[1:]
    sigma = [smooth_mm / (mm * k) for mm, k in zip(base.spacing, base.cell, strict=True)]
    z, y, x = (
        base.corner[axis] + (np.arange(n) + 0.5) * step[axis] - 0.5 for axis, n in enumerate(fixed.shape)
    )
    mm = np.array(spacing, np.float32).reshape(3, 1, 1)
    rows, columns = (np.arange(n, dtype=np.float32) for n in fixed.shape[1:])
    warped = np.empty_like(fixed)
    sums = np.empty((9, *cells), np.float32)

    def progress(done: int, total: int, what: str) -> None:
        told()

    def warp(k: int) -> None:
        at = shift(k) / mm
        at[0] += k
        at[1] += rows[:, None]
        at[2] += columns
        ndimage.map_coordinates(moving, at, warped[k], order=1, mode="nearest")

    def sum_up(g: int) -> None:
        first, last = g * cell[0], (g + 1) * cell[0]
        low, high = max(0, first - 1), min(fixed.shape[0], last + 1)
        here, there = fixed[low:high], warped[low:high]
        gradients: Any = np.gradient((here + there) / 2, *spacing)
        slopes = [one[first - low : last - low] for one in gradients]
        off = (here - there)[first - low : last - low]
        weight = 1 / (1 + (off / np.float32(ROBUST)) ** 2)
        number = 0
        for i in range(3):
            weighted = weight * slopes[i]
            for other in (*slopes[i:], off):
                sums[number, g] = blocks(weighted * other, cell)[0].sum((0, 2, 4))
                number += 1

    for _ in range(iterations):
        shift = replace(base, grid=base.grid + found).slices((z, y, x))
        spread(warp, list(range(fixed.shape[0])), progress, "")
        spread(sum_up, list(range(cells[0])), progress, "")
        change = _solved(sums, found, sigma, spacing)
        found = found + change
        for axis in range(3):
            found[axis] = ndimage.gaussian_filter(found[axis], [s / 2 for s in sigma], mode="nearest")
        told()
        if np.abs(change).mean() < STILL:
            break
    return found


def _solved(sums: F32, found: F32, sigma: list[float], spacing: tuple[float, ...]) -> F32:
    """What each window's movement changes by, from the sums of its cells: (3, slices, rows, columns)."""
    windows = np.stack(
        [ndimage.gaussian_filter(one, sigma, truncate=2.5, mode="nearest") for one in sums], -1
    )
    zz, zy, zx, z, yy, yx, y, xx, x = np.moveaxis(windows, -1, 0).astype(np.float64)
    square = np.stack([zz, zy, zx, zy, yy, yx, zx, yx, xx], -1).reshape(*zz.shape, 3, 3)
    flat = FLAT * float((zz + yy + xx).mean()) + 1e-12
    # Across slices that are thicker than the pixels are wide, slopes tell little: such movement has to be worth it.
    held = flat * ((np.array(spacing) / min(spacing)) ** 4 - 1)
    square += np.diag(flat + held)
    wanted = np.stack([z, y, x], -1) - held * np.moveaxis(found, 0, -1)
    return np.moveaxis(np.linalg.solve(square, wanted[..., None])[..., 0], -1, 0).astype(np.float32)
