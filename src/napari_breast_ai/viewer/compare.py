"""The same study a second time, with another model's maps or with boxes alone, scrolled and moved together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer

from ..core import BreastAIError, DceVolume, Prediction, Progress
from . import layers as look
from .display import default_label
from .heat import heats
from .heat_colors import difference_colormap, heat_colormap
from .palette import label_color
from .ranging import doubt_of

if TYPE_CHECKING:
    from ..inference.averages import Averages
    from ..inference.in_range import RangeReport
    from ..models import Bundle
    from .session import Session

COMPARE = "compare"
_CAMERA = ("center", "zoom")


class Compare:
    """The second view of the session's study. Slice, phase, place and zoom are those of the first, and the other way.

    Attributes:
        model: the viewer model of the second view.
        volume: the study.
        prediction: whose maps lie over it; None for boxes alone.
        report: how the study compares with that model's training; None where it was not compared.
    """

    def __init__(
        self,
        session: Session,
        prediction: Prediction | None = None,
        report: RangeReport | None = None,
    ) -> None:
        """Raises BreastAIError where there is no study."""
        if session.volume is None:
            raise BreastAIError("There is no study to see side by side. Open one first.")
        self._session = session
        self.volume, self.prediction, self.report = session.volume, prediction, report
        self._busy = False
        self._maps: dict[str, Any] = {}
        self.model = ViewerModel(title=self.title)
        # Not the subtraction: the same pixels, and no second array.
        data, settings, _ = look.volume_layers(self.volume)[0]
        settings.pop("metadata")
        self.model.add_image(data, **settings)
        first = look.shown_image(session.viewer.layers, self.volume)
        if first is not None and look.info(first)["role"] == look.DYNAMIC:
            self.model.layers[0].contrast_limits = first.contrast_limits
        self._boxes = self.model.add_shapes(
            None, ndim=3, name="Boxes", face_color="transparent", edge_width=look.edge_width(self.volume),
            **look.shared_settings(self.volume),
        )  # fmt: skip
        self._boxes.editable = False
        self.model.scene.camera.orientation2d = look.upright(self.volume)
        self.model.canvas.background_color_override = "black"
        self._connect(True)
        self._follow()
        self._draw_boxes()
        self._draw_maps()

    @property
    def title(self) -> str:
        """What it shows, in a few words."""
        return "boxes alone" if self.prediction is None else self.prediction.model.name

    @property
    def doubt(self) -> str:
        """Why the second model's answer is not to be taken as certain, in a line; "" where nothing speaks against it."""
        return "" if self.prediction is None else doubt_of(self.report)

    @property
    def doubts(self) -> tuple[str, ...]:
        """The reasons, in sentences."""
        return () if self.report is None else self.report.doubts

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the comparison could not be made, or is worth a remark, in sentences."""
        found = () if self.report is None else self.report.findings
        return tuple(one.text for one in found if one.severity == "note")

    @property
    def text(self) -> str:
        """What it says of the slice in view, and of the case."""
        z, found = self._session.slice_index, self.prediction
        if found is None:
            count = len(self._session.journal.boxes) if self._session.journal is not None else 0
            return f"Slice {z}, the image without heat maps; {count} boxes"
        case = ", ".join(
            f"{label} {'–' if value is None else f'{value:.2f}'}"
            for label, value in found.case.probabilities.items()
        )
        if z not in found.slices:
            return f"Case: {case}. Slice {z} was not scored"
        at = found.slices.index(z)
        here = ", ".join(f"{label} {values[at]:.2f}" for label, values in found.probabilities.items())
        return f"Case: {case}. Slice {z}: {here}"

    @property
    def sides(self) -> str:
        """The first view tells them, and this one lies as it does."""
        return ""

    def close(self) -> None:
        """Follow no more."""
        self._connect(False)

    def _connect(self, on: bool) -> None:
        session = self._session
        for signal, slot in (
            (session.position_changed, self._follow),
            (session.boxes_changed, self._draw_boxes),
            (session.display_changed, self._draw_maps),
        ):
            if on:
                signal.connect(slot)
            else:
                signal.disconnect(slot, missing_ok=True)
        try:
            pairs = [(self.model.dims.events.current_step, self._on_slider)]
            for name in _CAMERA:
                pairs.append((getattr(session.viewer.scene.camera.events, name), self.see_as_first))
                pairs.append((getattr(self.model.scene.camera.events, name), self._see_as_second))
        except ReferenceError:  # the window has gone first
            return
        for emitter, heard in pairs:
            (emitter.connect if on else emitter.disconnect)(heard)

    def _follow(self) -> None:
        if self._busy or self._session.volume is not self.volume:
            return
        self._busy = True
        try:
            dims = self.model.dims
            dims.set_point(dims.ndim - 3, self._session.slice_index * self.volume.geometry.spacing[0])
            if dims.ndim >= 4:
                dims.set_point(dims.ndim - 4, self._session.phase_index)
        finally:
            self._busy = False

    def _on_slider(self, event: Any = None) -> None:
        """The person has moved the second view's sliders: the first one follows."""
        if self._busy or self._session.volume is not self.volume:
            return
        point = self.model.dims.point
        self._busy = True
        try:
            self._session.go_to(round(point[-3] / self.volume.geometry.spacing[0]), round(point[-4]))
        finally:
            self._busy = False

    def see_as_first(self, event: Any = None) -> None:
        """Show the same place at the same zoom as the first view."""
        self._see(self._session.viewer.scene.camera, self.model.scene.camera)

    def _see_as_second(self, event: Any = None) -> None:
        self._see(self.model.scene.camera, self._session.viewer.scene.camera)

    def _see(self, of: Any, other: Any) -> None:
        """Give one camera the place and zoom of the other."""
        if self._busy or self._session.volume is not self.volume:
            return
        self._busy = True
        try:
            for name in _CAMERA:
                if getattr(other, name) != getattr(of, name):
                    setattr(other, name, getattr(of, name))
        finally:
            self._busy = False

    def _draw_boxes(self) -> None:
        journal = self._session.journal
        if journal is None or self._session.volume is not self.volume:
            return
        boxes = journal.boxes
        self._boxes.data = []
        if boxes:
            self._boxes.add_rectangles(
                [look.rectangle(box) for box in boxes],
                edge_color=np.array([label_color(box.label, self._session.protocol) for box in boxes]),
                face_color="transparent",
            )

    def _draw_maps(self) -> None:
        """The second model's maps, drawn as those of the first are."""
        prediction, display = self.prediction, self._session.display
        if prediction is None or self._session.volume is not self.volume:
            return
        if display.label not in prediction.gradcam:
            display = replace(display, label=default_label(prediction), against="")
        asked = {
            look.ATTENTION: display.attention,
            look.GRADCAM: display.gradcam or prediction.attention is None,
        }
        for role, heat in heats(prediction, display).items():
            layer = self._maps.get(role)
            if layer is None:
                stack = look.full_stack(prediction, heat.maps, self.volume.n_slices)
                made = look.heat_layer(self.volume, stack, role, heat.name, covered=prediction.covered)
                made[1].pop("metadata")
                layer = self._maps[role] = Layer.create(*made)
                self.model.layers.insert(len(self.model.layers) - 1, layer)
            elif layer.name != heat.name:
                layer.data = look.full_stack(prediction, heat.maps, self.volume.n_slices)
            layer.name = heat.name
            sided = heat.sides is not None
            look.set_contrast(layer, -heat.top if sided else 0.0, heat.top, whole=True)
            threshold = display.threshold
            layer.colormap = (
                difference_colormap(threshold) if sided else heat_colormap(heat.colors, threshold)
            )
            layer.opacity, layer.visible = display.opacity, asked[role]


