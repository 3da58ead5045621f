"""A study's pixels, read into one array in the order in which a person looks at them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume, FrameRef, PhaseTimes, Progress, silent
from .errors import StudyError
from .headers import Frame
from .index import Group
from .pixels import fill
from .quiet import quiet_parsers

Place = tuple[int, int]
"""Phase and slice."""

_Wanted = tuple[int, int, Frame]


class Loader:
    """The volume of a group, there from the start and filled slice by slice.

    Values are in the scanner's units: each frame's own RescaleSlope and RescaleIntercept are applied, so that
    phases with different factors compare. They stay integers where no slope differs from 1 and intercepts are
    whole, and become float32 otherwise. A slice that has not been read yet is 0.

    Attributes:
        volume: its `data` is filled in place.
        loaded: bool, (phases, slices).
        broken: files whose pixels cannot be read, each with a sentence; their slices stay empty.
    """

    def __init__(self, group: Group) -> None:
        """Allocate; nothing is read yet.

        Raises:
            StudyError: the group is no regular stack of grey images.
        """
        geometry = group.geometry
        if geometry is None:
            raise StudyError(
                f"{group.title} cannot be shown as a volume: its images make no regular stack of slices in the "
                "patient. Choose another series."
            )
        frames = group.frames
        if any(frame.source.pixels.samples != 1 or frame.source.pixels.palette for frame in frames):
            raise StudyError(f"{group.title} holds colour images; a series of grey MR images is needed.")
        self._frames = tuple(phase.frames for phase in group.phases)
        kind = _value_type(frames)
        size = group.n_phases * int(np.prod(geometry.shape, dtype=object)) * kind.itemsize
        try:
            # Zeros cost nothing until they are written: memory grows with what has been read.
            data = np.zeros((group.n_phases, *geometry.shape), dtype=kind)
        except (MemoryError, ValueError) as error:
            raise StudyError(
                f"{group.title} needs {size / 2**30:.1f} GiB of memory, more than there is. Close other programs, "
                "or choose a smaller series."
            ) from error
        self.broken: dict[Path, str] = {}
        self.loaded: NDArray[np.bool_] = np.zeros((group.n_phases, geometry.shape[0]), dtype=bool)
        self.volume = DceVolume(
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
            warnings=(*group.warnings, *_padding_said(frames)),
        )

    @property
    def headers(self) -> tuple[Frame, ...]:
        """What the header says of each image, phase after phase."""
        return tuple(frame for frames in self._frames for frame in frames)

    @property
    def complete(self) -> bool:
        """Whether every slice has been read."""
        return bool(self.loaded.all())

    def load(
        self, progress: Progress = silent, first: Place = (0, 0), only: Collection[Place] | None = None
    ) -> None:
        """Read what has not been read yet: slice `first`, then its phase outwards from it, then the others.

        A file that cannot be read costs its own slices only: everything else is read before that is said.

        Args:
            progress: called once per file (or part of a multi-frame file); may raise `Cancelled`. What has been
                read until then stays.
            first: phase and slice that are looked at.
            only: read these slices and no others.

        Raises:
            StudyError: pixels of a file cannot be read; the sentence names it.
        """
        wanted = [
            (p, z, frame)
            for p, frames in enumerate(self._frames)
            for z, frame in enumerate(frames)
            if not self.loaded[p, z] and (only is None or (p, z) in only)
        ]
        wanted.sort(key=lambda one: (abs(one[0] - first[0]), abs(one[1] - first[1]), one[1]))
        workers = min(8, os.cpu_count() or 1)
        parts = _parts(wanted, workers)
        progress(0, len(parts), "Reading pixels")
        with quiet_parsers(), ThreadPoolExecutor(max_workers=workers) as pool:
            pending: list[Future[None]] = [pool.submit(self._read, part) for part in parts]
            try:
                for done, future in enumerate(as_completed(pending), start=1):
                    future.result()
                    progress(done, len(parts), "Reading pixels")
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)  # cancelled: read no further
                raise
        if self.broken:
            others = len(self.broken) - 1
            more = f" So are {others} other files." if others else ""
            raise StudyError(next(iter(self.broken.values())) + more)

    def _read(self, part: Sequence[_Wanted]) -> None:
        """In a thread: frames of one file into their places."""
        path = part[0][2].source.path
        try:
            fill([frame for _, _, frame in part], [self.volume.data[p, z] for p, z, _ in part])
        except Exception as error:  # noqa: BLE001 - decoders raise anything
            for p, z, _ in part:  # half a slice would look like a whole one
                self.volume.data[p, z] = 0
            self.broken[path] = (
                f"The pixels of “{path.name}” cannot be read ({_short(error)}). The file is damaged, or "
                "compressed in a way that no installed decoder knows; export the series again, uncompressed."
            )
        else:
            for p, z, _ in part:
                self.loaded[p, z] = True


def _parts(wanted: Sequence[_Wanted], workers: int) -> list[list[_Wanted]]:
    """What one thread reads at a time: a file, or some frames of a large one, in order of first need."""
    by_file: dict[Path, list[_Wanted]] = defaultdict(list)
    for one in wanted:
        by_file[one[2].source.path].append(one)
    parts = []
    for frames in by_file.values():
        whole = frames[0][2].source.pixels.offset is None and frames[0][2].source.pixels.packed > 0
        size = len(frames) if whole else max(1, min(16, -(-len(frames) // (4 * workers))))
        parts.extend([frames[i : i + size] for i in range(0, len(frames), size)])
    place = {(p, z): i for i, (p, z, _) in enumerate(wanted)}
    return sorted(parts, key=lambda part: place[part[0][0], part[0][1]])


def _padding_said(frames: Sequence[Frame]) -> list[str]:
    values = {frame.source.pixels.padding for frame in frames} - {None, (0, 0)}
    if not values:
        return []
    said = ", ".join(
        sorted({str(low) if low == high else f"{low} to {high}" for low, high in filter(None, values)})
    )
    return [f"Pixels that the files mark as outside the image (padding value {said}) are set to 0."]


def _times(group: Group) -> PhaseTimes:
    starts = [phase.time_s for phase in group.phases]
    known = [start for start in starts if start is not None]
    if len(known) < len(starts) or any(b < a for a, b in pairwise(known)):
        return PhaseTimes((0.0,) * len(starts), ("unknown",) * len(starts))
    middles = [phase.mid_s for phase in group.phases]
    told = [middle for middle in middles if middle is not None]
    if len(told) < len(middles) or any(b <= a for a, b in pairwise(told)):
        told = []
    return PhaseTimes(tuple(known), tuple(phase.time_source for phase in group.phases), tuple(told))


def _value_type(frames: Sequence[Frame]) -> np.dtype[np.generic]:
    """The smallest type that holds every value exactly, or float32."""
    if any(frame.source.pixels.real for frame in frames):
        return np.dtype(np.float32)
    if any(frame.slope != 1.0 or not frame.intercept.is_integer() for frame in frames):
        return np.dtype(np.float32)
    low = high = 0.0
    kinds = {
        (
            frame.source.pixels.bits_allocated,
            frame.source.pixels.bits_stored,
            frame.source.pixels.signed,
            frame.intercept,
        )
        for frame in frames
    }
    for allocated, stored, signed, intercept in kinds:
        if allocated not in (1, 8, 16, 32):
            return np.dtype(np.float32)
        bits = max(min(stored, allocated), 1)
        least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        low, high = min(low, least + intercept), max(high, most + intercept)
    # Of types of one size the stored one comes first: it needs no conversion.
    for kind in (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max and limits.bits >= 8:
            return np.dtype(kind)
    return np.dtype(np.float32)


def _short(error: BaseException) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0][:120]}" if said else type(error).__name__
