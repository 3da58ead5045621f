"""The breasts in the Kinetics dock: outlined, painted by hand, measured, written; by mouse and key in a real window."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hand import CTRL, Window
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from test_heat import SIGHT, lab

from conftest import make_volume
from napari_breast_ai.core import BreastAIError, Cancelled, DceVolume, Geometry, Identity, PhaseTimes
from napari_breast_ai.kinetics import area_of_boxes, breast_figures, labels_of, segment_breast
from napari_breast_ai.kinetics.errors import KineticsError
from napari_breast_ai.kinetics.write import BREAST_FILES
from napari_breast_ai.study import open_volume
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer import takeaway
from napari_breast_ai.viewer.following import show_instead
from napari_breast_ai.viewer.kinetic_look import BREAST_COLORS
from napari_breast_ai.viewer.widgets import kinetics_breast

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]

Key = Qt.Key


@pytest.fixture
def window(open_window: Callable[..., Window], monkeypatch: pytest.MonkeyPatch) -> Window:
    made = open_window("Kinetics")
    monkeypatch.setattr(kinetics_breast, "tell", made.said.append)
    made.click(made.dock.breasts.heading)
    return made


@pytest.fixture
def phantom(window: Window, phantom_factory: Callable[..., Any]) -> Any:
    made = phantom_factory("nme", seed=3, shape=(12, 96, 96), n_phases=3, density="c")
    window.session.show_study(made.volume)
    window.wait(lambda: window.session.kinetics.maps is not None)
    return made


def outlined(window: Window) -> Any:
    """The figures, when the button has been pressed."""
    breasts = window.session.kinetics.breasts
    window.click(window.dock.breasts.outline_button)
    window.wait(lambda: breasts.measured is not None and not breasts.pending)
    return breasts.measured


def again(window: Window, do: Callable[[], None]) -> Any:
    """The figures after something was done."""
    breasts = window.session.kinetics.breasts
    before = breasts.measured
    do()
    window.wait(lambda: breasts.measured is not before and not breasts.pending)
    return breasts.measured


def cells(window: Window) -> list[list[str]]:
    table = window.dock.breasts.table
    return [
        [table.item(line, column).text() for line in range(table.rowCount())]
        for column in range(table.columnCount())
    ]


def test_outlined_and_measured_as_without_a_window(window: Window, phantom: Any, tmp_path: Path) -> None:
    session, panel = window.session, window.dock.breasts
    breasts, maps = session.kinetics.breasts, session.kinetics.maps
    assert not panel.table.isVisible() and not panel.back_button.isVisible()
    measured = outlined(window)
    masks = segment_breast(phantom.volume)
    layer = breasts.layer
    np.testing.assert_array_equal(layer.data, labels_of(masks))
    assert layer.contour == 1 and tuple(layer.scale) == phantom.volume.geometry.spacing
    assert look.info(layer)["role"] == look.BREASTS and window.viewer.layers.selection.active is not layer
    roles = [look.info(one)["role"] for one in window.viewer.layers]
    assert roles == sorted(roles, key=look.ORDER.index)
    assert measured.rows == breast_figures(masks, maps) and not measured.edited
    assert cells(window)[0] == [
        f"{value:.1f}"
        for one in measured.rows[:1]
        for value in (
            one.breast_ml, one.tissue_ml, one.density_percent, one.bpe_percent, one.bpe_part_percent
        )
    ]  # fmt: skip
    assert "fuzzy c-means" in panel.said.text() and "No lesions were named" in panel.said.text()
    assert session.kinetics.lesions.found == () and session.kinetics.regions.masks() == []
    # A box takes a lesion out of the background.
    box = max(phantom.truth.boxes, key=lambda one: one.area)
    session.go_to(box.z)
    window.press(Key.Key_B)
    boxed = again(window, lambda: window.drag((box.y0, box.x0), (box.y1, box.x1)))
    (drawn,) = session.journal.boxes
    assert boxed.rows == breast_figures(masks, maps, [area_of_boxes([drawn], phantom.volume.geometry.shape)])
    assert (
        boxed.rows[-1].left_out_ml > 0 and boxed.rows[-1].density_percent == measured.rows[-1].density_percent
    )

    window.click(panel.outlines, panel.outlines.rect().center() / 8)
    assert layer.contour == 0
    window.click(panel.copy_button)
    lines = list(csv.DictReader(io.StringIO(QApplication.clipboard().text()), delimiter="\t"))
    assert [one["side"] for one in lines] == ["right", "left", "both"] and "classical" in lines[0]["method"]
    saved: list[str] = []
    session.saved.connect(saved.append)
    takeaway.save_report(session, tmp_path / "report.html")
    window.wait(lambda: bool(saved))
    assert f"density {boxed.rows[0].density_percent:.1f} %" in (tmp_path / "report.html").read_text("utf-8")
    panel.save(str(tmp_path / "out"))
    window.wait(lambda: "Saved breast.nii.gz" in window.said[-1])
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == sorted(BREAST_FILES)
    assert np.array_equal(
        open_volume(tmp_path / "out" / "breast.nii.gz").data.squeeze() > 0, masks.breast > 0
    )
    assert open_volume(tmp_path / "out" / "tissue.nii.gz").data.sum() == masks.tissue.sum()
    written = (tmp_path / "out" / "breasts.csv").read_bytes()
    panel.save(str(tmp_path / "out"))
    assert "nothing is written over" in window.said[-1]
    assert (tmp_path / "out" / "breasts.csv").read_bytes() == written


def test_a_hand_corrects_and_takes_back(window: Window, phantom: Any) -> None:
    session, panel = window.session, window.dock.breasts
    breasts = session.kinetics.breasts
    found = outlined(window)
    z = session.slice_index
    fat = np.argwhere(np.asarray(breasts.layer.data[z]) == 2)
    row, column = (int(one) for one in fat[len(fat) // 2])
    session.journal.add(phantom.truth.boxes[0])
    window.wait(lambda: breasts.measured is not found)
    window.click(panel.paint_button)
    assert breasts.painting and panel.brush.currentData() == 4
    breasts.layer.brush_size = 6
    painted = again(window, lambda: window.drag((row, column), (row + 6, column)))
    assert breasts.edited and "edited by hand" in panel.said.text() and not panel.outline_button.isEnabled()
    assert painted.rows[1].tissue_ml > found.rows[1].tissue_ml
    assert painted.rows[0].tissue_ml == found.rows[0].tissue_ml
    undone = again(window, lambda: window.press(Key.Key_Z, CTRL))
    assert not undone.edited and len(session.journal.boxes) == 1, "the stroke, and no box"
    redone = again(window, lambda: window.press(Key.Key_Z, CTRL | Qt.KeyboardModifier.ShiftModifier))
    assert redone.rows == painted.rows
    window.click(panel.paint_button)
    assert not breasts.painting

    # Another reader sees what was found; the first one's corrections wait.
    other = again(window, lambda: session.set_reader("berta"))
    assert not other.edited
    back = again(window, lambda: session.set_reader("anna"))
    assert back.edited and back.rows == painted.rows
    assert not again(window, lambda: window.click(panel.back_button)).edited
    np.testing.assert_array_equal(breasts.layer.data, labels_of(breasts.masks))

    session.show_study(make_volume(uid="7.7"))
    window.settle(200)
    assert breasts.masks is None and breasts.measured is None and breasts.layer is None
    assert not panel.table.isVisible() and not any(
        look.info(one).get("role") == look.BREASTS for one in window.viewer.layers
    )


def test_the_layer_can_be_thrown_away(window: Window, phantom: Any) -> None:
    breasts = window.session.kinetics.breasts
    outlined(window)
    window.viewer.layers.remove(breasts.layer)
    window.settle(300)
    assert breasts.layer is None and breasts.measured is None and not window.dock.breasts.table.isVisible()
    assert outlined(window).rows


def stroke(breasts: Any, size: int = 6) -> Any:
    """A stroke of tissue in the middle of the left breast; the labels after it."""
    fat = np.argwhere(np.asarray(breasts.layer.data) == 2)
    breasts.layer.brush_size = size
    breasts.layer.paint(tuple(int(one) for one in fat[len(fat) // 2]), 4)
    return np.array(breasts.layer.data)


def held(monkeypatch: pytest.MonkeyPatch, then: Callable[..., Any]) -> threading.Event:
    """Outlining waits for an event from now on."""
    gate = threading.Event()

    def slow(volume: Any, pre: Any, progress: Any) -> Any:
        gate.wait(30)
        return then(volume, pre)

    monkeypatch.setattr("napari_breast_ai.kinetics.segment_breast", slow)
    return gate


def test_strokes_are_not_lost_to_outlining_anew(
    window: Window, phantom: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    breasts = window.session.kinetics.breasts
    outlined(window)
    gate = held(monkeypatch, segment_breast)
    window.click(window.dock.breasts.outline_button)
    assert breasts.busy
    painted = stroke(breasts)
    gate.set()
    window.wait(lambda: not breasts.busy and not breasts.pending)
    np.testing.assert_array_equal(breasts.layer.data, painted)
    assert breasts.edited and any("corrections stay" in one for one in window.said)
    # Nor to a press before the stroke has been measured.
    breasts.take_back()
    window.wait(lambda: not breasts.pending)
    painted = stroke(breasts)
    breasts.outline()
    assert not breasts.busy and "Take that back" in window.said[-1]
    np.testing.assert_array_equal(breasts.layer.data, painted)


def test_told_times_leave_the_corrections(window: Window, phantom: Any) -> None:
    session = window.session
    breasts = session.kinetics.breasts
    outlined(window)
    painted = stroke(breasts)
    window.wait(lambda: breasts.edited and not breasts.pending)
    session.set_reader("berta")
    window.wait(lambda: not breasts.pending)
    other = stroke(breasts, 12)
    show_instead(session, replace(phantom.volume, times=replace(phantom.volume.times)))
    window.wait(lambda: breasts.measured is not None and not breasts.pending)
    assert breasts.edited and look.info(breasts.layer)["volume"] is session.volume
    np.testing.assert_array_equal(breasts.layer.data, other)
    roles = [look.info(one)["role"] for one in window.viewer.layers]
    assert roles.count(look.BREASTS) == 1 and roles == sorted(roles, key=look.ORDER.index)
    session.set_reader("anna")
    np.testing.assert_array_equal(breasts.layer.data, painted)
    # Another examination of the same shape has nothing of it.
    identity = replace(phantom.volume.identity, study_uid="1.2.3")
    session.show_study(replace(phantom.volume, identity=identity))
    window.settle(200)
    assert breasts.masks is None and breasts.layer is None


def test_another_reader_throws_away_their_own_only(window: Window, phantom: Any) -> None:
    session = window.session
    breasts = session.kinetics.breasts
    outlined(window)
    painted = stroke(breasts)
    session.set_reader("berta")
    window.viewer.layers.remove(breasts.layer)
    assert breasts.layer is None and breasts.masks is None
    session.set_reader("anna")
    window.wait(lambda: breasts.measured is not None and not breasts.pending)
    np.testing.assert_array_equal(breasts.layer.data, painted)
    assert breasts.edited


def test_nothing_older_than_the_screen_is_taken_away(window: Window, phantom: Any, tmp_path: Path) -> None:
    session, panel = window.session, window.dock.breasts
    breasts = session.kinetics.breasts
    outlined(window)
    assert panel.copy_button.isEnabled() and panel.save_button.isEnabled()
    stroke(breasts)
    assert breasts.pending
    assert not any(one.isEnabled() for one in (panel.copy_button, panel.csv_button, panel.save_button))
    panel.save(str(tmp_path / "out"))
    assert "being measured" in window.said[-1] and not (tmp_path / "out").exists()
    with pytest.raises(BreastAIError, match="being measured"):
        takeaway.save_report(session, tmp_path / "report.html")
    window.wait(lambda: not breasts.pending)
    assert panel.copy_button.isEnabled() and breasts.edited


def test_a_failure_is_of_its_own_study(window: Window, phantom: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    breasts = window.session.kinetics.breasts

    def nothing(volume: Any, pre: Any) -> Any:
        raise KineticsError("No breast stands out.")

    gate = held(monkeypatch, nothing)
    window.click(window.dock.breasts.outline_button)
    window.session.show_study(make_volume(uid="9.9"))
    gate.set()
    window.wait(lambda: not breasts.busy)
    assert not breasts.problem and not window.dock.breasts.problem.isVisible()


def test_cancelling_changes_nothing(window: Window, phantom: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def slow(volume: Any, pre: Any, progress: Any) -> Any:
        for step in range(3000):
            begun.set()
            progress(step, 3000, "breast: tissue")
            threading.Event().wait(0.01)
        raise Cancelled

    monkeypatch.setattr("napari_breast_ai.kinetics.breast.segment_breast", slow)
    panel, breasts = window.dock.breasts, window.session.kinetics.breasts
    window.click(panel.outline_button)
    window.wait(begun.is_set)
    window.wait(panel.job.isVisible)
    window.click(panel.job.cancel_button)
    window.wait(lambda: not breasts.busy)
    assert breasts.masks is None and breasts.layer is None and not breasts.problem


def test_what_cannot_be_outlined_is_said_and_can_be_painted(window: Window) -> None:
    session, panel = window.session, window.dock.breasts
    breasts = session.kinetics.breasts
    session.show_study(make_volume(uid="8.8"))
    window.wait(lambda: session.kinetics.maps is not None)
    window.click(panel.outline_button)
    window.wait(lambda: bool(breasts.problem))
    assert "no air in front" in panel.problem.text() and panel.problem.isVisible()
    window.click(panel.hand_button)
    assert breasts.painting and breasts.layer.selected_label == 1 and not panel.problem.isVisible()
    window.wait(lambda: breasts.measured is not None)
    assert not panel.table.isVisible() and "Paint the breasts" in panel.said.text()
    painted = again(window, lambda: window.drag((15, 10), (15, 30)))
    (row,) = painted.rows
    assert row.side == "right" and row.density_percent == 0 and row.breast_ml > 0
    assert "Outlined by hand" in panel.said.text()


def test_a_network_of_ones_own(
    window: Window, phantom: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_breast_ai.inference.segmentation import Network
    from napari_breast_ai.models.segmentation import SegmentationSpec, make_network, save_segmentation

    panel, breasts = window.dock.breasts, window.session.kinetics.breasts
    spec = SegmentationSpec(arguments={"channels": [4, 8]}, outputs=("fat", "tissue"))
    save_segmentation(tmp_path / "mine", spec, make_network(spec), "Random.")
    chosen = [str(tmp_path / "nothing"), str(tmp_path / "mine"), ""]
    monkeypatch.setattr(kinetics_breast, "choose_segmentation", lambda parent: chosen.pop(0))

    def choose() -> None:
        panel.method.setFocus()
        panel.method.setCurrentIndex(panel.method.count() - 1)
        panel.method.activated.emit(panel.method.currentIndex())

    choose()
    window.click(panel.outline_button)
    window.wait(lambda: bool(breasts.problem))
    assert "no segmentation bundle" in panel.problem.text() and breasts.layer is None
    choose()
    assert panel.method.currentText() == "network mine" and not panel.problem.isVisible()
    measured = outlined(window)
    wanted = Network.load(tmp_path / "mine", "cpu")(phantom.volume, 0)
    np.testing.assert_array_equal(breasts.layer.data, labels_of(wanted))
    assert "Network mine, phase 0" in panel.said.text() and measured.rows
    choose()
    assert breasts.network == str(tmp_path / "mine"), "the person thought better of it"


def test_a_real_slice_without_contrast_has_a_density(window: Window, data_dir: Path) -> None:
    """QIN's: one phase and one slice, which is said of its figures."""
    session, panel = window.session, window.dock.breasts
    ds = pydicom.dcmread(next((data_dir / "breast_dce_qin_slice").rglob("*.dcm")))
    pixels = ds.pixel_array[None, None]
    geometry = Geometry.from_dicom(
        pixels.shape[1:],
        tuple(float(mm) for mm in ds.PixelSpacing),
        float(ds.SliceThickness),
        tuple(float(mm) for mm in ds.ImagePositionPatient),
        (1, 0, 0, 0, 1, 0),
    )
    session.show_study(DceVolume(pixels, geometry, PhaseTimes((0.0,), ("unknown",)), Identity("1")))
    measured = outlined(window)
    right, left, both = measured.rows
    assert 15 < right.density_percent < 45 and 15 < left.density_percent < 45
    assert both.bpe_percent is None and cells(window)[2][3:] == ["–", "–"]
    assert "There is one slice" in panel.said.text() and "The study has one phase" in panel.said.text()


def test_the_colours_can_be_told_apart_by_all_readers() -> None:
    """Of labels that are seen together: one breast is seen alone."""
    for together in ((1, 2, 4), (3, 4)):
        colors = [[int(BREAST_COLORS[n][i : i + 2], 16) / 255 for i in (1, 3, 5)] for n in together]
        for sight in SIGHT:
            for one, other in combinations(lab(colors, sight), 2):
                assert np.linalg.norm(one - other) > 30
