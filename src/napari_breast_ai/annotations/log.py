"""Where a reader stands in a worklist: the order of the cases, the place in it, and what became of each.

The cases' journals are the truth about boxes and status; this file is what the list shows before a case is opened.
It is append-only too, one JSON line an event: `order` (`kind`, `seed`, `entries`), `at` (`place`, `case_id`, `reading`),
`case` (`case_id`, `reading`, `study_uid`, `journal`, `status`, `reason`, `boxes`, `path`).
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..places import FOLDER, data_folder, place
from .ledger import new_id, now
from .places import rescue_path, slug
from .records import STATUSES, line
from .store import LineStore
from .worklist import Worklist

ORDERS = ("given", "random", "repeated")
REPEATED_SHARE = 0.2
"""In the order "repeated", this part of the cases comes a second time."""


@dataclass(frozen=True)
class Turn:
    """One case's turn in the order. The second reading of a case is a turn of its own."""

    case_id: str
    reading: int = 1


@dataclass(frozen=True)
class Standing:
    """What is known of a turn.

    Attributes:
        status: "to do", "open" (something was done), "done" or "skipped".
        reason: why it was skipped.
        boxes: how many there are.
        study_uid: what images it was; "" before it was opened.
        journal: where its boxes are; None before there are any.
        path: where the images were found, if not where the list says.
    """

    status: str = "to do"
    reason: str = ""
    boxes: int = 0
    study_uid: str = ""
    journal: Path | None = None
    path: Path | None = None