def compare_with(session: Session, name_or_folder: str, done: Any) -> None:
    """Run another model on the study, in a thread, and hand its second view to `done`.

    Raises:
        BreastAIError: there is no study, its slices are not all there, or the reader's own answer comes first.
    """
    volume = session.volume
    if volume is None or not session.complete:
        raise BreastAIError(
            "There is no study, or not all of its slices are there. Open one, or wait, and try again."
        )
    session.opinions.need()
    boxes = (session.journal.boxes if session.journal is not None else ()) or None

    def work(progress: Progress) -> tuple[Prediction, RangeReport | None]:
        from ..inference import predict
        from ..inference.averages import Averages
        from ..models import load_bundle

        bundle = load_bundle(name_or_folder)
        kept = Averages(volume, bundle)
        prediction = predict(volume, bundle, boxes=boxes, kept=kept, progress=progress)
        return prediction, _compared(volume, bundle, kept, prediction, progress)

    def show(found: tuple[Prediction, RangeReport | None]) -> None:
        prediction, report = found
        # Another study may have come while the model ran, or a reader who must say their own answer first.
        if session.volume is volume and not session.opinions.asks_first:
            if session.journal is not None:
                session.journal.answer_shown(prediction.model.name, prediction.model.sha256)
                session.opinions.changed.emit()
            done(Compare(session, prediction, report))

    session.workers.start(COMPARE, "Run the other model", work, done=show, failed=session.fail)


def _compared(
    volume: DceVolume, bundle: Bundle, kept: Averages, prediction: Prediction, progress: Progress
) -> RangeReport | None:
    """Whether the study is like those of the second model's training; None where that cannot be told."""
    from ..inference.in_range import check_range

    try:
        vectors = kept.vectors(prediction.slices)
        return check_range(volume, bundle.spec.preparation, bundle.ranges, vectors, progress)
    except BreastAIError:
        return None
