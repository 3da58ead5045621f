"""Where frames lie along the normal of their plane, and the regular stack that they make."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..core import Geometry
from .headers import Frame

NO_PLACE = "The files do not say where the images lie in the patient."
_SAME_SLICE_MM = 0.5


def axes(frame: Frame) -> NDArray[np.float64] | None:
    """Unit vectors along a row, a column and the normal, shape (3, 3); None without an orientation."""
    return None if frame.orientation is None else _axes(frame.orientation)


@lru_cache(maxsize=256)  # a study has thousands of frames and a few orientations
def _axes(orientation: tuple[float, ...]) -> NDArray[np.float64] | None:
    along_row = np.asarray(orientation[:3], dtype=np.float64)
    along_column = np.asarray(orientation[3:], dtype=np.float64)
    normal = np.cross(along_row, along_column)
    length = float(np.linalg.norm(normal))
    # Perpendicular unit vectors have a normal of length 1; anything far from it is no orientation at all.
    if not 0.9 < length < 1.1:
        return None
    found = np.stack([along_row, along_column, normal / length])
    found.flags.writeable = False
    return found


def slice_positions(frames: Sequence[Frame]) -> tuple[NDArray[np.intp], NDArray[np.float64]] | None:
    """The slice of each frame and the slices' distances along the normal, in rising order, mm.

    Frames within a tenth of the slice distance (0.01 to 0.5 mm) of each other are on one slice. None where a
    frame has no position or orientation.
    """
    basis = axes(frames[0])
    if basis is None or any(frame.position is None for frame in frames):
        return None
    along = np.array([np.dot(basis[2], frame.position or ()) for frame in frames])
    nominal = frames[0].spacing_between_slices or frames[0].thickness or 1.0
    # Thick slices may overlap, and the nominal distance may be wrong: it must not melt slices into one.
    tolerance = min(max(0.01, 0.1 * abs(nominal)), _SAME_SLICE_MM)
    order = np.argsort(along, kind="stable")
    new = np.diff(along[order], prepend=-np.inf) > tolerance
    index = np.empty(len(frames), dtype=np.intp)
    index[order] = np.cumsum(new) - 1
    positions = np.array([along[index == i].mean() for i in range(int(new.sum()))])
    return index, positions


def same_positions(
    first: NDArray[np.float64], second: NDArray[np.float64], tolerance: float, share: float = 0.5
) -> bool:
    """Whether the shorter list of slice positions lies within the longer, and holds at least `share` of it."""
    short, long = sorted((first, second), key=len)
    if len(short) < share * len(long):
        return False
    return bool((np.abs(short[:, None] - long[None, :]).min(axis=1) <= tolerance).all())


def stack_geometry(frames: Sequence[Frame]) -> tuple[Geometry | None, list[str]]:
    """The geometry of one phase's frames, in slice order, and what is odd about it, in sentences."""
    first = frames[0]
    found = slice_positions(frames)
    if found is None or first.position is None or first.orientation is None:
        return None, [NO_PLACE]
    positions = found[1]
    warnings = []
    spacing = first.pixel_spacing
    if spacing is None:
        spacing = (1.0, 1.0)
        warnings.append("The files do not give the pixel spacing; 1 mm is assumed.")
    if len(positions) > 1:
        steps = np.diff(positions)
        step = float(np.median(steps))
        far = steps > 1.5 * step
        if far.any():
            missing = int(np.rint(steps[far] / step - 1).sum())
            after = ", ".join(str(int(i)) for i in np.flatnonzero(far))
            warnings.append(
                f"About {missing} slices are missing (after slice {after}): positions there are wrong."
            )
        elif np.abs(steps - step).max() > max(0.02 * step, 0.02):
            warnings.append("The slices are unevenly spaced; their median distance is used.")
    else:
        step = abs(first.spacing_between_slices or first.thickness or 1.0)
    shape = (len(frames), first.source.rows, first.source.columns)
    return Geometry.from_dicom(shape, spacing, step, first.position, first.orientation), warnings
