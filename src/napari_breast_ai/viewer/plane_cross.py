"""The lines in the study's own canvas that mark the place which all planes share, and the press there that moves it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Vectors

from . import cut
from .gestures import LEFT
from .shortcuts import bind_layer

if TYPE_CHECKING:
    from .place import Place
    from .session import Session


CROSS, CROSS_COLOR = "Crosshair", "#ffd54a"
GAP = 0.03
"""Half the gap that the lines leave around the place they mark, as a part of the picture's longer side."""


class Cross:
    """A layer of lines in the study's canvas; it is there only while it is seen."""

    def __init__(self, place: Place, session: Session) -> None:
        self._place, self._session = place, session
        self._layer: Vectors | None = None
        self._drags: list[Any] = []

    def listen(self) -> None:
        """Take presses on the study's canvas."""
        self._drags = self._session.viewer.mouse_drag_callbacks
        self._drags.append(self._on_drag)

    def remove(self) -> None:
        """Take no press any more, and the lines away."""
        if self._on_drag in self._drags:
            self._drags.remove(self._on_drag)
        try:
            self.unmark()
        except ReferenceError:  # the window has gone first
            return

    def forget(self, event: Any) -> None:
        """A layer has gone, perhaps this one."""
        if event.value is self._layer:
            self._layer = None

    def mark(self) -> None:
        """Draw the lines, or take them away where they are not wanted."""
        place, volume = self._place, self._place.volume
        if volume is None or not place.crosshair:
            self.unmark()
            return
        spacing = np.array(volume.geometry.spacing[1:])
        half, size = spacing / 2, np.array(volume.geometry.shape[1:]) * spacing
        lines = cut.cross(np.array(place.at[1:]) * spacing, -half, size - half, GAP * float(size.max()))
        if self._layer is not None:
            if not np.array_equal(lines, self._layer.data):
                self._layer.data = lines
            return
        settings = cut.plane_settings((0, 1, 2))
        self._layer = Vectors(
            lines,
            name=CROSS,
            scale=(1.0, 1.0),
            units=settings["units"][-2:],
            axis_labels=settings["axis_labels"][-2:],
            edge_width=float(size.max()) / 450,
            edge_color=CROSS_COLOR,
            opacity=0.8,
            vector_style="line",
            blending="translucent_no_depth",
        )
        self._session.boxes.put(self._layer)
        bind_layer(self._session, self._layer)

    def unmark(self) -> None:
        """Take the lines away."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._session.viewer.layers:
            self._session.viewer.layers.remove(layer)

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        """A press on the study's own canvas moves the place too, while nobody draws or selects there."""
        active = viewer.layers.selection.active
        dims = viewer.dims
        if (
            event.button != LEFT
            or event.modifiers
            or self._place.volume is None
            or not self._place.crosshair
            or (active is not None and str(active.mode) != "pan_zoom")
            or dims.ndisplay != 2
            or tuple(dims.order) != tuple(range(dims.ndim))
        ):
            return
        event.handled = True
        self._pick(event.position)
        yield
        while event.type == "mouse_move":
            event.handled = True
            self._pick(event.position)
            yield

    def _pick(self, position: Sequence[float]) -> None:
        place, volume = self._place, self._place.volume
        if volume is not None:
            row, column = np.array(position[-2:]) / volume.geometry.spacing[1:]
            place.go((place.at[0], round(float(row)), round(float(column))))
