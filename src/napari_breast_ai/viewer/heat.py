"""The heat maps of a prediction as layers over the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

from ..core import Prediction
from . import layers as look
from .contours import Contours, contour_colormap
from .display import Display
from .heat_colors import difference_colormap, heat_colormap, levels
from .one_picture import taken_at_once

if TYPE_CHECKING:
    from .session import Session

LINES = {look.ATTENTION: look.ATTENTION_LINES, look.GRADCAM: look.GRADCAM_LINES}


@dataclass(frozen=True, eq=False)
class Heat:
    """One kind of map as it is to be drawn.

    Attributes:
        role: `layers.ATTENTION` or `layers.GRADCAM`.
        name: of its layer.
        maps: float32 (n, h, w) of the predicted slices.
        what: tells it from other maps of the same role.
        top: the number that counts as 1.
        colors: of `heat_colors.COLORS`.
        sides: of a difference, for whom numbers above and below 0 speak; None for a plain map.
    """

    role: str
    name: str
    maps: NDArray[np.float32]
    what: str
    top: float
    colors: str
    sides: tuple[str, str] | None = None


def heats(prediction: Prediction, display: Display, taught: bool = False) -> dict[str, Heat]:
    """The maps that the display asks for, by role; whether they are shown is not looked at.

    Args:
        prediction: what a model said.
        display: which class, and against which.
        taught: the attention is not the model's own, but what boxes have made of it.
    """
    label, against = display.label, display.against if display.against != display.label else ""
    found = {}
    attention = prediction.attention_for(label)
    if attention is not None:
        # Questions with copies of their own have an attention each: the one that is shown follows the label.
        own = f" {label}" if prediction.task_attention else ""
        other = prediction.attention_for(against) if against and own else None
        if other is not None and other is not attention:
            name = f"Attention {label} minus {against}"
            heat = Heat(look.ATTENTION, name, attention - other, name, 1.0, "", (label, against))
        else:
            name = "Attention, taught" if taught else f"Attention{own}"
            heat = Heat(look.ATTENTION, name, attention, name, 1.0, display.attention_colors)
        found[look.ATTENTION] = heat
    cam = prediction.gradcam.get(label)
    if cam is not None:
        name, sides = f"Grad-CAM {label}", None
        if against in prediction.gradcam:
            cam, sides = cam - prediction.gradcam[against], (label, against)
            name = f"{name} minus {against}"
        # One scale for all slices of a class, so that a slice without anything stays empty.
        top = float(np.abs(cam).max()) if cam.size else 0.0
        found[look.GRADCAM] = Heat(
            look.GRADCAM, name, cam, name, top if top > 0 else 1.0, display.gradcam_colors, sides
        )
    return found


class HeatMaps:
    """Keeps the attention and Grad-CAM layers as the session's prediction and display say.

    A layer is made when it is first shown, reused as long as the maps keep their shape, and removed with the
    prediction: a run that was cancelled has no prediction and leaves no layer.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._layers: dict[str, Image] = {}
        self._shown: dict[str, tuple[Any, ...]] = {}
        self._covered: dict[str, tuple[int, int, int, int]] = {}
        self._colors: dict[str, tuple[Any, ...]] = {}
        self._stacks: dict[str, tuple[tuple[Any, ...], NDArray[np.float32]]] = {}
        session.prediction_changed.connect(self._update)
        session.display_changed.connect(self._update)
        session.viewer.layers.events.removed.connect(self._on_removed)

    def layer(self, role: str) -> Image | None:
        """The layer of a role of `layers`, or None while there is none."""
        return self._layers.get(role)

    @property
    def shown(self) -> tuple[Heat, ...]:
        """The maps that are on the screen, from the bottom to the top."""
        session, display = self._session, self._session.display
        if session.prediction is None or session.volume is None:
            return ()
        asked = {look.ATTENTION: display.attention, look.GRADCAM: display.gradcam}
        found = heats(session.prediction, display, session.live.fit is not None)
        return tuple(heat for role, heat in found.items() if asked[role])

    def _update(self) -> None:
        session, display = self._session, self._session.display
        prediction, volume = session.prediction, session.volume
        if prediction is None or volume is None:
            gone = [layer for layer in self._layers.values() if layer in session.viewer.layers]
            if gone:
                with taken_at_once(session.viewer.layers):
                    for layer in gone:
                        session.viewer.layers.remove(layer)
            for known in (self._layers, self._shown, self._stacks, self._colors):
                known.clear()
            return
        found = heats(prediction, display, session.live.fit is not None)
        asked = {look.ATTENTION: display.attention, look.GRADCAM: display.gradcam}
        for role in (look.ATTENTION, look.GRADCAM):
            if role in found:
                self._show(found[role], asked[role])
            else:
                for one in (role, LINES[role]):
                    if one in self._layers:
                        self._layers[one].visible = False

    def _show(self, heat: Heat, visible: bool) -> None:
        display = self._session.display
        key = (self._session.prediction, heat.what)
        sided, threshold = heat.sides is not None, display.threshold
        self._put(
            heat.role,
            heat.name,
            lambda: self._stack(heat, key),
            key,
            visible and display.style != "lines",
            (-heat.top if sided else 0.0, heat.top),
            (heat.colors, sided, threshold),
            lambda: difference_colormap(threshold) if sided else heat_colormap(heat.colors, threshold),
        )
        heights = levels(threshold)
        if sided:
            heights = (*heights, *(-height for height in heights))
        self._put(
            LINES[heat.role],
            f"{heat.name}, lines",
            lambda: Contours(self._stack(heat, key), heat.top, heights),
            (*key, heights),
            visible and display.style != "wash",
            (0.0, 255.0),
            (heat.colors, sided),
            lambda: contour_colormap(heat.colors, sided),
            interpolation2d="nearest",
        )

    def _stack(self, heat: Heat, key: tuple[Any, ...]) -> NDArray[np.float32]:
        """The map of all slices; 0 where nothing was predicted."""
        session = self._session
        assert session.volume is not None and session.prediction is not None
        known = self._stacks.get(heat.role)
        if known is None or known[0] != key:
            known = (key, look.full_stack(session.prediction, heat.maps, session.volume.n_slices))
            self._stacks[heat.role] = known
        return known[1]

    def _put(
        self,
        role: str,
        name: str,
        make: Callable[[], Any],
        key: tuple[Any, ...],
        visible: bool,
        limits: tuple[float, float],
        colored: tuple[Any, ...],
        colors: Callable[[], Colormap],
        **more: Any,
    ) -> None:
        """Make a layer, or bring it to what it should be; it is made when it is first looked at."""
        session, display = self._session, self._session.display
        layer = self._layers.get(role)
        if layer is None and not visible:
            return
        assert session.volume is not None and session.prediction is not None
        covered = session.prediction.covered
        if layer is None or self._shown.get(role) != key:
            data = make()
            if layer is not None and (layer.data.shape != data.shape or self._covered[role] != covered):
                session.viewer.layers.remove(layer)
                layer = None
            if layer is None:
                made = Layer.create(
                    *look.heat_layer(
                        session.volume,
                        data,
                        role,
                        name,
                        covered=covered,
                        contrast_limits=limits,
                        opacity=display.opacity,
                        colormap=colors(),
                        **more,
                    )
                )
                assert isinstance(made, Image)
                layer = self._layers[role] = made
                self._colors[role] = colored
                # The session puts the layers in order.
                session.boxes.put(layer)
            else:
                layer.data = data
            self._shown[role], self._covered[role] = key, covered
        layer.name = name
        if tuple(layer.contrast_limits) != limits:
            look.set_contrast(layer, *limits, whole=True)
        if self._colors.get(role) != colored:
            layer.colormap, self._colors[role] = colors(), colored
        # Lines are thin: they need all of their colour to be seen.
        layer.opacity = (
            display.opacity if role in LINES else max(display.opacity, 0.9 * bool(display.opacity))
        )
        layer.visible = visible

    def _on_removed(self, event: object) -> None:
        gone = getattr(event, "value", None)
        for role, layer in list(self._layers.items()):
            if layer is gone:
                del self._layers[role]
                self._shown.pop(role, None)
                self._colors.pop(role, None)
