"""Intervals of a case's probabilities from fold models and calibration; scores of single lesions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from napari_breast_ai.core import Box, CaseScores, DceVolume
from napari_breast_ai.inference import KeptFeatures, predict, score_lesions
from napari_breast_ai.inference.ensemble import with_intervals
from napari_breast_ai.models import load_bundle, save_bundle
from napari_breast_ai.models.bundle import Bundle
from napari_breast_ai.models.calibration import CaseCalibration, GroupTemperature

Bundles = Callable[[str], Bundle]


def said(lesion: float, igm: float) -> CaseScores:
    return CaseScores({"lesion": lesion, "IGM": igm, "NME": 1 - igm}, {}, "A rule.")


def odds(p: float) -> float:
    return float(np.log(p / (1 - p)))


@pytest.fixture
def gated(bundles: Bundles) -> Bundle:
    return bundles("gated")


def test_the_interval_is_the_spread_of_the_folds_and_the_error_of_the_temperature(gated: Bundle) -> None:
    none = with_intervals(said(0.9, 0.3), [], gated)
    assert none.intervals == {} and "No interval" in none.interval_rule

    folds = [said(0.9, p) for p in (0.2, 0.3, 0.4, 0.35)]
    spread = with_intervals(said(0.9, 0.3), folds, gated)
    half = student.ppf(0.975, 3) * np.std([odds(p) for p in (0.2, 0.3, 0.4, 0.35)], ddof=1)
    low, high = spread.intervals["IGM"]
    assert (odds(low), odds(high)) == pytest.approx((odds(0.3) - half, odds(0.3) + half))
    assert spread.intervals["NME"] == pytest.approx((1 - high, 1 - low)), "the same seen from the other side"
    assert spread.intervals["lesion"] == pytest.approx((0.9, 0.9)), "folds that agree leave no doubt"
    assert "4 models" in spread.interval_rule and "calibration" not in spread.interval_rule

    warm = CaseCalibration({"diagnosis": GroupTemperature(2.0, 40, "40 validation patients", 0.1)})
    both = with_intervals(said(0.9, 0.3), folds, replace(gated, calibration=warm))
    # At temperature 2 log odds are halved; one standard error of 1 / T moves them by 0.1 of the score's own.
    half = np.hypot(half / 2, 1.96 * 0.1 * abs(odds(0.3)))
    low, high = both.intervals["IGM"]
    assert odds(both.probabilities["IGM"]) == pytest.approx(odds(0.3) / 2)
    assert (odds(low), odds(high)) == pytest.approx((odds(0.3) / 2 - half, odds(0.3) / 2 + half), rel=1e-3)
    assert "and the calibration's error" in both.interval_rule

    alone = with_intervals(said(0.9, 0.3), folds[:2], replace(gated, calibration=warm))
    assert set(alone.intervals) == {"IGM", "NME"}, "two folds tell no spread, and lesion has no temperature"
    assert "alone" in alone.interval_rule


def test_a_fold_in_which_the_question_did_not_arise_does_not_vote(gated: Bundle) -> None:
    unasked = CaseScores({"lesion": 0.2, "IGM": None, "NME": None}, {}, "")
    folds = [said(0.9, 0.2), said(0.8, 0.4), unasked]
    found = with_intervals(said(0.9, 0.3), folds, gated)
    assert set(found.intervals) == {"lesion"}
    assert with_intervals(unasked, folds, gated).probabilities["IGM"] is None


def members(bundle: Bundle, count: int = 4) -> list[dict[str, torch.Tensor]]:
    """Pooling and head of the model with a little noise: what folds would be."""
    torch.manual_seed(1)
    own = {k: v for k, v in bundle.model.state_dict().items() if not k.startswith("backbone.")}
    return [{k: v + 0.02 * torch.randn_like(v) for k, v in own.items()} for _ in range(count)]


@pytest.mark.parametrize("name", ["gated", "plain"])
def test_folds_are_kept_in_the_bundle_and_asked(
    name: str, bundles: Bundles, volume: DceVolume, tmp_path: Path
) -> None:
    old = bundles(name)
    given = members(old)
    new = load_bundle(save_bundle(tmp_path / "new", old.model, card="", evaluation={}, folds=given))
    assert old.folds == () and len(new.folds) == 4
    for (pooling, head), wanted in zip(new.folds, given, strict=True):
        torch.testing.assert_close(head.state_dict()["output.weight"], wanted["head.output.weight"])
        assert not pooling.training
    size = (tmp_path / "new" / "folds.safetensors").stat().st_size
    assert size < 0.05 * (tmp_path / "new" / "model.safetensors").stat().st_size

    plain, found = predict(volume, old, batch=2), predict(volume, new, batch=2)
    assert found.case.probabilities == plain.case.probabilities, "folds change no answer"
    assert plain.case.intervals == {} and found.case.intervals
    for label, (low, high) in found.case.intervals.items():
        assert 0 <= low < found.case.probabilities[label] < high <= 1

    (tmp_path / "new" / "folds.safetensors").write_bytes(b"damaged")
    with pytest.raises(Exception, match=r"folds\.safetensors"):
        load_bundle(tmp_path / "new")
    (tmp_path / "new" / "folds.safetensors").unlink()
    with pytest.raises(Exception, match="not complete"):
        load_bundle(tmp_path / "new")


def test_bundles_of_before_and_their_calibration_load(bundles: Bundles) -> None:
    before = {"x": {"temperature": 1.5, "n": 9, "level": "patient", "chosen_on": "9 validation patients"}}
    read = CaseCalibration.from_json(before)
    assert read.temperatures["x"].error is None and not read.has_error
    assert read.to_json() == before and read.moved(1.0) == read
    now = CaseCalibration({"x": replace(read.temperatures["x"], error=0.2)})
    assert CaseCalibration.from_json(now.to_json()) == now
    assert 1 / now.moved(1.0).temperatures["x"].value == pytest.approx(1 / 1.5 + 0.2)
    assert now.moved(-99.0).temperatures["x"].value > 0, "however far, scores are not turned round"


def test_the_temperatures_error_is_that_of_repeated_samples() -> None:
    from napari_breast_ai.training.calibration import fit_temperature

    rng = np.random.default_rng(0)
    inverses, errors = [], []
    for _ in range(200):
        truth = rng.random(150)
        score = 1 / (1 + np.exp(-2 * np.log(truth / (1 - truth))))
        fitted = fit_temperature(score, rng.random(150) < truth)
        inverses.append(1 / fitted.value)
        errors.append(fitted.error)
    assert np.mean(errors) == pytest.approx(np.std(inverses), rel=0.2)


def test_the_operating_point_lies_where_the_calibrated_probability_does(gated: Bundle) -> None:
    warm = CaseCalibration({"diagnosis": GroupTemperature(2.0, 40, "")})
    points = {"IGM": {"threshold": 0.8}}
    told = replace(gated, calibration=warm, evaluation={"operating_points": points})
    assert odds(told.operating_point("IGM")) == pytest.approx(odds(0.8) / 2)
    assert told.operating_point("lesion") is None and gated.operating_point("IGM") is None


def lesion_boxes() -> tuple[Box, ...]:
    """One lesion on two slices, one beside it on the first of them, and a box of normal tissue."""
    return (
        Box(1, 2, 3, 12, 20, "IGM", "a", lesion="one"),
        Box(2, 2, 3, 12, 20, "IGM", "b", lesion="one"),
        Box(1, 22, 40, 34, 60, "NME", "c"),
        Box(1, 0, 0, 3, 3, "normal tissue", "d"),
    )


def test_lesions_are_scored_from_the_cells_in_their_boxes(bundles: Bundles, volume: DceVolume) -> None:
    bundle = bundles("gated")
    kept = KeptFeatures(volume, bundle)
    prediction = predict(volume, bundle, kept=kept)
    one, other = score_lesions(prediction, lesion_boxes(), bundle, kept)
    assert (one.slices, other.slices) == ((1, 2), (1,))
    assert one.lesion.label == "IGM" and "cells under their boxes" in one.scores.rule

    # By hand, for the second: cells that the box covers in part count in part.
    maps, model = kept.get([1])[0], bundle.model
    h, w = maps.shape[1:]
    inside = np.zeros((h * 100, w * 100), np.float32)
    rows, columns = volume.geometry.shape[1:]
    y = (np.arange(h * 100) + 0.5) * rows / (h * 100) - 0.5
    x = (np.arange(w * 100) + 0.5) * columns / (w * 100) - 0.5
    inside[np.ix_((y > 22) & (y < 34), (x > 40) & (x < 60))] = 1
    cover = torch.from_numpy(inside.reshape(h, 100, w, 100).mean(axis=(1, 3)))
    with torch.no_grad():
        weight = cover * model.pooling(maps[None]).attention[0]
        vector = (maps * weight).sum(dim=(1, 2)) / weight.sum()
        lesion, igm, nme = model.head(vector[None])[0]
    assert other.scores.probabilities["lesion"] == pytest.approx(float(torch.sigmoid(lesion)), abs=2e-3)
    assert other.scores.probabilities["IGM"] == pytest.approx(float(torch.sigmoid(igm - nme)), abs=2e-3)
    assert one.scores.probabilities != other.scores.probabilities

    by_slices: Any = score_lesions(prediction, lesion_boxes())
    assert by_slices[0].scores.probabilities["IGM"] == pytest.approx(
        prediction.probabilities["IGM"][1:3].mean()
    )
    assert "whole slices" in by_slices[0].scores.rule
    part = replace(
        prediction, slices=(2,), probabilities={k: v[2:3] for k, v in prediction.probabilities.items()}
    )
    (only,) = score_lesions(part, lesion_boxes())
    assert only.slices == (2,), "a lesion without a scored slice has no score"


def test_plain_pooling_scores_lesions_by_their_slices(bundles: Bundles, volume: DceVolume) -> None:
    bundle = bundles("plain")
    kept = KeptFeatures(volume, bundle)
    prediction = predict(volume, bundle, kept=kept)
    found = score_lesions(prediction, lesion_boxes(), bundle, kept)
    assert "whole slices" in found[0].scores.rule
