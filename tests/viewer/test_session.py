"""A session follows its viewer: studies come and go by any door, positions, predictions, displays."""

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from conftest import make_boxes, make_prediction, make_volume
from napari_breast_ai.core import BreastAIError, DceVolume, Geometry
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer import notices
from napari_breast_ai.viewer.session import Session, get_session


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sentences: list[str] = []
    for name in ("warn", "complain", "tell"):
        monkeypatch.setattr(notices, name, sentences.append)
    return sentences


def names(session: Session) -> list[str]:
    return [layer.name for layer in session.viewer.layers]


def test_one_session_a_viewer_and_none_without(session: Session) -> None:
    assert get_session(session.viewer) is session
    other = ViewerModel()
    assert get_session(other) is not session
    get_session(other).shut_down()


def test_a_session_goes_with_its_viewer() -> None:
    viewer = ViewerModel()
    gone = weakref.ref(get_session(viewer, "anna"))
    get_session(viewer).show_study(make_volume())
    del viewer
    gc.collect()
    assert gone() is None


def test_show_study_starts_in_the_middle_of_the_early_phase(session: Session, volume: DceVolume) -> None:
    session.show_study(volume, None, make_boxes())
    assert names(session) == ["Dynamic", "Subtraction", "True boxes", "Boxes"]
    assert session.volume is volume
    assert (session.slice_index, session.phase_index) == (4, 2), "130 s is nearest to 120 s"
    assert session.viewer.layers.selection.active is session.viewer.layers[0]
    assert session.viewer.canvas.overlays.scale_bar.visible


def test_a_study_that_napari_opened_is_taken_over(volume: DceVolume) -> None:
    viewer = ViewerModel()
    for data in look.volume_layers(volume, None, make_boxes()):
        viewer.add_layer(Layer.create(*data))
    session = get_session(viewer, "anna")
    assert session.volume is volume
    assert [layer.name for layer in viewer.layers] == ["Dynamic", "Subtraction", "True boxes", "Boxes"]
    # The next one comes in layer by layer, as napari's reader adds them, and takes the first one's place.
    second = make_volume(uid="9.9")
    for data in look.volume_layers(second, None, make_boxes()):
        viewer.add_layer(Layer.create(*data))
    assert session.volume is second
    assert [layer.name for layer in viewer.layers] == ["Dynamic", "Subtraction", "True boxes", "Boxes"]
    assert all(look.info(layer)["volume"] is second for layer in viewer.layers)


def test_foreign_layers_are_left_alone(session: Session, volume: DceVolume) -> None:
    session.viewer.add_image(np.zeros((5, 5)), name="mine")
    session.show_study(volume)
    session.show_study(make_volume(uid="9.9"))
    session.close_study()
    assert names(session) == ["mine"]


def test_removing_the_dynamic_layer_closes_the_study(session: Session, volume: DceVolume) -> None:
    session.show_study(volume)
    session.set_prediction(make_prediction(volume))
    session.viewer.layers.remove(session.viewer.layers["Dynamic"])
    assert session.volume is None and session.journal is None and session.prediction is None
    assert names(session) == [] and session.readout.text == ""


def test_position_both_ways(session: Session, volume: DceVolume) -> None:
    session.show_study(volume)
    seen: list[tuple[int, int]] = []
    session.position_changed.connect(lambda: seen.append((session.slice_index, session.phase_index)))
    session.go_to(6, 3)
    assert session.viewer.dims.current_step[:2] == (3, 6)
    session.viewer.dims.set_current_step(1, 2)
    session.viewer.dims.set_current_step(0, 0)
    session.go_to(99, -5)
    assert (session.slice_index, session.phase_index) == (7, 0)
    assert seen[-3:] == [(2, 3), (2, 0), (7, 0)]
    session.close_study()
    session.go_to(3, 3)


def test_prediction_layers_lie_under_the_boxes(session: Session, volume: DceVolume) -> None:
    session.show_study(volume, None, make_boxes())
    session.set_prediction(make_prediction(volume))
    session.set_display(gradcam=True)
    assert names(session) == ["Dynamic", "Subtraction", "Attention", "Grad-CAM NME", "True boxes", "Boxes"]
    assert session.viewer.layers.selection.active.name == "Dynamic"
    assert [str(unit) for unit in session.viewer.layers.extent.units][1:] == ["millimeter"] * 3
    session.set_prediction(None)
    assert names(session) == ["Dynamic", "Subtraction", "True boxes", "Boxes"]


