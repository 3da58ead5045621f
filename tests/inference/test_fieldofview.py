"""The field of view of an ultrasound screen: found, cut out square, and put back where maps and boxes are drawn."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_breast_ai.annotations.suggest import from_attention
from napari_breast_ai.core import Box, DceVolume
from napari_breast_ai.inference import draw_overlay, plan_images, predict, prepare
from napari_breast_ai.inference.fieldofview import cut_out, find_field
from napari_breast_ai.inference.overlay import seen
from napari_breast_ai.inference.write import cell_to_patient, prediction_json
from napari_breast_ai.models import (
    RECIPES,
    ImageSource,
    ModelSpec,
    PreparationSpec,
    build,
    load_bundle,
    save_bundle,
)
from napari_breast_ai.study import read_study
from napari_breast_ai.training.cohort import prepare_case

DATA = Path(os.environ.get("NBAI_DATA", "../shared/data")) / "busi_odd"
NAME = "DOE JANE 1970-01-01  MI 1.2 TIs 0.1"
VIEW = PreparationSpec(ImageSource("picture"), (96, 96), view="ultrasound")


def speckle(rows: int, columns: int, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    fade = np.linspace(1, 0.6, rows)[:, None]
    return (8 + rng.gamma(2.0, 40.0, (rows, columns)) * fade).clip(0, 255).astype(np.uint8)


def screen(
    tissue: NDArray[np.uint8], top: int, left: int, size: tuple[int, int] = (768, 1024)
) -> NDArray[np.uint8]:
    """Tissue on a screen with a name, settings, a grey bar, a ruler and a body side."""
    picture = Image.new("L", (size[1], size[0]), 0)
    picture.paste(Image.fromarray(tissue), (left, top))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=22)
    draw.text((10, 8), NAME, fill=255, font=font)
    draw.text((20, 300), "FR 29\nAO% 100\nGn 45", fill=220, font=font)
    draw.text((300, size[0] - 40), "LEFT BREAST", fill=255, font=font)
    right = left + tissue.shape[1]
    for y in range(top, top + tissue.shape[0], 20):
        draw.line((right + 6, y, right + 14, y), fill=255)
    for y in range(256):
        draw.line((size[1] - 60, 120 + y, size[1] - 40, 120 + y), fill=255 - y)
    return np.asarray(picture)


def fan(rows: int, columns: int) -> NDArray[np.bool_]:
    """The field of a curved probe: narrow above, wide and round below."""
    y, x = np.mgrid[:rows, :columns]
    apex = (-0.35 * rows, columns / 2)
    far = np.hypot(y - apex[0], x - apex[1])
    angle = np.abs(np.arctan2(x - apex[1], y - apex[0]))
    found: NDArray[np.bool_] = (far > 0.4 * rows) & (far < 1.33 * rows) & (angle < 0.5)
    return found


@pytest.mark.parametrize(("top", "left", "rows", "columns"), [(90, 180, 560, 640), (60, 300, 640, 420)])
def test_the_field_is_found_and_nothing_written_is_left(top: int, left: int, rows: int, columns: int) -> None:
    picture = screen(speckle(rows, columns), top, left)
    found = find_field(picture)
    assert found.cut
    ys, xs = (np.nonzero(found.inside.any(axis=axis))[0] for axis in (1, 0))
    # It is found on cells of four pixels.
    for edge, true in ((ys[0], top), (xs[0], left), (ys[-1] + 1, top + rows), (xs[-1] + 1, left + columns)):
        assert abs(int(edge) - true) <= 4
    y0, x0, y1, x1 = found.region
    assert y1 - y0 == x1 - x0 == max(ys[-1] + 1 - ys[0], xs[-1] + 1 - xs[0])
    square = cut_out(picture.astype(np.float32), found)
    assert square.shape == (y1 - y0, x1 - x0)
    beside = square.copy()
    beside[max(top - y0, 0) : top + rows - y0, max(left - x0, 0) : left + columns - x0] = 0
    assert not beside.any()


def test_writing_in_the_corners_beside_a_fan_is_black() -> None:
    mask = fan(600, 700)
    picture = screen(np.where(mask, speckle(600, 700), 0).astype(np.uint8), 80, 150)
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text((160, 90), "ID 4711", fill=255, font=ImageFont.load_default(size=22))
    written = np.asarray(image)
    assert (written[85:120, 155:260] == 255).any()
    found = find_field(written)
    assert not found.inside[:60].any(), "the name is inside"
    assert not found.inside[85:120, 155:260].any()
    whole = np.zeros_like(found.inside)
    whole[80:680, 150:850] = mask
    assert found.inside[whole].mean() > 0.99, "part of the fan is cut off"


def test_a_black_cyst_or_shadow_does_not_split_the_field() -> None:
    tissue = speckle(500, 600)
    tissue[150:350, 200:420] = 0
    tissue[300:, 480:560] = 0
    found = find_field(screen(tissue, 100, 200))
    ys, xs = (np.nonzero(found.inside.any(axis=axis))[0] for axis in (1, 0))
    assert abs(int(ys[-1]) - 599) <= 4 and abs(int(xs[-1]) - 799) <= 4
    assert found.inside[250:450, 400:620].all()


@pytest.mark.parametrize("picture", [speckle(300, 400), np.full((300, 400), 7, np.uint8)])
def test_a_picture_without_a_screen_is_taken_whole(picture: NDArray[np.uint8]) -> None:
    found = find_field(picture)
    assert not found.cut and found.inside.all()
    assert found.region == (-50, 0, 350, 400)
    square = cut_out(picture.astype(np.float32), found)
    assert np.array_equal(square[50:350], picture) and not square[:50].any() and not square[350:].any()


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[DceVolume, Box]:
    """A dark square lesion in speckle on a screen, read as any picture is."""
    tissue = speckle(420, 640).astype(np.int16) // 2 + 60
    tissue[100:160, 300:380] = 0
    path = tmp_path_factory.mktemp("screen") / "us.png"
    Image.fromarray(screen(tissue.clip(0, 255).astype(np.uint8), 120, 180)).save(path)
    return read_study(path), Box(0, 219.5, 479.5, 279.5, 559.5, "lesion")


def test_boxes_lie_on_what_they_were_drawn_on(case: tuple[DceVolume, Box]) -> None:
    volume, box = case
    plan = plan_images(volume, VIEW)
    assert "the field of view (rows 120 to 539, columns 180 to 819) cut out" in plan.description
    part = prepare_case("p", volume, (box,), VIEW)
    image, (moved,) = part.images[0, 0], part.boxes[0]
    inside = image[round(moved.y0) + 2 : round(moved.y1) - 1, round(moved.x0) + 2 : round(moved.x1) - 1]
    assert inside.shape == (6, 9) and inside.max() < 30, "the box is not on the dark lesion"
    assert (moved.x1 - moved.x0) / (moved.y1 - moved.y0) == pytest.approx(80 / 60), "shapes changed"
    # The same as the model sees in a prediction.
    given = prepare(volume, replace(VIEW, mode="plain"), (0,)).images[0, 0]
    torch.testing.assert_close(given, torch.from_numpy(image).float() / 255, atol=0.003, rtol=0)


def test_white_writing_does_not_darken_the_tissue(case: tuple[DceVolume, Box]) -> None:
    volume, _ = case
    inside = volume.data[0, 0, 120:540, 180:820]
    plan = plan_images(volume, VIEW)
    low, high = np.percentile(inside[inside > 0.05 * np.percentile(inside, 99.5)], (1, 99.5))
    assert plan.window == pytest.approx((low, high), abs=2)
    assert plan_images(volume, replace(VIEW, view="whole")).window[1] > high


def test_a_prediction_lies_where_the_model_looked(case: tuple[DceVolume, Box], tmp_path: Path) -> None:
    volume, _ = case
    spec: ModelSpec = replace(
        RECIPES["attention-squeezenet"], name="us", preparation=replace(VIEW, mode="plain", size=(224, 224))
    )
    torch.manual_seed(0)
    bundle = load_bundle(save_bundle(tmp_path / "us", build(spec), card="", evaluation={}))
    assert bundle.spec == spec
    found = predict(volume, bundle, device="cpu")
    region = plan_images(volume, VIEW).region
    assert found.region == found.covered == region == (10, 180, 650, 820)
    h, w = found.map_shape
    for cell, pixel in (((-0.5, -0.5), (9.5, 179.5)), ((h - 0.5, w - 0.5), (649.5, 819.5))):
        assert found.cell_to_pixel(*cell) == pytest.approx(pixel)
        patient = cell_to_patient(found, volume) @ np.array([0, *cell, 1])
        np.testing.assert_allclose(patient, volume.geometry.affine @ np.array([0, *pixel, 1]))
    assert prediction_json(found, volume)["input"]["region"] == list(region)

    # One hot cell: proposals and the picture show it at its place, and nothing beside the field.
    maps = np.zeros_like(found.attention)
    maps[0, 2, 3] = 1
    hot = replace(found, attention=maps)
    centre = hot.cell_to_pixel(2, 3)
    (proposal,) = from_attention(hot, volume.geometry, "NME")
    assert (proposal.y0 + proposal.y1) / 2 == pytest.approx(centre[0], abs=4)
    assert (proposal.x0 + proposal.x1) / 2 == pytest.approx(centre[1], abs=4)
    assert proposal.y1 - proposal.y0 == pytest.approx(640 / h, rel=0.25)
    drawn = np.asarray(draw_overlay(hot, 0, volume, ()))[:768].astype(int)
    cold = np.asarray(draw_overlay(replace(hot, attention=0 * maps), 0, volume, ()))[:768].astype(int)
    ys, xs, _ = np.nonzero(np.abs(drawn - cold) > 60)
    assert abs((ys.min() + ys.max()) / 2 - centre[0]) < 6
    assert abs((xs.min() + xs.max()) / 2 - centre[1]) < 6
    # What the device wrote beside the field is on the screen, and in no picture that is taken away.
    assert volume.data[0, 0, :, :180].max() > 0 and not cold[:, :180].any()
    # The same above and below a field that is wider than tall, inside its square.
    grey = seen(volume, found, 0)
    assert volume.data[0, 0, 10:40, 180:].max() == 255 and not grey[:116].any() and not grey[544:].any()
    assert (grey[120:540, 180:820] > 0).mean() > 0.9


def test_maps_of_the_whole_image_are_where_they_were() -> None:
    maps = np.random.default_rng(0).random((1, 5, 4)).astype(np.float32)
    from napari_breast_ai.annotations.suggest import _placed

    whole = _placed(maps[0], (0, 0, 100, 80), (100, 80), (25, 20))
    from scipy import ndimage

    wanted = ndimage.zoom(maps[0], (5, 5), order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(whole, wanted, atol=1e-6)


def test_bundles_without_the_key_are_read_and_written_as_before() -> None:
    spec = RECIPES["squeezenet-narrow"]
    told = spec.to_json()
    assert "view" not in told["preparation"]
    assert ModelSpec.from_json(told) == spec
    assert "pictures only" in " ".join(replace(spec.preparation, view="ultrasound").problems())
    assert "view 'round' is unknown" in " ".join(replace(VIEW, view="round").problems())  # type: ignore[arg-type]


@pytest.mark.skipif(not DATA.is_dir(), reason="the ultrasound images of the shared data are not here")
def test_real_ultrasound_loses_no_lesion_and_is_found_again_on_a_screen() -> None:
    with (DATA / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["box_y0"]][::12]
    assert len(rows) > 20
    exact = 0
    for number, row in enumerate(rows):
        picture = Image.open(DATA / "images" / row["file"]).convert("L")
        box = tuple(int(float(row[f"box_{k}"])) for k in ("y0", "x0", "y1", "x1"))
        tissue = np.asarray(picture)
        found = find_field(tissue)
        assert found.inside[box[0] : box[2] + 1, box[1] : box[3] + 1].mean() > 0.98, row["file"]
        top, left = 70 + number, 200 + 3 * number
        shown = screen(tissue, top, left, (900, 1100))
        again = find_field(shown)
        there = again.inside[box[0] + top : box[2] + top + 1, box[1] + left : box[3] + left + 1]
        assert again.cut and there.mean() > 0.98, row["file"]
        assert not again.inside[:40].any(), "the patient's name is left"
        outer = np.ones_like(again.inside)
        outer[top - 5 : top + tissue.shape[0] + 5, left - 5 : left + tissue.shape[1] + 5] = False
        exact += not (again.inside & outer).any()
    assert exact == len(rows)
