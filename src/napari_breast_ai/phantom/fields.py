"""Smooth noise, coordinates and soft edges: what the anatomy is drawn with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

F32 = NDArray[np.float32]
Floats = NDArray[np.floating[Any]]
Rng = np.random.Generator

_CELLS = 96
_CELLS_PER_FEATURE = 5.0


def stream(seed: int, *names: str) -> Rng:
    """A generator of its own for one part of the phantom, so that a draw more there leaves others alone."""
    words = [seed, *(int.from_bytes(name.encode(), "little") for name in names)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def f32(values: Any) -> F32:
    """The values as a float32 array."""
    return np.asarray(values, dtype=np.float32)


class Texture:
    """Periodic smooth noise of mean 0 and standard deviation 1, read at any point and any scale."""

    def __init__(self, rng: Rng) -> None:
        noise = rng.standard_normal((_CELLS, _CELLS, _CELLS)).astype(np.float32)
        noise = ndimage.gaussian_filter(noise, 1.5, mode="wrap", truncate=3.0)
        self._noise: F32 = ((noise - noise.mean()) / noise.std()).astype(np.float32)

    def at(self, rng: Rng, scale: float | tuple[float, float, float], *coordinates: Floats) -> F32:
        """The noise at n points.

        Args:
            rng: places the texture, so that two readings are independent.
            scale: size of a feature, in the units of the coordinates, one for all or one each.
            coordinates: three arrays of n.
        """
        scales = scale if isinstance(scale, tuple) else (scale, scale, scale)
        offset = rng.uniform(0, _CELLS, 3)
        points = np.empty((3, coordinates[0].size), dtype=np.float32)
        for row, (c, s, o) in enumerate(zip(coordinates, scales, offset, strict=True)):
            np.multiply(c, np.float32(_CELLS_PER_FEATURE / s), out=points[row])
            points[row] += np.float32(o)
        values: F32 = ndimage.map_coordinates(
            self._noise, points, order=1, mode="grid-wrap", prefilter=False, output=np.float32
        )
        return values


def spline_weights(positions_mm: NDArray[np.float64], knot_mm: float, n_knots: int) -> F32:
    """Cubic B-spline weights (positions, knots) for knots `knot_mm` apart, centred on 0."""
    at = positions_mm[:, None] / knot_mm + (n_knots - 1) / 2
    d = np.abs(at - np.arange(n_knots))
    weights = np.where(d < 1, 2 / 3 - d * d + d**3 / 2, np.where(d < 2, (2 - d) ** 3 / 6, 0.0))
    return weights.astype(np.float32)


def smooth_field(
    rng: Rng, axes: tuple[NDArray[np.float64], ...], knot_mm: float, reach_mm: float = 300.0
) -> F32:
    """Noise of mean 0 and deviation near 1 on the grid of `axes` (z, y, x in mm), knots `knot_mm` apart."""
    n = int(np.ceil(2 * reach_mm / knot_mm)) + 4
    knots = rng.standard_normal((n, n, n)).astype(np.float32)
    z, y, x = (spline_weights(axis, knot_mm, n) for axis in axes)
    field = np.tensordot(z, np.tensordot(y, np.tensordot(x, knots, (1, 2)), (1, 2)), (1, 2))
    # A cubic B-spline of unit noise has variance (0.479)^3 on average.
    return np.asarray(field / np.float32(0.479**1.5), dtype=np.float32)


def smoothstep(value: Floats, low: float, high: float) -> F32:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return f32(t * t * (3 - 2 * t))


def bump(value: Floats, width: float) -> F32:
    """exp(-(value / width)²)."""
    t = value / np.float32(width)
    return f32(np.exp(-t * t))


def edge(inside_mm: Floats, width_mm: float) -> F32:
    """How much of a voxel of `width_mm` lies inside a surface `inside_mm` away (positive inside): 0 to 1."""
    return f32(np.clip(inside_mm / np.float32(width_mm) + np.float32(0.5), 0, 1))


def smooth_max(a: F32, b: F32, blend: float) -> F32:
    """The larger of both, rounded where they meet, over `blend`."""
    h = np.maximum(np.float32(blend) - np.abs(a - b), 0) / np.float32(blend)
    return f32(np.maximum(a, b) + h * h * np.float32(blend / 4))


def nearest_tube(
    points: F32, centres: F32, radii: F32, reach: float
) -> tuple[NDArray[np.intp], F32, NDArray[np.intp]]:
    """The points (n, 3) within `reach` of a tube: dense samples of its centre line (m, 3) and its radii (m).

    Returns:
        Indices of these points, their depth inside the tube (negative outside), the sample nearest to each.
    """
    if not len(centres):
        empty = np.empty(0, dtype=np.intp)
        return empty, np.empty(0, dtype=np.float32), empty
    low = centres.min(0) - reach
    high = centres.max(0) + reach
    near = np.flatnonzero(((points >= low) & (points <= high)).all(1))
    distance, which = cKDTree(centres).query(points[near], distance_upper_bound=reach)
    hit = np.isfinite(distance)
    which = which[hit]
    return near[hit], (radii[which] - distance[hit]).astype(np.float32), which
