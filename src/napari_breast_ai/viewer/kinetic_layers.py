"""The kinetic maps and images as layers over the study; they follow phases and thresholds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from napari.layers import Image, Layer
from psygnal import Signal

from ..core import BreastAIError, Progress
from . import kinetic_look as kind
from . import layers as look

if TYPE_CHECKING:
    from ..core import DceVolume
    from ..kinetics import Derived
    from .kinetics import Kinetics
    from .session import Session

PROJECT, PREPARE = "projection", "prepare image"
Mip = Literal["", "slab", "whole"]


@dataclass(frozen=True)
class KineticView:
    """What is laid over the image, or shown in its place.

    Attributes:
        map: a role of `kinetic_look.MAP_NAMES`, or "" for none.
        opacity: of the map, 0..1.
        difference: whether the difference of two phases is shown.
        phase, base: which two; None for the early and the pre-contrast one.
        percent: that difference in per cent of the base.
        mip: the highest values through a slab around each slice, or through all slices; "" for neither.
        slab_mm: how thick the slab is.
        mip_of: what is projected: the difference, or the phase alone.
    """

    map: str = kind.CLASSES
    opacity: float = 0.75
    difference: bool = False
    phase: int | None = None
    base: int | None = None
    percent: bool = False
    mip: Mip = ""
    slab_mm: float = 20.0
    mip_of: Literal["difference", "phase"] = "difference"


class KineticLayers:
    """Keeps the layers as the view says. Each is made when it is first shown, and computed a slice at a time.

    Attributes:
        view: what is shown; `show` changes it.
        changed: emitted when it does.
        problem: why the difference cannot be shown, in a sentence; or "".
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session, kinetics: Kinetics) -> None:
        self._session, self._kinetics = session, kinetics
        self.view = KineticView()
        self.problem = ""
        self._layers: dict[str, Image] = {}
        self._shown: dict[str, tuple[Any, ...]] = {}
        self._projecting: tuple[Any, ...] = ()
        self._image: Derived | None = None
        self._study: DceVolume | None = None
        self._waiting = False
        kinetics.changed.connect(self._update)
        session.workers.changed.connect(self._on_workers)
        kinetics.thresholds_changed.connect(self._on_thresholds)
        session.viewer.layers.events.removed.connect(self._on_removed)

    def layer(self, role: str) -> Image | None:
        """The layer of a role, or None while there is none."""
        return self._layers.get(role)

    def show(self, **changes: Any) -> None:
        """Change what is shown, by the names of `KineticView`."""
        view = replace(self.view, **changes)
        if view != self.view:
            self.view = view
            self._update()
            self.changed.emit()

    @property
    def caption(self) -> str:
        """What the colours and the image are, for the canvas; "" where all is the study's own."""
        parts = [layer.name for layer in self._layers.values() if layer.visible]
        return f"Shown: {', '.join(parts)}" if parts else ""

    def flip_map(self) -> None:
        """Show or hide the map over the image."""
        kinetics = self._kinetics
        if not kinetics.watched:
            self._session.say("The kinetic map belongs to the Kinetics dock. Open it first.", once=True)
        elif not kinetics.on or not self.view.map:
            self.show(map=self.view.map or kind.CLASSES)
            kinetics.switch(True)
        else:
            kinetics.switch(False)

    def image(self) -> Derived | None:
        """The difference of the two phases that are chosen; None, and `problem` says why, where there is none."""
        from ..kinetics import relative_enhancement, subtraction

        volume, choice, view = self._kinetics.volume, self._kinetics.choice, self.view
        self.problem = ""
        if volume is None or volume.n_phases < 2:
            self._image = None
            return None
        pre = choice.pre if choice is not None else volume.pre_contrast
        phase = view.phase if view.phase is not None else choice.early if choice is not None else pre + 1
        base = view.base if view.base is not None else pre
        try:
            made = (relative_enhancement if view.percent else subtraction)(volume, phase, base)
        except BreastAIError as error:
            self.problem = str(error)
            return None
        # The same one as long as it is the same image: what it has looked for is not looked for again.
        if self._image is None or _key(self._image) != _key(made):
            self._image = made
        return self._image

    def projected(self) -> Derived | None:
        """What the projections are of."""
        from ..kinetics import phase_image

        volume, choice, view = self._kinetics.volume, self._kinetics.choice, self.view
        if view.mip_of != "phase" or volume is None:
            return self.image()
        phase = view.phase
        if phase is None:
            phase = choice.early if choice is not None else min(volume.pre_contrast + 1, volume.n_phases - 1)
        return phase_image(volume, phase)

    # ------------------------------------------------------------------ layers

    def _update(self) -> None:
        session, kinetics, view = self._session, self._kinetics, self.view
        study = session.volume
        if study is None:
            self._image, self._projecting, self._waiting = None, (), False
            return
        if study is not self._study:
            before, self._study = self._study, study
            if before is None or before.n_phases != study.n_phases or before.identity != study.identity:
                # Numbers of phases mean others in another study.
                view = self.view = replace(view, phase=None, base=None)
        maps = kinetics.maps if kinetics.on else None
        for role in kind.MAP_NAMES:
            wanted = maps is not None and role == view.map
            if role == kind.SER and maps is not None and maps.choice.late is None:
                wanted = False
            if not wanted or maps is None:
                self._hide(role)
                continue
            layer = self._layers.get(role)
            if layer is None or self._shown.get(role) != (maps,):
                shown = kinetics.thresholds.shown
                limits = kind.map_limits(role, maps, shown)
                data = self._data(role)
                if layer is None:
                    layer = self._put(role, kind.map_layer(study, data, role, limits, opacity=view.opacity))
                    if role == kind.ENHANCEMENT:
                        layer.colorbar.visible = True
                else:
                    layer.data = data
                    look.set_contrast(layer, *limits)
                self._shown[role] = (maps,)
            layer.opacity = view.opacity
            layer.visible = True
        self._show_exchange(study)
        self._show_difference(kinetics.on and view.difference)
        self._show_projection(kinetics.on and bool(view.mip))
        session.readout.refresh()

    def _show_exchange(self, study: DceVolume) -> None:
        """The map of a pharmacokinetic parameter, where that is the map."""
        view, exchange = self.view, self._kinetics.exchange
        maps = exchange.maps
        if not self._kinetics.on or maps is None or view.map not in kind.EXCHANGE_NAMES:
            self._hide(kind.EXCHANGE)
            return
        layer = self._layers.get(kind.EXCHANGE)
        if layer is None:
            layer = self._put(
                kind.EXCHANGE, kind.exchange_layer(study, maps, view.map, exchange.limits[view.map])
            )
            layer.colorbar.visible = True
        elif self._shown.get(kind.EXCHANGE) != (maps, view.map):
            layer.data, limits = kind.exchange_stack(maps, view.map), exchange.limits[view.map]
            layer.name = kind.EXCHANGE_NAMES[view.map]
            look.set_contrast(layer, limits[0], limits[1], whole=True)
        self._shown[kind.EXCHANGE] = (maps, view.map)
        layer.opacity = view.opacity
        layer.visible = True

    def _data(self, role: str) -> Any:
        """An array of slices that are computed with the thresholds of the moment when they are asked for."""
        from ..kinetics.lazy import LazyStack

        maps, kinetics = self._kinetics.maps, self._kinetics
        assert maps is not None
        if role == kind.CLASSES:
            return maps.class_stack(lambda: kinetics.thresholds)
        if role == kind.SER:
            return LazyStack.each(
                maps.geometry.shape,
                np.uint8,
                lambda where: maps.ser_bins(where, kinetics.thresholds.shown),
            )
        return maps.initial

    def _on_thresholds(self) -> None:
        """Draw the slice on the screen anew; the others are when they are asked for."""
        maps = self._kinetics.maps
        for role in kind.MAP_NAMES:
            layer = self._layers.get(role)
            if layer is None or maps is None or not layer.visible:
                continue
            if role == kind.ENHANCEMENT:
                look.set_contrast(layer, *kind.map_limits(role, maps, self._kinetics.thresholds.shown))
            else:
                layer.refresh(thumbnail=False, extent=False)

    def _show_difference(self, wanted: bool) -> None:
        image = self.image()
        if image is None or not wanted or not self._ready(image):
            self._hide(kind.DIFFERENCE)
            return
        key = _key(image)
        self._grey(kind.DIFFERENCE, key, lambda study: kind.difference_layer(study, image))

    def _ready(self, image: Derived) -> bool:
        """Whether an image can be drawn at once; else that is seen to in a thread, and it is drawn then."""
        # Its contrast, what is tissue and the highest values are found once and kept: not in half a study.
        self._waiting = not self._session.complete
        if self._waiting:
            return False
        if image.ready:
            return True
        if not self._session.workers.running(PREPARE):
            self._session.workers.start(
                PREPARE,
                "Look for tissue",
                lambda progress: image.floor,
                done=lambda _: self._update(),
                failed=self._session.fail,
                quiet=True,
            )
        return False

    def _on_workers(self) -> None:
        """The last slices may have been read."""
        if self._waiting and self._session.complete:
            self._waiting = False
            self._update()

    def _show_projection(self, wanted: bool) -> None:
        image, view, session = self.projected(), self.view, self._session
        if image is None or not wanted or not self._ready(image):
            session.workers.cancel(PROJECT)
            self._projecting = ()
            self._hide(kind.PROJECTION)
            return
        key = (*_key(image), view.mip, view.mip == "slab" and view.slab_mm)
        if self._shown.get(kind.PROJECTION) == key:
            self._grey(kind.PROJECTION, key, lambda study: None)
            return
        if session.workers.running(PROJECT) and self._projecting == key:
            return  # a slider that moves must not begin it anew
        from ..kinetics import project, slab_stack

        name = f"MIP: {kind.image_name(image)}"
        if view.mip == "slab":
            session.workers.cancel(PROJECT)
            self._projecting = ()
            data = slab_stack(image, view.slab_mm)
            self._grey(kind.PROJECTION, key, lambda study: kind.projection_layer(study, data, image, name))
            return

        def done(found: Any) -> None:
            # One image stands for all slices, without being copied for them.
            data = np.broadcast_to(found.pixels, image.geometry.shape)
            if self._session.volume is not None and self._projecting == key and self._kinetics.on:
                self._grey(
                    kind.PROJECTION, key, lambda study: kind.projection_layer(study, data, image, name)
                )

        def work(progress: Progress) -> Any:
            return project(image, progress=progress)

        self._projecting = key
        session.workers.start(PROJECT, "Project the slices", work, done=done, failed=session.fail, quiet=True)

    def _grey(self, role: str, key: tuple[Any, ...], make: Any) -> None:
        """Show a grey image in the layer of its role, made or filled anew where it is another one than before."""
        study = self._session.volume
        assert study is not None
        layer = self._layers.get(role)
        if layer is None or self._shown.get(role) != key:
            data, settings, what = make(study)
            if layer is None:
                layer = self._put(role, (data, settings, what))
            else:
                layer.data, layer.name, layer.metadata = data, settings["name"], settings["metadata"]
                low, high = settings["contrast_limits"]
                look.set_contrast(layer, low, high, whole=True)
            self._shown[role] = key
        layer.visible = True

    def _put(self, role: str, data: look.LayerData) -> Image:
        made = Layer.create(*data)
        assert isinstance(made, Image)
        self._layers[role] = made
        # The session puts the layers in order.
        self._session.boxes.put(made)
        return made

    def _hide(self, role: str) -> None:
        layer = self._layers.get(role)
        if layer is not None and layer.visible:
            layer.visible = False

    def _on_removed(self, event: Any) -> None:
        for role, layer in list(self._layers.items()):
            if layer is event.value:
                del self._layers[role]
                self._shown.pop(role, None)


def _key(image: Derived) -> tuple[Any, ...]:
    return image.volume, image.kind, image.phase, image.base
