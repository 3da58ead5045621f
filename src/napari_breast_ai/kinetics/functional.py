"""Functional tumour volume: how much of a region enhances as a tumour does.

Source: Hylton et al., Radiology 2012;263:663-672, and Newitt et al., J Magn Reson Imaging 2014: a background mask on
the signal before contrast, a threshold of initial enhancement, SER of any positive value, and a least number of
neighbours that count too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .areas import Area
from .classes import ser
from .errors import KineticsError
from .maps import KineticMaps
from .signals import as_float

Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class FunctionalRule:
    """What a voxel must do to count.

    Attributes:
        background: its signal before contrast is at least this part of the region's percentile.
        percentile: of the region's signal before contrast.
        initial: its initial enhancement is at least this, in per cent.
        ser: its signal enhancement ratio is at least this. Below 0 nothing is defined.
        neighbours: so many of its 26 neighbours (8 in a single slice) count as well.
    """

    background: float = 0.6
    percentile: float = 95.0
    initial: float = 70.0
    ser: float = 0.0
    neighbours: int = 4

    def problems(self) -> list[str]:
        """What is wrong with the rule, in words; empty if nothing is."""
        found = []
        if not all(math.isfinite(one) for one in (self.background, self.percentile, self.initial, self.ser)):
            return ["The rule of the functional volume must be made of numbers."]
        if not 0 <= self.background <= 1 or not 0 < self.percentile <= 100:
            found.append("The background mask needs a part from 0 to 1 of a percentile from 0 to 100.")
        if self.initial <= 0:
            found.append("The functional volume needs an initial enhancement above 0 %.")
        if self.ser < 0:
            found.append("The functional volume needs a SER of 0 or more.")
        if not 0 <= self.neighbours <= 26:
            found.append("A voxel has 0 to 26 neighbours.")
        return found


def functional_mask(maps: KineticMaps, area: Area, rule: FunctionalRule | None = None) -> Bool:
    """The voxels of an area that count to the functional tumour volume, of the shape of `area.mask`.

    Neighbours are counted among those voxels of the area that meet all other conditions; voxels beyond the area
    and beyond the study do not count.

    Raises:
        KineticsError: the rule makes no sense, or there is no late phase.
    """
    rule = FunctionalRule() if rule is None else rule
    if found := rule.problems():
        raise KineticsError(" ".join(found))
    late = maps.need_late("The functional tumour volume")
    data, place = maps.volume.data, area.place
    s0, s1, sd = (as_float(data[p][place]) for p in (maps.choice.pre, maps.choice.early, late))
    tissue = maps.tissue(place)
    least = rule.background * float(np.percentile(s0[area.mask], rule.percentile))
    # The ratio is 0 where it is undefined; where the late signal is above S0 it is defined.
    ratio = ser(s0, s1, sd, tissue)
    counts = area.mask & tissue & (s0 >= least) & (sd > s0) & (ratio >= np.float32(rule.ser))
    counts &= maps.initial[place] >= rule.initial
    if rule.neighbours:
        counts &= neighbours(counts) >= rule.neighbours
    return np.asarray(counts)


def neighbours(mask: Bool) -> NDArray[np.uint8]:
    """How many of the 26 neighbours of each voxel are set; what lies beyond the edge is not."""
    padded = np.pad(mask, 1).astype(np.uint8)
    total = padded
    for axis in range(3):  # a box of 3 × 3 × 3 is three sums along the axes
        n = total.shape[axis] - 2
        total = sum(total.take(range(k, k + n), axis) for k in range(3))  # type: ignore[assignment]
    return np.asarray(total - mask, np.uint8)


def volume_ml(mask: Bool, spacing: tuple[float, float, float]) -> float:
    """Millilitres of the voxels of a mask, for distances in mm between voxel centres."""
    return float(np.count_nonzero(mask)) * float(np.prod(spacing)) / 1000.0
