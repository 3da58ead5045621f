"""Initial enhancement and delayed course of every voxel: two arrays of per cent from which all maps follow."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import Progress, silent
from .fused import fused_kernel
from .signals import MOST_PERCENT, as_float
from .tiles import TILE, row_blocks, spread

F32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

TISSUE = 0.1
"""Of the 99th percentile of the signal before contrast: what is darker is air or bone, where per cent mean nothing."""

_SAMPLE = 2_000_000


def tissue_floor(before: NDArray[np.generic], fraction: float = TISSUE) -> float:
    """The signal before contrast above which a voxel counts as tissue, never negative.

    Args:
        before: the pre-contrast phase, (slices, rows, columns); of a large one every few pixels are looked at.
        fraction: of its 99th percentile.
    """
    step = max(1, int((before.size / _SAMPLE) ** 0.5))
    some = before[:, ::step, ::step].astype(np.float32)
    some = some[np.isfinite(some)]
    if not some.size:
        return 0.0
    return max(0.0, fraction * float(np.percentile(some, 99)))


def enhancement(
    before: NDArray[np.generic],
    early: NDArray[np.generic],
    late: NDArray[np.generic] | None,
    floor: float,
    *,
    out: tuple[F32, F32 | None] | None = None,
    fused: bool | None = None,
    progress: Progress = silent,
) -> tuple[F32, F32 | None]:
    """Initial enhancement 100 · (S1 - S0) / S0 and delayed course 100 · (Sd - S1) / S1, in per cent.

    Both are 0 where S0 does not exceed `floor`; the delayed course is 0 where S1 is not positive, too. Values that
    are no numbers count as no signal. So neither result ever holds NaN or infinity.

    Args:
        before, early, late: S0, S1, Sd, each (slices, rows, columns) of any real type; no late phase, no course.
        floor: not negative.
        out: arrays to write to, float32 and contiguous, of that shape.
        fused: whether numba does it; None where it is installed.
        progress: may raise `Cancelled`.

    Returns:
        Two float32 arrays of the phases' shape; None in place of the second without a late phase.
    """
    shape = before.shape
    if out is None:
        # Zeros come from the system when they are first written to, in the threads that do so.
        out = np.zeros(shape, np.float32), None if late is None else np.zeros(shape, np.float32)
    initial, delayed = out
    kernel = fused_kernel() if fused is None or fused else None
    local = threading.local()
    limit = np.float32(floor)

    def tile(part: tuple[int, slice]) -> None:
        z, rows = part
        s0, s1 = before[z, rows].reshape(-1), early[z, rows].reshape(-1)
        sd = None if late is None else late[z, rows].reshape(-1)
        to = initial[z, rows].reshape(-1)
        then = None if delayed is None else delayed[z, rows].reshape(-1)
        if kernel is not None:
            if sd is None or then is None:
                sd, then = s1, _scratch(local, s1.size)[0]
            kernel(s0, s1, sd, limit, to, then)
        else:
            _tile(local, s0, s1, sd, limit, to, then)

    # A fused tile needs no scratch arrays in the cache: larger ones cost fewer calls.
    blocks = row_blocks(shape[1], shape[2], TILE if kernel is None else 16 * TILE)
    spread(tile, [(z, rows) for z in range(shape[0]) for rows in blocks], progress, "enhancement")
    return initial, delayed


def _tile(
    local: threading.local,
    s0: NDArray[Any],
    s1: NDArray[Any],
    sd: NDArray[Any] | None,
    floor: np.float32,
    initial: F32,
    delayed: F32 | None,
) -> None:
    """One tile with numpy, every array of it in the cache. What is masked stays 0."""
    before, early, spent, inside = _scratch(local, s0.size)
    whole = s0.dtype.kind in "iu"
    as_float(s0, before)
    as_float(s1, early)
    np.greater(before, floor, out=inside)
    np.copyto(spent, early)
    _percent(spent, before, inside, initial, whole)
    if delayed is not None and sd is not None:
        inside &= early > 0
        as_float(sd, before)
        _percent(before, early, inside, delayed, whole)


def _percent(later: F32, earlier: F32, inside: Bool, out: F32, whole: bool) -> None:
    """100 · (later - earlier) / earlier inside, 0 outside; `later` is spent.

    The product comes first, so that whole per cents are exact.
    """
    later -= earlier
    later *= np.float32(100)
    out.fill(0)
    with np.errstate(over="ignore"):
        np.divide(later, earlier, out=out, where=inside)  # over the stretches inside only, which are long
    if not whole:  # of whole numbers there is none below 1
        np.clip(out, -MOST_PERCENT, MOST_PERCENT, out=out)


def _scratch(local: threading.local, size: int) -> tuple[F32, F32, F32, Bool]:
    """Three float32 arrays and a mask of this thread's own."""
    held: tuple[F32, F32, F32, Bool] | None = getattr(local, "held", None)
    if held is None or held[0].size < size:
        one, two, three = (np.empty(size, np.float32) for _ in range(3))
        held = one, two, three, np.empty(size, np.bool_)
        local.held = held
    return held[0][:size], held[1][:size], held[2][:size], held[3][:size]
