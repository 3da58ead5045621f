"""Projections seen from the side of the study: in the three planes and turning, of all of it or of a slab."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import Signal

from ..core import BreastAIError, Progress
from .projected import TURNING, Made, Where, axis_of, make

if TYPE_CHECKING:
    from ..core import DceVolume
    from ..kinetics import Derived, RotatingMip
    from .session import Session
    from .workers import Tell

_ONE_PHASE = "The study has one phase: open a dynamic study, or look at the projection of the planes (P)."
_FAILED = "The projection could not be made: close other studies and set the slab anew."
MIP, VIEWS = "mip", 36
"""Views of a full turn."""


class _Wanted:
    """What a job is to make next; the window writes it while the job's thread reads it."""

    def __init__(self, where: Where, turns: bool) -> None:
        self.where = where
        self._turns = turns
        self._made: set[Where] = set()
        self._lock = threading.Lock()

    def ask(self, where: Where) -> None:
        """Something newer is wanted."""
        with self._lock:
            self.where = where

    def next(self) -> Where | None:
        """What is wanted and not made; else of a full turn the view next to it; None when there is no more to do."""
        with self._lock:
            found: Where | None = self.where if self.where not in self._made else None
            if found is None and self._turns:
                around = sorted(
                    range(VIEWS), key=lambda k: abs((k - self.where[0] + VIEWS / 2) % VIEWS - VIEWS / 2)
                )
                found = next(((k, None) for k in around if (k, None) not in self._made), None)
            if found is not None:
                self._made.add(found)
            return found


