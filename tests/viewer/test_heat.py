"""Heat maps: their colours, their lines, differences of classes, and where they lie on the screen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hand import Window
from numpy.typing import NDArray
from torch.nn import functional

from conftest import make_prediction, make_volume
from napari_breast_ai.core import BreastAIError, DceVolume, Prediction
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer import tasks
from napari_breast_ai.viewer.contours import Contours, code, contour_colormap
from napari_breast_ai.viewer.heat import heats
from napari_breast_ai.viewer.heat_colors import COLORS, TARGETS, difference_colormap, heat_colormap, levels
from napari_breast_ai.viewer.session import Session

SIGHT = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
"""Linear RGB as readers see it. Source: Machado, Oliveira and Fernandes, IEEE TVCG 2009;15:1291-1298."""


def lab(colors: Any, sight: str) -> NDArray[np.float64]:
    """CIELAB of sRGB colours (n, 3) as a reader of that sight sees them."""
    colors = np.asarray(colors, np.float64)
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ SIGHT[sight].T, 0, 1)
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.072175],
        [0.0193339, 0.119192, 0.9503041],
    ]
    xyz = linear @ np.array(to_xyz).T / (0.95047, 1, 1.08883)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@pytest.mark.parametrize("name", [*COLORS, TARGETS])
def test_colours_are_clear_below_the_threshold_and_rise_evenly(name: str) -> None:
    plain, cut = heat_colormap(name).colors, heat_colormap(name, 0.4).colors
    assert plain[0, 3] == 0 and plain[-1, 3] == 1 and (np.diff(plain[:, 3]) >= 0).all()
    assert (cut[: int(0.4 * 255), 3] == 0).all() and cut[-1, 3] == 1
    (
        np.testing.assert_array_equal(plain[:, :3], cut[:, :3]),
        "a colour means one number, whatever the threshold",
    )
    for sight in SIGHT:
        lightness = lab(plain[:, :3], sight)[:, 0]
        assert (np.diff(lightness) > -0.35).all(), f"lighter always means more, to {sight}"
        assert lightness[-1] - lightness[0] > 35, sight
    # Perceptually uniform: no step is much longer than the others.
    steps = np.linalg.norm(np.diff(lab(plain[::8, :3], "usual"), axis=0), axis=1)
    assert steps.max() < 2.5 * np.median(steps)


def test_both_sides_of_a_difference_are_told_apart_by_every_reader() -> None:
    colors = difference_colormap(0.2).colors
    middle = len(colors) // 2
    assert colors[middle, 3] == 0, "zero is clear"
    at = np.linspace(-1, 1, len(colors))
    assert (colors[np.abs(at) < 0.19, 3] == 0).all() and (colors[[0, -1], 3] == 1).all()
    np.testing.assert_allclose(colors[:, 3], colors[::-1, 3], atol=1e-6)
    for sight in SIGHT:
        for strength in (0.4, 0.7, 1.0):
            pair = colors[[round(middle * (1 - strength)), round(middle * (1 + strength))], :3]
            one, other = lab(pair, sight)
            assert np.linalg.norm(one - other) > 30, f"{strength} to {sight}"


def test_lines_lie_where_the_interpolated_map_has_their_height() -> None:
    rng = np.random.default_rng(3)
    maps = rng.random((3, 7, 9)).astype(np.float32) * 2
    maps[1] = 0
    lines = Contours(maps, 2.0, (0.3, 0.6))
    fine = lines.shape[1] // 7
    assert lines.shape == (3, 7 * fine, 9 * fine) and lines.dtype == np.uint8
    assert not lines[1].any(), "no line on an empty slice"
    smooth = functional.interpolate(torch.from_numpy(maps)[:, None], size=lines.shape[1:], mode="bilinear")
    for z in (0, 2):
        drawn, heights = lines[z], smooth[z, 0].numpy() / 2
        assert set(np.unique(drawn)) == {0, code(0.3), code(0.6)}
        for level in (0.3, 0.6):
            inside = heights >= level
            edge = np.zeros_like(inside)
            across, down = inside[:, 1:] != inside[:, :-1], inside[1:] != inside[:-1]
            edge[:, 1:] |= across
            edge[:, :-1] |= across
            edge[1:] |= down
            edge[:-1] |= down
            np.testing.assert_array_equal(
                drawn == code(level), edge & ((drawn == code(level)) | (drawn == 0))
            )
            assert (drawn[edge] > 0).all()
    np.testing.assert_array_equal(lines[0:2, 10:20], np.stack([lines[0], lines[1]])[:, 10:20])
    np.testing.assert_array_equal(np.asarray(lines)[2], lines[2])


def test_lines_of_a_difference_have_both_signs_and_their_colours() -> None:
    ramp = np.linspace(-1, 1, 20, dtype=np.float32)[None, None].repeat(4, axis=1)
    drawn = Contours(ramp, 1.0, (-0.5, 0.5, -0.75, 0.75))[0][0]
    found = [int(value) for value in drawn[drawn > 0][::2]]
    assert found == [code(-0.75), code(-0.5), code(0.5), code(0.75)]
    colors, wash = contour_colormap("", True), difference_colormap()
    assert colors.map(np.array([0.0]))[0, 3] == 0
    for level in (-0.75, 0.5):
        line = colors.map(np.array([code(level) / 255]))[0]
        np.testing.assert_allclose(line[:3], wash.map(np.array([(level + 1) / 2]))[0, :3], atol=0.02)
        assert line[3] == 1


def test_levels_begin_at_the_threshold() -> None:
    assert levels(0) == (0.25, 0.5, 0.75) and levels(0.25) == (0.25, 0.5, 0.75)
    assert levels(0.45) == (0.45, 0.75) and levels(0.9) == (0.9,)


def tasks_with_attention(volume: DceVolume) -> Prediction:
    """A prediction whose questions have an attention each."""
    made = make_prediction(volume)
    assert made.attention is not None
    return replace(made, task_attention={"lesion": made.attention, "kind": 0.25 * made.attention[:, ::-1]})


def test_the_difference_of_two_classes(session: Session, volume: DceVolume) -> None:
    session.show_study(volume)
    prediction = tasks_with_attention(volume)
    session.set_prediction(prediction)
    session.set_display(gradcam=True, label="IGM", against="lesion")
    cam, attention = (session.heat.layer(role) for role in (look.GRADCAM, look.ATTENTION))
    assert cam is not None and attention is not None
    assert cam.name == "Grad-CAM IGM minus lesion" and attention.name == "Attention IGM minus lesion"
    wanted = prediction.gradcam["IGM"] - prediction.gradcam["lesion"]
    np.testing.assert_array_equal(cam.data, wanted)
    np.testing.assert_allclose(cam.contrast_limits, (wanted.min(), -wanted.min()), rtol=1e-6)
    assert tuple(attention.contrast_limits) == (-1, 1)
    assert cam.colormap.map(np.array([0.5]))[0, 3] == 0, "no difference, no colour"
    session.set_display(against="NME")
    assert attention.name == "Attention IGM" and attention.contrast_limits[0] == 0, (
        "one question, one attention"
    )
    session.set_display(label="NME")
    assert cam.name == "Grad-CAM NME" and cam.contrast_limits[0] == 0, "a class is not compared with itself"
    one = heats(make_prediction(volume), replace(session.display, label="IGM", against="lesion"))
    assert one[look.ATTENTION].sides is None, "one attention for all questions has no difference"


def test_lines_and_colours_are_a_choice(session: Session, volume: DceVolume) -> None:
    session.show_study(volume)
    session.set_prediction(make_prediction(volume))
    wash = session.heat.layer(look.ATTENTION)
    assert wash is not None and session.heat.layer(look.ATTENTION_LINES) is None, "made when first looked at"
    session.set_display(style="lines")
    lines = session.heat.layer(look.ATTENTION_LINES)
    assert lines is not None and lines.visible and not wash.visible
    assert str(lines.interpolation2d) == "nearest"
    # The same outer edges in mm.
    for layer in (wash, lines):
        h, w = layer.data.shape[1:]
        np.testing.assert_allclose(layer.data_to_world((0, -0.5, -0.5)), (0, -0.4, -0.35), atol=1e-9)
        np.testing.assert_allclose(layer.data_to_world((7, h - 0.5, w - 0.5)), (21, 39.5 * 0.8, 49.5 * 0.7))
    assert set(np.unique(lines.data[5])) == {0, *(code(level) for level in (0.25, 0.5, 0.75))}
    session.set_display(threshold=0.6)
    assert session.heat.layer(look.ATTENTION_LINES) is lines
    assert set(np.unique(lines.data[5])) == {0, code(0.6), code(0.75)}
    session.set_display(style="both", attention_colors="cividis")
    assert (
        wash.visible
        and wash.colormap.name == "breast-ai cividis"
        and lines.colormap.name.startswith("breast-ai civ")
    )
    session.set_prediction(None)
    assert session.heat.shown == () and not [one for one in session.viewer.layers if "Attention" in one.name]
    with pytest.raises(BreastAIError, match="drawn as"):
        session.set_display(style="dots")
    with pytest.raises(BreastAIError, match="no colours"):
        session.set_display(gradcam_colors="jet")


@pytest.fixture
def window(make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1600, 1000)
    made = Window(viewer, qtbot)
    yield made
    made.session.shut_down()
    made.__dict__.clear()


def one_hot(volume: DceVolume) -> Prediction:
    """Attention that is 1 in one cell of one slice, and 0 elsewhere."""
    made = make_prediction(volume)
    attention = np.zeros((volume.n_slices, 5, 6), np.float32)
    attention[5, 3, 4] = 1
    return replace(made, attention=attention, region=(4, 10, 94, 118))


@pytest.mark.gui
@pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy")
@pytest.mark.parametrize("style", ["wash", "lines"])
def test_one_bright_cell_is_drawn_where_it_lies_in_the_patient(window: Window, style: str) -> None:
    """The screen's pixels against the resized reference, in world coordinates, with anisotropic pixels."""
    session = window.session
    volume = make_volume(8, 100, 120)
    session.show_study(volume)
    prediction = one_hot(volume)
    session.set_prediction(prediction)
    session.set_display(attention=True, gradcam=False, opacity=1.0, threshold=0.25, style=style)
    session.go_to(5)
    for layer in window.viewer.layers:
        if look.info(layer).get("role") in (look.DYNAMIC, look.SUBTRACTION):
            layer.visible = False
    window.settle(300)
    picture = window.viewer.screenshot(flash=False)[..., :3].astype(float) / 255
    scale = picture.shape[1] / window.canvas.width()
    # The reference: each pixel of the model's region, resized as torch does it.
    y0, x0, y1, x1 = prediction.covered
    assert prediction.attention is not None
    maps = torch.from_numpy(prediction.attention[5])[None, None]
    size = (10 * (y1 - y0), 10 * (x1 - x0))
    fine = functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()
    colors = heat_colormap("viridis", 0.25)
    worst, inside, hit = 0.0, 0, 0
    step = 3.0 if style == "wash" else 1.0
    for row in np.arange(y0, y1 - 1, step):
        for column in np.arange(x0, x1 - 1, step):
            height = fine[round((row + 0.5 - y0) * 10), round((column + 0.5 - x0) * 10)]
            point = window.at(row, column)
            seen = picture[round(point.y() * scale), round(point.x() * scale)]
            if style == "wash":
                color = np.asarray(colors.map(np.array([height])))[0]
                worst = max(worst, float(np.abs(seen - color[:3] * color[3]).max()))
                inside += height > 0.25
            elif seen.max() > 0.15:
                hit += 1
                worst = max(worst, min(abs(height - level) for level in (0.25, 0.5, 0.75)))
    if style == "wash":
        assert inside > 40 and worst < 0.16, f"{worst} from the reference"
    else:
        assert hit > 20 and worst < 0.12, f"a line lies {worst} off its height"
