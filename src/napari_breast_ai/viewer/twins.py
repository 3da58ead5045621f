"""Canvases beside the study that show its own images: a twin of each, which looks as the image does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

from . import cut
from . import layers as look
from .plane_canvas import View

if TYPE_CHECKING:
    from .place import Place

FOLLOWED = (
    "visible",
    "opacity",
    "gamma",
    "colormap",
    "contrast_limits",
    "blending",
    "interpolation2d",
)
"""How an image looks, which its twins take over."""


class Twinned(View):
    """A canvas with twins of the study's images, the deeper ones below."""

    def __init__(self, place: Place, axis: int) -> None:
        super().__init__(place, axis)
        self._twins: dict[Layer, Image] = {}
        self._ranks: dict[Image, int] = {}

    def clear(self) -> None:
        """Show nothing."""
        self._twins, self._ranks = {}, {}
        super().clear()

    def takes(self, layer: Layer) -> bool:
        """Whether an image of the study is shown here too."""
        return True

    def twin(self, layer: Image, rank: int, phase: int) -> None:
        """Show one of the study's images here too; the lower its rank, the deeper it lies."""
        if self._volume is None or layer in self._twins or not self.takes(layer):
            return
        array, where = self._cut(layer, phase)
        shared = cut.plane_settings(self.order)
        made = Image(
            array,
            rgb=False,
            multiscale=False,
            name=layer.name,
            **{name: getattr(layer, name) for name in FOLLOWED},
            **{name: value[-array.ndim :] for name, value in shared.items()},
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
        """The study's image looks otherwise than it did; `name` is of `FOLLOWED`."""
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

    def _cut(self, layer: Layer, phase: int) -> tuple[Any, dict[str, Any]]:
        """What is shown of an image: the array, with its `scale` and `translate` here."""
        raise NotImplementedError
