"""Derived images and projections against numpy on whole arrays, and where they lie in the patient."""

import numpy as np
import pytest

from napari_breast_ai.core import Geometry
from napari_breast_ai.kinetics import (
    KineticsError,
    RotatingMip,
    brightest,
    phase_image,
    project,
    relative_enhancement,
    slab,
    slab_stack,
    subtraction,
)

KINDS = [np.uint8, np.uint16, np.int16, np.float32]


@pytest.fixture(params=KINDS)
def volume(request, study):
    rng = np.random.default_rng(4)
    data = rng.integers(0, 250, (4, 6, 21, 17)).astype(request.param)
    data[:, :, 18:, 14:] = 0
    data[0, :, :2] = 249  # nothing rises above that
    if np.dtype(request.param).kind != "u":
        data -= np.array(30, request.param)
    return study(data, spacing=(3.0, 0.8, 1.1))


@pytest.mark.parametrize(("phase", "base"), [(1, 0), (0, 3), (3, 2)])
def test_any_two_phases(volume, phase, base):
    whole = volume.data[phase].astype(float) - volume.data[base]
    made = subtraction(volume, phase, base)
    np.testing.assert_array_equal(np.asarray(made.stack), whole)
    np.testing.assert_array_equal(made.stack[2], whole[2])
    np.testing.assert_array_equal(made.stack[1:4, ::2, 3], whole[1:4, ::2, 3])
    np.testing.assert_array_equal(made.stack[..., 5], whole[..., 5])
    np.testing.assert_array_equal(made.stack[-1, 4:6], whole[-1, 4:6])
    np.testing.assert_array_equal(made.stack[::3], whole[::3])
    relative = relative_enhancement(volume, phase, base)
    tissue = volume.data[base] > relative.floor
    wanted = np.where(tissue, 100 * whole / np.where(tissue, volume.data[base], 1), 0)
    np.testing.assert_allclose(np.asarray(relative.stack), wanted, rtol=1e-6)
    assert made.geometry is volume.geometry and str(phase) in made.name


def test_nothing_is_computed_before_it_is_asked_for(volume, monkeypatch):
    asked = []
    made = subtraction(volume, 1)
    monkeypatch.setattr(type(made), "of", lambda self, a, b: asked.append(a.shape) or a)
    stack = made.stack
    assert not asked
    _ = stack[3]
    assert asked == [(21, 17)]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("how", ["max", "mean"])
def test_projections_are_those_of_whole_arrays(volume, axis, how):
    for image, whole in (
        (phase_image(volume, 2), volume.data[2].astype(float)),
        (subtraction(volume, 2), volume.data[2].astype(float) - volume.data[0]),
        (relative_enhancement(volume, 2), np.asarray(relative_enhancement(volume, 2).stack)),
    ):
        reduce = np.max if how == "max" else np.mean
        np.testing.assert_allclose(
            project(image, axis, how).pixels, reduce(whole, axis=axis), rtol=1e-5, atol=1e-3
        )
        part = [slice(None)] * 3
        part[axis] = slice(2, 5)
        np.testing.assert_allclose(
            project(image, axis, how, 2, 5).pixels,
            reduce(whole[tuple(part)], axis=axis),
            rtol=1e-5,
            atol=1e-3,
        )


def test_a_projection_lies_in_the_middle_of_what_it_shows(volume):
    for axis in (0, 1, 2):
        made = project(subtraction(volume, 1), axis, "max", 1, 4)
        down, across = (k for k in range(3) if k != axis)
        rng = np.random.default_rng(axis)
        for _ in range(5):
            index = np.zeros(3)
            index[down], index[across] = rng.integers(0, 4, 2)
            index[axis] = 2  # the middle of 1, 2, 3
            np.testing.assert_allclose(
                made.geometry.to_patient([0, index[down], index[across]]), volume.geometry.to_patient(index)
            )
        assert made.geometry.spacing[0] == pytest.approx(3 * volume.geometry.spacing[axis])
        assert made.geometry.shape == (1, *made.pixels.shape)
        # Its slice is as thick as the slab: its faces are those of the slab.
        index[axis] = 0.5
        np.testing.assert_allclose(
            made.geometry.to_patient([-0.5, index[down], index[across]]), volume.geometry.to_patient(index)
        )


