"""Is a box ever lost? A process labels as fast as it can and is killed at a random moment, again and again.

The process reports each action through a pipe after the call has returned. Its parent kills it (SIGKILL), in half of
the cases cuts what had not been reported at a random byte, as a power failure does, and reads the journal: it must
say what was reported last, or that and exactly the one action that was under way. The next process carries on in
the same file.

    python benchmarks/kill.py
    python benchmarks/kill.py --kills 200 --folder /dev/shm     # the short form, without a disk
    python benchmarks/kill.py --kills 20 --break               # reports before it writes: this must fail
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_breast_ai.annotations import AnnotationError, Journal, Placing
from napari_breast_ai.annotations.records import parse
from napari_breast_ai.annotations.store import LineStore
from napari_breast_ai.core import Box, FrameRef, Geometry

SLICES = 12
PER_JOURNAL = 25
"""Processes that carry on in one file before a new one is begun: the first lines of a file must be hit often too."""

LONGEST_S = 0.05
MESSAGE = struct.Struct("<c16s16sQ")
INCIDENTAL = ("volume", "open", "close", "torn")


def placing() -> Placing:
    geometry = Geometry.from_dicom((SLICES, 300, 300), (0.8, 0.7), 3.0, (-10, 5, 7), (1, 0, 0, 0, 1, 0))
    return Placing(geometry, "1.9", [[FrameRef("1.2.3.4", z) for z in range(SLICES)]])


def said(journal: Journal) -> dict[str, Any]:
    """All that a journal says of a case."""
    return {
        name: getattr(journal, name)
        for name in (
            "boxes", "offers", "rejected", "empty_slices", "empty_case", "hidden",
            "status", "reason", "note", "can_undo", "can_redo",
        )
    } | {"anchors": [journal.anchor(box.id) for box in journal.boxes]}  # fmt: skip


def digest(journal: Journal) -> bytes:
    return hashlib.blake2b(repr(said(journal)).encode(), digest_size=16).digest()


def box(dice: random.Random) -> Box:
    y, x = dice.uniform(0, 250), dice.uniform(0, 250)
    label = dice.choice(["IGM", "NME", "normal tissue", "другое " + "long " * dice.randint(0, 40)])
    return Box(
        dice.randrange(SLICES), y, x, y + dice.uniform(0.5, 40), x + dice.uniform(0.5, 40), label.strip()
    )


def some(dice: random.Random, boxes: tuple[Box, ...]) -> list[str]:
    return [one.id for one in dice.sample(boxes, min(len(boxes), dice.randint(1, 3)))]


ACTIONS: dict[str, Callable[[Journal, random.Random], object]] = {
    "add": lambda j, d: j.add(box(d), d.randrange(2)),
    "add_many": lambda j, d: j.add_many([box(d) for _ in range(80 if d.random() < 0.05 else d.randint(1, 3))]),
    "add_empty": lambda j, d: j.add_many([box(d)], empty=[d.choice([None, *range(SLICES)])]),
    "add_between": lambda j, d: j.add_between([box(d), box(d)], some(d, j.boxes), d.choice(["a", "c"])),
    "move": lambda j, d: j.move(some(d, j.boxes)[0], box(d)),
    "relabel": lambda j, d: j.relabel(some(d, j.boxes), box(d).label),
    "group": lambda j, d: j.group(some(d, j.boxes), d.choice(["", "a", "b"])),
    "say_empty": lambda j, d: j.say_empty(d.choice([None, *range(SLICES)]), d.random() < 0.7),
    "offer": lambda j, d: j.offer([box(d) for _ in range(d.randint(0, 5))], d.choice(["model:x", "enhancement"])),
    "accept": lambda j, d: j.accept(some(d, j.offers), d.choice(["", "IGM"])),
    "reject": lambda j, d: j.reject(some(d, j.offers)),
    "delete": lambda j, d: j.delete(some(d, j.boxes)),
    "undo": lambda j, d: j.undo(),
    "redo": lambda j, d: j.redo(),
    "mark": lambda j, d: j.mark(d.choice(["open", "done", "skipped"]), d.choice(["", "moved"])),
    "note": lambda j, d: j.write_note(f"note {d.random()}"),
    "leave": lambda j, d: (j.leave(), j.enter()),
}  # fmt: skip
"""Every way to write."""


def act(journal: Journal, dice: random.Random, kind: str) -> None:
    """Do something of that kind, where there is something to do it to."""
    if (kind in ("add_between", "move", "relabel", "group", "delete") and not journal.boxes) or (
        kind in ("accept", "reject") and not journal.offers
    ):
        kind = "add"
    with contextlib.suppress(AnnotationError):
        ACTIONS[kind](journal, dice)


def label(path: Path, seed: int, tell: Callable[[bytes], object]) -> None:
    """Label for ever, and report."""
    dice = random.Random(seed)
    journal = Journal(path, "anna", study_uid="1.2.3", placing=placing())
    journal.enter()
    kind = b"ready"
    while True:
        size = path.stat().st_size if path.exists() else 0
        if journal.trouble:
            kind = b"trouble"
        tell(MESSAGE.pack(b"A", kind, digest(journal), size))
        name = dice.choice(list(ACTIONS))
        kind = name.encode()
        tell(MESSAGE.pack(b"T", kind, b"", 0))
        act(journal, dice, name)


def too_late(write: Callable[..., None]) -> Callable[..., None]:
    """A broken promise: each line is written when the next one comes."""
    held: list[bytes] = []

    def writing(self: LineStore, data: bytes, in_order: bool = False) -> None:
        if held:
            write(self, held.pop())
        held.append(data)

    return writing


@dataclass
class Figures:
    kills: int = 0
    reported: int = 0
    under_way: int = 0
    arrived: int = 0
    torn: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


@dataclass
class Case:
    """A journal, what it says, and what is in its file."""

    path: Path
    says: bytes
    raw: bytes = b""


def read(path: Path) -> Journal:
    return Journal(path, "anna", placing=placing())


def kill_one(case: Case, seed: int, figures: Figures) -> None:
    """Let one process label in the case's journal, kill it, and look."""
    dice = random.Random(seed)
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(out)
            label(case.path, seed, lambda message: os.write(into, message))
        finally:
            os._exit(1)
    os.close(into)
    messages = []
    if dice.random() < 0.9:
        messages.append(MESSAGE.unpack(os.read(out, MESSAGE.size)))
    time.sleep(dice.uniform(0, LONGEST_S))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with os.fdopen(out, "rb") as pipe:
        messages += MESSAGE.iter_unpack(pipe.read())
    figures.kills += 1
    complain = figures.problems.append
    if not os.WIFSIGNALED(status):
        complain(f"kill {figures.kills}: the process ended by itself")
    reports = [message for message in messages if message[0] == b"A"]
    if reports and reports[0][2] != case.says:
        complain(f"kill {figures.kills}: the next process reads something else")
    figures.reported += max(0, len(reports) - 1)
    figures.kinds.update(kind.rstrip(b"\0").decode() for _, kind, _, _ in reports[1:])
    says, size = (reports[-1][2], reports[-1][3]) if reports else (case.says, len(case.raw))
    under_way = bool(messages) and messages[-1][0] == b"T"
    figures.under_way += under_way

    whole = case.path.read_bytes() if case.path.exists() else b""
    if len(whole) > size and dice.random() < 0.5:
        whole = whole[: dice.randint(size, len(whole))]
        case.path.write_bytes(whole)
    if not whole.startswith(case.raw):
        complain(f"kill {figures.kills}: lines that were there have changed")
    journal = read(case.path)
    figures.torn += any("cut off" in warning for warning in journal.warnings)
    if [warning for warning in journal.warnings if "cut off" not in warning]:
        complain(f"kill {figures.kills}: {journal.warnings}")
    now = digest(journal)
    if now != says:
        more = filter(None, map(parse, whole[size:].split(b"\n")))
        asked = [one for one in more if one.get("do", "torn") not in INCIDENTAL]
        before = case.path.with_name("before.jsonl")
        before.write_bytes(whole[:size])
        if not under_way or len(asked) != 1 or digest(read(before)) != says:
            complain(f"kill {figures.kills}: an action that was reported is lost")
        figures.arrived += 1
    case.says, case.raw = now, whole


