"""What cannot be saved is kept, said, and saved later: nothing is lost by a disk that fails."""

import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from napari_breast_ai.annotations import Journal, read_boxes, rescue_path
from napari_breast_ai.core import Box


def box(z: int = 3) -> Box:
    return Box(z, 9.5, 19.5, 12.5, 30.25, "NME")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "case").mkdir()
    return tmp_path / "case" / "napari-breast-ai" / "boxes.jsonl"


@pytest.fixture
def rescue(tmp_path: Path) -> Path:
    return tmp_path / "user" / "rescue" / "boxes.jsonl"


@pytest.fixture
def room() -> Iterator[Callable[[int | None], None]]:
    """Files of this process cannot grow beyond some bytes: what the system says of a full disk, and really so."""
    resource = pytest.importorskip("resource", reason="this system cannot limit the size of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda bytes_: resource.setrlimit(
        resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY if bytes_ is None else bytes_, before[1])
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_keeps_the_action_in_the_rescue_file_and_says_so(
    path: Path, rescue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path, "anna", rescue=rescue)
    kept = journal.add(box())
    told: list[str] = []
    journal.trouble_changed.connect(lambda: told.append(journal.trouble))
    real = os.fsync

    def full(handle: int) -> None:
        if os.fstat(handle).st_ino == path.stat().st_ino:
            raise OSError(28, "No space left on device")
        real(handle)

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        late = journal.add(box(4))
        journal.relabel(late.id, "IGM")
    assert len(told) == 1 and "No space left" in told[0] and str(rescue) in told[0]
    assert [one.label for one in journal.boxes] == ["NME", "IGM"]
    assert read_boxes(path) == (kept,), "no half line stays in the journal"
    rescued = rescue.read_bytes().splitlines(keepends=True)
    assert rescued[0] == path.read_bytes().splitlines(keepends=True)[-1], "what the rest goes on from"
    assert [json.loads(text)["do"] for text in rescued[1:]] == ["add", "relabel"]
    assert journal.save()
    assert told[1:] == [""] and not journal.trouble and not rescue.exists()
    again = Journal(path, "anna", rescue=rescue)
    assert again.boxes == journal.boxes and not again.warnings


def test_a_limit_on_the_file_cuts_a_line_and_loses_none(
    path: Path, rescue: Path, room: Callable[[int | None], None]
) -> None:
    journal = Journal(path, "anna", rescue=rescue)
    journal.add(box())
    # Room for a part of the next line only, in the journal; the rescue file is smaller and fits.
    size = path.stat().st_size
    room(size + 50)
    journal.add(box(4))
    assert "cannot be written" in journal.trouble
    assert path.stat().st_size == size
    room(None)
    journal.add(box(5))
    assert not journal.trouble
    assert Journal(path, "anna").boxes == journal.boxes
    assert len(journal.boxes) == 3


def test_what_was_rescued_comes_back_after_a_crash(
    path: Path, rescue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path, "anna", rescue=rescue)
    journal.add(box())
    with monkeypatch.context() as broken:
        broken.setattr("napari_breast_ai.annotations.store.LineStore._write", _refuse)
        journal.add(box(4))
    del journal
    again = Journal(path, "anna", rescue=rescue)
    assert [one.z for one in again.boxes] == [3, 4]
    assert len(again.warnings) == 1 and "rescue" in again.warnings[0]
    assert not rescue.exists()
    assert not Journal(path, "anna", rescue=rescue).warnings


def test_a_crash_between_saving_and_clearing_doubles_nothing(path: Path, rescue: Path) -> None:
    journal = Journal(path, "anna")
    journal.add(box())
    last = path.read_bytes().splitlines(keepends=True)[-1]
    rescue.parent.mkdir(parents=True)
    rescue.write_bytes(last)
    again = Journal(path, "anna", rescue=rescue)
    assert len(again.boxes) == 1 and not again.warnings
    assert again.can_undo and again.undo() and not again.can_undo


def test_where_nothing_can_be_written_the_work_stays_in_memory(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(path, "anna", rescue=tmp_path / "file" / "rescue.jsonl")
    with monkeypatch.context() as broken:
        broken.setattr("napari_breast_ai.annotations.store.LineStore._write", _refuse)
        journal.add(box())
        assert "in memory only" in journal.trouble
    assert journal.boxes and not path.exists()
    assert journal.save()
    assert Journal(path, "anna").boxes == journal.boxes


def test_a_drive_that_goes_away_is_not_written_anew_and_comes_back(path: Path, rescue: Path) -> None:
    journal = Journal(path, "anna", rescue=rescue)
    journal.add(box())
    case = path.parent.parent
    away = case.with_name("away")
    case.rename(away)
    journal.add(box(4))
    assert "not there any more" in journal.trouble and rescue.exists()
    assert not case.exists(), "a new file at the mount point would hide the old one"
    # The mount point of a drive that is gone is an empty folder.
    case.mkdir()
    journal.add(box(5))
    assert journal.trouble and not any(case.iterdir())
    case.rmdir()
    away.rename(case)
    assert journal.save() and not rescue.exists()
    assert [one.z for one in Journal(path, "anna").boxes] == [3, 4, 5]


@pytest.mark.parametrize("harm", ["deleted", "an older copy"])
def test_a_journal_that_lost_lines_gets_them_again(path: Path, harm: str) -> None:
    journal = Journal(path, "anna")
    journal.add(box())
    older = path.read_bytes()
    journal.add(box(4))
    if harm == "deleted":
        path.unlink()
    else:
        path.write_bytes(older)
    journal.add(box(5))
    assert [one.z for one in journal.boxes] == [3, 4, 5]
    assert "written again" in " ".join(journal.warnings)
    again = Journal(path, "anna")
    assert [one.z for one in again.boxes] == [3, 4, 5] and not again.warnings


@contextmanager
def nobody() -> Iterator[None]:
    """An administrator may write anywhere: be somebody else for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="folders have no such bits here")
def test_a_folder_that_was_closed_to_writing_is_said() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for inside in ("case", "user"):
            (folder / inside).mkdir()
            (folder / inside).chmod(0o777)
        case, rescue = folder / "case", folder / "user" / "rescue" / "boxes.jsonl"
        path = case / "napari-breast-ai" / "boxes.jsonl"
        with nobody():
            journal = Journal(path, "anna", rescue=rescue)
            journal.add(box(1))
            path.chmod(0o444)
            journal.add(box(2))
            assert "Permission denied" in journal.trouble and str(rescue) in journal.trouble
            assert [one.z for one in Journal(path, "anna", rescue=rescue).boxes] == [1, 2]
            path.chmod(0o644)
            assert journal.save()
        assert [one.z for one in Journal(path, "anna").boxes] == [1, 2]


def test_every_journal_has_a_rescue_file_of_its_own(tmp_path: Path) -> None:
    one, other = tmp_path / "a" / "boxes.jsonl", tmp_path / "b" / "boxes.jsonl"
    assert rescue_path(one) != rescue_path(other)
    assert rescue_path(one) == rescue_path(one)


def _refuse(*_: object) -> None:
    raise OSError(30, "Read-only file system")
