"""A lesion's region, grown from a box on the enhancement inside and around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core import Box
from .areas import Area, area_of_boxes, area_of_mask
from .errors import KineticsError
from .maps import KineticMaps

Bool = NDArray[np.bool_]
_EVERY = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class Growing:
    """How a region grows.

    Attributes:
        fraction: a voxel belongs to it whose initial enhancement is at least this part of the box's own strong
            enhancement (the 95th percentile of its tissue).
        least: and at least this, in per cent.
        margin_mm: so far beyond the box it may grow, on a slice and through the slices.
        fill: dark parts that it encloses on a slice (necrosis, abscess) belong to it.
        smooth_mm: enhancement is smoothed on the slices over so much (full width at half maximum) before; 0 does not.
    """

    fraction: float = 0.4
    least: float = 50.0
    margin_mm: float = 5.0
    fill: bool = True
    smooth_mm: float = 3.0

    def problems(self) -> list[str]:
        """What is wrong with the settings, in words; empty if nothing is."""
        values = (self.fraction, self.least, self.margin_mm, self.smooth_mm)
        if not all(math.isfinite(value) for value in values):
            return ["The settings of a growing region must be numbers."]
        found = []
        if not 0 < self.fraction <= 1:
            found.append("A region grows down to a part of the strongest enhancement above 0 and at most 1.")
        if self.least < 0:
            found.append("The least enhancement of a region must not be negative.")
        if not 0 <= self.margin_mm <= 100 or not 0 <= self.smooth_mm <= 20:
            found.append("A region grows 0 to 100 mm beyond its box, on an image smoothed over 0 to 20 mm.")
        return found


def grow(
    maps: KineticMaps, boxes: Sequence[Box], growing: Growing | None = None, name: str = ""
) -> tuple[Area, float]:
    """Grow a region from a box, or from the boxes of one lesion.

    Voxels of the boxes and of a margin around them that enhance enough are joined where they touch, at corners too;
    pieces that reach into no box are left out.

    Args:
        maps: of the study.
        boxes: of one lesion.
        growing: the settings.
        name: for people.

    Returns:
        The region, and the enhancement in per cent from which a voxel belongs to it.

    Raises:
        KineticsError: nothing in the boxes enhances enough, or the settings make no sense.
    """
    growing = Growing() if growing is None else growing
    if found := growing.problems():
        raise KineticsError(" ".join(found))
    shape, spacing = maps.geometry.shape, maps.geometry.spacing
    seed = area_of_boxes(boxes, shape, name)
    reach = [int(growing.margin_mm / step) for step in spacing]
    place = tuple(
        slice(max(0, part.start - r), min(n, part.stop + r))
        for part, r, n in zip(seed.place, reach, shape, strict=True)
    )
    where = (place[0], place[1], place[2])
    tissue = maps.tissue(where)
    values = maps.initial[where]
    if growing.smooth_mm:
        sigma = [0.0, *(growing.smooth_mm / step / 2.355 for step in spacing[1:])]
        values = ndimage.gaussian_filter(values, sigma, mode="nearest")
    core = np.zeros(values.shape, bool)
    inside = tuple(slice(s.start - p.start, s.stop - p.start) for s, p in zip(seed.place, where, strict=True))
    core[inside] = seed.mask
    strong = values[core & tissue]
    floor = max(growing.least, growing.fraction * float(np.percentile(strong, 95))) if strong.size else np.inf
    bright = tissue & (values >= floor) & _near(core, spacing, growing.margin_mm)
    pieces, number = ndimage.label(bright, _EVERY)
    touched = np.unique(pieces[core])
    touched = touched[touched > 0]
    if not number or not touched.size:
        raise KineticsError(
            f"Nothing in the box enhances by {growing.least:g} % or more. Lower the least enhancement, or draw the box "
            "around what enhances."
        )
    region = np.isin(pieces, touched)
    if growing.fill:
        for one in region:
            ndimage.binary_fill_holes(one, output=one)
    whole = area_of_mask(region, seed.name, seed.label)
    moved = tuple(slice(w.start + p.start, w.stop + p.start) for w, p in zip(whole.place, where, strict=True))
    return replace(whole, place=(moved[0], moved[1], moved[2])), floor


def _near(core: Bool, spacing: tuple[float, float, float], margin_mm: float) -> Bool:
    """Voxels no further from the boxes than the margin."""
    if margin_mm == 0 or core.all():
        return core
    distance = ndimage.distance_transform_edt(~core, sampling=spacing)
    return np.asarray(distance <= margin_mm)
