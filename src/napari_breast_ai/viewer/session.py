"""What one window is about: the study on the screen, its boxes, the model, what the model said, and where
we are.

Widgets show a session and call it; they hold no state of their own. There is one session per viewer, made by
`get_session`, and none for the program as a whole.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from ..annotations import Journal, default_reader
from ..annotations.protocol import Protocol
from ..core import Box, BreastAIError, DceVolume, Prediction
from . import notices
from .boxes_layer import BoxesLayer
from .cases import Cases
from .display import Display, default_label
from .editing import Editing
from .gestures import Gestures
from .heat import HeatMaps
from .keeper import Keeper
from .kinetics import Kinetics
from .live import Live
from .offers_layer import OffersLayer
from .opinions import Opinions
from .place import Place
from .presenter import ATTENTION, Presenter
from .questions import Questions
from .ranging import RangeWatch
from .reading import Reading
from .readout import Readout
from .recall import Recall
from .shortcuts import bind_viewer
from .showing import Showing
from .similar import Similar
from .table_scoring import ClinicalValues
from .targets_layer import TargetsLayer
from .tour import Tour
from .training import Training
from .workers import Workers

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ..models import Bundle, TableBundle
    from ..study import Loader


class Session:
    """The state of one viewer, with a signal for everything that can change.

    Attributes:
        volume, source: the study on the screen and the path it came from; None where there is none.
        journal: the reader's boxes of this study; None without a study.
        bundle: the model that is ready to run, or None. fast: whether it is to run in 8 bits.
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
        training: what is to be learnt, the run in its own process, and its result.
        showing: puts the study's layers on the screen and takes them off.
        keeper: opens and saves the journal. editing: what keys do to boxes. gestures: wheel and right button.
        range: whether the study is like those of the model's training. questions: what was asked of the heat map.
        similar: labelled cases that look alike to the model.
        live: whether boxes teach the attention on the screen. values: what a model asks for beside the images.
        recall: what the model has said of a case before.
        opinions: what the person thinks; keeps a model's answer back where that comes first.
        presenter: shows the picture alone. tour: leads through the Review dock.
        kinetics: enhancement over time, where its dock is open. place: what the views beside the study are about.
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
    saved: ClassVar[Signal] = Signal(str)

    def __init__(self, viewer: ViewerModel, reader: str | None = None) -> None:
        # The viewer holds the session (by its key bindings), not the other way round: both go together.
        self._viewer = weakref.ref(viewer)
        self.reader = reader or default_reader()
        self.volume: DceVolume | None = None
        self.source: str | None = None
        self.journal: Journal | None = None
        self.bundle: Bundle | TableBundle | None = None
        self.prediction: Prediction | None = None
        self.display: Display = Display()
        self.protocol = Protocol()
        self.current_label = self.protocol.labels[0]
        self.suggestion_threshold = 0.5
        self.slice_index: int = 0
        self.phase_index: int = 0
        self.workers = Workers()
        self.loader: Loader | None = None
        self.cases = Cases(self)
        self.training = Training(self)
        self._guessed = ""
        self.fast = False
        self._told: set[str] = set()
        self._closed = False
        self.showing: Showing = Showing(self)
        self.keeper: Keeper = Keeper(self)
        self.boxes: BoxesLayer = BoxesLayer(self)
        self.offers: OffersLayer = OffersLayer(self)
        self.targets: TargetsLayer = TargetsLayer(self)
        self.editing: Editing = Editing(self)
        self.gestures: Gestures = Gestures(self)
        self.reading: Reading = Reading(self)
        self.opinions: Opinions = Opinions(self)
        self.heat: HeatMaps = HeatMaps(self)
        self.place: Place = Place(self)
        self.live: Live = Live(self)
        self.kinetics: Kinetics = Kinetics(self)
        self.recall: Recall = Recall(self)
        self.range: RangeWatch = RangeWatch(self)
        self.questions: Questions = Questions(self)
        self.similar: Similar = Similar(self)
        self.presenter: Presenter = Presenter(self)
        self.tour: Tour = Tour(self)
        self.readout: Readout = Readout(self)
        self.values: ClinicalValues = ClinicalValues(self)
        bind_viewer(self)
        self.showing.watch()
        viewer.dims.events.current_step.connect(self._on_dims)
        notices.check_start()
        self.showing.look_around()

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
        """Put a study on the screen in place of the present one; see `Showing.show`."""
        self.showing.show(volume, source, boxes, loader, reading)

    def close_study(self) -> None:
        """Take the study and everything that belongs to it off the screen."""
        self.showing.close()

    def show_arrived(self, arrived: NDArray[np.bool_]) -> None:
        """Draw the slice on the screen anew where pixels have come for it; `arrived` is (phases, slices)."""
        self.showing.draw_again(arrived)

    @property
    def complete(self) -> bool:
        """Whether every slice of the study has been read."""
        return self.loader is None or self.loader.complete

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

    def set_bundle(self, bundle: Bundle | TableBundle | None) -> None:
        """Make a model ready."""
        self.bundle, self.fast = bundle, False
        self.bundle_changed.emit()

    def set_fast(self, on: bool) -> None:
        """Run the model in 8 bits from now on, or in full precision. Raises BreastAIError where it is not offered."""
        if on and self.bundle is not None:
            from ..inference.quantised import why_not_fast

            if said := why_not_fast(self.bundle):
                raise BreastAIError(said)
        self.fast = on and self.bundle is not None
        self.recall.look()

    def set_prediction(self, prediction: Prediction | None) -> None:
        """Show what a model said about this study, at once or when the reader has said their own (`opinions`)."""
        # One that waits must not tell its class by what is chosen to be shown either.
        self.prediction = prediction = self.opinions.admit(prediction)
        if prediction is not None:
            # What was taken while a run went on is not what the person chose.
            chosen = self.display.label in prediction.gradcam and self.display.label != self._guessed
            label = self.display.label if chosen else default_label(prediction)
            self._guessed = label if prediction.pending and not chosen else ""
            show_cam = self.display.gradcam or (prediction.attention is None and bool(prediction.gradcam))
            self.display = replace(self.display, label=label, gradcam=show_cam)
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
            notices.warn(ATTENTION if self.presenter.on else sentence)
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
        notices.complain(ATTENTION if self.presenter.on else sentence)

    def may_close(self) -> bool:
        """Save what can be before the window closes. False, once, where boxes would be lost or a training be stopped."""
        self.reading.settle()
        return self.keeper.may_close() and self.training.may_close()

    def shut_down(self) -> None:
        """Stop and join all threads and let go of the viewer. The session is of no use afterwards."""
        if self._closed:
            return
        self._closed = True
        self.reading.settle()
        self.keeper.shut_down()
        self.workers.stop()
        self.training.shut_down()
        self.gestures.remove()
        self.kinetics.shut_down()
        self.place.shut_down()
        self.showing.remove()
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
