"""Motion correction: a second set of phases beside the study's own, which stay as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray
from psygnal import Signal

from ..core import DceVolume, Progress
from . import kinetic_look as kind
from . import layers as look

if TYPE_CHECKING:
    from ..kinetics import Corrected, MotionSettings
    from ..kinetics.motion import Method
    from .kinetics import Kinetics
    from .session import Session

MOTION = "motion"


class Motion:
    """Registers the phases, shows the result over the study's own phases, and flips between the two.

    Attributes:
        corrected: the result; None while there is none.
        method: the elastic step, as `kinetics.METHODS` names it.
        settings: of the registration; None for the usual ones with that method.
        used: whether maps, curves and figures are of the corrected phases.
        changed: emitted when any of this changes.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session, kinetics: Kinetics) -> None:
        self._session, self._kinetics = session, kinetics
        self.corrected: Corrected | None = None
        self.method: Method = "flow"
        self.settings: MotionSettings | None = None
        self.used = False
        self._layer: Image | None = None
        # Of the registration that goes on, or went on last.
        self._pixels: NDArray[Any] | None = None
        # What was there when another study took its place, and whether it was used.
        self._left: tuple[Corrected, bool] | None = None
        session.viewer.layers.events.removed.connect(self._on_removed)
        session.workers.changed.connect(self.changed.emit)

    @property
    def volume(self) -> DceVolume | None:
        """The corrected study where it is used."""
        return self.corrected.volume if self.corrected is not None and self.used else None

    @property
    def layer(self) -> Image | None:
        """The corrected phases as a layer; None while there are none."""
        return self._layer

    @property
    def busy(self) -> bool:
        """Whether phases are being registered."""
        return self._session.workers.running(MOTION)

    @property
    def residual(self) -> tuple[float, float] | None:
        """The median movement over the phases before and after, in mm; None while there is no correction."""
        if self.corrected is None:
            return None
        others = [p for p in range(len(self.corrected.before_mm)) if p != self.corrected.pre]
        before, after = self.corrected.before_mm, self.corrected.after_mm
        return float(np.median([before[p] for p in others])), float(np.median([after[p] for p in others]))

    def correct(self) -> None:
        """Register every phase to the pre-contrast one, in a thread."""
        session, choice = self._session, self._kinetics.choice
        volume = session.volume
        if volume is None:
            return
        if not session.complete:
            session.say("The study is still being read. Correct motion when all its slices are there.")
            return
        pre = choice.pre if choice is not None else self._kinetics.given.pre
        if pre is None:
            session.say(
                f"{self._kinetics.problem} Motion is corrected towards the phase before contrast: choose it "
                "under Phases first.".lstrip()
            )
            return
        settings, method = self.settings, self.method

        def work(progress: Progress) -> Corrected:
            from ..kinetics import MotionSettings, correct_motion

            return correct_motion(volume, pre, settings or MotionSettings(method=method), progress)

        def done(corrected: Corrected) -> None:
            # Other times may have been told meanwhile: the pixels are what was corrected.
            now = session.volume
            if now is not None and now.data is volume.data:
                self.corrected = _with_times(corrected, now)
                self._show()
                self.use(True, again=True)

        self._pixels = volume.data
        session.workers.start(MOTION, "Correct motion", work, done=done, failed=session.fail)

    def use(self, on: bool, again: bool = False) -> None:
        """Take maps, curves and figures from the corrected phases, or from the study's own."""
        if self.corrected is None or (on == self.used and not again):
            return
        self.used = on
        if self._layer is not None:
            self._layer.visible = on
        self.changed.emit()
        self._kinetics.choose()

    def flip(self) -> None:
        """Between before and after on the screen; what is computed stays."""
        if self._layer is None:
            self._session.say(
                "Motion has not been corrected. Press “Correct motion” in the Kinetics dock first.", once=True
            )
        else:
            self._layer.visible = not self._layer.visible
            self.changed.emit()

    def forget(self) -> None:
        """Another study."""
        self._session.workers.cancel(MOTION)
        self.corrected, self.used, self._left, self._pixels = None, False, None, None
        self.changed.emit()

    def follow_study(self) -> None:
        """The same pixels with other times, say: what was corrected stays, and what is being corrected goes on."""
        left, volume = self._left, self._session.volume
        if volume is None or self._pixels is not volume.data:
            self.forget()
            return
        self.corrected, self.used, self._left = None, False, None
        if left is None or left[0].original.data is not volume.data:
            self.changed.emit()
            return
        self.corrected, self.used = _with_times(left[0], volume), left[1]
        self._show()
        assert self._layer is not None
        self._layer.visible = self.used
        self.changed.emit()

    def _show(self) -> None:
        session, corrected = self._session, self.corrected
        assert corrected is not None and session.volume is not None
        if self._layer is not None:
            self._layer.data = corrected.volume.data
            return
        layers = session.viewer.layers
        own = next(
            one
            for one in layers
            if look.info(one).get("role") == look.DYNAMIC and look.info(one).get("volume") is session.volume
        )
        made = Layer.create(*kind.corrected_layer(session.volume, corrected.volume, own.contrast_limits))
        assert isinstance(made, Image)
        self._layer = made
        session.boxes.put(made)
        # One window for both: else a flip would show a change of brightness, not of place.
        made.contrast_limits_range = own.contrast_limits_range
        layers.link_layers([own, made], ("contrast_limits", "gamma"))

    def _on_removed(self, event: Any) -> None:
        if self._layer is not None and event.value is self._layer:
            self._layer = None
            if self.corrected is not None:
                leaves = look.info(event.value).get("volume") is not self._session.volume
                if leaves:
                    self._left = self.corrected, self.used
                self.corrected, used = None, self.used
                self.used = False
                self.changed.emit()
                # Where the study leaves, the phases of the next one are chosen when it is there.
                if used and not leaves:
                    self._kinetics.choose()


def _with_times(corrected: Corrected, volume: DceVolume) -> Corrected:
    """A correction of the same pixels, as that of a study with other times."""
    if corrected.original is volume:
        return corrected
    told = replace(volume, data=corrected.volume.data)
    return replace(corrected, volume=told, original=volume)
