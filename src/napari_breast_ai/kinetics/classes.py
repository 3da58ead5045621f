"""Kinetic classes and signal enhancement ratio: what a voxel's three signals are called.

The boundaries are those of the definitions in use for breast DCE-MRI: initial enhancement below 50 % is slow, up to
100 % medium, above fast; a delayed course above +10 % is persistent, within ±10 % plateau, below -10 % washout
(Kuhl et al., Radiology 1999;211:101-110; ACR BI-RADS MRI 2013). SER: Hylton et al., Radiology 2012;263:663-672.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import KineticsError
from .signals import as_float

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

SPEEDS = ("slow", "medium", "fast")
COURSES = ("persistent", "plateau", "washout")
"""From the least to the most suspicious."""

CLASS_NAMES = (
    "not shown",
    *(f"{course}, {speed}" for course in COURSES for speed in SPEEDS),
    *(f"{speed}, no delayed phase" for speed in SPEEDS),
)
"""The name of each code: 0 is not coloured, 1 to 9 are course and speed, 10 to 12 are speeds without a delayed phase."""

CLASS_COLORS = (
    "#00000000",
    "#2a5d8f", "#3f83c4", "#56b4e9",
    "#8f8524", "#c4b531", "#f0e442",
    "#8a3a08", "#c2500a", "#ff5a1f",
    "#666666", "#999999", "#dddddd",
)  # fmt: skip
"""A colour for each code: persistent blue, plateau yellow, washout red, the brighter the faster; 0 is transparent."""

SER_EDGES = (0.0, 0.9, 1.0, 1.3, 1.75, 3.0)
"""Bins (0, 0.9], (0.9, 1], (1, 1.3], (1.3, 1.75], (1.75, 3]; codes 1 to 5."""

MOST_RATIO = np.float32(1e6)
"""Ratios are cut off here."""

SER_NAMES = ("none", *(f"{low:g} to {high:g}" for low, high in pairwise(SER_EDGES)))

SER_COLORS = ("#00000000", "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00")


@dataclass(frozen=True)
class Thresholds:
    """Where the classes end, in per cent.

    Attributes:
        shown: a voxel is coloured from this initial enhancement on.
        medium: initial enhancement below it is slow.
        fast: initial enhancement above it is fast.
        course: a delayed course above it is persistent, below its negative washout, between them plateau.
    """

    shown: float = 50.0
    medium: float = 50.0
    fast: float = 100.0
    course: float = 10.0

    def problems(self) -> list[str]:
        """What is wrong with the thresholds, in words; empty if nothing is."""
        if not all(math.isfinite(value) for value in (self.shown, self.medium, self.fast, self.course)):
            return ["The thresholds must be numbers."]
        found = []
        if self.shown <= 0:
            found.append("Voxels can be shown from an initial enhancement above 0 % only.")
        if not 0 < self.medium <= self.fast:
            found.append("The threshold of medium must be above 0 % and not above that of fast.")
        if self.course < 0:
            found.append("The threshold of the delayed course must not be negative.")
        return found

    def checked(self) -> Thresholds:
        """The same thresholds.

        Raises:
            KineticsError: they make no sense.
        """
        if found := self.problems():
            raise KineticsError(" ".join(found))
        return self


def classify(initial: F32, delayed: F32 | None, thresholds: Thresholds, every: bool = False) -> U8:
    """The code of every voxel (see `CLASS_NAMES`).

    Args:
        initial: per cent, of any shape.
        delayed: per cent, of the same shape; None without a delayed phase.
        thresholds: that make sense.
        every: give every voxel its class, those below `thresholds.shown` too.

    Returns:
        uint8 of that shape.
    """
    t = thresholds
    # Sums of truth values: no branch, and no array larger than a byte a voxel.
    code: U8 = (initial >= t.medium).view(np.uint8) + (initial > t.fast).view(np.uint8)
    if delayed is None:
        code += np.uint8(10)
    else:
        course = (delayed <= t.course).view(np.uint8) + (delayed < -t.course).view(np.uint8)
        course *= np.uint8(3)
        code += course
        code += np.uint8(1)
    if not every:
        code *= (initial >= t.shown).view(np.uint8)
    return code


def ser(
    before: NDArray[Any], early: NDArray[Any], late: NDArray[Any], inside: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Signal enhancement ratio (S1 - S0) / (Sd - S0); 0 where Sd does not exceed S0, and outside.

    A late signal at or below that before contrast has no ratio that could be compared with others.

    Args:
        before, early, late: S0, S1, Sd of any shape.
        inside: tissue, of that shape.
    """
    s0 = as_float(before)
    above, below = as_float(early), as_float(late)
    above -= s0
    below -= s0
    out: NDArray[np.float32] = np.zeros(s0.shape, np.float32)
    with np.errstate(over="ignore"):
        np.divide(above, below, out=out, where=inside & (below > 0))
    return np.clip(out, -MOST_RATIO, MOST_RATIO, out=out)


def ser_bins(ratio: NDArray[np.float32], initial: F32, shown: float) -> U8:
    """The bin of each ratio, 1 to 5, 0 outside them all and where the initial enhancement is below `shown` per cent."""
    code = np.zeros(ratio.shape, np.uint8)
    for edge in SER_EDGES[:-1]:
        code += (ratio > np.float32(edge)).view(np.uint8)
    code *= (ratio <= np.float32(SER_EDGES[-1])).view(np.uint8)
    code *= (initial >= shown).view(np.uint8)
    return code
