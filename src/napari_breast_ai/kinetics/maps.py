"""The kinetic maps of a study. Enhancement is computed once; classes, bins and ratios follow from it per slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume, Geometry, Progress, silent
from .classes import F32, U8, Thresholds, classify, ser, ser_bins
from .enhancement import TISSUE, enhancement, tissue_floor
from .errors import KineticsError
from .lazy import LazyStack
from .phases import PhaseChoice, choose_phases
from .signals import LARGEST, as_float

JUMP_LOW, JUMP_HIGH = 0.7, 1.6
"""Tissue as a whole is neither darkened nor brightened by contrast so far: another gain or scale factor is likely."""

FULL_BITS = (8, 10, 12, 14, 15, 16)
_MANY_FULL = 20
_SAMPLE = 500_000

ARRIVED = 0.2
"""Contrast has arrived in the phase in which the strongly enhancing tissue reaches this part of its highest rise."""


@dataclass(frozen=True, eq=False)
class KineticMaps:
    """Enhancement of every voxel, and all that follows from it.

    Attributes:
        volume: the study; not changed.
        choice: the phases that are compared.
        floor: signal before contrast above which a voxel is tissue.
        initial: initial enhancement in per cent, float32 (slices, rows, columns); 0 outside tissue.
        delayed: delayed course in per cent, likewise; None without a late phase.
        full: the largest value that the images can store, where voxels hold it; None else.
        warnings: sentences that a reader must see.
    """

    volume: DceVolume = field(repr=False)
    choice: PhaseChoice
    floor: float
    initial: F32 = field(repr=False)
    delayed: F32 | None = field(repr=False)
    full: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def geometry(self) -> Geometry:
        """Of the maps and of the study."""
        return self.volume.geometry

    def tissue(self, where: Any = ...) -> NDArray[np.bool_]:
        """Whether voxels are tissue, for an index into (slices, rows, columns)."""
        s0 = self.volume.data[self.choice.pre][where]
        # Not "above the floor" alone: infinity is no signal.
        return np.asarray((s0 > self.floor) & (s0 < LARGEST))

    def classes(self, where: Any, thresholds: Thresholds, every: bool = False) -> U8:
        """Codes of `CLASS_NAMES` for an index into (slices, rows, columns), uint8; quick enough to follow a slider.

        Args:
            where: such as a slice's number.
            thresholds: see `Thresholds`.
            every: give every voxel its class, those below the threshold of showing, and what is no tissue, too.
        """
        delayed = None if self.delayed is None else self.delayed[where]
        return classify(self.initial[where], delayed, thresholds, every)

    def ser(self, where: Any) -> NDArray[np.float32]:
        """Signal enhancement ratio for an index into (slices, rows, columns); 0 where it is undefined.

        Raises:
            KineticsError: there is no late phase.
        """
        late = self.need_late("SER")
        data = self.volume.data
        s0, s1, sd = (data[p][where] for p in (self.choice.pre, self.choice.early, late))
        return ser(s0, s1, sd, self.tissue(where))

    def ser_bins(self, where: Any, shown: float = Thresholds.shown) -> U8:
        """The bin of the ratio, 1 to 5 (see `SER_EDGES`), 0 where there is none or too little enhancement.

        Raises:
            KineticsError: there is no late phase.
        """
        return ser_bins(self.ser(where), self.initial[where], shown)

    def class_stack(self, thresholds: Callable[[], Thresholds]) -> LazyStack:
        """Codes as an array of slices that are computed when they are asked for, with the thresholds of that moment."""
        return LazyStack.each(self.geometry.shape, np.uint8, lambda where: self.classes(where, thresholds()))

    def need_late(self, what: str) -> int:
        """The late phase.

        Raises:
            KineticsError: there is none; the sentence says that `what` needs it.
        """
        if self.choice.late is None:
            raise KineticsError(
                f"{what} needs a late phase, and this study has none that can be used. {self.choice.late_reason}"
            )
        return self.choice.late


def kinetic_maps(
    volume: DceVolume,
    choice: PhaseChoice | None = None,
    *,
    tissue: float = TISSUE,
    out: tuple[F32, F32 | None] | None = None,
    progress: Progress = silent,
) -> KineticMaps:
    """Compute the enhancement of a study.

    Args:
        volume: the study with all its pixels.
        choice: of phases; None lets `choose_phases` choose.
        tissue: voxels whose signal before contrast is below this part of its 99th percentile are left out.
        out: float32 arrays (slices, rows, columns) to use again, for the initial enhancement and the delayed course.
        progress: may raise `Cancelled`.

    Raises:
        KineticsError: no phases can be chosen, or the pre-contrast phase is empty.
    """
    choice = choose_phases(volume) if choice is None else choice
    if not 0 <= tissue < 1:
        raise KineticsError(
            "The part of the brightest signal that counts as tissue must lie from 0 to below 1."
        )
    before = volume.data[choice.pre]
    floor = tissue_floor(before, tissue)
    if not _holds_signal(before, floor):
        raise KineticsError(
            f"Phase {choice.pre}, taken as the pre-contrast one, holds no signal. Choose another pre-contrast phase, "
            "or load the study again."
        )
    late = None if choice.late is None else volume.data[choice.late]
    initial, delayed = enhancement(before, volume.data[choice.early], late, floor, out=out, progress=progress)
    full = full_value(volume, choice)
    warnings = [*choice.warnings, *_jumps(volume, choice, floor), *_late_arrival(volume, choice, floor)]
    if full is not None:
        warnings.append(
            f"Voxels hold {full:g}, the largest value that the images can store: what lies there may be brighter, and "
            "its enhancement and course are not to be relied on."
        )
    return KineticMaps(volume, choice, floor, initial, delayed, full, tuple(warnings))


def full_value(volume: DceVolume, choice: PhaseChoice) -> float | None:
    """The value at which the images are saturated: a full number of bits that some twenty voxels hold; None else."""
    if volume.data.dtype.kind not in "iu":
        return None
    phases = [volume.data[p] for p in (choice.pre, choice.early, choice.late) if p is not None]
    top = max(int(phase.max()) for phase in phases)
    if top not in [2**bits - 1 for bits in FULL_BITS]:
        return None
    held = sum(int(np.count_nonzero(phase == top)) for phase in phases)
    return float(top) if held >= _MANY_FULL else None


def _holds_signal(before: NDArray[Any], floor: float) -> bool:
    return any(bool(((one > floor) & (one < LARGEST)).any()) for one in before)


def _jumps(volume: DceVolume, choice: PhaseChoice, floor: float) -> list[str]:
    """Remarks on phases that are brighter or darker as a whole than contrast makes them."""
    step = max(1, int((volume.data[0].size / _SAMPLE) ** 0.5))
    some = (slice(None), slice(None, None, step), slice(None, None, step))
    before = as_float(volume.data[choice.pre][some])
    inside = before > floor
    said = []
    for phase in (choice.early, choice.late):
        if phase is None or not inside.any():
            continue
        ratio = float(np.median(as_float(volume.data[phase][some][inside]) / before[inside]))
        if not JUMP_LOW <= ratio <= JUMP_HIGH:
            said.append(
                f"Phase {phase} is {ratio:.2g} times as bright as phase {choice.pre} in all tissue: another gain or "
                "scale factor is likely, and per cent of enhancement cannot be relied on. Export the series again "
                "with its rescale factors."
            )
    return said


def _late_arrival(volume: DceVolume, choice: PhaseChoice, floor: float) -> list[str]:
    """A remark where several phases were taken before contrast arrived, so that times count from too early on."""
    first = choice.pre + 1
    if volume.n_phases - first < 3:
        return []
    step = max(1, int((volume.data[0].size / (_SAMPLE / 5)) ** 0.5))
    some = (slice(None), slice(None, None, step), slice(None, None, step))
    before = as_float(volume.data[choice.pre][some])
    inside = before > floor
    before = before[inside]
    if not before.size:
        return []
    with np.errstate(over="ignore"):
        rises = np.stack(
            [as_float(volume.data[p][some][inside]) / before - 1 for p in range(first, volume.n_phases)]
        )
    rises = np.clip(rises, -100, 100)
    # The late half decides which tissue enhances: a single phase's noise does not.
    lasting = rises[len(rises) // 2 :].mean(axis=0)
    strong = rises[:, lasting >= np.percentile(lasting, 98)].mean(axis=1)
    if not strong.max() > 0.2:
        return []
    arrived = first + int(np.argmax(strong >= ARRIVED * strong.max()))
    if arrived - first < 1:
        return []
    return [
        f"Contrast seems to arrive in phase {arrived}; the phases before it show next to no enhancement. Choose phase "
        f"{arrived - 1} as the pre-contrast one, so that times count from there."
    ]
