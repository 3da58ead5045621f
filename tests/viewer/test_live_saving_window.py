"""“Save as bundle” of live attention: through a training that is judged, or said not to be; in a real window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hand import LEFT, Window
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_breast_ai.annotations import Journal, Placing, journal_path
from napari_breast_ai.core import Box
from napari_breast_ai.models import load_bundle
from napari_breast_ai.models.pooling import AveragePooling
from napari_breast_ai.study import read_study
from napari_breast_ai.viewer import notices, tasks
from napari_breast_ai.viewer.widgets import live_panel

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]


@pytest.fixture
def window(
    make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Window]:
    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("warn", "complain"):
        monkeypatch.setattr(notices, name, lambda sentence: None)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1600, 1000)
    made = Window(viewer, qtbot, ("Review", "Train"))
    made.raise_dock("Review")
    yield made
    made.session.shut_down()
    made.__dict__.clear()


def taught(window: Window, folder: Path, dicom_of: Callable[..., Any], kinds: tuple[str, ...]) -> None:
    """A worklist of boxed phantoms, the first of them on the screen, its attention taught by its boxes."""
    for number, kind in enumerate(kinds):
        place = folder / f"case{number}"
        phantom = dicom_of(place, "siemens", kind, seed=number)
        volume = read_study(place)
        journal = Journal(
            journal_path(place, volume.identity, "anna"),
            "anna",
            study_uid=volume.identity.study_uid,
            placing=Placing.of(volume),
        )
        for box in phantom.truth.boxes:
            journal.add(Box(box.z, box.y0, box.x0, box.y1, box.x1, box.label))
        journal.leave()
    session, panel = window.session, window.dock.live
    session.set_bundle(load_bundle("demo-attention-squeezenet"))
    session.reading.open(folder)
    window.wait(lambda: session.volume is not None and session.complete and session.workers.busy is None)
    assert not panel.save_button.isEnabled()
    window.dock._scroll.ensureWidgetVisible(panel)
    window.click(panel.switch)
    window.wait(lambda: session.live.fit is not None)
    window.dock._scroll.ensureWidgetVisible(panel.save_button)
    assert panel.save_button.isEnabled()


def test_the_bundle_comes_out_of_a_judged_training(
    window: Window, tmp_path: Path, dicom_of: Callable[..., Any]
) -> None:
    taught(window, tmp_path / "cases", dicom_of, ("igm", "nme") * 4)
    session, training = window.session, window.session.training
    window.click(window.dock.live.save_button)
    window.wait(lambda: training.columns is not None and bool(training.order.table))
    window.wait(lambda: session.workers.busy is None)
    window.settle(100)
    train = window.docks["Train"]
    assert train.isVisible(), "its tab is in front"
    assert "8 patients, 8 cases" in train.start.plan.text() and train.start.start_button.isEnabled()
    assert training.order.labels == ("boxes=IGM,NME",) and training.order.recipe == "attention-squeezenet"
    assert training.order.weights.endswith("boxed-cases-backbone.safetensors")
    assert {"layer=features+fire3", "preparation.source.kind=subtraction"} <= set(training.order.changes)
    assert train.how.changes.text().split() == list(training.order.changes)
    assert train.how.recipe.currentData() == "attention-squeezenet"
    assert any("of 8 patients" in text and "press Start" in text for text in window.said)
    lines = Path(training.order.table).read_text().splitlines()
    assert lines[0] == "case_id,patient_id,path" and len(lines) == 9 and "patient-" in lines[1]

    # Fewer epochs than a person would take; the rest is what the button has filled in.
    train.area.ensureWidgetVisible(train.how.changes)
    train.how.changes.setFocus()
    QTest.keyClick(train.how.changes, Qt.Key.Key_End)
    QTest.keyClicks(train.how.changes, " fit.epochs=2")
    QTest.keyClick(train.how.changes, Qt.Key.Key_Return)
    window.wait(lambda: training.ready and "fit.epochs=2" in training.order.changes)
    window.settle(100)
    window.click(train.start.start_button)
    window.qtbot.waitUntil(lambda: training.state == "done", timeout=300_000)
    bundle = load_bundle(training.run.written.bundle)
    assert "8 patients" in bundle.evaluation["data"] and bundle.evaluation["figures"]
    assert bundle.spec.groups[0].labels == ("IGM", "NME") and Path(training.run.written.report).is_file()


def test_too_few_patients_are_said_and_an_unjudged_bundle_says_so(
    window: Window, tmp_path: Path, dicom_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    taught(window, tmp_path / "cases", dicom_of, ("igm", "nme", "igm"))
    session = window.session
    asked: list[str] = []

    def answer(text: str) -> None:
        """Press a button of the question by hand, as soon as it is there."""

        def press() -> None:
            box = QApplication.activeModalWidget()
            if not isinstance(box, QMessageBox):
                QTimer.singleShot(50, press)
                return
            asked.append(box.text())
            (wanted,) = [one for one in box.buttons() if text in one.text().replace("&", "")]
            window.qtbot.mouseClick(wanted, LEFT)

        QTimer.singleShot(50, press)

    place = tmp_path / "out" / "mine"
    monkeypatch.setattr(live_panel, "choose_output", lambda *_: str(place))
    answer("Cancel")
    window.click(window.dock.live.save_button)
    window.wait(lambda: len(asked) == 1 and session.workers.busy is None)
    assert "IGM 2, NME 1" in asked[0] and "at least 4 of each class" in asked[0] and not place.exists()

    answer("Save unjudged")
    window.click(window.dock.live.save_button)
    window.wait(place.exists)
    window.wait(lambda: session.workers.busy is None)
    boxes = session.live.fit.boxes
    bundle = load_bundle(place)
    said = f"taught live on {boxes} boxes of 1 case, not judged"
    assert (
        bundle.evaluation["data"].startswith(said)
        and said in bundle.card
        and "Nobody has judged" in bundle.card
    )
    assert bundle.ref.name == "mine" and "figures" not in bundle.evaluation

    # In the Review dock it says so, and looks where the boxes have taught it to.
    attention = session.live.fit.attention
    window.click(window.dock.live.switch)
    tasks.use_model(session, str(place))
    window.wait(lambda: session.bundle is not None and session.bundle.ref.name == "mine")
    tasks.run_model(session)
    window.wait(lambda: session.workers.busy is None and session.prediction is not None)
    window.wait(lambda: session.prediction.model.name == "mine")
    assert abs(session.prediction.attention - attention).max() < 1e-4
    assert "taught live on" in window.dock.result.warnings.text()
    assert "nobody knows how good" in window.dock.result.warnings.text()


def test_without_a_worklist_and_without_an_attention(
    window: Window, tmp_path: Path, dicom_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    taught(window, tmp_path / "cases", dicom_of, ("igm",))
    session = window.session
    session.reading.close()
    why: list[str] = []

    def ask(parent: Any, text: str) -> bool:
        why.append(text)
        return True

    monkeypatch.setattr(live_panel, "asked_unjudged", ask)
    monkeypatch.setattr(live_panel, "choose_output", lambda *_: str(tmp_path / "mine"))
    bundle = session.bundle
    pooling = bundle.model.pooling
    bundle.model.pooling = AveragePooling()
    window.click(window.dock.live.save_button)
    window.wait(lambda: any("pools without an attention" in text for text in window.said))
    bundle.model.pooling = pooling
    assert "Without a worklist there is this case only" in why[0] and not (tmp_path / "mine").exists()
