"""What one window is about: the study on the screen, its boxes, the model, what the model said, and where
we are.

Widgets show a session and call it; they hold no state of their own. There is one session per viewer, made by
`get_session`, and none for the program as a whole.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from napari.layers import Layer
from psygnal import Signal

from ..annotations import Journal, default_reader
from ..annotations.protocol import Protocol
from ..core import Box, BreastAIError, DceVolume, Prediction
from . import layers as look
from . import notices, tasks
from .boxes_layer import BoxesLayer
from .cases import Cases
from .display import Display, default_label
from .editing import Editing
from .gestures import Gestures
from .heat import HeatMaps
from .keeper import Keeper
from .layers import first_look
from .offers_layer import OffersLayer
from .reading import Reading
from .readout import Readout
from .shortcuts import bind_layer, bind_viewer
from .targets_layer import TargetsLayer
from .workers import Workers

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ..models import Bundle
    from ..study import Loader


class Session:
    """The state of one viewer, with a signal for everything that can change.

    Attributes:
        volume, source: the study on the screen and the path it came from; None where there is none.
        journal: the reader's boxes of this study; None without a study.
        bundle: the model that is ready to run, or None.
        prediction: what a model said about this study, or None.
        display: how it is laid over the image.
        protocol: the classes that boxes can have, and who may see suggestions.
        current_label: the class that the next box gets.
        suggestion_threshold: attention from which on a region is suggested, 0..1.
        slice_index, phase_index: where the sliders are.
        workers: the window's threads.
        loader: fills the study on the screen with its pixels; None where they were all there from the start.
        cases: what was found in a folder, and what the person decided about it.
        reading: the worklist, and where the reader stands in it.
        keeper: opens and saves the journal. editing: what keys do to boxes. gestures: wheel and right button.
    """

    index_changed: ClassVar[Signal] = Signal()
    study_changed: ClassVar[Signal] = Signal()
    boxes_changed: ClassVar[Signal] = Signal()
    label_changed: ClassVar[Signal] = Signal(str)
    protocol_changed: ClassVar[Signal] = Signal()
    bundle_changed: ClassVar[Signal] = Signal()
    prediction_changed: ClassVar[Signal] = Signal()
    display_changed: ClassVar[Signal] = Signal()
    position_changed: ClassVar[Signal] = Signal()
    said: ClassVar[Signal] = Signal(str)

    def __init__(self, viewer: ViewerModel, reader: str | None = None) -> None:
        # The viewer holds the session (by its key bindings), not the other way round: both go together.
        self._viewer = weakref.ref(viewer)
        self.reader = reader or default_reader()
        self.volume: DceVolume | None = None
        self.source: str | None = None
        self.journal: Journal | None = None
        self.bundle: Bundle | None = None
        self.prediction: Prediction | None = None
        self.display = Display()
        self.protocol = Protocol()
        self.current_label = self.protocol.labels[0]
        self.suggestion_threshold = 0.5
        self.slice_index = 0
        self.phase_index = 0
        self.workers = Workers()
        self.loader: Loader | None = None
        self.cases = Cases(self)
        self._dynamic: Layer | None = None
        self._reading_number = 1
        self._told: set[str] = set()
        self._closed = False
        self.keeper: Keeper = Keeper(self)
        self.boxes: BoxesLayer = BoxesLayer(self)
        self.offers: OffersLayer = OffersLayer(self)
        self.targets: TargetsLayer = TargetsLayer(self)
        self.editing: Editing = Editing(self)
        self.gestures: Gestures = Gestures(self)
        self.reading: Reading = Reading(self)
        self.heat: HeatMaps = HeatMaps(self)
        self.readout: Readout = Readout(self)
        bind_viewer(self)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.current_step.connect(self._on_dims)
        notices.check_start()
        for layer in list(viewer.layers):
            self._look_at(layer)

    @property
    def viewer(self) -> ViewerModel:
        """The viewer. Raises ReferenceError when it is gone."""
        viewer = self._viewer()
        if viewer is None:
            raise ReferenceError("The viewer of this session is gone.")
        return viewer

    # ------------------------------------------------------------------ study

    def show_study(
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
        self._reading_number = reading
        wanted = look.volume_layers(volume, source, boxes, loader)
        if not self._take_place(wanted, volume, source, loader):
            self.close_study()
            for data, settings, kind in wanted:
                self.viewer.add_layer(Layer.create(data, settings, kind))
            self.viewer.layers.selection.active = self._dynamic
        self.viewer.reset_view()

    def _take_place(
        self, wanted: list[look.LayerData], volume: DceVolume, source: str | None, loader: Loader | None
    ) -> bool:
        """Give the layers of the present study the pixels of another. False where there is no present study."""
        layers = self.viewer.layers
        if self.volume is None or self._dynamic not in layers:
            return False
        mine = {look.info(one)["role"]: one for one in layers if look.info(one).get("volume") is self.volume}
        self._leave_study()
        self.volume, self.source, self.loader = volume, source, loader
        for data, settings, kind in wanted:
            role = settings["metadata"][look.KEY]["role"]
            layer = mine.pop(role, None) if kind == "image" else None
            if layer is None:
                self.boxes.put(Layer.create(data, settings, kind))
            else:
                look.take_place(layer, data, settings)
        for role, layer in mine.items():
            if role not in look.OWN_WAY and layer in layers:
                layers.remove(layer)
        self._begin_study(volume)
        # The layers that are ours anew stand where napari put them: the boxes know their study only now.
        self._arrange()
        return True

    @property
    def complete(self) -> bool:
        """Whether every slice of the study has been read."""
        return self.loader is None or self.loader.complete

    def show_arrived(self) -> None:
        """Draw the slice on the screen anew: pixels may have come for it."""
        for layer in self.viewer.layers:
            if look.info(layer).get("volume") is self.volume and look.info(layer)["role"] in look.FILLED:
                layer.refresh(thumbnail=False, extent=False)

    def close_study(self) -> None:
        """Take the study and everything that belongs to it off the screen."""
        volume = self.volume
        if volume is None:
            return
        self._forget_study()
        for layer in [one for one in self.viewer.layers if look.info(one).get("volume") is volume]:
            self.viewer.layers.remove(layer)

    def _on_inserted(self, event: Any) -> None:
        self._look_at(event.value)

    def _look_at(self, layer: Layer) -> None:
        """Take a study over whose layer has come, from whatever door."""
        found = look.info(layer)
        volume = found.get("volume")
        if volume is None:
            return
        bind_layer(self, layer)
        if volume is self.volume:
            self._arrange()
            return
        if found.get("role") != look.DYNAMIC:
            return
        # One study at a time: two on top of each other would show one's heat maps on the other's anatomy.
        self.close_study()
        # napari numbered it apart from the one that has just gone.
        layer.name = re.sub(r" \[\d+\]$", "", layer.name)
        self.volume, self.source, self._dynamic = volume, found.get("source"), layer
        self.loader = found.get("loader")
        self._begin_study(volume)

    def _arrange(self) -> None:
        """Put our layers in order, wherever napari adds them: images, heat maps, boxes."""
        if self.volume is None:
            return
        layers = self.viewer.layers
        ours = [layer for layer in layers if look.info(layer).get("volume") is self.volume]
        wanted = sorted(ours, key=lambda layer: look.ORDER.index(look.info(layer)["role"]))
        for place, layer in zip([layers.index(one) for one in ours], wanted, strict=True):
            if layers[place] is not layer:
                layers.move(layers.index(layer), place)

    def _on_removed(self, event: Any) -> None:
        if event.value is self._dynamic:
            self.close_study()

    def _begin_study(self, volume: DceVolume) -> None:
        self.journal = self.keeper.open(volume, self.source, self._reading_number)
        self._reading_number = 1
        # Whoever hears of the study asks where in it we are.
        self.phase_index, self.slice_index = first_look(volume)
        self.study_changed.emit()
        # The layers that follow by themselves are in place now, and the sliders have their final length: before, Qt
        # would cut a slice's millimetres off at the number of slices.
        self._start_view(volume)
        self.boxes_changed.emit()
        for warning in (*volume.warnings, *(self.journal.warnings if self.journal else ())):
            self.say(warning, once=True)
        if self.journal is not None and self.journal.read_only:
            self.say(self.journal.read_only)
        tasks.fill(self)

    def _leave_study(self) -> None:
        self.reading.settle()
        self.workers.cancel("study")
        self.workers.cancel("pixels")
        if self.journal is not None:
            self.keeper.close(self.journal)
        self.journal = self.loader = None
        if self.prediction is not None:
            self.prediction = None
            self.prediction_changed.emit()

    def _forget_study(self) -> None:
        self._leave_study()
        self.volume = self.source = self._dynamic = None
        self.study_changed.emit()
        self.boxes_changed.emit()

    def _start_view(self, volume: DceVolume) -> None:
        phase, z = first_look(volume)
        self.go_to(z, phase)
        self.viewer.dims.last_used = max(0, self.viewer.dims.ndim - 3)
        self.viewer.scene.camera.orientation2d = look.upright(volume)
        canvas = self.viewer.canvas
        canvas.overlays.scale_bar.visible = look.has_size(volume)
        # Around the images it is dark in every theme: eyes are used to the dark, and what is written stays legible.
        if canvas.background_color_override is None:
            canvas.background_color_override = "black"

    # --------------------------------------------------------------- position

    def go_to(self, slice_index: int | None = None, phase_index: int | None = None) -> None:
        """Move the sliders; None leaves one where it is, numbers outside go to the end."""
        if self.volume is None:
            return
        dims = self.viewer.dims
        if slice_index is not None:
            index = min(max(slice_index, 0), self.volume.n_slices - 1)
            dims.set_point(dims.ndim - 3, index * self.volume.geometry.spacing[0])
        if phase_index is not None and dims.ndim >= 4:
            dims.set_point(dims.ndim - 4, min(max(phase_index, 0), self.volume.n_phases - 1))
        self._on_dims()

    def _on_dims(self, event: Any = None) -> None:
        if self.volume is None or self.viewer.dims.ndim < 4:
            return
        point = self.viewer.dims.point
        z = min(max(round(point[-3] / self.volume.geometry.spacing[0]), 0), self.volume.n_slices - 1)
        phase = min(max(round(point[-4]), 0), self.volume.n_phases - 1)
        if (z, phase) != (self.slice_index, self.phase_index):
            self.slice_index, self.phase_index = z, phase
            self.position_changed.emit()

    # ------------------------------------------------------ model and display

    def set_bundle(self, bundle: Bundle | None) -> None:
        """Make a model ready."""
        self.bundle = bundle
        self.bundle_changed.emit()

    def set_prediction(self, prediction: Prediction | None) -> None:
        """Show what a model said about this study."""
        if prediction is not None:
            label = (
                self.display.label if self.display.label in prediction.gradcam else default_label(prediction)
            )
            show_cam = self.display.gradcam or prediction.attention is None
            self.display = replace(self.display, label=label, gradcam=show_cam)
        self.prediction = prediction
        self.prediction_changed.emit()
        self.display_changed.emit()

    def set_display(self, **changes: Any) -> None:
        """Change settings by `Display`'s names. Raises BreastAIError for values out of range."""
        display = replace(self.display, **changes)
        if found := display.problems():
            raise BreastAIError(" ".join(found))
        if display != self.display:
            self.display = display
            self.display_changed.emit()

    def top_slice(self) -> int | None:
        """The slice that the model found most telling: the first of its overlays too."""
        prediction = self.prediction
        if prediction is None or not prediction.slices:
            return None
        from ..inference import rank_slices

        boxes = self.journal.boxes if self.journal is not None else ()
        return int(prediction.slices[rank_slices(prediction, boxes)[0]])

    def set_label(self, label: str) -> None:
        """Choose the class of the next box, and give it to the boxes that are selected."""
        self.current_label = label
        self.label_changed.emit(label)

    def set_protocol(self, protocol: Protocol) -> None:
        """Offer other classes."""
        if protocol != self.protocol:
            self.protocol = protocol
            self.protocol_changed.emit()
            if self.current_label not in protocol.labels:
                self.set_label(protocol.labels[0])

    def set_reader(self, reader: str) -> None:
        """Another person sits down: from now on boxes are theirs, and the case shows their boxes."""
        reader = reader.strip()
        if not reader or reader == self.reader:
            return
        self.reading.settle()
        if self.journal is not None:
            self.keeper.close(self.journal)
        self.reader = reader
        if self.volume is not None:
            number = self.journal.reading if self.journal is not None else 1
            self.journal = self.keeper.open(self.volume, self.source, number)
            self.study_changed.emit()
            self.boxes_changed.emit()
        self.reading.set_reader()

    # -------------------------------------------------------------------- say

    def say(self, sentence: str, once: bool = False) -> None:
        """Tell the person something that needs attention, in the dock and as a notification.

        With `once` the same sentence is a notification the first time only: a list of pictures says the same of each.
        """
        self.said.emit(sentence)
        if not once or sentence not in self._told:
            notices.warn(sentence)
        self._told.add(sentence)

    def fail(self, error: BaseException) -> None:
        """Tell the person what could not be done: a sentence for bad input, an honest report for a defect."""
        if isinstance(error, BreastAIError):
            sentence = str(error)
        elif isinstance(error, MemoryError):
            sentence = "There is not enough memory for this. Close other studies or programs and try again."
        else:
            sentence = (
                f"Unexpected {type(error).__name__}: {error}. "
                "This is a defect of napari-breast-ai; please report it."
            )
        self.said.emit(sentence)
        notices.complain(sentence)

    def may_close(self) -> bool:
        """Save what can be before the window closes. False, once, where boxes would be lost."""
        self.reading.settle()
        return self.keeper.may_close()

    def shut_down(self) -> None:
        """Stop and join all threads and let go of the viewer. The session is of no use afterwards."""
        if self._closed:
            return
        self._closed = True
        self.reading.settle()
        self.keeper.shut_down()
        self.workers.stop()
        self.gestures.remove()
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.viewer.dims.events.current_step.disconnect(self._on_dims)
        self.readout.remove()
        _sessions.pop(id(self.viewer), None)


_sessions: weakref.WeakValueDictionary[int, Session] = weakref.WeakValueDictionary()


def get_session(viewer: Any, reader: str | None = None) -> Session:
    """The session of a viewer (or of napari's proxy of one), made where there is none yet."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    known = _sessions.get(id(viewer))
    # A number may come back for another viewer when the first is gone.
    if known is not None and known._viewer() is viewer:
        return known
    session = _sessions[id(viewer)] = Session(viewer, reader)
    return session
