import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from statsmodels.stats.proportion import proportion_confint

from napari_breast_ai.training.confusion import (
    SHARES,
    Counts,
    confusion_matrix,
    count,
    drawn_shares,
    shares,
)
from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.figures import Figure, PatientDraws, drawn_aucs, estimated
from napari_breast_ai.training.metrics import auc, auc_bootstrap, proportion

answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(answers)
def test_shares_equal_sklearn_and_their_intervals_statsmodels(pairs):
    called, truth = np.array(pairs).T
    counts = count(called, truth)
    assert [counts.tn, counts.fp, counts.fn, counts.tp] == sk.confusion_matrix(
        truth, called, labels=[False, True]
    ).ravel().tolist()
    found = shares(counts)
    expected = {
        "accuracy": (sk.accuracy_score(truth, called), counts.tp + counts.tn, counts.n),
        "sensitivity": (
            sk.recall_score(truth, called, zero_division=np.nan),
            counts.tp,
            counts.tp + counts.fn,
        ),
        "specificity": (
            sk.recall_score(~truth, ~called, zero_division=np.nan),
            counts.tn,
            counts.tn + counts.fp,
        ),
        "precision": (
            sk.precision_score(truth, called, zero_division=np.nan),
            counts.tp,
            counts.tp + counts.fp,
        ),
        "negative predictive value": (
            sk.precision_score(~truth, ~called, zero_division=np.nan),
            counts.tn,
            counts.tn + counts.fn,
        ),
    }
    for name, (value, right, n) in expected.items():
        if n == 0:
            assert found[name].value is None and found[name].reason.endswith(".")
            continue
        assert found[name].value == pytest.approx(value, abs=1e-12)
        low, high = proportion_confint(right, n, method="wilson")
        assert found[name].low == pytest.approx(low, abs=1e-9)
        assert found[name].high == pytest.approx(high, abs=1e-9)
    if counts.tp + counts.fp + counts.fn:
        assert found["F1"].value == pytest.approx(sk.f1_score(truth, called, zero_division=np.nan), abs=1e-12)
        low, high = proportion_confint(counts.tp, counts.tp + counts.fp + counts.fn, method="wilson")
        assert found["F1"].low == pytest.approx(2 * low / (1 + low), abs=1e-9)
        assert found["F1"].high == pytest.approx(2 * high / (1 + high), abs=1e-9)
    else:
        assert found["F1"].value is None and "F1 is undefined" in found["F1"].reason


@pytest.mark.parametrize(
    ("tp", "fp", "fn", "tn", "right", "n", "value"),
    [
        # Confusion matrices of the published tests and validations: IGM right of its images, NME right of its.
        (38, 9, 9, 39, 77, 95, 0.811),
        (23, 8, 16, 34, 57, 81, 0.704),
    ],
)
def test_published_confusions(tp, fp, fn, tn, right, n, value):
    found = shares(Counts(tp, fp, fn, tn))
    assert tp + tn == right and found["accuracy"].n == n
    assert round(found["accuracy"].value, 3) == value
    assert found["sensitivity"].value == tp / (tp + fn) and found["specificity"].value == tn / (tn + fp)
    low, high = {95: (0.720, 0.877), 81: (0.597, 0.792)}[n]
    assert (round(found["accuracy"].low, 3), round(found["accuracy"].high, 3)) == (low, high)


def test_published_validation_accuracies():
    assert round(proportion(374, 380).value, 3) == 0.984
    assert round(proportion(314, 321).value, 3) == 0.978


def test_wilson_covers_f1_about_as_often_as_it_says():
    """The interval of F1 holds the true F1 in about 95 of 100 samples."""
    rng = np.random.default_rng(1)
    cells = np.array([0.4, 0.1, 0.15, 0.35])
    true = 2 * cells[0] / (2 * cells[0] + cells[1] + cells[2])
    held = 0
    for sample in rng.multinomial(90, cells, 1500):
        one = shares(Counts(*(int(k) for k in sample)))["F1"]
        held += one.low <= true <= one.high
    assert 0.93 <= held / 1500 <= 0.97


