"""Draw a box, see the model look there: in a real window, with a real model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand import Window
from PIL import Image
from qtpy.QtCore import Qt

from conftest import make_volume
from napari_breast_ai.inference.questions.place import place
from napari_breast_ai.models import RECIPES, ImageSource, PreparationSpec, build, load_bundle, save_bundle
from napari_breast_ai.study import read_study
from napari_breast_ai.viewer import layers as look

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]


@pytest.fixture
def window(open_window: Callable[..., Window]) -> Window:
    return open_window("Annotate")


@pytest.fixture
def case(window: Window) -> Window:
    window.session.show_study(make_volume(12, 96, 112))
    window.session.set_bundle(load_bundle("demo-attention-squeezenet"))
    window.viewer.reset_view()
    window.session.go_to(6)
    window.settle(100)
    return window


def taught(window: Window, boxes: int) -> np.ndarray:
    """The attention on the screen, once it was taught by that many boxes."""
    live = window.session.live
    window.wait(lambda: live.fit is not None and live.fit.boxes == boxes)
    layer = window.session.heat.layer(look.ATTENTION)
    assert layer is not None and layer.visible and layer.name == "Attention, taught"
    np.testing.assert_array_equal(layer.data, window.session.prediction.attention)
    return np.array(layer.data)


def test_a_box_changes_the_map_of_all_slices(case: Window) -> None:
    session, panel = case.session, case.dock.live
    case.click(panel.switch)
    assert session.live.on and "Draw a box" in panel.note.text()
    case.press(Qt.Key.Key_B)
    case.drag((24, 20), (72, 60))
    first = taught(case, 1)
    own = session.live._own
    assert session.slice_index == 6, "the view stays where the person draws"
    assert "1 box on 1 slice" in panel.note.text()
    inside = (slice(None), slice(4, 10), slice(3, 7))
    assert first[inside].mean() > own.attention[inside].mean()
    for label, scores in own.probabilities.items():
        np.testing.assert_array_equal(session.prediction.probabilities[label], scores)

    case.press(Qt.Key.Key_Down)
    case.drag((24, 20), (72, 60))
    second = taught(case, 2)
    assert any(not np.allclose(second[z], first[z], atol=1e-4) for z in (0, 11)), "slices without a box too"
    case.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_allclose(taught(case, 1), first, atol=0.02)

    # Begin again: the model's own attention comes back, and the box that is there teaches it from there, not from what
    # two boxes had made of it.
    assert panel.reset_button.isEnabled()
    shown: list[str] = []
    session.heat.layer(look.ATTENTION).events.name.connect(lambda event: shown.append(event.source.name))
    case.click(panel.reset_button)
    assert shown[0] == "Attention" and session.live.on
    np.testing.assert_allclose(taught(case, 1), first, atol=1e-4)
    assert shown == ["Attention", "Attention, taught"] and panel.reset_button.isEnabled()

    case.press(Qt.Key.Key_W)
    case.wait(lambda: session.live.fit is None)
    assert not panel.reset_button.isEnabled(), "there is nothing to begin again"
    layer = session.heat.layer(look.ATTENTION)
    assert layer.name == "Attention"
    np.testing.assert_array_equal(layer.data, own.attention)
    case.press(Qt.Key.Key_W)
    taught(case, 1)


def test_another_study_begins_at_the_models_own(case: Window) -> None:
    session = case.session
    case.press(Qt.Key.Key_W)
    case.press(Qt.Key.Key_B)
    case.drag((24, 20), (72, 60))
    taught(case, 1)
    session.show_study(make_volume(8, 64, 80, uid="9.9"))
    assert session.live.fit is None and session.prediction is None and session.live.on
    case.settle(100)
    case.drag((20, 20), (40, 40))
    found = taught(case, 1)
    assert found.shape[0] == 8


def test_suggestions_say_that_they_were_taught(case: Window) -> None:
    session = case.session
    case.press(Qt.Key.Key_W)
    case.press(Qt.Key.Key_B)
    case.drag((24, 20), (72, 60))
    taught(case, 1)
    session.suggestion_threshold = 0.05
    case.press(Qt.Key.Key_U)
    case.wait(lambda: bool(session.journal.offers))
    assert all("taught by 1 box" in offer.author for offer in session.journal.offers)


def test_boxes_on_a_screen_teach_the_part_that_the_model_sees(window: Window, tmp_path: Path) -> None:
    picture = np.zeros((120, 200), np.uint8)
    picture[10:90, 100:180] = np.random.default_rng(0).integers(60, 200, (80, 80))
    Image.fromarray(picture).save(tmp_path / "us.png")
    spec = replace(
        RECIPES["attention-squeezenet"],
        preparation=PreparationSpec(ImageSource("picture"), (224, 224), view="ultrasound"),
    )
    window.session.show_study(read_study(tmp_path / "us.png"))
    window.session.set_bundle(load_bundle(save_bundle(tmp_path / "us", build(spec), card="", evaluation={})))
    window.viewer.reset_view()
    window.settle(100)
    window.click(window.dock.live.switch)
    window.press(Qt.Key.Key_B)
    window.drag((66, 150), (86, 170))
    maps = taught(window, 1)[0]
    prediction = window.session.prediction
    assert prediction.region is not None and prediction.region[1] >= 96
    cell = np.unravel_index(int(maps.argmax()), maps.shape)
    y, x = prediction.cell_to_pixel(*cell)
    assert 64 < y < 88 and 148 < x < 172, "the box has taught another place"


def test_on_the_real_slice_the_map_gathers_in_the_box(window: Window, data_dir: Path) -> None:
    """The model has seen phantoms only; a box around the ring shows it where to look."""
    session = window.session
    session.show_study(read_study(data_dir / "breast_dce_invivo"))
    session.set_bundle(load_bundle("demo-attention-squeezenet"))
    window.viewer.reset_view()
    session.go_to(0, 10)
    window.settle(100)
    window.press(Qt.Key.Key_W)
    window.press(Qt.Key.Key_B)
    window.drag((96, 85), (124, 112))
    taught(window, 1)
    shape = session.volume.geometry.shape[1:]
    before, after = (
        place(one.attention[0], session.journal.boxes, shape)
        for one in (session.live._own, session.prediction)
    )
    assert after.peak_inside and after.mass > 1.5 * before.mass
