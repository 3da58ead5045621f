"""The Kinetics dock in a real window, by mouse and key, on a phantom whose truth is known and on a real slice."""

from __future__ import annotations

import csv
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand import CTRL, Window
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from conftest import make_volume
from napari_breast_ai.core import Box, Cancelled, DceVolume, PhaseTimes
from napari_breast_ai.kinetics import CLASS_COLORS, MotionSettings, choose_phases, kinetic_maps
from napari_breast_ai.viewer import kinetic_look as kind
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer import notices, tasks
from napari_breast_ai.viewer.following import show_instead

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]

Key = Qt.Key
RING = Box(0, 96.5, 85.5, 124.5, 112.5, "other malignant")


@pytest.fixture
def window(make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    for name in ("warn", "complain", "tell"):
        monkeypatch.setattr(notices, name, lambda sentence: None)
    for name in ("kinetics_curves", "kinetics_lesions"):
        monkeypatch.setattr(f"napari_breast_ai.viewer.widgets.{name}.tell", lambda sentence: None)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1600, 1000)
    made = Window(viewer, qtbot, ("Kinetics",))
    yield made
    made.session.shut_down()
    made.__dict__.clear()


@pytest.fixture
def phantom(window: Window, phantom_factory: Callable[..., Any]) -> Any:
    """A phantom without noise and motion on the screen, its maps computed."""
    made = phantom_factory("nme", seed=2, shape=(8, 96, 96), n_phases=8, noise=0.0, motion_mm=0)
    window.session.show_study(made.volume)
    window.viewer.reset_view()
    window.session.go_to(largest(made).z)
    ready(window)
    return made


def ready(window: Window) -> None:
    """The maps are there, and the lesions measured."""
    kinetics = window.session.kinetics
    window.wait(lambda: kinetics.maps is not None and kinetics.maps.choice is kinetics.choice)
    measured(window)


def measured(window: Window) -> None:
    window.wait(lambda: not window.session.workers.running("grow"))
    window.settle(200)
    window.wait(lambda: not window.session.workers.running("measure"))


def largest(phantom: Any) -> Box:
    found: Box = max(phantom.truth.boxes, key=lambda box: box.area)
    return found


def page(window: Window, name: str) -> None:
    tabs = window.dock.tabs
    (at,) = [i for i in range(tabs.count()) if tabs.tabText(i) == name]
    window.click(tabs.tabBar(), tabs.tabBar().tabRect(at).center())
    assert tabs.currentIndex() == at


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def draw(window: Window, box: Box) -> None:
    window.press(Key.Key_B)
    window.drag((box.y0, box.x0), (box.y1, box.x1))
    measured(window)


def truth(volume: DceVolume, z: int) -> np.ndarray:
    """Codes of the classes by their definition, in double precision."""
    choice = choose_phases(volume)
    s0, s1, sd = (volume.data[p, z].astype(float) for p in (choice.pre, choice.early, choice.late))
    with np.errstate(divide="ignore", invalid="ignore"):
        initial, delayed = 100 * (s1 - s0) / s0, 100 * (sd - s1) / s1
    course = np.where(delayed > 10, 0, np.where(delayed < -10, 2, 1))
    code = 1 + 3 * course + np.where(initial < 50, 0, np.where(initial > 100, 2, 1))
    near = (
        (np.abs(np.abs(delayed) - 10) < 0.05) | (np.abs(initial - 50) < 0.05) | (np.abs(initial - 100) < 0.05)
    )
    return np.where(near, -1, np.where(initial >= 50, code, 0))


