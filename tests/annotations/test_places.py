"""Where journals lie."""

from pathlib import Path

import pytest

from napari_breast_ai import places as common
from napari_breast_ai.annotations import Journal, data_folder, default_reader, journal_path, places
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
