"""The Annotate dock and the worklist in a real window, with real mouse and key events."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand import CTRL, NONE, RIGHT, SHIFT, Window
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from conftest import make_volume
from napari_breast_ai.annotations import Journal, Placing, journal_path
from napari_breast_ai.annotations.lesions import lesions
from napari_breast_ai.annotations.protocol import BoxClass, read_protocol
from napari_breast_ai.annotations.store import LineStore
from napari_breast_ai.core import Box, BreastAIError
from napari_breast_ai.viewer import keeper, notices, reading, tasks
from napari_breast_ai.viewer import layers as look

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]

Key = Qt.Key


@pytest.fixture
def window(open_window: Callable[..., Window]) -> Window:
    made = open_window("Annotate", "Cases")
    made.docks["Cases"].tabs.setCurrentIndex(1)
    made.raise_dock("Annotate")
    return made


@pytest.fixture
def case(window: Window) -> Window:
    """A study of 12 slices of 96 × 112 pixels, and the pointer draws."""
    window.session.show_study(make_volume(12, 96, 112))
    window.viewer.reset_view()
    window.session.go_to(6)
    window.settle(100)
    window.press(Key.Key_B)
    assert window.session.boxes.drawing
    return window


@pytest.fixture
def cases(tmp_path: Path, dicom_of: Callable[..., Any]) -> Path:
    """A table of four studies, each in a folder of its own."""
    folder = tmp_path / "cases"
    for number, kind in enumerate(("igm", "nme", "normal", "igm")):
        dicom_of(folder / f"case{number}", "siemens", kind, seed=number)
    lines = [
        f"P{number};case{number};{40 + number};{'left' if number % 2 else 'right'}" for number in range(4)
    ]
    (folder / "list.csv").write_text("\n".join(["case_id;path;age;side", *lines]) + "\n")
    return folder


def boxes(window: Window) -> tuple[Box, ...]:
    journal = window.session.journal
    # What is on the disk is what is on the screen.
    if journal.path.exists():
        kept = Journal(journal.path, journal.reader, placing=Placing.of(window.session.volume)).boxes
        assert kept == journal.boxes
    layer = window.session.boxes.layer
    assert [str(one) for one in layer.features["id"]] == [box.id for box in journal.boxes]
    for corners, box in zip(layer.data, journal.boxes, strict=True):
        np.testing.assert_allclose(
            (*np.min(corners, axis=0), *np.max(corners, axis=0)[1:]),
            (box.z, box.y0, box.x0, box.y1, box.x1),
            atol=2e-3,
        )
    return journal.boxes


def edges(box: Box) -> tuple[float, float, float, float]:
    return box.y0, box.x0, box.y1, box.x1


def on_screen(window: Window) -> str:
    """Which case's folder the study on the screen came from."""
    return Path(window.session.source).name


def open_list(window: Window, cases: Path, until: int | None = 0) -> None:
    """Open the table and wait for the case, and the next one read ahead."""
    window.session.reading.open(cases / "list.csv")
    window.wait(lambda: window.session.reading.log is not None)
    arrived(window, until)


def arrived(window: Window, number: int | None = None) -> None:
    """The case whose turn it is stands on the screen, and nothing is read any more."""
    session = window.session
    window.wait(lambda: not session.reading.opening and session.volume is not None and session.complete)
    window.wait(lambda: session.workers.busy is None)
    if number is not None:
        assert on_screen(window) == f"case{number}" and session.reading.turn.case_id == f"P{number}"


# ------------------------------------------------------------------------- boxes


def test_draw_classes_relabel_delete_undo(case: Window) -> None:
    session = case.session
    case.press(Key.Key_2)
    case.drag((30, 20), (60, 50))
    case.press(Key.Key_3)
    case.drag((20, 70), (35, 95))
    first, second = boxes(case)
    assert [one.label for one in (first, second)] == list(session.protocol.labels[1:3])
    np.testing.assert_allclose(edges(first), (30, 20, 60, 50), atol=0.6)
    assert "1 box" not in case.docks["Annotate"].lesions.text.text()
    assert "2 boxes on 1 slice. Saved." in case.docks["Annotate"].lesions.text.text()

    case.point(45, 35)
    case.press(Key.Key_1, CTRL)
    assert boxes(case)[0].label == session.protocol.labels[0], f"not the one at {session.editing.pointer()}"
    assert session.current_label == session.protocol.labels[2], "the class of the moment stays"
    case.point(90, 5)
    case.press(Key.Key_1, CTRL)
    assert boxes(case)[1].label == session.protocol.labels[0], "in the open: the one drawn last"
    case.point(45, 35)
    case.press(Key.Key_Delete)
    (left,) = boxes(case)
    assert left.id == second.id
    case.press(Key.Key_Z, CTRL)
    case.press(Key.Key_Z, CTRL)
    assert [one.label for one in boxes(case)] == [session.protocol.labels[0], session.protocol.labels[2]]
    case.press(Key.Key_Z, CTRL | SHIFT)
    assert boxes(case)[1].label == session.protocol.labels[0]
    panel = case.docks["Annotate"].classes
    case.click(panel.undo_button)
    case.click(panel.redo_button)
    case.click(panel.buttons[session.protocol.labels[1]])
    assert session.current_label == session.protocol.labels[1]
    assert [label for label, one in panel.buttons.items() if one.isChecked()] == [session.current_label]
    assert len(boxes(case)) == 2