def test_slabs(volume):
    geometry = volume.geometry
    assert slab(geometry, 0, 3, 9.0) == (2, 5)
    assert slab(geometry, 0, 0, 9.0) == (0, 2)
    assert slab(geometry, 0, 5, 1.0) == (5, 6)
    assert slab(geometry, 1, 10, 4.0) == (8, 13)
    stack = slab_stack(subtraction(volume, 1), 9.0)
    whole = volume.data[1].astype(float) - volume.data[0]
    assert stack.shape == volume.geometry.shape
    np.testing.assert_array_equal(stack[3], whole[2:5].max(0))
    np.testing.assert_array_equal(np.asarray(stack)[0], whole[0:2].max(0))
    along = slab_stack(subtraction(volume, 1), 4.0, axis=2, how="mean")
    assert along.shape == (17, 6, 21)


@pytest.mark.parametrize(
    "call",
    [
        lambda v: subtraction(v, 6),
        lambda v: subtraction(v, 2, 2),
        lambda v: phase_image(v, -1),
        lambda v: relative_enhancement(v, 0),
        lambda v: project(phase_image(v, 0), 0, "max", 3, 3),
        lambda v: project(phase_image(v, 0), 1, "max", 3, 34),
        lambda v: slab_stack(phase_image(v, 0), 0),
        lambda v: RotatingMip(phase_image(v, 0), 0),
    ],
)
def test_what_cannot_be_shown_is_said(noisy, call):
    with pytest.raises(KineticsError):
        call(noisy)


def test_no_number_shows_up(study):
    data = np.full((2, 2, 5, 5), 4.0, np.float32)
    data[0, 0, 0, 0], data[1, 1, 2, 2], data[0, 1, 3, 3] = np.nan, np.inf, 1e-44
    volume = study(data)
    for image in (phase_image(volume, 0), subtraction(volume, 1), relative_enhancement(volume, 1, tissue=0)):
        assert np.isfinite(np.asarray(image.stack)).all()
        for axis in (0, 1, 2):
            assert np.isfinite(project(image, axis).pixels).all()


AXIAL, CORONAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)


@pytest.mark.parametrize(
    ("orientation", "step"), [(AXIAL, 2.0), (AXIAL, -2.0), (CORONAL, 2.0), (SAGITTAL, 2.0)]
)
def test_a_point_is_seen_where_it_lies(study, orientation, step):
    """One bright voxel, seen from all around, whatever the stack's orientation."""
    from dataclasses import replace

    shape = (9, 15, 13)
    geometry = Geometry.from_dicom(shape, (1.5, 1.0), step, (5.0, -7.0, 11.0), orientation)
    data = np.zeros((2, *shape), np.uint16)
    spot = (6, 3, 10)
    data[1][spot] = 500
    volume = replace(study(data), geometry=geometry)
    turning = RotatingMip(subtraction(volume, 1), 12)
    at = geometry.to_patient(spot)
    middle = geometry.to_patient((np.array(shape) - 1) / 2)
    for k in range(12):
        view = turning.at(k)
        assert view.pixels.max() == 500 and view.pixels.shape == turning.shape[1:]
        seen = view.geometry.to_patient([0, *np.unravel_index(np.argmax(view.pixels), view.pixels.shape)])
        away = at - seen
        turn = np.radians(30 * k)
        # Image right is the patient's left from the front, her back from her left side.
        right = np.array([np.cos(turn), np.sin(turn), 0])
        assert abs(away @ right) <= view.geometry.spacing[2] / 2 + 1e-6
        assert away[2] == pytest.approx(0, abs=1e-6)
        np.testing.assert_allclose(view.geometry.affine[:3, 2] / view.geometry.spacing[2], right, atol=1e-12)
    front = (at - middle) @ [1, 0, 0]
    seen = turning.at(0).geometry.to_patient([0, *np.unravel_index(np.argmax(turning[0]), turning[0].shape)])
    assert (seen - middle)[0] == pytest.approx(front, abs=turning.at(0).geometry.spacing[2] / 2 + 1e-6)


