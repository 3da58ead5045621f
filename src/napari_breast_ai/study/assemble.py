"""From a group of the index to one array in the scanner's units, with geometry and times."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume, FrameRef, PhaseTimes, Progress, silent
from .errors import StudyError
from .headers import Frame
from .index import Group
from .pixels import stored_values
from .scan import scan

_Place = tuple[int, int, Frame]


def assemble(group: Group, progress: Progress = silent) -> DceVolume:
    """Read the pixels of a group.

    Values are in the scanner's units: each frame's own RescaleSlope and RescaleIntercept are applied. They
    stay integers where no slope differs from 1 and intercepts are whole, and become float32 otherwise.

    Args:
        group: of a `StudyIndex`.
        progress: called once per file; may raise `Cancelled`.

    Raises:
        StudyError: the group is no regular stack of grey images, or a file's pixels cannot be read.
    """
    geometry = group.geometry
    if geometry is None:
        raise StudyError(
            f"{group.title} cannot be shown as a volume: its images make no regular stack of slices in the "
            "patient. Choose another series."
        )
    frames = group.frames
    if any(frame.source.pixels.samples != 1 for frame in frames):
        raise StudyError(f"{group.title} holds colour images; a series of grey MR images is needed.")
    data = np.empty((group.n_phases, *geometry.shape), dtype=_value_type(frames))
    by_file: dict[Path, list[_Place]] = defaultdict(list)
    for p, phase in enumerate(group.phases):
        for z, frame in enumerate(phase.frames):
            by_file[frame.source.path].append((p, z, frame))
    _read_all(data, list(by_file.values()), progress)
    return DceVolume(
        data=data,
        geometry=geometry,
        times=_times(group),
        identity=group.identity,
        frames=tuple(
            tuple(FrameRef(frame.source.sop_instance_uid, frame.number) for frame in phase.frames)
            for phase in group.phases
        ),
        description=group.description,
        pre_contrast=group.pre_contrast,
        warnings=group.warnings,
    )


def read_study(path: str | Path | Sequence[str | Path], progress: Progress = silent) -> DceVolume:
    """Scan files or folders, choose the dynamic series, and read it: `scan`, `StudyIndex.dce`, `assemble`.

    Raises:
        StudyError: nothing is there, nothing is dynamic, or pixels cannot be read; the sentence says which.
    """
    return assemble(scan(path, progress).dce(), progress)


def _times(group: Group) -> PhaseTimes:
    starts = [phase.time_s for phase in group.phases]
    known = [start for start in starts if start is not None]
    if len(known) < len(starts) or any(b < a for a, b in pairwise(known)):
        return PhaseTimes((0.0,) * len(starts), ("unknown",) * len(starts))
    return PhaseTimes(tuple(known), tuple(phase.time_source for phase in group.phases))


def _value_type(frames: Sequence[Frame]) -> np.dtype[np.generic]:
    """The smallest type that holds every value exactly, or float32."""
    if any(frame.source.pixels.real for frame in frames):
        return np.dtype(np.float32)
    if any(frame.slope != 1.0 or not frame.intercept.is_integer() for frame in frames):
        return np.dtype(np.float32)
    low = high = 0.0
    for stored, intercept in {(frame.source.pixels, frame.intercept) for frame in frames}:
        if stored.bits_allocated not in (1, 8, 16, 32):
            return np.dtype(np.float32)
        bits = max(min(stored.bits_stored, stored.bits_allocated), 1)
        least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if stored.signed else (0, 2**bits - 1)
        low, high = min(low, least + intercept), max(high, most + intercept)
    for kind in (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max and limits.bits >= 8:
            return np.dtype(kind)
    return np.dtype(np.float32)


def _read_all(data: NDArray[np.generic], files: Sequence[Sequence[_Place]], progress: Progress) -> None:
    """Fill `data` file by file on a few threads (decoders and the disk release the interpreter)."""
    progress(0, len(files), "Reading pixels")
    # Filters of warnings are shared by all threads: set here once, not in each of them.
    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # pydicom's remarks on headers; values are checked by shape
        pending: list[Future[None]] = [pool.submit(_read_file, data, places) for places in files]
        try:
            for done, future in enumerate(as_completed(pending), start=1):
                future.result()
                progress(done, len(files), "Reading pixels")
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)  # cancelled, or a broken file: read no further
            raise


def _read_file(data: NDArray[np.generic], places: Sequence[_Place]) -> None:
    path = places[0][2].source.path
    try:
        planes = stored_values([frame for _, _, frame in places])
        for (p, z, frame), plane in zip(places, planes, strict=True):
            if plane.shape != data.shape[2:]:
                raise ValueError(f"pixels are {plane.shape}")
            data[p, z] = _in_units(frame, plane, data.dtype)
    except Exception as error:
        raise StudyError(
            f"The pixels of “{path.name}” cannot be read ({_short(error)}). The file is damaged, or "
            "compressed in a way that no installed decoder knows; export the series again, uncompressed."
        ) from error


def _in_units(frame: Frame, plane: NDArray[np.generic], kind: np.dtype[np.generic]) -> NDArray[np.generic]:
    if frame.slope == 1.0 and frame.intercept == 0.0:
        return plane
    if kind == np.float32:
        scaled: NDArray[np.generic] = (plane.astype(np.float64) * frame.slope + frame.intercept).astype(
            np.float32
        )
        return scaled
    return (plane.astype(np.int64) + int(frame.intercept)).astype(kind)


def _short(error: BaseException) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0][:120]}" if said else type(error).__name__
