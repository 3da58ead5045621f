"""The enhancement of a tile in one pass over memory, where numba is installed (`pip install "napari-breast-ai[numba]"`).

The results equal those of numpy to the last bit but one: both round the same quotients to float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .signals import LARGEST, MOST_PERCENT

Kernel = Callable[..., None]


@cache
def fused_kernel() -> Kernel | None:
    """`kernel(s0, s1, sd, floor, initial, delayed)` on one-dimensional arrays, or None without a working numba.

    It lets go of the interpreter's lock. The first call for a type of pixels compiles it.
    """
    try:
        import numba
    except ImportError:  # absent, or one that does not fit this numpy
        return None

    hundred, largest, most = np.float32(100), np.float32(LARGEST), np.float32(MOST_PERCENT)

    def enhance(s0: Any, s1: Any, sd: Any, floor: Any, initial: Any, delayed: Any) -> None:
        for i in range(s0.size):
            before = numba.float32(s0[i])
            early = numba.float32(s1[i])
            late = numba.float32(sd[i])
            if not abs(early) < largest:
                early = numba.float32(0)
            if not abs(late) < largest:
                late = numba.float32(0)
            first = numba.float32(0)
            second = numba.float32(0)
            if before > floor and before < largest:
                first = min(max(hundred * (early - before) / before, -most), most)
                if early > 0:
                    second = min(max(hundred * (late - early) / early, -most), most)
            initial[i] = first
            delayed[i] = second

    kernel: Kernel = numba.njit(nogil=True, error_model="numpy")(enhance)
    return kernel