def test_drawn_shares_are_the_shares_of_the_patients_that_were_drawn():
    rng = np.random.default_rng(2)
    patients = rng.integers(0, 12, 80)
    called, truth = rng.random(80) < 0.5, rng.random(80) < 0.4
    draws = PatientDraws(patients.tolist(), draws=300, seed=3)
    found = drawn_shares(called, truth, draws)
    assert tuple(found) == SHARES
    # Slowly: repeat each slice as often as its patient was drawn, and ask scikit-learn.
    slow = []
    for weights in draws.weights:
        index = np.repeat(np.arange(80), weights[draws.member].astype(int))
        slow.append(sk.f1_score(truth[index], called[index]))
    low, high = np.quantile(slow, [0.025, 0.975])
    assert found["F1"].value == pytest.approx(sk.f1_score(truth, called))
    assert (found["F1"].low, found["F1"].high) == pytest.approx((low, high), abs=1e-12)
    assert found["F1"].method == "patient bootstrap 95%" and found["F1"].n == len(set(patients.tolist()))


def test_drawn_aucs_equal_aucs_of_repeated_slices_and_the_bootstrap():
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(15), 5)
    truth = rng.random(75) < 0.5
    scores = np.round(rng.random(75) + 0.2 * truth, 1)
    draws = PatientDraws(patients.tolist(), draws=400, seed=7)
    found = drawn_aucs(scores, truth, draws)
    for value, weights in zip(found[:60], draws.weights, strict=False):
        index = np.repeat(np.arange(75), weights[draws.member].astype(int))
        assert value == pytest.approx(auc(scores[index], truth[index]), abs=1e-12)
    figure = draws.figure(auc(scores, truth), found, "")
    slow = auc_bootstrap(scores, truth, patients.tolist(), draws=400, seed=7)
    assert (figure.value, figure.low, figure.high) == pytest.approx(
        (slow.value, slow.low, slow.high), abs=1e-9
    )


def test_draws_of_many_slices_come_in_blocks(monkeypatch):
    rng = np.random.default_rng(5)
    patients, scores, truth = rng.integers(0, 9, 50).tolist(), rng.random(50), rng.random(50) < 0.5
    draws = PatientDraws(patients, draws=64)
    whole = drawn_aucs(scores, truth, draws)
    monkeypatch.setattr("napari_breast_ai.training.figures._CELLS", 350)
    assert sum(len(block) for block in draws.of_slices()) == 64
    assert len(list(draws.of_slices())) > 5
    np.testing.assert_array_equal(drawn_aucs(scores, truth, draws), whole)


@pytest.mark.parametrize(
    ("patients", "called", "truth", "name", "words"),
    [
        ([1, 1], [True, False], [True, True], "accuracy", "One patient"),
        ([1, 2], [True, True], [True, True], "accuracy", "do not differ"),
        ([1, 2, 3], [True, True, False], [False, False, False], "sensitivity", "No case is truly positive"),
    ],
)
def test_what_draws_cannot_tell_is_said(patients, called, truth, name, words):
    found = drawn_shares(called, truth, PatientDraws(patients, draws=200))[name]
    assert found.low is None and found.high is None and words in found.reason
    assert (found.value is None) == (name == "sensitivity")


def test_a_refused_estimate_is_a_figure_with_the_reason():
    def refuse():
        raise TrainingError("It cannot be.")

    assert estimated(refuse) == Figure(None, reason="It cannot be.")
    assert estimated(lambda: proportion(3, 4)).to_json()["interval"] == "Wilson 95%"
    assert str(Figure(None)) == "undefined" and str(Figure(0.5)) == "0.500"
    assert str(Figure(0.5, 0.4, 0.6)) == "0.500 (0.400 to 0.600)"


def test_confusion_matrix_of_several_classes_equals_sklearn():
    rng = np.random.default_rng(6)
    labels = ["IDC", "other benign", "normal"]
    truth, said = (rng.choice(labels, 100).tolist() for _ in range(2))
    assert (
        np.array(confusion_matrix(truth, said, labels)).tolist()
        == sk.confusion_matrix(truth, said, labels=labels).tolist()
    )
    with pytest.raises(ValueError, match="Not among"):
        confusion_matrix(["a"], ["b"], ["a"])
