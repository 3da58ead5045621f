"""Pharmacokinetics in the window: what must be known, a lesion live, a volume behind the screen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import Signal

from ..core import BreastAIError, Progress
from .kinetic_fits import FILE, REGION, LesionFit, Plan, Settings, at_area, fit_lesion
from .kinetic_look import CLASSES, EXCHANGE_NAMES, exchange_limits

if TYPE_CHECKING:
    from ..kinetics import Area
    from ..kinetics.pharmaco import ArterialInput, Maps, SpoiledGradientEcho, T1Map
    from .kinetics import Kinetics
    from .session import Session

VOLUME, LESION, T1 = "exchange", "exchange of the lesion", "t1"


class Exchange:
    """Settings, the fit of the lesion that is meant, and the maps; for the study on the screen.

    Attributes:
        settings: see `Settings`; `tell` changes them.
        watched: whether the fit of the lesion is shown, and so follows the lesion.
        lesion: the fit of the lesion; None while there is none.
        maps: of the volume; None while there are none. limits: the ends of their colours, by parameter.
        problem: why there is no fit, in a sentence; or "".
        changed: emitted when any of these changes.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session, kinetics: Kinetics) -> None:
        self._session, self._kinetics = session, kinetics
        self.settings = Settings()
        self.watched = False
        self.lesion: LesionFit | None = None
        self.maps: Maps | None = None
        self.limits: dict[str, tuple[float, float]] = {}
        self.problem = ""
        self._from_headers = False
        self._fitted: tuple[int, tuple[int, ...]] | None = None
        self._artery: tuple[Any, ArterialInput] | None = None
        kinetics.lesions.changed.connect(self._fit_lesion)
        kinetics.lesions.current_changed.connect(self._fit_lesion)
        kinetics.changed.connect(self._on_phases)

    @property
    def convertible(self) -> bool:
        """Whether signals can be turned into concentrations."""
        return not self.settings.missing() and self._kinetics.choice is not None

    @property
    def busy(self) -> bool:
        """Whether the volume is being fitted."""
        return self._session.workers.running(VOLUME)

    def watch(self, on: bool) -> None:
        """Follow the lesion, or rest."""
        self.watched = on
        if on:
            self._read_headers()
            self._fit_lesion()

    def tell(self, **changes: Any) -> None:
        """Change settings by their names; what rests on them is made anew."""
        self.settings = replace(self.settings, **changes)
        if set(changes) - {"where"}:
            self._artery = None
            self._kinetics.curves.changed.emit()
            self._fit_lesion()
        self.changed.emit()

    def concentration(self, area: Area) -> tuple[float, ...] | None:
        """The mean concentration of an area's voxels in each phase, mM; None where settings are missing.

        Raises:
            PharmacoError: no voxel has a concentration in every phase.
        """
        volume = self._kinetics.volume
        if volume is None or not self.convertible:
            return None
        from ..kinetics.pharmaco import T1Map, region_curve

        place = (slice(None), *area.place)
        t1 = at_area(self._t1, area)
        before = t1.t1_s if isinstance(t1, T1Map) else t1
        curve = region_curve(volume.data[place], area.mask, self._sequence, before, self._baseline)
        return tuple(float(one) for one in curve)

    # ---------------------------------------------------------------- settings

    def _read_headers(self) -> None:
        """Take over what the images' headers say of the sequence, once a study."""
        loader = self._session.loader
        if self._from_headers or loader is None:
            return
        from ..study import sequence_facts

        self._from_headers = True
        facts = sequence_facts(loader.headers)
        found = {
            "repetition_ms": None if facts.repetition_s is None else facts.repetition_s * 1000,
            "flip_deg": facts.flip_deg,
        }
        known = {name: value for name, value in found.items() if getattr(self.settings, name) is None}
        self.settings = replace(self.settings, **known)  # type: ignore[arg-type]
        self.changed.emit()

    def measure_t1(self, path: str | Path) -> None:
        """T1 from the images of several flip angles in a folder, in a thread."""
        volume = self._session.volume
        if volume is None:
            return

        def work(progress: Progress) -> T1Map:
            from ..kinetics.pharmaco import t1_nonlinear
            from ..study import read_flip_angles

            images = read_flip_angles([Path(path)], volume.geometry, progress=progress)
            return t1_nonlinear(images.signal, images.flips_deg, images.repetition_s, progress=progress)

        self._start_t1(work, "Measure T1")

    def read_t1(self, path: str | Path) -> None:
        """A T1 map in seconds from a file, in a thread."""
        volume = self._session.volume
        if volume is None:
            return

        def work(progress: Progress) -> T1Map:
            from ..kinetics.pharmaco import told_t1
            from ..study import read_on_slices

            return told_t1(read_on_slices(Path(path), volume.geometry, progress), Path(path).name)

        self._start_t1(work, "Read the T1 map")

    def _start_t1(self, work: Any, name: str) -> None:
        session, volume = self._session, self._session.volume

        def done(found: T1Map) -> None:
            if session.volume is volume:
                self.tell(t1_map=found)

        session.workers.start(T1, name, work, done=done, failed=session.fail)

    @property
    def _sequence(self) -> SpoiledGradientEcho:
        from ..kinetics.pharmaco import SpoiledGradientEcho

        one = self.settings
        assert one.repetition_ms is not None and one.flip_deg is not None and one.relaxivity is not None
        return SpoiledGradientEcho(one.repetition_ms / 1000, one.flip_deg, one.relaxivity)

    @property
    def _t1(self) -> float | T1Map:
        t1 = self.settings.t1_map if self.settings.t1_map is not None else self.settings.t1_s
        assert t1 is not None
        return t1

    @property
    def _baseline(self) -> tuple[int, ...]:
        choice = self._kinetics.choice
        assert choice is not None
        return tuple(range(choice.pre + 1))

    # -------------------------------------------------------------------- fits

    def _plan(self) -> Plan | None:
        """What a fit needs; None, and `problem` says why, where something is missing."""
        kinetics, settings = self._kinetics, self.settings
        volume, maps = kinetics.volume, kinetics.maps
        self.problem = ""
        if volume is None or maps is None:
            return None
        from ..study import times_unknown

        if missing := settings.missing():
            self.problem = f"Tell {_and(missing)}: without it no concentration can be had from the signal."
            return None
        if times_unknown(volume):
            self.problem = "Tell the times of the phases first: the exchange is a matter of minutes."
            return None
        vessel: Area | None = None
        if settings.artery == REGION:
            vessel = next(
                (one.area for one in kinetics.lesions.found if one.number and one.key == settings.artery_key),
                None,
            )
            if vessel is None:
                self.problem = "Paint a region in an artery, and choose it as the arterial input."
                return None
            if settings.blood_t1_s is None:
                self.problem = "Tell the T1 of blood: about 1.44 s at 1.5 T and 1.65 s at 3 T."
                return None
        if settings.artery == FILE and not settings.artery_file:
            self.problem = "Choose the file of the arterial input."
            return None
        try:
            return Plan(volume, settings, self._sequence, self._t1, self._baseline, vessel)
        except BreastAIError as error:
            self.problem = str(error)
            return None

    def _fit_lesion(self) -> None:
        """Fit the lesion that is meant, in a thread; the last fit stays until the new one is there."""
        session = self._session
        meant = self._kinetics.lesions.measured
        plan = self._plan() if self.watched and self._kinetics.on else None
        if plan is None or meant is None:
            session.workers.cancel(LESION)
            self.lesion = None
            if self.watched and meant is None and not self.problem:
                self.problem = (
                    self._kinetics.problem
                    or "Draw a box, or grow or paint a region: its exchange is fitted here."
                )
            self.changed.emit()
            return
        kept = self._artery

        def work(progress: Progress) -> tuple[ArterialInput, LesionFit]:
            arterial = plan.arterial() if kept is None else kept[1]
            return arterial, fit_lesion(plan, arterial, meant.area, progress)

        def done(found: tuple[ArterialInput, LesionFit]) -> None:
            if self.settings is plan.settings and self._kinetics.volume is plan.volume:
                self._artery = plan.settings, found[0]
                self.lesion = found[1]
                self.changed.emit()

        def failed(error: BaseException) -> None:
            self.lesion = None
            if not isinstance(error, BreastAIError):
                session.fail(error)
            self.problem = str(error)
            self.changed.emit()

        session.workers.start(LESION, "Fit the lesion", work, done=done, failed=failed, quiet=True)

    def fit_volume(self) -> None:
        """Fit every voxel that is wanted, in a thread, and show the map of Ktrans."""
        session, kinetics = self._session, self._kinetics
        plan, found = self._plan(), kinetics.maps
        if plan is None or found is None:
            self.changed.emit()
            return
        shown = kinetics.thresholds.shown
        enhancing = self.settings.where == "enhancing"
        kept = self._artery

        def work(progress: Progress) -> tuple[ArterialInput, Maps, dict[str, tuple[float, float]]]:
            from ..kinetics.pharmaco import pharmacokinetic_maps

            arterial = plan.arterial() if kept is None else kept[1]
            region = found.initial >= shown if enhancing else None
            made = pharmacokinetic_maps(
                plan.volume.data, plan.volume.times.start_s, plan.sequence, plan.t1, arterial,
                plan.settings.model, plan.baseline, region, progress=progress,
            )  # fmt: skip
            return arterial, made, exchange_limits(made)

        def done(made: tuple[ArterialInput, Maps, dict[str, tuple[float, float]]]) -> None:
            if kinetics.volume is plan.volume and kinetics.choice is not None:
                self.maps, self.limits, self._fitted = made[1], made[2], self._fitted_to()
                if self.settings is plan.settings:
                    self._artery = plan.settings, made[0]
                self.changed.emit()
                kinetics.layers.show(map="ktrans")

        session.workers.start(VOLUME, "Fit the volume", work, done=done, failed=session.fail)
        self.changed.emit()

    def forget(self) -> None:
        """Another study: nothing of it is known. The agent and the model are most likely the same."""
        for job in (VOLUME, LESION, T1):
            self._session.workers.cancel(job)
        self.settings = Settings(model=self.settings.model, relaxivity=self.settings.relaxivity)
        self.lesion = self.maps = self._artery = None
        self._from_headers, self.problem = False, ""
        if self.watched:
            self._read_headers()
        self.changed.emit()

    def _on_phases(self) -> None:
        """Other phases, or phases that were moved: what was fitted to the old ones goes."""
        self._artery = None
        kinetics = self._kinetics
        if self.maps is not None and kinetics.choice is not None and self._fitted != self._fitted_to():
            self.maps = None
            self.changed.emit()
            if kinetics.layers.view.map in EXCHANGE_NAMES:
                kinetics.layers.show(map=CLASSES)

    def _fitted_to(self) -> tuple[int, tuple[int, ...]]:
        return id(self._kinetics.volume), self._baseline


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
