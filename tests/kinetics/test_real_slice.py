"""The real slice: a ring-enhancing lesion, 25 phases."""

import numpy as np
import pytest

from napari_breast_ai.core import Box
from napari_breast_ai.kinetics import (
    CLASS_NAMES,
    Thresholds,
    area_of_boxes,
    choose_phases,
    curve_of,
    grow,
    kinetic_maps,
    lesion_kinetics,
    most_suspicious,
    size_of,
)
from napari_breast_ai.study import read_study

RING = Box(0, 96.5, 85.5, 124.5, 112.5, "lesion", "ring")


@pytest.fixture(scope="module")
def volume(data_dir):
    return read_study(data_dir / "breast_dce_invivo" / "dicom")


def test_phases_and_remarks(volume):
    choice = choose_phases(volume)
    assert choice.middles_s[choice.early] == pytest.approx(156.1, abs=0.1)
    assert choice.late == volume.n_phases - 1
    maps = kinetic_maps(volume, choice)
    assert any("Contrast seems to arrive" in one for one in maps.warnings)


def test_the_ring_enhances_fast_around_a_dark_middle(volume):
    maps = kinetic_maps(volume, choose_phases(volume, pre=2))
    assert np.isfinite(maps.initial).all() and np.isfinite(maps.delayed).all()
    region, floor = grow(maps, [RING])
    inside = region.whole(maps.geometry.shape)
    assert inside[0, 110, 100] and floor > 50
    size = size_of(region, maps.geometry)
    assert 20 < size.longest_mm < 40 and size.longest_mm >= size.across_mm > 15
    ring = curve_of(volume, maps.choice, region)
    assert ring.kind().speed == "fast"
    # In its middle is a hole without any signal before contrast, which the region encloses.
    assert not maps.tissue()[0, 111:113, 98:101].any() and inside[0, 111:113, 98:101].all()
    row = lesion_kinetics(maps, region)
    assert row.worst == "washout" and row.time_to_peak_s > 60
    fast = {name: ml for name, ml in row.class_ml.items() if name.endswith("fast")}
    assert sum(fast.values()) > 0.6 * row.volume_ml


def test_the_most_suspicious_square_lies_on_the_ring(volume):
    maps = kinetic_maps(volume, choose_phases(volume, pre=2))
    worst = most_suspicious(maps, RING)
    kind = curve_of(volume, maps.choice, worst).kind()
    assert kind.speed == "fast" and kind.course == "washout"
    box = area_of_boxes([RING], maps.geometry.shape)
    codes = maps.classes(box.place, Thresholds())
    assert (codes > 0).mean() > 0.4
    assert "washout, fast" in {CLASS_NAMES[code] for code in np.unique(codes)}
