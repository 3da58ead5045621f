"""The place in the study that all views beside it share, and the lines that mark it in the study's own canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from psygnal import Signal

from ..core import DceVolume
from .plane_cross import Cross

if TYPE_CHECKING:
    from .session import Session


class Place:
    """Where in the study we are; it is kept while a view that shows it is there.

    Attributes:
        at: (slice, row, column); the slice is the session's.
        crosshair: whether lines mark the place, and a press of the left button moves it.
        moving: the session's slice moves because the place does.
        changed: emitted when a view has moved the place, or the crosshair is switched; not for the slider of the slices.
        turned: emitted with a number of steps when a key turns the projections that can be turned.
    """

    changed: ClassVar[Signal] = Signal()
    turned: ClassVar[Signal] = Signal(int)

    def __init__(self, session: Session) -> None:
        self._session = session
        self.at: tuple[int, int, int] = (0, 0, 0)
        self.crosshair = True
        self.moving = False
        self._known: DceVolume | None = None
        self._views: list[object] = []
        self._cross = Cross(self, session)
        session.position_changed.connect(self._follow)
        session.study_changed.connect(self._on_study)
        session.viewer.layers.events.removed.connect(self._cross.forget)

    @property
    def volume(self) -> DceVolume | None:
        """The study that has a place; None where nobody shows it, or there is nothing to see but its one slice."""
        volume = self._session.volume
        return volume if self._views and volume is not None and volume.n_slices > 1 else None

    def watch(self, view: object) -> None:
        """A view shows the place: of the first one it is the box on the slice in view, or the middle."""
        if view in self._views:
            return
        self._views.append(view)
        if len(self._views) == 1:
            self._cross.listen()
            self._begin()
        self._cross.mark()

    def leave(self, view: object) -> None:
        """The view is shown no more; without any there is no crosshair."""
        if view in self._views:
            self._views.remove(view)
            if not self._views:
                self._known = None
                self._cross.remove()

    def go(self, place: Sequence[int]) -> None:
        """Be at another place, the nearest one inside the volume; the study's slice goes along."""
        volume = self.volume
        if volume is None:
            return
        z, row, column = (
            min(max(int(one), 0), count - 1) for one, count in zip(place, volume.geometry.shape, strict=True)
        )
        if (z, row, column) == self.at:
            return
        self.at = (z, row, column)
        self.moving = True
        try:
            self._session.go_to(z)
        finally:
            self.moving = False
        self._cross.mark()
        self.changed.emit()

    def step(self, axis: int, count: int) -> None:
        """So many slices, rows or columns on."""
        place = list(self.at)
        place[axis] += count
        self.go(place)

    def show_crosshair(self, on: bool) -> None:
        """Show the lines, or hide them: then the left button moves the pictures."""
        if on != self.crosshair:
            self.crosshair = on
            self._cross.mark()
            self.changed.emit()

    def shut_down(self) -> None:
        """The window closes."""
        self._views.clear()
        self._cross.remove()
        self._session.viewer.layers.events.removed.disconnect(self._cross.forget)

    def _follow(self) -> None:
        if self._views and not self.moving and self._session.volume is self._known:
            self.at = (self._session.slice_index, *self.at[1:])

    def _on_study(self) -> None:
        if self._views and self._session.volume is not self._known:
            self._begin()
            self._cross.mark()

    def _begin(self) -> None:
        session = self._session
        self._known = volume = session.volume
        if volume is None:
            return
        _, rows, columns = volume.geometry.shape
        self.at = (session.slice_index, rows // 2, columns // 2)
        boxes = session.journal.boxes if session.journal is not None else ()
        if (here := next((box for box in boxes if box.z == session.slice_index), None)) is not None:
            self.at = (here.z, round((here.y0 + here.y1) / 2), round((here.x0 + here.x1) / 2))