def kill(kills: int, seed: int, folder: Path | None = None) -> Figures:
    """Kill so many processes."""
    figures = Figures()
    with tempfile.TemporaryDirectory(dir=folder) as name:
        case = None
        for number in range(kills):
            if number % PER_JOURNAL == 0:
                path = Path(name) / f"case{number}" / "boxes.jsonl"
                path.parent.mkdir()
                case = Case(path, digest(read(path)))
            assert case is not None
            kill_one(case, seed + number, figures)
            if len(figures.problems) > 20:
                break
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="on the disk that is to be tried")
    parser.add_argument("--break", dest="broken", action="store_true", help="break the promise on purpose")
    arguments = parser.parse_args()
    if not hasattr(os, "fork"):
        print("This system cannot fork: nothing was tried.")
        return 2
    if arguments.broken:
        LineStore._write = too_late(LineStore._write)  # type: ignore[method-assign]
    start = time.monotonic()
    figures = kill(arguments.kills, arguments.seed, arguments.folder)
    print("\n".join(figures.problems))
    kinds = ", ".join(f"{name} {count:,}" for name, count in sorted(figures.kinds.items()))
    print(f"Reported: {kinds}")
    print(
        f"`make kill`: {figures.kills:,} processes killed while they labelled; {figures.reported:,} actions reported, "
        f"{len(figures.problems)} problems; {figures.under_way:,} kills hit an action under way, of which "
        f"{figures.arrived:,} had arrived; {figures.torn:,} last lines were torn; {time.monotonic() - start:.0f} s."
    )
    return 1 if figures.problems else 0


if __name__ == "__main__":
    sys.exit(main())
