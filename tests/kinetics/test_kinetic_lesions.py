"""Areas, the functional volume and the summary of a lesion, against sums made by hand."""

import csv
import io
from itertools import product

import numpy as np
import pytest

from napari_breast_ai.annotations.masks import mask as boxed
from napari_breast_ai.core import Box
from napari_breast_ai.kinetics import (
    CLASS_NAMES,
    FunctionalRule,
    KineticsError,
    Thresholds,
    area_of_boxes,
    area_of_mask,
    area_of_voxel,
    functional_mask,
    kinetic_maps,
    lesion_kinetics,
    lesions_csv,
)
from napari_breast_ai.kinetics.functional import neighbours


def box(z, y0, x0, y1, x1, **more) -> Box:
    return Box(z, y0, x0, y1, x1, more.pop("label", "NME"), more.pop("id", "b1"), **more)


@pytest.mark.parametrize(
    "boxes",
    [
        [box(1, 2.5, 3.5, 9.5, 8.5)],
        [box(1, 3, 4, 9, 8)],  # edges on centres: they belong to it
        [box(0, -4, -4, 2.5, 2.5), box(3, 25, 20, 60, 60), box(1, 10.2, 10.2, 14.9, 11.1)],
    ],
)
def test_boxes_hold_the_pixels_whose_centres_they_hold(boxes, noisy):
    area = area_of_boxes(boxes, noisy.geometry.shape)
    np.testing.assert_array_equal(area.whole(noisy.geometry.shape), boxed(boxes, noisy.geometry.shape) != 0)
    assert area.name == "b1" and area.label == "NME"


def test_areas_of_voxels_and_masks(noisy):
    shape = noisy.geometry.shape
    assert area_of_voxel((1, 5, 6), shape).voxels == 1
    assert area_of_voxel((1, 5, 6), shape, 3).voxels == 9
    assert area_of_voxel((1, 0, 0), shape, 3).voxels == 4
    mask = np.zeros(shape, np.uint8)
    mask[2, 3, 4] = mask[4, 10, 1] = 2
    area = area_of_mask(mask, "painted")
    np.testing.assert_array_equal(area.whole(shape), mask != 0)
    for call in (
        lambda: area_of_mask(np.zeros(shape)),
        lambda: area_of_voxel((9, 0, 0), shape),
        lambda: area_of_boxes([box(7, 0, 0, 5, 5)], shape),
        lambda: area_of_boxes([box(1, 3.1, 3.1, 3.4, 3.4)], shape),
    ):
        with pytest.raises(KineticsError):
            call()


def test_neighbours_are_counted_as_one_counts_them():
    rng = np.random.default_rng(2)
    mask = rng.random((4, 6, 5)) < 0.4
    got = neighbours(mask)
    for z, y, x in np.ndindex(mask.shape):
        wanted = sum(
            bool(mask[a, b, c])
            for a, b, c in product(range(z - 1, z + 2), range(y - 1, y + 2), range(x - 1, x + 2))
            if (a, b, c) != (z, y, x) and 0 <= a < 4 and 0 <= b < 6 and 0 <= c < 5
        )
        assert got[z, y, x] == wanted
    assert neighbours(np.ones((3, 3, 3), bool))[1, 1, 1] == 26
    assert neighbours(np.ones((1, 3, 3), bool))[0, 1, 1] == 8


