"""Regions of lesions: grown from boxes, painted by hand; and where else in the window masks are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from psygnal import Signal

from ..core import Progress
from . import kinetic_look as kind
from . import layers as look

if TYPE_CHECKING:
    from ..annotations.lesions import Lesion
    from ..kinetics import Area, Growing, Size
    from .kinetics import Kinetics
    from .session import Session

GROW = "grow"
MOST_REGIONS = 255


@dataclass(frozen=True, eq=False)
class Grown:
    """A region that was grown from a lesion's boxes.

    Attributes:
        number: its label in the layer.
        area: its voxels when it was grown.
        floor: the enhancement in per cent from which on a voxel belongs to it.
        size: volume and diameters when it was grown.
        of: the phases that it was grown from, and whether these were corrected for motion.
    """

    number: int
    area: Area
    floor: float
    size: Size
    of: tuple[int, int, bool]


@dataclass(frozen=True, eq=False)
class Mask:
    """Labels on the study's own grid, in one of the window's layers.

    Attributes:
        name: of the layer.
        data: whole numbers, shape (slices, rows, columns).
        ours: whether it is the layer of `Regions`.
    """

    name: str
    data: NDArray[Any]
    ours: bool


class Regions:
    """One layer of labels, a number each lesion; made when the first region is grown or painted.

    Attributes:
        growing: how regions grow.
        grown: by the lesion's key.
        changed: emitted when regions were grown, painted or taken away.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session, kinetics: Kinetics) -> None:
        self._session, self._kinetics = session, kinetics
        self._growing: Growing | None = None
        self._layer: Labels | None = None
        self.grown: dict[str, Grown] = {}
        self._waiting: dict[str, Lesion] = {}
        self._reader = session.reader
        # What other readers of the study on the screen have grown and painted.
        self._others: dict[str, tuple[NDArray[np.uint8], dict[str, Grown]]] = {}
        # What was on the screen when another study took its place.
        self._left: tuple[NDArray[np.uint8], dict[str, Grown], bool] | None = None
        session.boxes_changed.connect(self._on_boxes)
        layers = session.viewer.layers
        layers.events.inserted.connect(self._on_inserted)
        layers.events.removed.connect(self._on_removed)

    @property
    def growing(self) -> Growing:
        """How regions grow."""
        if self._growing is None:
            from ..kinetics import Growing

            self._growing = Growing()
        return self._growing

    @property
    def layer(self) -> Labels | None:
        """The layer, or None while there is no region."""
        return self._layer

    def grow(self, lesion: Lesion) -> None:
        """Grow a lesion's region anew, in place of the one that it had, in a thread; where nothing grows, it is said.

        What is asked for while one grows waits: the newest wish for each lesion.
        """
        if self._kinetics.maps is None:
            return
        self._waiting[lesion.key] = lesion
        if not self._session.workers.running(GROW):
            self._grow_next()

    def _grow_next(self) -> None:
        maps, session = self._kinetics.maps, self._session
        if maps is None or not self._waiting:
            self._waiting.clear()
            return
        lesion = self._waiting.pop(next(iter(self._waiting)))
        growing, reader = self.growing, self._reader

        def work(progress: Progress) -> tuple[Area, float, Size]:
            from ..kinetics import grow, size_of

            area, floor = grow(maps, lesion.boxes, growing)
            return area, floor, size_of(area, maps.geometry)

        def done(found: tuple[Area, float, Size]) -> None:
            # Not what a newer wish is about to replace, of a lesion that is gone, or another study's or reader's.
            asked = lesion.key not in self._waiting and lesion.key in self._keys()
            if asked and self._kinetics.maps is maps and self._reader == reader:
                self._put(lesion.key, *found)
            self._grow_next()

        def failed(error: BaseException) -> None:
            session.fail(error)
            self._grow_next()

        session.workers.start(
            GROW,
            "Grow the region",
            work,
            done=done,
            failed=failed,
            # What was asked for since the stop.
            cancelled=self._grow_next,
            quiet=True,
        )

    def _put(self, key: str, area: Area, floor: float, size: Size) -> None:
        """Write a grown region into the layer."""
        data = self._data()
        before = self.grown.get(key)
        number = before.number if before is not None else self._free(data)
        if number is None:
            self._session.say(f"There are {MOST_REGIONS} regions already. Delete some first.")
            return
        if before is not None:
            # Painting may have carried it further than it had grown.
            np.putmask(data, data == before.number, 0)
        # Not over another lesion's region.
        target = data[area.place]
        target[area.mask & (target == 0)] = number
        self.grown[key] = Grown(number, area, floor, size, self._of())
        self._show(data)

    def _of(self) -> tuple[int, int, bool]:
        choice = self._kinetics.choice
        pre, early = (-1, -1) if choice is None else (choice.pre, choice.early)
        return pre, early, self._kinetics.motion.used

    def follows(self, grown: Grown) -> bool:
        """Whether a region was grown from the phases that are compared now."""
        return grown.of == self._of()

    def set_growing(self, lesion: Lesion | None = None, **changes: Any) -> None:
        """Change how regions grow, and grow that lesion's anew where it has one."""
        self._growing = replace(self.growing, **changes)
        if lesion is not None and lesion.key in self.grown:
            self.grow(lesion)

    def remove(self, key: str) -> None:
        """Take a lesion's region away."""
        if (gone := self.grown.pop(key, None)) is not None and self._layer is not None:
            data = np.asarray(self._layer.data)
            # Painting may have carried it further than it had grown.
            np.putmask(data, data == gone.number, 0)
            self._show(data)

    def paint(self, on: bool) -> None:
        """Let a drag on the canvas paint a region, or move the picture again."""
        if self._session.volume is None:
            return
        data = self._data()
        if self._layer is None:
            self._show(data)
        layer = self._layer
        assert layer is not None
        if on:
            number = self._free(data)
            layer.visible = True
            layer.selected_label = number or MOST_REGIONS
            self._session.viewer.layers.selection.active = layer
        layer.mode = "paint" if on else "pan_zoom"

    @property
    def painting(self) -> bool:
        """Whether a drag on the canvas paints."""
        active = self._session.viewer.layers.selection.active
        return self._layer is not None and active is self._layer and self._layer.mode == "paint"

    def masks(self) -> list[Mask]:
        """The labels of all layers that lie on the study's grid."""
        volume = self._session.volume
        if volume is None:
            return []
        found = []
        for layer in self._session.viewer.layers:
            if not _is_mask(layer):
                continue
            data = layer.data
            same = layer.ndim == 3 and tuple(data.shape) == volume.geometry.shape
            placed = layer is self._layer or (
                np.allclose(layer.scale, volume.geometry.spacing) and np.allclose(layer.translate, 0)
            )
            if same and placed:
                found.append(Mask(layer.name, np.asarray(data), layer is self._layer))
        return found

    def forget(self) -> None:
        """Another study: its regions are not this one's."""
        self._stop()
        self.grown.clear()
        self._others.clear()
        self._left = None
        self._reader = self._session.reader

    def follow_study(self) -> None:
        """The same images of the same study, with other times, say: what was grown and painted stays."""
        left, others = self._left, dict(self._others)
        same = self._reader == self._session.reader
        self.forget()
        if not same:
            return
        self._others.update(others)
        if left is not None:
            self.grown.update(left[1])
            self._show(left[0])
            assert self._layer is not None
            self._layer.visible = left[2]

    def follow_reader(self) -> None:
        """Another reader of the same study sees their own regions; the others' are there when those come back."""
        before, self._reader = self._reader, self._session.reader
        if before == self._reader:
            return
        self._stop()
        if self._layer is not None:
            self._others[before] = np.array(self._layer.data), dict(self.grown)
        self.grown.clear()
        own = self._others.pop(self._reader, None)
        if own is None and self._layer is None:
            return
        assert self._session.volume is not None
        data = np.zeros(self._session.volume.geometry.shape, np.uint8) if own is None else own[0]
        self.grown.update({} if own is None else own[1])
        if self._layer is not None:
            kind.fill_labels(self._layer, data)
        self._show(data)

    def _stop(self) -> None:
        self._waiting.clear()
        self._session.workers.cancel(GROW)

    # ----------------------------------------------------------------- the layer

    def _data(self) -> NDArray[np.uint8]:
        if self._layer is not None:
            return np.asarray(self._layer.data)
        volume = self._session.volume
        assert volume is not None
        return np.zeros(volume.geometry.shape, np.uint8)

    def _show(self, data: NDArray[np.uint8]) -> None:
        session = self._session
        assert session.volume is not None
        if self._layer is None:
            made = Layer.create(*kind.regions_layer(session.volume, data))
            assert isinstance(made, Labels)
            self._layer = made
            made.contour = 1
            session.boxes.put(made)
        else:
            self._layer.refresh()
        self.changed.emit()

    def _free(self, data: NDArray[np.uint8]) -> int | None:
        top = max([int(data.max()), *(one.number for one in self.grown.values())])
        if top < MOST_REGIONS:
            return top + 1  # the highest number is found in a moment, all that are held are not
        held = {int(one) for one in np.flatnonzero(np.bincount(data.ravel(), minlength=MOST_REGIONS + 1))}
        held |= {one.number for one in self.grown.values()}
        return next((number for number in range(1, MOST_REGIONS + 1) if number not in held), None)

    def _on_boxes(self) -> None:
        """A lesion whose boxes are gone has no region."""
        if not self.grown:
            return
        there = self._keys()
        for key in [key for key in self.grown if key not in there]:
            self.remove(key)

    def _keys(self) -> set[str]:
        """Of the lesions that there are."""
        journal = self._session.journal
        return {box.lesion or box.id for box in journal.boxes} if journal is not None else set()

    def _on_inserted(self, event: Any) -> None:
        if _is_mask(event.value):
            event.value.events.paint.connect(self._on_painted)
            event.value.events.data.connect(self._on_painted)
            self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        if self._layer is not None and event.value is self._layer:
            if look.info(self._layer).get("volume") is not self._session.volume:
                self._left = np.asarray(self._layer.data), dict(self.grown), self._layer.visible
            self._layer = None
            self.grown.clear()
        if _is_mask(event.value):
            event.value.events.paint.disconnect(self._on_painted)
            event.value.events.data.disconnect(self._on_painted)
            self.changed.emit()

    def _on_painted(self, event: Any = None) -> None:
        self.changed.emit()


def _is_mask(layer: Layer) -> bool:
    """Whether a layer may hold regions of lesions: that of the breasts does not."""
    return isinstance(layer, Labels) and look.info(layer).get("role") != look.BREASTS
