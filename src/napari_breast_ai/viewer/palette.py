"""Colours: one per class, the same in boxes, strips, bars and documentation.

Okabe and Ito's palette, which people with the common forms of colour blindness can tell apart.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from ..annotations.protocol import Protocol
from ..core.colors import LABEL_COLORS

__all__ = ["LABEL_COLORS", "label_color", "rgba"]

_MORE = ("#f0e442", "#7f9cf5", "#9bd770", "#c6a15b")


def label_color(label: str, protocol: Protocol | None = None) -> str:
    """The colour of a class as #rrggbb: the protocol's choice, else the program's; the same one every time."""
    for one in protocol.classes if protocol is not None else ():
        if one.name == label and one.color:
            return one.color
    return LABEL_COLORS.get(label) or _MORE[zlib.crc32(label.encode()) % len(_MORE)]


def rgba(color: str, alpha: float = 1.0) -> NDArray[np.float32]:
    """#rrggbb as float32 (4,) in 0..1."""
    values = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return np.array([*values, alpha], dtype=np.float32)