def test_the_functional_volume_is_what_the_rule_says(study):
    rng = np.random.default_rng(6)
    data = rng.integers(300, 1000, (4, 5, 33, 29))
    data[1:] += rng.integers(0, 1500, data[1:].shape)
    noisy = study(data.astype(np.uint16), [0, 90, 180, 500])
    maps = kinetic_maps(noisy)
    area = area_of_boxes([box(z, 2.5, 3.5, 28.5, 24.5) for z in (1, 2, 3)], noisy.geometry.shape)
    rule = FunctionalRule(initial=40, neighbours=4)
    choice, inside = maps.choice, area.whole(noisy.geometry.shape)
    s0, s1, sd = (noisy.data[p].astype(float) for p in (choice.pre, choice.early, choice.late))
    least = 0.6 * np.percentile(s0[inside], 95)
    counts = np.zeros(inside.shape, bool)
    for where in np.argwhere(inside):
        a, b, c = (s[tuple(where)] for s in (s0, s1, sd))
        counts[tuple(where)] = a >= least and a > 0 and b >= a * 1.4 and c > a
    wanted = counts & (neighbours(counts) >= 4)
    got = np.zeros(inside.shape, bool)
    got[area.place] = functional_mask(maps, area, rule)
    np.testing.assert_array_equal(got, wanted)
    assert 0 < wanted.sum() < counts.sum()
    row = lesion_kinetics(maps, area, rule=rule)
    assert row.functional_ml == pytest.approx(wanted.sum() * 2 / 1000)


@pytest.mark.parametrize(
    "rule",
    [
        FunctionalRule(background=2), FunctionalRule(initial=0), FunctionalRule(ser=-1),
        FunctionalRule(neighbours=27), FunctionalRule(percentile=float("nan")),
    ],
)  # fmt: skip
def test_a_rule_that_makes_no_sense(rule, noisy):
    assert rule.problems()
    area = area_of_voxel((1, 5, 6), noisy.geometry.shape)
    with pytest.raises(KineticsError):
        functional_mask(kinetic_maps(noisy), area, rule)


@pytest.fixture
def lesion(study):
    """A lesion of 4 × 4 × 2 voxels of 2 mm³: 16 wash out, 12 plateau, 4 enhance slowly; the rest is still."""
    data = np.full((5, 4, 12, 12), 100, np.uint16)
    data[:, 1, 3:7, 3:7] = np.array([100, 250, 240, 210, 200])[:, None, None]
    data[:, 2, 3:6, 3:7] = np.array([100, 160, 170, 168, 160])[:, None, None]
    data[:, 2, 6, 3:7] = np.array([100, 110, 120, 140, 150])[:, None]
    return study(data, [0, 60, 120, 300, 480])


def test_the_summary_of_a_made_lesion(lesion):
    maps = kinetic_maps(lesion)
    assert (maps.choice.early, maps.choice.late) == (2, 4)  # middles at 90 s and 450 s
    mask = np.zeros(lesion.geometry.shape, bool)
    mask[1:3, 3:7, 3:7] = True
    row = lesion_kinetics(maps, area_of_mask(mask, "lesion 1", "NME"))
    assert row.voxels == 32 and row.volume_ml == pytest.approx(0.064)
    assert row.tissue_ml == pytest.approx(0.064) and row.enhancing_ml == pytest.approx(0.056)
    assert row.peak_percent == pytest.approx(140)
    assert row.mean_percent == pytest.approx((16 * 140 + 12 * 70) / 28)
    assert row.class_ml["washout, fast"] == pytest.approx(0.032)
    assert row.class_ml["plateau, medium"] == pytest.approx(0.024)
    assert row.class_ml["persistent, slow"] == pytest.approx(0.008)
    assert sum(row.class_ml.values()) == pytest.approx(row.tissue_ml)
    assert row.course_percent == pytest.approx(
        {"persistent": 0, "plateau": 100 * 12 / 28, "washout": 100 * 16 / 28}
    )
    assert row.worst == "washout"
    assert row.variation_percent == pytest.approx(
        100 * np.std([140] * 16 + [70] * 12) / ((16 * 140 + 12 * 70) / 28)
    )
    shares = np.array([12, 16]) / 28
    assert row.mixture == pytest.approx(-(shares * np.log(shares)).sum() / np.log(3))
    # The enhancing voxels' mean: 100, 211.4, 210, 192, 182.9; middles at -30, 30, 90, 270, 450 s.
    assert row.time_to_peak_s == 30
    assert row.wash_in == pytest.approx((16 * 150 + 12 * 60) / 28 / 0.5)
    assert row.wash_out == pytest.approx(((16 * 100 + 12 * 60) - (16 * 150 + 12 * 60)) / 28 / 7)
    assert row.ser_ml["1.3 to 1.75"] == pytest.approx(0.032)  # 140 / 100
    assert row.ser_ml["1 to 1.3"] == pytest.approx(0.024)  # 70 / 60
    assert row.functional_ml == pytest.approx(0.056)
    assert row.remarks == ()


