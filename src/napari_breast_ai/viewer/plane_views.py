"""The canvas beside the study that shows a plane across its slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

from . import cut
from . import layers as look
from .plane_canvas import View

if TYPE_CHECKING:
    from .planes import Planes

FOLLOWED = (
    "visible",
    "opacity",
    "gamma",
    "colormap",
    "contrast_limits",
    "blending",
    "interpolation2d",
)
"""How an image looks, which its twins in the planes take over."""


class Plane(View):
    """The study cut along its rows or columns. Its images are twins of the study's own layers."""

    def __init__(self, planes: Planes, axis: int) -> None:
        super().__init__(planes.shared, axis)
        self._planes = planes
        self._twins: dict[Layer, Image] = {}
        self._ranks: dict[Image, int] = {}
        self.model.dims.events.current_step.connect(self._on_slider)

    def clear(self) -> None:
        """Show nothing."""
        self._twins, self._ranks = {}, {}
        super().clear()

    def twin(self, layer: Image, rank: int, phase: int) -> None:
        """Show one of the study's images here too; the lower its rank, the deeper it lies."""
        if self._volume is None or layer in self._twins:
            return
        array, where = self._cut(layer, phase)
        made = Image(
            array,
            rgb=False,
            multiscale=False,
            name=layer.name,
            **{name: getattr(layer, name) for name in FOLLOWED},
            **cut.plane_settings(self.order),
            **where,
        )
        made.contrast_limits_range = layer.contrast_limits_range
        self._twins[layer], self._ranks[made] = made, rank
        below = sum(1 for one in self._ranks.values() if one < rank)
        self.model.layers.insert(below, made)
        self._at_rest()

    def untwin(self, layer: Layer) -> None:
        """The study's image has gone."""
        if (made := self._twins.pop(layer, None)) is not None:
            del self._ranks[made]
            self.model.layers.remove(made)

    def take_look(self, layer: Layer, name: str) -> None:
        """The study's image looks otherwise than it did."""
        made = self._twins.get(layer)
        if made is None:
            return
        if name == "contrast_limits":
            low, high = layer.contrast_limits
            look.set_contrast(made, low, high)
        else:
            setattr(made, name, getattr(layer, name))

    def take_data(self, layer: Layer, phase: int) -> None:
        """The study's image has other pixels, or another phase is shown of it."""
        if (made := self._twins.get(layer)) is not None:
            made.data = self._cut(layer, phase)[0]

    def draw_again(self) -> None:
        """Pixels have come into the arrays."""
        for layer, made in self._twins.items():
            if look.info(layer).get("role") in look.FILLED:
                made.refresh(thumbnail=False, extent=False)

    def show(self, place: Sequence[int], crosshair: bool) -> None:
        """Be at a place of the volume."""
        if self._volume is not None:
            self.model.dims.set_point(0, place[self.axis] * self._volume.geometry.spacing[self.axis])
        super().show(place, crosshair)

    def title(self, place: Sequence[int]) -> str:
        """The plane, and which of the rows or columns."""
        assert self._volume is not None
        geometry = self._volume.geometry
        return (
            f"{cut.plane_name(geometry, self.axis)}\n{cut.place_text(geometry, self.axis, place[self.axis])}"
        )

    def _cut(self, layer: Layer, phase: int) -> tuple[Any, dict[str, Any]]:
        volume, data = self._volume, layer.data
        assert volume is not None
        role = look.info(layer).get("role")
        # The volume's own pixels as far as they are there: what is read on demand would stop the hand.
        if role == look.DYNAMIC:
            data = volume.data
        elif role == look.SUBTRACTION and volume.n_phases > 1:
            data = look.LazySubtraction(volume)
        if data.ndim == 4:
            where = {"scale": tuple(volume.geometry.spacing[axis] for axis in self.order)}
            return cut.turned(data, min(phase, data.shape[0] - 1), self.order), where
        return cut.cut_maps(data, volume.geometry, self.order, layer.scale[-3:], layer.translate[-3:])

    def _windowed(self) -> Layer | None:
        return self._planes.shown_image()

    def _on_slider(self, event: Any = None) -> None:
        if self._volume is None:
            return
        index = round(self.model.dims.point[0] / self._volume.geometry.spacing[self.axis])
        self._planes.slide(self.axis, index)