@pytest.mark.parametrize("columns", [31, 32])
def test_the_first_view_is_the_one_from_the_front(study, columns):
    rng = np.random.default_rng(2)
    volume = study(rng.integers(1, 900, (1, 4, 20, columns)).astype(np.uint16), spacing=(3.0, 1.0, 1.0))
    image = phase_image(volume, 0)
    seen = RotatingMip(image, 4).at(0).pixels
    held = np.flatnonzero(seen.any(axis=0))
    assert len(held) == columns and (np.diff(held) == 1).all()
    np.testing.assert_array_equal(seen[:, held], project(image, 1).pixels)


def test_a_solid_block_has_no_holes_from_any_side(study):
    data = np.zeros((2, 7, 31, 31), np.uint16)
    data[1, 2:5, 8:23, 8:23] = 100
    turning = RotatingMip(subtraction(study(data), 1), 16)
    for view in np.asarray([turning[k] for k in range(16)]):
        inside = view[3] > 0
        first, last = np.flatnonzero(inside)[[0, -1]]
        assert inside[first : last + 1].all() and last - first + 1 >= 15
        assert (view[0] == 0).all()
    assert turning[2:4].shape == (2, *turning.shape[1:])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_voxel_behind_a_pixel_holds_its_value(volume, axis):
    """Of every kind of image and any slab: the pixel's value is that of the voxel that it is said to come from."""
    rng = np.random.default_rng(axis)
    down, across = (k for k in range(3) if k != axis)
    for image in (phase_image(volume, 2), subtraction(volume, 2), relative_enhancement(volume, 2)):
        whole = np.asarray(image.stack)
        for first, stop in ((0, whole.shape[axis]), (2, 4)):
            pixels = project(image, axis, "max", first, stop).pixels
            for _ in range(10):
                y, x = rng.integers(0, pixels.shape[0]), rng.integers(0, pixels.shape[1])
                at = brightest(image, axis, y, x, first, stop)
                place = [0, 0, 0]
                place[axis], place[down], place[across] = at, y, x
                assert first <= at < stop and whole[tuple(place)] == pytest.approx(pixels[y, x], rel=1e-6)


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL])
def test_the_voxel_behind_a_turned_pixel_holds_its_value(study, orientation):
    from dataclasses import replace

    rng = np.random.default_rng(5)
    shape = (7, 15, 13)
    data = rng.integers(0, 900, (2, *shape)).astype(np.uint16)
    geometry = Geometry.from_dicom(shape, (1.5, 1.0), 2.0, (5, -7, 11), orientation)
    image = subtraction(replace(study(data), geometry=geometry), 1)
    whole = np.asarray(image.stack)
    turning = RotatingMip(image, 8)
    for k in range(8):
        for span in (None, (-3.0, 2.5)):
            seen = turning.at(k, span).pixels
            hits = 0
            for row, column in zip(*(rng.integers(0, n, 60) for n in seen.shape), strict=True):
                found = turning.voxel(k, row, column, span)
                if found is None:
                    assert seen[row, column] == 0
                    continue
                hits += 1
                assert whole[found] == seen[row, column]
                y, x, away = turning.seen_at(k, found)
                assert y == row and abs(x - column) <= 0.5 + 1e-6, "and it is seen where it lies"
                assert span is None or span[0] <= away <= span[1]
            assert hits
        assert turning.voxel(k, -1, 0) is None and turning.voxel(k, 0, seen.shape[1]) is None


def test_a_relative_image_looks_at_the_whole_base_only_when_it_must(volume):
    image = relative_enhancement(volume, 2)
    assert not image.ready and subtraction(volume, 2).ready
    _ = image.stack[1]
    assert image.ready and image.floor > 0
