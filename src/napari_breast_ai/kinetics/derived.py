"""Images that follow from phases: a phase, the difference of any two, relative enhancement. Nothing is computed
before a slice is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume, Geometry
from .enhancement import TISSUE, tissue_floor
from .errors import KineticsError
from .lazy import LazyStack
from .signals import MOST_PERCENT, as_float

Kind = Literal["phase", "subtraction", "relative"]


@dataclass(frozen=True, eq=False)
class Derived:
    """An image of a study, as an array of slices that are computed when they are asked for.

    Attributes:
        volume: the study.
        kind: "phase" (the signal itself), "subtraction" (phase minus base, in the scanner's units) or "relative"
            (100 · (phase - base) / base, in per cent, 0 outside tissue).
        phase: counted from 0.
        base: what is subtracted or compared with; None for a phase alone.
        tissue: of a relative image, what is darker than this part of the base's 99th percentile is left out.
    """

    volume: DceVolume = field(repr=False)
    kind: Kind
    phase: int
    base: int | None = None
    tissue: float = TISSUE

    @cached_property
    def floor(self) -> float:
        """Of a relative image the signal of `base` above which a voxel is tissue, looked for when first asked for."""
        if self.kind != "relative" or self.base is None:
            return 0.0
        return tissue_floor(self.volume.data[self.base], self.tissue)

    @property
    def ready(self) -> bool:
        """Whether a slice costs no more than itself: `floor` is known, or not needed."""
        return self.kind != "relative" or "floor" in self.__dict__

    @property
    def geometry(self) -> Geometry:
        """That of the study."""
        return self.volume.geometry

    @property
    def name(self) -> str:
        """For people."""
        if self.kind == "phase":
            return f"Phase {self.phase}"
        if self.kind == "subtraction":
            return f"Phase {self.phase} - phase {self.base}"
        return f"Enhancement of phase {self.phase} over phase {self.base} (%)"

    @property
    def stack(self) -> LazyStack:
        """The array: (slices, rows, columns), of the study's type for a phase of whole numbers, float32 else."""
        stored = self.volume.data.dtype
        dtype = stored if self.kind == "phase" and stored.kind != "f" else np.dtype(np.float32)
        return LazyStack.each(self.geometry.shape, dtype, self.at)

    def block(self, first: int, stop: int) -> NDArray[Any]:
        """Slices first to stop - 1. Values that are no numbers count as no signal."""
        return self.at((slice(first, stop),))

    def at(self, where: tuple[Any, ...]) -> NDArray[Any]:
        """What an index into (slices, rows, columns) names."""
        data = self.volume.data
        base = None if self.base is None else data[(self.base, *where)]
        return self.of(data[(self.phase, *where)], base)

    def of(self, later: NDArray[Any], earlier: NDArray[Any] | None) -> NDArray[Any]:
        """The image of two pieces of the phases, of any shape."""
        if self.kind == "phase" or earlier is None:
            return as_float(later) if later.dtype.kind == "f" else later
        before = as_float(earlier)
        change = as_float(later)
        change -= before
        if self.kind == "subtraction":
            return change
        out: NDArray[np.float32] = np.zeros(change.shape, np.float32)
        change *= np.float32(100)
        with np.errstate(over="ignore"):
            np.divide(change, before, out=out, where=before > self.floor)
        return np.clip(out, -MOST_PERCENT, MOST_PERCENT, out=out)


def phase_image(volume: DceVolume, phase: int) -> Derived:
    """A phase as it is.

    Raises:
        KineticsError: there is no such phase.
    """
    return Derived(volume, "phase", _checked(volume, phase))


def subtraction(volume: DceVolume, phase: int, base: int | None = None) -> Derived:
    """Phase minus base, in the scanner's units, float32; differences below 0 are kept.

    Args:
        volume: the study.
        phase, base: any two; without a base the pre-contrast phase.

    Raises:
        KineticsError: there is no such phase, or both are the same.
    """
    base = volume.pre_contrast if base is None else base
    _checked(volume, phase)
    _checked(volume, base)
    if phase == base:
        raise KineticsError(f"Phase {phase} minus itself shows nothing. Choose two phases.")
    return Derived(volume, "subtraction", phase, base)


def relative_enhancement(
    volume: DceVolume, phase: int, base: int | None = None, *, tissue: float = TISSUE
) -> Derived:
    """100 · (phase - base) / base in per cent, float32, 0 where the base holds too little signal.

    Args:
        volume: the study.
        phase, base: any two; without a base the pre-contrast phase.
        tissue: what is darker than this part of the base's 99th percentile is left out.

    Raises:
        KineticsError: there is no such phase, or both are the same.
    """
    made = subtraction(volume, phase, base)
    assert made.base is not None
    return Derived(volume, "relative", phase, made.base, tissue)


def _checked(volume: DceVolume, phase: int) -> int:
    if not 0 <= phase < volume.n_phases:
        raise KineticsError(
            f"There is no phase {phase}: the study has phases 0 to {volume.n_phases - 1}. Choose one of them."
        )
    return phase