def test_the_colours_on_the_screen_are_the_true_classes(window: Window, phantom: Any) -> None:
    kinetics, z = window.session.kinetics, window.session.slice_index
    layer = kinetics.layers.layer(kind.CLASSES)
    assert layer is not None and layer.visible and tuple(layer.scale) == phantom.volume.geometry.spacing
    wanted = truth(phantom.volume, z)
    tissue = kinetics.maps.tissue(z)
    sure = tissue & (wanted >= 0)
    np.testing.assert_array_equal(np.asarray(layer.data[z])[sure], wanted[sure])
    kinetics.layers.show(opacity=1.0)
    window.session.boxes.layer.visible = False
    window.settle(100)
    # Not the corner with the lines of text.
    inside = np.argwhere(sure & phantom.truth.lesion[z] & (wanted > 0))
    assert len(inside) > 30
    picture = window.viewer.screenshot(canvas_only=True, flash=False)
    factor = picture.shape[1] / window.canvas.width()
    for row, column in inside[:: max(1, len(inside) // 40)]:
        at = window.at(row, column)
        seen = picture[round(at.y() * factor), round(at.x() * factor), :3]
        color = CLASS_COLORS[wanted[row, column]]
        np.testing.assert_allclose(seen, [int(color[i : i + 2], 16) for i in (1, 3, 5)], atol=3)


def test_phases_with_reasons_and_by_hand(window: Window, phantom: Any) -> None:
    kinetics, panel = window.session.kinetics, window.dock.phases
    choice = choose_phases(phantom.volume)
    assert [panel.boxes[one].currentData() for one in ("pre", "early", "late")] == [
        choice.pre,
        choice.early,
        choice.late,
    ]
    assert not panel.reasons.isVisible() and not panel.by_time.isVisible()
    window.click(panel.why)
    assert panel.reasons.text() == "\n".join(choice.reasons) and panel.reasons.isVisible()
    panel.boxes["early"].setFocus()
    QTest.keyClick(panel.boxes["early"], Key.Key_Up)
    ready(window)
    assert kinetics.choice.early == choice.early - 1
    assert "chosen by hand" in panel.reasons.text()
    np.testing.assert_array_equal(
        np.asarray(kinetics.layers.layer(kind.CLASSES).data[3]),
        kinetic_maps(phantom.volume, kinetics.choice).classes(3, kinetics.thresholds),
    )
    window.click(panel.by_time)
    ready(window)
    assert kinetics.choice == choice


def test_a_slider_acts_on_every_slice_and_the_list_changes_the_map(window: Window, phantom: Any) -> None:
    kinetics, sliders = window.session.kinetics, window.dock.map.sliders
    layer = kinetics.layers.layer(kind.CLASSES)
    before = [int((np.asarray(layer.data[z]) > 0).sum()) for z in range(8)]
    sliders["shown"].setFocus()
    for _ in range(4):
        QTest.keyClick(sliders["shown"], Key.Key_PageUp)
    assert kinetics.thresholds.shown > 80
    after = [int((np.asarray(layer.data[z]) > 0).sum()) for z in range(8)]
    assert all(b <= a for a, b in zip(before, after, strict=True)) and sum(after) < 0.8 * sum(before)
    QTest.keyClick(sliders["medium"], Key.Key_End)
    assert kinetics.thresholds.fast >= kinetics.thresholds.medium == 200
    window.click(window.dock.map.usual)
    assert kinetics.thresholds.shown == 50 and sliders["shown"].value() == 50

    z = window.session.slice_index
    maps, layers = kinetics.maps, kinetics.layers
    box = window.dock.map.map_box
    for role, wanted in ((kind.ENHANCEMENT, maps.initial[z]), (kind.SER, maps.ser_bins(z, 50.0))):
        box.setFocus()
        while box.currentData() != role:
            QTest.keyClick(box, Key.Key_Down)
        layer = layers.layer(role)
        assert layer.visible and not layers.layer(kind.CLASSES).visible
        assert f"Shown: {kind.MAP_NAMES[role]}" in window.session.readout.text
        np.testing.assert_array_equal(np.asarray(layer.data[z]), wanted)
    window.press(Key.Key_E)
    assert not kinetics.on and not layer.visible and not window.dock.phases.switch.isChecked()
    window.press(Key.Key_E)
    assert kinetics.on and layer.visible


def test_the_curve_under_the_pointer(window: Window, phantom: Any, tmp_path: Path) -> None:
    kinetics, plot = window.session.kinetics, window.dock.curves.plot
    assert kinetics.curves.pointer is None and "Move the pointer" in plot.rule()
    z = window.session.slice_index
    row, column = np.argwhere(phantom.truth.lesion[z])[10]
    window.point(row, column)
    pointer = kinetics.curves.pointer
    signal = phantom.volume.data[:, z, row, column].astype(float)
    np.testing.assert_allclose(pointer.curve.signal, signal)
    np.testing.assert_allclose(pointer.curve.percent, 100 * (signal / signal[0] - 1))
    assert pointer.curve.middles_s == kinetics.choice.middles_s == plot.times()
    assert f"row {row}, column {column}" in plot.lines()[-1] and "(type I" in plot.lines()[-1]
    assert "Initial enhancement" in plot.rule()
    window.press(Key.Key_M)
    window.point(row + 20, column)
    assert kinetics.curves.kept == 1 and len(plot.lines()) == 2
    # A click on the plot goes to the phase.
    x = round(plot._place().at(plot.times()[5], 0).x())
    window.click(plot, QPoint(x, 60))
    assert window.session.phase_index == 5
    panel = window.dock.curves
    for name in ("curves.png", "curves.svg"):
        panel.save_picture(str(tmp_path / name))
        assert (tmp_path / name).stat().st_size > 5000
    panel.save_data(str(tmp_path / "curves.csv"))
    rows = read(tmp_path / "curves.csv")
    assert len(rows) == 16
    np.testing.assert_allclose([float(one["signal"]) for one in rows[:8]], signal, rtol=1e-4)
    window.click(panel.clear_button)
    assert kinetics.curves.kept == 0

    # Of every box of a lesion, several at once: each with a colour of its own.
    boxes = [replace(largest(phantom), z=at, lesion="one", id="") for at in range(8)]
    for box in boxes:
        window.session.journal.add(box)
    measured(window)
    panel.which.setCurrentIndex(panel.which.findText("its boxes"))
    panel.which.activated.emit(panel.which.currentIndex())
    window.point(row, column)
    assert panel.remark.isVisible() and "7 largest of 8 boxes" in panel.remark.text()
    assert not panel.worst.isEnabled()
    assert [line.split(":")[0] for line in plot.lines()[:-1]] == [f"Lesion 1, slice {at}" for at in range(7)]
    drawn = kinetics.curves.drawn()
    assert len({one.color for one in drawn}) == 8 and not any(one.dashed for one in drawn)
    window.press(Key.Key_M)
    assert kinetics.curves.drawn()[7].dashed and plot.lines()[-2] == "… and 2 more"
    panel.which.setCurrentIndex(panel.which.findText("this lesion"))
    panel.which.activated.emit(panel.which.currentIndex())
    assert not panel.remark.isVisible() and panel.worst.isEnabled()


def test_a_box_by_hand_a_region_and_the_table(window: Window, phantom: Any, tmp_path: Path) -> None:
    session, kinetics = window.session, window.session.kinetics
    page(window, "Lesions")
    panel = window.dock.lesions
    assert panel.hint.isVisible() and not panel.grow_button.isEnabled()
    draw(window, largest(phantom))
    (found,) = kinetics.lesions.found
    (box,) = session.journal.boxes
    assert found.key == box.id and panel.table.columnCount() == 1
    assert any("worst 3 × 3" in line for line in window.dock.curves.plot.lines())
    named = {panel.table.verticalHeaderItem(i).text(): i for i in range(panel.table.rowCount())}
    cell = panel.table.item(named["peak enhancement (%)"], 0).text()
    assert cell == f"{found.figures.peak_percent:.1f}"
    assert panel.table.item(named["longest diameter (mm)"], 0).text() == "–"

    window.click(panel.grow_button)
    measured(window)
    layer = kinetics.regions.layer
    assert look.info(layer)["role"] == look.REGIONS
    region = kinetics.lesions.found[-1]
    assert region.key == box.id and region.name == "Lesion 1, region"
    assert region.figures.voxels == int((layer.data == 1).sum()) == region.area.voxels
    overlap = (np.asarray(layer.data) == 1) & phantom.truth.lesion
    assert overlap.sum() > 0.5 * region.area.voxels
    assert f"{region.size.longest_mm:.1f} × {region.size.across_mm:.1f} mm" in panel.region.text()
    panel.fraction.setFocus()
    for _ in range(3):
        QTest.keyClick(panel.fraction, Key.Key_PageUp)
    measured(window)
    assert int((layer.data == 1).sum()) < region.area.voxels
    window.click(panel.copy_button)
    lines = QApplication.clipboard().text().splitlines()
    assert len(lines) == 3 and "longest diameter (mm)" in lines[0].split("\t")
    panel.save(str(tmp_path / "lesions.csv"))
    assert [one["lesion"] for one in read(tmp_path / "lesions.csv")] == [
        "Lesion 1",
        "Lesion 1, region",
    ]

    # The box goes while it is meant: nothing is left of it, and undo brings its figures back.
    window.press(Key.Key_V)
    window.point((box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2)
    window.press(Key.Key_Delete)
    measured(window)
    assert kinetics.lesions.found == () and not np.any(layer.data) and panel.hint.isVisible()
    window.press(Key.Key_Z, CTRL)
    measured(window)
    assert len(kinetics.lesions.found) == 1


def test_the_table_follows_the_selection_and_the_brush(window: Window, phantom: Any) -> None:
    session, lesions = window.session, window.session.kinetics.lesions
    z = session.slice_index
    one = session.journal.add(Box(z, 10, 10, 30, 30, "NME"))
    two = session.journal.add(Box(2, 40, 40, 70, 70, "IGM"))
    page(window, "Lesions")
    measured(window)
    table = window.dock.lesions.table
    assert table.columnCount() == 2
    window.click(table.viewport(), table.visualItemRect(table.item(0, 1)).center())
    assert lesions.measured.key == two.id and session.slice_index == 2
    session.boxes.edit()
    session.boxes.select(one.id)
    assert lesions.measured.key == one.id and [item.column() for item in table.selectedItems()][:1] == [0]

    # A painted region has figures too.
    kinetics, panel = session.kinetics, window.dock.lesions
    session.go_to(z)
    window.click(panel.paint_button)
    layer = kinetics.regions.layer
    assert kinetics.regions.painting and window.viewer.layers.selection.active is layer
    window.drag((60, 20), (60, 60))
    measured(window)
    found = lesions.found[-1]
    assert found.figures.voxels == int((layer.data == 1).sum()) > 20 and found.size is not None
    window.click(panel.paint_button)
    assert not kinetics.regions.painting

    # Told times leave what was painted, as they leave the boxes; another study has nothing of it.
    painted = np.array(layer.data)
    show_instead(session, replace(phantom.volume, times=replace(phantom.volume.times)))
    window.wait(lambda: len(lesions.found) == 3)
    assert look.info(kinetics.regions.layer)["volume"] is session.volume
    np.testing.assert_array_equal(kinetics.regions.layer.data, painted)
    assert lesions.found[-1].figures.voxels == found.figures.voxels
    session.show_study(make_volume(uid="7.1"))
    window.settle(100)
    assert kinetics.regions.layer is None


def test_subtraction_of_any_two_and_projections(window: Window, phantom: Any) -> None:
    kinetics, z = window.session.kinetics, window.session.slice_index
    page(window, "Images")
    panel = window.dock.images
    window.click(panel.shown, QPoint(8, panel.shown.height() // 2))
    layer = kinetics.layers.layer(kind.DIFFERENCE)
    data = phantom.volume.data.astype(float)
    early, pre = kinetics.choice.early, kinetics.choice.pre
    np.testing.assert_allclose(np.asarray(layer.data[z]), data[early, z] - data[pre, z], atol=1e-3)
    panel.phase.setFocus()
    QTest.keyClick(panel.phase, Key.Key_Down)
    np.testing.assert_allclose(np.asarray(layer.data[z]), data[early + 1, z] - data[pre, z], atol=1e-3)
    QTest.keyClick(panel.base, Key.Key_End)
    QTest.keyClick(panel.phase, Key.Key_End)
    assert "minus itself" in panel.problem.text() and panel.problem.isVisible() and not layer.visible
    kinetics.layers.show(phase=None, base=None)
    for mip, wanted in (("slab", None), ("whole", (data[early] - data[pre]).max(axis=0))):
        kinetics.layers.show(mip=mip)
        window.wait(lambda: not window.session.workers.running("projection"))
        shown = kinetics.layers.layer(kind.PROJECTION)
        assert shown.visible
        if wanted is not None:
            np.testing.assert_allclose(np.asarray(shown.data[z]), wanted, atol=1e-3)
    order = [look.info(one)["role"] for one in window.viewer.layers]
    assert order == sorted(order, key=look.ORDER.index)


def test_what_is_missing_is_said_and_asked_for(window: Window) -> None:
    session, kinetics, panel = window.session, window.session.kinetics, window.dock.phases
    session.show_study(make_volume(1, n_phases=2, uid="2.1"))
    ready(window)
    assert kinetics.choice.late is None and "one phase after contrast" in panel.remarks.text()
    assert kinetics.layers.layer(kind.CLASSES).visible
    assert window.dock.map.map_box.findData(kind.SER) == -1
    assert window.dock.map.key.lines()[0][0].startswith("slow, medium, fast")
    session.show_study(make_volume(1, n_phases=1, uid="2.2"))
    window.settle()
    assert "has one phase" in panel.problem.text() and panel.problem.isVisible()
    assert not any(look.info(one).get("role") in look.KINETIC for one in window.viewer.layers)

    volume = make_volume(4, uid="2.3")
    session.show_study(replace(volume, times=PhaseTimes((0.0,) * 4, ("unknown",) * 4)))
    window.settle()
    assert "Tell the times" in panel.problem.text() and panel.times.asking
    for part, presses in (("early", 1), ("late", 3)):
        panel.boxes[part].setFocus()
        for _ in range(presses):
            QTest.keyClick(panel.boxes[part], Key.Key_Down)
    ready(window)
    assert (kinetics.choice.early, kinetics.choice.late) == (1, 3) and not panel.problem.isVisible()
    assert window.dock.curves.plot.times() == (0, 1, 2, 3)

    said = "there is no pre-contrast phase among them"
    session.show_study(make_volume(4, uid="2.4", warnings=(said,)))
    window.settle()
    assert "contrast agent was given before" in panel.problem.text()
    panel.boxes["pre"].setFocus()
    QTest.keyClick(panel.boxes["pre"], Key.Key_Down)
    ready(window)
    assert kinetics.choice.pre == 0 and not panel.problem.isVisible()


def test_a_study_that_leaves_while_it_is_computed(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    session, kinetics = window.session, window.session.kinetics
    begun, go_on = threading.Event(), threading.Event()
    real = kinetic_maps

    def slow(volume: Any, choice: Any, progress: Any) -> Any:
        if volume.identity.study_uid == "4.1":
            begun.set()
            go_on.wait(30)
            progress(1, 2, "enhancement")
        return real(volume, choice)

    monkeypatch.setattr("napari_breast_ai.kinetics.maps.kinetic_maps", slow)
    session.show_study(make_volume(uid="4.1"))
    window.wait(begun.is_set)
    assert window.dock.phases.job.isVisible()
    session.show_study(make_volume(6, uid="4.2"))
    ready(window)
    go_on.set()
    window.settle(100)
    assert kinetics.maps.volume is session.volume and kinetics.maps.initial.shape[0] == 6
    begun.clear()
    go_on.clear()
    session.show_study(make_volume(uid="4.1"))
    window.wait(begun.is_set)
    session.close_study()
    go_on.set()
    window.settle(100)
    assert kinetics.maps is None and kinetics.choice is None and len(window.viewer.layers) == 0
    assert "Open a study" in window.dock.phases.state.text()


def test_motion_is_corrected_beside_the_study(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("SimpleITK")
    session, kinetics = window.session, window.session.kinetics
    motion, panel = kinetics.motion, window.dock.motion
    volume = make_volume(4, 24, 28, n_phases=2, uid="5.1")
    kept = volume.data.copy()
    session.show_study(volume)
    window.viewer.reset_view()
    ready(window)
    page(window, "Motion")
    motion.settings = MotionSettings(rigid=False, iterations=(2, 0), pixel_mm=1.0)
    window.click(panel.correct_button)
    window.wait(lambda: motion.corrected is not None and not motion.busy)
    ready(window)
    np.testing.assert_array_equal(volume.data, kept)
    assert session.volume is volume and kinetics.maps.volume is motion.corrected.volume is not volume
    assert motion.layer.visible and "mm before" in panel.result.text()
    window.press(Key.Key_F)
    assert not motion.layer.visible and "before" in panel.seen.text()
    assert kinetics.maps.volume is motion.corrected.volume, "a look changes no figure"
    window.press(Key.Key_F)
    dynamic = next(one for one in window.viewer.layers if look.info(one)["role"] == look.DYNAMIC)
    dynamic.contrast_limits = (20.0, 90.0)
    assert tuple(motion.layer.contrast_limits) == (20.0, 90.0), "one window for both"
    # Told times change no pixel: the correction stays, with these times.
    told = replace(volume, times=replace(volume.times, start_s=(0.0, 200.0)))
    corrected = motion.corrected.volume.data
    show_instead(session, told)
    ready(window)
    assert session.volume is told and motion.used and motion.layer.visible
    assert motion.corrected.volume.data is corrected and motion.corrected.volume.times == told.times
    assert kinetics.maps.volume is motion.corrected.volume
    window.click(panel.used, QPoint(8, panel.used.height() // 2))
    ready(window)
    assert kinetics.maps.volume is told and not motion.layer.visible
    session.show_study(make_volume(4, 24, 28, uid="5.2"))
    ready(window)
    assert motion.corrected is None and motion.layer is None and not panel.result.isVisible()


def test_a_cancelled_correction_changes_nothing(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    session, motion = window.session, window.session.kinetics.motion
    begun = threading.Event()

    def slow(volume: Any, pre: Any, settings: Any, progress: Any) -> Any:
        for step in range(3000):
            begun.set()
            progress(step, 3000, "phase 1 of 4")
            threading.Event().wait(0.01)
        raise Cancelled

    monkeypatch.setattr("napari_breast_ai.kinetics.motion.correct_motion", slow)
    session.show_study(make_volume(uid="6.1"))
    ready(window)
    page(window, "Motion")
    window.click(window.dock.motion.correct_button)
    window.wait(begun.is_set)
    window.wait(lambda: window.dock.motion.job.isVisible())
    window.click(window.dock.motion.job.cancel_button)
    window.wait(lambda: not motion.busy)
    assert motion.corrected is None and motion.layer is None and session.volume is not None


def test_the_real_slice(window: Window, data_dir: Path, tmp_path: Path) -> None:
    """The ring lesion: its curve, and Ktrans from its own T1 data and arterial input."""
    from napari_breast_ai.kinetics.pharmaco import pharmacokinetic_maps, read_input, t1_nonlinear
    from napari_breast_ai.kinetics.pharmaco.maps import FITTED

    session, kinetics = window.session, window.session.kinetics
    folder = tmp_path / "invivo"
    shutil.copytree(data_dir / "breast_dce_invivo" / "dicom", folder)
    tasks.open_path(session, folder)
    window.wait(lambda: session.volume is not None and session.complete)
    ready(window)
    panel = window.dock.phases
    assert "Contrast seems to arrive in phase 3" in panel.remarks.text()
    kinetics.give(pre=2)
    session.journal.add(RING)
    ready(window)
    (found,) = kinetics.lesions.found
    assert found.figures.curve.kind(kinetics.thresholds).speed == "fast"
    assert found.worst.kind(kinetics.thresholds).course == "washout"

    page(window, "Exchange")
    exchange, form = kinetics.exchange, window.dock.exchange
    extra = np.load(data_dir / "breast_dce_invivo" / "reference.npz")
    repetition = float(extra["TR_s"])
    assert exchange.settings.repetition_ms == pytest.approx(1000 * repetition, abs=0.01), "from the headers"
    assert "Tell the T1 of tissue before contrast and the agent's relaxivity" in form.problem.text()
    assert not form.fit_button.isEnabled()
    field = form.fields["relaxivity"]
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, str(float(extra["relaxivity_per_mM_s"])))
    QTest.keyClick(field, Key.Key_Return)
    assert exchange.settings.relaxivity == float(extra["relaxivity_per_mM_s"])
    curve = tmp_path / "aif.csv"
    lines = [f"{t},{c}" for t, c in zip(extra["t_s"], extra["Cp_mM"], strict=True)]
    curve.write_text("\n".join(["time_s,plasma_mM", *lines]) + "\n")
    t1 = t1_nonlinear(extra["T1_signal"][:, np.newaxis], extra["T1_flip_deg"], repetition)
    exchange.tell(t1_map=t1, artery="file", artery_file=str(curve))
    window.wait(lambda: exchange.lesion is not None)
    assert 0.05 < float(exchange.lesion.fit.ktrans) < 0.3 and float(exchange.lesion.fit.r2) > 0.85
    assert "Ktrans" in form.answer.text()
    kinetics.curves.set(unit="concentration")
    assert all(one.curve.mM is not None for one in kinetics.curves.drawn())
    assert 0.2 < max(kinetics.curves.drawn()[0].curve.mM) < 2

    window.click(form.fit_button)
    window.wait(lambda: exchange.maps is not None)
    layer = kinetics.layers.layer(kind.EXCHANGE)
    assert layer.visible and layer.name == "Ktrans (1/min)" and layer.colorbar.visible
    direct = pharmacokinetic_maps(
        session.volume.data,
        session.volume.times.start_s,
        exchange._sequence,
        t1,
        read_input(curve),
        baseline=(0, 1, 2),
        region=kinetics.maps.initial >= 50,
    )
    shown = (direct.status == FITTED) & (direct.map("r2") >= kind.SHOWN_R2)
    np.testing.assert_allclose(np.asarray(layer.data)[shown], direct.map("ktrans")[shown], rtol=1e-5)
    assert not np.asarray(layer.data)[~shown].any()
    for name in ("kep", "ve"):
        kinetics.layers.show(map=name)
        np.testing.assert_allclose(np.asarray(layer.data)[shown], direct.map(name)[shown], rtol=1e-5)
    kinetics.layers.show(map=kind.CLASSES)
    assert not layer.visible and kinetics.layers.layer(kind.CLASSES).visible
