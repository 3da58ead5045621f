"""Where the breasts begin and end: the skin in front, the chest wall behind, on images turned to the patient's axes.

The skin is where the signal rises above that of the air in front of the breasts. The chest wall is found from behind:
the lungs are the large dark parts behind the breastbone, and the muscles' front is the cheapest smooth line between
them and the skin along which the signal steps from fat to muscle. Fixed lengths are those of adults.

Source of the chest wall as a cheapest path: Rosado-Toro et al., Acad Radiol 2015;22:139-148.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from ..core import Geometry, Progress, silent
from .errors import KineticsError

F32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

STEEP = 0.8
"""What it costs the chest wall to go a mm further back over a mm across, in steps of signal of the usual strength."""

STEP_MM = 2.5
"""The surfaces are looked for on pixels of about this size."""

AIR_PART = 0.1
"""Of the 99th percentile of the signal: what is darker in front of the breasts is air."""

SKIN_PART = 0.5
"""The skin's surface is where the signal reaches this part of its highest value within `SKIN_MM` behind the air."""

SKIN_MM = 6.0
GAP_MM = 15.0
"""Gaps in the skin's signal narrower than this are closed."""

WALL_MM = (8.0, 45.0)
"""The muscles' front lies so far in front of the lungs: ribs and muscles together."""

BEFORE_MM = 5.0
"""Nor does the muscles' front lie further than this in front of the skin over the breastbone."""

LUNG_BEHIND_MM = 8.0
"""Lungs are looked for from so far behind the skin over the breastbone on."""

LUNG_DEEP_MM = 20.0
"""No lung comes closer to the skin: fat that is suppressed is as dark, and lies there."""

LUNG_DARK = 0.12
"""Of the 99th percentile of the signal: lungs are darker."""

LUNG_RADIUS_MM = 8.0
"""What is dark over less than this is no lung."""


