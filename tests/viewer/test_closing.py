"""A window does not close over boxes that are on no disk without saying so; what can be saved is saved."""

from pathlib import Path

import pytest

from conftest import make_volume
from napari_breast_ai.annotations import Journal
from napari_breast_ai.annotations.store import LineStore
from napari_breast_ai.core import Box
from napari_breast_ai.viewer.session import Session


def test_boxes_in_memory_only_keep_the_window_open_once(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.show_study(make_volume(), str(tmp_path))
    assert session.journal is not None and session.may_close()
    said: list[str] = []
    session.said.connect(said.append)
    with monkeypatch.context() as broken:

        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        broken.setattr(LineStore, "_write", refuse)
        broken.setenv("NAPARI_BREAST_AI_DATA", str(tmp_path / "closed"))
        (tmp_path / "closed").write_text("a file where a folder should be")
        broken.setattr(session.journal._store, "rescue", tmp_path / "closed" / "rescue.jsonl")
        session.journal.add(Box(3, 5, 5, 10, 10, "NME"))
        assert not session.may_close() and "stays open" in said[-1]
        assert session.may_close(), "the second time it is the person's will"
        session.journal.add(Box(4, 5, 5, 10, 10, "NME"))
        assert not session.may_close(), "something new was done since"
    assert session.may_close()
    assert len(Journal(session.journal.path, "anna").boxes) == 2


def test_boxes_that_were_rescued_do_not(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.show_study(make_volume(), str(tmp_path))
    assert session.journal is not None
    session.journal.add(Box(3, 5, 5, 10, 10, "NME"))
    inside = tmp_path / "napari-breast-ai"
    inside.rename(tmp_path / "away")
    session.journal.add(Box(4, 5, 5, 10, 10, "NME"))
    assert session.keeper.trouble and session.may_close()
