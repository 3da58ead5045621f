"""Harm from outside: folders that vanish, files that are replaced, names that are odd."""

import errno
import json
import os
from pathlib import Path

import pytest

from napari_breast_ai.annotations import AnnotationError, Journal, journal_path, read_boxes, rescue_path
from napari_breast_ai.annotations import store as stores
from napari_breast_ai.annotations.records import line
from napari_breast_ai.annotations.store import LineStore
from napari_breast_ai.core import Box, Identity

STUDY = Identity("1.2.840.1")


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_BREAST_AI_DATA", str(tmp_path / "data"))


@pytest.fixture
def case(tmp_path: Path) -> Path:
    folder = tmp_path / "drive" / "case"
    folder.mkdir(parents=True)
    return folder


def box(z: int = 3) -> Box:
    return Box(z, 9.5, 19.5, 12.5, 30.25, "NME")


def opened(case: Path, reader: str = "anna") -> Journal:
    """As the window opens it."""
    path = journal_path(case, STUDY, reader)
    return Journal(path, reader, study_uid=STUDY.study_uid, rescue=rescue_path(path))


def slices(journal: Journal) -> list[int]:
    return [one.z for one in journal.boxes]


def test_a_drive_that_goes_before_the_first_action_is_not_made_anew(case: Path) -> None:
    journal = opened(case)
    case.rename(case.with_name("away"))
    case.parent.joinpath("away").rename(case.parent.with_name("elsewhere"))
    case.parent.rmdir()
    journal.add(box(1))
    assert "not there any more" in journal.trouble
    assert not case.parent.exists(), "a folder at the mount point would hide the drive"
    case.parent.mkdir()
    case.parent.with_name("elsewhere").rename(case)
    journal.add(box(2))
    assert not journal.trouble and slices(opened(case)) == [1, 2]


@pytest.mark.parametrize("before", [0, 2])
def test_a_folder_that_was_renamed_while_it_was_open_finds_what_was_rescued(case: Path, before: int) -> None:
    """Its rescue file is named after the old place: nobody would look there again."""
    journal = opened(case)
    for number in range(before):
        journal.add(box(number))
    renamed = case.with_name("case, renamed")
    case.rename(renamed)
    late = journal.add(box(8))
    journal.relabel(late.id, "IGM")
    journal.undo()
    assert journal.trouble
    del journal
    again = opened(renamed)
    assert slices(again) == [*range(before), 8] and again.boxes[-1].label == "NME"
    assert "rescue file" in " ".join(again.warnings) and again.can_redo
    assert slices(opened(renamed)) == [*range(before), 8] and not opened(renamed).warnings
    # Where the old place comes back with an older copy, it has them too, and nothing is doubled.
    renamed.rename(case)
    assert slices(opened(case)) == [*range(before), 8] and not opened(case).warnings


