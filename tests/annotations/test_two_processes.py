"""Two readers in one folder, and one reader twice on one case, at the same moment."""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from napari_breast_ai.annotations import AnnotationError, Journal, journal_path, locks
from napari_breast_ai.annotations.locks import locked
from napari_breast_ai.annotations.store import LineStore
from napari_breast_ai.core import Box, Identity

LABEL = """
import random, sys, time
from pathlib import Path
from napari_breast_ai.annotations import AnnotationError, Journal
from napari_breast_ai.annotations.store import LineStore
from napari_breast_ai.core import Box

# The gap between the look at the file and the line that follows from it is made wide: what can get in gets in.
write = LineStore._write
LineStore._write = lambda *more: (time.sleep(0.002), write(*more))
path, reader, count, z = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
rescue = path.with_name("rescue") / path.name
print("ready", flush=True)
sys.stdin.readline()
dice = random.Random(z)
journal = Journal(path, reader, rescue=rescue)
for number in range(count):
    time.sleep(dice.uniform(0, 0.005))
    made = journal.add(Box(z, 0, 0, number + 1, 2, "NME"))
    print("add", made.id, flush=True)
    if dice.random() < 0.2:
        journal.relabel(made.id, "IGM")
        print("IGM", made.id, flush=True)
    if dice.random() < 0.2:
        # The last thing done here may not be the last one of the case any more: then nothing must be taken back.
        try:
            journal.undo()
            print("undo", flush=True)
        except AnnotationError:
            pass
    assert not journal.trouble, journal.trouble
"""
"""Labels and tells what it did after each call; begins when a line comes in, so that both begin together."""

COUNT = 60


def both(*arguments: tuple[Path, str, int]) -> list[list[list[str]]]:
    """What each process told, as lists of words."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", LABEL, str(path), reader, str(COUNT), str(z)],
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for path, reader, z in arguments
    ]
    for one in running:
        assert one.stdout is not None and one.stdin is not None
        assert one.stdout.readline() == "ready\n"
    for one in running:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    told = []
    for one in running:
        out, errors = one.communicate(timeout=120)
        assert one.returncode == 0, errors
        told.append([text.split() for text in out.splitlines()])
    return told


def test_two_readers_in_one_folder_do_not_touch_each_other(tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    paths = [journal_path(tmp_path / "case", Identity("1.2.3"), reader) for reader in ("anna", "bert")]
    assert paths[0].parent == paths[1].parent and paths[0] != paths[1]
    for path, told, reader in zip(
        paths, both((paths[0], "anna", 1), (paths[1], "bert", 2)), ("anna", "bert"), strict=True
    ):
        journal = Journal(path, reader)
        # Alone on its file, every undo took back the step before it.
        expected: dict[str, str] = {}
        past: list[list[str]] = []
        for words in told:
            if words[0] == "undo":
                kind, box_id = past.pop()
                if kind == "add":
                    del expected[box_id]
                else:
                    expected[box_id] = "NME"
                continue
            past.append(words)
            expected[words[1]] = "NME" if words[0] == "add" else words[0]
        assert {box.id: box.label for box in journal.boxes} == expected
        assert {box.author for box in journal.boxes} == {reader}
        assert not journal.warnings


def test_one_reader_twice_on_one_case_at_once_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "case" / "boxes.jsonl"
    told = both((path, "anna", 1), (path, "anna", 2))
    journal = Journal(path, "anna")
    assert not journal.warnings, "every line in the file was right where it was written"
    lines = [json.loads(text) for text in path.read_bytes().splitlines()]
    headers = sum("schema" in one for one in lines)
    assert headers == 1, "the second process saw the header of the first"
    kinds = [one["do"] for one in lines if "do" in one]
    reported = [words[0] for one in told for words in one]
    assert kinds.count("add") == 2 * COUNT == reported.count("add")
    assert kinds.count("relabel") == reported.count("IGM")
    assert kinds.count("undo") == reported.count("undo") > 0
    # They did work at once, not one after the other.
    order = [one["box"]["z"] for one in lines if one.get("do") == "add"]
    assert sum(a != b for a, b in itertools.pairwise(order)) > 10
    undone = {
        step["id"] if step["do"] == "relabel" else step["box"]["id"]
        for step in lines
        if step.get("key") in {one["of"] for one in lines if one.get("do") == "undo"}
    }
    for one in told:
        for words in one:
            if words[0] == "add" and words[1] not in undone:
                assert journal.box(words[1])
            if words[0] == "IGM" and words[1] not in undone:
                assert journal.box(words[1]).label == "IGM"


def test_what_another_window_did_since_is_not_taken_back_unseen(tmp_path: Path) -> None:
    path = tmp_path / "boxes.jsonl"
    one, two = Journal(path, "anna"), Journal(path, "anna")
    mine = one.add(Box(1, 0, 0, 1, 1, "NME"))
    theirs = two.add(Box(2, 0, 0, 1, 1, "NME"))
    told: list[int] = []
    one.changed.connect(lambda: told.append(len(one.boxes)))
    with pytest.raises(AnnotationError, match="something else was done"):
        one.undo()
    assert told == [2], "now it is seen"
    assert one.boxes == (mine, theirs)
    assert one.undo() and one.boxes == (mine,) == Journal(path, "anna").boxes


def test_a_failed_write_takes_back_its_own_bytes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a drive without locks another window writes between our write and the failure."""
    path = tmp_path / "boxes.jsonl"
    monkeypatch.setattr(locks, "_lock", _no_locks)
    one, two = Journal(path, "anna", rescue=tmp_path / "rescue"), Journal(path, "anna")
    one.add(Box(1, 0, 0, 1, 1, "NME"))
    real = os.fsync
    made = []

    def broken(handle: int) -> None:
        monkeypatch.setattr(os, "fsync", real)
        made.append(two.add(Box(2, 0, 0, 1, 1, "NME")))
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    one.add(Box(3, 0, 0, 1, 1, "NME"))
    assert one.trouble and one.save()
    assert sorted(box.z for box in Journal(path, "anna").boxes) == [1, 2, 3]
    assert Journal(path, "anna").box(made[0].id) == made[0]


