"""The window asks when the phases were taken where no file says it: typed with real keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from conftest import make_prediction
from napari_breast_ai.cli import main
from napari_breast_ai.study import read_study
from napari_breast_ai.viewer import notices, tasks
from napari_breast_ai.viewer.session import get_session
from napari_breast_ai.viewer.widgets.times_form import TimesForm

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]


class Hand:
    """The Review dock, and a hand on the keyboard."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.session = get_session(viewer, "anna")
        _, self.dock = viewer.window.add_plugin_dock_widget("napari-breast-ai", "Review")
        self.form: TimesForm = self.dock.study.times

    def open(self, path: Path) -> None:
        tasks.open_path(self.session, path)
        self.wait(lambda: self.session.volume is not None and self.session.workers.busy is None)

    def wait(self, true: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(true, timeout=60_000)
        QTest.qWait(30)

    def type(self, field: Any, text: str, end: Any = None) -> None:
        field.setFocus()
        field.selectAll()
        QTest.keyClicks(field, text)
        if end is not None:
            QTest.keyClick(field, end)
        QTest.qWait(30)

    def click(self, widget: Any) -> None:
        assert widget.isVisible() and widget.isEnabled()
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=widget.rect().center())
        QTest.qWait(30)


@pytest.fixture
def hand(make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hand]:
    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    for name in ("warn", "complain"):
        monkeypatch.setattr(notices, name, lambda sentence: None)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1600, 1000)
    made = Hand(viewer, qtbot)
    yield made
    made.session.shut_down()
    made.__dict__.clear()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "case" / "series.nii.gz"
    path.parent.mkdir()
    values = np.random.default_rng(0).integers(0, 900, (40, 36, 6, 4)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, -1.0, 2.0, 1.0])), path)
    return path


def test_asked_answered_and_recalled(hand: Hand, image: Path, tmp_path: Path) -> None:
    form, session = hand.form, hand.session
    assert not form.isVisible()
    hand.open(image)
    assert form.form.isVisible() and not form.change_button.isVisible()
    assert "at unknown times" in hand.dock.study.text.text() and "4 phases" in form.question.text()
    session.go_to(2, 3)
    assert "time unknown" in session.readout.text
    assert form.seconds.text() == "0, 90, 180, 270"

    hand.type(form.spacing, "75", Qt.Key.Key_Tab)
    assert form.seconds.text() == "0, 75, 150, 225"

    # Bad input: a sentence, and nothing changes.
    for typed, said in (
        ("0, 90, soon, 200", "“soon” is no number of seconds"),
        ("0, 90, 200", "are 3, and the study has 4 phases"),
        ("0, 90, 60, 200", "do not fall"),
        ("", "“” is no number"),
    ):
        hand.type(form.seconds, typed or " ", Qt.Key.Key_Return)
        assert said in form.problem.text() and form.problem.isVisible()
        assert "unknown" in session.volume.times.source
    assert not (image.parent / "napari-breast-ai").exists() or not list(
        (image.parent / "napari-breast-ai").glob("times-*")
    )

    session.set_prediction(make_prediction(session.volume))
    pixels = session.volume.data
    hand.type(form.seconds, "0 70; 140,215.5")
    hand.click(form.use_button)
    assert session.volume.times.start_s == (0, 70, 140, 215.5) and session.volume.data is pixels
    assert (session.slice_index, session.phase_index) == (2, 3), "one stays where one was"
    assert "216 s" in session.readout.text and session.prediction is None
    assert not form.form.isVisible() and form.change_button.isVisible()

    # The same case by another door, and on the command line.
    session.close_study()
    assert not form.isVisible()
    hand.viewer.open(str(image), plugin="napari-breast-ai")
    assert session.volume.times.start_s == (0, 70, 140, 215.5)
    assert main(["convert", str(image), str(tmp_path / "out.nii.gz")]) == 0
    assert read_study(tmp_path / "out.nii.gz").times.start_s == (0, 70, 140, 215.5)

    hand.click(form.change_button)
    assert form.seconds.text() == "0, 70, 140, 215.5"
    hand.type(form.seconds, "0, 60, 120, 180", Qt.Key.Key_Return)
    assert read_study(image).times.start_s == session.volume.times.start_s == (0, 60, 120, 180)


def test_nobody_is_asked_where_times_are_known(hand: Hand, image: Path, volume: Any) -> None:
    hand.session.show_study(volume)
    assert not hand.form.isVisible()
    image.with_name("series.json").write_text('{"phase_times_s": [0, 60, 120, 180]}')
    hand.open(image)
    assert not hand.form.isVisible()
