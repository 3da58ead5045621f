"""Whatever is done in whatever order: reading the file again leads to the same, and so do the ways back and forth."""

import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_breast_ai.annotations import AnnotationError, Journal
from napari_breast_ai.annotations.records import UNDONE
from napari_breast_ai.annotations.store import LineStore
from napari_breast_ai.core import Box, FrameRef

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from kill import ACTIONS, act, box, placing, said

PLACING = placing()

DRAWN = int(os.environ.get("NBAI_SEQUENCES", "900"))
"""Sequences that are drawn; `make kill` draws more."""

Sequences = st.lists(st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(0, 1 << 16)), max_size=8)


class Memory:
    """Files that are only bytes, for speed."""

    def __init__(self) -> None:
        self.files: dict[Path, bytes] = {}

    def install(self, patch: pytest.MonkeyPatch) -> None:
        files = self.files

        def write(store: LineStore, data: bytes, in_order: bool = False) -> None:
            assert len(files.get(store.path, b"")) == store.size
            files[store.path] = files.get(store.path, b"") + data
            store.size += len(data)

        patch.setattr(LineStore, "look", lambda store: files.get(store.path, b""))
        patch.setattr(LineStore, "changed_outside", lambda store: False)
        patch.setattr(LineStore, "_write", write)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    memory = Memory()
    memory.install(monkeypatch)
    return memory


@pytest.fixture
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Real files, in memory where the system has such a folder; waiting for the disk is tested elsewhere."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as name:
        yield Path(name)


def journal_at(path: Path) -> Journal:
    return Journal(path, "anna", study_uid="1.2.3", placing=PLACING)


def check(
    path: Path,
    size: Callable[[], int],
    cut: Callable[[int], None],
    sequence: list[tuple[str, int]],
    where: float,
) -> None:
    """Do a sequence, and read it again in every way.

    Args:
        path: of a journal that is not there yet.
        size: tells the bytes of the file.
        cut: shortens the file to some bytes.
        sequence: kinds and seeds of actions.
        where: 0..1, the place of the cut.
    """
    journal = journal_at(path)
    journal.enter()
    states = [(0, said(journal))]
    for kind, seed in sequence:
        act(journal, random.Random(seed), kind)
        states.append((size(), said(journal)))
    again = journal_at(path)
    assert said(again) == said(journal) and not again.warnings

    undone = 0
    while again.undo():
        undone += 1
    assert not again.boxes and not again.empty_slices and not again.empty_case and not again.rejected
    assert said(journal_at(path)) == said(again)
    for _ in range(undone):
        assert again.redo()
    assert said(again) == said(journal)
    assert said(journal_at(path)) == said(journal)

    if states[-1][0]:
        # A crash in the last lines leaves what was there before them, and only a line feed may be missing of the rest.
        at = round(where * states[-1][0])
        cut(at)
        left = [state for end, state in states if end - 1 <= at][-1]
        torn = journal_at(path)
        assert said(torn) == left
        assert len(torn.warnings) <= 1
        torn.add(Box(1, 0, 0, 1, 1, "NME"))
        after = journal_at(path)
        assert said(after) == said(torn) and not after.warnings


@settings(max_examples=DRAWN, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=Sequences, where=st.floats(0, 1))
def test_sequences_in_memory(memory: Memory, sequence: list[tuple[str, int]], where: float) -> None:
    """Those that hypothesis draws, each also shuffled, and backwards with other boxes."""
    path = Path("case/boxes.jsonl")

    def cut(at: int) -> None:
        memory.files[path] = memory.files[path][:at]

    shuffled = random.Random(where).sample(sequence, len(sequence))
    for one in (sequence, shuffled, [(kind, seed + 1) for kind, seed in reversed(sequence)]):
        memory.files.clear()
        check(path, lambda: len(memory.files.get(path, b"")), cut, one, where)