class ReadingLog:
    """The order and the standing of each turn, for one reader and one worklist.

    Attributes:
        turns: in the order of reading.
        order: "given", "random" or "repeated".
        place: index of the turn that is on the screen, or was last.
    """

    def __init__(self, worklist: Worklist, reader: str) -> None:
        """Take up where the reader stopped, or begin at the first case.

        What cannot be read counts as not known: boxes and status are in the journals.
        """
        self.worklist = worklist
        path = place(worklist.folder, f"worklist-{worklist.name}-{slug(reader)}.jsonl")
        self._store = LineStore(path, rescue_path(path))
        self._standings: dict[Turn, Standing] = {}
        self._counted: tuple[tuple[Turn, ...], Counter[str]] | None = None
        self.order, self.place = "given", 0
        self.turns: tuple[Turn, ...] = ()
        self._at: Turn | None = None
        try:
            raw = self._store.read()
        except OSError:
            raw = b""
        lost = self._store.read_rescue()
        self._start = b"\n" if raw and not raw.endswith(b"\n") else b""
        for text in [*raw.splitlines(), *lost]:
            self._replay(text)
        self._store.waiting = lost
        self._complete()

    @property
    def blind(self) -> bool:
        """Whether names are hidden: a case that comes again must not be known by its name."""
        return self.order == "repeated"

    def standing(self, turn: Turn) -> Standing:
        """What is known of a turn."""
        return self._standings.get(turn, Standing())

    def counts(self) -> dict[str, int]:
        """How many turns are "to do", "open", "done", "skipped"."""
        if self._counted is None or self._counted[0] is not self.turns:
            self._counted = (self.turns, Counter(self.standing(turn).status for turn in self.turns))
        return {status: self._counted[1][status] for status in ("to do", "open", "done", "skipped")}

    def arrange(self, order: str, seed: int = 0) -> None:
        """Put the cases in an order: "given"; "random"; or "repeated", random with some cases twice, far apart."""
        if order not in ORDERS:
            raise ValueError(f"“{order}” is not an order; there are {', '.join(ORDERS)}.")
        names = [case.case_id for case in self.worklist.cases]
        turns = [Turn(name) for name in names]
        if order != "given":
            dice = random.Random(seed)
            dice.shuffle(turns)
            if order == "repeated" and turns:
                # Those of the first half: behind them there is room for half the list between the two turns.
                again = dice.sample(
                    turns[: (len(turns) + 1) // 2], max(1, round(REPEATED_SHARE * len(turns)))
                )
                for turn in again:
                    first = turns.index(turn)
                    earliest = min(len(turns), first + 1 + len(names) // 2)
                    turns.insert(dice.randint(earliest, len(turns)), Turn(turn.case_id, 2))
        self.order, self.turns = order, tuple(turns)
        entries = [[turn.case_id, turn.reading] for turn in turns]
        self._write({"do": "order", "kind": order, "seed": seed, "entries": entries})
        self.go(next((i for i, turn in enumerate(turns) if self.standing(turn).status == "to do"), 0))

    def go(self, place: int) -> None:
        """The turn at this place is on the screen."""
        self.place = min(max(place, 0), max(0, len(self.turns) - 1))
        # The list may be another one the next time: the case is what counts, not its number.
        turn = self.turns[self.place] if self.turns else Turn("")
        self._write({"do": "at", "place": self.place, "case_id": turn.case_id, "reading": turn.reading})

    def record(self, turn: Turn, standing: Standing) -> None:
        """Keep what has become of a turn. Nothing is written where nothing is new."""
        if standing == self.standing(turn):
            return
        self._standings[turn], self._counted = standing, None
        self._write(
            {
                "do": "case",
                "case_id": turn.case_id,
                "reading": turn.reading,
                "study_uid": standing.study_uid,
                "journal": None if standing.journal is None else str(standing.journal),
                "status": standing.status,
                "reason": standing.reason,
                "boxes": standing.boxes,
                "path": None if standing.path is None else str(standing.path),
            }
        )

    def _write(self, record: Mapping[str, Any]) -> None:
        start, self._start = self._start, b""
        self._store.append([start + line({**record, "key": new_id(), "at": now()})])

    def _replay(self, text: bytes) -> None:
        try:
            record = json.loads(text)
            kind = record["do"]
            if kind == "order":
                self.order = record["kind"] if record["kind"] in ORDERS else "given"
                self.turns = tuple(Turn(str(name), int(reading)) for name, reading in record["entries"])
            elif kind == "at":
                self.place = int(record["place"])
                self._at = (
                    Turn(str(record["case_id"]), int(record["reading"])) if "case_id" in record else None
                )
            elif kind == "case":
                turn = Turn(str(record["case_id"]), int(record["reading"]))
                journal, path = record.get("journal"), record.get("path")
                status = record["status"]
                self._standings[turn] = Standing(
                    status if status in ("to do", *STATUSES) else "to do",
                    str(record.get("reason") or ""),
                    int(record.get("boxes") or 0),
                    str(record.get("study_uid") or ""),
                    Path(journal) if journal else None,
                    Path(path) if path else None,
                )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return

    def _complete(self) -> None:
        """Leave out cases that are no longer in the list, and take new ones up at its end."""
        names = {case.case_id: None for case in self.worklist.cases}
        turns = [turn for turn in self.turns if turn.case_id in names]
        known = {turn.case_id for turn in turns}
        if self.order == "given":
            turns = [Turn(name) for name in names]
        else:
            turns += [Turn(name) for name in names if name not in known]
        self.turns = tuple(turns)
        if self._at in self.turns:
            self.place = self.turns.index(self._at)
        self.place = min(max(self.place, 0), max(0, len(turns) - 1))


def logged_journals(worklist: Worklist) -> dict[str, tuple[Path, ...]]:
    """Where the journals of a worklist's cases lie, as far as the logs of its readers say, by `case_id`."""
    pattern = f"worklist-{worklist.name}-*.jsonl"
    folders = (worklist.folder / FOLDER, data_folder() / "cases")
    found: dict[str, dict[Path, None]] = {}
    for log in (path for folder in folders for path in sorted(folder.glob(pattern))):
        try:
            lines = log.read_bytes().splitlines()
        except OSError:
            continue
        for text in lines:
            try:
                record = json.loads(text)
                if record["do"] == "case" and record["journal"]:
                    found.setdefault(str(record["case_id"]), {})[Path(record["journal"])] = None
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
    return {name: tuple(path for path in paths if path.exists()) for name, paths in found.items()}
