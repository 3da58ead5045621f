"""The Train dock in a real window with real mouse and key events, and a real training in its own process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hand import LEFT, Window
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QDesktopServices
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QCheckBox

from napari_breast_ai.viewer import notices, tasks
from napari_breast_ai.viewer.training import Training
from napari_breast_ai.viewer.widgets import train_form
from napari_breast_ai.viewer.widgets.plot import ticks
from napari_breast_ai.viewer.widgets.watched_slice import blend

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]

Key = Qt.Key
CHANGES = "preparation.size=[64,64] fit.epochs={epochs} fit.batch=8"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Sixteen patients with a picture each: bright squares, or bright lines; the boxes are in the table."""
    folder = tmp_path / "cohort"
    folder.mkdir()
    rng = np.random.default_rng(1)
    lines = ["case_id,patient_id,path,kind,dense,age,box_y0,box_x0,box_y1,box_x1"]
    for i in range(16):
        image = rng.integers(20, 80, (64, 64)).astype(np.uint8)
        y, x = (int(v) for v in rng.integers(4, 36, 2))
        wide = 24 if i % 2 else 4
        image[y : y + 24, x : x + wide] = 230
        Image.fromarray(image).save(folder / f"{i}.png")
        kind = ("line", "square")[i % 2]
        lines.append(f"c{i},p{i},{i}.png,{kind},{i // 2 % 2},{30 + i},{y},{x},{y + 23},{x + wide - 1}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return folder / "t.csv"


@pytest.fixture
def window(
    make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Window]:
    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    monkeypatch.setattr(train_form, "choose_weights", lambda parent: "random")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("warn", "complain"):
        monkeypatch.setattr(notices, name, lambda sentence: None)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1600, 1000)
    made = Window(viewer, qtbot, ("Train",))
    yield made
    made.session.shut_down()
    made.__dict__.clear()


def until(window: Window, true: Callable[[], bool]) -> None:
    """Wait for a process that has torch to load, on a machine that may be busy."""
    window.qtbot.waitUntil(true, timeout=300_000)


