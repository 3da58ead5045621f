"""What a journal's lines lead to: boxes, suggestions, “no lesion”, status, and the way back and forth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ..core import NORMAL_TISSUE, Box, Geometry
from .anchors import Anchor, Placing
from .opinions import Opinion
from .records import EDGES, STATUSES, UNDONE, box_from_json

Table = Literal["box", "offer", "rejected", "none"]

NOWHERE = Anchor()

CASE = "case"
"""Key of “no lesion in this case” among the slices' numbers."""


MOST, MOST_VOXELS = 100_000, 2**33
"""More slices, rows or columns, and more voxels, no stack has: the line is damaged."""


@dataclass(frozen=True)
class Entry:
    """A box as it lies in the volume on the screen, and what it is tied to.

    Attributes:
        placed: whether it lies on one of that volume's images; if not, its numbers are those of another series.
    """

    box: Box
    anchor: Anchor = NOWHERE
    placed: bool = True


@dataclass(frozen=True)
class Change:
    """One thing that becomes another; None where it does not exist."""

    table: Table
    key: str
    before: Entry | None
    after: Entry | None


@dataclass(frozen=True)
class Step:
    """What one action does, undone as one. `key` is that of its line, or "" in journals of version 1."""

    kind: str
    changes: tuple[Change, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""


class State:
    """Boxes after some actions.

    Attributes:
        tables: of boxes, suggestions that wait, suggestions that were rejected, and slices said to be without a
            lesion; each from an id (of slices: the number, or `CASE`) to an entry.
        ranks: id to its place in the order of adding; kept for good, so that undoing restores the order.
        past, future: done and undone steps.
        status, reason: where the case stands: "open", "done" or "skipped", and why.
        note: what the person wrote about the case.
        opinions: what the person thinks, in the order of saying.
        answers: models (their hashes) whose answers the person has seen on this case.
        volume: the stack that the slices' numbers count, as last written, or None.
    """

    def __init__(self, placing: Placing | None = None) -> None:
        self._placing = placing
        self.tables: dict[Table, dict[str, Entry]] = {"box": {}, "offer": {}, "rejected": {}, "none": {}}
        self.ranks: dict[str, int] = {}
        self.past: list[Step] = []
        self.future: list[Step] = []
        self.status, self.reason, self.note = "open", "", ""
        self.opinions: tuple[Opinion, ...] = ()
        self.answers: frozenset[str] = frozenset()
        self.volume: Mapping[str, Any] | None = None

    def shown(self, table: Table) -> tuple[Box, ...]:
        """The boxes of a table that lie on the volume's images, in the order of adding."""
        entries = self.tables[table]
        ids = sorted(entries, key=lambda key: self.ranks.get(key, -1))
        return tuple(entries[key].box for key in ids if entries[key].placed)

    @property
    def hidden(self) -> int:
        """How many boxes lie on no image of the volume."""
        return sum(not entry.placed for entry in self.tables["box"].values())

    @property
    def empty_slices(self) -> tuple[int, ...]:
        """Slices that were said to be without a lesion."""
        return tuple(
            sorted(entry.box.z for key, entry in self.tables["none"].items() if key != CASE and entry.placed)
        )

    def plan(self, record: Mapping[str, Any]) -> Step | str:
        """What an action would do, or what is wrong with it in words. Changes nothing."""
        kind = str(record.get("do"))
        if kind in ("undo", "redo"):
            steps = self.past if kind == "undo" else self.future
            if not steps:
                return f"there is nothing to {kind}"
            if record.get("of") and record["of"] != steps[-1].key:
                # Another window, or a line that is damaged: what somebody else did must not be taken back.
                return f"something else was done before this {kind}"
            changes = steps[-1].changes
            if kind == "undo":
                changes = tuple(Change(c.table, c.key, c.after, c.before) for c in reversed(changes))
            return Step(kind, changes)
        planner = getattr(self, f"_plan_{kind}", None)
        if planner is None:
            return f"“{record.get('do')}” is not an action"
        try:
            planned: Step | str = planner(record)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as problem:
            return f"it is incomplete ({problem})"
        return planned if isinstance(planned, str) else replace(planned, key=str(record.get("key") or ""))

    def commit(self, step: Step) -> None:
        """Do what `plan` returned."""
        for change in step.changes:
            table = self.tables[change.table]
            if change.after is None:
                table.pop(change.key, None)
            else:
                table[change.key] = change.after
                self.ranks.setdefault(change.key, len(self.ranks))
        for name, value in step.extra.items():
            setattr(self, name, value)
        if step.kind == "undo":
            self.future.append(self.past.pop())
        elif step.kind == "redo":
            self.past.append(self.future.pop())
        elif step.kind in UNDONE:
            self.past.append(step)
            self.future.clear()

    # ------------------------------------------------------------------ boxes

    def _plan_add(self, record: Mapping[str, Any]) -> Step | str:
        entry = self._entry(record["box"], record)
        box = entry.box
        if not box.id or box.id in self.ranks:
            return "its box has no id of its own"
        if found := box.problems():
            return " ".join(found)
        return Step("add", (Change("box", box.id, None, entry), *self._not_empty(entry)))

    def _plan_move(self, record: Mapping[str, Any]) -> Step | str:
        before = self._known(record)
        if isinstance(before, str):
            return before
        numbers = {**asdict(before.box), **{key: record[key] for key in ("z", *EDGES)}}
        entry = self._entry(numbers, record)
        if found := entry.box.problems():
            return " ".join(found)
        if entry.anchor.image is None and entry.box.z == before.box.z:
            entry = replace(entry, anchor=replace(entry.anchor, image=before.anchor.image))
        return self._changed("move", before, entry)

    def _plan_relabel(self, record: Mapping[str, Any]) -> Step | str:
        before = self._known(record)
        if isinstance(before, str):
            return before
        if not record["label"]:
            return "the box has no class"
        return self._changed(
            "relabel", before, replace(before, box=replace(before.box, label=str(record["label"])))
        )

    def _plan_group(self, record: Mapping[str, Any]) -> Step | str:
        before = self._known(record)
        if isinstance(before, str):
            return before
        after = replace(before, box=replace(before.box, lesion=str(record["lesion"] or "")))
        return Step("group", (Change("box", before.box.id, before, after),))

    def _plan_delete(self, record: Mapping[str, Any]) -> Step | str:
        before = self._known(record)
        if isinstance(before, str):
            return before
        return Step("delete", (Change("box", before.box.id, before, None),))

    def _plan_many(self, record: Mapping[str, Any]) -> Step | str:
        draft = State(self._placing)
        draft.tables = {name: dict(table) for name, table in self.tables.items()}
        draft.ranks = dict(self.ranks)
        changes: list[Change] = []
        actions = record["actions"]
        if not isinstance(actions, list) or not actions:
            return "it holds no actions"
        for action in actions:
            if action.get("do") not in UNDONE or action["do"] == "many":
                return f"“{action.get('do')}” cannot be part of several"
            step = draft.plan(action)
            if isinstance(step, str):
                return step
            draft.commit(step)
            changes.extend(step.changes)
        return Step("many", tuple(changes))

    def _changed(self, kind: str, before: Entry, after: Entry) -> Step:
        if after.box.origin:
            after = replace(after, box=replace(after.box, edited=True))
        return Step(kind, (Change("box", before.box.id, before, after), *self._not_empty(after)))

    def _known(self, record: Mapping[str, Any]) -> Entry | str:
        entry = self.tables["box"].get(str(record["id"]))
        return "it is about a box that is not there" if entry is None else entry

    # -------------------------------------------------------------- no lesion

    def _plan_none(self, record: Mapping[str, Any]) -> Step | str:
        whole = record.get("case") is True
        if whole:
            entry, key = Entry(Box(0, -0.5, -0.5, 0.5, 0.5, "no lesion")), CASE
        else:
            entry = self._entry(record["box"], record)
            key = self._slice_key(entry)
        before = self.tables["none"].get(key)
        if record.get("said") is False:
            if before is None:
                return "this was not said to be without a lesion"
            return Step("none", (Change("none", key, before, None),))
        boxes = [one.box for one in self.tables["box"].values() if whole or self._slice_key(one) == key]
        if any(box.label != NORMAL_TISSUE for box in boxes):
            place = "this case" if whole else f"slice {entry.box.z}"
            return f"{place} has boxes of lesions; delete them first, or say it of another slice"
        return Step("none", (Change("none", key, before, entry),))

    def _not_empty(self, entry: Entry) -> Iterable[Change]:
        """A box of a lesion says that its slice and the case are not without one."""
        if entry.box.label == NORMAL_TISSUE:
            return ()
        keys = (CASE, self._slice_key(entry))
        none = self.tables["none"]
        return tuple(Change("none", key, none[key], None) for key in keys if key in none)

    def _slice_key(self, entry: Entry) -> str:
        if entry.placed:
            return str(entry.box.z)
        # A slice of another series: its number is that of another slice here.
        image = entry.anchor.image
        if image is not None:
            return f"{image.sop_instance_uid}:{image.frame}"
        return f"{entry.anchor.frame_of_reference}:{entry.anchor.corners}"

    # ------------------------------------------------------------ suggestions

    def _plan_offer(self, record: Mapping[str, Any]) -> Step | str:
        by = str(record["by"])
        offers = self.tables["offer"]
        changes = [Change("offer", key, one, None) for key, one in offers.items() if one.box.origin == by]
        for item in record["items"]:
            entry = self._entry(item["box"], item)
            box = replace(entry.box, origin=by)
            if not box.id or box.id in self.ranks:
                return "a suggestion has no id of its own"
            if found := box.problems():
                return " ".join(found)
            changes.append(Change("offer", box.id, None, replace(entry, box=box)))
        return Step("offer", tuple(changes))

    def _plan_accept(self, record: Mapping[str, Any]) -> Step | str:
        key = str(record["id"])
        offer = self.tables["offer"].get(key)
        if offer is None:
            return "it is about a suggestion that is not there"
        box = replace(
            offer.box,
            author=str(record.get("author") or ""),
            label=str(record.get("label") or offer.box.label),
        )
        entry = replace(offer, box=box)
        return Step(
            "accept",
            (
                Change("offer", key, offer, None),
                Change("box", key, None, entry),
                *self._not_empty(entry),
            ),
        )

    def _plan_reject(self, record: Mapping[str, Any]) -> Step | str:
        key = str(record["id"])
        offer = self.tables["offer"].get(key)
        if offer is None:
            return "it is about a suggestion that is not there"
        return Step("reject", (Change("offer", key, offer, None), Change("rejected", key, None, offer)))

    # --------------------------------------------------------------- the case

    def _plan_status(self, record: Mapping[str, Any]) -> Step | str:
        if record["status"] not in STATUSES:
            return f"“{record['status']}” is not a status"
        return Step("status", extra={"status": record["status"], "reason": str(record.get("reason") or "")})

    def _plan_note(self, record: Mapping[str, Any]) -> Step | str:
        return Step("note", extra={"note": str(record["text"])})

    def _plan_shown(self, record: Mapping[str, Any]) -> Step | str:
        return Step("shown", extra={"answers": self.answers | {str(record["sha256"])}})

    def _plan_opinion(self, record: Mapping[str, Any]) -> Step | str:
        opinion = Opinion.from_json(record)
        if found := opinion.problems():
            return " ".join(found)
        return Step("opinion", extra={"opinions": (*self.opinions, opinion)})

    def _plan_volume(self, record: Mapping[str, Any]) -> Step | str:
        geometry_from_json(record)
        return Step("volume", extra={"volume": dict(record)})

    def _plan_open(self, record: Mapping[str, Any]) -> Step | str:
        return Step("open")

    def _plan_close(self, record: Mapping[str, Any]) -> Step | str:
        return Step("close")

    def _plan_torn(self, record: Mapping[str, Any]) -> Step | str:
        return Step("torn")

    def _entry(self, numbers: Mapping[str, Any], record: Mapping[str, Any]) -> Entry:
        """A box as written, as it lies in the volume on the screen."""
        box, anchor = box_from_json(numbers), Anchor.from_json(record)
        if self._placing is None:
            return Entry(box, anchor)
        placed = self._placing.place(box, anchor)
        return Entry(box, anchor, False) if placed is None else Entry(placed, anchor)


def geometry_from_json(record: Mapping[str, Any]) -> Geometry:
    """The stack of a `volume` line. Raises KeyError, TypeError or ValueError where it is not one."""
    z, y, x = (int(n) for n in record["shape"])
    dz, dy, dx = (float(n) for n in record["spacing"])
    if max(z, y, x) > MOST or z * y * x > MOST_VOXELS:
        raise ValueError("the stack is larger than any")
    geometry = Geometry((z, y, x), (dz, dy, dx), record["affine"])
    axes = geometry.affine[:3, :3]
    sides = np.linalg.norm(axes, axis=0)
    if not (sides > 0).all() or abs(np.linalg.det(axes / sides)) < 1e-6:
        raise ValueError("the stack is flat")
    return geometry
