"""The heat maps of a prediction as layers over the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray

from . import layers as look

if TYPE_CHECKING:
    from .session import Session


class HeatMaps:
    """Keeps the attention and Grad-CAM layers as the session's prediction and display say.

    A layer is made when it is first shown, reused as long as the maps keep their shape, and removed with the
    prediction: a run that was cancelled has no prediction and leaves no layer.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._layers: dict[str, Image] = {}
        self._shown: dict[str, tuple[int, str]] = {}
        session.prediction_changed.connect(self._update)
        session.display_changed.connect(self._update)
        session.viewer.layers.events.removed.connect(self._on_removed)

    def layer(self, role: str) -> Image | None:
        """The layer of `layers.ATTENTION` or `layers.GRADCAM`, or None while there is none."""
        return self._layers.get(role)

    def _update(self) -> None:
        session, display = self._session, self._session.display
        prediction, volume = session.prediction, session.volume
        if prediction is None or volume is None:
            for layer in list(self._layers.values()):
                if layer in session.viewer.layers:
                    session.viewer.layers.remove(layer)
            self._layers.clear()
            self._shown.clear()
            return
        attention = prediction.attention
        self._show(
            look.ATTENTION,
            "Attention",
            attention,
            display.attention and attention is not None,
            1.0,
            "attention",
        )
        cam = prediction.gradcam.get(display.label)
        # One scale for all slices of a class, so that a slice without anything stays empty.
        top = float(cam.max()) if cam is not None and cam.size else 0.0
        shown = display.gradcam and cam is not None
        self._show(look.GRADCAM, f"Grad-CAM {display.label}", cam, shown, top, display.label)

    def _show(
        self, role: str, name: str, maps: NDArray[np.float32] | None, visible: bool, top: float, what: str
    ) -> None:
        session, display = self._session, self._session.display
        layer = self._layers.get(role)
        if maps is None or (layer is None and not visible):
            if layer is not None:
                layer.visible = False
            return
        assert session.volume is not None and session.prediction is not None
        top = top if top > 0 else 1.0
        limits = (display.threshold * top, top)
        key = (id(session.prediction), what)
        shape = (session.volume.n_slices, *maps.shape[1:])
        if layer is not None and layer.data.shape != shape:
            session.viewer.layers.remove(layer)
            layer = None
        if layer is None or self._shown.get(role) != key:
            stack = look.full_stack(session.prediction, maps, session.volume.n_slices)
            if layer is None:
                made = Layer.create(
                    *look.heat_layer(
                        session.volume, stack, role, name, contrast_limits=limits, opacity=display.opacity
                    )
                )
                assert isinstance(made, Image)
                layer = self._layers[role] = made
                # The session puts the layers in order.
                session.boxes.put(layer)
            else:
                layer.data = stack
            self._shown[role] = key
        layer.name = name
        layer.contrast_limits_range = (0.0, top)
        layer.contrast_limits = limits
        layer.opacity = display.opacity
        layer.visible = visible

    def _on_removed(self, event: object) -> None:
        gone = getattr(event, "value", None)
        for role, layer in list(self._layers.items()):
            if layer is gone:
                del self._layers[role]
                self._shown.pop(role, None)