def test_select_move_resize(case: Window) -> None:
    session = case.session
    case.drag((30, 20), (60, 50))
    case.drag((20, 70), (35, 95))
    first, second = boxes(case)
    case.press(Key.Key_V)
    assert session.boxes.selecting and case.docks["Annotate"].classes.edit_button.isChecked()
    case.click(case.canvas, case.at(45, 35))
    assert session.boxes.selected == {first.id}
    case.drag((45, 35), (55, 40))
    moved, other = boxes(case)
    assert moved.id == first.id and other == second
    np.testing.assert_allclose(edges(moved), np.add(edges(first), (10, 5, 10, 5)), atol=0.7)
    case.drag((moved.y1, moved.x1), (moved.y1 + 12, moved.x1 + 8))
    larger, other = boxes(case)
    assert larger.id == first.id and other == second
    np.testing.assert_allclose(edges(larger), np.add(edges(moved), (0, 0, 12, 8)), atol=0.7)
    # The class of the moment is given to what is selected; the right button moves nothing.
    case.press(Key.Key_4)
    assert boxes(case)[0].label == session.protocol.labels[3]
    before = boxes(case)
    case.drag((50, 40), (20, 80), RIGHT)
    assert boxes(case) == before and session.boxes.selected == {first.id}
    case.press(Key.Key_Delete)
    assert [one.id for one in boxes(case)] == [second.id]
    case.press(Key.Key_V)
    assert session.boxes.drawing
    case.press(Key.Key_B)
    assert not session.boxes.drawing and not session.boxes.selecting
    case.press(Key.Key_V)
    assert session.boxes.selecting, "V selects, whatever was before"


def test_copy_interpolate_join_jump(case: Window) -> None:
    session = case.session
    case.drag((30, 20), (60, 50))
    (box,) = boxes(case)
    case.press(Key.Key_C)
    assert session.slice_index == 7
    case.press(Key.Key_C, SHIFT)
    assert session.slice_index == 6 and len(boxes(case)) == 2, "where the lesion has a box, none is added"
    case.press(Key.Key_C, SHIFT)
    assert session.slice_index == 5
    assert sorted(one.z for one in boxes(case)) == [5, 6, 7]
    assert len({one.lesion or one.id for one in boxes(case)}) == 1, "one lesion"
    assert {one.origin for one in boxes(case) if one.id != box.id} == {"copied"}
    session.go_to(11)
    case.drag((40, 30), (70, 60))
    case.press(Key.Key_I)
    made = {one.z: one for one in boxes(case) if one.origin == "interpolated"}
    assert sorted(made) == [8, 9, 10]
    np.testing.assert_allclose(edges(made[9]), np.add(edges(box), (5, 5, 5, 5)), atol=0.7)
    assert len({one.lesion or one.id for one in boxes(case)}) == 1
    case.press(Key.Key_Z, CTRL)
    assert not [one for one in boxes(case) if one.origin == "interpolated"], "one undo takes all of them"
    lines = len(case.session.journal.path.read_text().splitlines())
    session.go_to(2)
    case.press(Key.Key_I)
    assert "Point at one box" in case.said[-1]
    assert len(case.session.journal.path.read_text().splitlines()) == lines

    # Two far apart are two lesions, until both are selected and joined; one alone is parted.
    session.go_to(6)
    case.drag((70, 80), (90, 105))
    assert case.docks["Annotate"].lesions.table.topLevelItemCount() == 3
    case.press(Key.Key_V)
    case.click(case.canvas, case.at(45, 35))
    QTest.mouseClick(case.canvas, Qt.MouseButton.LeftButton, SHIFT, case.at(80, 90))
    case.settle()
    assert len(session.boxes.selected) == 2
    case.press(Key.Key_L)
    assert case.docks["Annotate"].lesions.table.topLevelItemCount() == 2
    case.click(case.canvas, case.at(80, 90))
    case.press(Key.Key_L)
    assert case.docks["Annotate"].lesions.table.topLevelItemCount() == 3

    order = [one.z for one in sorted(boxes(case), key=lambda one: (one.z, one.y0, one.x0))]
    session.go_to(0)
    session.boxes.last = ""
    seen = []
    for _ in order:
        case.press(Key.Key_J)
        seen.append(session.slice_index)
    assert seen == order
    case.press(Key.Key_J)
    assert session.slice_index == order[0], "from the last to the first"
    case.press(Key.Key_J, SHIFT)
    assert session.slice_index == order[-1]


def test_hold_h_hides(case: Window) -> None:
    case.drag((30, 20), (60, 50))
    layer = case.session.boxes.layer
    case.hold(Key.Key_H)
    assert not layer.visible and case.session.editing.hidden
    case.release(Key.Key_H)
    assert layer.visible and not case.session.editing.hidden
    case.drag((70, 60), (85, 80))
    assert len(boxes(case)) == 2, "one draws as before"


