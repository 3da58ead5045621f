"""How thick the skin is, measured in each breast: what lies so close to the surface is no tissue of the gland.

Skin is bright where fat is dark. Pixels that skin shares with fat, and skin that a thick slice cuts at a slant, make it
wider than it is, so that a fixed depth leaves a rim. The signal by depth below the surface tells where it ends.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core import Progress, silent
from .surfaces import NARROW_MM, sideways

F32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

REACH_MM = 16.0
"""So deep the signal is looked at; from `FAT_MM` on it is that of what lies below the skin."""

FAT_MM = 8.0
"""No skin is thicker, inflamed skin aside."""

TOP_MM = 5.0
"""Skin is brightest within this depth, or within two pixels."""

STANDS_OUT = 1.15
"""Skin that is not brighter than so many times what lies below cannot be told from it."""

LEFT = 0.2
"""Skin ends where so much is left of what it is brighter by."""

_FEWEST, _SOME = 30, 500_000


def depth_below(
    inside: Bool, spacing: tuple[float, float, float], progress: Progress = silent, what: str = ""
) -> F32:
    """Each voxel's distance in mm from the breasts' surface in front and at their sides; behind them is muscle.

    Args:
        inside: the breasts, turned to the patient's axes (z, y, x).
        spacing: mm of (z, y, x).
        progress: called for every slice with `what`; may raise `Cancelled`.
    """
    # Below the last voxel of a column the body goes on; above and below the first and last slice, too.
    body = np.maximum.accumulate(inside, axis=1)
    width = inside.shape[2] * spacing[2]
    planes = sideways(body, width)
    padded = np.pad(planes, ((0, 0), (1, 0), (1, 1)))
    deep = np.empty(planes.shape, np.float32)
    mm = spacing[1:] if width >= NARROW_MM else spacing[1::-1]
    for k in range(len(deep)):
        progress(k, len(deep), what)
        deep[k] = ndimage.distance_transform_edt(padded[k], mm)[1:, 1:-1]
    return np.asarray(sideways(deep, width))


def skin_depth(image: F32, inside: Bool, depth: F32, pixel_mm: float) -> float:
    """How deep below the surface the skin ends, in mm; 0 where it cannot be told from what lies below.

    Args:
        image: before contrast, fat dark, (z, y, x).
        inside: one breast.
        depth: of `depth_below`.
        pixel_mm: size of a pixel on the slice.
    """
    near = inside & (depth <= REACH_MM)
    deep, signal = depth[near], image[near]
    step = max(1, deep.size // _SOME)
    deep, signal = deep[::step], signal[::step]
    layer = np.floor(deep / (pixel_mm / 2)).astype(np.intp)
    order = np.argsort(layer, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(layer[order])) + 1)
    parts = [part for part in parts if part.size >= _FEWEST]
    at = np.array([deep[part].mean() for part in parts])
    level = np.array([np.median(signal[part]) for part in parts])
    if not (at > FAT_MM).any() or not (front := at <= max(TOP_MM, 2 * pixel_mm)).any():
        return 0.0
    top = int(np.argmax(np.where(front, level, -np.inf)))
    below = float(np.median(level[at > FAT_MM]))
    if level[top] < STANDS_OUT * below:
        return 0.0
    ends = below + LEFT * (level[top] - below)
    for k in range(top + 1, len(at)):
        if level[k] <= ends:
            part = (level[k - 1] - ends) / (level[k - 1] - level[k])
            return min(float(at[k - 1] + part * (at[k] - at[k - 1])), FAT_MM)
    return 0.0