@dataclass(frozen=True)
class Turned:
    """Arrays (slices, rows, columns) seen along the patient's axes: (feet to head, front to back, right to left).

    Attributes:
        axes: the array's axis for each of these three.
        flips: which of them runs the other way.
        spacing: mm along these three.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, geometry: Geometry) -> Turned:
        """The nearest axes of a stack, oblique or not."""
        directions = geometry.affine[:3, :3] / np.linalg.norm(geometry.affine[:3, :3], axis=0)
        wanted = directions[[2, 1, 0]]  # head, back, left are positive
        _, axes = linear_sum_assignment(-np.abs(wanted))
        flips = [bool(wanted[i, axis] < 0) for i, axis in enumerate(axes)]
        spacing = [geometry.spacing[axis] for axis in axes]
        a, b, c = (int(axis) for axis in axes)
        return cls((a, b, c), (flips[0], flips[1], flips[2]), (spacing[0], spacing[1], spacing[2]))

    @property
    def _flipped(self) -> tuple[int, ...]:
        return tuple(i for i, flip in enumerate(self.flips) if flip)

    def turn(self, values: NDArray[Any]) -> NDArray[Any]:
        """A view along the patient's axes."""
        return np.asarray(np.flip(values.transpose(self.axes), self._flipped))

    def back(self, values: NDArray[Any]) -> NDArray[Any]:
        """A turned array as the stack has it, contiguous."""
        straight = np.flip(values, self._flipped)
        return np.ascontiguousarray(straight.transpose(np.argsort(self.axes)))


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Of a turned image, coarse: skin and chest wall as mm from the front row's front edge.

    Attributes:
        skin: float32 (z, x), the first tissue from the front; NaN where there is none.
        wall: float32 (z, x), the front of the muscles.
        step: pixels of the image in a coarse one, of (z, y, x).
        air: the signal below which there is air.
        bone_mm: how far back the skin over the breastbone lies.
        middle: the coarse column between the breasts; None where the images show one breast.
        suppressed: whether fat is darker than gland and muscle.
    """

    skin: F32
    wall: F32
    step: tuple[int, int, int]
    air: float
    bone_mm: float
    middle: int | None
    suppressed: bool


LUNG_MM2 = 600.0
"""On an average slice; what is smaller is no lung."""


NARROW_MM = 60.0
"""Images that reach less far across are looked at from the side."""


def sideways(values: NDArray[Any], width_mm: float) -> NDArray[Any]:
    """An array (z, y, x) with its widest plane last: as it is, or (x, y, z) where it is narrow."""
    return values if width_mm >= NARROW_MM else values.swapaxes(0, 2)


@dataclass(frozen=True, eq=False)
class Outline:
    """Where the body begins, on a coarse image.

    Attributes:
        small: float32 (z, y, x), smoothed.
        step, mm: pixels of the image in a coarse one, and its size, of (z, y, x).
        air: the signal below which there is air.
        skin: float32 (z, x), mm from the front row's front edge; NaN where there is no body.
        middle: the coarse column between the breasts; None where the images show one breast.
        bone_mm: how far back the skin over the breastbone lies.
        deep_mm: distance of each coarse pixel from the skin; 0 outside.
    """

    small: F32
    step: tuple[int, int, int]
    mm: tuple[float, ...]
    air: float
    skin: F32
    middle: int | None
    bone_mm: float
    deep_mm: NDArray[np.float64]

    @property
    def width_mm(self) -> float:
        """Across."""
        return float(self.small.shape[2] * self.mm[2])

    @property
    def depth_mm(self) -> NDArray[np.float64]:
        """How far back each row lies, (1, rows, 1)."""
        return np.asarray((np.arange(self.small.shape[1]) * self.mm[1])[None, :, None])

    @property
    def breast(self) -> Bool:
        """What of the body lies in front of the breastbone."""
        return np.asarray((self.deep_mm > 0) & (self.depth_mm < self.bone_mm))


def find_outline(image: F32, spacing: tuple[float, float, float]) -> Outline:
    """The body of a turned image (z, y, x), not negative; `spacing` in mm of (z, y, x).

    Raises:
        KineticsError: there is no air in front of the breasts, or no body.
    """
    a, b, c = (min(n, max(1, round(STEP_MM / mm))) for n, mm in zip(image.shape, spacing, strict=True))
    step = a, b, c
    small = shrunk(image, step)
    mm = tuple(n * s for n, s in zip(step, spacing, strict=True))
    small = ndimage.gaussian_filter(small, [0.3 * STEP_MM / one for one in mm])
    air = _air(small)
    width = small.shape[2] * mm[2]
    body = sideways(_largest(sideways(small > air, width)), width)
    if body.mean() < 0.02:
        raise KineticsError(
            "No body stands out from the air in these images, so that no breast can be outlined."
        )
    first = np.argmax(_risen(small, body, mm[1]), axis=1)
    there = body.any(axis=1)
    # Thin skin over dark fat has gaps, through which the outline falls in.
    gap = [max(1, round(GAP_MM / one)) for one in (mm[0], mm[2])]
    first = ndimage.grey_opening(np.where(there, first, small.shape[1]), gap)
    skin = np.where(there, first * mm[1], np.nan).astype(np.float32)
    middle = _middle(skin, mm)
    depth = (np.arange(small.shape[1]) * mm[1])[None, :, None]
    inside = depth >= np.nan_to_num(skin, nan=1e9)[:, None, :]
    beside = int(width >= NARROW_MM)
    padded = np.pad(inside, ((0, 0), (1, 0), (beside, beside)))
    deep_mm = ndimage.distance_transform_edt(padded, mm)[:, 1:, beside : beside + small.shape[2]]
    return Outline(small, step, mm, air, skin, middle, _bone(skin, middle), deep_mm)


def find_surfaces(
    image: F32,
    spacing: tuple[float, float, float],
    suppressed: bool | None = None,
    progress: Progress = silent,
) -> Surfaces:
    """Skin and chest wall of a turned image (z, y, x).

    Args:
        image: before contrast, not negative.
        spacing: mm of (z, y, x).
        suppressed: whether fat is dark; None looks at the image.
        progress: called for every slice of the chest wall; may raise `Cancelled`.

    Raises:
        KineticsError: there is no air in front of the breasts, no body, or no lungs behind them.
    """
    outline = find_outline(image, spacing)
    small, mm, step, width = outline.small, outline.mm, outline.step, outline.width_mm
    skin, middle, bone_mm, deep_mm = outline.skin, outline.middle, outline.bone_mm, outline.deep_mm
    depth, air = outline.depth_mm, outline.air
    dark = small < max(air, LUNG_DARK * float(np.percentile(small, 99)))
    dark &= (deep_mm > LUNG_DEEP_MM) & (depth > bone_mm + LUNG_BEHIND_MM)
    plane = mm[1:] if width >= NARROW_MM else mm[1::-1]
    lungs = sideways(_lungs(sideways(dark, width), plane), width)
    columns = lungs.any(axis=1)
    if columns.mean() < 0.05:
        raise KineticsError(
            "No lungs are seen behind the breasts, so that the chest wall cannot be found. Breast density needs axial "
            "or sagittal images that reach behind the chest wall; or give masks of a network (--segmentation)."
        )
    front = _cage(np.where(columns, np.argmax(lungs, axis=1) * mm[1], np.nan), mm)
    if suppressed is None:
        suppressed = fat_suppressed(small, deep_mm, depth < bone_mm)
    wall = _wall(small, skin, front, mm, bone_mm, suppressed, progress)
    return Surfaces(skin, wall, step, air, bone_mm, middle, suppressed)


def fat_suppressed(small: F32, deep_mm: NDArray[np.float64], breast: Bool) -> bool:
    """Whether fat is darker than gland: under the skin lies fat, and what differs from it further inside is gland.

    Args:
        small: the image (z, y, x).
        deep_mm: distance from the skin.
        breast: what lies in front of the breastbone.
    """
    shell = small[breast & (deep_mm >= 4) & (deep_mm <= 9)]
    inner = small[breast & (deep_mm >= 12) & (deep_mm <= 30)]
    if not shell.size or not inner.size:
        return True
    fat = max(float(np.median(shell)), 1e-6)
    ratio = float(np.median(inner)) / fat
    if not 0.85 < ratio < 1.15:
        return ratio > 1
    # Breasts of fat alone: where it is not suppressed, fat is among the brightest of all.
    return fat < 0.6 * float(np.percentile(small, 99))


def shrunk(image: F32, step: tuple[int, int, int]) -> F32:
    """Means of blocks; what is left over at the ends is dropped."""
    shape = [n // s for n, s in zip(image.shape, step, strict=True)]
    cut = image[tuple(slice(n * s) for n, s in zip(shape, step, strict=True))]
    blocks = cut.reshape(shape[0], step[0], shape[1], step[1], shape[2], step[2])
    return np.asarray(blocks.mean(axis=(1, 3, 5)), np.float32)


def _air(small: F32) -> float:
    """The signal that air does not reach: from the band in front of the breasts, and well above its noise."""
    band = small[:, : max(2, small.shape[1] // 25)]
    bright = float(np.percentile(small, 99))
    noise = float(np.median(band))
    spread = float(np.percentile(band, 95)) - noise
    level = max(noise + 2 * spread, AIR_PART * bright)
    if level > 0.35 * bright:
        raise KineticsError(
            "There is no air in front of the breasts on these images, so that the skin cannot be found."
        )
    return level


def _largest(mask: Bool) -> Bool:
    parts, count = ndimage.label(ndimage.binary_opening(mask, np.ones((1, 3, 3))))
    if not count:
        return np.zeros_like(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == sizes.argmax())


def _risen(small: F32, body: Bool, row_mm: float) -> Bool:
    """The body from where the signal has risen half way; blur makes it begin a little in front of that."""
    rows = max(1, round(SKIN_MM / row_mm))
    first = np.argmax(body, axis=1)
    behind = np.clip(first[:, None] + np.arange(rows + 1)[None, :, None], 0, small.shape[1] - 1)
    highest = np.take_along_axis(small, behind, axis=1).max(axis=1)
    return np.asarray(body & (small >= SKIN_PART * highest[:, None]))


def _middle(skin: F32, mm: tuple[float, ...]) -> int | None:
    """The column between the breasts: where the skin lies furthest back in the middle third, in front of both sides."""
    width = skin.shape[1] * mm[2]
    if width < 180:
        return None
    profile = np.nanmedian(np.where(np.isfinite(skin), skin, np.nanmax(skin)), axis=0)
    profile = ndimage.gaussian_filter1d(profile, 5 / mm[2])
    third = skin.shape[1] // 3
    middle: int = third + int(np.argmax(profile[third : 2 * third]))
    fronts = float(profile[:middle].min()), float(profile[middle:].min())
    if min(fronts) > float(profile[middle]) - 10:
        return None
    return middle


def _bone(skin: F32, middle: int | None) -> float:
    if middle is not None:
        return float(np.nanmedian(skin[:, max(0, middle - 2) : middle + 3]))
    # One breast: the skin above and below it, or beside it, lies on the chest wall.
    return float(np.nanpercentile(skin, 85))


def _lungs(dark: Bool, mm: tuple[float, ...]) -> Bool:
    """The large dark parts; `mm` of the plane (y, x)."""
    radius = [max(1, round(LUNG_RADIUS_MM / one)) for one in mm]
    y, x = np.ogrid[-radius[0] : radius[0] + 1, -radius[1] : radius[1] + 1]
    disc = ((y / radius[0]) ** 2 + (x / radius[1]) ** 2 <= 1)[None]
    opened = ndimage.binary_opening(dark, disc)
    parts, count = ndimage.label(opened)
    area = np.bincount(parts.ravel(), minlength=count + 1) * mm[0] * mm[1] / dark.shape[0]
    keep = area > LUNG_MM2
    keep[0] = False
    # What the disc does not fit into, at their edges, is theirs too.
    return np.asarray(ndimage.binary_dilation(keep[parts], disc) & dark)


def _cage(front: NDArray[np.float64], mm: tuple[float, ...]) -> NDArray[np.float64]:
    """The front of the rib cage (z, x): it bulges, so it spans heart and liver between the lungs.

    NaN beyond the lungs.
    """
    across = front.shape[1] * mm[2] >= NARROW_MM
    lines = front if across else front.T
    out = np.full_like(lines, np.nan)
    for line, made in zip(lines, out, strict=True):
        at = np.flatnonzero(np.isfinite(line))
        if not at.size:
            continue
        corners: list[int] = []
        for k in at:
            while len(corners) > 1:
                i, j = corners[-2:]
                if (line[j] - line[i]) * (k - i) < (line[k] - line[i]) * (j - i):
                    break
                corners.pop()
            corners.append(int(k))
        every = np.arange(at[0], at[-1] + 1)
        made[every] = np.interp(every, corners, line[corners])
    return out if across else out.T


def _wall(
    small: F32,
    skin: F32,
    front: NDArray[np.float64],
    mm: tuple[float, ...],
    bone_mm: float,
    suppressed: bool,
    progress: Progress,
) -> F32:
    """The muscles' front: a smooth surface over the strongest steps in front of the lungs."""
    known = np.isfinite(front)
    near = front - WALL_MM[0]
    far = np.minimum(np.maximum(front - WALL_MM[1], bone_mm - BEFORE_MM), near - 10)
    # Beside and between the lungs the wall goes on as it does over them.
    reach = (20 / mm[0], 20 / mm[2])
    weight = ndimage.gaussian_filter(known.astype(np.float64), reach)
    sure = weight > 1e-3
    nearest = ndimage.distance_transform_edt(~sure, return_distances=False, return_indices=True)

    def everywhere(values: NDArray[np.float64]) -> NDArray[np.float64]:
        smooth = ndimage.gaussian_filter(np.where(known, values, 0.0), reach) / np.maximum(weight, 1e-6)
        return np.asarray(smooth[tuple(nearest)][:, None, :])

    near, far = everywhere(near), everywhere(far)
    middle, half = (near + far) / 2, (near - far) / 2
    step = ndimage.gaussian_filter(
        np.log(np.maximum(small, 1e-3 * small.max())), [0.5, 3 / mm[1], 4 / mm[2]], order=(0, 1, 0)
    )
    depth = (np.arange(small.shape[1]) * mm[1])[None, :, None]
    inside = np.abs(depth - middle) <= half
    inside &= depth >= np.nan_to_num(skin, nan=0)[:, None, :] + 3
    # Fat is darker than muscle where it is suppressed, brighter where it is not.
    gain = np.where(inside, np.maximum(step if suppressed else -step, 0), 0)
    gain = gain / max(float(np.median(gain.max(axis=1)[known])), 1e-6)
    cost = np.where(inside, -gain, 5.0) + 0.2 * ((depth - middle) / half) ** 2
    return _cheapest(cost.astype(np.float32), mm, progress)


