"""Enhancement and classes against the definitions written out voxel by voxel; the edges of arithmetic."""

import importlib.util
from math import isfinite

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_breast_ai.core import Cancelled
from napari_breast_ai.kinetics import (
    CLASS_COLORS,
    CLASS_NAMES,
    KineticsError,
    Thresholds,
    choose_phases,
    classify,
    kinetic_maps,
)
from napari_breast_ai.kinetics.enhancement import enhancement
from napari_breast_ai.kinetics.fused import fused_kernel

numba = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="numba is not installed (the extra `numba`)"
)


def by_hand(s0: float, s1: float, sd: float | None, floor: float, t: Thresholds) -> tuple[float, float, int]:
    """The definitions as they are written, for one voxel."""
    if not (isfinite(s0) and s0 > floor):
        return 0.0, 0.0, 0
    s1 = s1 if isfinite(s1) else 0.0
    initial = 100 * (s1 - s0) / s0
    speed = 0 if initial < t.medium else 2 if initial > t.fast else 1
    if sd is None:
        return initial, 0.0, 10 + speed if initial >= t.shown else 0
    sd = sd if isfinite(sd) else 0.0
    delayed = 100 * (sd - s1) / s1 if s1 > 0 else 0.0
    course = 0 if delayed > t.course else 2 if delayed < -t.course else 1
    return initial, delayed, 1 + 3 * course + speed if initial >= t.shown else 0


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("fused", [False, pytest.param(True, marks=numba)])
def test_every_voxel_is_what_the_definition_says(study, kind, fused):
    rng = np.random.default_rng(1)
    data = rng.integers(0, 120, (4, 3, 17, 13)).astype(kind)
    if np.dtype(kind).kind != "u":
        data -= np.array(20, kind)
    volume = study(data, [0, 90, 240, 540])
    choice = choose_phases(volume)
    t = Thresholds()
    maps = kinetic_maps(volume, choice)
    initial, delayed = enhancement(
        data[choice.pre], data[choice.early], data[choice.late], maps.floor, fused=fused
    )
    codes = classify(initial, delayed, t)
    for where in np.ndindex(data.shape[1:]):
        s0, s1, sd = (float(data[p][where]) for p in (choice.pre, choice.early, choice.late))
        first, second, code = by_hand(s0, s1, sd, maps.floor, t)
        assert initial[where] == pytest.approx(first, rel=1e-6)
        assert delayed[where] == pytest.approx(second, rel=1e-6)
        assert codes[where] == code
        assert maps.tissue()[where] == (s0 > maps.floor)
    np.testing.assert_array_equal(maps.classes(1, t), codes[1])


@numba
def test_numba_and_numpy_agree(noisy):
    first = enhancement(noisy.data[0], noisy.data[1], noisy.data[4], 50.0, fused=False)
    second = enhancement(noisy.data[0], noisy.data[1], noisy.data[4], 50.0, fused=True)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    alone, none = enhancement(noisy.data[0], noisy.data[1], None, 50.0, fused=True)
    assert none is None
    np.testing.assert_allclose(alone, first[0], rtol=1e-6)


def test_without_numba_there_is_no_kernel(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "numba", None)
    fused_kernel.cache_clear()
    try:
        assert fused_kernel() is None
    finally:
        fused_kernel.cache_clear()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.floats(width=32, allow_nan=True, allow_infinity=True)] * 3), min_size=1, max_size=12
    )
)
def test_no_signal_makes_a_value_that_is_no_number(voxels):
    data = np.array(voxels, np.float32).T[:, None, None, :]
    initial, delayed = enhancement(data[0], data[1], data[2], 0.0, fused=False)
    assert np.isfinite(initial).all() and np.isfinite(delayed).all()
    assert classify(initial, delayed, Thresholds()).max(initial=0) < len(CLASS_NAMES)


def test_boundaries_belong_where_the_definition_puts_them():
    initial = np.array([49.99, 50, 100, 100.01, 150, 150, 150, 150], np.float32)
    delayed = np.array([0, 0, 0, 0, 10, 10.01, -10, -10.01], np.float32)
    names = [CLASS_NAMES[code] for code in classify(initial, delayed, Thresholds())]
    assert names == [
        "not shown", "plateau, medium", "plateau, medium", "plateau, fast", "plateau, fast", "persistent, fast",
        "plateau, fast", "washout, fast",
    ]  # fmt: skip
    every = classify(initial, delayed, Thresholds(), every=True)
    assert CLASS_NAMES[every[0]] == "plateau, slow"
    assert len(CLASS_COLORS) == len(CLASS_NAMES)


def test_whole_per_cents_are_exact(study):
    data = np.stack([np.full((1, 8, 8), 300), np.full((1, 8, 8), 450), np.full((1, 8, 8), 495)])
    maps = kinetic_maps(study(data.astype(np.uint16), [0, 90, 450]))
    assert (maps.initial == 50).all() and (maps.delayed == 10).all()
    assert (maps.classes(0, Thresholds()) == CLASS_NAMES.index("plateau, medium")).all()


def test_thresholds_act_without_the_enhancement_being_computed_again(noisy, monkeypatch):
    maps = kinetic_maps(noisy)
    monkeypatch.setattr("napari_breast_ai.kinetics.maps.enhancement", None)
    held = [Thresholds()]
    stack = maps.class_stack(lambda: held[0])
    before = stack[2].copy()
    held[0] = Thresholds(shown=20, medium=30, fast=60, course=3)
    after = np.asarray(stack)[2]
    np.testing.assert_array_equal(before, maps.classes(2, Thresholds()))
    np.testing.assert_array_equal(after, maps.classes(2, held[0]))
    assert (before != after).any()
    assert stack.shape == noisy.geometry.shape and stack[1:3, 4, ::2].shape == (2, 15)