def test_no_lesion(case: Window) -> None:
    session, panel = case.session, case.docks["Annotate"].lesions
    case.press(Key.Key_X)
    assert session.journal.empty_slices == (6,) and panel.slice_button.isChecked()
    session.go_to(7)
    assert not panel.slice_button.isChecked()
    case.press(Key.Key_X, SHIFT)
    assert session.journal.empty_case and panel.case_button.isChecked()
    case.drag((30, 20), (60, 50))
    assert not session.journal.empty_case and session.journal.empty_slices == (6,)
    session.go_to(6)
    case.drag((30, 20), (60, 50))
    assert session.journal.empty_slices == () and len(boxes(case)) == 2
    case.press(Key.Key_X)
    assert session.journal.empty_slices == () and len(boxes(case)) == 2, "not where a box is"
    case.click(panel.case_button)
    assert not session.journal.empty_case and not panel.case_button.isChecked()


# ---------------------------------------------------------------------- gestures


def test_wheel_zoom_window_and_level(case: Window) -> None:
    session, camera = case.session, case.viewer.scene.camera
    case.wheel((40, 40), -1)
    assert session.slice_index == 7
    case.wheel((40, 40), 3)
    assert session.slice_index == 4
    case.wheel((40, 40), 0.5)
    assert session.slice_index == 4
    case.wheel((40, 40), 0.5)
    assert session.slice_index == 3, "a touchpad's parts of a notch add up"

    case.point(30, 80)
    place, zoom = case.at(30, 80), camera.zoom
    case.wheel((30, 80), 2, CTRL)
    assert camera.zoom > 1.2 * zoom and session.slice_index == 3
    after = case.at(30, 80)
    assert abs(after.x() - place.x()) <= 1 and abs(after.y() - place.y()) <= 1

    dynamic = look.shown_image(case.viewer.layers, session.volume)
    limits, zoom, center = dynamic.contrast_limits, camera.zoom, camera.center
    case.drag((30, 70), (45, 95), RIGHT)
    low, high = dynamic.contrast_limits
    assert high - low > 1.2 * (limits[1] - limits[0]), "to the right: wider"
    assert (high + low) > (limits[1] + limits[0]) + 1, "down: darker"
    assert camera.zoom == zoom and camera.center == center
    assert boxes(case) == () and session.boxes.drawing
    case.drag((30, 70), (45, 95))
    assert len(boxes(case)) == 1
    case.press(Key.Key_R)
    assert tuple(dynamic.contrast_limits) == tuple(limits)


def test_flicker(case: Window) -> None:
    session = case.session
    session.go_to(phase_index=2)
    case.press(Key.Key_Q)
    assert session.phase_index == 0
    case.press(Key.Key_Q)
    assert session.phase_index == 2
    subtraction = case.viewer.layers["Subtraction"]
    case.press(Key.Key_S)
    assert subtraction.visible
    limits = tuple(subtraction.contrast_limits)
    plain = tuple(case.viewer.layers["Dynamic"].contrast_limits)
    case.drag((30, 40), (30, 80), RIGHT)
    assert tuple(subtraction.contrast_limits) != limits, "what is seen is what changes"
    assert tuple(case.viewer.layers["Dynamic"].contrast_limits) == plain
    case.press(Key.Key_R)
    assert tuple(subtraction.contrast_limits) == limits
    case.press(Key.Key_S)
    assert not subtraction.visible


def test_a_study_that_comes_during_a_drag_gets_no_box(case: Window) -> None:
    session = case.session
    case.drag((20, 70), (35, 95))
    first = session.journal
    case.begin_drag((30, 20))
    case.go_on((30, 20), (50, 40))
    session.show_study(make_volume(12, 96, 112, uid="9.9"))
    case.settle()
    case.go_on((50, 40), (60, 50))
    case.end_drag((60, 50))
    assert session.journal is not first and session.volume.identity.study_uid == "9.9"
    assert boxes(case) == () and len(first.boxes) == 1
    assert session.boxes.drawing
    case.drag((40, 30), (60, 60))
    (box,) = boxes(case)
    np.testing.assert_allclose(edges(box), (40, 30, 60, 60), atol=0.6)

    # The same while a box is moved.
    case.press(Key.Key_V)
    case.click(case.canvas, case.at(50, 45))
    case.begin_drag((50, 45))
    case.go_on((50, 45), (60, 50))
    session.show_study(make_volume(12, 96, 112))
    case.settle()
    case.go_on((60, 50), (70, 55))
    case.end_drag((70, 55))
    assert [one.id for one in boxes(case)] == [first.boxes[0].id]
    assert edges(boxes(case)[0]) == edges(first.boxes[0])


# ------------------------------------------------------------------- suggestions


