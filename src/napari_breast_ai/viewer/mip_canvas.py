"""The canvas of a projection: heat maps and boxes lie over it, a click goes to the voxel that is seen there, and a drag
turns what can be turned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray

from ..core import Box, DceVolume
from . import cut
from . import layers as look
from .contours import Contours
from .gestures import LEFT
from .heat import LINES
from .mip import VIEWS, Mip
from .mip_heat import project_maps
from .place import Place
from .projected import TURNING, Made
from .twins import Twinned

NAME = "Projection"
CLICK_PX = 3
"""A press that moves no further is a click."""


HEAT = {*LINES, *LINES.values()}
"""Of the study's images those that are laid over the projection."""


class MipCanvas(Twinned):
    """Shows what a `Mip` has made, and over it what heat maps have at their highest behind each pixel.

    Attributes:
        mip: it.
        tells: whether it says in the picture why there is none; a dock may do that.
    """

    tells = True

    def __init__(self, place: Place, mip: Mip) -> None:
        super().__init__(place, 0)
        self.mip = mip
        self._image: Image | None = None
        self._made: Made | None = None
        self._stale: set[Layer] = set()
        mip.changed.connect(self._on_made)

    def close(self) -> None:
        """Follow no more."""
        self.mip.changed.disconnect(self._on_made, missing_ok=True)

    def begin(self, volume: DceVolume) -> None:
        """Show another study, and what is made of it already."""
        super().begin(volume)
        if self.mip.made is not None and self.mip.made.image.geometry.same_as(volume.geometry):
            self._on_made()

    def clear(self) -> None:
        """Show nothing."""
        self._image = self._made = None
        self._stale.clear()
        super().clear()

    def _fill(self, volume: DceVolume) -> None:
        shared = cut.plane_settings(self.order)
        self._image = Image(
            np.zeros(volume.geometry.shape[1:], np.float32),
            name=NAME,
            scale=volume.geometry.spacing[1:],
            units=shared["units"][-2:],
            axis_labels=shared["axis_labels"][-2:],
            colormap="gray",
            interpolation2d="linear",
            contrast_limits=(0.0, 1.0),
        )
        self.model.layers.append(self._image)
        self._ranks[self._image] = -1  # below all

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Of the pixels of this picture in mm: (down, across)."""
        return np.array(self._made.spacing) if self._made is not None else super().spacing

    @property
    def _size(self) -> NDArray[np.float64]:
        return np.array(self._made.pixels.shape) * self.spacing if self._made is not None else super()._size

    def _on_made(self) -> None:
        image, made, before = self._image, self.mip.made, self._made
        if image is None:
            return
        self._made = made
        if made is None and before is not None:
            image.data = np.zeros_like(before.pixels)
        if made is not None and made is not before:
            self.axis, self.order = made.order[0], made.order
            if before is None or before.pixels.shape != made.pixels.shape or before.spacing != made.spacing:
                image.data, image.scale = made.pixels, made.spacing
            else:
                image.data = made.pixels
            self._hang(*made.hung())
            if before is None or (before.image, before.whole) != (made.image, made.whole):
                low, high = look.contrast(made.pixels[None, None])
                look.set_contrast(image, max(0.0, low), max(high, 1e-6), whole=True)
            if before is None or before.plane != made.plane:
                self.fit()
        if made is not before:
            self._stale.update(self._twins)
            self._project_heat()
        self.show(self._place.at, self._place.crosshair)

    # -------------------------------------------------------------------- heat

    def takes(self, layer: Layer) -> bool:
        """Heat maps, and the lines of them."""
        return look.info(layer).get("role") in HEAT

    def twin(self, layer: Image, rank: int, phase: int) -> None:
        """Lay one of the study's heat maps over the projection."""
        super().twin(layer, rank, phase)
        if layer in self._twins:
            if self._made is None or not layer.visible:
                self._stale.add(layer)
            self._project_heat()
            self.show(self._place.at, self._place.crosshair)

    def untwin(self, layer: Layer) -> None:
        """The study's heat map has gone."""
        self._stale.discard(layer)
        super().untwin(layer)
        self.show(self._place.at, self._place.crosshair)

    def take_look(self, layer: Layer, name: str) -> None:
        """The study's heat map looks otherwise than it did; a hidden one is projected when it is shown."""
        if name != "visible":
            super().take_look(layer, name)
        elif layer in self._twins:
            self._project_heat()
            self.show(self._place.at, self._place.crosshair)

    def take_data(self, layer: Layer, phase: int) -> None:
        """The study's heat map has other numbers."""
        if layer in self._twins:
            self._stale.add(layer)
            self._project_heat()
            self.show(self._place.at, self._place.crosshair)

    def _project_heat(self) -> None:
        """Show the heat maps that are seen in the study, as soon as there is a projection."""
        for layer, twin in self._twins.items():
            visible = layer.visible and self._made is not None
            if visible and layer in self._stale:
                twin.data, where = self._cut(layer, 0)
                twin.scale, twin.translate = where["scale"], where["translate"]
                self._stale.discard(layer)
            twin.visible = visible

    def _cut(self, layer: Layer, phase: int) -> tuple[Any, dict[str, Any]]:
        made = self._made
        if made is None or not layer.visible:
            return np.zeros((1, 1), np.float32), {"scale": (1.0, 1.0), "translate": (0.0, 0.0)}
        data, scale, start = layer.data, tuple(layer.scale[-3:]), tuple(layer.translate[-3:])
        if not isinstance(data, Contours):
            # A difference of two classes; its limits follow its numbers, and are not to be asked.
            return project_maps(made, data, scale, start, bool(np.min(data) < 0))
        # Lines are drawn of the projected map: those of slices behind each other would be a thicket.
        fine = (1, *data.fine)
        cells = tuple(one * count for one, count in zip(scale, fine, strict=True))
        start = tuple(
            one + (count - 1) / 2 * step for one, count, step in zip(start, fine, scale, strict=True)
        )
        picture, where = project_maps(made, data.maps, cells, start, min(data.levels) < 0)
        drawn = data.of(picture[None], where["scale"])
        size, step = np.array(where["scale"]), np.array(where["scale"]) / drawn.fine
        begin = np.array(where["translate"]) - size / 2 + step / 2
        return drawn[0], {"scale": tuple(step), "translate": tuple(begin)}

    # -------------------------------------------------------------------- show

    def title(self, place: Sequence[int]) -> str:
        """What is seen."""
        if self._made is None:
            return "\n".join(["MIP", *(wrap(self.mip.note, 30) if self.tells else ())])
        shown = dict.fromkeys(
            layer.name.removesuffix(", lines") for layer, twin in self._twins.items() if twin.visible
        )
        return "\n".join([self._made.text, *(f"Highest: {name}" for name in shown)])

    def frames(self, boxes: Iterable[Box], place: Sequence[int]) -> Mapping[str, NDArray[np.float64]]:
        """Boxes seen through all slices; in a turned view there are none."""
        made, volume = self._made, self._volume
        if made is None or volume is None or made.turning is not None:
            return {}
        first, stop = int(made.where[0]), int(made.where[1] or 0)
        return cut.seen_through(boxes, volume.geometry, made.order, first, stop)

    def _point(self, place: Sequence[int]) -> NDArray[np.float64]:
        if self._made is None:
            return super()._point(place)
        return np.array(self._made.seen_at(place)) * self.spacing

    def _fitted(self) -> list[Layer] | None:
        # What lies over the image may still lie as it did over the one before.
        return None if self._image is None else [self._image]

    def _windowed(self) -> Layer | None:
        return self._image

    def _step(self, count: int) -> None:
        if self._made is not None and self._made.turning is not None:
            self.mip.turn(self.mip.view + count)
        else:
            super()._step(count)

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        if event.button != LEFT or self.mip.plane != TURNING:
            self.mip.hold(event.button == LEFT)
            try:
                yield from super()._on_drag(viewer, event)
            finally:
                self.mip.hold(False)
            return
        event.handled = True
        start, view, place = np.array(event.pos), self.mip.view, event.position
        moved = False
        yield
        while event.type == "mouse_move":
            event.handled = True
            away = np.array(event.pos) - start
            moved = moved or bool(np.abs(away).max() > CLICK_PX)
            if moved:
                # Over the whole canvas half a turn; the near side goes along with the hand.
                width = max(int(self.model.canvas.size[1]), 1)
                self.mip.turn(view - round(float(away[0]) / width * VIEWS / 2))
            yield
        if not moved:
            self._pick(place)

    def _pick(self, position: Sequence[float]) -> None:
        if self._made is None:
            return
        down, across = (round(float(one)) for one in np.array(position[-2:]) / self.spacing)
        if (found := self._made.voxel(down, across)) is not None:
            self._place.go(found)
