"""Is fat suppressed in one part of the breasts and bright in another? Told from the pixels, whatever the model.

Where fat is suppressed, it is gland, vessels and skin that are bright before contrast, and they take up contrast agent:
within a small piece of the breast the brighter is what enhances more. Where fat is not suppressed, it is the brightest,
and takes up nothing: there it is the other way round. The coil's sensitivity is nearly the same within a piece, so it
plays no part. A study without any fat suppression has no piece of the first kind, and is not told of here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..core import DceVolume
from ..kinetics.errors import KineticsError
from ..kinetics.surfaces import Turned, find_outline, shrunk

_PIECE_MM = 24.0
_SKIN_MM = 2.0
"""The skin's edge moves most."""

_FEWEST = 30
"""Coarse pixels in a piece."""

_TURNED = -0.2
"""Rank correlation of brightness before contrast with what is taken up; below it a piece is turned round."""

_PART = 0.06
"""So much of the breasts is turned round, and as much is not."""

_SIDED = 0.85
"""So much of what is turned round lies in one breast."""


@dataclass(frozen=True)
class FatFinding:
    """What part of the breasts has bright fat.

    Attributes:
        part: of what could be looked at.
        text: a sentence with the reason.
    """

    part: float
    text: str


def uneven_fat(volume: DceVolume, phase: int) -> FatFinding | None:
    """Where fat is suppressed in part only; None where nothing tells.

    Args:
        volume: the study, its pre-contrast phase the right one.
        phase: a phase after contrast.
    """
    if phase == volume.pre_contrast:
        return None
    turned = Turned.of(volume.geometry)
    before, after = (
        np.ascontiguousarray(turned.turn(volume.data[one])).astype(np.float32)
        for one in (volume.pre_contrast, phase)
    )
    before, after = (np.nan_to_num(np.maximum(one, 0), posinf=0) for one in (before, after))
    try:
        outline = find_outline(before, turned.spacing)
    except KineticsError:
        return None
    a, b, c = outline.step
    # Brightness and uptake come from different rows: noise of the same pixel would turn them against each other.
    half = (a, max(1, b // 2), c)
    bright = shrunk(before[:, 0::2], half)
    taken = shrunk(after[:, 1::2] - before[:, 1::2], half)
    rows = min(bright.shape[1], taken.shape[1])
    bright, taken = bright[:, :rows], taken[:, :rows]
    row = np.minimum((np.arange(rows) * 2 * half[1]) // b, outline.small.shape[1] - 1)
    use = (outline.breast & (outline.deep_mm >= _SKIN_MM) & (outline.small > outline.air))[:, row]
    use = use[: bright.shape[0], :, : bright.shape[2]]
    mm = (outline.mm[0], turned.spacing[1] * 2 * half[1], outline.mm[2])
    pieces = [(np.arange(n) * one // _PIECE_MM).astype(int) for n, one in zip(bright.shape, mm, strict=True)]
    where = np.nonzero(use)
    if not len(where[0]):
        return None
    z, y, x = (pieces[axis][at] for axis, at in enumerate(where))
    key = (z * (pieces[1][-1] + 1) + y) * (pieces[2][-1] + 1) + x
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    weight = wrong = right = 0
    bad: list[NDArray[np.intp]] = []
    for piece in np.split(order, starts[1:]):
        if len(piece) < _FEWEST:
            continue
        at = tuple(axis[piece] for axis in where)
        together = float(stats.spearmanr(bright[at], taken[at]).statistic)
        weight += len(piece)
        right += len(piece) * (together > -_TURNED)
        if together < _TURNED:
            wrong += len(piece)
            bad.append(piece)
    if not weight or wrong < _PART * weight or right < _PART * weight:
        return None
    part = wrong / weight
    place = _place(where, np.concatenate(bad), outline.middle)
    return FatFinding(
        part,
        f"Fat is suppressed in part of the breasts only: in {100 * part:.0f} % of them{place} what is bright before "
        "contrast is what takes up none of it, as fat does that is not suppressed. Look at the images before contrast; "
        "scores there are not to be relied on.",
    )


def _place(where: tuple[NDArray[np.intp], ...], worst: NDArray[np.intp], middle: int | None) -> str:
    """In which breast, where it is one of them."""
    if middle is None:
        return ""
    left = float(np.mean(where[2][worst] >= middle))
    if max(left, 1 - left) < _SIDED:
        return ""
    return f", mostly in the {'left' if left > 0.5 else 'right'} one,"