@settings(max_examples=DRAWN // 3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=Sequences, where=st.floats(0, 1))
def test_sequences_in_files(fast_disk: Path, sequence: list[tuple[str, int]], where: float) -> None:
    path = fast_disk / "boxes.jsonl"
    path.unlink(missing_ok=True)
    check(
        path,
        lambda: path.stat().st_size if path.exists() else 0,
        lambda at: os.truncate(path, at),
        sequence,
        where,
    )


def test_the_sequences_do_all_there_is_to_do(tmp_path: Path) -> None:
    """Every kind of line that `undo` takes back, and each beside, comes from some action."""
    path = tmp_path / "boxes.jsonl"
    journal = journal_at(path)
    journal.enter()
    dice = random.Random(3)
    for _ in range(400):
        act(journal, dice, dice.choice(sorted(ACTIONS)))
    kinds = {json.loads(text).get("do", "header") for text in path.read_bytes().splitlines()}
    assert kinds == {
        *UNDONE, "header", "undo", "redo", "offer", "status", "note", "volume", "open", "close",
    }  # fmt: skip
    assert said(journal_at(path)) == said(journal)


def test_several_changes_of_one_box_are_taken_back_last_one_first(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "boxes.jsonl")
    made = journal.add(Box(1, 0, 0, 1, 1, "NME"))
    journal.relabel([made.id, made.id], "IGM")
    journal.group([made.id, made.id], "a")
    assert journal.undo() and journal.boxes[0].lesion == "" and journal.undo()
    assert journal.boxes == (made,)
    assert journal.redo() and journal.boxes[0].label == "IGM"
    assert journal_at(journal.path).boxes == journal.boxes


# ------------------------------------------------------------------ other versions

VERSION_1 = b"""\
{"schema":"napari-breast-ai/journal","version":1,"study_uid":"1.2.3","reader":"anna","at":"2026-01-02T03:04:05.678Z"}
{"do":"add","box":{"z":3,"y0":9.5,"x0":19.5,"y1":12.5,"x1":30.25,"label":"NME","id":"aaaaaaaaaaaa","author":"anna"},\
"image":{"sop_instance_uid":"1.2.3.4","frame":7},"at":"2026-01-02T03:04:06.000Z"}
{"do":"add","box":{"z":4,"y0":1.0,"x0":2.0,"y1":3.0,"x1":4.0,"label":"IGM","id":"bbbbbbbbbbbb","author":"anna"},\
"at":"2026-01-02T03:04:07.000Z"}
{"do":"move","id":"bbbbbbbbbbbb","z":5,"y0":1.0,"x0":2.0,"y1":3.0,"x1":6.0,"at":"2026-01-02T03:04:08.000Z"}
{"do":"relabel","id":"aaaaaaaaaaaa","label":"other benign","at":"2026-01-02T03:04:09.000Z"}
{"do":"delete","id":"bbbbbbbbbbbb","at":"2026-01-02T03:04:10.000Z"}
{"do":"undo","at":"2026-01-02T03:04:11.000Z"}
{"do":"undo","at":"2026-01-02T03:04:11.000Z"}
{"do":"redo","at":"2026-01-02T03:04:12.000Z"}
"""
"""As version 1 wrote it; two lines are the same to the last byte."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "napari-breast-ai" / "boxes.jsonl"
    path.parent.mkdir()
    path.write_bytes(VERSION_1)
    return path


def test_version_1_opens_and_goes_on_with_a_header_of_version_3(old: Path) -> None:
    journal = Journal(old, "anna")
    assert journal.boxes == (
        Box(3, 9.5, 19.5, 12.5, 30.25, "other benign", "aaaaaaaaaaaa", "anna"),
        Box(5, 1.0, 2.0, 3.0, 6.0, "IGM", "bbbbbbbbbbbb", "anna"),
    )
    assert journal.image("aaaaaaaaaaaa") == FrameRef("1.2.3.4", 7) and journal.image("bbbbbbbbbbbb") is None
    assert journal.study_uid == "1.2.3" and not journal.warnings and not journal.read_only
    assert journal.can_undo and journal.can_redo
    assert old.read_bytes() == VERSION_1, "looking changes nothing"
    assert journal.redo() and [one.id for one in journal.boxes] == ["aaaaaaaaaaaa"]
    assert journal.undo() and journal.undo()
    journal.group([one.id for one in journal.boxes], "a")
    raw = old.read_bytes()
    assert raw.startswith(VERSION_1)
    new = [json.loads(text) for text in raw[len(VERSION_1) :].splitlines()]
    assert (new[0]["schema"], new[0]["version"]) == ("napari-breast-ai/journal", 3)
    assert sum("schema" in one for one in new) == 1
    again = Journal(old, "anna")
    assert said(again) == said(journal) and not again.warnings


def test_version_1_is_told_in_the_volume_on_the_screen(old: Path) -> None:
    journal = journal_at(old)
    assert [(one.z, one.id) for one in journal.boxes] == [(7, "aaaaaaaaaaaa"), (5, "bbbbbbbbbbbb")]


@pytest.mark.parametrize("harm", ["deleted", "shorter"])
def test_version_1_that_lost_lines_gets_them_again(old: Path, harm: str) -> None:
    journal = Journal(old, "anna")
    if harm == "deleted":
        old.unlink()
    else:
        old.write_bytes(b"".join(VERSION_1.splitlines(keepends=True)[:2]))
    before = journal.boxes
    made = journal.add(Box(1, 0, 0, 1, 1, "NME"))
    assert journal.boxes == (*before, made)
    again = Journal(old, "anna")
    assert again.boxes == (*before, made) and not again.warnings


def test_version_4_is_never_written_to(tmp_path: Path) -> None:
    path, rescue = tmp_path / "boxes.jsonl", tmp_path / "rescue" / "boxes.jsonl"
    journal = Journal(path, "anna")
    made = journal.add(box(random.Random(1)))
    journal.offer([box(random.Random(2))], "enhancement")
    rescue.parent.mkdir()
    rescue.write_bytes(b'{"do":"note","text":"kept","key":"k1","at":""}\n')
    newer = path.read_bytes().replace(b'"version":3', b'"version":4')
    path.write_bytes(newer)
    late = Journal(path, "anna", rescue=rescue)
    assert "newer version" in late.read_only and late.boxes[0].id == made.id
    late.enter()
    for action in (
        lambda: late.add(box(random.Random(3))),
        lambda: late.accept(late.offers[0].id),
        lambda: late.say_empty(3),
        lambda: late.mark("done"),
        lambda: late.write_note("x"),
        late.undo,
    ):
        with pytest.raises(AnnotationError, match="newer version"):
            action()
    late.leave()
    assert not late.save()
    assert path.read_bytes() == newer
    assert b"kept" in rescue.read_bytes(), "what was rescued waits for the newer version"


def test_a_journal_that_becomes_newer_under_our_hands(tmp_path: Path) -> None:
    path = tmp_path / "boxes.jsonl"
    journal = Journal(path, "anna")
    journal.add(box(random.Random(1)))
    newer = path.read_bytes() + b'{"schema":"napari-breast-ai/journal","version":4,"key":"k"}\n'
    path.write_bytes(newer)
    with pytest.raises(AnnotationError, match="newer version"):
        journal.add(box(random.Random(2)))
    assert path.read_bytes() == newer and len(journal.boxes) == 1
