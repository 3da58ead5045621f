"""A real window, driven by real mouse and key events."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hand import Window
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from conftest import make_boxes, make_prediction, make_volume
from napari_breast_ai.annotations import Journal
from napari_breast_ai.core import BreastAIError
from napari_breast_ai.models.calibration import CaseCalibration
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer import notices, tasks
from napari_breast_ai.viewer.recall import Recall
from napari_breast_ai.viewer.widgets.section import Section

pytestmark = [
    # One process for all windows: they share a screen.
    pytest.mark.gui,
    # Third parties' own: vispy asks numpy in an old way, napari's fixture compares versions in one.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]


@pytest.fixture(autouse=True)
def _nothing_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models made by hand cannot be got ready."""
    monkeypatch.setattr(Recall, "look", lambda recall: None)


@pytest.fixture
def window(make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1600, 1000)
    made = Window(viewer, qtbot)
    yield made
    made.session.shut_down()
    # pytest keeps what a test was given until after napari's own check that the viewer is gone.
    made.__dict__.clear()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sentences: list[str] = []
    for name in ("warn", "complain"):
        monkeypatch.setattr(notices, name, sentences.append)
    return sentences


class HandMadeBundle:
    """Stands in a Bundle's place where the run itself is not what is tested."""

    def __init__(self) -> None:
        from napari_breast_ai.models import RECIPES

        said = make_prediction(make_volume())
        self.ref = said.model
        self.folder = Path("by-hand")
        self.spec = SimpleNamespace(
            groups=said.groups,
            labels=said.labels,
            pooling=SimpleNamespace(kind="average"),
            preparation=RECIPES["squeezenet-narrow"].preparation,
        )
        self.ranges = None
        self.calibration, self.folds = CaseCalibration(), ()

    def operating_point(self, label: str) -> None:
        """It has none."""


