import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc as area
from sklearn.metrics import roc_curve

from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.figures import PatientDraws
from napari_breast_ai.training.metrics import auc
from napari_breast_ai.training.roc import operating_point, roc, roc_band

scored = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=4, max_size=60)


@settings(max_examples=150, deadline=None)
@given(scored)
def test_the_curve_equals_sklearns_and_its_area_is_the_auc(pairs):
    scores, truth = np.array([s / 8 for s, _ in pairs]), np.array([t for _, t in pairs])
    assume(0 < truth.sum() < len(truth))
    curve = roc(scores, truth)
    fpr, tpr, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.fpr, fpr, atol=1e-12)
    np.testing.assert_allclose(curve.tpr, tpr, atol=1e-12)
    np.testing.assert_allclose(curve.thresholds, thresholds)
    assert area(curve.fpr, curve.tpr) == pytest.approx(auc(scores, truth), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(scored)
def test_youden_is_the_best_of_all_thresholds(pairs):
    scores, truth = np.array([float(s) for s, _ in pairs]), np.array([t for _, t in pairs])
    assume(0 < truth.sum() < len(truth))
    point = operating_point(scores, truth)
    called = scores >= point.threshold
    assert point.sensitivity == pytest.approx(called[truth].mean())
    assert point.specificity == pytest.approx((~called)[~truth].mean())
    for other in np.unique(scores):
        said = scores >= other
        assert point.sensitivity + point.specificity >= said[truth].mean() + (~said)[~truth].mean() - 1e-9


@settings(max_examples=100, deadline=None)
@given(scored, st.floats(0.05, 1))
def test_a_wanted_sensitivity_is_reached_by_the_highest_threshold(pairs, least):
    scores, truth = np.array([float(s) for s, _ in pairs]), np.array([t for _, t in pairs])
    assume(0 < truth.sum() < len(truth))
    point = operating_point(scores, truth, "sensitivity", least)
    assert (scores >= point.threshold)[truth].mean() >= least - 1e-9
    assert point.threshold == scores.min() or point.threshold not in scores  # between two scores
    called = np.unique(scores[scores >= point.threshold])
    if len(called) > 1:  # calling one score fewer loses too many
        assert (scores >= called[1])[truth].mean() < least


def test_the_band_holds_the_curve_and_is_wider_with_fewer_patients():
    rng = np.random.default_rng(1)
    grid = np.linspace(0, 1, 41)

    def band(patients):
        member = np.repeat(np.arange(patients), 6)
        truth = member % 2 == 0
        scores = rng.normal(size=patients)[member] * 0.7 + truth + 0.3 * rng.normal(size=len(member))
        low, high = roc_band(scores, truth, PatientDraws(member.tolist(), draws=400), grid)
        curve = roc(scores, truth)
        assert (low <= high).all() and (np.diff(low) >= -1e-12).all() and (np.diff(high) >= -1e-12).all()
        # The curve's height between steps of the grid, at the upper end of vertical steps.
        here = np.array([curve.tpr[curve.fpr <= x + 1e-12].max() for x in grid])
        assert np.mean((low - 0.02 <= here) & (here <= high + 0.02)) > 0.9
        return (high - low).mean()

    few, many = (np.mean([band(n) for _ in range(6)]) for n in (20, 120))
    assert few > 1.5 * many


def test_what_has_no_curve_is_said():
    with pytest.raises(TrainingError, match="both classes"):
        roc([0.1, 0.2], [1, 1])
    with pytest.raises(TrainingError, match="no sensitivity"):
        operating_point([0.1, 0.2], [0, 1], "sensitivity", 0)
    patients = list(range(40))
    with pytest.raises(TrainingError, match="both classes"):
        roc_band(np.zeros(40), np.zeros(40), PatientDraws(patients), [0.5])
    # Draws that hold one of two patients twice lack a class.
    draws = PatientDraws([0, 1], draws=400, seed=1)
    draws.weights[:300] = [2, 0]
    with pytest.raises(TrainingError, match="Too few patients"):
        roc_band([0.1, 0.9], [0, 1], draws, [0.5])
