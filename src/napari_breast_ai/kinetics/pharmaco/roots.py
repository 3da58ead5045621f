"""Many roots at once: for each voxel the place between two neighbours where a slope passes from below 0 to above it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Slope = Callable[[Array, NDArray[np.intp]], Array]
"""Takes places and the numbers of the voxels that they belong to; gives the slope there."""

_MOST_STEPS = 80
_HALVE_EVERY = 5


def rising_roots(
    slope: Slope, low: Array, high: Array, slope_low: Array, slope_high: Array, tolerance: float
) -> Array:
    """Where slopes pass from below 0 to above it, inside brackets.

    Secant steps, with halving where a step would leave the bracket and every few steps; a voxel leaves the work when
    its step is below the tolerance. Where the slope keeps its sign, the end that it points to comes out.

    Args:
        slope: of the voxels that are still worked on.
        low, high: brackets, one per voxel.
        slope_low, slope_high: the slopes there.
        tolerance: largest last step.
    """
    found = np.where(slope_low >= 0, low, high)
    active = np.flatnonzero(slope_low < 0)
    left, right = low[active], high[active]
    value, other = slope_low[active], slope_high[active]
    place, before = left, right
    for step in range(_MOST_STEPS):
        if active.size == 0:
            break
        with np.errstate(invalid="ignore", divide="ignore"):
            following = place - value * (place - before) / (value - other)
        inside = (following > left) & (following < right)  # not where nothing comes out (NaN)
        if step % _HALVE_EVERY == _HALVE_EVERY - 1:
            inside &= False
        following = np.where(inside, following, (left + right) / 2)
        before, other, place = place, value, following
        value = slope(place, active)
        right = np.where(value > 0, place, right)
        left = np.where(value <= 0, place, left)
        found[active] = place
        going = (np.abs(place - before) > tolerance) & (right - left > tolerance) & (value != 0)
        active, left, right = active[going], left[going], right[going]
        place, before, value, other = place[going], before[going], value[going], other[going]
    return found
