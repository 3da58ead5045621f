"""Signals as numbers that can be reckoned with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = np.float32(1e30)
"""A signal of this size is no signal: sums and products of smaller ones stay numbers."""

MOST_PERCENT = np.float32(1e9)
"""What signals next to nothing come to is cut off here."""


def as_float(values: NDArray[Any], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Signals as float32; what is no number, or beyond all signals, is 0.

    Args:
        values: of any real type and shape.
        out: where to; None makes a new array.
    """
    if out is None:
        out = np.empty(np.shape(values), np.float32)
    with np.errstate(over="ignore"):
        np.copyto(out, values, casting="same_kind")
    if values.dtype.kind == "f":
        strange = ~(np.abs(out) < LARGEST)
        if strange.any():
            out[strange] = 0
    return out
