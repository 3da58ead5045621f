"""Boxes of other cases of the worklist teach along, and the scores where that is wanted: in a real window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand import Window
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_breast_ai.annotations import Journal, Placing, journal_path
from napari_breast_ai.core import Box
from napari_breast_ai.models import load_bundle
from napari_breast_ai.study import read_study
from napari_breast_ai.training import lessons
from napari_breast_ai.training.live_scores import TAUGHT
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer import tasks

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]

Key = Qt.Key


@pytest.fixture
def window(open_window: Callable[..., Window]) -> Window:
    return open_window()


@pytest.fixture
def cases(tmp_path: Path, dicom_of: Callable[..., Any]) -> Path:
    """Three studies: on the first and the second there are boxes from the day before."""
    folder = tmp_path / "cases"
    for number, kind in enumerate(("igm", "nme", "igm")):
        phantom = dicom_of(folder / f"case{number}", "siemens", kind, seed=number)
        if number < 2:
            boxed(folder / f"case{number}", phantom.truth.boxes)
    (folder / "list.csv").write_text("case_id,path\n" + "".join(f"P{n},case{n}\n" for n in range(3)))
    return folder / "list.csv"


def boxed(place: Path, boxes: tuple[Box, ...], reader: str = "anna") -> None:
    volume = read_study(place)
    journal = Journal(
        journal_path(place, volume.identity, reader),
        reader,
        study_uid=volume.identity.study_uid,
        placing=Placing.of(volume),
    )
    for box in boxes:
        journal.add(Box(box.z, box.y0, box.x0, box.y1, box.x1, box.label))
    journal.leave()


def open_list(window: Window, table: Path, place: int) -> None:
    reading = window.session.reading
    reading.open(table)
    window.wait(lambda: reading.worklist is not None and reading.turn is not None and not reading.opening)
    if reading.log.place != place:
        reading.go(place)
    window.wait(
        lambda: (
            not reading.opening
            and window.session.complete
            and window.session.source is not None
            and window.session.source.endswith(f"case{place}")
        )
    )
    window.viewer.reset_view()
    window.settle(100)


def choose(window: Window, index: int) -> None:
    """With the keyboard, as the list of sources is chosen from."""
    box = window.dock.live.source
    box.setFocus()
    QTest.keyClick(box, Key.Key_Down if index else Key.Key_Up)
    window.settle()


def quiet(window: Window) -> None:
    window.wait(lambda: window.session.workers.busy is None)
    window.settle(50)


def test_boxes_of_the_worklist_teach_a_case_that_has_none(
    window: Window, cases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    whole = lessons.lesson_of

    def noted(volume: Any, *args: Any) -> Any:
        looked.append(volume.identity.study_uid)
        return whole(volume, *args)

    monkeypatch.setattr(lessons, "lesson_of", noted)
    session, panel = window.session, window.dock.live
    session.set_bundle(load_bundle("demo-attention-squeezenet"))
    open_list(window, cases, 2)
    assert not panel.source.isEnabled() and not panel.scores.isEnabled()
    window.dock._scroll.ensureWidgetVisible(panel)
    window.click(panel.switch)
    assert panel.source.isEnabled() and session.live.on
    choose(window, 1)
    assert session.live.all_cases
    quiet(window)
    assert len(session.live.others.others()) == 2 and session.live.fit is None
    assert "Run the model to see on this case" in panel.note.text()
    tasks.run_model(session)
    window.wait(lambda: session.live.fit is not None)
    fit = session.live.fit
    there = sum(len(one.boxes) for one in session.live.others.others())
    assert fit.cases == 2 and fit.boxes == there > 2 and fit.taught == ()
    assert f"taught by {there} boxes of 2 cases" in panel.note.text()
    layer = session.heat.layer(look.ATTENTION)
    assert layer.name == "Attention, taught"
    taught = np.array(layer.data)

    # A box here counts with those of the others.
    session.go_to(3)
    window.press(Key.Key_B)
    window.drag((20, 16), (40, 36))
    window.wait(lambda: session.live.fit is not None and session.live.fit.cases == 3)
    assert session.live.fit.boxes == there + 1
    assert np.abs(np.array(session.heat.layer(look.ATTENTION).data) - taught).max() > 1e-3
    # This case alone: what the others have taught is gone.
    choose(window, 0)
    window.wait(lambda: session.live.fit is not None and session.live.fit.cases == 1)
    assert session.live.fit.boxes == 1 and "1 box on 1 slice" in panel.note.text()
    choose(window, 1)
    quiet(window)
    window.wait(lambda: session.live.fit.cases == 3)

    # The next case: what was drawn on this one teaches there, and nothing is looked at again for it.
    left = session.volume.identity.study_uid
    session.reading.go(0)
    window.wait(lambda: (session.source or "").endswith("case0") and session.complete)
    quiet(window)
    others = {one.study_uid: one for one in session.live.others.others()}
    assert len(others) == 2 and len(others[left].boxes) == 1
    assert len(looked) == len(set(looked)) == 2 and left not in looked


def test_scores_are_taught_on_request_and_say_so(window: Window, cases: Path) -> None:
    session, panel = window.session, window.dock.live
    session.set_bundle(load_bundle("demo-attention-squeezenet"))
    open_list(window, cases, 0)
    tasks.run_model(session)
    quiet(window)
    own = session.prediction
    window.dock._scroll.ensureWidgetVisible(panel)
    window.click(panel.switch)
    window.wait(lambda: session.live.fit is not None)
    assert session.prediction.probabilities["IGM"] is own.probabilities["IGM"]
    window.click(panel.scores)
    window.wait(lambda: session.live.scores is not None)
    assert session.live.scores.groups == () and "they need boxes of two classes" in panel.note.text()
    assert session.prediction.model == own.model
    choose(window, 1)
    window.wait(lambda: bool(session.live.scores and session.live.scores.groups))
    assert session.live.scores.groups == ("diagnosis",) and session.live.scores.cases == 2
    shown = session.prediction
    boxed_here = sorted({box.z for box in session.journal.boxes})
    assert (shown.probabilities["IGM"][boxed_here] > own.probabilities["IGM"][boxed_here]).mean() > 0.5
    np.testing.assert_allclose(shown.probabilities["IGM"] + shown.probabilities["NME"], 1, atol=1e-5)
    np.testing.assert_array_equal(shown.probabilities["lesion"], own.probabilities["lesion"])
    assert shown.model.name.endswith(TAUGHT) and shown.gradcam is own.gradcam
    for text in (shown.case.rule, window.dock.result.rule.text(), window.dock.result.warnings.text()):
        assert "taught live by" in text and "of 2 cases" in text and "not calibrated" in text
    assert "not of the model that is chosen" not in window.dock.result.warnings.text()
    assert "Scores taught live, not calibrated" in session.readout.text
    window.click(panel.scores)
    window.wait(lambda: session.live.scores is None)
    assert "taught" not in session.readout.text
    assert session.prediction.case is own.case and "taught" not in window.dock.result.rule.text()
    window.click(panel.switch)
    assert session.prediction is own


def test_what_cannot_teach_is_said_and_the_look_can_be_stopped(
    window: Window, cases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, panel = window.session, window.dock.live
    session.set_bundle(load_bundle("demo-attention-squeezenet"))
    open_list(window, cases, 2)
    window.dock._scroll.ensureWidgetVisible(panel)
    for file in (cases.parent / "case1").rglob("*.dcm"):
        file.write_bytes(b"no image")
    window.click(panel.switch)
    whole = lessons.lesson_of

    def slow(*args: Any) -> Any:
        # Until the person has pressed Stop: as a study takes that is a hundred times as large.
        while True:
            args[-1](0, 0, "")

    monkeypatch.setattr(lessons, "lesson_of", slow)
    choose(window, 1)
    window.wait(panel.stop_button.isVisible)
    assert "Looking at the boxed cases" in panel.note.text()
    window.click(panel.stop_button)
    quiet(window)
    assert session.live.others.stopped and "Stopped: 0 other cases teach" in panel.note.text()
    monkeypatch.setattr(lessons, "lesson_of", whole)
    choose(window, 0)
    choose(window, 1)
    quiet(window)
    assert len(session.live.others.others()) == 1 and panel.trouble.isVisible()
    assert "Case “P1”" in panel.trouble.text()
