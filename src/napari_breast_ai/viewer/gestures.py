"""What the wheel and the right mouse button do over a study: another slice, zoom, brightness and contrast."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import layers as look

if TYPE_CHECKING:
    from .session import Session

ZOOM = 1.15
"""How much a notch of the wheel zooms."""

PIXELS = 300.0
"""A drag of so many screen pixels moves the level by one window, or changes its width e-fold."""

LEFT, RIGHT = 1, 2


class Gestures:
    """Wheel: slices. Ctrl and wheel: zoom at the pointer. Right button dragged: window and level.

    Where there is one slice, the wheel zooms. In 3D, and without a study, everything is napari's own.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rest = 0.0
        # The callbacks of the layer that shall not hear of a press, and what they were.
        self._hushed: tuple[list[Any], list[Any]] | None = None
        viewer = session.viewer
        # Bound methods would keep the session, and with it everything, alive in the viewer's own list.
        self._wheel = viewer.mouse_wheel_callbacks
        self._drag = viewer.mouse_drag_callbacks
        # napari's own Ctrl and wheel steps along the last slider: here that zooms, as in any viewer of pictures.
        self._napari = list(self._wheel)
        self._wheel[:] = [self._on_wheel]
        self._drag.append(self._on_drag)

    def remove(self) -> None:
        """Give the viewer's own gestures back."""
        self._wheel[:] = self._napari
        if self._on_drag in self._drag:
            self._drag.remove(self._on_drag)

    def _unhush(self) -> None:
        if self._hushed is not None:
            (hands, kept), self._hushed = self._hushed, None
            hands[:] = kept

    def _mine(self, viewer: Any) -> bool:
        return self._session.volume is not None and viewer.dims.ndisplay == 2

    def _on_wheel(self, viewer: Any, event: Any) -> None:
        modifiers = {getattr(one, "name", str(one)) for one in event.modifiers}
        volume = self._session.volume
        if volume is None or not self._mine(viewer) or modifiers - {"Control"}:
            for callback in self._napari:
                callback(viewer, event)
            return
        notches = float(event.delta[1])
        if volume.n_slices > 1 and not modifiers:
            event.handled = True
            # A touchpad sends parts of a notch.
            self._rest += notches
            steps = math.trunc(self._rest)
            if steps:
                self._rest -= steps
                self._session.go_to(self._session.slice_index - steps)
        elif modifiers:
            event.handled = True
            zoom_at(viewer.scene.camera, event.position[-2:], notches)

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        # A second button may come before the event that follows the first.
        self._unhush()
        volume = self._session.volume
        if event.button == LEFT or volume is None or not self._mine(viewer):
            return
        # napari's layers ask for no button: the right one would draw a box too, or move one. The layer that is
        # called next for this press hears nothing of it, and is as it was from the next event on.
        if (active := viewer.layers.selection.active) is not None:
            hands = active.mouse_drag_callbacks
            self._hushed = hands, list(hands)
            hands.clear()
        layer = look.shown_image(viewer.layers, volume)
        mine = event.button == RIGHT and not event.modifiers and layer is not None
        # Else the camera would zoom.
        event.handled = event.handled or mine
        start = event.pos
        yield
        self._unhush()
        if not mine or layer is None:
            return
        limits = layer.contrast_limits
        while event.type == "mouse_move":
            event.handled = True
            look.set_contrast(layer, *windowed(limits, start, event.pos))
            yield
        event.handled = True


def zoom_at(camera: Any, here: Sequence[float], notches: float) -> None:
    """Zoom by notches of the wheel; what lies at `here`, the pointer's place in the world, stays where it is."""
    factor = ZOOM**notches
    center = camera.center
    moved = tuple(point + (middle - point) / factor for point, middle in zip(here, center[-2:], strict=True))
    camera.zoom *= factor
    camera.center = (*center[:-2], *moved)


def windowed(limits: Sequence[float], start: Sequence[float], here: Sequence[float]) -> tuple[float, float]:
    """Display limits after a drag over the screen: to the right a wider window, down a higher level."""
    low, high = limits
    right, down = (float(here[i] - start[i]) / PIXELS for i in (0, 1))
    width = (high - low) * math.exp(right)
    level = (high + low) / 2 + down * (high - low)
    return level - width / 2, level + width / 2