class Mip:
    """The projection that one view shows, made in a thread while it is seen.

    A newer wish for the same image waits for the picture that is being made and replaces all that waited before; what
    belongs to another image, plane or slab is stopped and never shown.

    Attributes:
        plane: of `PLANES`. slab_mm: how thick the slab around the place is; 0 for all of the study. view: of a turn.
        made: what can be shown; None while there is nothing.
        note: why there is nothing, in a sentence; or "".
        changed: emitted when any of these changes.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session, name: str, image: Callable[[], Derived | None]) -> None:
        """`name`: of the jobs, one a view. `image`: gives what is to be projected now, at no cost."""
        self._session, self._name, self._image = session, name, image
        self.plane, self.slab_mm, self.view = "axial", 0.0, 0
        self.made: Made | None = None
        self.note = ""
        self._asleep = True
        self._held = False
        self._study: DceVolume | None = None
        self._what: tuple[Any, ...] = ()
        self._failed: tuple[Any, ...] = ()
        self._wanted: _Wanted | None = None
        self._source: Derived | None = None
        self._turning: RotatingMip | None = None
        self._kept: dict[Where, Made] = {}
        session.place.changed.connect(self.refresh)
        session.position_changed.connect(self.refresh)
        session.kinetics.changed.connect(self.refresh)
        session.workers.changed.connect(self._on_workers)
        session.place.turned.connect(self._on_turned)
        self._complete = False

    def close(self) -> None:
        """Follow no more."""
        session = self._session
        for signal, slot in (
            (session.place.changed, self.refresh),
            (session.position_changed, self.refresh),
            (session.kinetics.changed, self.refresh),
            (session.workers.changed, self._on_workers),
            (session.place.turned, self._on_turned),
        ):
            signal.disconnect(slot, missing_ok=True)
        self.sleep(True)

    def sleep(self, on: bool) -> None:
        """Make nothing while nobody sees it, and catch up afterwards."""
        if on == self._asleep:
            return
        self._asleep, self._failed = on, ()
        if on:
            self._stop()
        else:
            self.refresh()

    def set(self, plane: str | None = None, slab_mm: float | None = None) -> None:
        """See it from elsewhere, or through another slab."""
        self.plane = self.plane if plane is None else plane
        self.slab_mm = self.slab_mm if slab_mm is None else slab_mm
        self._failed = ()
        self.refresh()
        self.changed.emit()

    def hold(self, on: bool) -> None:
        """Keep the picture while the hand drags over it: a slab would walk along with the place."""
        self._held = on
        if not on:
            self.refresh()

    def turn(self, view: int) -> None:
        """Show another view of the turn, counted from the front."""
        if self.plane == TURNING and view % VIEWS != self.view:
            self.view = view % VIEWS
            self.refresh()
            self.changed.emit()

    def _on_turned(self, steps: int) -> None:
        if not self._asleep:
            self.turn(self.view + steps)

    def _on_workers(self) -> None:
        """Slices may have been read."""
        if not self._complete and self._session.complete:
            self.refresh()

    # ------------------------------------------------------------------ making

    def refresh(self) -> None:
        """Show what is wanted by now; it is made where it is not there. Of another study nothing is kept, asleep too."""
        session = self._session
        if session.volume is not self._study:
            self._study = session.volume
            self._drop()
            self._say("")
        if self._asleep or (self._held and self.made is not None):
            return
        image = self._image() if session.volume is not None else None
        self._complete = session.complete
        note = ""
        if session.volume is None:
            note = "Open a study to see its projection."
        elif session.volume.n_slices < 2:
            note = "The study has one slice: there is nothing to project."
        elif not session.complete:
            note = "The slices are still being read; the projection comes when all are there."
        elif image is None:
            note = session.kinetics.layers.problem or _ONE_PHASE
        if note or image is None:
            self._drop()
            self._say(note)
            return
        what = image.volume, image.kind, image.phase, image.base, self.plane, self.slab_mm
        if what != self._what:
            self._stop()
            if self._source is None or what[:4] != self._what[:4]:
                self._source, self._turning = image, None
            self._what = what
            self._kept.clear()
        image = self._source
        assert image is not None
        where = self._where(image)
        if (known := self._kept.get(where)) is not None:
            if self._wanted is not None:
                self._wanted.ask(where)
            self._take(known)
        elif self._wanted is not None:
            self._wanted.ask(where)
        elif what != self._failed:  # what has failed is not begun again by every step
            self._start(image, where)

    def _where(self, image: Derived) -> Where:
        geometry, at = image.geometry, self._session.place.at
        if self.plane == TURNING:
            if not self.slab_mm:
                return self.view, None
            turning = self._turning or self._new_turning(image)
            return self.view, turning.seen_at(self.view, at)[2]
        axis = axis_of(geometry, self.plane)
        if not self.slab_mm:
            return 0, geometry.shape[axis]
        from ..kinetics import slab

        return slab(geometry, axis, at[axis], self.slab_mm)  # type: ignore[arg-type]

    def _new_turning(self, image: Derived) -> RotatingMip:
        from ..kinetics import RotatingMip

        self._turning = RotatingMip(image, VIEWS)
        return self._turning

    def _start(self, image: Derived, where: Where) -> None:
        session, what, plane, slab_mm = self._session, self._what, self.plane, self.slab_mm
        turning = (self._turning or self._new_turning(image)) if plane == TURNING else None
        self._wanted = wanted = _Wanted(where, turning is not None and not slab_mm)

        def work(progress: Progress, tell: Tell) -> None:
            if turning is not None:
                turning.prepare(progress)
            while (one := wanted.next()) is not None:
                progress(0, 1, "projection")
                tell(make(image, plane, one, slab_mm, turning, progress))

        def told(made: Made) -> None:
            if what != self._what:
                return
            if not slab_mm:
                self._kept[made.where] = made
            if made.where == wanted.where:
                self._take(made)

        def over() -> None:
            if self._wanted is wanted:
                self._wanted = None
                # A wish may have come when the last one had just been made.
                if self.made is None or self.made.where != wanted.where:
                    self.refresh()

        def failed(error: BaseException) -> None:
            if self._wanted is wanted:
                self._wanted, self.made, self._failed = None, None, what
                self._kept.clear()
                known = isinstance(error, BreastAIError)
                if not known:
                    session.fail(error)
                self._say(str(error) if known else _FAILED)

        session.workers.start(
            self._name, "Project", work, done=lambda _: over(), failed=failed, told=told, quiet=True
        )

    def _take(self, made: Made) -> None:
        if made is not self.made or self.note:
            self.made = made
            self._say("")

    def _say(self, note: str) -> None:
        self.note = note
        self.changed.emit()

    def _drop(self) -> None:
        """Keep nothing."""
        self._stop()
        self._what, self._failed, self.made, self._source, self._turning = (), (), None, None, None
        self._kept.clear()

    def _stop(self) -> None:
        if self._wanted is not None:
            self._wanted = None
            self._session.workers.cancel(self._name)


def add_mip(session: Session, plane: str) -> None:
    """Dock a projection beside the slices, or see the one that is there from elsewhere."""
    from .widgets.mip_dock import show_mip

    show_mip(session, plane)