def test_a_program_that_was_stopped_in_its_turn_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rescue = tmp_path / "boxes.jsonl", tmp_path / "rescue" / "boxes.jsonl"
    journal = Journal(path, "anna", rescue=rescue)
    journal.add(Box(1, 0, 0, 1, 1, "NME"))
    monkeypatch.setattr(locks, "PATIENCE_S", 0.05)
    with locked(path) as state:
        assert state == "held"
        journal.add(Box(2, 0, 0, 1, 1, "NME"))
        assert "does not let go" in journal.trouble and rescue.exists()
        assert len(journal.boxes) == 2 and len(Journal(path, "anna").boxes) == 1
    assert journal.save() and not rescue.exists()
    assert Journal(path, "anna").boxes == journal.boxes


def test_a_turn_waits_for_the_other_one(tmp_path: Path) -> None:
    path = tmp_path / "boxes.jsonl"
    journal = Journal(path, "anna")
    journal.add(Box(1, 0, 0, 1, 1, "NME"))
    adding = threading.Thread(target=lambda: journal.add(Box(2, 0, 0, 1, 1, "NME")))
    with locked(path) as state:
        assert state == "held"
        adding.start()
        time.sleep(0.1)
        size = path.stat().st_size
        waited = len(Journal(path, "anna").boxes) == 1
    adding.join(10)
    assert waited and path.stat().st_size > size
    assert len(Journal(path, "anna").boxes) == 2 and not journal.trouble


def test_a_drive_without_locks_and_a_faster_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "boxes.jsonl"
    monkeypatch.setattr(locks, "_lock", _no_locks)
    one, two = Journal(path, "anna"), Journal(path, "anna")
    real = LineStore._write
    faster = []

    def late(self: LineStore, data: bytes, in_order: bool = False) -> None:
        if not faster:
            faster.append(None)
            two.add(Box(1, 0, 0, 1, 1, "NME"))
        real(self, data, in_order)

    monkeypatch.setattr(LineStore, "_write", late)
    one.add(Box(2, 0, 0, 1, 1, "NME"))
    again = Journal(path, "anna")
    assert [box.z for box in again.boxes] == [1, 2] == [box.z for box in one.boxes]
    assert path.read_text().count('"schema"') == 1 and not again.warnings


def test_two_windows_share_a_rescue_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, rescue = tmp_path / "boxes.jsonl", tmp_path / "rescue" / "boxes.jsonl"
    one, two = (Journal(path, "anna", rescue=rescue) for _ in range(2))
    one.add(Box(1, 0, 0, 1, 1, "NME"))
    with monkeypatch.context() as broken:
        broken.setattr(LineStore, "_write", _refuse)
        one.add(Box(2, 0, 0, 1, 1, "NME"))
        two.add(Box(3, 0, 0, 1, 1, "NME"))
        one.add(Box(4, 0, 0, 1, 1, "NME"))
    # The second window saves its own, and the first one crashes before it can.
    assert two.save()
    del one
    again = Journal(path, "anna", rescue=rescue)
    assert sorted(box.z for box in again.boxes) == [1, 2, 3, 4]
    assert not rescue.exists()
    assert Journal(path, "anna").boxes == again.boxes


def _no_locks(handle: int) -> None:
    raise OSError(37, "No locks available")


def _refuse(*_: object) -> None:
    raise OSError(30, "Read-only file system")