def test_the_main_job_by_hand(window: Window, told: list[str]) -> None:
    """Sample, box by mouse, run with a real model, slider, readout, strip."""
    from napari_breast_ai.models import RECIPES, build
    from napari_breast_ai.models import Bundle as RealBundle

    session, dock = window.session, window.dock
    volume = make_volume(12, 96, 112)
    session.show_study(volume, None, make_boxes())
    window.viewer.reset_view()
    window.settle(100)

    assert not session.boxes.drawing
    session.go_to(6)
    window.press(Qt.Key.Key_2)
    assert dock.boxes.label_box.currentData() == "NME"
    window.click(dock.boxes.draw_button)
    assert session.boxes.drawing
    window.drag((30, 20), (60, 50))
    (box,) = session.journal.boxes
    assert (box.z, box.label) == (6, "NME")
    np.testing.assert_allclose((box.y0, box.x0, box.y1, box.x1), (30, 20, 60, 50), atol=0.6)
    assert Journal(session.journal.path, "anna").boxes == (box,)
    assert "1 NME. Saved." in dock.boxes.text.text()
    window.drag((70, 70), (70.1, 70.1))
    assert len(session.journal.boxes) == 1, "a click makes no box"
    QTest.keyClick(window.canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert session.journal.boxes == ()
    window.click(dock.boxes.redo_button)
    assert session.journal.boxes == (box,)

    # Moved by its middle, deleted by key, and back.
    session.boxes.layer.mode = "select"
    window.click(window.canvas, window.at(45, 35))
    window.drag((45, 35), (55, 40))
    (moved,) = session.journal.boxes
    assert moved.id == box.id
    np.testing.assert_allclose((moved.y0, moved.x0), (box.y0 + 10, box.x0 + 5), atol=0.7)
    np.testing.assert_allclose(moved.y1 - moved.y0, box.y1 - box.y0, atol=0.01)
    window.press(Qt.Key.Key_Delete)
    assert session.journal.boxes == () and len(session.boxes.layer.data) == 0
    window.click(dock.boxes.undo_button)
    assert session.journal.boxes == (moved,)

    recipe = RECIPES["attention-squeezenet"]
    bundle = RealBundle(
        ref=make_prediction(volume).model,
        spec=recipe,
        model=build(recipe, "random").eval(),
        card="",
        evaluation={},
        folder=Path("x"),
    )
    session.set_bundle(bundle)
    assert dock.model.volume_button.isEnabled()
    window.click(dock.model.volume_button)
    window.wait(lambda: session.prediction is not None and not session.prediction.pending)
    assert session.prediction.slices == tuple(range(12))
    assert "Attention" in [layer.name for layer in window.viewer.layers]
    assert not told
    label = session.prediction.labels[0]

    # The slider: napari's own, by the keyboard, as the canvas has the focus.
    session.go_to(3)
    window.press(Qt.Key.Key_Right)
    assert session.slice_index == 4
    score = float(session.prediction.probabilities[label][4])
    assert f"{label} {score:.2f}" in session.readout.text and "Slice 4 of 0–11" in session.readout.text

    strip = dock.result.strip
    window.click(strip, QPoint(round(strip.x_of(9)), 10))
    assert session.slice_index == 9 and window.viewer.dims.current_step[1] == 9
    assert "Slice 9" in session.readout.text
    assert strip.describe(6).endswith("boxed as NME")


def test_a_run_is_cancelled_and_leaves_nothing(
    window: Window, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    session, dock = window.session, window.dock
    volume = make_volume()
    session.show_study(volume)
    session.set_bundle(HandMadeBundle())
    before = [layer.name for layer in window.viewer.layers]
    running, steps = threading.Event(), []

    def slow(volume: Any, bundle: Any, *, progress: Any, **more: Any) -> Any:
        for step in range(2000):
            progress(step, 2000, "Backbone")
            steps.append(step)
            running.set()
            threading.Event().wait(0.005)
        return make_prediction(volume)

    monkeypatch.setattr("napari_breast_ai.inference.predict", slow)
    window.click(dock.model.volume_button)
    assert running.wait(10)
    window.wait(lambda: dock.model.progress.value() > 0)
    assert dock.model.cancel_button.isVisible() and not dock.model.volume_button.isEnabled()
    window.click(dock.model.cancel_button)
    window.wait(lambda: session.workers.busy is None)
    assert len(steps) < 2000
    assert session.prediction is None and [layer.name for layer in window.viewer.layers] == before
    assert dock.model.volume_button.isEnabled() and not dock.model.cancel_button.isVisible()
    assert told == []


def test_cancel_stops_what_its_bar_names_and_nothing_else(
    window: Window, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    """Reading goes on behind a run that is cancelled; and where no model runs, the bar names what does."""
    session, dock = window.session, window.dock
    session.show_study(make_volume())
    session.set_bundle(HandMadeBundle())
    go_on, ended = threading.Event(), []

    def slow(*given: Any, progress: Any, **more: Any) -> Any:
        for step in range(2000):
            progress(step, 2000, "backbone")
            threading.Event().wait(0.005)

    def read(progress: Any) -> str:
        for step in range(2000):
            progress(step, 2000, "slices")
            if go_on.wait(0.005):
                break
        return "read"

    monkeypatch.setattr("napari_breast_ai.inference.predict", slow)
    window.click(dock.model.volume_button)
    session.workers.start(
        "by hand", "Read", read, done=ended.append, failed=session.fail, cancelled=lambda: ended.append("cut")
    )
    window.wait(lambda: dock.model.progress.value() > 0)
    assert dock.model.progress.text().startswith("Backbone")
    window.click(dock.model.cancel_button)
    window.wait(lambda: not session.workers.running(tasks.RUN))
    assert session.workers.running("by hand") and not session.workers.job("by hand").cancelling
    window.wait(lambda: dock.model.progress.text().startswith("Slices"))
    assert dock.model.cancel_button.isEnabled()
    go_on.set()
    window.wait(lambda: bool(ended))
    assert ended == ["read"] and not dock.model.cancel_button.isVisible()

    go_on.clear()
    session.workers.start(
        "by hand", "Read", read, done=ended.append, failed=session.fail, cancelled=lambda: ended.append("cut")
    )
    window.wait(lambda: dock.model.cancel_button.isVisible())
    window.click(dock.model.cancel_button)
    window.wait(lambda: len(ended) == 2)
    assert ended == ["read", "cut"] and told == []


def test_this_slice_only_and_a_study_changed_meanwhile(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, dock = window.session, window.dock
    gate = threading.Event()

    def wait(volume: Any, bundle: Any, *, slices: Any, progress: Any, **more: Any) -> Any:
        gate.wait(20)
        return make_prediction(volume, tuple(slices))

    monkeypatch.setattr("napari_breast_ai.inference.predict", wait)
    session.show_study(make_volume())
    session.set_bundle(HandMadeBundle())
    session.go_to(6)
    gate.set()
    window.click(dock.model.slice_button)
    window.wait(lambda: session.prediction is not None)
    assert session.prediction.slices == (6,) and session.slice_index == 6
    assert dock.result.bars.isVisible() and "Synthetic" not in dock.result.rule.text()
    gate.clear()
    window.click(dock.model.slice_button)
    session.show_study(make_volume(uid="9.9"))
    gate.set()
    window.wait(lambda: session.workers.busy is None)
    assert session.prediction is None, "an answer about another study is not shown on this one"


def test_closing_the_window_stops_the_work(make_napari_viewer: Any, qtbot: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    viewer = make_napari_viewer(show=True)
    window = Window(viewer, qtbot)
    left = threading.Event()

    def work(progress: Any) -> None:
        try:
            while True:
                progress(0, 1, "Work")
                threading.Event().wait(0.005)
        finally:
            left.set()

    late: list[Any] = []
    window.session.workers.start("run", "Work", work, done=late.append, failed=late.append)
    window.settle(50)
    assert not left.is_set()
    viewer.close()
    assert left.is_set(), "joined before the window goes"
    QTest.qWait(50)
    assert late == []


def test_a_new_window_says_what_to_do_and_what_went_wrong(
    window: Window, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phantom_factory: Any
) -> None:
    session, dock = window.session, window.dock
    assert "Open the folder" in dock.study.text.text()
    assert "open study" in dock.boxes.text.text()
    assert "appear here" in dock.result.empty.text()
    assert not dock.boxes.draw_button.isEnabled() and not dock.model.volume_button.isEnabled()
    assert "not a medical device" in dock.footer.text()
    with pytest.raises(BreastAIError, match="no study"):
        tasks.run_model(session)

    tasks.open_path(session, tmp_path)
    window.wait(lambda: bool(told))
    assert session.volume is None and window.viewer.layers == []
    assert dock.message.text() == told[0] and dock.message.isVisible()

    asked = []

    def quick(spec: Any, progress: Any) -> Any:
        asked.append(spec.kind)
        return phantom_factory(spec.kind, shape=(8, 64, 64))

    monkeypatch.setattr("napari_breast_ai.phantom.make_phantom", quick)
    window.click(dock.study.igm_button)
    window.wait(lambda: session.volume is not None)
    assert asked == ["igm"]
    assert "True boxes" in [layer.name for layer in window.viewer.layers]
    assert "Synthetic data" in session.readout.text
    assert not dock.message.isVisible(), "what was said of another study goes with it"
    assert "No boxes yet" in dock.boxes.text.text()
    assert "Run the model" in dock.result.empty.text()
    with pytest.raises(BreastAIError, match="no model"):
        tasks.run_model(session)


def nothing_is_cut_off(window: Window, size: tuple[int, int]) -> None:
    window.viewer.window.resize(*size)
    parts = window.dock.findChildren(Section)
    for part in parts:
        part.fold(False)
    window.settle(200)
    assert len(parts) > 8
    for part in parts:
        for widget in part.findChildren(QWidget):
            if widget.isVisible() and type(widget).__name__ in (
                "QPushButton",
                "QCheckBox",
                "QLabel",
                "QComboBox",
            ):
                where = widget.mapTo(window.dock, QPoint(0, 0))
                assert where.x() >= 0 and where.x() + widget.width() <= window.dock.width(), widget
                wanted = widget.minimumSizeHint().width()
                assert widget.width() >= wanted, f"{widget} has {widget.width()} of {wanted} pixels"


def test_layout_and_overlay_controls(window: Window) -> None:
    session, panel = window.session, window.dock.overlay
    volume = make_volume(48)
    session.show_study(volume)
    assert not panel.attention.isEnabled()
    session.set_prediction(make_prediction(volume))
    nothing_is_cut_off(window, (1280, 800))
    nothing_is_cut_off(window, (1600, 1000))
    window.click(panel.gradcam, QPoint(8, panel.gradcam.height() // 2))
    assert session.display.gradcam
    panel.label_box.setFocus()
    QTest.keyClick(panel.label_box, Qt.Key.Key_Home)
    assert session.display.label == "lesion" == panel.label_box.currentText()
    panel.opacity.setFocus()
    QTest.keyClick(panel.opacity, Qt.Key.Key_End)
    QTest.keyClick(panel.threshold, Qt.Key.Key_Home)
    cam = session.heat.layer(look.GRADCAM)
    assert cam.opacity == 1.0 and cam.contrast_limits[0] == 0.0
    window.press(Qt.Key.Key_G)
    assert not panel.gradcam.isChecked() and not cam.visible


def test_napari_opens_sample_and_folder(
    window: Window, monkeypatch: pytest.MonkeyPatch, phantom_factory: Any, tmp_path: Path
) -> None:
    from napari_breast_ai.phantom import write_dicom

    phantom = phantom_factory("nme", shape=(8, 64, 64))
    monkeypatch.setattr("napari_breast_ai.phantom.make_phantom", lambda spec, progress: phantom)
    window.viewer.open_sample("napari-breast-ai", "phantom-nme")
    assert window.session.volume is phantom.volume
    write_dicom(phantom, tmp_path / "study", "siemens")
    window.viewer.open(str(tmp_path / "study"), plugin="napari-breast-ai")
    volume = window.session.volume
    assert volume is not phantom.volume and window.session.source == str(tmp_path / "study")
    np.testing.assert_array_equal(volume.data, phantom.volume.data)


def test_the_canvas_shows_what_is_there(window: Window) -> None:
    """Pixels on the screen: anatomy, the heat map over the hot cell only, the box's frame, the readout."""
    session = window.session
    volume = make_volume(8, 100, 120)
    session.show_study(volume)
    window.settle(150)
    session.go_to(5, 0)
    # The result makes the dock taller and, with its scroll bar, wider: both pictures are taken with it there.
    session.set_prediction(make_prediction(volume))
    session.set_display(attention=False, gradcam=False)
    window.settle(300)
    plain = window.viewer.screenshot(flash=False).astype(int)
    session.set_display(attention=True, opacity=1.0, threshold=0.0)
    window.settle(300)
    heat = window.viewer.screenshot(flash=False).astype(int)
    assert plain.shape == heat.shape
    scale = plain.shape[1] / window.canvas.width()

    def color(picture: Any, row: float, column: float) -> Any:
        point = window.at(row, column)
        return picture[round(point.y() * scale), round(point.x() * scale), :3]

    hot = session.prediction.cell_to_pixel(2, 1)
    assert np.ptp(color(heat, *hot)) > 60, "coloured over the hot cell"
    assert np.ptp(color(plain, *hot)) < 8, "grey before"
    np.testing.assert_allclose(color(heat, 85, 105), color(plain, 85, 105), atol=3)
    session.boxes.layer.add_rectangles([[5, 70, 70], [5, 70, 100], [5, 90, 100], [5, 90, 70]])
    window.settle(150)
    boxed = window.viewer.screenshot(flash=False).astype(int)
    orange = color(boxed, 90, 85)
    assert orange[0] > 150 and orange[0] > orange[2] + 80, f"a frame in the class's colour, not {orange}"


def test_show_takes_a_picture_of_the_whole_window(
    tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch, make_napari_viewer: Any
) -> None:
    from PIL import Image

    from napari_breast_ai.viewer import launch

    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    monkeypatch.setattr(launch.napari, "Viewer", lambda **more: make_napari_viewer(show=True, **more))
    volume = make_volume()
    ready: list[bool] = []
    path = tmp_path / "out" / "picture.png"
    shown = launch.show(
        volume,
        source=tmp_path,
        boxes=make_boxes(),
        bundle=HandMadeBundle(),
        prediction=make_prediction(volume),
        screenshot=path,
        block=False,
        on_ready=lambda: ready.append(path.exists()),
    )
    assert shown is None and ready == [True]
    with Image.open(path) as picture:
        screen = QApplication.primaryScreen().availableGeometry()
        assert picture.size == (min(1600, screen.width()), min(1000, screen.height()))
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 500
    (tmp_path / "file").write_text("")
    with pytest.raises(launch.ViewerError, match="cannot be written"):
        launch.show(volume, screenshot=tmp_path / "file" / "picture.png", block=False)
