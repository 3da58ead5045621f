"""Contrast kinetics against closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest

from napari_breast_ai.phantom.tracer import (
    HAEMATOCRIT,
    impulse_table,
    parker_aif,
    spoiled_gradient_echo,
    tofts,
)


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        # Worked by hand from table 1 of the paper: first pass, recirculation, late course.
        (-0.1, 0.0),
        (0.17046, 6.0693),
        (0.365, 1.0229),
        (1.0, 0.8872),
        (3.0, 0.6334),
        (5.0, 0.4522),
    ],
)
def test_parker_values(minutes: float, expected: float) -> None:
    assert float(parker_aif(minutes)) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(("ktrans", "ve", "vp"), [(0.05, 0.5, 0.0), (0.25, 0.4, 0.02), (0.6, 0.25, 0.1)])
def test_tofts_equals_numeric_convolution(ktrans: float, ve: float, vp: float) -> None:
    step = 1 / 2000
    fine = np.arange(0, 6, step)
    plasma = parker_aif(fine) / (1 - HAEMATOCRIT)
    residue = ktrans * np.exp(-ktrans / ve * fine)
    full = np.convolve(plasma, residue)[: fine.size] * step + vp * plasma
    times = np.array([0.1, 0.3, 0.8, 1.3, 2.7, 5.3])
    expected = np.interp(times, fine, full)
    np.testing.assert_allclose(tofts(times, ktrans, ve, vp), expected, rtol=5e-3, atol=1e-3)


def test_no_contrast_before_the_bolus() -> None:
    assert impulse_table([-1.0, 0.0], np.array([0.1, 1.0])).max() == 0
    assert tofts([-0.5], 0.3, 0.3, 0.1)[0] == 0


def test_slow_exchange_persists_and_fast_exchange_washes_out() -> None:
    early, late = 1.3, 5.0
    slow = tofts([early, late], 0.05, 0.5)
    fast = tofts([early, late], 0.5, 0.25)
    assert slow[1] > 1.3 * slow[0]
    assert fast[1] < 0.75 * fast[0]


def test_gradient_echo_limits() -> None:
    r1 = np.array([0.5, 1.0, 5.0], dtype=np.float32)
    signal = spoiled_gradient_echo(r1, 0.0045, 12.0)
    assert (np.diff(signal) > 0).all()
    full = spoiled_gradient_echo(r1, 100.0, 90.0)
    np.testing.assert_allclose(full, 1.0, atol=1e-6)