def test_another_copy_of_the_study_does_not_get_what_was_rescued(case: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    other = opened(copy)
    other.add(box(5))
    journal = opened(case)
    journal.add(box(1))
    away = case.rename(case.with_name("away"))
    journal.undo()
    journal.add(box(7))
    del journal
    assert slices(opened(copy)) == [5], "neither what was taken back nor what was drawn there belongs here"
    away.rename(case)
    assert slices(opened(case)) == [7]


@pytest.mark.parametrize("content", [b"hello\n", b'{"schema":"other"}\n', b"\x00\x01" * 4000])
def test_a_file_in_the_journals_place_is_left_alone_and_loses_nothing(case: Path, content: bytes) -> None:
    journal = opened(case)
    journal.add(box(1))
    good = journal.path.read_bytes()
    journal.path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(AnnotationError, match=r"not a journal.*kept in"):
            journal.add(box(2))
    assert slices(journal) == [1] and not journal.save()
    assert journal.path.read_bytes() == content
    journal.path.unlink()
    # Even where the program ends before the file is moved away.
    assert slices(opened(case)) == [1]
    journal.add(box(3))
    assert slices(journal) == [1, 3] == slices(opened(case)) and not journal.trouble
    assert journal.path.read_bytes().startswith(good)


def test_a_file_of_the_same_length_made_of_zeros_is_written_anew(case: Path) -> None:
    """As some file systems leave it after a power failure."""
    journal = opened(case)
    journal.add(box(1))
    journal.path.write_bytes(bytes(journal.path.stat().st_size + 1))
    journal.add(box(2))
    assert slices(journal) == [1, 2] == slices(opened(case))


@pytest.mark.parametrize("length", [1, 5, 30, 60, 150])
def test_a_header_that_was_cut_off_closes_nothing(case: Path, length: int) -> None:
    journal = opened(case)
    journal.add(box(1))
    journal.path.write_bytes(journal.path.read_bytes()[:length])
    again = opened(case)
    assert slices(again) == [] and "cut off" in again.warnings[0]
    again.add(box(2))
    assert slices(opened(case)) == [2] and not opened(case).warnings
    assert json.loads(again.path.read_bytes().splitlines()[2])["version"] == 3


def test_a_read_only_medium_keeps_boxes_in_the_users_folder(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def read_only(path: "os.PathLike[str]", flags: int, *more: int, **named: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(str(case)):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return real(path, flags, *more, **named)

    journal = opened(case)
    journal.add(box(1))
    with monkeypatch.context() as medium:
        medium.setattr(os, "open", read_only)
        medium.setattr("napari_breast_ai.places.writable", lambda folder: False)
        # A journal that came with the medium is read, and what is added to it is rescued.
        with_it = opened(case)
        with_it.add(box(2))
        assert slices(with_it) == [1, 2] and "Read-only" in with_it.trouble
        assert slices(opened(case)) == [1, 2], "after closing and opening it again too"
        # One that is new lies in the user's folder from the beginning.
        fresh = opened(case, "bert")
        fresh.add(box(3))
        assert not fresh.trouble and fresh.path.is_relative_to(tmp_path / "data")
        assert slices(opened(case, "bert")) == [3]
    assert with_it.save() and slices(Journal(journal.path, "anna")) == [1, 2]
    assert slices(opened(case, "bert")) == [3]


def test_another_windows_boxes_are_told_when_saving_works_again(
    case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = opened(case), Journal(journal_path(case, STUDY, "anna"), "anna")
    one.add(box(1))
    told: list[str] = []
    one.changed.connect(lambda: told.append(f"changed {slices(one)}"))
    one.trouble_changed.connect(lambda: told.append("trouble" if one.trouble else "saved"))
    with monkeypatch.context() as broken:
        broken.setattr(LineStore, "_write", _refuse)
        one.add(box(2))
    two.add(box(3))
    assert told == ["changed [1, 2]", "trouble"]
    assert one.save() and told[2:] == ["changed [1, 3, 2]", "saved"]
    with monkeypatch.context() as broken:
        broken.setattr(LineStore, "_write", _refuse)
        one.add(box(4))
    two.add(box(5))
    one.add(box(6))
    assert told[4:] == ["changed [1, 3, 2, 4]", "trouble", "changed [1, 3, 2, 5, 4, 6]", "saved"]
    assert slices(two) == [1, 3, 2, 5] and slices(Journal(one.path, "anna")) == slices(one)


def test_lost_lines_are_kept_where_the_disk_refuses_them(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened(case)
    journal.add(box(1))
    older = journal.path.read_bytes()
    journal.add(box(2))
    journal.path.write_bytes(older)
    with monkeypatch.context() as broken:
        broken.setattr(LineStore, "_write", _refuse)
        journal.add(box(3))
    del journal
    assert slices(opened(case)) == [1, 2, 3]


def test_a_half_written_rescue_file_is_no_action(case: Path) -> None:
    journal = opened(case)
    journal.add(box(1))
    rescue = rescue_path(journal.path)
    rescue.parent.mkdir(parents=True, exist_ok=True)
    whole = line({"do": "note", "text": "kept", "key": "k1", "at": ""})
    rescue.write_bytes(whole + b'{"do":"add","box":{"z":1,"y0"')
    again = opened(case)
    assert again.note == "kept" and again.warnings == (
        "An action on this case could not be saved at once and was kept in a rescue file. The case is whole again.",
    )
    assert again.path.read_bytes().endswith(whole) and not rescue.exists()


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "другое", "\u2028\x85\r\n\t\0", "half \ud83d letter", '"\\', "e\u0301", "🙂"]
)
def test_any_text_comes_back(case: Path, text: str) -> None:
    journal = opened(case, "Dr. 李 \udcff")
    made = journal.add(Box(1, 0, 0, 1, 1, text))
    journal.group([made.id], text)
    journal.write_note(text)
    journal.mark("skipped", text)
    again = opened(case, "Dr. 李 \udcff")
    assert again.boxes == journal.boxes and (again.boxes[0].label, again.boxes[0].lesion) == (text, text)
    assert (again.note, again.reason, again.boxes[0].author) == (text, text, "Dr. 李 \udcff")
    assert not again.warnings
    again.path.read_text(encoding="utf-8")
    assert read_boxes(again.path) == again.boxes


def test_5000_boxes(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores.os, "fsync", lambda handle: None)
    journal = opened(case)
    for number in range(5000):
        journal.add(Box(number % 120, 0, 0, 1 + number, 2, "NME"))
    again = opened(case)
    assert again.boxes == journal.boxes and len(again.boxes) == 5000
    journal.relabel([one.id for one in journal.boxes], "IGM")
    assert journal.undo() and journal.redo()
    assert {one.label for one in opened(case).boxes} == {"IGM"}


def _refuse(*_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")
