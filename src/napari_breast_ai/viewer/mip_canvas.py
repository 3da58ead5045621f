"""The canvas of a projection: a click goes to the voxel that is seen there, and a drag turns what can be turned."""

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
from .gestures import LEFT
from .mip import TURNING, VIEWS, Made, Mip
from .place import Place
from .plane_canvas import View

NAME = "Projection"
CLICK_PX = 3
"""A press that moves no further is a click."""


class MipCanvas(View):
    """Shows what a `Mip` has made.

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
        self.show(self._place.at, self._place.crosshair)

    def title(self, place: Sequence[int]) -> str:
        """What is seen."""
        if self._made is None:
            return "\n".join(["MIP", *(wrap(self.mip.note, 30) if self.tells else ())])
        return self._made.text

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
