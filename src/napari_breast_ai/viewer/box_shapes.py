"""Where a shape on the screen and a box of the journal are the same, and which box a shape means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import Box, DceVolume

SMALLEST = 1.0
"""Pixels: a box with a shorter side is a slip of the mouse and is dropped."""

NEAR = 2e-3
"""Pixels: positions closer than this are the same; the journal rounds to 1/1000."""


def box_of(corners: Any, label: str, shape: tuple[int, int, int]) -> Box | None:
    """An axis-aligned box around a shape's corners, inside the image; None where it is too small."""
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    z = round(float(low[0] + high[0]) / 2)
    box = Box(z, float(low[1]), float(low[2]), float(high[1]), float(high[2]), label)
    if box.problems(shape):
        return None
    box = box.clipped(*shape[1:])
    return box if min(box.y1 - box.y0, box.x1 - box.x0) >= SMALLEST else None


def text_offset(volume: DceVolume) -> NDArray[np.float64]:
    """Where a box's class stands: just above its upper edge, whatever the image's size."""
    return np.array([0.0, -0.02 * volume.geometry.shape[1], 0.0])


def moved(one: Box, other: Box) -> bool:
    """Whether two boxes lie at different places."""
    return one.z != other.z or any(
        abs(getattr(one, edge) - getattr(other, edge)) > NEAR for edge in ("y0", "x0", "y1", "x1")
    )


def settled(shapes: Sequence[Any], boxes: Sequence[Box | None]) -> list[bool]:
    """Which shapes are just the boxes beside them, along rows and columns: all at once, for there may be hundreds."""
    nothing = Box(-1, 0, 0, 0, 0, "")
    rows = [row for row, corners in enumerate(shapes) if np.shape(corners) == (4, 3)]
    if not rows:
        return [False] * len(shapes)
    corners = np.array([shapes[row] for row in rows])
    edges = np.array(
        [(b.z, b.y0, b.x0, b.z, b.y1, b.x1) for b in (boxes[row] or nothing for row in rows)], dtype=float
    ).reshape(-1, 2, 3)
    low, high = corners.min(axis=1), corners.max(axis=1)
    off = np.maximum(np.abs(low - edges[:, 0]), np.abs(high - edges[:, 1])).max(axis=1)
    bent = np.minimum(np.abs(corners - low[:, None]), np.abs(corners - high[:, None])).max(axis=(1, 2))
    found = [False] * len(shapes)
    for row, fine in zip(rows, (off <= NEAR) & (bent <= NEAR), strict=True):
        found[row] = bool(fine)
    return found


def spread(corners: Any) -> bool:
    """Whether a shape runs through several slices."""
    return bool(np.ptp(np.asarray(corners)[:, 0]) > 0.5)


def straight(corners: Any, kind: str) -> bool:
    """Whether a shape is a rectangle along rows and columns."""
    if kind != "rectangle" or len(corners) != 4:
        return False
    sides = np.abs(np.diff(np.vstack([corners, corners[:1]])[:, 1:], axis=0))
    return bool((sides.min(axis=1) <= NEAR).all())