def test_suggestions(window: Window) -> None:
    session = window.session
    session.show_study(make_volume(12, 96, 112))
    window.viewer.reset_view()
    window.settle(100)

    def ask() -> None:
        window.press(Key.Key_U)
        window.wait(lambda: session.workers.busy is None)
        window.settle()

    ask()
    offers = session.offers.shown
    assert sorted(one.z for one in offers) == [5, 6, 7] and session.journal.boxes == ()
    assert session.slice_index in (5, 6, 7) and session.offers.layer.visible
    row, column = 45, 112 / 3
    assert all(one.contains(row, column) for one in offers)
    window.press(Key.Key_2)
    z = session.slice_index
    window.press(Key.Key_Y)
    (box,) = boxes(window)
    assert (box.z, box.label, box.author, box.origin) == (
        z,
        session.protocol.labels[1],
        "anna",
        "enhancement",
    )
    window.press(Key.Key_O)
    assert session.slice_index != z
    window.press(Key.Key_N)
    assert len(session.offers.shown) == 1 and len(session.journal.rejected) == 1
    ask()
    assert sorted(one.z for one in session.offers.shown) == sorted(
        {5, 6, 7} - {box.z} - {one.z for one in session.journal.rejected}
    ), "neither what is a box nor what was turned down is suggested again"
    window.press(Key.Key_Z, CTRL)
    window.press(Key.Key_Z, CTRL)
    assert len(session.offers.shown) == 3 and boxes(window) == () == session.journal.rejected

    # Another case: nothing of the one before is offered; a whole lesion at once.
    session.show_study(make_volume(12, 96, 112, uid="9.9"))
    assert session.offers.shown == ()
    ask()
    window.press(Key.Key_O)
    window.press(Key.Key_Y, SHIFT)
    assert sorted(one.z for one in boxes(window)) == [5, 6, 7] and not session.offers.shown
    assert not session.offers.layer.visible
    window.press(Key.Key_Z, CTRL)
    window.press(Key.Key_N, SHIFT)
    assert boxes(window) == () and not session.offers.shown and len(session.journal.rejected) == 3
    ask()
    assert not session.offers.shown and "nothing new" in window.said[-1]


# ---------------------------------------------------------------------- worklist


def cells(window: Window, column: int) -> list[str]:
    rows = window.docks["Cases"].worklist.rows
    return [str(rows.data(rows.index(row, column)) or "") for row in range(rows.rowCount())]


def test_the_table(window: Window, cases: Path) -> None:
    panel = window.docks["Cases"].worklist
    window.raise_dock("Cases")
    open_list(window, cases)
    assert cells(window, 1) == ["P0", "P1", "P2", "P3"] and cells(window, 4) == ["40", "41", "42", "43"]
    assert panel.counts.text() == "4 cases: 4 to do."
    QTest.keyClicks(panel.search, "left 43")
    assert cells(window, 1) == ["P3"]
    panel.search.clear()

    def middle(row: int) -> Any:
        return panel.table.visualRect(panel.rows.index(row, 1)).center()

    viewport = panel.table.viewport()

    def double_click(row: int) -> None:
        # As a hand does it: two clicks, of which the second comes soon.
        QTest.mouseClick(viewport, Qt.MouseButton.LeftButton, NONE, middle(row))
        QTest.mouseDClick(viewport, Qt.MouseButton.LeftButton, NONE, middle(row))

    double_click(2)
    arrived(window, 2)
    QTest.mouseClick(viewport, Qt.MouseButton.LeftButton, NONE, middle(1))
    panel.table.setFocus()
    QTest.keyClick(panel.table, Key.Key_Return)
    arrived(window, 1)
    window.press(Key.Key_X, SHIFT)
    window.press(Key.Key_Return)
    arrived(window, 2)
    assert cells(window, 2) == ["to do", "done", "to do", "to do"]
    panel.status.setCurrentText("done")
    assert cells(window, 1) == ["P1"]
    panel.status.setCurrentText("to do")
    assert cells(window, 1) == ["P0", "P2", "P3"]
    # A row that is filtered is the row that is opened.
    double_click(0)
    arrived(window, 0)
    panel.status.setCurrentText("all")
    window.press(Key.Key_B)
    window.drag((20, 20), (40, 40))
    assert cells(window, 3)[0] == "1" and cells(window, 2)[0] == "in work"
    assert panel.counts.text() == "4 cases: 2 to do, 1 in work, 1 done."


def test_done_skip_and_the_way_back(window: Window, cases: Path) -> None:
    session = window.session
    open_list(window, cases)
    window.press(Key.Key_Return)
    arrived(window, 0)
    assert "no box yet" in window.said[-1], "a case without a word about lesions is not done"
    window.press(Key.Key_B)
    window.drag((20, 20), (40, 40))
    window.press(Key.Key_Return)
    arrived(window, 1)
    assert session.boxes.drawing, "one goes on drawing"
    dock = window.docks["Annotate"].case
    QTest.keyClicks(dock.reason, "moved too much")
    QTest.keyClick(dock.reason, Key.Key_Return)
    arrived(window, 2)
    window.press(Key.Key_K)
    arrived(window, 3)
    assert "2 of 4" not in dock.text.text() and "4 of 4" in dock.text.text()
    window.press(Key.Key_PageDown)
    assert "last case" in window.said[-1]
    window.press(Key.Key_PageUp)
    arrived(window, 2)
    window.press(Key.Key_PageUp)
    arrived(window, 1)
    assert "skipped: moved too much" in dock.text.text()
    window.press(Key.Key_PageUp)
    arrived(window, 0)
    assert len(boxes(window)) == 1 and "done" in dock.text.text()
    window.click(dock.done_button)
    assert session.journal.status == "open" and dock.done_button.text() == "Done"
    counts = session.reading.log.counts()
    assert (counts["skipped"], counts["done"]) == (2, 1), "the log hears of it when the case is left"
    session.reading.settle()
    assert session.reading.log.counts()["open"] == 1


