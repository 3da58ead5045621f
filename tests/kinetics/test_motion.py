"""Motion that was planted is found and removed; the study itself stays as it is."""

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_breast_ai.core import Cancelled
from napari_breast_ai.kinetics import KineticsError
from napari_breast_ai.kinetics.motion import METHODS, MotionSettings, Pair, correct_motion, methods
from napari_breast_ai.kinetics.movement import Movement, moved
from napari_breast_ai.phantom import PhantomSpec, make_phantom
from napari_breast_ai.phantom.acquisition import displacement_across, phase_displacement
from napari_breast_ai.phantom.anatomy import build_scene
from napari_breast_ai.phantom.traits import body_traits

SPEC = PhantomSpec("nme", 6, (12, 160, 160), n_phases=2, motion_mm=3.0)


@pytest.fixture(scope="module")
def phantom():
    pytest.importorskip("SimpleITK")
    return make_phantom(SPEC)


@pytest.fixture(scope="module")
def corrected(phantom):
    return correct_motion(phantom.volume)


def planted(spec) -> np.ndarray:
    """Where the phantom's voxels went, in mm along (slices, rows, columns): sampled at +d, so found at -d."""
    scene = build_scene(spec, body_traits(spec))
    dy, dx = phase_displacement(spec, scene, 1)
    dz = displacement_across(spec, scene, 1)
    return np.stack([-dz, -dy, -np.broadcast_to(dx[:, None, None], dy.shape)], axis=-1)


def breasts(volume) -> np.ndarray:
    tissue = volume.data[0] > 0.1 * np.percentile(volume.data[0], 99)
    tissue[:, volume.data.shape[2] * 3 // 8 :] = False
    return tissue


def found_in(phantom, **settings) -> np.ndarray:
    volume = phantom.volume
    pair = Pair(*volume.data, volume.geometry.spacing, MotionSettings(**settings))
    return pair.movement().dense()


@pytest.mark.parametrize("method", METHODS)
def test_planted_motion_is_found(phantom, method):
    if method not in methods():
        pytest.skip("itk-elastix is not installed")
    found = found_in(phantom, method=method)
    truth, inside = planted(SPEC), breasts(phantom.volume)
    before = np.linalg.norm(truth[inside], axis=1)
    left = np.linalg.norm((found - truth)[inside], axis=1)
    assert np.median(before) > 0.8
    assert left.mean() <= 0.3 * before.mean()


def test_movement_across_the_slices_is_found_too():
    pytest.importorskip("SimpleITK")
    spec = replace(SPEC, shape=(48, 128, 128), slice_mm=2.4, motion_across_mm=3.0)
    made = make_phantom(spec)
    inside = breasts(made.volume)
    truth = planted(spec)[inside]
    left = found_in(made)[inside] - truth
    assert np.median(np.abs(truth[:, 0])) > 1
    assert np.abs(left[:, 0]).mean() <= 0.3 * np.abs(truth[:, 0]).mean()
    assert np.linalg.norm(left, axis=1).mean() <= 0.3 * np.linalg.norm(truth, axis=1).mean()


def test_the_corrected_study_moves_less(phantom, corrected):
    assert corrected.original is phantom.volume
    assert corrected.volume.data.dtype == phantom.volume.data.dtype
    assert corrected.volume.geometry is phantom.volume.geometry
    np.testing.assert_array_equal(corrected.volume.data[0], phantom.volume.data[0])
    assert corrected.before_mm[0] == corrected.after_mm[0] == 0
    truth = np.median(np.linalg.norm(planted(SPEC)[phantom.volume.data[0] > 0], axis=1))
    assert abs(corrected.before_mm[1] - truth) < 0.25 * truth
    assert corrected.after_mm[1] < 0.3 * corrected.before_mm[1]
    again = make_phantom(SPEC).volume.data
    np.testing.assert_array_equal(phantom.volume.data, again)  # never written over


def test_the_figure_tells_when_motion_is_left(phantom):
    """A correction that cannot follow the movement leaves some, and the figure after it says how much."""
    poor = correct_motion(phantom.volume, settings=MotionSettings(elastic=False))
    inside = breasts(phantom.volume)
    left = np.linalg.norm((found_in(phantom, elastic=False) - planted(SPEC))[inside], axis=1)
    assert np.median(left) > 0.3
    assert poor.after_mm[1] > 0.5 * np.median(left)


def test_there_are_fewer_artefacts_at_the_skin(phantom, corrected):
    """Enhancement where nothing enhances: a rim at the skin's edge that motion makes."""
    still = make_phantom(PhantomSpec("nme", 6, SPEC.shape, n_phases=2, motion_mm=0)).volume
    tissue = breasts(still)
    rim = tissue & ~ndimage.binary_erosion(tissue, np.ones((1, 5, 5), bool))
    wanted = still.subtraction(1)[rim]
    before = np.abs(phantom.volume.subtraction(1)[rim] - wanted).mean()
    after = np.abs(corrected.volume.subtraction(1)[rim] - wanted).mean()
    assert after < 0.6 * before


def test_the_rigid_step_finds_a_large_shift(phantom):
    fixed = phantom.volume.data[0]
    spacing = phantom.volume.geometry.spacing
    shifted = np.roll(fixed, (4, -3), (1, 2))
    found = Pair(fixed, shifted, spacing, MotionSettings(elastic=False)).movement().dense()
    inside = breasts(phantom.volume)
    left = found[inside] - np.array([0, 4 * spacing[1], -3 * spacing[2]])
    assert np.median(np.linalg.norm(left, axis=1)) < 0.8


def test_sampling_by_hand():
    rng = np.random.default_rng(0)
    phase = ndimage.gaussian_filter(rng.normal(500, 300, (6, 20, 20)), 2).astype(np.float32)
    grid = np.zeros((3, 3, 4, 4), np.float32)
    grid[1] = 1.6  # two rows of 0.8 mm
    movement = Movement(grid, (2, 5, 5), (0, 0, 0), phase.shape, (2.0, 0.8, 0.8))
    np.testing.assert_allclose(moved(phase, movement)[:, :-4], phase[:, 2:-2], rtol=1e-3)
    whole = moved(phase.astype(np.uint16), movement)
    assert whole.dtype == np.uint16 and whole.max() <= phase.max()
    where = np.zeros((3, 4, 4), bool)
    where[1, 2, 1] = True
    some = moved(phase, movement, where)
    np.testing.assert_array_equal(some[2:4, 10:15, 5:10], moved(phase, movement)[2:4, 10:15, 5:10])
    some[2:4, 10:15, 5:10] = phase[2:4, 10:15, 5:10]
    np.testing.assert_array_equal(some, phase)


def test_a_movement_is_linear_between_the_middles_of_cells():
    """A rotation comes out as it went in: linear in the place, up to the outermost cells' edges."""
    cell, corner, shape, spacing = (2, 4, 4), (1, 2, 0), (8, 20, 16), (3.0, 1.0, 1.0)
    z, y, x = (c + (np.arange(3) + 0.5) * k - 0.5 for c, k in zip(corner, cell, strict=True))
    middle = np.stack(np.meshgrid(z, y, x, indexing="ij"))
    turn = np.array([[0.0, 0.1, -0.2], [0.3, 0.0, 0.05], [0.0, -0.1, 0.2]])
    movement = Movement(
        np.einsum("ij,jzyx->izyx", turn, middle).astype(np.float32), cell, corner, shape, spacing
    )
    dense = movement.dense()
    assert dense.shape == (*shape, 3)
    np.testing.assert_allclose(dense[3, 7, 9], turn @ (3, 7, 9), rtol=1e-5)
    np.testing.assert_allclose(dense[1, 2, 0], turn @ (1, 2, 0), rtol=1e-5)
    np.testing.assert_allclose(dense[0, 0, 15], dense[0, 1, 12], atol=1e-5, err_msg="constant beyond")


def test_cancelling_ends_the_work(phantom):
    calls = []

    def stop(done: int, total: int, what: str) -> None:
        calls.append((done, total, what))
        if len(calls) == at:
            raise Cancelled

    for method in methods():
        for at in (1, 5, 20):
            calls.clear()
            with pytest.raises(Cancelled):
                correct_motion(phantom.volume, settings=MotionSettings(method=method), progress=stop)
            assert len(calls) == at and calls[-1][0] < calls[-1][1] and "phase 1" in calls[0][2]


@pytest.mark.parametrize("method", ["bspline", "elastix"])
def test_cancelling_ends_a_process_within_an_iteration(phantom, monkeypatch, method):
    if method not in methods():
        pytest.skip("itk-elastix is not installed")
    begun = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: begun.append(popen(*a, **k)) or begun[-1])
    settings = MotionSettings(rigid=False, method=method)

    def stop(done: int, total: int, what: str) -> None:
        if begun and time.monotonic() > first.setdefault("told", time.monotonic()) + 0.5:
            raise Cancelled

    first: dict[str, float] = {}
    with pytest.raises(Cancelled):
        correct_motion(phantom.volume, settings=settings, progress=stop)
    # It was told to stop half a second after its beginning, and is told ten times a second.
    assert time.monotonic() - first["told"] < 2
    assert len(begun) == 1 and begun[0].returncode not in (None, 0)