def test_the_worst_curve_of_few_voxels(lesion):
    maps = kinetic_maps(lesion)
    area = area_of_boxes([box(2, 2.5, 2.5, 5.5, 6.5), box(1, 2.5, 2.5, 3.5, 3.5)], lesion.geometry.shape)
    assert lesion_kinetics(maps, area).worst == "washout"  # one voxel of it
    assert lesion_kinetics(maps, area, fewest=2).worst == "plateau"


def test_thresholds_change_the_summary(lesion):
    maps = kinetic_maps(lesion)
    area = area_of_boxes([box(z, 2.5, 2.5, 6.5, 6.5) for z in (1, 2)], lesion.geometry.shape)
    row = lesion_kinetics(maps, area, Thresholds(shown=15, medium=80, fast=150, course=20))
    assert row.enhancing_ml == pytest.approx(0.064)
    assert row.class_ml["plateau, medium"] == pytest.approx(0.032)
    assert row.class_ml["plateau, slow"] == pytest.approx(0.024)
    assert row.worst == "persistent" or row.course_percent["washout"] == 0


def test_what_is_undefined_is_empty_and_said(study):
    data = np.full((2, 1, 10, 10), 100, np.uint16)
    data[1, 0, 2:5, 2:5] = 180
    data[:, 0, 8:, 8:] = 0
    maps = kinetic_maps(study(data, ()))
    shape = maps.geometry.shape
    row = lesion_kinetics(maps, area_of_boxes([box(0, 1.5, 1.5, 4.5, 4.5)], shape))
    assert row.class_ml is None and row.functional_ml is None and row.worst == ""
    assert row.time_to_peak_s is None and row.peak_percent == pytest.approx(80)
    assert any("late phase" in one for one in row.remarks) and any("times" in one for one in row.remarks)
    air = lesion_kinetics(maps, area_of_boxes([box(0, 7.5, 7.5, 9.5, 9.5)], shape))
    assert air.peak_percent is None and any("no voxel" in one.lower() for one in air.remarks)
    still = lesion_kinetics(maps, area_of_boxes([box(0, 5.5, 1.5, 7.5, 4.5)], shape))
    assert still.mean_percent is None and any("50 % or more" in one for one in still.remarks)
    for one in (row, air, still):
        assert "nan" not in " ".join(one.row().values()).lower()


def test_saturated_voxels_are_counted(study):
    data = np.full((3, 1, 10, 10), 1000, np.uint16)
    data[1:, 0, 2:7, 2:7] = 4095
    row = lesion_kinetics(
        kinetic_maps(study(data, [0, 90, 450])), area_of_boxes([box(0, 1.5, 1.5, 3.5, 8.5)], (1, 10, 10))
    )
    assert any("10 voxels are saturated" in one for one in row.remarks)


def test_the_table_has_units(lesion):
    maps = kinetic_maps(lesion)
    rows = [
        lesion_kinetics(maps, area_of_boxes([box(z, 2.5, 2.5, 6.5, 6.5, id=f"box, {z}")], (4, 12, 12)))
        for z in (1, 2)
    ]
    read = list(csv.DictReader(io.StringIO(lesions_csv(rows))))
    assert [one["lesion"] for one in read] == ["box, 1", "box, 2"]
    assert float(read[0]["peak initial enhancement (%)"]) == 140
    assert float(read[0]["volume (ml)"]) == pytest.approx(0.032)
    assert read[1]["worst curve"] == "plateau"
    unitless = {"lesion", "class", "voxels", "worst curve", "remarks"}
    assert all("(" in name for name in read[0] if name not in unitless)
    assert set(CLASS_NAMES[1:10]) <= {name.removesuffix(" (ml)") for name in read[0]}
    with pytest.raises(KineticsError):
        lesions_csv([])
