"""The study in its three orthogonal planes and its projection, at one place that all of them share.

The study's own canvas is the first plane. Nothing of this exists, and no slice step costs more, while it is closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from napari.layers import Layer

from ..core import DceVolume
from . import layers as look
from .linked import Linked
from .mip import Mip
from .mip_canvas import MipCanvas
from .plane_views import Plane
from .shortcuts import bind_layer

if TYPE_CHECKING:
    from ..kinetics import Derived
    from .session import Session

MIP = "planes"
AGAIN_S = 0.3
"""While slices are read the planes are drawn again no more often."""


class Planes:
    """The two planes across the study's slices and the projection through them, and the place they share.

    Attributes:
        volume: the study that is shown; None while there is nothing to see.
        shared: the place, which other views may share too.
        mip: the projection.
        views: across the rows, across the columns, the projection.
        note: why there is nothing to see, in a sentence, or "".
        closed: nothing is followed any more.
        later: called when the study's own slice has moved; a window puts off `show` until that slice is drawn.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.volume: DceVolume | None = None
        self._busy = self._asleep = self.closed = False
        self.shared = session.place
        self.mip = Mip(session, MIP, self._projected)
        self._arrived = (0, 0.0)
        self.note = ""
        self.later: Callable[[], None] = self.show
        self.across_rows, self.across_columns = Plane(self, 1), Plane(self, 2)
        self.projection = MipCanvas(self.shared, self.mip)
        self.views = (self.across_rows, self.across_columns, self.projection)
        for view in self.views:
            bind_layer(session, view.model)  # it has keys as a layer has
        self._linked = Linked(session, self.views)
        session.study_changed.connect(self._on_study)
        session.position_changed.connect(self._follow)
        self.shared.changed.connect(self._show)
        self.mip.changed.connect(self._linked.draw_boxes)
        session.workers.changed.connect(self._on_workers)
        self._on_study()

    def close(self) -> None:
        """Follow no more, and leave nothing behind in the study's canvas; once is enough."""
        if self.closed:
            return
        self.closed = True
        # A window's own way to put off drawing would hold the window.
        self.later = self.show
        session = self._session
        for signal, slot in (
            (session.study_changed, self._on_study),
            (session.position_changed, self._follow),
            (self.shared.changed, self._show),
            (self.mip.changed, self._linked.draw_boxes),
            (session.workers.changed, self._on_workers),
        ):
            signal.disconnect(slot, missing_ok=True)
        self.projection.close()
        self.mip.close()
        self.shared.leave(self)
        self._clear()
        self._linked.close()

    # ------------------------------------------------------------------- place

    @property
    def place(self) -> tuple[int, int, int]:
        """(slice, row, column); the slice is the session's."""
        return self.shared.at

    def go(self, place: Sequence[int]) -> None:
        """Be at another place, the nearest one inside the volume; the study's slice goes along."""
        self.shared.go(place)

    def slide(self, axis: int, index: int) -> None:
        """A person has moved a plane's slider."""
        if not self._busy and index != self.place[axis]:
            place = list(self.place)
            place[axis] = index
            self.shared.go(place)

    def shown_image(self) -> Layer | None:
        """The study's image that is seen."""
        return None if self.volume is None else look.shown_image(self._session.viewer.layers, self.volume)

    def sleep(self, on: bool) -> None:
        """Do nothing while nobody sees the planes, and catch up afterwards."""
        if on == self._asleep or self.closed:
            return
        self._asleep = on
        self._linked.awake = not on
        self.mip.sleep(on)
        if on:
            self.shared.leave(self)
        else:
            self._on_study()

    # ------------------------------------------------------------------- study

    def _on_study(self) -> None:
        session = self._session
        if self._asleep:
            if session.volume is not self.volume:
                self._clear()  # what is closed is not kept
                self.mip.refresh()
            return
        volume = session.volume
        same = volume is self.volume and volume is not None and volume.n_slices > 1
        if not same:
            self._clear()
        self.note = ""
        if volume is None:
            self.note = "Open a study to see its planes."
        elif volume.n_slices < 2:
            self.note = "The study has one slice: there is nothing to cut across."
        if volume is None or self.note:
            self.shared.leave(self)
            self.mip.refresh()
            return
        self.shared.watch(self)
        if same:
            self._linked.catch_up()
        else:
            self._begin(volume)
        self._follow()
        self._show()
        self._linked.color_boxes()

    def _begin(self, volume: DceVolume) -> None:
        # Before the view looks what is there already: of another study nothing is.
        self.mip.sleep(False)
        self.mip.refresh()
        self.volume = volume
        self._arrived = (0, 0.0)
        self._busy = True
        try:
            for view in self.views:
                view.begin(volume)
            self._linked.begin(volume)
            for view in self.views:
                view.fit()
        finally:
            self._busy = False

    def _clear(self) -> None:
        # Sliders move where layers go; no person has moved them.
        self._busy = True
        try:
            self.volume = None
            for view in self.views:
                view.clear()
            self._linked.clear()
        finally:
            self._busy = False

    @property
    def current(self) -> bool:
        """Whether the planes show the session's study, which is being changed for another one else."""
        return self.volume is not None and self._linked.current

    # -------------------------------------------------------------------- show

    def _follow(self) -> None:
        """The study's sliders have moved."""
        if not self.current:
            return
        self._linked.take_phase()
        if not self.shared.moving:
            self.later()

    def show(self) -> None:
        """Draw where we are."""
        if not self.closed:
            self._show()

    def _show(self) -> None:
        if not self.current:
            return
        self._busy = True
        try:
            for view in self.views:
                view.show(self.place, self.shared.crosshair)
        finally:
            self._busy = False
        self._linked.draw_boxes()

    def _projected(self) -> Derived | None:
        """The phase on the screen minus the one before contrast; of that one the phase that is shown first."""
        from ..kinetics import phase_image, subtraction

        session = self._session
        volume = session.kinetics.volume  # corrected for motion where that is used
        if volume is None:
            return None
        phase = session.phase_index
        if phase == volume.pre_contrast:
            phase = look.first_look(volume)[0]
        return subtraction(volume, phase) if phase != volume.pre_contrast else phase_image(volume, phase)

    # ------------------------------------------------------------------ pixels

    def _on_workers(self) -> None:
        """Slices may have been read."""
        loader = self._session.loader
        if loader is None or not self.current:
            return
        count = int(loader.loaded.sum())
        seen, when = self._arrived
        now = time.monotonic()
        if count == seen or (not self._session.complete and now - when < AGAIN_S):
            return
        self._arrived = (count, now)
        for plane in (self.across_rows, self.across_columns):
            plane.draw_again()
