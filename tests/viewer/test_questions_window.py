"""The range warning, the questions and the similar cases in a real window, driven by a hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand import Window
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel, QLineEdit

from conftest import make_volume
from napari_breast_ai.core import Box
from napari_breast_ai.inference.questions.table import QUESTIONS
from napari_breast_ai.inference.similar import Entry, content_of, write_index
from napari_breast_ai.models import load_bundle
from napari_breast_ai.viewer import questions as asking
from napari_breast_ai.viewer import tasks
from napari_breast_ai.viewer.similar import INDEX
from napari_breast_ai.viewer.widgets import similar_panel

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]


@pytest.fixture
def window(open_window: Callable[..., Window]) -> Window:
    made = open_window()
    made.session.set_bundle(load_bundle("demo-attention-squeezenet"))
    return made


def texts(panel: Any) -> str:
    return "\n".join(label.text() for label in panel.findChildren(QLabel) if label.isVisible())


def test_a_study_out_of_range_is_said_above_the_probabilities(window: Window) -> None:
    session, panel = window.session, window.dock.range
    assert not panel.isVisible()
    volume = make_volume(6, 64, 64)
    session.show_study(replace(volume, data=np.ascontiguousarray(volume.data[::-1])))
    window.wait(lambda: session.range.report is not None)
    assert session.range.outside and panel.isVisible()
    assert "Do not take its probabilities as certain" in texts(panel)
    assert "may be in the wrong order" in texts(panel) and "wide; in the training" in texts(panel)
    assert panel.y() < window.dock.result.y()
    before = session.range.report
    tasks.run_model(session, stay=True)
    window.wait(lambda: session.range.report is not before)
    assert session.range.report.features
    assert "Not certain: the study is unlike" in session.readout.text, "beside the numbers in the picture too"
    picture = window.dock.result.strip.grab().toImage()
    session.range.report = replace(session.range.report, findings=())
    session.range.changed.emit()
    assert "Not certain" not in session.readout.text
    assert picture != window.dock.result.strip.grab().toImage(), "the strip's bars were hatched as well"
    # A model that does not tell its ranges knows the order of phases only.
    session.set_bundle(replace(session.bundle, ranges=None))
    window.wait(lambda: session.range.report is not None and not session.range.report.known)
    assert "does not tell what it was trained on" in texts(panel)
    session.close_study()
    assert session.range.report is None and not panel.isVisible()


def test_questions_are_asked_by_a_click_and_answered_in_red_where_they_fail(window: Window) -> None:
    session, panel = window.session, window.dock.questions
    session.show_study(make_volume(6, 64, 64))
    session.go_to(3)
    window.settle(100)
    said: list[str] = []
    session.said.connect(said.append)
    QTest.mouseClick(panel.lesion_button, Qt.MouseButton.LeftButton)
    assert "No slice has a lesion's box" in said[-1]
    session.journal.add(Box(3, 26, 14, 38, 28, "IGM"))
    session.boxes_changed.emit()
    QTest.mouseClick(panel.lesion_button, Qt.MouseButton.LeftButton)
    assert not panel.slice_button.isEnabled()
    window.wait(lambda: bool(session.questions.answers))
    assert "slice 3" in panel.asked.text() and panel.grid.rowCount() == len(QUESTIONS)
    names = [panel.grid.itemAtPosition(line, 1).widget().text() for line in range(len(QUESTIONS))]
    for line, (answer, name) in enumerate(zip(session.questions.answers, names, strict=True)):
        assert name.startswith(answer.question.name)
        value = panel.grid.itemAtPosition(line, 2).widget()
        assert ("fails" in value.text()) == answer.fails and answer.said in value.text()
        assert answer.question.meaning in value.toolTip()
    # The curves of the two that are areas, drawn; what they mean is told where the pointer rests.
    told = {one.key: one for one in session.questions.answers}
    drawn = [told[key] for key in ("deletion", "insertion") if told[key].value is not None]
    assert panel.removal.isVisible() and drawn
    for one in drawn:
        assert f"area {one.value:.2f}" in panel.removal.accessibleDescription()
    assert "random order" in panel.removal.toolTip() and panel.removal.width() <= panel.width()
    session.journal.add(Box(3, 2, 2, 9, 9, "IGM"))
    session.boxes_changed.emit()
    assert "The boxes have changed since" in panel.asked.text()
    # Another map; stopped, it leaves the answers as they are.
    panel.which.setCurrentIndex(1)
    before = session.questions.answers
    QTest.mouseClick(panel.slice_button, Qt.MouseButton.LeftButton)
    session.workers.cancel(asking.QUESTIONS)
    window.wait(lambda: not session.workers.running(asking.QUESTIONS))
    assert session.questions.answers is before
    session.show_study(make_volume(4, 64, 64, uid="9.9"))
    assert session.questions.answers == () and "Is the map about this lesion?" in panel.asked.text()


def answer_dialog(said: list[str], typed: str) -> None:
    """Type into the dialog that comes up, and accept it, by keys."""

    looked = 0

    def answer() -> None:
        nonlocal looked
        looked += 1
        dialog = QApplication.activeModalWidget()
        if dialog is None:
            assert looked < 200, "no dialog came"
            QTimer.singleShot(50, answer)
            return
        said.append("\n".join(label.text() for label in dialog.findChildren(QLabel)))
        (line,) = dialog.findChildren(QLineEdit)
        QTest.keyClicks(line, typed)
        QTest.keyClick(line, Qt.Key.Key_Return)

    QTimer.singleShot(50, answer)


def test_similar_cases_are_shown_and_opened(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dicom_of: Callable[..., Any]
) -> None:
    session, panel = window.session, window.dock.similar
    volume = make_volume(6, 64, 64)
    session.show_study(volume)
    png = (Path(__file__).parents[2] / "docs" / "images" / "review.png").read_bytes()
    rng = np.random.default_rng(0)
    channels = len(session.bundle.ranges.features.mean)
    entries = [
        Entry(
            label, f"/cases/{i}", content_of(volume) if i == 3 else str(i), (f"p{i // 2}",), (1,), "one.png"
        )
        for i, label in enumerate(("IGM", "NME", "IGM", "NME"))
    ]
    write_index(
        tmp_path / "index", session.bundle.ref, "salt", entries, rng.random((4, channels)), {"one.png": png}
    )
    # Thought better of it; then by the button.
    for folder in ("", str(tmp_path / "index")):
        monkeypatch.setattr(similar_panel, "choose_index", lambda parent, title, folder=folder: folder)
        assert session.similar.index is None
        window.click(panel.open_button)
    window.wait(lambda: session.similar.index is not None)
    assert "Run the model" in panel.note.text() and not panel.list.isVisible()
    tasks.run_model(session)
    window.wait(lambda: bool(session.similar.neighbours))
    # The fourth case has the same images, the third is of the same patient.
    assert {one.entry.path for one in session.similar.neighbours} == {"/cases/0", "/cases/1"}
    assert panel.list.count() == 2 and "distance" in panel.list.item(0).text()
    opened: list[str] = []
    monkeypatch.setattr(tasks, "open_path", lambda session, path: opened.append(path))
    panel.list.scrollToItem(panel.list.item(0))
    where = panel.list.visualItemRect(panel.list.item(0)).center()
    QTest.mouseClick(panel.list.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert opened == [session.similar.neighbours[0].entry.path]
    # The index of another model is refused in words.
    write_index(
        tmp_path / "other", replace(session.bundle.ref, sha256="0"), "salt", entries,
        rng.random((4, channels)), {"one.png": png},
    )  # fmt: skip
    said: list[str] = []
    session.said.connect(said.append)
    session.similar.open_index(tmp_path / "other")
    window.wait(lambda: bool(said))
    assert "features of another model cannot be compared" in said[-1]

    # Make one: table, column, folder.
    lines = ["case_id,patient_id,path,kind"]
    for number, kind in enumerate(("igm", "nme")):
        dicom_of(tmp_path / kind, "ge", kind, seed=number, shape=(8, 64, 64))
        lines.append(f"c{number},p{number},{kind},{kind.upper()}")
    (tmp_path / "cases.csv").write_text("\n".join(lines))
    monkeypatch.setattr(similar_panel, "choose_cohort", lambda parent: str(tmp_path / "cases.csv"))
    monkeypatch.setattr(similar_panel, "choose_index", lambda parent, title: str(tmp_path / "made"))
    asked: list[str] = []
    for column, told in (("grade", "The table has no column “grade”"), ("kind", "")):
        before = session.similar.index
        answer_dialog(asked, column)
        window.click(panel.make_button)
        # One at a time; it may be over by now.
        idle = not session.workers.running(INDEX)
        assert panel.make_button.isEnabled() == panel.open_button.isEnabled() == idle
        window.wait(lambda: not session.workers.running(INDEX))
        assert (session.similar.index is before) == bool(told) and (not told or told in said[-1])
    assert "column of the labels" in asked[-1]
    assert {one.label for one in session.similar.index.entries} == {"IGM", "NME"}
    window.wait(lambda: len(session.similar.neighbours) == 2)
    assert panel.list.count() == 2 and "nearest of 2 cases" in panel.note.text()
