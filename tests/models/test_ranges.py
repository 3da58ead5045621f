"""What a bundle tells of its training studies, and the temperatures of its scores."""

import json

import numpy as np
import pytest
from scipy.special import expit, logit

from napari_breast_ai.core import CaseScores, LabelGroup
from napari_breast_ai.models import ModelError
from napari_breast_ai.models.calibration import CaseCalibration, GroupTemperature
from napari_breast_ai.models.ranges import VERSION, FeatureSpace, StudyFacts, TrainingRanges


def facts(spacing=1.0, side="both", kind="phase", **more):
    values = {
        "seen_after_s": 130.0,
        "interval_s": 65.0,
        "grey": (0.1, 0.2, 0.3, 0.5, 0.8),
        "enhancement": (0, 1, 5, 30, 90),
    }
    return StudyFacts(kind, "axial", side, (3.0, spacing, spacing), (20, 200, 100), 3, **(values | more))


def space(patients=20, seed=0):
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(4, 60))
    own = rng.normal(size=(patients, 4)).repeat(5, axis=0) + 0.2 * rng.normal(size=(patients * 5, 4))
    vectors = own @ directions + 0.1 * rng.normal(size=(patients * 5, 60))
    return vectors, [f"p{i // 5}" for i in range(patients * 5)], directions


def test_ranges_hold_every_number_and_come_back_from_json():
    vectors, patients, _ = space()
    studies = [facts(0.8 + 0.05 * i, side=("both", "left")[i % 2]) for i in range(9)]
    made = TrainingRanges.of(studies, FeatureSpace.of(vectors, patients))
    rows = made.numbers["distance of rows, mm"]
    assert (rows.low, rows.median, rows.high) == pytest.approx((0.8, 1.0, 1.2))
    assert rows.low < rows.p5 < rows.median < rows.p95 < rows.high
    assert made.numbers["field across columns, mm"].high == pytest.approx(120)
    assert made.numbers["enhancement of the body, %: percentile 95"].median == 90
    assert made.choices["side"] == {"both": 5, "left": 4}
    again = TrainingRanges.from_json(json.loads(json.dumps(made.to_json())))
    assert again.numbers == made.numbers and again.choices == made.choices and again.studies == 9
    assert np.array_equal(again.features.components, made.features.components)
    assert again.features.distance(vectors) == pytest.approx(made.features.distance(vectors))


def test_a_picture_has_no_millimetres():
    numbers = facts(kind="picture", enhancement=()).numbers()
    assert not any("mm" in name or "enhancement" in name for name in numbers)
    assert numbers["rows"] == 200


def test_the_features_of_others_lie_far_away_and_those_of_new_patients_do_not():
    vectors, patients, directions = space()
    made = FeatureSpace.of(vectors, patients)
    rng = np.random.default_rng(5)
    alike = rng.normal(size=(300, 4)) @ directions + 0.1 * rng.normal(size=(300, 60))
    assert np.mean(made.distance(alike) > made.distances[2]) < 0.1
    assert np.median(made.distance(alike)) == pytest.approx(made.distances[0], rel=0.25)
    elsewhere = alike + 3 * rng.normal(size=60)
    assert np.mean(made.distance(elsewhere) > made.distances[2]) > 0.95
    assert FeatureSpace.of(vectors[:20], patients[:20]) is None, "four patients do not tell"


@pytest.mark.parametrize("damage", ["numbers", "features", "text"])
def test_damaged_ranges_are_said(damage):
    vectors, patients, _ = space()
    content = TrainingRanges.of([facts()], FeatureSpace.of(vectors, patients)).to_json()
    if damage == "numbers":
        content["numbers"]["phases"] = {"low": 1}
    elif damage == "features":
        content["features"]["mean"] = content["features"]["mean"][:-8]
    else:
        content = "ranges"
    with pytest.raises(ModelError, match="training ranges are not readable"):
        TrainingRanges.from_json(content)


def test_bundles_without_ranges_and_of_later_versions_have_none():
    assert TrainingRanges.from_json(None) is None
    assert TrainingRanges.from_json({"version": VERSION + 1, "new": "words"}) is None


def test_a_case_is_calibrated_as_in_the_report():
    pair = LabelGroup("diagnosis", ("IGM", "NME"), "softmax")
    yes = LabelGroup("high", ("high",), "sigmoid")
    case = CaseScores({"IGM": 0.9, "NME": 0.1, "high": 0.2}, {}, "diagnosis: the mean of 3 slices.")
    made = CaseCalibration(
        {
            "diagnosis": GroupTemperature(2.0, 50, "50 validation patients"),
            "high": GroupTemperature(0.5, 9, "9"),
        }
    )
    found = CaseCalibration.from_json(json.loads(json.dumps(made.to_json()))).apply(case, (pair, yes))
    assert found.probabilities["IGM"] == pytest.approx(expit(logit(0.9) / 2.0))
    assert found.probabilities["IGM"] + found.probabilities["NME"] == pytest.approx(1)
    assert found.probabilities["high"] == pytest.approx(expit(logit(0.2) / 0.5))
    assert "diagnosis calibrated at temperature 2.00 (50 validation patients)" in found.rule
    assert found.rule.startswith("diagnosis: the mean of 3 slices; ") and found.rule.endswith(".")
    assert made.threshold("IGM", 0.9, pair) == pytest.approx(found.probabilities["IGM"])
    unanswered = CaseScores({"IGM": None, "NME": None, "high": 0.2}, {}, "x.")
    assert made.apply(unanswered, (pair, yes)).probabilities["IGM"] is None
    assert CaseCalibration.from_json(None).apply(case, (pair, yes)) is case
    for damaged in ({"diagnosis": {}}, [], {"diagnosis": {"temperature": 0, "n": 1, "chosen_on": ""}}):
        with pytest.raises(ModelError, match="calibration is not readable"):
            CaseCalibration.from_json(damaged)


def test_a_score_of_nearly_one_is_calibrated_as_the_report_does():
    yes = LabelGroup("ki67", ("ki67",), "sigmoid")
    made = CaseCalibration({"ki67": GroupTemperature(10.0, 20, "20 validation patients")})
    for score in (0.0, 1e-9, 0.3, 1.0):
        wanted = expit(logit(np.clip(score, 1e-7, 1 - 1e-7)) / 10)
        assert made.threshold("ki67", score, yes) == pytest.approx(wanted, abs=1e-9)
