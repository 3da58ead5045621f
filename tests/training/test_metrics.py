import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.metrics import (
    auc,
    auc_bootstrap,
    auc_delong,
    challenge_score,
    delong_test,
    over_runs,
    proportion,
)


def naive_delong(first, second, truth):
    """DeLong by its definition: every positive against every negative, in double loops."""
    out = []
    for s in (first, second):
        x, y = s[truth], s[~truth]
        psi = np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in y] for a in x])
        out.append((psi.mean(), psi.mean(1), psi.mean(0)))
    cov = np.cov(out[0][1], out[1][1]) / len(out[0][1]) + np.cov(out[0][2], out[1][2]) / len(out[0][2])
    return (out[0][0], out[1][0]), cov


@st.composite
def scored(draw):
    n = draw(st.integers(6, 40))
    # Few distinct values make many ties.
    values = st.lists(st.integers(0, 6).map(float), min_size=n, max_size=n)
    truth = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    assume(2 <= truth.sum() <= n - 2)
    return np.array(draw(values)), np.array(draw(values)), truth


@settings(max_examples=150, deadline=None)
@given(scored())
def test_auc_and_delong_equal_definition_and_sklearn_with_ties(data):
    first, second, truth = data
    assert auc(first, truth) == pytest.approx(roc_auc_score(truth, first), abs=1e-12)
    (a, b), cov = naive_delong(first, second, truth)
    interval = auc_delong(first, truth)
    if 0 < a < 1:
        half = norm.ppf(0.975) * np.sqrt(cov[0, 0])
        assert interval.low == pytest.approx(max(0, a - half), abs=1e-9)
        assert interval.high == pytest.approx(min(1, a + half), abs=1e-9)
    test = delong_test(first, second, truth)
    variance = cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]
    assert test.standard_error == pytest.approx(np.sqrt(max(variance, 0)), abs=1e-7)
    if variance > 1e-9:
        assert test.p == pytest.approx(2 * norm.sf(abs(a - b) / np.sqrt(variance)), abs=1e-6)


def test_published_counts():
    one, two = proportion(77, 95), proportion(57, 81)
    assert (round(one.value, 3), round(one.low, 3), round(one.high, 3)) == (0.811, 0.720, 0.877)
    assert (round(two.value, 3), round(two.low, 3), round(two.high, 3)) == (0.704, 0.597, 0.792)
    assert str(one) == "0.811 (0.720-0.877)"


def test_wilson_limits_solve_the_score_equation():
    """The limits are the proportions from which the observed one is exactly z standard errors away."""
    z = norm.ppf(0.975)
    for k, n in ((1, 7), (12, 40), (39, 40)):
        e = proportion(k, n)
        for limit in (e.low, e.high):
            assert abs(k / n - limit) == pytest.approx(z * np.sqrt(limit * (1 - limit) / n), abs=1e-12)
    assert proportion(0, 9).low < 1e-12 and proportion(9, 9).high > 1 - 1e-12


def test_perfect_separation_keeps_a_wide_interval():
    e = auc_delong([1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 1, 1])
    assert e.value == 1 and e.high == pytest.approx(1) and e.low == pytest.approx(proportion(3, 3).low)


def test_bootstrap_of_single_slices_agrees_with_delong():
    rng = np.random.default_rng(5)
    truth = rng.random(300) < 0.4
    scores = rng.normal(size=300) + truth
    boot, delong = auc_bootstrap(scores, truth, range(300), seed=1), auc_delong(scores, truth)
    assert boot.value == delong.value
    assert boot.low == pytest.approx(delong.low, abs=0.012)
    assert boot.high == pytest.approx(delong.high, abs=0.012)


def test_bootstrap_by_patient_is_wider_where_slices_of_a_patient_are_alike():
    rng = np.random.default_rng(6)
    patients = np.repeat(np.arange(40), 12)
    truth = patients % 2 == 0
    scores = rng.normal(size=40)[patients] + truth + 0.1 * rng.normal(size=480)
    by_patient = auc_bootstrap(scores, truth, patients.tolist(), draws=500)
    by_slice = auc_bootstrap(scores, truth, range(480), draws=500)
    assert by_patient.n == 40 and by_slice.n == 480
    assert by_patient.high - by_patient.low > 2 * (by_slice.high - by_slice.low)
    assert auc_bootstrap(scores, truth, patients.tolist(), draws=500) == by_patient


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: auc([1, 2], [1, 1]), "both classes"),
        (lambda: auc([1, np.nan], [0, 1]), "not finite"),
        (lambda: proportion(3, 2), "not a proportion"),
    ],
)
def test_impossible_figures_are_said(call, words):
    with pytest.raises(TrainingError, match=words):
        call()


def test_published_challenge_score():
    aucs = {
        "malignancy": 0.869,
        "normal": 0.728,
        "other benign": 0.659,
        "IDC": 0.805,
        "other malignant": 0.761,
    }
    assert round(challenge_score(aucs), 3) == 0.817
    with pytest.raises(TrainingError, match="IDC"):
        challenge_score({label: value for label, value in aucs.items() if label != "IDC"})


def test_mean_and_deviation_over_runs_leave_out_what_is_undefined():
    values = [0.8, 0.9, None, 0.85]
    found = over_runs(values)
    assert found.mean == pytest.approx(0.85) and found.sd == pytest.approx(np.std([0.8, 0.9, 0.85], ddof=1))
    assert found.undefined == 1 and str(found) == "0.850 (0.050)"
    assert over_runs([0.7]).sd is None and str(over_runs([0.7])) == "0.700"
    assert over_runs([None]).mean is None and str(over_runs([])) == "undefined"