def test_display_settings_reach_the_layers(session: Session, volume: DceVolume) -> None:
    session.show_study(volume)
    prediction = make_prediction(volume)
    session.set_prediction(prediction)
    assert session.display.label == "NME", "the case's most probable class that needs a lesion"
    attention = session.heat.layer(look.ATTENTION)
    assert attention is not None and attention.visible and session.heat.layer(look.GRADCAM) is None
    session.set_display(gradcam=True, label="lesion", opacity=0.3, threshold=0.5)
    cam = session.heat.layer(look.GRADCAM)
    assert cam is not None and cam.name == "Grad-CAM lesion"
    assert (cam.opacity, attention.opacity) == (0.3, 0.3)
    np.testing.assert_allclose(cam.contrast_limits, (0, 2.7), rtol=1e-5)
    np.testing.assert_allclose(attention.contrast_limits, (0, 1.0))
    for layer in (cam, attention):
        alpha = layer.colormap.map(np.array([0.49, 0.51]))[:, 3]
        assert alpha[0] == 0 < alpha[1], "clear below the threshold; the scale stays"
    session.set_display(label="IGM", attention=False)
    assert session.heat.layer(look.GRADCAM) is cam, "the layer is used again"
    np.testing.assert_array_equal(cam.data, prediction.gradcam["IGM"])
    assert not attention.visible
    session.set_display(label="NME")
    assert np.all(cam.data == 0) and cam.contrast_limits[1] == 1.0, (
        "a map of nothing has a range nevertheless"
    )
    with pytest.raises(BreastAIError, match="threshold"):
        session.set_display(threshold=1.0)
    with pytest.raises(BreastAIError, match="opacity"):
        session.set_display(opacity=-0.1)


def test_a_model_without_attention_shows_its_gradcam(session: Session, volume: DceVolume) -> None:
    session.show_study(volume)
    session.set_prediction(make_prediction(volume))
    session.set_prediction(make_prediction(volume, attention=False))
    attention = session.heat.layer(look.ATTENTION)
    cam = session.heat.layer(look.GRADCAM)
    assert attention is not None and not attention.visible
    assert cam is not None and cam.visible


def test_heat_layers_a_person_removes_come_back_when_asked_for(session: Session, volume: DceVolume) -> None:
    session.show_study(volume)
    session.set_prediction(make_prediction(volume))
    session.viewer.layers.remove("Attention")
    session.set_display(opacity=0.5)
    assert "Attention" in names(session)


def test_readout_follows(session: Session, volume: DceVolume) -> None:
    assert session.readout.text == ""
    session.show_study(volume)
    assert session.readout.text.splitlines()[0] == "Slice 4 of 0–7   Phase 2 of 0–3, 130 s"
    assert "Research use only" in session.readout.text
    session.go_to(5, 0)
    assert "Slice 5 of 0–7   Phase 0 of 0–3, pre-contrast" in session.readout.text
    session.set_prediction(make_prediction(volume, slices=(5, 6)))
    assert "lesion 0.90" in session.readout.text and "IGM 0.20   NME 0.80" in session.readout.text
    session.go_to(2)
    assert "not scored" in session.readout.text and "lesion" not in session.readout.text
    assert session.viewer.canvas.overlays["breast_ai"].text == session.readout.text


def test_synthetic_is_said(session: Session) -> None:
    real = make_volume()
    synthetic = DceVolume(real.data, real.geometry, real.times, type(real.identity)("1.2", synthetic=True))
    session.show_study(synthetic)
    assert "Synthetic data" in session.readout.text


def test_top_slice(session: Session, volume: DceVolume) -> None:
    assert session.top_slice() is None
    session.show_study(volume)
    session.set_prediction(make_prediction(volume, slices=(2, 5, 6)))
    assert session.top_slice() == 5


def test_warnings_and_failures_are_told(session: Session, told: list[str]) -> None:
    session.show_study(make_volume(warnings=("One phase is short.",)))
    assert told == ["One phase is short."]
    said: list[str] = []
    session.said.connect(said.append)
    session.fail(BreastAIError("A sentence."))
    session.fail(RuntimeError("kaput"))
    session.fail(MemoryError())
    assert told[1] == said[0] == "A sentence."
    assert "RuntimeError: kaput" in said[1] and "defect" in said[1]
    assert "memory" in said[2]


