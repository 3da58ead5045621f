"""A dynamic contrast-enhanced study as one array in millimetres and seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .geometry import Geometry


@dataclass(frozen=True)
class PhaseTimes:
    """When each phase was acquired.

    Attributes:
        start_s: seconds from the start of the first phase, one per phase, never falling; the first is 0.
        source: per phase, the DICOM keyword that gave its time (such as "AcquisitionTime").
        middle_s: the middle of each phase's acquisition, likewise; empty where the files do not tell all of them.
    """

    start_s: tuple[float, ...]
    source: tuple[str, ...]
    middle_s: tuple[float, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.middle_s and len(self.middle_s) != len(self.start_s):
            raise ValueError("Either every phase has a middle or none.")
        if len(self.start_s) != len(self.source):
            raise ValueError("Every phase time needs a source.")
        if any(b < a for a, b in zip(self.start_s, self.start_s[1:], strict=False)):
            raise ValueError("Phase times must not fall.")

    def __len__(self) -> int:
        return len(self.start_s)

    def nearest(self, seconds: float, first: int = 0) -> int:
        """The phase, from `first` on, whose start is closest to `seconds` after the start of phase 0."""
        return min(range(first, len(self.start_s)), key=lambda i: abs(self.start_s[i] - seconds))


@dataclass(frozen=True)
class FrameRef:
    """Which stored image a slice came from: SOPInstanceUID and, in a multi-frame object, the frame (from 0)."""

    sop_instance_uid: str
    frame: int | None = None


@dataclass(frozen=True)
class Identity:
    """What tells one study from another without naming the patient.

    Attributes:
        study_uid: StudyInstanceUID (0020,000D).
        series_uids: SeriesInstanceUIDs (0020,000E) of the phases, in order of first use.
        frame_of_reference_uid: FrameOfReferenceUID (0020,0052), or "".
        synthetic: the files say that they are synthetic.
    """

    study_uid: str
    series_uids: tuple[str, ...] = ()
    frame_of_reference_uid: str = ""
    synthetic: bool = False


@dataclass(frozen=True, eq=False)
class DceVolume:
    """A dynamic study: `data[phase, slice, row, column]` in the scanner's units.

    Attributes:
        data: shape (phases, slices, rows, columns); integer as stored where no rescaling is needed, else float32.
        geometry: of every phase; `geometry.shape == data.shape[1:]`.
        times: one per phase.
        identity: what study this is.
        frames: `frames[phase][slice]`, the stored image of each slice; empty where there is none.
        description: the series' own description, for people; never a patient's name.
        pre_contrast: index of the phase taken as pre-contrast.
        warnings: sentences about the input that a reader must see.
    """

    data: NDArray[np.generic]
    geometry: Geometry
    times: PhaseTimes
    identity: Identity
    frames: tuple[tuple[FrameRef, ...], ...] = ()
    description: str = ""
    pre_contrast: int = 0
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.data.ndim != 4 or self.data.shape[1:] != self.geometry.shape:
            raise ValueError("The array must be (phase, slice, row, column) of the geometry's shape.")
        if self.data.shape[0] != len(self.times):
            raise ValueError("Every phase needs a time.")
        if not 0 <= self.pre_contrast < self.data.shape[0]:
            raise ValueError("The pre-contrast phase must be one of the phases.")

    @property
    def n_phases(self) -> int:
        """The number of phases."""
        return int(self.data.shape[0])

    @property
    def n_slices(self) -> int:
        """The number of slices."""
        return int(self.data.shape[1])

    def subtraction(self, phase: int) -> NDArray[np.float32]:
        """Phase minus pre-contrast, shape (slices, rows, columns), float32, in the scanner's units."""
        difference: NDArray[np.float32] = self.data[phase].astype(np.float32)
        difference -= self.data[self.pre_contrast]
        return difference
