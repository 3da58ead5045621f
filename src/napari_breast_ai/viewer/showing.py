"""The study's layers: put on the screen, used again for the next study, put in order, taken away.

A study may come and go by any door: `Session.show_study`, napari's own reader, a layer that a person deletes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray

from ..core import Box, DceVolume
from . import layers as look
from . import tasks
from .compare import COMPARE
from .layers import first_look
from .one_picture import one_picture, taken_at_once
from .shortcuts import bind_layer

if TYPE_CHECKING:
    from ..study import Loader
    from .session import Session


class Showing:
    """Brings a session's study to the screen and off it.

    Attributes:
        dynamic: the layer of its phases; None without a study.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.dynamic: Layer | None = None
        self._reading = 1

    def watch(self) -> None:
        """Follow the viewer's list of layers."""
        events = self._session.viewer.layers.events
        events.inserted.connect(self._on_inserted)
        events.removed.connect(self._on_removed)

    def look_around(self) -> None:
        """Take over a study that is there already."""
        for layer in list(self._session.viewer.layers):
            self.look_at(layer)

    def remove(self) -> None:
        """Follow no more."""
        events = self._session.viewer.layers.events
        events.inserted.disconnect(self._on_inserted)
        events.removed.disconnect(self._on_removed)

    def show(
        self,
        volume: DceVolume,
        source: str | None = None,
        boxes: Iterable[Box] = (),
        loader: Loader | None = None,
        reading: int = 1,
    ) -> None:
        """Put a study on the screen in place of the present one.

        Its layers are used again: taking napari's layers away and making new ones costs most of a second.

        Args:
            volume: the study.
            source: the folder or file it came from; None for one that has none, such as a phantom.
            boxes: given boxes (a phantom's truth), shown apart from the reader's own.
            loader: where the volume is still to be filled, which then goes on behind the screen.
            reading: which reading of the case by this reader it is: each has boxes of its own.
        """
        session = self._session
        self._reading = reading
        wanted = look.volume_layers(volume, source, boxes, loader, spare=session.reading.worklist is not None)
        with one_picture(session.viewer) as lay_out:
            if not self._take_place(wanted, volume, source, loader):
                self.close()
                for data, settings, kind in wanted:
                    session.viewer.add_layer(Layer.create(data, settings, kind))
                session.viewer.layers.selection.active = self.dynamic
            lay_out()
            session.viewer.reset_view()
            # Told while it paints, the layers would have it painted twice.
            for layer in session.viewer.layers:
                layer.scale_factor = 1 / session.viewer.scene.camera.zoom

    def _take_place(
        self, wanted: list[look.LayerData], volume: DceVolume, source: str | None, loader: Loader | None
    ) -> bool:
        """Give the layers of the present study the pixels of another. False where there is no present study."""
        session = self._session
        layers = session.viewer.layers
        if session.volume is None or self.dynamic not in layers:
            return False
        mine = {
            look.info(one)["role"]: one for one in layers if look.info(one).get("volume") is session.volume
        }
        self._leave_study()
        session.volume, session.source, session.loader = volume, source, loader
        for data, settings, kind in wanted:
            role = settings["metadata"][look.KEY]["role"]
            layer = mine.pop(role, None) if kind == "image" else None
            if layer is None:
                session.boxes.put(Layer.create(data, settings, kind))
            else:
                look.take_place(layer, data, settings)
        gone = [layer for role, layer in mine.items() if role not in look.OWN_WAY and layer in layers]
        if gone:
            with taken_at_once(layers):
                for layer in gone:
                    layers.remove(layer)
        self._begin_study(volume)
        # The layers that are ours anew stand where napari put them: the boxes know their study only now.
        self._arrange()
        return True

    def draw_again(self, arrived: NDArray[np.bool_]) -> None:
        """Draw the slice on the screen anew where pixels have come for it.

        Args:
            arrived: of which slices, shape (phases, slices).
        """
        session, dims = self._session, self._session.viewer.dims
        assert session.volume is not None
        phases = [session.phase_index, session.volume.pre_contrast]
        # More than one slice is seen in a slab, from the side and in 3D.
        one = dims.ndisplay == 2 and dims.order == tuple(range(dims.ndim)) and not any(dims.thickness)
        if not (arrived[phases, session.slice_index] if one else arrived).any():
            return
        for layer in self._session.viewer.layers:
            if (
                look.info(layer).get("volume") is self._session.volume
                and look.info(layer)["role"] in look.FILLED
            ):
                layer.refresh(thumbnail=False, extent=False)

    def close(self) -> None:
        """Take the study and everything that belongs to it off the screen."""
        session = self._session
        volume = session.volume
        if volume is None:
            return
        with taken_at_once(session.viewer.layers):
            self._forget_study()
            for layer in [one for one in session.viewer.layers if look.info(one).get("volume") is volume]:
                session.viewer.layers.remove(layer)

    def _on_inserted(self, event: Any) -> None:
        self.look_at(event.value)

    def look_at(self, layer: Layer) -> None:
        """Take a study over whose layer has come, from whatever door."""
        session = self._session
        found = look.info(layer)
        volume = found.get("volume")
        if volume is None:
            return
        bind_layer(session, layer)
        if volume is session.volume:
            self._arrange()
            return
        if found.get("role") != look.DYNAMIC:
            return
        # One study at a time: two on top of each other would show one's heat maps on the other's anatomy.
        self.close()
        # napari numbered it apart from the one that has just gone.
        layer.name = re.sub(r" \[\d+\]$", "", layer.name)
        session.volume, session.source, self.dynamic = volume, found.get("source"), layer
        session.loader = found.get("loader")
        self._begin_study(volume)

    def _arrange(self) -> None:
        """Put our layers in order, wherever napari adds them: images, heat maps, boxes."""
        session = self._session
        if session.volume is None:
            return
        layers = session.viewer.layers
        ours = [layer for layer in layers if look.info(layer).get("volume") is session.volume]
        wanted = sorted(ours, key=lambda layer: look.ORDER.index(look.info(layer)["role"]))
        for place, layer in zip([layers.index(one) for one in ours], wanted, strict=True):
            if layers[place] is not layer:
                layers.move(layers.index(layer), place)

    def _on_removed(self, event: Any) -> None:
        if event.value is self.dynamic:
            self.close()

    def _begin_study(self, volume: DceVolume) -> None:
        session = self._session
        session.journal = session.keeper.open(volume, session.source, self._reading)
        self._reading = 1
        # Whoever hears of the study asks where in it we are.
        session.phase_index, session.slice_index = first_look(volume)
        session.study_changed.emit()
        # The layers that follow by themselves are in place now, and the sliders have their final length: before, Qt
        # would cut a slice's millimetres off at the number of slices.
        self._start_view(volume)
        session.boxes_changed.emit()
        for warning in (*volume.warnings, *(session.journal.warnings if session.journal else ())):
            session.say(warning, once=True)
        if session.journal is not None and session.journal.read_only:
            session.say(session.journal.read_only)
        tasks.fill(session)

    def _leave_study(self) -> None:
        session = self._session
        session.reading.settle()
        for kind in (tasks.STUDY, tasks.PIXELS, tasks.RUN, COMPARE):
            session.workers.cancel(kind)
        if session.journal is not None:
            session.keeper.close(session.journal)
        session.journal = session.loader = None
        if session.prediction is not None:
            session.prediction = None
            session.prediction_changed.emit()

    def _forget_study(self) -> None:
        session = self._session
        self._leave_study()
        session.volume = session.source = self.dynamic = None
        session.study_changed.emit()
        session.boxes_changed.emit()

    def _start_view(self, volume: DceVolume) -> None:
        session = self._session
        phase, z = first_look(volume)
        session.go_to(z, phase)
        session.viewer.dims.last_used = max(0, session.viewer.dims.ndim - 3)
        session.viewer.scene.camera.orientation2d = look.upright(volume)
        canvas = session.viewer.canvas
        canvas.overlays.scale_bar.visible = look.has_size(volume)
        # Around the images it is dark in every theme: eyes are used to the dark, and what is written stays legible.
        if canvas.background_color_override is None:
            canvas.background_color_override = "black"