def test_unreadable_boxes_are_told_and_the_study_opens(
    session: Session, told: list[str], tmp_path: Path
) -> None:
    from napari_breast_ai.annotations import journal_path

    volume = make_volume()
    place = journal_path(tmp_path, volume.identity, "anna")
    place.parent.mkdir()
    place.write_text("rubbish\n")
    session.show_study(volume, str(tmp_path))
    assert session.volume is volume and session.journal is None
    assert "not a journal" in told[0]
    assert place.read_text() == "rubbish\n"


@pytest.mark.parametrize(
    ("python", "pyside", "bad"),
    [
        ((3, 11, 7), "6.12.0", True),
        ((3, 11, 7), "6.12.1", True),
        ((3, 11, 7), "6.11.2", False),
        ((3, 12, 0), "6.12.0", False),
        ((3, 11, 7), None, False),
    ],
)
def test_the_pair_that_crashes_is_known(python: tuple[int, ...], pyside: str | None, bad: bool) -> None:
    assert bool(notices.bad_qt_pair(python, pyside)) is bad


def test_the_start_check_tells_once(monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    monkeypatch.setattr(notices, "_checked", False)
    monkeypatch.setattr(notices, "installed_pyside", lambda: "6.12.0")
    monkeypatch.setattr(notices.sys, "version_info", (3, 11, 7, "final", 0))
    notices.check_start()
    notices.check_start()
    assert len(told) == 1 and "PySide6 6.12.0 crashes on Python 3.11" in told[0]


@pytest.mark.parametrize(
    ("stored", "shown", "edges"),
    [
        ((1, 0, 0, 0, 1, 0), ("down", "right"), "APRL"),  # axial, on her back or her belly: front at the top
        ((1, 0, 0, 0, -1, 0), ("up", "right"), "APRL"),  # stored from back to front
        ((-1, 0, 0, 0, 1, 0), ("down", "left"), "APRL"),  # stored from left to right
        ((0, 1, 0, 0, 0, -1), ("down", "right"), "HFAP"),  # sagittal
        ((0, -1, 0, 0, 0, 1), ("up", "right"), "HFPA"),  # sagittal from the feet: turned, front stays right
        ((-1, 0, 0, 0, 0, 1), ("up", "left"), "HFRL"),  # coronal from the feet and from the left
    ],
)
def test_every_orientation_opens_right_side_up(
    session: Session, stored: tuple[float, ...], shown: tuple[str, str], edges: str
) -> None:
    volume = make_volume()
    place = Geometry.from_dicom((8, 40, 50), (0.8, 0.7), 3.0, (0, 0, 0), stored)
    session.show_study(replace(volume, geometry=place))
    assert tuple(str(side) for side in session.viewer.scene.camera.orientation2d) == shown
    top, bottom, left, right = edges
    said = f"top {top}   bottom {bottom}   left {left}   right {right}"
    assert said in session.readout.text
    session.viewer.dims.ndisplay = 3
    assert said not in session.readout.text
    session.viewer.dims.ndisplay = 2
    session.viewer.dims.transpose()
    assert said not in session.readout.text
    # The next study opens its own way.
    session.show_study(volume)
    assert tuple(str(side) for side in session.viewer.scene.camera.orientation2d) == ("down", "right")


def test_a_picture_without_a_place_has_no_sides(session: Session) -> None:
    session.show_study(make_volume(n_slices=1))
    assert "top" not in session.readout.text


def test_the_canvas_is_dark_in_every_theme(session: Session) -> None:
    session.show_study(make_volume())
    session.viewer.theme = "light"
    assert session.viewer.canvas.background_color[:3].tolist() == [0, 0, 0]
    # A person's own choice stays.
    session.viewer.canvas.background_color_override = "navy"
    session.show_study(make_volume(uid="1.2.4"))
    assert session.viewer.canvas.background_color[2] > 0.4


def test_a_narrow_canvas_shows_the_lines_whole(session: Session, volume: DceVolume) -> None:
    session.show_study(volume)
    session.go_to(2, 1)
    assert session.readout.text.splitlines()[0] == "Slice 2 of 0–7   Phase 1 of 0–3, 75 s"
    session.viewer.canvas.size = (600, 280)
    lines = session.readout.text.splitlines()
    assert lines[:2] == ["Slice 2 of 0–7", "Phase 1 of 0–3, 75 s"]
    assert max(map(len, lines)) <= 27 and " ".join(lines[-2:]) == notices.RESEARCH_USE
    session.viewer.canvas.size = (600, 900)
    assert session.readout.text.splitlines()[0].endswith("75 s")
