"""Curves, their types, and the most suspicious 3 × 3, against a search by hand."""

import csv
import io

import numpy as np
import pytest

from napari_breast_ai.core import Box
from napari_breast_ai.kinetics import (
    KineticsError,
    Thresholds,
    area_of_boxes,
    area_of_voxel,
    choose_phases,
    curve_of,
    curve_type,
    curves_csv,
    curves_of_boxes,
    drawn_together,
    kinetic_maps,
    most_suspicious,
)
from napari_breast_ai.kinetics.plots import class_figure, curves_figure, save_figure


def test_a_curve_is_the_mean_signal(noisy):
    choice = choose_phases(noisy)
    area = area_of_boxes([Box(2, 3.5, 4.5, 9.5, 8.5, "IGM", "b")], noisy.geometry.shape)
    curve = curve_of(noisy, choice, area)
    wanted = noisy.data[:, 2, 4:10, 5:9].astype(float).mean(axis=(1, 2))
    np.testing.assert_allclose(curve.signal, wanted)
    np.testing.assert_allclose(curve.percent, 100 * (wanted - wanted[0]) / wanted[0])
    assert curve.starts_s == noisy.times.start_s and curve.middles_s == choice.middles_s
    assert (curve.name, curve.label, curve.voxels) == ("b", "IGM", 24)
    voxel = curve_of(noisy, choice, area_of_voxel((1, 5, 6), noisy.geometry.shape))
    np.testing.assert_array_equal(voxel.signal, noisy.data[:, 1, 5, 6])


@pytest.mark.parametrize(
    ("signal", "title", "said"),
    [
        ([100, 140, 170], "slow, persistent (type I)", "below 50 %"),
        ([100, 180, 190], "medium, plateau (type II)", "50 to 100 %"),
        ([100, 240, 200], "fast, washout (type III)", "-17 %"),
        ([100, 200, 220], "medium, plateau (type II)", "within ±10 %"),
        ([100, 0, 50], "slow, no delayed course", "no early signal"),
        ([0, 100, 200], "no enhancement can be given", "no signal before contrast"),
    ],
)
def test_types_and_their_rule(study, signal, title, said):
    data = np.array(signal, np.int16)[:, None, None, None] * np.ones((1, 1, 3, 3), np.int16)
    choice = choose_phases(study(data, [0, 90, 450]))
    kind = curve_type(signal, choice)
    assert kind.title == title and said in kind.rule


def test_every_box_of_a_lesion_has_its_curve(noisy):
    """In the order of their slices; of what enhances where anything does; the largest are drawn."""
    maps = kinetic_maps(noisy)
    slices, rows, _ = noisy.geometry.shape
    boxes = [Box(z, 2, 2, 5 + z, 6, "IGM", f"b{z}") for z in reversed(range(slices))]
    boxes += [Box(0, 2, 2, rows - 2, 9, "IGM", "other"), Box(slices + 3, 2, 2, 5, 5, "IGM", "outside")]
    found = curves_of_boxes(maps, boxes, "lesion 1")
    assert [one.curve.name for one in found] == [
        "lesion 1, slice 0, box 1", "lesion 1, slice 0, box 2",
        *(f"lesion 1, slice {z}" for z in range(1, slices)),
    ]  # fmt: skip
    enhancing = maps.tissue(found[2].area.place) & (maps.initial[found[2].area.place] >= 50)
    assert 0 < enhancing.sum() == found[2].curve.voxels < found[2].area.voxels
    wanted = noisy.data[:, 1:2, 2:7, 2:7].astype(float)[:, enhancing].mean(axis=1)
    np.testing.assert_allclose(found[2].curve.signal, wanted)
    nothing = curves_of_boxes(maps, boxes, "lesion 1", Thresholds(shown=1e6))
    assert [one.curve.voxels for one in nothing] == [one.area.voxels for one in found]
    assert drawn_together(found[:3]) == (found[:3], "")
    many = found * 3
    drawn, remark = drawn_together(many)
    assert len(drawn) == 7 and f"of {len(many)} boxes" in remark
    assert min(one.area.voxels for one in drawn) >= sorted(one.area.voxels for one in many)[-7]


def test_thresholds_change_the_type(study):
    choice = choose_phases(study(np.ones((3, 1, 3, 3), np.uint16), [0, 90, 450]))
    assert curve_type([100, 180, 150], choice, Thresholds(course=20)).course == "plateau"
    assert curve_type([100, 180, 150], choice, Thresholds(course=5, fast=70)).title.startswith(
        "fast, washout"
    )


