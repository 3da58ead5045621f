"""The journal keeps every acknowledged action, whatever happens to the file."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_breast_ai.annotations import AnnotationError, Journal, Placing, read_boxes
from napari_breast_ai.core import Box, FrameRef, Geometry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "case" / "boxes.jsonl"


def box(z: int = 3, label: str = "NME") -> Box:
    return Box(z, 9.5, 19.5, 12.5, 30.25, label)


def placing() -> Placing:
    """Nine slices, each a frame of one stored object."""
    geometry = Geometry.from_dicom((9, 40, 50), (0.8, 0.7), 3.0, (-10, 5, 7), (1, 0, 0, 0, 1, 0))
    return Placing(geometry, "1.9", [[FrameRef("1.2.3.4", z) for z in range(9)]])


def test_every_action_is_on_disk_when_the_call_returns(path: Path) -> None:
    journal = Journal(path, "anna", study_uid="1.2.3", placing=placing())
    assert not path.exists(), "opening a case must not litter its folder"
    first = journal.add(box(7))
    assert first.id and first.author == "anna"
    second = journal.add(box(5))
    journal.move(first.id, Box(7, 0, 1, 2, 3, "ignored"))
    journal.relabel(second.id, "IGM")
    again = Journal(path, "anna")
    assert again.boxes == journal.boxes
    assert again.boxes == (
        Box(7, 0, 1, 2, 3, "NME", first.id, "anna"),
        Box(5, 9.5, 19.5, 12.5, 30.25, "IGM", second.id, "anna"),
    )
    assert again.image(first.id) == FrameRef("1.2.3.4", 7)
    assert again.study_uid == "1.2.3"
    assert not again.warnings
    header, *actions = [json.loads(text) for text in path.read_text().splitlines()]
    assert (header["schema"], header["version"], header["reader"]) == ("napari-breast-ai/journal", 3, "anna")
    assert [action["do"] for action in actions] == ["volume", "add", "add", "move", "relabel"]
    assert actions[1]["image"] == {"sop_instance_uid": "1.2.3.4", "frame": 7}


def test_fsync_comes_before_the_action_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path, "anna")
    seen: list[tuple[int, int]] = []
    real = os.fsync

    def watch(handle: int) -> None:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            seen.append((os.fstat(handle).st_size, len(journal.boxes)))
        real(handle)

    monkeypatch.setattr(os, "fsync", watch)
    journal.add(box())
    assert len(seen) == 1
    assert seen[0][0] == path.stat().st_size and seen[0][1] == 0


def test_undo_and_redo_go_on_after_reopening(path: Path) -> None:
    journal = Journal(path, "anna")
    first = journal.add(box())
    second = journal.add(box(4))
    journal.delete(first.id)
    assert journal.undo() and journal.boxes == (first, second), "the order of adding comes back too"
    journal = Journal(path, "anna")
    assert journal.can_redo
    assert journal.redo() and journal.boxes == (second,)
    assert journal.undo() and journal.undo() and journal.boxes == (first,)
    journal.relabel(first.id, "IGM")
    assert not journal.can_redo, "a new action ends the undone branch"
    assert not journal.redo()
    assert Journal(path, "anna").boxes == journal.boxes


def test_changed_is_told_once_per_action_and_not_for_nothing(path: Path) -> None:
    journal = Journal(path, "anna")
    told: list[int] = []
    journal.changed.connect(lambda: told.append(len(journal.boxes)))
    made = journal.add(box())
    journal.delete(made.id)
    journal.undo()
    assert told == [1, 0, 1]
    assert journal.redo()
    assert told == [1, 0, 1, 0]
    assert not journal.redo()
    with pytest.raises(AnnotationError):
        journal.delete("nobody")
    assert told == [1, 0, 1, 0]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_is_dropped_with_a_warning_and_nothing_else(path: Path, cut: int) -> None:
    journal = Journal(path, "anna")
    kept = journal.add(box())
    journal.add(box(4))
    whole = path.read_bytes()
    path.write_bytes(whole[: -1 - cut])
    torn = Journal(path, "anna")
    assert torn.boxes == (kept,)
    assert len(torn.warnings) == 1 and "cut off" in torn.warnings[0]
    after = torn.add(box(6))
    assert path.read_bytes().startswith(whole[: -1 - cut]), "the file is only ever appended to"
    again = Journal(path, "anna")
    assert again.boxes == (kept, after)
    assert not again.warnings, "what was reported once is not reported for ever"


def test_a_whole_last_line_without_its_line_feed_counts(path: Path) -> None:
    journal = Journal(path, "anna")
    journal.add(box())
    path.write_bytes(path.read_bytes()[:-1])
    again = Journal(path, "anna")
    assert len(again.boxes) == 1 and not again.warnings
    again.add(box(4))
    final = Journal(path, "anna")
    assert len(final.boxes) == 2 and not final.warnings


def test_rubbish_in_the_middle_is_named_and_the_good_part_used(path: Path) -> None:
    journal = Journal(path, "anna")
    first = journal.add(box())
    second = journal.add(box(4))
    lines = path.read_bytes().splitlines(keepends=True)
    rubbish = [
        b"\xff\xfe\x00rubbish\n",
        b"[1, 2]\n",
        b'{"do":"move","id":"nobody","z":1,"y0":0,"x0":0,"y1":1,"x1":1}\n',
        b'{"do":"add","box":{"z":1}}\n',
        b'{"do":"dance"}\n',
        b'{"do":"add","box":{"id":"q","z":1,"y0":NaN,"x0":0,"y1":1,"x1":1,"label":"IGM"}}\n',
    ]
    path.write_bytes(lines[0] + lines[1] + b"".join(rubbish) + lines[2])
    before = path.read_bytes()
    again = Journal(path, "anna")
    assert again.boxes == (first, second)
    assert len(again.warnings) == len(rubbish)
    assert [warning.split(" of ")[0] for warning in again.warnings] == [f"Line {n}" for n in range(3, 9)]
    assert path.read_bytes() == before
    again.delete(first.id)
    assert Journal(path, "anna").boxes == (second,)


def test_a_newer_journal_is_shown_and_not_touched(path: Path) -> None:
    Journal(path, "anna").add(box())
    text = path.read_text().replace('"version":3', '"version":4')
    path.write_text(text)
    newer = Journal(path, "anna")
    assert len(newer.boxes) == 1
    assert "newer version" in newer.read_only
    for action in (lambda: newer.add(box()), lambda: newer.delete(newer.boxes[0].id), newer.undo):
        with pytest.raises(AnnotationError, match="newer version"):
            action()
    assert path.read_text() == text


def test_another_programs_file_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"schema": "something/else"}\nhello\n')
    with pytest.raises(AnnotationError, match="not a journal"):
        Journal(path, "anna")
    assert path.read_text() == '{"schema": "something/else"}\nhello\n'


def test_bad_actions_are_sentences_and_change_nothing(path: Path) -> None:
    journal = Journal(path, "anna")
    made = journal.add(box())
    size = path.stat().st_size
    for action in (
        lambda: journal.add(Box(1, 5, 5, 5, 9, "NME")),
        lambda: journal.add(Box(1, 5, 5, 6, 9, "")),
        lambda: journal.add(made),
        lambda: journal.move("nobody", box()),
        lambda: journal.move(made.id, Box(0, 3, 3, 2, 4, "NME")),
        lambda: journal.relabel(made.id, ""),
        lambda: journal.delete("nobody"),
    ):
        with pytest.raises(AnnotationError):
            action()
    assert journal.boxes == (made,) and path.stat().st_size == size


def test_two_windows_of_one_reader_lose_nothing(path: Path) -> None:
    one, two = Journal(path, "anna"), Journal(path, "anna")
    first = one.add(box())
    second = two.add(box(4))
    third = one.add(box(5))
    assert one.boxes == (first, second, third) == Journal(path, "anna").boxes


def test_what_a_second_window_did_is_told_even_where_the_own_action_fails(path: Path) -> None:
    one, two = Journal(path, "anna"), Journal(path, "anna")
    made = one.add(box())
    two.add(box(4))
    told: list[int] = []
    one.changed.connect(lambda: told.append(len(one.boxes)))
    two.delete(made.id)
    with pytest.raises(AnnotationError, match="not there"):
        one.relabel(made.id, "IGM")
    assert told == [1]


def test_a_share_without_syncing_of_folders_is_no_failure(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def files_only(handle: int) -> None:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(handle)

    monkeypatch.setattr(os, "fsync", files_only)
    made = Journal(path, "anna").add(box())
    assert Journal(path, "anna").boxes == (made,)


def test_read_boxes_takes_journals_and_lists(path: Path, tmp_path: Path) -> None:
    journal = Journal(path, "anna")
    made = journal.add(box())
    header_only = tmp_path / "header.jsonl"
    header_only.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert read_boxes(path) == (made,)
    assert read_boxes(header_only) == ()
    listed = tmp_path / "boxes.json"
    listed.write_text('[{"z": 1, "y0": 0, "x0": 1, "y1": 2, "x1": 3, "label": "IGM"}]')
    assert read_boxes(listed) == (Box(1, 0, 1, 2, 3, "IGM"),)
    listed.write_text('{"boxes": []}')
    assert read_boxes(listed) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("7", "no list"),
        ('[{"z": 1}]', "box 1 is incomplete"),
        ("[3]", "box 1 is incomplete"),
        ('[{"z": 0.5, "y0": 0, "x0": 1, "y1": 2, "x1": 3, "label": "IGM"}]', "whole number"),
        ('[{"z": 1, "y0": 2, "x0": 1, "y1": 2, "x1": 3, "label": "IGM"}]', "no area"),
        ('[{"z": Infinity, "y0": 0, "x0": 1, "y1": 2, "x1": 3, "label": "IGM"}]', "box 1 is incomplete"),
        (f'[{{"z": 1, "y0": 0, "x0": 1, "y1": {10**400}, "x1": 3, "label": "IGM"}}]', "box 1 is incomplete"),
        ("z,y0\n1,2\n", "not a journal"),
    ],
)
def test_read_boxes_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=said):
        read_boxes(path)
    assert path.read_text() == text


def test_read_boxes_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_boxes(tmp_path / "absent.json")


Actions = st.lists(
    st.tuples(
        st.sampled_from(["add", "move", "relabel", "delete", "undo", "redo"]),
        st.integers(0, 5),
        st.integers(0, 9),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(actions=Actions, cut=st.integers(0, 60))
def test_any_actions_replay_to_the_same_state(
    tmp_path_factory: pytest.TempPathFactory, actions, cut: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "boxes.jsonl"
    journal = Journal(path, "anna")
    states = [journal.boxes]
    for kind, which, number in actions:
        boxes = journal.boxes
        target = boxes[which % len(boxes)].id if boxes else None
        size = path.stat().st_size if path.exists() else 0
        if kind == "add":
            journal.add(Box(number, 0, 0, 1 + number, 2, "IGM"))
        elif kind in ("undo", "redo"):
            getattr(journal, kind)()
        elif target is None:
            continue
        elif kind == "move":
            journal.move(target, Box(number, 1, 1, 5, 5 + number, "x"))
        elif kind == "relabel":
            journal.relabel(target, f"class {number}")
        else:
            journal.delete(target)
        if path.exists() and path.stat().st_size > size:
            states.append(journal.boxes)
    again = Journal(path, "anna")
    assert again.boxes == journal.boxes and not again.warnings
    undone = 0
    while again.undo():
        undone += 1
    assert again.boxes == ()
    for _ in range(undone):
        assert again.redo()
    assert again.boxes == journal.boxes
    if len(states) > 1:
        # A crash inside the last line leaves the state before it.
        lines = path.read_bytes().splitlines(keepends=True)[: len(states)]
        last = lines.pop()
        path.write_bytes(b"".join(lines) + last[: max(1, len(last) - 2 - cut)])
        assert Journal(path, "anna").boxes == states[-2]
