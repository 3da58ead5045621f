import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax
from sklearn.metrics import brier_score_loss, log_loss
from statsmodels.stats.proportion import proportion_confint

from napari_breast_ai.models.calibration import rescale
from napari_breast_ai.training.calibration import (
    COLDEST,
    HOTTEST,
    brier,
    calibration_error,
    fit_temperature,
    reliability_curve,
)
from napari_breast_ai.training.errors import TrainingError

cases = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(cases, st.integers(1, 15))
def test_the_parts_of_the_brier_score_add_up_to_it(pairs, bins):
    scores, truth = np.array([s for s, _ in pairs]), np.array([t for _, t in pairs])
    found = brier(scores, truth, bins)
    assert found.score == pytest.approx(((scores - truth) ** 2).mean(), abs=1e-12)
    parts = found.reliability - found.resolution + found.uncertainty + found.spread - found.covariance
    assert parts == pytest.approx(found.score, abs=1e-12)
    assert min(found.reliability, found.resolution, found.uncertainty, found.spread) >= 0
    if 0 < truth.sum() < len(truth):
        assert found.score == pytest.approx(brier_score_loss(truth, scores), abs=1e-12)


def test_murphys_three_parts_are_enough_where_scores_of_a_bin_are_equal():
    rng = np.random.default_rng(0)
    scores = rng.choice([0.05, 0.35, 0.75, 0.95], 200)
    truth = rng.random(200) < scores
    found = brier(scores, truth)
    assert found.spread == pytest.approx(0, abs=1e-15) and found.covariance == pytest.approx(0, abs=1e-15)
    assert found.reliability - found.resolution + found.uncertainty == pytest.approx(found.score, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(cases)
def test_the_reliability_curve_counts_each_case_once_with_wilsons_intervals(pairs):
    scores, truth = np.array([s for s, _ in pairs]), np.array([t for _, t in pairs])
    curve = reliability_curve(scores, truth)
    assert sum(one.observed.n for one in curve) == len(scores)
    distance = 0.0
    for one in curve:
        last = one.high == 1.0
        inside = (scores * 10 >= one.low * 10) & ((scores * 10 < one.high * 10) | last)
        assert one.observed.n == inside.sum()
        assert one.mean == pytest.approx(scores[inside].mean())
        low, high = proportion_confint(truth[inside].sum(), inside.sum(), method="wilson")
        assert (one.observed.low, one.observed.high) == pytest.approx((low, high), abs=1e-9)
        distance += inside.mean() * abs(scores[inside].mean() - truth[inside].mean())
    assert calibration_error(scores, truth) == pytest.approx(distance, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.3, 4))
def test_temperature_of_a_question_is_scipys_optimum(seed, hot):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, 80)
    truth = rng.random(80) < expit(logits / hot)
    assume(0 < truth.sum() < 80)
    scores = expit(logits)
    found = fit_temperature(scores, truth)
    best = minimize_scalar(
        lambda t: log_loss(truth, expit(logit(scores) / np.exp(t))),
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    # scikit-learn cuts scores at the precision of its numbers; the optimum is flat, so its depth is what is compared.
    assert found.after == pytest.approx(best.fun, abs=1e-6)
    assert found.after <= found.before + 1e-12
    if not found.note:
        assert np.log(found.value) == pytest.approx(best.x, abs=1e-4)
    assert found.after == pytest.approx(log_loss(truth, found.apply(scores)), abs=1e-6)


def test_temperature_of_exclusive_classes_is_scipys_optimum_and_finds_what_was_done():
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1.5, (4000, 4))
    truth = np.array([rng.choice(4, p=softmax(row)) for row in logits])
    found = fit_temperature(softmax(3 * logits, axis=1), truth)

    def loss(t):
        return -log_softmax(3 * logits / np.exp(t), axis=1)[np.arange(4000), truth].mean()

    best = minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-10})
    assert found.after == pytest.approx(best.fun, abs=1e-6)
    assert np.log(found.value) == pytest.approx(best.x, abs=1e-5)
    assert found.value == pytest.approx(3, rel=0.06)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.001, 0.999), min_size=2, max_size=20), st.floats(0.1, 10))
def test_a_temperature_keeps_the_order_and_one_changes_nothing(values, temperature):
    scores = np.array(values)
    warm = rescale(scores, temperature)
    order = np.argsort(scores, kind="stable")
    assert (np.diff(warm[order]) >= -1e-12).all()
    np.testing.assert_allclose(rescale(scores, 1.0), scores, atol=1e-12)
    np.testing.assert_allclose(warm, expit(logit(scores) / temperature), atol=1e-12)
    both = np.stack([1 - scores, scores], axis=1)
    np.testing.assert_allclose(rescale(both, temperature)[:, 1], warm, atol=1e-9)


def test_limits_are_said():
    perfect = fit_temperature([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
    assert perfect.value == pytest.approx(COLDEST) and "without an error" in perfect.note
    wrong = fit_temperature([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0])
    assert wrong.value == pytest.approx(HOTTEST) and "do not go with the truth" in wrong.note
    # Scores that single precision rounded to 0 and 1 have no infinite loss.
    assert np.isfinite(fit_temperature([0.0, 1.0, 1.0, 0.0], [0, 1, 0, 1]).after)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fit_temperature([0.1, 0.2], [1, 1]), "more than one class"),
        (lambda: fit_temperature([], []), "needs validation cases"),
        (lambda: fit_temperature([0.1, 1.2], [0, 1]), "between 0 and 1"),
        (lambda: brier([], []), "no cases"),
        (lambda: reliability_curve([2.0], [1]), "between 0 and 1"),
    ],
)
def test_impossible_calibrations_are_said(call, words):
    with pytest.raises(TrainingError, match=words):
        call()
