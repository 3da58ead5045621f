"""The canvas beside the study that shows a plane across its slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Layer

from . import cut
from . import layers as look
from .twins import Twinned

if TYPE_CHECKING:
    from .planes import Planes


class Plane(Twinned):
    """The study cut along its rows or columns. Its images are twins of the study's own layers."""

    def __init__(self, planes: Planes, axis: int) -> None:
        super().__init__(planes.shared, axis)
        self._planes = planes
        self.model.dims.events.current_step.connect(self._on_slider)

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
