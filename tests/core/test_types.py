import subprocess
import sys

import numpy as np
import pytest

from napari_breast_ai.core import (
    Box,
    CaseScores,
    DceVolume,
    Geometry,
    Identity,
    ModelRef,
    PhaseTimes,
    Prediction,
)


def volume(data, times=(0.0, 60.0), pre=0):
    geometry = Geometry(data.shape[1:], (1.0, 1.0, 1.0), np.eye(4))
    return DceVolume(
        data, geometry, PhaseTimes(times, ("test",) * len(times)), Identity("1.2"), pre_contrast=pre
    )


def test_phase_times_are_checked_and_searched():
    times = PhaseTimes((0.0, 60.0, 120.0, 200.0), ("AcquisitionTime",) * 4)
    assert times.nearest(150) == 2
    assert times.nearest(-5) == 0
    assert times.nearest(-5, first=1) == 1
    with pytest.raises(ValueError, match="fall"):
        PhaseTimes((0.0, 60.0, 59.0), ("x",) * 3)
    with pytest.raises(ValueError, match="source"):
        PhaseTimes((0.0, 60.0), ("x",))


def test_subtraction_of_unsigned_pixels_goes_below_zero():
    data = np.array([[[[10, 200]]], [[[5, 250]]]], dtype=np.uint16)
    np.testing.assert_array_equal(volume(data).subtraction(1), [[[-5, 50]]])
    np.testing.assert_array_equal(volume(data, pre=1).subtraction(0), [[[5, -50]]])


def test_a_volume_that_does_not_fit_together_is_refused():
    data = np.zeros((2, 3, 4, 5), dtype=np.uint16)
    with pytest.raises(ValueError, match="time"):
        volume(data, times=(0.0,))
    with pytest.raises(ValueError, match="pre-contrast"):
        volume(data, pre=2)
    with pytest.raises(ValueError, match="shape"):
        DceVolume(
            data,
            Geometry((3, 4, 6), (1.0, 1.0, 1.0), np.eye(4)),
            PhaseTimes((0.0, 1.0), ("x", "x")),
            Identity(""),
        )


def test_a_box_says_what_is_wrong_with_it():
    assert Box(0, 9.5, 9.5, 12.5, 12.5, "IGM").problems((1, 20, 20)) == []
    assert any("area" in p for p in Box(0, 5, 5, 5, 9, "IGM").problems())
    assert any("class" in p for p in Box(0, 5, 5, 6, 9, "").problems())
    assert any("slice 3" in p for p in Box(3, 5, 5, 6, 9, "IGM").problems((3, 20, 20)))
    assert any("outside" in p for p in Box(0, 30, 5, 36, 9, "IGM").problems((1, 20, 20)))


def test_clipping_keeps_the_part_inside():
    box = Box(0, -4.0, 3.0, 8.0, 40.0, "NME").clipped(10, 20)
    assert (box.y0, box.x0, box.y1, box.x1) == (-0.5, 3.0, 8.0, 19.5)
    assert box.contains(0, 19)
    assert not box.contains(9, 19)


def test_heat_map_cells_lie_as_in_align_corners_false():
    maps = {"IGM": np.zeros((1, 2, 4), np.float32)}
    prediction = Prediction(ModelRef("m", ""), (), (0,), {}, CaseScores({}, {}, ""), None, maps, (10, 20))
    # two rows of cells over ten pixels: centres at pixels 2 and 7; four columns over twenty: 2, 7, 12, 17
    assert prediction.cell_to_pixel(0, 0) == (2.0, 2.0)
    assert prediction.cell_to_pixel(1, 3) == (7.0, 17.0)


def test_importing_the_package_loads_nothing_heavy():
    heavy = ("torch", "napari", "qtpy", "pydicom", "numpy", "scipy", "PIL")
    code = (
        "import sys; before = set(sys.modules); import napari_breast_ai; "
        f"print([m for m in {heavy!r} if m in sys.modules and m not in before])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
