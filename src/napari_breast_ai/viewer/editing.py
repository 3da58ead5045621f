"""What keys and buttons do to boxes, suggestions and “no lesion”.

Every action works on the boxes that are meant: those that are selected; while drawing, the one under the pointer;
else the one that was drawn or changed last, where it is on the slice in view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from napari.layers import Labels
from psygnal import Signal

from ..annotations import Journal
from ..annotations.ledger import new_id
from ..annotations.lesions import between, partner
from ..annotations.suggest import ENHANCEMENT, from_attention, from_enhancement, unlike
from ..core import Box, BreastAIError, Progress
from . import layers as look

if TYPE_CHECKING:
    from .session import Session

SUGGEST = "suggest"


class Editing:
    """Actions on the boxes of the study on the screen; each is one line in the journal and one undo.

    Attributes:
        hidden: boxes and suggestions are hidden while a key is held.
        hidden_changed: emitted when that changes.
    """

    hidden_changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.hidden = False
        self._shown: list[Any] = []
        self._before: int | None = None

    # ------------------------------------------------------------- what is meant

    @property
    def _journal(self) -> Journal:
        journal = self._session.journal
        if journal is None:
            raise BreastAIError("There is no study to draw boxes on. Open one first.")
        return journal

    def here(self) -> list[Box]:
        """The boxes of the slice in view."""
        journal = self._session.journal
        if journal is None:
            return []
        return [box for box in journal.boxes if box.z == self._session.slice_index]

    def undo(self) -> None:
        """Take the last change back: the last stroke of a brush in hand, else the last change of a box."""
        self._step("undo")

    def redo(self) -> None:
        """Make it again."""
        self._step("redo")

    def _step(self, way: str) -> None:
        active = self._session.viewer.layers.selection.active
        if isinstance(active, Labels) and active.mode != "pan_zoom":
            getattr(active, way)()
            # napari tells nobody.
            active.events.paint(value=[])
        else:
            getattr(self._session.boxes, way)()

    def pointer(self) -> tuple[float, float] | None:
        """Where the pointer is, as (row, column) of the image; None outside of it."""
        volume = self._session.volume
        position = self._session.viewer.cursor.position
        if volume is None or len(position) < 2:
            return None
        row, column = (position[i] / volume.geometry.spacing[i] for i in (-2, -1))
        _, rows, columns = volume.geometry.shape
        inside = -0.5 <= row <= rows - 0.5 and -0.5 <= column <= columns - 0.5
        return (float(row), float(column)) if inside else None

    def meant(self) -> list[Box]:
        """The boxes that an action is for, on the slice in view; none where it is not clear."""
        here = self.here()
        boxes = self._session.boxes
        chosen = [box for box in here if box.id in boxes.selected]
        if chosen:
            return chosen
        if (under := self._under(here)) is not None:
            return [under]
        last = [box for box in here if box.id == boxes.last]
        return last or (here if len(here) == 1 else [])

    def _under(self, boxes: Sequence[Box]) -> Box | None:
        """The smallest box under the pointer."""
        if (at := self.pointer()) is None:
            return None
        return min((box for box in boxes if box.contains(*at)), key=lambda box: box.area, default=None)

    # ------------------------------------------------------------------- boxes

    def relabel(self, label: str) -> None:
        """Give the boxes that are meant another class."""
        if ids := [box.id for box in self.meant() if box.label != label]:
            self.do(lambda: self._journal.relabel(ids, label))

    def delete(self) -> None:
        """Delete the boxes that are meant."""
        if ids := [box.id for box in self.meant()]:
            self.do(lambda: self._journal.delete(ids))

    def copy(self, step: int) -> None:
        """Copy the boxes that are meant to the next (1) or previous (-1) slice, as the same lesions, and go there.

        Where a lesion has a box there already, that one stays.
        """
        session = self._session
        z = session.slice_index + step
        boxes = self.meant() or self.here()
        if session.volume is None or not boxes or not 0 <= z < session.volume.n_slices:
            return
        there = {box.lesion or box.id for box in self._journal.boxes if box.z == z}
        new = [
            replace(box, z=z, id="", author="", lesion=box.lesion or box.id, origin="copied", edited=False)
            for box in boxes
            if (box.lesion or box.id) not in there
        ]

        def act() -> None:
            if new:
                made = self._journal.add_many(new, session.phase_index)
                session.boxes.last = made[-1].id
            session.go_to(z)

        self.do(act)

    def interpolate(self) -> None:
        """Fill the slices between the box that is meant and the nearest other one of its lesion, or of its class."""
        session = self._session
        boxes = self.meant()
        if len(boxes) != 1:
            session.say("Point at one box, or select it: it is joined to the nearest one of its class.")
            return
        (box,) = boxes
        other = partner(box, self._journal.boxes)
        if other is None:
            session.say(
                f"There is no other box of {box.label} with empty slices between. Draw a second one some slices "
                "further on, then press the key again."
            )
            return

        def act() -> None:
            lesion = box.lesion or other.lesion or box.id
            made = [replace(one, lesion=lesion) for one in between(box, other)]
            self._journal.add_between(made, [one.id for one in (box, other)], lesion, session.phase_index)

        self.do(act)

    def join(self) -> None:
        """Make one lesion of the boxes that are selected; of one box, a lesion of its own."""
        journal = self._session.journal
        if journal is None:
            return
        chosen = [box for box in journal.boxes if box.id in self._session.boxes.selected] or self.meant()
        if len(chosen) == 1:
            # Where the others bear this box's own id, it needs another name to be apart from them.
            named = any(box.lesion == chosen[0].id for box in journal.boxes if box.id != chosen[0].id)
            self.do(lambda: journal.group([chosen[0].id], new_id() if named else ""))
        elif chosen:
            lesion = next((box.lesion for box in chosen if box.lesion), chosen[0].id)
            self.do(lambda: journal.group([box.id for box in chosen], lesion))

    def jump(self, step: int) -> None:
        """Go to the next (1) or previous (-1) box, by slice and from top to bottom."""
        journal, boxes = self._session.journal, self._session.boxes
        if journal is None:
            return
        order = sorted(journal.boxes, key=lambda box: (box.z, box.y0, box.x0))
        if not order:
            return
        ids = [box.id for box in order]
        z = self._session.slice_index
        if boxes.last in ids and journal.box(boxes.last).z == z:
            place = (ids.index(boxes.last) + step) % len(ids)
        elif step > 0:
            place = next((i for i, box in enumerate(order) if box.z >= z), 0)
        else:
            place = next((i for i in reversed(range(len(order))) if order[i].z <= z), len(order) - 1)
        self._session.go_to(order[place].z)
        boxes.select(ids[place])

    def hide(self, on: bool) -> None:
        """Hide boxes and suggestions while a key is held."""
        if on == self.hidden:
            return
        if on:
            layers = [self._session.boxes.layer, self._session.offers.layer]
            self._shown = [layer for layer in layers if layer is not None and layer.visible]
        for layer in self._shown:
            layer.visible = not on
        self.hidden = on
        self.hidden_changed.emit()

    # --------------------------------------------------------------- no lesion

    def say_empty_slice(self) -> None:
        """Say that there is no lesion on the slice in view, or take that back."""
        session = self._session
        z = session.slice_index
        self.do(lambda: self._journal.say_empty(z, z not in self._journal.empty_slices, session.phase_index))

    def say_empty_case(self) -> None:
        """Say that there is no lesion in the case, or take that back."""
        self.do(lambda: self._journal.say_empty(None, not self._journal.empty_case))

    # ------------------------------------------------------------- suggestions

    def offered(self) -> list[Box]:
        """The suggestion that is meant: the one under the pointer, else the first on the slice in view."""
        here = [box for box in self._session.offers.shown if box.z == self._session.slice_index]
        under = self._under(here)
        return [under] if under is not None else here[:1]

    def suggest(self, source: str = "") -> None:
        """Propose boxes, in a thread: from the attention where a model has run, else from the enhancement.

        Args:
            source: "attention" or "enhancement"; "" for what there is.
        """
        session = self._session
        volume, prediction, journal = session.volume, session.prediction, session.journal
        if volume is None or journal is None:
            return
        if not session.protocol.suggests_to(session.reader):
            session.say("Suggestions are switched off for this reader by the project's protocol.")
            return
        if not session.complete:
            session.say("The study is still being read. Ask for suggestions when all its slices are there.")
            return
        label = session.current_label
        attention = prediction is not None and prediction.attention is not None and source != ENHANCEMENT
        if source == "attention" and not attention:
            session.say("No model with attention has run on this study. Run one in the Review dock first.")
            return
        threshold = session.suggestion_threshold
        # Not what the model alone would have said.
        taught = "" if session.live.fit is None else f", taught by {session.live.fit.boxes} boxes"

        def work(progress: Progress) -> tuple[Box, ...]:
            if attention and prediction is not None:
                return from_attention(prediction, volume.geometry, label, threshold=threshold)
            return from_enhancement(volume, label)

        def done(boxes: tuple[Box, ...]) -> None:
            if session.journal is not journal:
                return
            by = (
                f"model:{prediction.model.name}{taught}"
                if attention and prediction is not None
                else ENHANCEMENT
            )
            new = unlike(boxes, [*journal.boxes, *journal.rejected])
            self.do(lambda: journal.offer(new, by, session.phase_index))
            if not new:
                session.say("There is nothing new to suggest on this study.")
            elif not any(box.z == session.slice_index for box in new):
                session.go_to(min((box.z for box in new), key=lambda z: abs(z - session.slice_index)))

        session.workers.start(SUGGEST, "Look for suggestions", work, done=done, failed=session.fail)

    def accept(self, whole: bool = False) -> None:
        """Make the suggestion that is meant a box of the class of the moment; `whole`: on all its slices."""
        ids = self._answered(whole)
        if not ids:
            return

        def act() -> None:
            self._journal.accept(ids, self._session.current_label)
            self._session.boxes.last = ids[-1]

        self.do(act)

    def reject(self, whole: bool = False) -> None:
        """Turn the suggestion that is meant down; `whole`: on all its slices."""
        if ids := self._answered(whole):
            self.do(lambda: self._journal.reject(ids))

    def _answered(self, whole: bool) -> list[str]:
        meant = self.offered()
        if not meant:
            return []
        if whole and meant[0].lesion:
            return [box.id for box in self._session.offers.shown if box.lesion == meant[0].lesion]
        return [meant[0].id]

    def next_offer(self) -> None:
        """Go to the next slice with a suggestion."""
        waiting = sorted({box.z for box in self._session.offers.shown})
        if waiting:
            z = self._session.slice_index
            self._session.go_to(next((one for one in waiting if one > z), waiting[0]))

    # ------------------------------------------------------------------ display

    def flip_phase(self) -> None:
        """Between the pre-contrast phase and the one that was looked at before."""
        session = self._session
        if session.volume is None:
            return
        pre = session.volume.pre_contrast
        if session.phase_index != pre:
            self._before = session.phase_index
            session.go_to(phase_index=pre)
        else:
            first = look.first_look(session.volume)[0]
            session.go_to(phase_index=first if self._before is None else self._before)

    def flip_subtraction(self) -> None:
        """Show or hide the subtraction."""
        if self._session.volume is not None and self._session.volume.n_phases == 1:
            self._session.say("This image has a single phase: there is nothing to subtract.", once=True)
            return
        for layer in self._session.viewer.layers:
            if look.info(layer).get("role") == look.SUBTRACTION:
                layer.visible = not layer.visible

    def reset_window(self) -> None:
        """Brightness and contrast as at the opening."""
        session = self._session
        if session.volume is None:
            return
        layer = look.shown_image(session.viewer.layers, session.volume)
        limits = look.info(layer).get("contrast") if layer is not None else None
        if limits is not None:
            look.set_contrast(layer, *limits)

    def do(self, action: Callable[[], Any]) -> None:
        """Do something to the boxes of the case on the screen; what cannot be done is said."""
        if self._session.reading.opening:
            # The case before is still on the screen, while the dock names the next one.
            self._session.say("The case is being opened. Press the key again when it is there.")
            return
        try:
            action()
        except BreastAIError as error:
            self._session.fail(error)
