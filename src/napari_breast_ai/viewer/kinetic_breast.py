"""The breasts and their fibroglandular tissue in the window: found behind the screen, corrected by hand, measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from psygnal import Signal

from ..core import BreastAIError, Progress
from . import kinetic_look as kind
from . import layers as look
from .soon import Soon

if TYPE_CHECKING:
    from ..core import DceVolume
    from ..kinetics import BreastFigures, BreastMasks
    from .kinetics import Kinetics
    from .session import Session

OUTLINE, FIGURES, FILES = "breasts", "breast figures", "breast files"
WAIT_MS = 150
"""A hand that paints asks for figures with every stroke: they are made when it has come to rest for so long."""


@dataclass(frozen=True, eq=False)
class MeasuredBreasts:
    """What was measured of the labels on the screen.

    Attributes:
        masks: of them.
        rows: figures of each breast, and of both.
        edited: whether a hand has changed what was found.
    """

    masks: BreastMasks
    rows: tuple[BreastFigures, ...]
    edited: bool


class Breasts:
    """One layer of labels, made when it is asked for, and its figures, anew with every change.

    Attributes:
        network: the folder of a network of one's own; "" for the classical method.
        masks: as they were found; None while there are none.
        measured: the figures of what is on the screen; None while there are none.
        problem: why there is nothing to see, in a sentence; or "".
        outlines, opacity: how the layer is drawn.
        changed: emitted when any of these changes.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session, kinetics: Kinetics) -> None:
        self._session, self._kinetics = session, kinetics
        self.network = ""
        self.masks: BreastMasks | None = None
        self.measured: MeasuredBreasts | None = None
        self.problem = ""
        self.outlines, self.opacity = True, 0.9
        self._layer: Labels | None = None
        self._soon = Soon(self.measure, WAIT_MS)
        self._edited = False
        self._reader = session.reader
        # What other readers of the study on the screen see, where it is their own: what was found, and the labels.
        self._others: dict[str, tuple[BreastMasks, NDArray[np.uint8]]] = {}
        # The labels that left the screen with their study, and whether they were seen.
        self._left: tuple[NDArray[np.uint8], bool] | None = None
        for signal in (kinetics.changed, session.boxes_changed):
            signal.connect(self._later)
        session.workers.changed.connect(self.changed.emit)
        session.viewer.layers.events.removed.connect(self._on_removed)

    @property
    def layer(self) -> Labels | None:
        """The layer, or None while there is nothing to see."""
        return self._layer

    @property
    def busy(self) -> bool:
        """Whether the breasts are being outlined."""
        return self._session.workers.running(OUTLINE)

    @property
    def edited(self) -> bool:
        """Whether a hand has changed what was found, as far as it is known: the last strokes may be `pending`."""
        return self._edited

    @property
    def pending(self) -> bool:
        """Whether the figures are older than what is on the screen."""
        return self.masks is not None and (self._soon.waiting or self._session.workers.running(FIGURES))

    def _touched(self) -> bool:
        """Whether the labels differ from what was found; it takes a moment in a large study."""
        from ..kinetics import labels_of

        masks, layer = self.masks, self._layer
        return masks is not None and layer is not None and not np.array_equal(labels_of(masks), layer.data)

    # ----------------------------------------------------------------- finding

    def use(self, network: str) -> None:
        """Outline by the network in a folder from now on; "" for the classical method."""
        self.network, self.problem = network, ""
        self.changed.emit()

    def outline(self) -> None:
        """Find breasts and tissue, in a thread. What a hand has corrected is not lost: it is taken back first."""
        session, volume, network = self._session, self._session.volume, self.network
        if volume is None:
            return
        if self._touched():
            session.say("The breasts were corrected by hand. Take that back before you outline them anew.")
            return
        if not session.complete:
            session.say("The study is still being read. Outline the breasts when all its slices are there.")
            return
        try:
            pre = self._before(volume)
        except BreastAIError as error:
            self._fail(error)
            return

        def work(progress: Progress) -> BreastMasks:
            if network:
                from ..inference.segmentation import Network

                progress(0, 0, "Reading the network")
                return Network.load(network)(volume, pre, progress)
            from ..kinetics import segment_breast

            return segment_breast(volume, pre, progress)

        def done(masks: BreastMasks) -> None:
            if session.volume is not volume:
                return
            if self._touched():
                session.say(
                    "The breasts were corrected by hand while they were outlined anew: the corrections stay, and what "
                    "was found anew is left out."
                )
                return
            self._begin(masks)

        def failed(error: BaseException) -> None:
            if session.volume is volume:
                self._fail(error)

        self.problem = ""
        session.workers.start(OUTLINE, "Outline the breasts", work, done=done, failed=failed)
        self.changed.emit()

    def _before(self, volume: DceVolume) -> int:
        """The phase before contrast, where there is one."""
        from ..kinetics.phases import before_contrast

        choice, given = self._kinetics.choice, self._kinetics.given.pre
        if choice is not None:
            return choice.pre
        return given if given is not None else before_contrast(volume)

    def by_hand(self) -> None:
        """Begin with nothing, and paint."""
        from ..kinetics.breast_labels import no_masks

        if self._session.volume is not None and self.masks is None:
            self.problem = ""
            self._begin(no_masks(self._session.volume.geometry.shape))
            self.paint(1)

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, BreastAIError):
            self._session.fail(error)
        self.problem = str(error)
        self.changed.emit()

    # ------------------------------------------------------------------- layer

    def show(self, *, outlines: bool | None = None, opacity: float | None = None) -> None:
        """Draw outlines or whole areas, more or less strongly."""
        self.outlines = self.outlines if outlines is None else outlines
        self.opacity = self.opacity if opacity is None else opacity
        if self._layer is not None:
            self._layer.contour = int(self.outlines)
            self._layer.opacity = self.opacity
        self.changed.emit()

    def see(self, on: bool) -> None:
        """Show the layer, or hide it."""
        if self._layer is not None:
            self._layer.visible = on
            self.changed.emit()

    def paint(self, label: int | None) -> None:
        """Let a drag on the canvas paint a label (0 takes away), or with None move the picture again."""
        layer = self._layer
        if layer is None:
            return
        if label is not None:
            layer.visible, layer.selected_label = True, label
            self._session.viewer.layers.selection.active = layer
        layer.mode = "pan_zoom" if label is None else "paint"
        self.changed.emit()

    @property
    def painting(self) -> bool:
        """Whether a drag on the canvas paints."""
        active = self._session.viewer.layers.selection.active
        return self._layer is not None and active is self._layer and self._layer.mode == "paint"

    def take_back(self) -> None:
        """Undo all that a hand has corrected."""
        if self.masks is not None and self._layer is not None:
            from ..kinetics import labels_of

            self._fill(labels_of(self.masks))

    def _begin(self, masks: BreastMasks, labels: NDArray[np.uint8] | None = None) -> None:
        """Show what was found, or the labels that a person has made of it."""
        from ..kinetics import labels_of
        from ..kinetics.breast_labels import TISSUE

        session = self._session
        assert session.volume is not None
        self.masks, self.measured, self._edited = masks, None, labels is not None
        labels = labels_of(masks) if labels is None else labels
        if self._layer is None:
            made = Layer.create(*kind.breast_layer(session.volume, labels))
            assert isinstance(made, Labels)
            self._layer = made
            session.boxes.put(made)
            made.selected_label = TISSUE
            made.events.paint.connect(self._later)
            made.events.data.connect(self._later)
            made.events.visible.connect(self.changed.emit)
            self.show()
        else:
            self._fill(labels)
        self._later()

    def _fill(self, labels: NDArray[np.uint8]) -> None:
        assert self._layer is not None
        kind.fill_labels(self._layer, labels)

    def forget(self) -> None:
        """Another study: nothing of it is known."""
        self._left = None
        self._others.clear()
        self._reader = self._session.reader
        self._drop()

    def _drop(self) -> None:
        """The breasts on the screen are gone; those of other readers are not."""
        for job in (OUTLINE, FIGURES):
            self._session.workers.cancel(job)
        self.masks = self.measured = None
        self.problem, self._edited = "", False
        self.changed.emit()

    def follow_study(self) -> None:
        """The same images of the same study, with other times, say: what was found and corrected stays."""
        masks, left, others = self.masks, self._left, dict(self._others)
        same = self._reader == self._session.reader
        self.forget()
        if not same:
            return
        self._others.update(others)
        if masks is not None and left is not None:
            self._begin(masks, left[0])
            self.see(left[1])

    def follow_reader(self) -> None:
        """Another reader of the same study sees what was found, with their own corrections."""
        from ..kinetics import labels_of

        before, self._reader = self._reader, self._session.reader
        if before == self._reader:
            return
        masks, own = self.masks, self._others.pop(self._reader, None)
        if masks is not None and self._layer is not None:
            # A network of the other's own may have found something else.
            if self._touched() or (own is not None and own[0] is not masks):
                self._others[before] = masks, np.array(self._layer.data)
            if own is None:
                self._fill(labels_of(masks))
        if own is not None:
            self._begin(*own)

    def _on_removed(self, event: Any) -> None:
        layer = self._layer
        if layer is None or event.value is not layer:
            return
        self._layer = None
        if look.info(layer).get("volume") is self._session.volume:
            self._drop()
        elif self.masks is not None:
            self._left = np.asarray(layer.data), layer.visible

    # ----------------------------------------------------------------- figures

    def _later(self, event: Any = None) -> None:
        if self.masks is None:
            return
        known = self.pending
        self._soon.ask()
        if not known and self.pending:
            self.changed.emit()

    def stop(self) -> None:
        """Measure no more: the window closes."""
        self.masks = None
        self._soon.stop()

    def measure(self) -> None:
        """Measure what is on the screen, in a thread; the last figures stay until new ones are there."""
        session, kinetics, found, layer = self._session, self._kinetics, self.masks, self._layer
        volume = session.volume
        if found is None or layer is None or volume is None:
            return
        labels, maps = np.array(layer.data), kinetics.maps
        groups = kinetics.lesions.groups
        why = kinetics.problem or "The enhancement is not known yet: no background enhancement can be given."

        def work(progress: Progress) -> MeasuredBreasts:
            from ..kinetics import area_of_boxes, breast_figures, density_figures, masks_of

            progress(0, 3, "Reading the labels")
            masks = masks_of(labels, found, volume.geometry)
            edited = masks is not found
            progress(1, 3, "Measuring")
            if not masks.breast.any():
                return MeasuredBreasts(masks, (), edited)
            if maps is None:
                return MeasuredBreasts(masks, density_figures(masks, volume.geometry, why), edited)
            areas = []
            for one in groups:
                try:
                    areas.append(area_of_boxes(one.boxes, maps.geometry.shape))
                except BreastAIError:
                    continue  # drawn on another study's grid, and outside of this one
            progress(2, 3, "Measuring")
            return MeasuredBreasts(masks, breast_figures(masks, maps, areas, progress=progress), edited)

        def done(measured: MeasuredBreasts) -> None:
            if self.masks is found:
                self.measured, self._edited = measured, measured.edited
                self.changed.emit()

        def failed(error: BaseException) -> None:
            if self.masks is found:
                # Older figures would pass for those of what is on the screen.
                self.measured, self._edited = None, self._touched()
                session.fail(error)
                self.changed.emit()

        session.workers.start(FIGURES, "Measure the breasts", work, done=done, failed=failed, quiet=True)

    def save(self, folder: str | Path, saved: Callable[[tuple[Path, ...]], None]) -> None:
        """Write masks and figures into a folder, in a thread: two NIfTI files, a table, how they were made.

        Args:
            folder: made where it does not exist.
            saved: called with the files when all of them are there.

        Raises:
            KineticsError: there are none, they are being measured, or a file of that name is there already.
        """
        from ..kinetics.errors import KineticsError
        from ..kinetics.write import BREAST_FILES, write_breasts

        session, measured, volume = self._session, self.measured, self._session.volume
        if self.pending:
            raise KineticsError("The breasts are being measured. Save them when their figures are there.")
        if measured is None or volume is None:
            raise KineticsError("There are no figures yet. Outline the breasts first.")
        folder = Path(folder)
        if there := [name for name in BREAST_FILES if (folder / name).exists()]:
            raise KineticsError(
                f"“{folder}” holds {', '.join(there)} already, and nothing is written over. Choose another folder."
            )

        def work(progress: Progress) -> tuple[Path, ...]:
            return write_breasts(measured.masks, measured.rows, volume.geometry, folder, progress)

        session.workers.start(FILES, "Save the breasts", work, done=saved, failed=session.fail)
