"""The study in its three orthogonal planes and its projection, at one place that all of them share.

The study's own canvas is the first plane. Nothing of this exists, and no slice step costs more, while it is closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

from ..core import Box, DceVolume
from . import layers as look
from .mip import Mip
from .mip_canvas import MipCanvas
from .palette import label_color
from .plane_views import FOLLOWED, Plane
from .shortcuts import bind_layer

if TYPE_CHECKING:
    from ..kinetics import Derived
    from .session import Session

MIP = "planes"
GIVEN_COLOR = "#ffffff"
AGAIN_S = 0.3
"""While slices are read the planes are drawn again no more often."""

_TRUE = "\N{ZERO WIDTH SPACE}given"
"""A class that no reader's box can have."""


class Planes:
    """The two planes across the study's slices and the projection through them, and the place they share.

    Attributes:
        volume: the study that is shown; None while there is nothing to see. phase: of it.
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
        self._linked: list[Layer] = []
        self._busy = self._asleep = self.closed = False
        self.shared = session.place
        self.mip = Mip(session, MIP, self._projected)
        self._arrived = (0, 0.0)
        self.phase = 0
        self.note = ""
        self.later: Callable[[], None] = self.show
        self.across_rows, self.across_columns = Plane(self, 1), Plane(self, 2)
        self.projection = MipCanvas(self.shared, self.mip)
        self.views = (self.across_rows, self.across_columns, self.projection)
        for view in self.views:
            bind_layer(session, view.model)  # it has keys as a layer has
        viewer = session.viewer
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        session.study_changed.connect(self._on_study)
        session.position_changed.connect(self._follow)
        self.shared.changed.connect(self._show)
        self.mip.changed.connect(self._draw_boxes)
        session.boxes_changed.connect(self._draw_boxes)
        session.protocol_changed.connect(self._on_colors)
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
            (self.mip.changed, self._draw_boxes),
            (session.boxes_changed, self._draw_boxes),
            (session.protocol_changed, self._on_colors),
            (session.workers.changed, self._on_workers),
        ):
            signal.disconnect(slot, missing_ok=True)
        self.projection.close()
        self.mip.close()
        self.shared.leave(self)
        self._clear()
        try:
            viewer = session.viewer
        except ReferenceError:  # the window has gone first
            return
        viewer.layers.events.inserted.disconnect(self._on_inserted)
        viewer.layers.events.removed.disconnect(self._on_removed)

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
        if not same:
            self._begin(volume)
        self._follow()
        self._show()
        self._on_colors()

    def _begin(self, volume: DceVolume) -> None:
        session = self._session
        # Before the view looks what is there already: of another study nothing is.
        self.mip.sleep(False)
        self.mip.refresh()
        self.volume, self.phase = volume, session.phase_index
        self._arrived = (0, 0.0)
        self._busy = True
        try:
            for view in self.views:
                view.begin(volume)
            for layer in session.viewer.layers:
                self._link(layer)
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
            for layer in list(self._linked):
                self._unlink(layer)
        finally:
            self._busy = False

    def _on_inserted(self, event: Any) -> None:
        if self.volume is not None and not self._asleep:
            self._link(event.value)

    def _on_removed(self, event: Any) -> None:
        if event.value in self._linked:
            self._unlink(event.value)
            self._draw_boxes()

    def _link(self, layer: Layer) -> None:
        """Let an image of the study be seen in the planes, or a layer of boxes say when it is hidden."""
        entry = look.info(layer)
        if entry.get("volume") is not self.volume or layer in self._linked:
            return
        role = entry.get("role")
        if isinstance(layer, Image) and layer.ndim >= 3 and not layer.rgb:
            rank = look.ORDER.index(role) if role in look.ORDER else len(look.ORDER)
            for plane in (self.across_rows, self.across_columns):
                plane.twin(layer, rank, self.phase)
            for name in FOLLOWED:
                getattr(layer.events, name).connect(self._on_look)
            layer.events.data.connect(self._on_pixels)
        elif role in (look.BOXES, look.REFERENCE):
            layer.events.visible.connect(self._draw_boxes)
        else:
            return
        self._linked.append(layer)

    def _unlink(self, layer: Layer) -> None:
        self._linked.remove(layer)
        if not isinstance(layer, Image):
            layer.events.visible.disconnect(self._draw_boxes)
            return
        for name in FOLLOWED:
            getattr(layer.events, name).disconnect(self._on_look)
        layer.events.data.disconnect(self._on_pixels)
        for plane in (self.across_rows, self.across_columns):
            plane.untwin(layer)

    @property
    def current(self) -> bool:
        """Whether the planes show the session's study, which is being changed for another one else."""
        return self.volume is not None and self.volume is self._session.volume and not self._asleep

    def _on_look(self, event: Any) -> None:
        if self.current:
            for plane in (self.across_rows, self.across_columns):
                plane.take_look(event.source, event.type)

    def _on_pixels(self, event: Any) -> None:
        if self.current:
            for plane in (self.across_rows, self.across_columns):
                plane.take_data(event.source, self.phase)

    # -------------------------------------------------------------------- show

    def _follow(self) -> None:
        """The study's sliders have moved."""
        session = self._session
        if not self.current:
            return
        if session.phase_index != self.phase:
            self.phase = session.phase_index
            for layer in self._linked:
                if look.info(layer).get("role") in look.FILLED or getattr(layer, "ndim", 0) == 4:
                    for plane in (self.across_rows, self.across_columns):
                        plane.take_data(layer, self.phase)
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
        self._draw_boxes()

    def _draw_boxes(self, event: Any = None) -> None:
        if not self.current:
            return
        assert self.volume is not None
        boxes = self._shown_boxes()
        labels = {box.label for box in boxes}
        colors = {label: label_color(label, self._session.protocol) for label in labels} | {
            _TRUE: GIVEN_COLOR
        }
        for view in self.views:
            view.show_frames(view.frames(boxes, self.place), colors)

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

    def _shown_boxes(self) -> list[Box]:
        """The reader's boxes and the given ones, as far as their layers are to be seen."""
        from dataclasses import replace

        boxes: list[Box] = []
        journal = self._session.journal
        for layer in self._linked:
            role = look.info(layer).get("role")
            if not layer.visible:
                continue
            if role == look.REFERENCE:
                boxes.extend(
                    replace(
                        box, label=_TRUE, lesion=box.lesion and f"{_TRUE}{box.lesion}", id=f"{_TRUE}{box.id}"
                    )
                    for box in look.info(layer)["boxes"]
                )
            elif role == look.BOXES and journal is not None:
                boxes.extend(journal.boxes)
        return boxes

    def _on_colors(self) -> None:
        for view in self.views:
            view.forget_frames()
        self._draw_boxes()

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
