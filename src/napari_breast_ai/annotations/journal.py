"""An append-only journal of one reader's boxes on one case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core import Box, FrameRef
from .anchors import Anchor
from .errors import AnnotationError
from .ledger import Ledger, new_id, now
from .opinions import Opinion, last
from .records import box_to_json
from .state import CASE, Step


class Journal(Ledger):
    """The boxes that one reader drew on one case, as the sum of all that was ever done.

    Every action is one line at the end of the file, and on the disk before the call returns: after a crash,
    every action that was acknowledged is there. Nothing in the file is ever changed. The file and its folder
    are made with the first action. `records` describes the lines.

    Where the file cannot be written the action counts all the same: it is kept in memory and in a rescue file, and
    brought into the journal by `save` or with the next action. `trouble` says so.

    Attributes:
        path: the file.
        reader: whose boxes these are; new boxes carry the name as their author.
        reading: 1, or higher where a reader reads the same case again.
        warnings: what was wrong with the file, in sentences; the good part is used.
        read_only: why nothing can be written (a newer program's file), or "".
        changed: emitted after every change of what the journal says, without arguments.
        trouble_changed: emitted when saving begins to fail or works again, without arguments.
    """

    # ------------------------------------------------------------- what it says

    @property
    def boxes(self) -> tuple[Box, ...]:
        """All boxes on the volume's images, in the order of adding."""
        return self._state.shown("box")

    @property
    def offers(self) -> tuple[Box, ...]:
        """Suggestions that wait for an answer. They are not boxes and count nowhere."""
        return self._state.shown("offer")

    @property
    def rejected(self) -> tuple[Box, ...]:
        """Suggestions that were rejected."""
        return self._state.shown("rejected")

    @property
    def hidden(self) -> int:
        """How many boxes of the case lie on images that are not part of the volume."""
        return self._state.hidden

    @property
    def empty_slices(self) -> tuple[int, ...]:
        """Slices that were said to be without a lesion."""
        return self._state.empty_slices

    @property
    def empty_images(self) -> dict[int, FrameRef]:
        """The stored images of `empty_slices`, where they are known."""
        entries = self._state.tables["none"].items()
        return {
            entry.box.z: entry.anchor.image
            for key, entry in entries
            if key != CASE and entry.placed and entry.anchor.image is not None
        }

    @property
    def empty_case(self) -> bool:
        """Whether the whole case was said to be without a lesion."""
        return CASE in self._state.tables["none"]

    @property
    def status(self) -> str:
        """ "open", "done" or "skipped"."""
        return self._state.status

    @property
    def reason(self) -> str:
        """Why the case was skipped, or ""."""
        return self._state.reason

    @property
    def note(self) -> str:
        """What the person wrote about the case."""
        return self._state.note

    @property
    def opinions(self) -> tuple[Opinion, ...]:
        """What the person thinks of the case and of models' answers, in the order of saying."""
        return self._state.opinions

    def opinion(self, seen: bool) -> Opinion | None:
        """The last one that was said after (`seen`) or before a model's answer was shown, or None."""
        return last(self._state.opinions, seen)

    @property
    def volume(self) -> Mapping[str, Any] | None:
        """`shape`, `spacing`, `affine`, `frame_of_reference` of the stack that was drawn on last, if known."""
        return self._state.volume

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._state.past)

    @property
    def can_redo(self) -> bool:
        """Whether there is something to redo."""
        return bool(self._state.future)

    def box(self, box_id: str) -> Box:
        """The box of that id. Raises AnnotationError where there is none."""
        try:
            return self._state.tables["box"][box_id].box
        except KeyError:
            raise AnnotationError(f"There is no box “{box_id}” in this case any more.") from None

    def anchor(self, box_id: str) -> Anchor:
        """What the box is tied to; nothing for a box that is not there."""
        entry = self._state.tables["box"].get(box_id)
        return entry.anchor if entry else Anchor()

    def image(self, box_id: str) -> FrameRef | None:
        """The stored image that the box was drawn on, where it is known."""
        return self.anchor(box_id).image

    # ----------------------------------------------------------------- actions

    def add(self, box: Box, phase: int = 0) -> Box:
        """Add a box and return it with its id and author.

        Args:
            box: a missing id or author is filled in.
            phase: the phase on the screen, whose stored image the box is tied to.

        Raises:
            AnnotationError: the box is not valid; then nothing has changed.
        """
        return self.add_many([box], phase)[0]

    def add_many(
        self, boxes: Iterable[Box], phase: int = 0, empty: Iterable[int | None] = ()
    ) -> tuple[Box, ...]:
        """Add boxes that belong together and are undone as one. Returns and raises as `add`.

        Args:
            boxes, phase: as in `add`.
            empty: slices that are said to be without a lesion in the same step, None for the whole case.
        """
        made: list[str] = []
        actions: list[dict[str, Any]] = []
        for box in boxes:
            if found := box.problems():
                raise AnnotationError(" ".join(found))
            box = replace(box, id=box.id or new_id(), author=box.author or self.reader)
            made.append(box.id)
            actions.append({"do": "add", "box": box_to_json(box), **self._tie(box, phase)})
        actions += [self._empty(z, True, phase) for z in empty]
        self._act_all(actions)
        return tuple(self.box(box_id) for box_id in made)

    def add_between(
        self, boxes: Iterable[Box], ends: Sequence[str], lesion: str, phase: int = 0
    ) -> tuple[Box, ...]:
        """Add boxes and make them one lesion with the boxes `ends`, undone as one. Returns and raises as `add`."""
        actions: list[dict[str, Any]] = [
            {"do": "group", "id": one, "lesion": lesion} for one in ends if self.box(one).lesion != lesion
        ]
        named = [replace(box, id=box.id or new_id(), author=box.author or self.reader) for box in boxes]
        for box in named:
            actions.append({"do": "add", "box": box_to_json(box), **self._tie(box, phase)})
        self._act_all(actions)
        return tuple(self.box(box.id) for box in named)

    def move(self, box_id: str, box: Box, phase: int = 0) -> Box:
        """Give the box of that id the slice and edges of `box`; all else stays. Errors as `add`."""
        edges = {
            key: value for key, value in box_to_json(box).items() if key in ("z", "y0", "x0", "y1", "x1")
        }
        self._act({"do": "move", "id": box_id, **edges, **self._tie(box, phase)})
        return self.box(box_id)

    def relabel(self, box_ids: str | Sequence[str], label: str) -> None:
        """Change the class of boxes. Errors as `add`."""
        if not label:
            raise AnnotationError("The box needs a class.")
        self._act_all([{"do": "relabel", "id": one, "label": label} for one in _several(box_ids)])

    def group(self, box_ids: Sequence[str], lesion: str) -> None:
        """Make boxes slices of one lesion; "" makes each a lesion of its own. Errors as `add`."""
        self._act_all([{"do": "group", "id": one, "lesion": lesion} for one in _several(box_ids)])

    def delete(self, box_ids: str | Sequence[str]) -> None:
        """Delete boxes; `undo` brings them back. Errors as `add`."""
        self._act_all([{"do": "delete", "id": one} for one in _several(box_ids)])

    def say_empty(self, z: int | None, said: bool = True, phase: int = 0) -> None:
        """Say that a slice, or with None the whole case, has no lesion, or take that back.

        Raises:
            AnnotationError: there are boxes of lesions on it.
        """
        self._act(self._empty(z, said, phase))

    def offer(self, boxes: Iterable[Box], by: str, phase: int = 0) -> None:
        """Suggest boxes, in place of what `by` suggested before and nobody has answered yet. Errors as `add`.

        Args:
            boxes: ids are made new.
            by: "model:NAME" or "enhancement".
            phase: as in `add`.
        """
        named = [replace(box, id=new_id(), author=by) for box in boxes]
        items = [{"box": box_to_json(box), **self._tie(box, phase)} for box in named]
        self._act({"do": "offer", "by": by, "items": items})

    def accept(self, box_ids: str | Sequence[str], label: str = "") -> None:
        """Make suggestions boxes of this reader, of the class `label` where it is given. Errors as `add`."""
        more = {"label": label} if label else {}
        self._act_all(
            [{"do": "accept", "id": one, "author": self.reader, **more} for one in _several(box_ids)]
        )

    def reject(self, box_ids: str | Sequence[str]) -> None:
        """Turn suggestions down. Errors as `add`."""
        self._act_all([{"do": "reject", "id": one} for one in _several(box_ids)])

    def mark(self, status: str, reason: str = "") -> None:
        """Say that the case is "done", "skipped" (with a reason) or "open" again. Errors as `add`."""
        if (status, reason) != (self.status, self.reason):
            self._act({"do": "status", "status": status, "reason": reason})

    def write_note(self, text: str) -> None:
        """Keep a note about the case in place of the one before. Errors as `add`."""
        if text != self.note:
            self._act({"do": "note", "text": text})

    def say_opinion(self, answer: str, note: str = "", about: Opinion | None = None) -> None:
        """Keep what the reader thinks. Whether a model's answer was seen before is what the journal knows, not a claim.

        Args:
            answer: before, a class, “no lesion” or “unsure”; after, “agree”, “disagree” or “unsure”.
            note: why.
            about: whose answer is meant (`model`, `sha256`, `said`), where one was seen.

        Raises:
            AnnotationError: it is not an answer, or as `add`.
        """
        opinion = Opinion(answer, self.answer_seen, note)
        if opinion.seen and about is not None:
            opinion = replace(opinion, model=about.model, sha256=about.sha256, said=about.said)
        if found := opinion.problems():
            raise AnnotationError(" ".join(found))
        known = self.opinion(opinion.seen)
        if known is None or replace(known, at="") != opinion:
            self._act({"do": "opinion", "at": now(), **opinion.to_json()})

    def undo(self) -> bool:
        """Take the last change back. Returns False where there is none. Errors as `add`.

        What another window did since is not taken back unseen: then this is an error, and `changed` is emitted.
        """
        if not self.can_undo:
            return False
        self._act({"do": "undo", **_of(self._state.past)})
        return True

    def redo(self) -> bool:
        """Make the last undone change again. Returns False where there is none. Errors as `add`."""
        if not self.can_redo:
            return False
        self._act({"do": "redo", **_of(self._state.future)})
        return True

    def _empty(self, z: int | None, said: bool, phase: int) -> dict[str, Any]:
        if z is None:
            return {"do": "none", "case": True, "said": said}
        rows, columns = self._placing.geometry.shape[1:] if self._placing is not None else (1, 1)
        box = Box(z, -0.5, -0.5, rows - 0.5, columns - 0.5, "no lesion")
        return {"do": "none", "said": said, "box": box_to_json(box), **self._tie(box, phase)}

    def _tie(self, box: Box, phase: int) -> dict[str, Any]:
        return self._placing.anchor(box, phase).to_json() if self._placing is not None else {}

    def _act_all(self, actions: list[dict[str, Any]]) -> None:
        if actions:
            self._act(actions[0] if len(actions) == 1 else {"do": "many", "actions": actions})


def _several(box_ids: str | Sequence[str]) -> Sequence[str]:
    return [box_ids] if isinstance(box_ids, str) else box_ids


def _of(steps: Sequence[Step]) -> dict[str, str]:
    """Which of the steps, the last one, is meant."""
    return {"of": steps[-1].key} if steps[-1].key else {}
