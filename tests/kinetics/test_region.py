"""Grown regions and their size: bodies of known shape, and what growing leaves out."""

import numpy as np
import pytest

from napari_breast_ai.core import Box
from napari_breast_ai.kinetics import Growing, KineticsError, area_of_mask, grow, kinetic_maps, size_of

SHAPE, SPACING = (12, 60, 60), (2.0, 0.8, 0.8)


def body(study, inside, *, dark=None, far=None):
    """Tissue that is still, and a part that enhances by 150 %."""
    rng = np.random.default_rng(0)
    data = np.full((3, *SHAPE), 400.0)
    data[1:, inside] = 1000
    if dark is not None:
        data[1:, dark] = 400
    if far is not None:
        data[1:, far] = 1000
    data += rng.normal(0, 8, data.shape)
    return kinetic_maps(study(data.astype(np.uint16), [0, 90, 450], spacing=SPACING))


def distance(centre, spacing=SPACING):
    z, y, x = np.indices(SHAPE)
    return np.sqrt(sum(((a - c) * s) ** 2 for a, c, s in zip((z, y, x), centre, spacing, strict=True)))


def test_a_ball_is_found_whole_with_its_size(study):
    inside = distance((6, 30, 30)) <= 8
    maps = body(study, inside)
    region, floor = grow(maps, [Box(6, 21, 21, 39, 39, "NME", "b")], Growing(margin_mm=12))
    got = region.whole(SHAPE)
    assert 2 * (got & inside).sum() / (got.sum() + inside.sum()) > 0.97
    assert floor == pytest.approx(60, abs=5)
    size = size_of(area_of_mask(inside), maps.geometry)
    assert size.volume_ml == pytest.approx(inside.sum() * 2 * 0.64 / 1000)
    assert size.volume_ml == pytest.approx(4 / 3 * np.pi * 8**3 / 1000, rel=0.05)
    assert size.longest_mm == pytest.approx(16, abs=1.2) and size.across_mm == pytest.approx(16, abs=1.2)
    assert size.through_mm == pytest.approx(18) and size.slice == 6
    assert "ml" in str(size)


def test_the_hole_of_a_ring_belongs_to_it_where_wanted(study):
    away = distance((6, 30, 30), (1e3, 0.8, 0.8))
    ring, hole = (away <= 10) & (away > 5), away <= 5
    maps = body(study, ring)
    box = [Box(6, 17, 17, 43, 43, "IGM", "b")]
    with_hole = grow(maps, box)[0].whole(SHAPE)
    without = grow(maps, box, Growing(fill=False, smooth_mm=0))[0].whole(SHAPE)
    assert with_hole[hole].all() and not without[hole].any()
    np.testing.assert_array_equal(without, ring)


def test_what_touches_no_box_is_left_out(study):
    lesion, other = distance((6, 25, 20)) <= 5, distance((6, 25, 40)) <= 5
    maps = body(study, lesion, far=other)
    region = grow(maps, [Box(6, 17, 12, 33, 28, "NME", "b")], Growing(margin_mm=50))[0].whole(SHAPE)
    assert region[lesion].mean() > 0.9 and not region[other].any()


def test_the_margin_is_in_millimetres(study):
    maps = body(study, np.ones(SHAPE, bool))
    region = grow(maps, [Box(6, 27.5, 27.5, 32.5, 32.5, "NME", "b")], Growing(margin_mm=4))[0]
    assert region.place == (slice(4, 9), slice(23, 38), slice(23, 38))
    tight = grow(maps, [Box(6, 27.5, 27.5, 32.5, 32.5, "NME", "b")], Growing(margin_mm=0))[0]
    assert tight.place == (slice(6, 7), slice(28, 33), slice(28, 33))


def test_boxes_of_several_slices_are_one_seed(study):
    lesion = distance((6, 30, 30)) <= 8
    maps = body(study, lesion)
    boxes = [Box(z, 21, 21, 39, 39, "NME", f"b{z}", lesion="a") for z in (4, 5, 6, 7, 8)]
    region = grow(maps, boxes, Growing(margin_mm=2))[0]
    assert region.name == "a" and region.place[0] == slice(3, 10)


def test_nothing_to_grow_is_said(study):
    maps = body(study, distance((6, 30, 30)) <= 4)
    with pytest.raises(KineticsError, match="Nothing in the box enhances"):
        grow(maps, [Box(1, 2, 2, 9, 9, "NME")], Growing(margin_mm=1))
    for wrong in (
        Growing(fraction=0), Growing(least=-1), Growing(margin_mm=-1), Growing(margin_mm=float("inf")),
        Growing(smooth_mm=99),
    ):  # fmt: skip
        assert wrong.problems()
        with pytest.raises(KineticsError):
            grow(maps, [Box(6, 21, 21, 39, 39, "NME")], wrong)


def test_diameters_of_a_tilted_bar(study):
    """30 × 6 mm at 30 degrees, measured between the outer edges of pixels."""
    _, y, x = np.indices(SHAPE)
    dy, dx = (y - 30) * 0.8, (x - 30) * 0.8
    along = dx * np.cos(np.pi / 6) + dy * np.sin(np.pi / 6)
    across = dy * np.cos(np.pi / 6) - dx * np.sin(np.pi / 6)
    bar = (np.abs(along) <= 15) & (np.abs(across) <= 3)
    bar[[0, 1, 2, 9, 10, 11]] = False
    maps = body(study, bar)
    size = size_of(area_of_mask(bar), maps.geometry)
    assert size.longest_mm == pytest.approx(np.hypot(30, 6), abs=1.2)
    assert size.through_mm == pytest.approx(12)
    (y0, x0), (y1, x1) = size.ends
    assert np.hypot((y1 - y0) * 0.8, (x1 - x0) * 0.8) == pytest.approx(size.longest_mm)
    one = np.zeros(SHAPE, bool)
    one[3, 4, 5] = True
    size = size_of(area_of_mask(one), maps.geometry)
    assert size.longest_mm == pytest.approx(0.8 * np.sqrt(2))
    assert size.across_mm == pytest.approx(0.8 * np.sqrt(2)) and size.through_mm == 2
