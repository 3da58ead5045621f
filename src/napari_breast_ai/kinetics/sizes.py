"""How large a region is: volume and three diameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from ..core import Geometry
from .areas import Area


@dataclass(frozen=True)
class Size:
    """Of a region. Diameters are measured as RECIST does, between the outer edges of pixels.

    Attributes:
        volume_ml: of the voxels.
        longest_mm: the longest diameter on any slice.
        across_mm: on the same slice, the extent at right angles to it.
        through_mm: the extent through the slices.
        slice: the slice of the longest diameter.
        ends: (row, column) of its two ends, in index coordinates.
    """

    volume_ml: float
    longest_mm: float
    across_mm: float
    through_mm: float
    slice: int
    ends: tuple[tuple[float, float], tuple[float, float]]

    def __str__(self) -> str:
        return (
            f"{self.volume_ml:.2f} ml; {self.longest_mm:.1f} × {self.across_mm:.1f} mm on slice {self.slice}, "
            f"{self.through_mm:.1f} mm through the slices"
        )


def size_of(area: Area, geometry: Geometry) -> Size:
    """Volume and diameters of an area of a stack."""
    dz, dy, dx = geometry.spacing
    z0, y0, x0 = (part.start for part in area.place)
    best: tuple[float, float, int, NDArray[np.float64]] | None = None
    for k, cells in enumerate(area.mask):
        if not cells.any():
            continue
        corners = _corners(cells) * (dy, dx)
        long, across, ends = _diameters(corners)
        if best is None or long > best[0]:
            best = long, across, z0 + k, ends / (dy, dx)
    assert best is not None  # an area holds a voxel
    long, across, z, ends = best
    filled = np.flatnonzero(area.mask.any(axis=(1, 2)))
    a, b = ends + np.array([y0, x0])
    return Size(
        area.voxels * dz * dy * dx / 1000.0,
        long,
        across,
        float(filled[-1] - filled[0] + 1) * dz,
        z,
        ((float(a[0]), float(a[1])), (float(b[0]), float(b[1]))),
    )


def _corners(cells: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Corners of the first and the last pixel of every row: all that can be outermost."""
    rows = np.flatnonzero(cells.any(axis=1))
    first = np.argmax(cells[rows], axis=1)
    last = cells.shape[1] - 1 - np.argmax(cells[rows, ::-1], axis=1)
    points = [(rows + dy, column + dx) for dy in (-0.5, 0.5) for column, dx in ((first, -0.5), (last, 0.5))]
    return np.concatenate([np.stack(one, axis=1) for one in points]).astype(np.float64)


def _diameters(points: NDArray[np.float64]) -> tuple[float, float, NDArray[np.float64]]:
    """Longest distance of points (n, 2), their extent at right angles to it, and its ends (2, 2)."""
    hull = points[ConvexHull(points).vertices]  # the corners of a pixel span an area
    far = np.linalg.norm(hull[:, None] - hull[None], axis=2)
    i, j = np.unravel_index(int(np.argmax(far)), far.shape)
    direction = (hull[j] - hull[i]) / far[i, j]
    side = hull @ np.array([-direction[1], direction[0]])
    return float(far[i, j]), float(np.ptp(side)), hull[[i, j]]
