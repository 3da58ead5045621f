"""Lets canvases beside the study follow its layers: images and heat maps with their looks, the phase, and the boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

from ..core import Box, DceVolume
from . import layers as look
from .palette import label_color
from .twins import FOLLOWED, Twinned

if TYPE_CHECKING:
    from .session import Session

GIVEN_COLOR = "#ffffff"

_TRUE = "\N{ZERO WIDTH SPACE}given"
"""A class that no reader's box can have."""


class Linked:
    """What some canvases show of one study, as far as its layers are to be seen.

    Attributes:
        volume: the study that is shown; None while there is nothing to see. phase: of it.
        awake: somebody sees the canvases; asleep nothing is followed.
    """

    def __init__(self, session: Session, views: Sequence[Twinned]) -> None:
        self._session, self._views = session, views
        self._layers: list[Layer] = []
        self.volume: DceVolume | None = None
        self.phase = 0
        self.awake = True
        viewer = session.viewer
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        session.boxes_changed.connect(self.draw_boxes)
        session.protocol_changed.connect(self.color_boxes)

    def close(self) -> None:
        """Follow no more."""
        session = self._session
        session.boxes_changed.disconnect(self.draw_boxes, missing_ok=True)
        session.protocol_changed.disconnect(self.color_boxes, missing_ok=True)
        self.clear()
        try:
            viewer = session.viewer
        except ReferenceError:  # the window has gone first
            return
        viewer.layers.events.inserted.disconnect(self._on_inserted)
        viewer.layers.events.removed.disconnect(self._on_removed)

    @property
    def current(self) -> bool:
        """Whether the canvases show the session's study, which is being changed for another one else."""
        return self.awake and self.volume is not None and self.volume is self._session.volume

    # ------------------------------------------------------------------- study

    def begin(self, volume: DceVolume) -> None:
        """Show a study's layers; the canvases show the study itself already."""
        self.volume, self.phase = volume, self._session.phase_index
        for layer in self._session.viewer.layers:
            self._link(layer)

    def clear(self) -> None:
        """Follow none of the study's layers."""
        self.volume = None
        for layer in list(self._layers):
            self._unlink(layer)

    def catch_up(self) -> None:
        """Show what has changed while nobody saw it."""
        if not self.current:
            return
        for layer in self._session.viewer.layers:
            self._link(layer)
        self.phase = self._session.phase_index
        for layer in self._layers:
            if isinstance(layer, Image):
                for view in self._views:
                    view.take_data(layer, self.phase)
                    for name in FOLLOWED:
                        view.take_look(layer, name)
        self.draw_boxes()

    def _on_inserted(self, event: Any) -> None:
        if self.volume is not None and self.awake:
            self._link(event.value)

    def _on_removed(self, event: Any) -> None:
        if event.value in self._layers:
            self._unlink(event.value)
            self.draw_boxes()

    def _link(self, layer: Layer) -> None:
        """Let an image of the study be seen, or a layer of boxes say when it is hidden."""
        entry = look.info(layer)
        if entry.get("volume") is not self.volume or layer in self._layers:
            return
        role = entry.get("role")
        if isinstance(layer, Image) and layer.ndim >= 3 and not layer.rgb:
            rank = look.ORDER.index(role) if role in look.ORDER else len(look.ORDER)
            for view in self._views:
                view.twin(layer, rank, self.phase)
            for name in FOLLOWED:
                getattr(layer.events, name).connect(self._on_look)
            layer.events.data.connect(self._on_pixels)
        elif role in (look.BOXES, look.REFERENCE):
            layer.events.visible.connect(self.draw_boxes)
        else:
            return
        self._layers.append(layer)

    def _unlink(self, layer: Layer) -> None:
        self._layers.remove(layer)
        if not isinstance(layer, Image):
            layer.events.visible.disconnect(self.draw_boxes)
            return
        for name in FOLLOWED:
            getattr(layer.events, name).disconnect(self._on_look)
        layer.events.data.disconnect(self._on_pixels)
        for view in self._views:
            view.untwin(layer)

    def _on_look(self, event: Any) -> None:
        if self.current:
            for view in self._views:
                view.take_look(event.source, event.type)

    def _on_pixels(self, event: Any) -> None:
        if self.current:
            for view in self._views:
                view.take_data(event.source, self.phase)

    def take_phase(self) -> None:
        """Show the phase that the session is at, of what has phases."""
        if not self.current or self._session.phase_index == self.phase:
            return
        self.phase = self._session.phase_index
        for layer in self._layers:
            if look.info(layer).get("role") in look.FILLED or getattr(layer, "ndim", 0) == 4:
                for view in self._views:
                    view.take_data(layer, self.phase)

    # ------------------------------------------------------------------- boxes

    def draw_boxes(self, event: Any = None) -> None:
        """Draw the outlines of the boxes that each canvas shows at the place."""
        if not self.current:
            return
        boxes = self._shown_boxes()
        labels = {box.label for box in boxes}
        colors = {label: label_color(label, self._session.protocol) for label in labels}
        colors[_TRUE] = GIVEN_COLOR
        for view in self._views:
            view.show_frames(view.frames(boxes, self._session.place.at), colors)

    def color_boxes(self) -> None:
        """Draw them anew, in perhaps other colours."""
        for view in self._views:
            view.forget_frames()
        self.draw_boxes()

    def _shown_boxes(self) -> list[Box]:
        """The reader's boxes and the given ones, as far as their layers are to be seen."""
        boxes: list[Box] = []
        journal = self._session.journal
        for layer in self._layers:
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