def test_progress_goes_on_to_the_end(phantom):
    said = []
    correct_motion(phantom.volume, progress=lambda done, total, what: said.append((done, total)))
    done = [one for one, _ in said]
    assert done == sorted(done) and len(set(done)) > 30 and said[-1] == (100, 100) == (said[-1][1], max(done))


def test_what_cannot_be_done_is_said(study, monkeypatch):
    for wrong in (
        MotionSettings(rigid=False, elastic=False), MotionSettings(pixel_mm=0), MotionSettings(iterations=(-1, 2)),
        MotionSettings(method="none"),
    ):  # fmt: skip
        with pytest.raises(KineticsError):
            correct_motion(study(np.ones((2, 4, 9, 9), np.uint16)), settings=wrong)
    with pytest.raises(KineticsError, match="two phases"):
        correct_motion(study(np.ones((1, 4, 9, 9), np.uint16)))
    with pytest.raises(KineticsError, match="4 slices"):
        correct_motion(study(np.ones((2, 1, 9, 9), np.uint16)))
    if "elastix" not in methods():
        with pytest.raises(KineticsError, match=r"napari-breast-ai\[elastix\]"):
            correct_motion(study(np.ones((2, 4, 9, 9), np.uint16)), settings=MotionSettings(method="elastix"))
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(KineticsError, match="pip install"):
        correct_motion(study(np.ones((2, 4, 9, 9), np.uint16)))


def test_odd_signals_leave_numbers(study):
    """Negative, saturated, missing and infinite signals, and an empty phase: nothing but numbers comes out."""
    pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(1)
    data = ndimage.gaussian_filter(rng.normal(300, 900, (3, 5, 32, 32)), (0, 0, 2, 2)).astype(np.float32)
    data[1, 2, 5:9, 5:9] = 65535
    data[1, 0, 0, :3] = np.nan, np.inf, -np.inf
    data[2] = 0
    found = correct_motion(study(data), settings=MotionSettings(iterations=(5, 2)))
    assert np.isfinite(found.volume.data[1:]).all() and np.isfinite(found.before_mm + found.after_mm).all()
    assert not found.volume.data[2].any()