def test_resume_after_closing(make_napari_viewer: Any, qtbot: Any, monkeypatch: Any, cases: Path) -> None:
    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    monkeypatch.setattr(notices, "warn", lambda sentence: None)
    viewer = make_napari_viewer(show=True)
    window = Window(viewer, qtbot, ("Annotate",))
    open_list(window, cases)
    window.press(Key.Key_PageDown)
    arrived(window, 1)
    window.press(Key.Key_B)
    window.drag((20, 20), (40, 40))
    kept = boxes(window)
    viewer.close()
    window.session.shut_down()
    window.__dict__.clear()

    viewer = make_napari_viewer(show=True)
    window = Window(viewer, qtbot, ("Annotate",))
    open_list(window, cases, 1)
    assert boxes(window) == kept and len(kept) == 1
    log = window.session.reading.log
    assert log.standing(log.turns[1]).boxes == 1, "known before the case was opened, too"
    window.session.shut_down()
    window.__dict__.clear()


def test_read_ahead_needs_no_file_any_more(window: Window, cases: Path) -> None:
    reading = window.session.reading
    open_list(window, cases)
    assert reading.is_ready(reading.log.turns[1]) and not reading.is_ready(reading.log.turns[2])
    pixels = window.session.volume.data
    shutil.rmtree(cases / "case1")
    window.press(Key.Key_PageDown)
    assert on_screen(window) == "case1", "at once"
    assert window.session.complete and not np.array_equal(window.session.volume.data, pixels)
    dynamic = window.viewer.layers["Dynamic"]
    phase, z = window.session.phase_index, window.session.slice_index
    np.testing.assert_array_equal(dynamic._slice.image.raw, window.session.volume.data[phase, z])
    window.press(Key.Key_B)
    window.drag((20, 20), (40, 40))
    assert len(boxes(window)) == 1
    arrived(window)
    assert reading.is_ready(reading.log.turns[2])


def test_another_reader_sees_their_own(window: Window, cases: Path) -> None:
    session, panel = window.session, window.docks["Cases"].worklist
    open_list(window, cases)
    window.press(Key.Key_B)
    window.drag((20, 20), (40, 40))
    mine = boxes(window)
    window.raise_dock("Cases")
    panel.reader.selectAll()
    QTest.keyClicks(panel.reader, "berta")
    QTest.keyClick(panel.reader, Key.Key_Return)
    arrived(window, 0)
    assert session.reader == "berta" and boxes(window) == () and panel.counts.text() == "4 cases: 4 to do."
    window.press(Key.Key_B)
    if not session.boxes.drawing:
        window.press(Key.Key_B)
    window.drag((30, 30), (50, 50))
    hers = boxes(window)
    assert [one.author for one in hers] == ["berta"]
    panel.reader.selectAll()
    QTest.keyClicks(panel.reader, "anna")
    QTest.keyClick(panel.reader, Key.Key_Return)
    arrived(window, 0)
    assert boxes(window) == mine


def test_some_twice_with_names_hidden(window: Window, cases: Path) -> None:
    session, panel = window.session, window.docks["Cases"].worklist
    window.raise_dock("Cases")
    open_list(window, cases)
    panel.order.setCurrentIndex(2)
    panel.order.activated.emit(2)
    arrived(window)
    turns = session.reading.log.turns
    assert len(turns) == 5 and cells(window, 1) == [f"Case {number}" for number in range(1, 6)]
    assert panel.model.columnCount() == 4, "the list's own columns could tell the case"
    assert not any(name in window.docks["Annotate"].case.text.text() for name in ("P0", "P1", "P2", "P3"))
    (again,) = [turn for turn in turns if turn.reading == 2]
    first = next(turn for turn in turns if turn.case_id == again.case_id)
    session.reading.go(turns.index(first))
    arrived(window)
    window.press(Key.Key_B)
    window.drag((20, 20), (40, 40))
    once, path = boxes(window), session.journal.path
    session.reading.go(turns.index(again))
    arrived(window)
    assert boxes(window) == () and session.journal.path != path
    window.drag((30, 30), (50, 50))
    session.reading.go(turns.index(first))
    arrived(window)
    assert boxes(window) == once
    assert [session.reading.standing(one).boxes for one in (first, again)] == [1, 1]


@pytest.mark.parametrize("with_boxes", [True, False])
def test_moved_cases_are_said_and_found(
    window: Window, cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_boxes: bool
) -> None:
    session, panel = window.session, window.docks["Cases"].worklist
    window.raise_dock("Cases")
    open_list(window, cases)
    window.press(Key.Key_B)
    window.drag((20, 20), (40, 40))
    kept = boxes(window)
    window.press(Key.Key_PageDown)
    arrived(window, 1)
    new = tmp_path / "archive" / "2024" / "somewhere"
    if with_boxes:
        new.parent.mkdir(parents=True)
        shutil.move(cases / "case0", new)
    else:
        new.mkdir(parents=True)
        for one in list((cases / "case0").iterdir()):
            if one.name != "napari-breast-ai":
                shutil.move(one, new / one.name)
    window.press(Key.Key_PageUp)
    window.settle()
    assert session.volume is None and "There is nothing at" in window.said[-1] and "P0" in window.said[-1]
    assert window.docks["Annotate"].message.text() == window.said[-1]
    assert "P0" in window.docks["Annotate"].case.text.text()
    monkeypatch.setattr(
        "napari_breast_ai.viewer.widgets.worklist_panel.choose_moved",
        lambda parent: str(tmp_path / "archive"),
    )
    window.click(panel.moved_button)
    window.wait(lambda: session.volume is not None)
    arrived(window)
    assert Path(session.source) == new and boxes(window) == kept and len(kept) == 1
    assert any("Found 1 of 1" in one for one in window.said)
    assert cells(window, 3)[0] == "1"


