"""Where journals lie."""

import json
from pathlib import Path

import pytest

from napari_breast_ai import places as common
from napari_breast_ai.annotations import Journal, data_folder, default_reader, journal_path, places, remember
from napari_breast_ai.core import Box, Identity

STUDY = Identity("1.2.840.1")


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_BREAST_AI_DATA", str(tmp_path / "data"))


def test_beside_the_case_one_file_per_study_and_reader(tmp_path: Path) -> None:
    case = tmp_path / "case"
    case.mkdir()
    path = journal_path(case, STUDY, "anna")
    assert path.parent == case / "napari-breast-ai"
    others = {
        journal_path(case, STUDY, "bert"),
        journal_path(case, Identity("1.2.840.2"), "anna"),
        journal_path(case, STUDY, "Anna"),
        journal_path(case, STUDY, "an/na"),
        journal_path(case, STUDY, "../../anna"),
        journal_path(case, STUDY, "李"),
    }
    assert len(others) == 6 and path not in others
    assert all(other.parent == path.parent for other in others)
    assert list(case.iterdir()) == [], "asking for the place makes nothing"


def test_user_data_folder_where_the_case_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = tmp_path / "case"
    case.mkdir()
    beside = journal_path(case, STUDY, "anna")
    with monkeypatch.context() as locked:
        locked.setattr(common, "writable", lambda folder: False)
        path = journal_path(case, STUDY, "anna")
        assert path == data_folder() / "cases" / beside.name
        Journal(path, "anna").add(Box(0, 0, 0, 1, 1, "IGM"))
    assert journal_path(case, STUDY, "anna") == path, "boxes already made are found again"
    assert journal_path(case, STUDY, "bert").parent == beside.parent


def test_a_study_without_a_folder(tmp_path: Path) -> None:
    assert journal_path(None, STUDY, "anna").parent == tmp_path / "data" / "cases"
    assert not common.writable(tmp_path / "absent" / "deeper" / "x")


def test_default_reader_is_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_reader()
    monkeypatch.setattr(places.getpass, "getuser", lambda: (_ for _ in ()).throw(OSError("no such user")))
    assert default_reader() == "reader"


def test_data_folder_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAPARI_BREAST_AI_DATA")
    assert data_folder().name == "napari-breast-ai"


def test_a_case_that_has_moved_finds_its_journal(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    path = journal_path(old, STUDY, "anna")
    made = Journal(path, "anna").add(Box(0, 0, 0, 1, 1, "IGM"))
    assert journal_path(new, STUDY, "anna") == new / "napari-breast-ai" / path.name, "nothing was remembered"
    remember(path)
    remember(path)
    assert (data_folder() / "journals.jsonl").read_text().count("\n") == 1
    # Only the images went to another folder.
    assert journal_path(new, STUDY, "anna") == path
    assert Journal(journal_path(new, STUDY, "anna"), "anna").boxes == (made,)
    assert journal_path(new, STUDY, "bert") != path != journal_path(new, STUDY, "anna", 2)
    assert journal_path(None, STUDY, "anna") == path
    # The journal went with them: it is beside them, and what is remembered does not matter.
    (new / "napari-breast-ai").mkdir()
    path.rename(new / "napari-breast-ai" / path.name)
    assert journal_path(new, STUDY, "anna") == new / "napari-breast-ai" / path.name
    # Neither is there any more.
    (new / "napari-breast-ai" / path.name).unlink()
    assert journal_path(new, STUDY, "anna") == new / "napari-breast-ai" / path.name


def test_the_last_place_is_the_first_to_be_looked_at(tmp_path: Path) -> None:
    paths = []
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        paths.append(tmp_path / name / "napari-breast-ai" / journal_path(None, STUDY, "anna").name)
        Journal(paths[-1], "anna").add(Box(0, 0, 0, 1, 1, "IGM"))
        remember(paths[-1])
    (tmp_path / "new").mkdir()
    assert journal_path(tmp_path / "new", STUDY, "anna") == paths[2]
    paths[2].unlink()
    assert journal_path(tmp_path / "new", STUDY, "anna") == paths[1]


@pytest.mark.parametrize(
    "name", ["plain", "李 müller", "line\u2028feed\x85here", "half\udcffletter", 'quote"']
)
def test_any_folders_name_is_remembered(tmp_path: Path, name: str) -> None:
    try:
        (tmp_path / name).mkdir()
    except (OSError, ValueError):
        pytest.skip("this system knows no such name")
    (tmp_path / "new").mkdir()
    path = journal_path(tmp_path / name, STUDY, "anna")
    Journal(path, "anna").add(Box(0, 0, 0, 1, 1, "IGM"))
    remember(path)
    remember(path)
    assert journal_path(tmp_path / "new", STUDY, "anna") == path
    assert len((data_folder() / "journals.jsonl").read_bytes().splitlines()) == 1


def test_a_damaged_list_of_places_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    path = tmp_path / "old" / journal_path(None, STUDY, "anna").name
    Journal(path, "anna").add(Box(0, 0, 0, 1, 1, "IGM"))
    remember(path)
    listed = data_folder() / "journals.jsonl"
    good = listed.read_bytes()
    too_long = json.dumps({"name": path.name, "path": "/" + "x" * 5000}).encode()
    rubbish = (
        b'\xff\x00\n[]\n{"name":3}\n{"name":"' + path.name.encode() + b'"}\n{"name":"' + path.name.encode()
    )
    listed.write_bytes(good + too_long + b"\n" + rubbish + b'","path":7}\n{"na')
    assert journal_path(tmp_path / "new", STUDY, "anna") == path


def test_where_nothing_can_be_kept_nothing_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NAPARI_BREAST_AI_DATA", str(tmp_path / "file" / "data"))
    (tmp_path / "case").mkdir()
    path = journal_path(tmp_path / "case", STUDY, "anna")
    remember(path)
    assert journal_path(tmp_path / "case", STUDY, "anna") == path


@pytest.mark.parametrize(
    "reader", ["李", "Dr. Ärztin", "a" * 300, "..", "half\udcff", "a/b\\c:d*?", "\u202eanna", ""]
)
def test_readers_of_any_name(tmp_path: Path, reader: str) -> None:
    path = journal_path(tmp_path, STUDY, reader)
    assert len(path.name) < 120 and path.name.isascii()
    made = Journal(path, reader).add(Box(0, 0, 0, 1, 1, "IGM"))
    assert made.author == reader
    again = Journal(path, reader)
    assert again.boxes == (made,) and not again.warnings
    path.read_text(encoding="utf-8")
    assert journal_path(tmp_path, STUDY, reader + " ") != path


def test_a_second_reading_is_nobody_else_s_first(tmp_path: Path) -> None:
    names = {journal_path(tmp_path, STUDY, "resident", reading) for reading in (1, 2, 3)}
    others = {journal_path(tmp_path, STUDY, f"resident-{number}") for number in (2, 3)}
    assert len(names | others) == 5
