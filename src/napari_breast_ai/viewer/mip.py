"""Projections seen from the side of the study: in the three planes and turning, of all of it or of a slab."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from ..core import BreastAIError, Geometry, Progress
from ..core.orientation import upright
from . import cut
from . import kinetic_look as kind

if TYPE_CHECKING:
    from ..core import DceVolume
    from ..kinetics import Derived, RotatingMip
    from .session import Session
    from .workers import Tell

TURNING = "turning"
PLANES = {
    "axial": ("Axial", "seen from the feet"),
    "coronal": ("Coronal", "seen from the front"),
    "sagittal": ("Sagittal", "seen from the side"),
    TURNING: ("Turning", "from all around, by dragging or with Shift and the arrow keys"),
}
_ONE_PHASE = "The study has one phase: open a dynamic study, or look at the projection of the planes (P)."
_FAILED = "The projection could not be made: close other studies and set the slab anew."
MIP, VIEWS = "mip", 36
"""Views of a full turn."""

Where = tuple[int, int] | tuple[int, float | None]
"""First and last-but-one index of a slab; of a turning one the view, and how far away the slab's middle is in mm."""


@dataclass(frozen=True, eq=False)
class Made:
    """A projection that is ready to be shown. All that is told of it is of itself, not of what is wanted by now.

    Attributes:
        image: what was projected. plane: of `PLANES`. where: the slab, or the view.
        order: the stack's axes that are seen through, run down and across; of a turning one the first two are upright.
        pixels: (rows, columns).
        spacing: of the pixels, (down, across) in mm.
        turning: of a turning one. span: of its slab.
    """

    image: Derived
    plane: str
    where: Where
    order: cut.Order
    pixels: NDArray[np.float32]
    spacing: tuple[float, float]
    turning: RotatingMip | None = None
    span: tuple[float, float] | None = None

    def voxel(self, down: int, across: int) -> tuple[int, int, int] | None:
        """The voxel that a pixel comes from, which has its value; None beside the stack."""
        rows, columns = self.pixels.shape
        if not (0 <= down < rows and 0 <= across < columns):
            return None
        if self.turning is not None:
            return self.turning.voxel(int(self.where[0]), down, across, self.span)
        from ..kinetics import brightest

        axis = self.order[0]
        # Counted in the stack's own order, which may be the other way round on the screen.
        pair = (down, across) if self.order[1] < self.order[2] else (across, down)
        at = brightest(self.image, axis, *pair, *(int(one or 0) for one in self.where))  # type: ignore[arg-type]
        place = {axis: at, self.order[1]: down, self.order[2]: across}
        return place[0], place[1], place[2]

    def seen_at(self, place: Sequence[float]) -> tuple[float, float]:
        """Where in the picture a place of the study is seen: row and column."""
        if self.turning is not None:
            return self.turning.seen_at(int(self.where[0]), place)[:2]
        return place[self.order[1]], place[self.order[2]]

    @property
    def whole(self) -> bool:
        """Whether all of the stack was projected."""
        if self.turning is not None:
            return self.span is None
        return self.where == (0, self.image.geometry.shape[self.order[0]])

    @property
    def text(self) -> str:
        """What is seen, in two or three lines."""
        lines = [f"MIP {PLANES[self.plane][0].lower()}"]
        if self.turning is not None:
            lines = [f"MIP {self.turning.angles[int(self.where[0])]:.0f}°"]
            if self.span is not None:
                lines.append(f"{self.span[1] - self.span[0]:.0f} mm")
        elif not self.whole:
            first, stop = int(self.where[0]), int(self.where[1] or 0)
            axis = self.order[0]
            name = ("slices", "rows", "columns")[axis]
            thick = (stop - first) * self.image.geometry.spacing[axis]
            lines.append(f"{thick:.0f} mm: {name} {first}–{stop - 1}")
        return "\n".join([*lines, kind.image_name(self.image)])

    def hung(self) -> tuple[str, str, dict[str, str]]:
        """Which way the picture's axes run, and the patient's side at each edge."""
        geometry = self.image.geometry
        if self.turning is None:
            vertical, horizontal = (
                upright(self.image.volume) if self.order[0] == 0 else cut.upright(geometry, self.order)
            )
            return vertical, horizontal, cut.edges(geometry, self.order, vertical, horizontal)
        up = geometry.affine[:3, self.turning.upright]
        degrees = np.radians(self.turning.angles[int(self.where[0])])
        right = letters(np.array([np.cos(degrees), np.sin(degrees), 0.0]))
        left = letters(np.array([-np.cos(degrees), -np.sin(degrees), 0.0]))
        vertical = "up" if up[int(np.argmax(np.abs(up)))] > 0 else "down"
        top, bottom = letters(up), letters(-up)
        if vertical == "down":
            top, bottom = bottom, top
        return vertical, "right", {"top": top, "bottom": bottom, "left": left, "right": right}


def letters(direction: NDArray[np.float64]) -> str:
    """The patient's side that a direction points to: "L", and of an oblique one two letters, the nearer first."""
    parts = direction / np.linalg.norm(direction)
    names = [("R", "L"), ("A", "P"), ("F", "H")]
    order = np.argsort(-np.abs(parts))
    # Half-way from one side to a direction between two.
    return "".join(names[k][int(parts[k] > 0)] for k in order if abs(parts[k]) > np.sin(np.radians(22.5)))


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


def axis_of(geometry: Geometry, plane: str) -> int:
    """The stack's axis that runs at right angles to an anatomical plane, nearly."""
    towards = {"axial": 2, "coronal": 1, "sagittal": 0}
    directions = np.abs(geometry.affine[:3, :3] / np.linalg.norm(geometry.affine[:3, :3], axis=0))
    # Each axis to one plane: the slices' own first, since of an oblique stack that is the one that is meant.
    own = {"axial": 2, "coronal": 1, "sagittal": 0}[geometry.orientation]
    if towards[plane] == own:
        return 0
    return 1 if directions[towards[plane], 1] >= directions[towards[plane], 2] else 2


def make(
    image: Derived, plane: str, where: Where, slab_mm: float, turning: RotatingMip | None, progress: Progress
) -> Made:
    """Project along a plane's normal, or from one of the views around. Raises Cancelled."""
    from ..kinetics import project

    geometry = image.geometry
    if turning is not None:
        middle = where[1]
        span = None if middle is None else (middle - slab_mm / 2, middle + slab_mm / 2)
        view = turning.at(int(where[0]), span)
        across = next(axis for axis in (2, 1, 0) if axis != turning.upright)
        through = 3 - turning.upright - across
        order = (through, turning.upright, across)
        return Made(image, plane, where, order, view.pixels, view.geometry.spacing[1:], turning, span)
    axis = axis_of(geometry, plane)
    order = cut.order_of(geometry, axis)
    first, stop = int(where[0]), int(where[1] or 0)
    pixels = project(image, axis, first=first, stop=stop, progress=progress).pixels  # type: ignore[arg-type]
    if order[1] > order[2]:
        pixels = np.ascontiguousarray(pixels.T)
    return Made(image, plane, where, order, pixels, (geometry.spacing[order[1]], geometry.spacing[order[2]]))


def add_mip(session: Session, plane: str) -> None:
    """Dock a projection beside the slices, or see the one that is there from elsewhere."""
    from .widgets.mip_dock import show_mip

    show_mip(session, plane)