def open_table(window: Window, table: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    """Open the table with its button, and wait until the plan is there."""
    monkeypatch.setattr(train_form, "choose_cohort", lambda parent: str(table))
    training = window.session.training
    window.click(window.dock.cohort.table_button)
    until(window, lambda: training.columns is not None and training.order.table == str(table))
    settled(window)
    return training


def settled(window: Window) -> None:
    until(window, lambda: window.session.workers.busy is None)
    window.settle(30)


def tick(window: Window, column: int, child: int | None = None) -> None:
    """Click the box of a column, or of one of its classes."""
    tree = window.dock.cohort.tree
    item = tree.topLevelItem(column)
    item = item if child is None else item.child(child)
    tree.scrollToItem(item)
    rect = tree.visualItemRect(item)
    QTest.mouseClick(tree.viewport(), LEFT, pos=QPoint(rect.left() + 9, rect.center().y()))
    settled(window)


def write(window: Window, entry: Any, text: str) -> None:
    """Type into a field and leave it with Enter."""
    window.dock.area.ensureWidgetVisible(entry)
    entry.setFocus()
    entry.selectAll()
    QTest.keyClicks(entry, text)
    QTest.keyClick(entry, Key.Key_Return)
    settled(window)


def choose(window: Window, box: Any, value: str) -> None:
    """Choose in a list with the keyboard."""
    box.setFocus()
    while box.currentData() != value:
        before = box.currentIndex()
        QTest.keyClick(box, Key.Key_Down if before < box.findData(value) else Key.Key_Up)
        assert box.currentIndex() != before
    settled(window)


def ready(window: Window, table: Path, monkeypatch: pytest.MonkeyPatch, epochs: int = 80) -> Training:
    """Everything chosen by hand for a short training with attention."""
    training = open_table(window, table, monkeypatch)
    dock = window.dock
    tick(window, 0)
    choose(window, dock.how.recipe, "attention-squeezenet")
    choose(window, dock.how.protocol, "kfold")
    dock.how.folds.setFocus()
    dock.how.folds.selectAll()
    QTest.keyClicks(dock.how.folds, "2")
    QTest.keyClick(dock.how.folds, Key.Key_Return)
    window.click(dock.how.weights_button)
    write(window, dock.how.changes, CHANGES.format(epochs=epochs))
    assert training.ready, (training.problems, training.prospect.missing)
    return training


def test_choices_problems_and_the_plan(window: Window, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dock = window.dock
    assert "Open a table" in dock.cohort.text.text() and not dock.start.buttons.isVisible()
    training = open_table(window, table, monkeypatch)
    assert training.order.labels == () and training.order.changes == ("preparation.source.kind=picture",)
    assert not dock.start.start_button.isEnabled() and "label column" in dock.start.missing.text()

    tick(window, 0)
    assert training.order.labels == ("kind=line,square",)
    box = dock.cohort.tree.positive_box(0)
    assert box is not None and [box.itemText(i) for i in range(2)] == [
        "line against square",
        "square against line",
    ]
    box.setFocus()
    QTest.keyClick(box, Key.Key_Down)
    settled(window)
    assert training.order.labels == ("kind=square,line",)
    tick(window, 1)
    assert training.order.labels == ("kind=square,line", "dense")
    # A class that is not wanted: one is left, and that is no question.
    tick(window, 0, 1)
    assert training.order.labels[0] == "kind=line" and dock.cohort.tree.positive_box(0) is None
    assert any("fewer than two classes" in one.text for one in training.problems)
    tick(window, 0, 1)
    tick(window, 1)
    assert not dock.start.problems.isVisible()

    choose(window, dock.how.protocol, "repeated")
    assert dock.how.repeats.isVisible() and "shuffled 3 times" in dock.start.plan.text()
    choose(window, dock.how.protocol, "column")
    assert "no column named split" in dock.start.problems.table.item(0, 1).text()
    choose(window, dock.how.protocol, "kfold")
    write(window, dock.how.changes, "fit.epoch=3")
    assert "unknown key “fit.epoch”" in dock.start.problems.table.item(0, 1).text()
    write(window, dock.how.changes, "fit.epochs=3")
    assert "16 patients, 16 cases" in dock.start.plan.text()
    window.click(dock.how.weights_button)
    settled(window)
    assert dock.start.start_button.isEnabled() and training.order.out.endswith("t-training")


def test_what_is_wrong_stands_in_a_table(
    window: Window, table: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Names are checked at once; the images when that is asked for; what is of one case can be left out."""
    (table.parent / "3.png").write_bytes(b"no picture")
    (table.parent / "5.png").write_bytes((table.parent / "7.png").read_bytes())
    (table.parent / "9.png").unlink()
    training = ready_but_wrong(window, table, monkeypatch)
    dock = window.dock
    shown = dock.start.problems.table
    assert [shown.item(i, 0).text() for i in range(shown.rowCount())] == ["11"]
    assert not dock.start.start_button.isEnabled() and dock.start.leave_out.isVisible()
    dock.area.verticalScrollBar().setValue(0)
    assert dock.start.show_button.text() == "1 problem…"
    window.click(dock.start.show_button)
    assert dock.start.problems.table.visibleRegion().boundingRect().height() > 40
    window.click(dock.start.check_button)
    assert training.state == "checking" and not dock.cohort.isEnabled()
    until(window, lambda: training.state == "choosing")
    settled(window)
    lines = {shown.item(i, 0).text() for i in range(shown.rowCount())}
    assert lines == {"5", "9", "11"}, [one.text for one in training.problems]
    window.click(dock.start.leave_out, QPoint(9, dock.start.leave_out.height() // 2))
    settled(window)
    assert isinstance(dock.start.leave_out, QCheckBox) and training.order.leave_out
    assert not training.ready, "two patients with one image are no matter of one case"
    assert [one.line for one in training.problems if one.fatal] == [9]
    place = tmp_path / "problems.csv"
    monkeypatch.setattr("napari_breast_ai.viewer.widgets.problems_table.choose_output", lambda *_: str(place))
    window.click(dock.start.problems.save_button)
    assert place.read_text().count("\n") == 1 + shown.rowCount()


def ready_but_wrong(window: Window, table: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    training = open_table(window, table, monkeypatch)
    tick(window, 0)
    window.click(window.dock.how.weights_button)
    write(window, window.dock.how.changes, "preparation.size=[64,64]")
    return training


def test_a_training_is_watched_paused_stopped_gone_on_with_and_used(
    window: Window, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So many epochs that the run does not end while a busy window still shows its first.
    training = ready(window, table, monkeypatch, epochs=100)
    dock = window.dock
    window.click(dock.start.start_button)
    assert training.state == "running" and dock.run.isVisible() and not dock.start.buttons.isVisible()
    until(window, lambda: training.run.current is not None and len(training.run.current.epochs) > 2)
    window.click(dock.run.pause_button)
    until(window, lambda: training.state == "paused")
    assert dock.run.pause_button.text() == "Go on" and "Paused" in dock.run.bar.format()
    assert dock.run.plot.describe().startswith("Round ") and dock.run.slice.isVisible()
    shown = training.run.shown
    assert np.abs(dock.run.slice.blended.astype(int) - shown.picture[..., None]).max() > 20, (
        "the heat is over it"
    )
    epochs = len(training.run.current.epochs)
    window.settle(400)
    assert len(training.run.current.epochs) == epochs, "a paused run learns nothing"

    window.click(dock.run.cancel_button)
    until(window, lambda: training.state == "choosing" and training.unfinished is not None)
    settled(window)
    assert "not finished" in dock.start.waiting.text() and dock.start.start_button.text() == "Start anew"
    window.click(dock.start.resume_button)
    assert training.state == "running"
    until(window, lambda: training.state == "done")
    settled(window)
    assert dock.outcome.isVisible() and dock.outcome.who.text().startswith("<b>16 patients (16 slices)")
    rows = [dock.outcome.table.item(i, 0).text().strip() for i in range(dock.outcome.table.rowCount())]
    assert rows[:2] == ["line against square", "AUC"]
    assert "(" in dock.outcome.table.item(1, 1).text(), "with its interval"
    assert all(course.done is not None for course in training.run.rounds.values())

    opened: list[str] = []
    monkeypatch.setattr(
        QDesktopServices, "openUrl", staticmethod(lambda url: bool(opened.append(url.toLocalFile()) or True))
    )
    window.click(dock.outcome.report_button)
    assert opened and "<h1>" in Path(opened[0]).read_text(encoding="utf-8")
    window.click(dock.outcome.use_button)
    until(window, lambda: window.session.bundle is not None)
    assert window.session.bundle.folder == Path(training.run.written.bundle)
    window.click(dock.outcome.again_button)
    settled(window)
    assert training.state == "choosing" and training.order.out.endswith("t-training-2")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of POSIX")
def test_a_process_that_is_killed_and_a_window_that_is_closed(
    window: Window, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither loses the run, neither leaves a process behind."""
    training = ready(window, table, monkeypatch, epochs=20000)
    dock = window.dock
    window.click(dock.start.start_button)
    until(window, lambda: training.run.current is not None and len(training.run.current.epochs) > 2)
    child = training._child.pid
    os.kill(child, signal.SIGKILL)
    until(window, lambda: training.state == "choosing")
    settled(window)
    assert "ended before it was done" in dock.message.text() and training.unfinished is not None

    window.click(dock.start.resume_button)
    until(window, lambda: training.run.current is not None and len(training.run.current.epochs) > 2)
    child = training._child.pid
    assert child and psutil.pid_exists(child)
    assert not window.session.may_close() and any("a training runs" in text for text in window.said)
    assert window.session.may_close(), "the second time it is the person's will"
    training.shut_down()
    assert not psutil.pid_exists(child)
    # The next window offers it.
    other = Training(window.session)
    other.look_back()
    until(window, lambda: other.unfinished is not None)
    assert other.unfinished[0].out == str(training.run.order.out)


def test_a_failure_is_said_where_it_can_be_mended(
    window: Window, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only the run itself finds is listed as what is found before it."""
    (table.parent / "3.png").write_bytes(b"no picture")
    training = ready(window, table, monkeypatch)
    window.click(window.dock.start.start_button)
    until(window, lambda: training.state == "choosing")
    settled(window)
    assert "Nothing was trained: 1 problem must" in window.dock.message.text()
    assert [one.line for one in training.problems if one.fatal] == [5]
    assert window.dock.start.leave_out.isVisible() and not window.dock.start.start_button.isEnabled()


def test_small_things() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0] and ticks(0.5, 1.0)[0] == 0.5 and ticks(2, 2) == [2]
    picture = np.full((8, 8), 100, np.uint8)
    assert (blend(picture, None) == 100).all()
    heat = np.zeros((2, 2), np.float32)
    heat[0, 0] = 1
    mixed = blend(picture, heat).astype(int)
    assert (mixed[-1, -1] == 100).all() and abs(mixed[0, 0] - 100).max() > 50
