"""What the attention is taught by the boxes that are there: the covered fraction of each of its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from napari.layers import Image, Layer
from psygnal import Signal

from . import layers as look
from .heat_colors import TARGETS, heat_colormap

if TYPE_CHECKING:
    from ..inference.box_cells import ReduceRule
    from .session import Session

RESNET_GRID = (8, 11)
"""ResNet-50 on 240 × 345 pixels. Source: "Detection of MRI breast lesions using deep learning" (JFR 2018 challenge)."""

SQUEEZENET_GRID = (14, 14)
"""SqueezeNet 1.1 on 227 × 227 pixels."""


@dataclass(frozen=True)
class TargetsView:
    """How targets are shown.

    Attributes:
        shown: whether they are.
        grid: (h, w) of the attention, or None for that of the model that has run, else SqueezeNet's.
        rule: "area", the covered fraction of a cell, or "max", 1 where anything of it is covered.
    """

    shown: bool = False
    grid: tuple[int, int] | None = None
    rule: ReduceRule = "area"


class TargetsLayer:
    """A layer of cells over the image, made when it is first asked for; it follows every box.

    Attributes:
        view: how targets are shown; `show` changes it.
        changed: emitted when it does.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._layer: Image | None = None
        self._covered = (0, 0, 0, 0)
        self.view = TargetsView()
        for signal in (session.study_changed, session.boxes_changed, session.prediction_changed):
            signal.connect(self._pull)
        session.viewer.layers.events.removed.connect(self._on_removed)

    @property
    def layer(self) -> Image | None:
        """The layer, or None while nobody has asked for it."""
        return self._layer

    @property
    def grid(self) -> tuple[int, int]:
        """The attention's cells, (h, w)."""
        prediction = self._session.prediction
        if self.view.grid is not None:
            return self.view.grid
        return prediction.map_shape if prediction is not None and prediction.gradcam else SQUEEZENET_GRID

    def show(self, view: TargetsView) -> None:
        """Show, hide, or show otherwise."""
        if view != self.view:
            self.view = view
            self._pull()
            self.changed.emit()

    def _pull(self) -> None:
        session, layers = self._session, self._session.viewer.layers
        volume, journal = session.volume, session.journal
        if self._layer is not None and look.info(self._layer).get("volume") is not volume:
            gone, self._layer = self._layer, None
            if gone in layers:
                layers.remove(gone)
        if volume is None or journal is None or not self.view.shown:
            if self._layer is not None:
                self._layer.visible = False
            return
        from ..training.targets import attention_maps

        n, rows, columns = volume.geometry.shape
        # A model that sees a part of the image is taught on that part.
        y0, x0, y1, x1 = covered = session.prediction.covered if session.prediction else (0, 0, rows, columns)
        boxes: list[list[Any]] = [[] for _ in range(n)]
        for box in journal.boxes:
            boxes[box.z].append(box.shifted(-y0, -x0))
        maps = attention_maps(boxes, (y1 - y0, x1 - x0), self.grid, self.view.rule)
        if self._layer is not None and (self._layer.data.shape != maps.shape or self._covered != covered):
            gone, self._layer = self._layer, None
            layers.remove(gone)
        if self._layer is None:
            made = Layer.create(
                *look.heat_layer(
                    volume,
                    maps,
                    look.TARGETS,
                    "Targets",
                    covered=covered,
                    contrast_limits=(0.0, 1.0),
                    opacity=0.55,
                    colormap=heat_colormap(TARGETS),
                )
            )
            assert isinstance(made, Image)
            # Each cell is one number: smooth edges would show what is not taught.
            made.interpolation2d = "nearest"
            self._layer, self._covered = made, covered
            self._session.boxes.put(made)
        else:
            self._layer.data = maps
        self._layer.visible = True

    def _on_removed(self, event: Any) -> None:
        if self._layer is not None and event.value is self._layer:
            self._layer = None