def _cheapest(cost: F32, mm: tuple[float, ...], progress: Progress, rounds: int = 3) -> F32:
    """The smooth surface (z, x) of least cost (z, y, x): cheapest paths slice by slice, drawn to each other."""
    depth = np.arange(cost.shape[1], dtype=np.float32)
    wall = np.argmin(cost, axis=1).astype(np.float32)
    steep = np.float32(STEEP * mm[1] / mm[2])
    for number in range(rounds):
        smooth = ndimage.gaussian_filter(ndimage.median_filter(wall, size=(3, 5)), (10 / mm[0], 6 / mm[2]))
        pull = (
            np.float32(0.0 if number == 0 else 0.05)
            * ((depth[None, :, None] - smooth[:, None, :]) * mm[1]) ** 2
            / 10
        )
        for z in range(cost.shape[0]):
            progress(number * cost.shape[0] + z, rounds * cost.shape[0], "breast: skin and chest wall")
            wall[z] = _path(cost[z] + pull[z] if number else cost[z], steep)
    wall = ndimage.gaussian_filter(wall, (6 / mm[0], 5 / mm[2]))
    return np.asarray(wall * mm[1], np.float32)


def _path(cost: F32, steep: np.float32, most: int = 4) -> F32:
    """The cheapest path over the columns of (y, x), a step of a row up or down costing `steep`."""
    rows, columns = cost.shape
    total = cost[:, 0].copy()
    came = np.zeros((rows, columns), np.int32)
    moves = np.arange(-most, most + 1)
    at = np.arange(rows)
    for x in range(1, columns):
        from_ = np.clip(at[:, None] + moves[None], 0, rows - 1)
        ways = total[from_] + steep * np.abs(moves)[None].astype(np.float32)
        best = np.argmin(ways, axis=1)
        came[:, x] = from_[at, best]
        total = ways[at, best] + cost[:, x]
    path = np.empty(columns, np.float32)
    row = int(np.argmin(total))
    for x in range(columns - 1, -1, -1):
        path[x] = row
        row = int(came[row, x])
    return path