def test_a_case_that_cannot_be_read_is_skipped(window: Window, cases: Path) -> None:
    session = window.session
    for one in (cases / "case1").iterdir():
        one.write_bytes(b"no image") if one.is_file() else shutil.rmtree(one)
    open_list(window, cases)
    window.press(Key.Key_PageDown)
    window.wait(lambda: session.volume is None and not session.reading.opening)
    assert session.reading.turn.case_id == "P1"
    QTest.keyClicks(window.docks["Annotate"].case.reason, "broken")
    window.click(window.docks["Annotate"].case.skip_button)
    arrived(window, 2)
    log = session.reading.log
    assert (log.standing(log.turns[1]).status, log.standing(log.turns[1]).reason) == ("skipped", "broken")


def test_a_case_whose_boxes_cannot_be_read_is_skipped(window: Window, cases: Path) -> None:
    session = window.session
    open_list(window, cases)
    identity = session.volume.identity
    window.press(Key.Key_PageDown)
    arrived(window, 1)
    place = journal_path(cases / "case0", identity, session.reader)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b'{"something": "else"}\n')
    window.press(Key.Key_PageUp)
    arrived(window, 0)
    assert session.journal is None
    QTest.keyClicks(window.docks["Annotate"].case.reason, "somebody else's file")
    window.click(window.docks["Annotate"].case.skip_button)
    arrived(window, 1)
    log = session.reading.log
    assert log.standing(log.turns[0]).status == "skipped"
    assert place.read_bytes() == b'{"something": "else"}\n'


def test_the_classes_are_changed_in_the_dock(window: Window, cases: Path) -> None:
    session = window.session
    open_list(window, cases)
    panel = window.docks["Annotate"].classes
    window.click(panel.change_button)
    editor = panel.editor
    assert editor.isVisible() and [one.text() for one in editor.names] == list(session.protocol.labels)
    first = session.protocol.labels[0]
    window.click(editor.add_button)
    QTest.keyClicks(editor.names[-1], first)
    window.click(editor.save_button)
    assert "same name" in editor.complaint.text() and editor.isVisible()
    editor.names[-1].clear()
    QTest.keyClicks(editor.names[-1], "cyst")
    editor.set_color(len(editor.names) - 1, "#123456")
    window.click(editor.save_button)
    assert not editor.isVisible() and session.protocol.labels[-1] == "cyst"
    assert read_protocol(cases).classes[-1] == BoxClass("cyst", "#123456"), "kept beside the list"
    window.press(Key(Key.Key_0 + len(session.protocol.labels)))
    assert session.current_label == "cyst"
    window.press(Key.Key_B)
    window.drag((20, 20), (40, 40))
    assert boxes(window)[0].label == "cyst"
    window.raise_dock("Annotate")


# ------------------------------------------------------------- the wrong case


def test_five_cases_in_a_row(window: Window, cases: Path) -> None:
    """While cases are opened one after the other, keys and the mouse do nothing to a case that is not there."""
    session = window.session
    open_list(window, cases)
    journals = {"case0": session.journal.path}
    for _ in range(5):
        QTest.keyClick(window.canvas, Key.Key_PageDown)
        for key, modifier in (
            (Key.Key_X, SHIFT),
            (Key.Key_X, NONE),
            (Key.Key_Return, NONE),
            (Key.Key_K, NONE),
            (Key.Key_C, NONE),
        ):
            if session.reading.opening:
                QTest.keyClick(window.canvas, key, modifier)
    assert session.reading.turn.case_id == "P3"
    arrived(window, 3)
    assert session.journal.empty_slices == () and not session.journal.empty_case
    assert not journals["case0"].exists(), "nothing was said of the first case"
    for number in range(4):
        folder = cases / f"case{number}" / "napari-breast-ai"
        assert not list(folder.glob("boxes-*")), f"case{number}"
    log = session.reading.log
    assert [log.standing(turn).status for turn in log.turns] == ["to do"] * 4

    # A box that is drawn on what is seen belongs to what is seen.
    window.press(Key.Key_B)
    cold = next(place for place in range(3) if not session.reading.is_ready(log.turns[place]))
    session.reading.go(cold)
    assert session.reading.opening and on_screen(window) == "case3"
    seen = session.journal
    window.begin_drag((20, 20))
    if on_screen(window) == "case3":
        session.boxes.layer.add_rectangles([[3, 5, 5], [3, 5, 20], [3, 20, 20], [3, 20, 5]])
        assert len(seen.boxes) == 1
    window.end_drag((20, 20))
    arrived(window, cold)
    assert boxes(window) == ()
    assert session.reading.log.standing(log.turns[3]).boxes == len(seen.boxes)


