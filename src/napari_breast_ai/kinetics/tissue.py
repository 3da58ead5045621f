"""Fibroglandular tissue and fat told apart in the breast, the coil's uneven sensitivity corrected on the way.

Fuzzy c-means with a smooth gain that is fitted along with the classes' signals, so that a gland at the edge of the coil
is compared with the fat beside it. Its two classes split what there is into halves, though, and thin strands share
their pixels with fat: the last word has the middle between the fat around a voxel, whose suppression may have failed
there, and pure gland.

Sources: Pham and Prince, IEEE Trans Med Imaging 1999;18:737-752 (fuzzy c-means with a gain); Nie et al., Med Phys
2008;35:5253-5262 (fuzzy c-means for density).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core import Progress, silent
from .surfaces import STEP_MM, shrunk

F32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

GAIN_MM = 25.0
"""Standard deviation of the smoothing of the gain."""

ROUNDS = 25
PURE = 85.0, 92.0
"""Percentiles of what counts as gland whose signal is that of pure gland: where gland is much of the breast, and where
it is little and in strands, so that fewer of its voxels are pure."""

MUCH, LITTLE = 0.25, 0.08
"""Parts of the breast that are much and little gland; between them the percentile goes from one to the other."""

NEAR_MM = 20.0
"""Standard deviation of the smoothing of the fat around a voxel."""

NEAR_ROUNDS = 4

DENSE = 0.4
"""Where so much of the breast is gland, what looks like fat around a voxel is mixed with it: the usual fat counts."""

FINE_MM = 0.7
"""Standard deviation of the smoothing against noise on the slice, in the last step."""


def fibroglandular(
    image: F32,
    inside: Bool,
    spacing: tuple[float, float, float],
    suppressed: bool,
    progress: Progress = silent,
) -> Bool:
    """Voxels of fibroglandular tissue (z, y, x).

    Args:
        image: before contrast, not negative.
        inside: the breasts without their skin; some voxels at least.
        spacing: mm of (z, y, x).
        suppressed: whether fat is darker than gland.
        progress: called for every slice of every round; may raise `Cancelled`.
    """
    total = (NEAR_ROUNDS + 1) * len(image)
    what = "breast: tissue"
    progress(0, total, what)
    z, y, x = (min(n, max(1, round(STEP_MM / mm))) for n, mm in zip(image.shape, spacing, strict=True))
    step = z, y, x
    cover = shrunk(inside.astype(np.float32), step)
    small = shrunk(np.where(inside, image, np.float32(0)), step)
    small /= np.maximum(cover, np.float32(1e-3))
    core = cover > 0.6
    if core.sum() < 50:
        return np.zeros_like(inside)
    mm = [s * one for s, one in zip(step, spacing, strict=True)]
    gain = _gain(small, core, mm, suppressed)
    progress(0, total, what)
    where = [
        ((np.arange(n) + 0.5) / s - 0.5).astype(np.float32) for n, s in zip(image.shape, step, strict=True)
    ]
    even = ndimage.gaussian_filter(image, [0, FINE_MM / spacing[1], FINE_MM / spacing[2]])
    for k, own in enumerate(_finer(gain, where)):
        progress(k, total, what)
        even[k] /= own
    if not suppressed:
        np.negative(even, out=even)
    level = _threshold(even[inside])
    tissue = np.asarray(inside & (even > level))
    if not (inside & ~tissue).any():
        return tissue
    fat = float(np.median(even[inside & ~tissue]))
    for number in range(1, NEAR_ROUNDS + 1):
        if not tissue.any():
            break
        part = np.count_nonzero(tissue) / np.count_nonzero(inside)
        around = _around(even, inside & ~tissue, fat, step, [NEAR_MM / one for one in mm])
        around = fat + np.float32(np.interp(part, (MUCH, DENSE), (1, 0))) * (around - np.float32(fat))
        pure = float(np.percentile(even[tissue], np.interp(part, (LITTLE, MUCH), PURE[::-1])))
        for k, own in enumerate(_finer(around, where)):
            progress(number * len(image) + k, total, what)
            tissue[k] = inside[k] & (even[k] > (own + pure) / 2)
    return tissue


def _finer(small: F32, where: list[F32]) -> Iterator[F32]:
    """A coarse array at the image's own voxels, slice after slice: a grid of three coordinates is large."""
    for at in where[0]:
        grid = np.meshgrid([at], where[1], where[2], indexing="ij")
        yield ndimage.map_coordinates(small, grid, order=1, mode="nearest")[0]


def _around(even: F32, fat: Bool, usual: float, step: tuple[int, int, int], blur: list[float]) -> F32:
    """The mean signal of the fat around, on the coarse grid; the usual one where there is no fat."""
    weight = ndimage.gaussian_filter(shrunk(fat.astype(np.float32), step), blur)
    total = ndimage.gaussian_filter(shrunk(np.where(fat, even, np.float32(0)), step), blur)
    prior = np.float32(0.02)
    return np.asarray((total + prior * np.float32(usual)) / (weight + prior), np.float32)


def _gain(small: F32, core: Bool, mm: list[float], suppressed: bool) -> F32:
    """The smooth gain under two classes of signal, on the coarse grid, 1 on average in the core."""
    values = small[core].astype(np.float64)
    blur = [GAIN_MM / one for one in mm]
    gain = np.ones_like(small)
    # The first guess: most of a breast is fat.
    centres = np.percentile(values, [25, 90] if suppressed else [10, 75])
    top, low = np.zeros_like(small), np.zeros_like(small)
    least = 1e-6 * max(float(np.abs(values).max()), 1e-6) ** 2
    for _ in range(ROUNDS):
        own = gain[core].astype(np.float64)
        far = (values - own * centres[:, None]) ** 2
        member = 1 / np.maximum(far, least)
        weight = (member / member.sum(axis=0)) ** 2
        centres = (weight * own * values).sum(axis=1) / (weight * own * own).sum(axis=1)
        top[core] = (weight * centres[:, None] * values).sum(axis=0)
        low[core] = (weight * centres[:, None] ** 2).sum(axis=0)
        smooth = ndimage.gaussian_filter(low, blur)
        gain = ndimage.gaussian_filter(top, blur) / np.maximum(
            smooth, 1e-12 * max(float(smooth.max()), 1e-12)
        )
        gain = np.clip(gain / max(float(gain[core].mean()), 1e-6), 0.2, 5).astype(np.float32)
    return gain


def _threshold(values: NDArray[np.float32]) -> float:
    """The middle between fat and pure gland; gland is the brighter of both here."""
    step = max(1, values.size // 500_000)
    some = np.sort(values[::step])
    level = float(some[int(0.6 * (some.size - 1))])
    for _ in range(30):
        cut = int(np.searchsorted(some, level, side="right"))
        if not 0 < cut < some.size:
            break
        fat = float(np.median(some[:cut]))
        pure = float(np.percentile(some[cut:], PURE[0]))
        if abs((fat + pure) / 2 - level) < 1e-6 * abs(pure - fat):
            break
        level = (fat + pure) / 2
    return level
