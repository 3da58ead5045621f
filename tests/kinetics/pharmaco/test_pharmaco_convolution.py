"""The convolution with an exponential is exact where the input is straight between its points."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from napari_breast_ai.kinetics.pharmaco import Convolution, PharmacoError, exponential_convolution
from napari_breast_ai.kinetics.pharmaco.inputs import ArterialInput
from napari_breast_ai.kinetics.pharmaco.table import make_table, polynomial

values = st.floats(-5, 50, allow_nan=False)
gaps = st.floats(1e-3, 3, allow_nan=False)
rates = st.one_of(st.just(0.0), st.floats(1e-8, 60, allow_nan=False))


def by_quadrature(times, curve, rate, moment):
    """The integral of the definition, piece by piece."""
    knots = np.unique(np.concatenate([times[times < moment], [max(moment, times[0])]]))

    def inside(s):
        return np.interp(s, times, curve) * np.exp(-rate * (moment - s))

    pieces = pairwise(knots)
    return sum(quad(inside, low, high, epsabs=1e-12, epsrel=1e-12, limit=200)[0] for low, high in pieces)


@settings(max_examples=60, deadline=None)
@given(
    start=st.floats(-2, 2),
    steps=st.lists(st.tuples(gaps, values), min_size=2, max_size=8),
    rate=rates,
    after=st.lists(st.floats(-1, 12), min_size=1, max_size=4),
)
def test_it_equals_the_integral_it_is_defined_by(start, steps, rate, after):
    times = start + np.cumsum([gap for gap, _ in steps])
    curve = np.array([value for _, value in steps])
    moments = times[0] + np.array(after)
    found = exponential_convolution(times, curve, [rate], moments)[0]
    wanted = [by_quadrature(times, curve, rate, moment) for moment in moments]
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * (1 + np.abs(curve).max()))


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.tuples(gaps, values), min_size=3, max_size=8),
    more=st.lists(st.floats(0, 1), max_size=5),
)
def test_points_between_points_change_nothing(steps, more):
    times = np.cumsum([gap for gap, _ in steps])
    curve = np.array([value for _, value in steps])
    finer = np.unique(np.concatenate([times, times[0] + np.array(more) * (times[-1] - times[0])]))
    moments = np.linspace(times[0] - 1, times[-1] + 2, 17)
    coarse = exponential_convolution(times, curve, [0.3, 4.0], moments)
    fine = exponential_convolution(finer, np.interp(finer, times, curve), [0.3, 4.0], moments)
    np.testing.assert_allclose(fine, coarse, rtol=1e-9, atol=1e-9 * (1 + np.abs(curve).max()))


def test_a_constant_input_gives_the_textbook_answer():
    rate, t = 0.7, np.linspace(0, 9, 12)
    found = exponential_convolution([0.0, 5.0], [2.0, 2.0], [rate, 0.0], t)
    np.testing.assert_allclose(found[0], 2 * (1 - np.exp(-rate * t)) / rate, rtol=1e-13)
    np.testing.assert_allclose(found[1], 2 * t, rtol=1e-13)


def test_nothing_flows_before_the_input_begins_whatever_its_first_value_is():
    found = exponential_convolution([4.0, 6.0], [3.0, 3.0], [0.5], [-1.0, 3.999, 4.0, 4.1])[0]
    assert (found[:3] == 0).all() and found[3] > 0


def test_slopes_by_the_logarithm_of_the_rate():
    rng = np.random.default_rng(1)
    times, curve = np.cumsum(rng.uniform(0.05, 0.9, 30)), rng.uniform(0, 6, 30)
    x, h = np.log(np.array([1e-4, 0.02, 0.9, 8.0, 55.0])), 1e-4
    at = np.linspace(0, 15, 20)
    value, slope, bend = Convolution(times, curve, np.exp(x)).at(at)
    above, below = (exponential_convolution(times, curve, np.exp(x + s), at) for s in (h, -h))
    np.testing.assert_allclose(slope, (above - below) / (2 * h), atol=1e-6)
    np.testing.assert_allclose(bend, (above - 2 * value + below) / h**2, atol=1e-4)


def test_the_table_between_its_rates_is_the_convolution():
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.uniform(5, 60, 12))
    arterial = ArterialInput(np.arange(0, times[-1] + 5, 2.0), rng.uniform(0, 8, int((times[-1] + 6) // 2) + 1)[
        : np.arange(0, times[-1] + 5, 2.0).size
    ], "noise").delayed(3.3)  # fmt: skip
    table = make_table(times, arterial, (1e-3, 50.0))
    u = rng.uniform(0, 1, 200)
    left = rng.integers(0, table.logarithms.size - 1, 200)
    rate = np.exp(table.logarithms[left] + u * table.step)
    exact = exponential_convolution(arterial.arrival_s / 60, arterial.plasma_mM, rate, times / 60)
    for i in range(200):
        near = [polynomial(table.pieces[left[i]][:, [p]], u[i : i + 1])[0][0] for p in range(times.size)]
        np.testing.assert_allclose(near, exact[i], atol=1e-9 * exact[i].max())
    squared = polynomial(table.power_pieces[left].T, u)[0]
    np.testing.assert_allclose(squared, (exact**2).sum(axis=1), rtol=1e-8)


@pytest.mark.parametrize(
    ("times", "plasma", "said"),
    [
        ([0.0], [1.0], "at least two points"),
        ([0.0, 1.0], [1.0, np.nan], "no numbers"),
        ([0.0, 0.0], [1.0, 2.0], "must rise"),
        ([0.0, 1.0], [0.0, -1.0], "no contrast agent at all"),
    ],
)
def test_an_input_that_is_none_is_refused_in_a_sentence(times, plasma, said):
    with pytest.raises(PharmacoError, match=said):
        ArterialInput(np.array(times), np.array(plasma), "")