@pytest.mark.parametrize(
    "thresholds",
    [
        Thresholds(shown=0), Thresholds(medium=120), Thresholds(course=-1), Thresholds(fast=float("nan")),
        Thresholds(medium=-5, shown=10),
    ],
)  # fmt: skip
def test_thresholds_that_make_no_sense(thresholds):
    assert thresholds.problems()
    with pytest.raises(KineticsError):
        thresholds.checked()


def test_air_is_left_out(study):
    data = np.full((3, 2, 20, 20), 3, np.uint16)
    data[1:] = 40  # noise ten times as strong as before
    data[:, :, 5:15, 5:15] = np.array([1000, 1600, 1700])[:, None, None, None]
    data[0, 0, 0, 0] = 0
    maps = kinetic_maps(study(data, [0, 90, 450]))
    assert not maps.initial[:, :5].any() and not maps.delayed[:, :5].any()
    assert (maps.initial[:, 5:15, 5:15] == 60).all()
    assert not maps.tissue()[0, 0, 0]


def test_signals_below_zero(study):
    data = np.full((3, 1, 12, 12), 100, np.int16)
    data[0, 0, 0], data[1, 0, 1], data[2, 0, 2] = -50, -50, -50
    maps = kinetic_maps(study(data, [0, 90, 450]))
    assert not maps.initial[0, 0].any()  # nothing to compare with
    assert (maps.initial[0, 1] == -150).all() and not maps.delayed[0, 1].any()
    assert (maps.delayed[0, 2] == -150).all()
    assert not maps.classes(0, Thresholds()).any()
    assert not maps.ser(0).any()


def test_saturated_signal_is_said(study):
    data = np.full((3, 2, 20, 20), 1000, np.uint16)
    data[1:, :, 5:10, 5:10] = 4095
    maps = kinetic_maps(study(data, [0, 90, 450]))
    assert maps.full == 4095
    assert any("4095" in one and "largest value" in one for one in maps.warnings)
    data[1:, :, 5:10, 5:10] = 4093
    assert kinetic_maps(study(data, [0, 90, 450])).full is None


def test_two_phases_only(study):
    data = np.stack([np.full((1, 9, 9), 100), np.full((1, 9, 9), 180)]).astype(np.uint16)
    maps = kinetic_maps(study(data))
    assert maps.delayed is None
    assert {CLASS_NAMES[c] for c in np.unique(maps.classes(0, Thresholds()))} == {"medium, no delayed phase"}
    with pytest.raises(KineticsError, match="needs a late phase"):
        maps.ser(0)


def test_signal_enhancement_ratio(noisy):
    maps = kinetic_maps(noisy)
    choice = maps.choice
    for z in range(noisy.n_slices):
        ratio, bins = maps.ser(z), maps.ser_bins(z)
        for y, x in np.ndindex(ratio.shape):
            s0, s1, sd = (float(noisy.data[p, z, y, x]) for p in (choice.pre, choice.early, choice.late))
            wanted = (s1 - s0) / (sd - s0) if s0 > maps.floor and sd > s0 else 0.0
            assert ratio[y, x] == pytest.approx(wanted, rel=1e-6)
            edges = ((0, 0.9), (0.9, 1), (1, 1.3), (1.3, 1.75), (1.75, 3))
            fits = [k for k, (low, high) in enumerate(edges, 1) if low < ratio[y, x] <= np.float32(high)]
            assert bins[y, x] == (fits[0] if fits and maps.initial[z, y, x] >= 50 else 0)


def test_phases_with_another_gain_are_said(study):
    rng = np.random.default_rng(0)
    data = rng.integers(400, 500, (4, 2, 20, 20))
    data[2:] *= 3
    said = kinetic_maps(study(data.astype(np.uint16), [0, 90, 180, 540])).warnings
    assert sum("scale factor" in one for one in said) == 2


def test_contrast_that_arrives_late_is_said(study):
    data = np.full((10, 1, 20, 20), 200.0)
    data[4:, 0, 5:8, 5:8] = 500
    said = kinetic_maps(study(data.astype(np.uint16), [20.0 * k for k in range(10)])).warnings
    assert any("arrive in phase 4" in one and "phase 3 as" in one for one in said)
    data[1:, 0, 5:8, 5:8] = 500
    said = kinetic_maps(study(data.astype(np.uint16), [20.0 * k for k in range(10)])).warnings
    assert not any("arrive" in one for one in said)


def test_an_empty_phase_is_refused(study):
    data = np.zeros((3, 1, 8, 8), np.uint16)
    data[1:] = 7
    with pytest.raises(KineticsError, match="holds no signal"):
        kinetic_maps(study(data))


def test_cancelling_stops_between_parts(study):
    calls = []

    def stop(done: int, total: int, what: str) -> None:
        calls.append(done)
        if len(calls) == 3:
            raise Cancelled

    data = np.ones((3, 200, 16, 16), np.uint16)
    with pytest.raises(Cancelled):
        kinetic_maps(study(data, [0, 90, 450]), progress=stop)
    assert len(calls) == 3 and calls[-1] < 200


def test_arrays_can_be_used_again(noisy):
    out = np.full(noisy.geometry.shape, 7, np.float32), np.full(noisy.geometry.shape, 7, np.float32)
    again, fresh = kinetic_maps(noisy, out=out), kinetic_maps(noisy)
    assert again.initial is out[0]
    np.testing.assert_array_equal(again.initial, fresh.initial)
    np.testing.assert_array_equal(again.delayed, fresh.delayed)
