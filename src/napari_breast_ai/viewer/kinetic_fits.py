"""What a pharmacokinetic fit rests on, and the fit of one lesion; no part of it touches the window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..core import DceVolume, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..kinetics import Area
    from ..kinetics.pharmaco import ArterialInput, Fit, SpoiledGradientEcho, T1Map

MODELS = {"extended-tofts": "extended Tofts", "tofts": "Tofts", "patlak": "Patlak"}
POPULATIONS = {"georgiou": "Georgiou 2019 (breast)", "parker": "Parker 2006"}
FILE, REGION = "file", "region"
Where = Literal["enhancing", "tissue"]


@dataclass(frozen=True, eq=False)
class Settings:
    """What the study does not say by itself; None where it is not known.

    Attributes:
        model: one of `MODELS`.
        t1_s: assumed T1 of tissue before contrast, seconds. t1_map: a measured one, which wins.
        repetition_ms, flip_deg: of the dynamic series.
        relaxivity: of the agent, per s and mM.
        artery: one of `POPULATIONS`, `FILE` or `REGION`.
        artery_file: a CSV file. artery_key: the painted region's key among the measured ones.
        arrival_s: when a population's bolus arrives; None looks for it.
        blood_t1_s: for a painted artery.
        where: which voxels of the volume are fitted.
    """

    model: str = "extended-tofts"
    t1_s: float | None = None
    t1_map: T1Map | None = None
    repetition_ms: float | None = None
    flip_deg: float | None = None
    relaxivity: float | None = None
    artery: str = "georgiou"
    artery_file: str = ""
    artery_key: str = ""
    arrival_s: float | None = None
    blood_t1_s: float | None = None
    where: Where = "enhancing"

    def missing(self) -> list[str]:
        """What must still be told, in words that follow “Tell”."""
        found = []
        if self.t1_s is None and self.t1_map is None:
            found.append("the T1 of tissue before contrast")
        if self.repetition_ms is None:
            found.append("the repetition time (TR)")
        if self.flip_deg is None:
            found.append("the flip angle")
        if self.relaxivity is None:
            found.append("the agent's relaxivity")
        return found

    def made_of(self) -> tuple[Any, ...]:
        """What of it goes into a fit: where two settings have the same, the fits of a voxel are the same."""
        artery: tuple[Any, ...] = (self.artery, self.arrival_s)
        if self.artery == FILE:
            artery = self.artery, self.artery_file
        elif self.artery == REGION:
            artery = self.artery, self.artery_key, self.blood_t1_s
        before = self.t1_s if self.t1_map is None else self.t1_map
        return self.model, before, self.repetition_ms, self.flip_deg, self.relaxivity, *artery


@dataclass(frozen=True, eq=False)
class LesionFit:
    """The exchange of one lesion.

    Attributes:
        name: of the lesion.
        fit: of the mean concentration of its voxels, a single curve.
        voxels: median, quartiles and mean of the fits of its voxels, by parameter; empty where none could be fitted.
        notes: what was assumed and what to beware of.
    """

    name: str
    fit: Fit
    voxels: dict[str, dict[str, float]]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a fit rests on: the study, what was told of it, and of a painted artery its voxels."""

    volume: DceVolume
    settings: Settings
    sequence: SpoiledGradientEcho
    t1: float | T1Map
    baseline: tuple[int, ...]
    vessel: Area | None

    def same_as(self, other: Plan) -> bool:
        """Whether both have the same arterial input, and fit a voxel alike."""
        return (
            self.volume is other.volume
            and self.baseline == other.baseline
            and self.settings.made_of() == other.settings.made_of()
            and same_voxels(self.vessel, other.vessel)
        )

    def arterial(self) -> ArterialInput:
        """The arterial input that the settings name."""
        from ..kinetics.pharmaco import arrived_input, artery_input, population_input, read_input

        one, volume, times = self.settings, self.volume, self.volume.times.start_s
        if one.artery == FILE:
            return read_input(Path(one.artery_file))
        if one.artery == REGION:
            assert self.vessel is not None and one.blood_t1_s is not None
            block = volume.data[(slice(None), *self.vessel.place)]
            return artery_input(block, times, self.vessel.mask, self.sequence, one.blood_t1_s, self.baseline)
        if one.arrival_s is not None:
            return population_input(one.artery, float(times[-1]), one.arrival_s)
        return arrived_input(one.artery, volume.data, times, self.sequence, self.t1, one.model, self.baseline)


def fit_lesion(plan: Plan, arterial: ArterialInput, area: Area, progress: Progress) -> LesionFit:
    """Fit an area's mean concentration, and each of its voxels."""
    from ..kinetics.pharmaco import T1Map, fit_curves, pharmacokinetic_maps, region_curve

    block = plan.volume.data[(slice(None), *area.place)]
    t1 = at_area(plan.t1, area)
    times, model = plan.volume.times.start_s, plan.settings.model
    before = t1.t1_s if isinstance(t1, T1Map) else t1
    curve = region_curve(block, area.mask, plan.sequence, before, plan.baseline)
    fit = fit_curves(curve, times, arterial, model)
    maps = pharmacokinetic_maps(
        block, times, plan.sequence, t1, arterial, model, plan.baseline, area.mask, progress=progress
    )
    return LesionFit(area.name, fit, maps.summary(), maps.notes)


def same_voxels(one: Area | None, other: Area | None) -> bool:
    """Whether two areas hold the same voxels, whatever their names."""
    if one is None or other is None:
        return one is other
    return one.place == other.place and np.array_equal(one.mask, other.mask)


def at_area(t1: float | T1Map, area: Area) -> float | T1Map:
    """The T1 of an area's block."""
    from ..kinetics.pharmaco import T1Map

    if not isinstance(t1, T1Map):
        return t1
    parts: dict[str, NDArray[Any]] = {
        name: np.asarray(getattr(t1, name)[area.place]) for name in ("t1_s", "s0", "r2", "fitted")
    }
    return replace(t1, **parts)  # type: ignore[arg-type]