def test_the_most_suspicious_square_is_the_one_a_search_finds(study):
    rng = np.random.default_rng(5)
    for number in range(8):
        data = rng.integers(80, 260, (4, 2, 14, 15)).astype(np.uint16)
        data[0] //= 2
        data[:, :, :3, :3] = 0
        maps = kinetic_maps(study(data, [0, 90, 180, 500]))
        box = Box(1, 0.5, 0.5, 11.5, 12.5, "NME", "b")
        t = Thresholds(shown=50 + 20 * number)
        best = None
        for y in range(1, 10):
            for x in range(1, 11):
                block = data[:, 1, y : y + 3, x : x + 3].astype(float)
                if not (block[0] > maps.floor).all():
                    continue
                s0, s1, sd = (block[p].mean() for p in (maps.choice.pre, maps.choice.early, maps.choice.late))
                initial, delayed = 100 * (s1 - s0) / s0, 100 * (sd - s1) / s1
                course = 2 if delayed < -10 else 1 if delayed <= 10 else 0
                key = (course if initial >= t.shown else -1, initial)
                if best is None or key > best[0]:
                    best = key, (y, x)
        area = most_suspicious(maps, box, t)
        assert (area.place[1].start, area.place[2].start) == best[1]
        assert area.voxels == 9 and area.place[0] == slice(1, 2)


def test_a_box_without_room_is_said(noisy):
    maps = kinetic_maps(noisy)
    with pytest.raises(KineticsError, match="3 × 3"):
        most_suspicious(maps, Box(1, 3.5, 3.5, 5.5, 9.5, "NME"))


def test_curves_as_a_table(noisy, study):
    choice = choose_phases(noisy)
    curves = [curve_of(noisy, choice, area_of_voxel((1, 5, x), noisy.geometry.shape, 3)) for x in (4, 12)]
    read = list(csv.DictReader(io.StringIO(curves_csv(curves))))
    assert len(read) == 2 * noisy.n_phases
    assert [float(one["start_s"]) for one in read[:6]] == list(noisy.times.start_s)
    np.testing.assert_allclose([float(one["signal"]) for one in read[:6]], curves[0].signal, rtol=1e-5)
    np.testing.assert_allclose([float(one["percent"]) for one in read[6:]], curves[1].percent, atol=1e-3)
    assert read[0]["type"] == curves[0].kind().title
    dark = study(np.array([0, 5, 9])[:, None, None, None] * np.ones((1, 1, 3, 3)), ())
    unknown = curve_of(dark, choose_phases(dark, early=1, late=2), area_of_voxel((0, 1, 1), (1, 3, 3)))
    row = next(csv.DictReader(io.StringIO(curves_csv([unknown]))))
    assert row["start_s"] == row["percent"] == ""


def test_no_number_is_no_signal(study):
    data = np.full((3, 1, 4, 4), 10.0, np.float32)
    data[1, 0, 0, 0], data[2, 0, 1, 1] = np.nan, np.inf
    volume = study(data, [0, 90, 450])
    curve = curve_of(volume, choose_phases(volume), area_of_boxes([Box(0, -1, -1, 9, 9, "x")], (1, 4, 4)))
    np.testing.assert_allclose(curve.signal, [10, 150 / 16, 150 / 16])


@pytest.mark.parametrize("percent", [True, False])
@pytest.mark.parametrize("timed", [True, False])
def test_pictures_of_curves(noisy, tmp_path, percent, timed, study):
    volume = noisy if timed else study(noisy.data, ())
    choice = choose_phases(volume, early=2, late=5)
    curves = [
        curve_of(volume, choice, area_of_voxel((1, 5, x), volume.geometry.shape, 3, f"$cost {x}"))
        for x in (4, 12, 20)
    ]
    figure = curves_figure(curves, percent=percent)
    axes = figure.axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) == volume.n_phases]
    assert len(lines) == 3
    np.testing.assert_allclose(lines[1].get_ydata(), curves[1].percent if percent else curves[1].signal)
    np.testing.assert_allclose(lines[0].get_xdata(), curves[0].middles_s if timed else range(6))
    assert ("seconds" in axes.get_xlabel()) == timed
    first = save_figure(figure, tmp_path / "one.png").read_bytes()
    assert first[:4] == b"\x89PNG"
    assert b"<svg" in save_figure(figure, tmp_path / "one.svg").read_bytes()
    for call in (lambda: curves_figure([]), lambda: save_figure(figure, tmp_path / "one.txt")):
        with pytest.raises(KineticsError):
            call()
    (tmp_path / "file").touch()
    with pytest.raises(KineticsError, match="could not be written"):
        save_figure(figure, tmp_path / "file" / "one.png")


def test_a_picture_of_classes(noisy):
    maps = kinetic_maps(noisy)
    figure = class_figure(maps, 2, boxes=[Box(2, 1, 1, 9, 9, "NME"), Box(3, 1, 1, 9, 9, "NME")])
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[1].get_array(), maps.classes(2, Thresholds()))
    assert len(axes.patches) == 1
