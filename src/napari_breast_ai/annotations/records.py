"""The lines of a journal: what they look like and what state they lead to.

A journal is UTF-8 text, one JSON object a line. The first line is the header, `{"schema":
"napari-breast-ai/journal", "version": 1, "study_uid": ..., "reader": ..., "at": ...}`. Every other line is an
action with its time `at` (UTC) and its kind `do`:

- `add`: `box` (all fields of `core.Box`) and, where known, `image` (`sop_instance_uid`, `frame`);
- `move`: `id` and `z, y0, x0, y1, x1`, and `image` where known;
- `relabel`: `id` and `label`;
- `delete`: `id`;
- `undo`, `redo`: of the last action that changed boxes;
- `torn`: the line before this one was cut off by a crash and has been reported.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..core import Box, FrameRef

SCHEMA = "napari-breast-ai/journal"
VERSION = 1
EDGES = ("y0", "x0", "y1", "x1")

Entry = tuple[Box, FrameRef | None]
"""A box, and the stored image it was drawn on where that is known."""


@dataclass(frozen=True)
class Step:
    """One change of one box: what it was and what it becomes; None where it does not exist."""

    kind: str
    box_id: str
    before: Entry | None
    after: Entry | None


@dataclass
class State:
    """Boxes after some actions, with the way back and forth.

    Attributes:
        entries: id to box and image.
        ranks: id to its place in the order of adding; kept for good, so that undoing restores the order.
        past, future: done and undone steps.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)
    past: list[Step] = field(default_factory=list)
    future: list[Step] = field(default_factory=list)

    @property
    def boxes(self) -> tuple[Box, ...]:
        """All boxes, in the order of adding."""
        return tuple(self.entries[box_id][0] for box_id in sorted(self.entries, key=self.ranks.__getitem__))

    def plan(self, record: Mapping[str, Any]) -> Step | str:
        """What an action would do, or what is wrong with it in words. Changes nothing."""
        kind = record.get("do")
        if kind == "undo":
            if not self.past:
                return "there is nothing to undo"
            last = self.past[-1]
            return Step("undo", last.box_id, last.after, last.before)
        if kind == "redo":
            if not self.future:
                return "there is nothing to redo"
            last = self.future[-1]
            return Step("redo", last.box_id, last.before, last.after)
        try:
            if kind == "add":
                return self._plan_add(record)
            if kind in ("move", "relabel", "delete"):
                return self._plan_change(kind, record)
        except (KeyError, TypeError, ValueError, OverflowError) as problem:
            return f"it is incomplete ({problem})"
        return f"“{kind}” is not an action"

    def commit(self, step: Step) -> None:
        """Do what `plan` returned."""
        if step.after is None:
            self.entries.pop(step.box_id, None)
        else:
            self.entries[step.box_id] = step.after
            self.ranks.setdefault(step.box_id, len(self.ranks))
        if step.kind == "undo":
            self.future.append(self.past.pop())
        elif step.kind == "redo":
            self.past.append(self.future.pop())
        else:
            self.past.append(step)
            self.future.clear()

    def _plan_add(self, record: Mapping[str, Any]) -> Step | str:
        box = box_from_json(record["box"])
        if not box.id or box.id in self.ranks:
            return "its box has no id of its own"
        if found := box.problems():
            return " ".join(found)
        return Step("add", box.id, None, (box, _image(record)))

    def _plan_change(self, kind: str, record: Mapping[str, Any]) -> Step | str:
        before = self.entries.get(str(record["id"]))
        if before is None:
            return "it is about a box that is not there"
        box, image = before
        if kind == "delete":
            return Step(kind, box.id, before, None)
        if kind == "relabel":
            if not record["label"]:
                return "the box has no class"
            return Step(kind, box.id, before, (replace(box, label=str(record["label"])), image))
        moved = box_from_json({**asdict(box), **{key: record[key] for key in ("z", *EDGES)}})
        if found := moved.problems():
            return " ".join(found)
        return Step(kind, box.id, before, (moved, _image(record) or (image if moved.z == box.z else None)))


def _image(record: Mapping[str, Any]) -> FrameRef | None:
    image = record.get("image")
    if not isinstance(image, Mapping) or not image.get("sop_instance_uid"):
        return None
    frame = image.get("frame")
    return FrameRef(str(image["sop_instance_uid"]), None if frame is None else int(frame))


def box_from_json(record: Mapping[str, Any]) -> Box:
    """A box from its JSON form.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: an edge is missing or not a finite number.
    """
    y0, x0, y1, x1 = (float(record[key]) for key in EDGES)
    if not all(math.isfinite(edge) for edge in (y0, x0, y1, x1)):
        raise ValueError("an edge is not a number")
    if isinstance(record["z"], bool) or int(record["z"]) != float(record["z"]):
        raise ValueError("the slice is not a whole number")
    return Box(
        int(record["z"]),
        y0,
        x0,
        y1,
        x1,
        label=str(record["label"]),
        id=str(record.get("id") or ""),
        author=str(record.get("author") or ""),
    )


def box_to_json(box: Box) -> dict[str, Any]:
    """The JSON form of a box: its fields by name, edges rounded to 1/1000 pixel."""
    record = asdict(box)
    return {**record, **{key: round(float(record[key]), 3) for key in EDGES}}


def image_to_json(image: FrameRef) -> dict[str, Any]:
    """The JSON form of a stored image's reference."""
    return {"sop_instance_uid": image.sop_instance_uid, "frame": image.frame}


def line(record: Mapping[str, Any]) -> bytes:
    """One journal line."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
