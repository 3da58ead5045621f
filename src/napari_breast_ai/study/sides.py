"""Left and right: two stacks in one sagittal series, and the side that a group of images shows."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ..core import Geometry
from .headers import Frame
from .slices import axes, slice_positions

_GAP_STEPS, _GAP_MM = 5.0, 20.0
_ONE_SIDE_MM, _BOTH_MM = 15.0, 60.0
_SIDES = {"L": "left", "R": "right", "B": "both"}
_NAMED = tuple(
    (side, re.compile(rf"(?<![a-z])(?:{words})(?![a-z])", re.IGNORECASE))
    for side, words in (("both", "bilat(?:eral)?|both"), ("left", "left|lt"), ("right", "right|rt"))
)


def two_sides(frames: Sequence[Frame]) -> list[tuple[str, list[Frame]]] | None:
    """The stacks ("right", frames) and ("left", frames) of a sagittal series of both breasts, or None.

    The series falls apart where one gap between its slices is far wider (five times, and 20 mm) than the usual
    distance, with at least a third of the slices on either side of it.
    """
    basis = axes(frames[0])
    if basis is None or int(np.argmax(np.abs(basis[2]))) != 0:
        return None
    located = slice_positions(frames)
    if located is None or len(located[1]) < 4:
        return None
    index, positions = located
    steps = np.diff(positions)
    usual, widest = float(np.median(steps)), int(np.argmax(steps))
    wide = steps > max(_GAP_STEPS * usual, _GAP_MM)
    below = widest + 1
    if wide.sum() != 1 or 3 * min(below, len(positions) - below) < len(positions):
        return None
    low = [frame for frame, place in zip(frames, index, strict=True) if place < below]
    high = [frame for frame, place in zip(frames, index, strict=True) if place >= below]
    # Patient x grows to the left.
    names = ("right", "left") if basis[2][0] > 0 else ("left", "right")
    return [(names[0], low), (names[1], high)]


def laterality(frames: Sequence[Frame], geometry: Geometry | None) -> tuple[str, str, list[str]]:
    """The side that the images show ("left", "right", "both" or ""), what says so, and sentences.

    FrameLaterality, ImageLaterality or Laterality goes first, then the description, then the place (the patient's
    midline is taken to be near x = 0); where the first and the place contradict each other, that is said.
    """
    placed = "" if geometry is None else _by_place(geometry)
    tags = {_SIDES[side] for frame in frames if (side := frame.laterality or frame.source.laterality)}
    if len(tags) == 1:
        tagged = tags.pop()
        if tagged == "both" and placed in ("left", "right"):  # said of the series, not of this stack
            return placed, "position", []
        warnings = []
        if {tagged, placed} == {"left", "right"}:
            warnings.append(
                f"The files say that this is the {tagged} breast, but the images lie on the patient's {placed}: "
                "check which is right."
            )
        return tagged, "FrameLaterality" if frames[0].laterality else "Laterality", warnings
    described = f"{frames[0].source.description} {frames[0].source.protocol}"
    named = [side for side, pattern in _NAMED if pattern.search(described)]
    if len(named) == 1:
        return named[0], "description", []
    return placed, "position" if placed else "", []


def _by_place(geometry: Geometry) -> str:
    corners = [[z, y, x] for z in (0, geometry.shape[0] - 1) for y in (0, geometry.shape[1] - 1)
               for x in (0, geometry.shape[2] - 1)]  # fmt: skip
    across = geometry.to_patient(corners)[:, 0]
    low, high = float(across.min()), float(across.max())
    if low < -_BOTH_MM and high > _BOTH_MM:
        return "both"
    if low > -_ONE_SIDE_MM and (low + high) / 2 > 2 * _ONE_SIDE_MM:
        return "left"
    return "right" if high < _ONE_SIDE_MM and (low + high) / 2 < -2 * _ONE_SIDE_MM else ""