def test_a_study_by_another_door_is_no_case_of_the_list(window: Window, cases: Path, tmp_path: Path) -> None:
    session = window.session
    open_list(window, cases)
    session.show_study(make_volume(12, 96, 112))
    window.viewer.reset_view()
    assert session.reading.turn is None
    window.press(Key.Key_B)
    window.drag((20, 20), (40, 40))
    session.reading.settle()
    log = session.reading.log
    assert log.standing(log.turns[0]).boxes == 0 and log.counts()["to do"] == 4
    window.press(Key.Key_PageDown)
    arrived(window, 1)
    # While a case is being opened, too.
    session.reading.go(3)
    session.show_study(make_volume(12, 96, 112))
    window.settle(200)
    window.wait(lambda: session.workers.busy is None)
    assert session.reading.turn is None and not session.reading.opening
    assert session.volume.identity.study_uid == "1.2.3"


def test_an_opening_that_is_stopped_leaves_the_case_before(window: Window, cases: Path) -> None:
    session = window.session
    open_list(window, cases)
    session.reading.go(3)
    assert session.reading.opening and session.reading.turn.case_id == "P3"
    session.workers.cancel(tasks.STUDY)
    window.wait(lambda: not session.reading.opening)
    assert session.reading.turn.case_id == "P0" and on_screen(window) == "case0"
    assert session.reading.log.place == 0
    window.press(Key.Key_X, SHIFT)
    assert session.journal.empty_case


# --------------------------------------------------------------------- trouble


def test_what_is_not_saved_is_seen_and_saved_later(
    make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, cases: Path
) -> None:
    monkeypatch.setattr(keeper, "RETRY_MS", 300)
    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    monkeypatch.setattr(notices, "warn", lambda sentence: None)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1600, 1000)
    window = Window(viewer, qtbot, ("Annotate",))
    session, dock = window.session, window.docks["Annotate"]
    open_list(window, cases)
    window.press(Key.Key_B)
    window.drag((10, 10), (20, 20))
    folder = session.journal.path.parent
    folder.rename(folder.with_name("away"))
    folder.write_text("no folder")
    assert not dock.trouble.isVisible()
    window.drag((20, 20), (40, 40))
    assert dock.trouble.isVisible() and "Not saved" in dock.trouble.text()
    assert dock.trouble.height() >= dock.trouble.heightForWidth(dock.trouble.width()), "all of it can be read"
    assert "Saved" not in dock.lesions.text.text()
    assert len(session.journal.boxes) == 2
    window.settle(800)
    assert dock.trouble.isVisible()
    folder.unlink()
    folder.with_name("away").rename(folder)
    window.wait(lambda: not dock.trouble.isVisible())
    assert len(boxes(window)) == 2 and "Saved" in dock.lesions.text.text()
    assert not session.keeper._timer.isActive()
    session.shut_down()
    window.__dict__.clear()


def test_a_newer_journal_is_shown_and_left_alone(window: Window, tmp_path: Path) -> None:
    session, dock = window.session, window.docks["Annotate"]
    volume = make_volume(12, 96, 112)
    path = journal_path(tmp_path, volume.identity, "anna")
    journal = Journal(path, "anna", placing=Placing.of(volume))
    journal.add(Box(6, 20, 20, 40, 40, "IGM"))
    path.write_text(
        path.read_text().replace('"version":3', '"version":99').replace('"version": 3', '"version": 99')
    )
    before = path.read_bytes()
    session.show_study(volume, str(tmp_path))
    window.viewer.reset_view()
    window.settle(100)
    assert len(session.journal.boxes) == 1 and "newer version" in dock.message.text()
    assert not dock.classes.draw_button.isEnabled() and not dock.case.done_button.isEnabled()
    for key in (Key.Key_B, Key.Key_Delete, Key.Key_X, Key.Key_C, Key.Key_K, Key.Key_Return, Key.Key_U):
        window.press(key)
    window.drag((50, 50), (70, 70))
    window.wait(lambda: session.workers.busy is None)
    assert path.read_bytes() == before and len(session.journal.boxes) == 1
    assert len(session.boxes.layer.data) == 1


# ------------------------------------------------------------- odd moments


def statuses(window: Window) -> list[str]:
    reading = window.session.reading
    return [reading.standing(turn).status for turn in reading.log.turns]


@pytest.mark.parametrize("key", [Key.Key_Return, Key.Key_Enter])
def test_enter_in_a_field_says_no_case_done(window: Window, cases: Path, key: Any) -> None:
    """The key that ends a reason or a name would go on to the window, where it means: done."""
    session, panel = window.session, window.docks["Cases"].worklist
    open_list(window, cases)
    for number in (1, 0):
        session.reading.go(number)
        arrived(window, number)
        session.journal.say_empty(None)
    window.raise_dock("Cases")
    for field in (panel.reader, panel.search):
        field.setFocus()
        QTest.keyClick(field, key)
        window.settle()
    assert statuses(window) == ["open", "open", "to do", "to do"] and on_screen(window) == "case0"
    window.raise_dock("Annotate")
    reason = window.docks["Annotate"].case.reason
    reason.setFocus()
    QTest.keyClicks(reason, "poor fat suppression")
    QTest.keyClick(reason, key)
    arrived(window, 1)
    assert statuses(window) == ["skipped", "open", "to do", "to do"]
    window.press(key)
    arrived(window, 2)
    assert statuses(window) == ["skipped", "done", "to do", "to do"], "over the picture it means done"


