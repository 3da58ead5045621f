"""Enhancement over time in the window: which phases are compared, and what follows from them.

Nothing is computed before the dock is there and its switch is on. What belongs to a study goes with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from psygnal import Signal

from ..core import BreastAIError, DceVolume, Progress
from .kinetic_breast import Breasts
from .kinetic_curves import Curves
from .kinetic_exchange import Exchange
from .kinetic_layers import PROJECT, KineticLayers
from .kinetic_lesions import Lesions
from .kinetic_motion import Motion
from .kinetic_regions import Regions

if TYPE_CHECKING:
    from ..kinetics import KineticMaps, PhaseChoice, Thresholds
    from .session import Session

KINETICS = "kinetics"


@dataclass(frozen=True)
class Given:
    """The phases that a person chose by hand, counted from 0; None where time decides."""

    pre: int | None = None
    early: int | None = None
    late: int | None = None


class Kinetics:
    """Phases, thresholds and maps of the study on the screen; for one session.

    Attributes:
        watched: whether a dock shows this.
        on: whether maps and curves are shown.
        given: phases chosen by hand.
        choice: the phases that are compared, with the reasons; None where there is none.
        problem: why there is none, or no map, in a sentence; "" where nothing is in the way.
        maps: enhancement of every voxel; None while it is not known.
        thresholds: of the classes.
        layers, curves, lesions, regions, motion, exchange, breasts: what is made of it.
        changed: emitted when any of these changes but the thresholds, for which there is `thresholds_changed`.
    """

    changed: ClassVar[Signal] = Signal()
    thresholds_changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        from ..kinetics import Thresholds

        self._session = session
        self.watched = self.on = False
        self.given = Given()
        self.choice: PhaseChoice | None = None
        self.problem = ""
        self.maps: KineticMaps | None = None
        self.thresholds: Thresholds = Thresholds()
        self._study: DceVolume | None = None
        self._reading = 1
        self._waiting = False
        self.motion = Motion(session, self)
        self.layers = KineticLayers(session, self)
        self.regions = Regions(session, self)
        self.lesions = Lesions(session, self)
        self.curves = Curves(session, self)
        self.exchange = Exchange(session, self)
        self.breasts = Breasts(session, self)
        session.study_changed.connect(self._on_study)
        session.workers.changed.connect(self._on_workers)

    @property
    def volume(self) -> DceVolume | None:
        """The study on the screen, corrected for motion where that is wanted."""
        return self.motion.volume or self._session.volume

    @property
    def arrived(self) -> bool:
        """Whether what is known here is of the study on the screen, and not of the one before it."""
        return self._study is self._session.volume

    @property
    def busy(self) -> bool:
        """Whether maps are being computed."""
        return self._session.workers.running(KINETICS)

    @property
    def waiting(self) -> bool:
        """Whether the study's slices are still being read."""
        return self._waiting

    def watch(self) -> None:
        """A dock is there: choose the phases."""
        if not self.watched:
            self.watched = True
            self.choose()

    def switch(self, on: bool) -> None:
        """Show maps and curves, or take them off the screen."""
        if on == self.on:
            return
        self.on = on
        if not on:
            self._session.workers.cancel(KINETICS)
        self.changed.emit()
        self._compute()

    def give(self, **phases: int | None) -> None:
        """Choose phases by hand: `pre`, `early`, `late`; None lets time decide. Later ones that no longer fit go."""
        given = replace(self.given, **phases)
        if "pre" in phases and given.pre is not None:
            given = Given(
                given.pre,
                *(None if one is None or one <= given.pre else one for one in (given.early, given.late)),
            )
        if (
            "early" in phases
            and given.early is not None
            and given.late is not None
            and given.late <= given.early
        ):
            given = replace(given, late=None)
        if given != self.given:
            self.given = given
            self.choose()

    def choose(self) -> None:
        """Choose the phases anew, and compute what follows."""
        session, volume = self._session, self.volume
        session.workers.cancel(KINETICS)
        self.choice, self.maps, self.problem = None, None, ""
        if volume is not None and self.watched:
            from ..kinetics import choose_phases

            try:
                self.choice = choose_phases(
                    volume, pre=self.given.pre, early=self.given.early, late=self.given.late
                )
            except BreastAIError as error:
                self.problem = str(error)
        self.changed.emit()
        self._compute()

    def set_thresholds(self, **changes: float) -> None:
        """Change thresholds by their names, in per cent. Raises KineticsError where they make no sense."""
        thresholds = replace(self.thresholds, **changes).checked()
        if thresholds != self.thresholds:
            self.thresholds = thresholds
            self.thresholds_changed.emit()

    def shut_down(self) -> None:
        """The window closes."""
        self.lesions.stop()
        self.breasts.stop()
        self.curves.remove()

    def _compute(self) -> None:
        """The enhancement of the whole study, in a thread."""
        session, volume, choice = self._session, self.volume, self.choice
        self._waiting = False
        if not self.on or volume is None or choice is None or self.maps is not None:
            return
        if not session.complete:
            self._waiting = True
            return

        def work(progress: Progress) -> KineticMaps:
            from ..kinetics import kinetic_maps

            return kinetic_maps(volume, choice, progress=progress)

        def done(maps: KineticMaps) -> None:
            if self.volume is volume and self.choice is choice and self.on:
                self.maps = maps
                self.changed.emit()

        def failed(error: BaseException) -> None:
            if self.volume is volume and self.choice is choice:
                if not isinstance(error, BreastAIError):
                    session.fail(error)
                self.problem = str(error)
                self.changed.emit()

        session.workers.start(KINETICS, "Compute the enhancement", work, done=done, failed=failed)
        self.changed.emit()

    def _on_study(self) -> None:
        if self._session.volume is self._study:
            self.regions.follow_reader()
            self.breasts.follow_reader()
            return
        before, self._study = self._study, self._session.volume
        reading, self._reading = self._reading, self._number()
        same = _same_images(before, self._study) and reading == self._reading
        # Nothing of the old phases is drawn over the new ones, whoever asks while the parts follow.
        self.choice = self.maps = None
        if not same:
            self.curves.forget()
        if not same or not _same_phases(before, self._study):
            self.given = Given()
        for kind in (KINETICS, PROJECT):
            self._session.workers.cancel(kind)
        for part in (self.exchange, self.motion, self.regions, self.breasts):
            if same:
                part.follow_study()
            else:
                part.forget()
        self.lesions.forget()
        if self.watched:
            self.choose()

    def _number(self) -> int:
        """Which reading of the case this is: a second one begins with nothing of the first."""
        journal = self._session.journal
        return journal.reading if journal is not None else 1

    def _on_workers(self) -> None:
        if self._waiting and self._session.complete:
            self._compute()


def _same_images(one: DceVolume | None, other: DceVolume | None) -> bool:
    """Whether both are of one examination on the same voxels: other times were told, or another order of phases."""
    if one is None or other is None or one.identity.study_uid != other.identity.study_uid:
        return False
    series, now = set(one.identity.series_uids), set(other.identity.series_uids)
    return one.geometry.same_as(other.geometry) and (series == now or bool(series & now))


def _same_phases(one: DceVolume | None, other: DceVolume | None) -> bool:
    """Whether the numbers of the phases mean the same images."""
    if one is None or other is None:
        return False
    return one.n_phases == other.n_phases and one.frames == other.frames
