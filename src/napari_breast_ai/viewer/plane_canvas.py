"""What every canvas beside the study does: lines, letters, scale bar, the mouse."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from napari.components.overlays import TextOverlay
from napari.layers import Layer, Vectors
from numpy.typing import NDArray

from ..core import Box, DceVolume
from . import cut
from . import layers as look
from .gestures import LEFT, RIGHT, windowed, zoom_at
from .palette import rgba
from .plane_cross import CROSS, CROSS_COLOR, GAP

if TYPE_CHECKING:
    from .place import Place

FRAMES = "Boxes"
BARS_MM = (100.0, 50.0, 20.0, 10.0, 5.0, 2.0)
BAR_PX = 80
"""The longest scale bar: beside the letter in the middle there is not much room."""

LINE_PX = 1.3
"""The width of the crosshair's lines on the screen: thinner ones come and go with the zoom."""

_EDGES = {
    "top": "top_center",
    "bottom": "bottom_center",
    "left": "middle_left",
    "right": "middle_right",
}


class View:
    """What all canvases beside the study do: lines, letters, the mouse.

    Attributes:
        axis: what is cut or seen through: 0 slices, 1 rows, 2 columns.
        order: how the axes lie on the screen; see `cut`.
        model: the viewer model of the canvas.
    """

    def __init__(self, place: Place, axis: int) -> None:
        self.axis = axis
        self.order: cut.Order = (axis, *(one for one in (0, 1, 2) if one != axis))  # type: ignore[assignment]
        self.model = ViewerModel()
        self._place = place
        self._volume: DceVolume | None = None
        self._boxes: Vectors | None = None
        self._cross: Vectors | None = None
        self._rest = 0.0
        self._frames: Mapping[str, NDArray[np.float64]] = {}
        self.model.canvas.background_color_override = "black"
        self._title = TextOverlay(position="top_left", font_size=9, color="white", box=False, visible=True)
        self.model.canvas.overlays["breast_ai"] = self._title
        self._letters = {
            edge: TextOverlay(position=place, font_size=10, color="white", box=False, visible=True)
            for edge, place in _EDGES.items()
        }
        for edge, overlay in self._letters.items():
            self.model.canvas.overlays[f"breast_ai_{edge}"] = overlay
        self.model.mouse_wheel_callbacks[:] = [self._on_wheel]
        self.model.mouse_drag_callbacks.append(self._on_drag)
        self.model.mouse_double_click_callbacks[:] = [self._on_double_click]
        self.model.canvas.events.size.connect(self._on_size)
        self.model.scene.camera.events.zoom.connect(self._on_zoom)
        self._whole = 0.0

    # ------------------------------------------------------------------- study

    def begin(self, volume: DceVolume) -> None:
        """Show another study; what is in it comes with `twin` or `show_pixels`."""
        self.clear()
        geometry = volume.geometry
        self._volume, self.order = volume, cut.order_of(geometry, self.axis)
        vertical, horizontal = look.upright(volume) if self.axis == 0 else cut.upright(geometry, self.order)
        self._hang(vertical, horizontal, cut.edges(geometry, self.order, vertical, horizontal))
        self.model.canvas.overlays.scale_bar.visible = look.has_size(volume)
        self._fill(volume)
        width = float(np.max(self._size)) / 300
        shared = cut.plane_settings(self.order)
        lines = {
            "units": shared["units"][-2:],
            "axis_labels": shared["axis_labels"][-2:],
            "scale": (1.0, 1.0),
            "vector_style": "line",
            # At the depth of the image, which else may hide them.
            "blending": "translucent_no_depth",
        }
        self._boxes = Vectors(
            np.empty((0, 2, 2)),
            ndim=2,
            name=FRAMES,
            edge_width=width * 1.4,
            opacity=1.0,
            visible=False,
            **lines,
        )
        self._cross = Vectors(
            np.zeros((4, 2, 2)), name=CROSS, edge_width=width, edge_color=CROSS_COLOR, opacity=0.8, **lines
        )
        self.model.layers.extend([self._boxes, self._cross])
        self._at_rest()
        self.fit()

    def _hang(self, vertical: Any, horizontal: Any, letters: Mapping[str, str]) -> None:
        """Which way the picture's axes run, and what stands at its edges."""
        self.model.scene.camera.orientation2d = vertical, horizontal
        for edge, overlay in self._letters.items():
            overlay.text = letters[edge]

    @property
    def volume(self) -> DceVolume | None:
        """The study that is shown."""
        return self._volume

    def fit(self) -> None:
        """Show the whole picture."""
        if self.model.layers:
            self.model.reset_view(layers=self._fitted(), margin=0.02)
            self._whole = self.model.scene.camera.zoom

    def _on_size(self, event: Any = None) -> None:
        """A picture that was seen whole stays so."""
        if self.model.scene.camera.zoom == self._whole:
            self.fit()

    def _on_zoom(self, event: Any = None) -> None:
        zoom = self.model.scene.camera.zoom
        fitting = next((one for one in BARS_MM if one * zoom <= BAR_PX), BARS_MM[-1])
        self.model.canvas.overlays.scale_bar.length = fitting
        for lines, pixels in ((self._cross, LINE_PX), (self._boxes, 1.4 * LINE_PX)):
            if lines is not None:
                lines.edge_width = pixels / zoom

    def clear(self) -> None:
        """Show nothing."""
        self._volume = self._boxes = self._cross = None
        self._frames = {}
        if self.model.layers:
            self.model.layers.clear()
        self._title.text = ""
        for overlay in self._letters.values():
            overlay.text = ""

    def _fill(self, volume: DceVolume) -> None:
        """Add the images."""

    def _at_rest(self) -> None:
        """No layer is the active one, whose own keys would come before ours."""
        self.model.layers.selection.clear()

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Of the pixels of this picture in mm: (down, across)."""
        assert self._volume is not None
        return np.array([self._volume.geometry.spacing[axis] for axis in self.order[1:]])

    @property
    def _size(self) -> NDArray[np.float64]:
        """Of the picture in mm: (down, across)."""
        assert self._volume is not None
        return np.array([self._volume.geometry.shape[axis] for axis in self.order[1:]]) * self.spacing

    # -------------------------------------------------------------------- show

    def show(self, place: Sequence[int], crosshair: bool) -> None:
        """Be at a place of the volume, (slice, row, column)."""
        if self._volume is None or self._cross is None:
            return
        point = self._point(place)
        self._title.text = self.title(place)
        self._cross.visible = crosshair
        if crosshair:
            half = self.spacing / 2
            lines = cut.cross(point, -half, self._size - half, GAP * float(self._size.max()))
            if not np.array_equal(lines, self._cross.data):
                self._cross.data = lines
                self._keep_in_view(point)

    def _point(self, place: Sequence[int]) -> NDArray[np.float64]:
        """Where in the picture a place is seen: (down, across) in mm."""
        return np.array([place[axis] for axis in self.order[1:]]) * self.spacing

    def frames(self, boxes: Iterable[Box], place: Sequence[int]) -> Mapping[str, NDArray[np.float64]]:
        """The outlines of boxes in the picture, by class."""
        assert self._volume is not None
        return cut.frames(boxes, self._volume.geometry, self.order, place[self.axis])

    def title(self, place: Sequence[int]) -> str:
        """What the picture is, and where."""
        raise NotImplementedError

    def show_frames(self, frames: Mapping[str, NDArray[np.float64]], colors: Mapping[str, str]) -> None:
        """Draw the outlines of boxes, by class."""
        if self._boxes is None or (
            frames.keys() == self._frames.keys()
            and all(np.array_equal(frames[label], self._frames[label]) for label in frames)
        ):
            return
        self._frames = frames
        self._boxes.visible = bool(frames)
        if frames:
            self._boxes.data = np.concatenate(list(frames.values()))
            self._boxes.edge_color = np.concatenate(
                [np.tile(rgba(colors[label]), (len(lines), 1)) for label, lines in frames.items()]
            )

    def forget_frames(self) -> None:
        """Draw them anew next time, in perhaps other colours."""
        self._frames = {}

    def _keep_in_view(self, point: NDArray[np.float64]) -> None:
        """In a zoomed picture the place may lie outside: then it comes to the middle."""
        camera = self.model.scene.camera
        middle = np.array(camera.center[-2:])
        half = np.array(self.model.canvas.size) / (2 * camera.zoom)
        outside = np.abs(point - middle) > half
        # What is outside the view although nothing is zoomed is only a canvas without a size yet.
        if outside.any() and (half < self._size / 2).any():
            camera.center = (*camera.center[:-2], *np.where(outside, point, middle))

    # ------------------------------------------------------------------- mouse

    def _on_wheel(self, viewer: Any, event: Any) -> None:
        modifiers = {getattr(one, "name", str(one)) for one in event.modifiers}
        event.handled = True
        notches = float(event.delta[1])
        if modifiers == {"Control"}:
            zoom_at(viewer.scene.camera, event.position[-2:], notches)
        elif not modifiers:
            # A touchpad sends parts of a notch.
            self._rest += notches
            steps = math.trunc(self._rest)
            self._rest -= steps
            if steps:
                self._step(-steps)

    def _step(self, count: int) -> None:
        """The wheel has been turned."""
        self._place.step(self.axis, count)

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        if event.button == RIGHT and (layer := self._windowed()) is not None:
            event.handled = True
            start, limits = tuple(event.pos), layer.contrast_limits
            yield
            while event.type == "mouse_move":
                event.handled = True
                look.set_contrast(layer, *windowed(limits, start, event.pos))
                yield
        elif event.button == LEFT and self._place.crosshair:
            event.handled = True
            self._pick(event.position)
            yield
            while event.type == "mouse_move":
                event.handled = True
                self._pick(event.position)
                yield

    def _fitted(self) -> list[Layer] | None:
        """What the whole picture is; None for all layers."""
        return None

    def _windowed(self) -> Layer | None:
        """The layer whose brightness and contrast the right button changes."""
        raise NotImplementedError

    def _pick(self, position: Sequence[float]) -> None:
        if self._volume is not None:
            down, across = (round(float(one)) for one in np.array(position[-2:]) / self.spacing)
            place = list(self._place.at)
            place[self.order[1]], place[self.order[2]] = down, across
            self._place.go(place)

    def _on_double_click(self, viewer: Any, event: Any) -> None:
        """See the whole picture again."""
        event.handled = True
        self.fit()