def test_what_is_on_no_disk_stays_when_the_case_is_left(
    window: Window, cases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "RETRY_MS", 50)
    session = window.session
    open_list(window, cases)
    window.press(Key.Key_B)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        for name in ("_write", "_rewrite_rescue"):
            disk.setattr(LineStore, name, full)
        window.drag((20, 20), (40, 40))
        kept = session.journal.boxes
        assert len(kept) == 1 and session.journal.in_memory_only
        window.press(Key.Key_PageDown)
        arrived(window, 1)
        assert session.keeper.trouble and window.docks["Annotate"].trouble.isVisible()
        assert not session.may_close() and "stays open" in window.said[-1]
        window.press(Key.Key_PageUp)
        arrived(window, 0)
        assert session.journal.boxes == kept, "it is on the screen again"
        window.press(Key.Key_PageDown)
        arrived(window, 1)
    window.wait(lambda: not session.keeper.trouble)
    window.press(Key.Key_PageUp)
    arrived(window, 0)
    assert boxes(window) == kept and session.may_close()


def test_a_second_button_leaves_the_drawing_on(case: Window) -> None:
    at = case.at(40, 40)
    case.point(40, 40)
    for button in (RIGHT, Qt.MouseButton.MiddleButton):
        QTest.mousePress(case.canvas, button, pos=at)
    for button in (Qt.MouseButton.MiddleButton, RIGHT):
        QTest.mouseRelease(case.canvas, button, pos=at)
    case.settle()
    assert boxes(case) == ()
    case.drag((20, 20), (50, 50))
    assert len(boxes(case)) == 1


def test_a_lesion_s_first_box_is_parted_from_it(case: Window) -> None:
    case.drag((20, 20), (50, 50))
    case.press(Key.Key_C)
    first, second = boxes(case)
    assert second.lesion == first.id
    case.press(Key.Key_Up)
    case.press(Key.Key_L)
    assert len(lesions(boxes(case))) == 2
    case.press(Key.Key_Z, CTRL)
    assert len(lesions(boxes(case))) == 1


def test_a_box_pulled_through_slices_stays_as_it_was(case: Window) -> None:
    case.drag((20, 20), (50, 50))
    before = boxes(case)
    layer = case.session.boxes.layer
    corners = np.array(layer.data[0])
    corners[:2, 0] -= 2
    layer.data = [corners]
    case.settle()
    assert boxes(case) == before and "Boxes are drawn on slices" in case.said[-1]


def test_keys_where_the_boxes_cannot_be_read(window: Window, tmp_path: Path) -> None:
    session = window.session
    path = journal_path(tmp_path, make_volume().identity, "anna")
    path.parent.mkdir()
    path.write_bytes(b"no journal\n" * 3)
    session.show_study(make_volume(), str(tmp_path))
    assert session.journal is None and "not a journal" in window.said[-1]
    for key in "BVJLICXHUYNOQSRKT12":
        window.press(getattr(Key, f"Key_{key}"))
    for key in (Key.Key_Enter, Key.Key_Delete, Key.Key_PageDown):
        window.press(key)
    assert path.read_bytes() == b"no journal\n" * 3


def test_two_missing_cases_in_a_row_can_be_skipped(window: Window, cases: Path) -> None:
    for number in (0, 1):
        shutil.rmtree(cases / f"case{number}")
    window.session.reading.open(cases / "list.csv")
    window.wait(lambda: window.session.reading.unreadable)
    button = window.docks["Annotate"].case.skip_button
    window.click(button)
    assert window.session.reading.turn.case_id == "P1" and button.isEnabled()
    window.click(button)
    arrived(window, 2)
    assert statuses(window) == ["skipped", "skipped", "to do", "to do"]


def test_a_case_that_fails_late_does_not_close_the_next(
    window: Window, cases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, gate = window.session, threading.Event()
    shutil.rmtree(cases / "case0")
    session.reading.open(cases / "list.csv")
    window.wait(lambda: session.reading.unreadable)
    session.reading.read_ahead()
    turns = session.reading.log.turns
    window.wait(lambda: session.reading.is_ready(turns[1]))

    def slow(path: Path, progress: Any) -> Any:
        gate.wait(30)
        raise BreastAIError("It cannot be read.")

    monkeypatch.setattr(reading, "open_first", slow)
    session.reading.go(3)
    session.reading.go(1)
    arrived_at = session.volume
    assert arrived_at is not None and on_screen(window) == "case1"
    gate.set()
    window.wait(lambda: session.workers.busy is None)
    assert session.volume is arrived_at and session.reading.shown == turns[1]


def test_two_cases_of_one_study_are_said(window: Window, cases: Path) -> None:
    """Boxes and status are a study's; the second case would look done without having been looked at."""
    shutil.copytree(cases / "case0", cases / "case9")
    (cases / "list.csv").write_text("case_id,path\nleft,case0\nright,case9\n")
    open_list(window, cases, None)
    window.press(Key.Key_X, SHIFT)
    window.press(Key.Key_PageDown)
    arrived(window)
    assert on_screen(window) == "case9" and window.session.journal.empty_case
    assert any("“right” and “left” are images of one study" in one for one in window.said)
