"""Pharmacokinetics in the window: what must be known, a lesion live, a volume behind the screen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import Signal

from ..core import BreastAIError, Progress
from .kinetic_fits import FILE, REGION, LesionFit, Plan, Settings, at_area, fit_lesion, same_voxels
from .kinetic_look import CLASSES, EXCHANGE_NAMES, exchange_limits

if TYPE_CHECKING:
    from ..kinetics import Area
    from ..kinetics.pharmaco import ArterialInput, Maps, SpoiledGradientEcho, T1Map
    from .kinetics import Kinetics
    from .session import Session

VOLUME, LESION, T1 = "exchange", "exchange of the lesion", "t1"
CHANGED = "What the maps were being fitted with has changed, so they were given up. Press “Make maps of” for new ones."


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
        # How many studies were there before: what is asked of one is not answered to another.
        self._studies = 0
        # What the maps, those in the making and the arterial input are made of.
        self._fitted: Plan | None = None
        self._fitting: Plan | None = None
        self._artery: tuple[Plan, ArterialInput] | None = None
        kinetics.lesions.changed.connect(self._on_lesions)
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
        """Change settings by their names; what rests on them is made anew, and maps that do go."""
        before = self.settings.made_of()
        self.settings = replace(self.settings, **changes)
        # A file that is chosen again may have been written anew.
        if "artery_file" in changes or self.settings.made_of() != before:
            self._let_go()
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
        session, study = self._session, self._studies

        def done(found: T1Map) -> None:
            if self._studies == study:
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
            vessel = self._vessel
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

    @property
    def _vessel(self) -> Area | None:
        """The painted artery as it was last measured."""
        found, key = self._kinetics.lesions.found, self.settings.artery_key
        return next((one.area for one in found if one.number and one.key == key), None)

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
        kept = self._kept(plan)

        def work(progress: Progress) -> tuple[ArterialInput, LesionFit]:
            arterial = plan.arterial() if kept is None else kept
            return arterial, fit_lesion(plan, arterial, meant.area, progress)

        def done(found: tuple[ArterialInput, LesionFit]) -> None:
            if self._holds(plan):
                self._artery = plan, found[0]
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
        kept = self._kept(plan)

        def work(progress: Progress) -> tuple[ArterialInput, Maps, dict[str, tuple[float, float]]]:
            from ..kinetics.pharmaco import pharmacokinetic_maps

            arterial = plan.arterial() if kept is None else kept
            region = found.initial >= shown if enhancing else None
            made = pharmacokinetic_maps(
                plan.volume.data, plan.volume.times.start_s, plan.sequence, plan.t1, arterial,
                plan.settings.model, plan.baseline, region, progress=progress,
            )  # fmt: skip
            return arterial, made, exchange_limits(made)

        def over() -> bool:
            """Whether it was still wanted until now."""
            wanted = self._fitting is plan
            if wanted:
                self._fitting = None
            return wanted

        def done(made: tuple[ArterialInput, Maps, dict[str, tuple[float, float]]]) -> None:
            if not over():
                return
            if not self._holds(plan):
                session.say(CHANGED)
                return
            self._clear()
            self.maps, self.limits, self._fitted = made[1], made[2], plan
            self._artery = plan, made[0]
            self.changed.emit()
            kinetics.layers.show(map="ktrans")

        def failed(error: BaseException) -> None:
            if over():
                session.fail(error)

        def cancelled() -> None:
            over()

        self._fitting = plan
        session.workers.start(VOLUME, "Fit the volume", work, done=done, failed=failed, cancelled=cancelled)
        self.changed.emit()

    def forget(self) -> None:
        """Another study: nothing of it is known. The agent and the model are most likely the same."""
        self._studies += 1
        for job in (VOLUME, LESION, T1):
            self._session.workers.cancel(job)
        self._fitting = None
        self.settings = Settings(model=self.settings.model, relaxivity=self.settings.relaxivity)
        self._from_headers = False
        self._begin()

    def follow_study(self) -> None:
        """The same images with other times, say: what was told and measured stays, what was fitted goes."""
        self._session.workers.cancel(LESION)
        self._begin()

    def _begin(self) -> None:
        """Nothing is fitted yet."""
        self.lesion, self.problem = None, ""
        self._let_go()
        if self.watched:
            self._read_headers()

    def _holds(self, plan: Plan) -> bool:
        """Whether study, phases and settings are still those of a plan."""
        kinetics = self._kinetics
        return (
            kinetics.volume is plan.volume
            and kinetics.choice is not None
            and plan.baseline == self._baseline
            and plan.settings.made_of() == self.settings.made_of()
        )

    def _kept(self, plan: Plan) -> ArterialInput | None:
        """The arterial input of the last fit, where it is the plan's too."""
        return self._artery[1] if self._artery is not None and self._artery[0].same_as(plan) else None

    def _on_phases(self) -> None:
        """Other phases, or phases that were moved: what was fitted to the old ones goes."""
        plans = (self._fitted, self._fitting, None if self._artery is None else self._artery[0])
        if any(plan is not None and not self._holds(plan) for plan in plans):
            self._let_go()

    def _on_lesions(self) -> None:
        """New figures: a painted artery may be another one, or gone, and what was fitted to the old one goes."""
        kinetics = self._kinetics
        # Without maps nothing is measured, and the artery may be where it was.
        if kinetics.on and kinetics.maps is not None:
            plan = self._fitting or self._fitted
            if plan is not None and plan.vessel is not None and not same_voxels(plan.vessel, self._vessel):
                self._let_go()
        self._fit_lesion()

    def _let_go(self) -> None:
        """What was fitted goes, and what is being fitted is given up: it is not of what there is now."""
        self._artery = None
        if self._fitting is not None:
            self._fitting = None
            self._session.workers.cancel(VOLUME)
            self._session.say(CHANGED)
        self._clear()
        self.changed.emit()

    def _clear(self) -> None:
        """Take the maps away; where one of them was shown, the kinetic classes are."""
        self.maps = self._fitted = None
        layers = self._kinetics.layers
        if layers.view.map in EXCHANGE_NAMES:
            layers.show(map=CLASSES)


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
