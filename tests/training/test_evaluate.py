from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from napari_breast_ai.core import Box
from napari_breast_ai.models import Pooled
from napari_breast_ai.training.card import Provenance, phantom_card
from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.evaluate import evaluate
from napari_breast_ai.training.localisation import peak, pointing_game
from napari_breast_ai.training.scoring import score_slices


class Reader(nn.Module):
    """Stands in for a trained model: scores and attention come from the brightness of 8 × 8 pixel cells."""

    def __init__(self, spec, wrong=False):
        super().__init__()
        self.spec, self.groups, self.wrong = spec, spec.groups, wrong

    def backbone(self, images):
        return nn.functional.avg_pool2d(images[:, :1], 8)

    def pooling(self, features):
        bright = features[:, 0]
        attention = torch.sigmoid(8 * (bright - 0.5))
        return Pooled(
            torch.stack([bright.amax((1, 2)), bright.mean((1, 2))], 1), 8 * (bright - 0.5), attention
        )

    def head(self, vector):
        # A full square is brighter in the mean than a cross.
        lesion = 20 * (vector[:, 0] - 0.4)
        square = 400 * (vector[:, 1] - 0.17) * (-1 if self.wrong else 1)
        return torch.stack([lesion, square, torch.zeros_like(square)], 1)


@pytest.fixture
def plain_spec(small_spec):
    return replace(small_spec, preparation=replace(small_spec.preparation, mode="plain"))


def test_a_model_that_sees_everything_is_told_from_one_that_mixes_up_the_classes(blobs, plain_spec):
    good, bad = (evaluate(Reader(plain_spec, wrong), blobs) for wrong in (False, True))
    for name in ("lesion/per slice/AUC", "lesion/per patient/AUC", "IGM against NME/per patient/AUC"):
        assert good.figures[name].value == 1
    assert bad.figures["lesion/per slice/AUC"].value == 1
    assert bad.figures["IGM against NME/per patient/AUC"].value == 0
    assert good.figures["IGM against NME/per patient/accuracy"].value == 1
    assert bad.figures["IGM against NME/per patient/accuracy"].value == 0
    assert good.patients == {"IGM": 2, "NME": 2, "normal": 2} and good.slices == (48, 16)
    assert good.unanswered == 0 and good.cases["p2"]["scores"]["IGM"] is None
    assert good.pointing.cells.value == 1 and good.pointing.hits.n == 16
    assert good.pointing.chance == pytest.approx((20 * 20) / 64**2)


def test_a_patient_without_an_answer_counts_as_wrong(blobs, plain_spec):
    never = replace(plain_spec, aggregation=replace(plain_spec.aggregation, gate_threshold=0.9999999))
    found = evaluate(Reader(never), blobs)
    assert found.unanswered == 4
    assert found.figures["IGM against NME/per patient/AUC"].value == 0.5
    assert found.figures["IGM against NME/per patient/accuracy"].value == 0
    assert "4 patients with a lesion" in phantom_card(never, provenance(), found)


def test_boxes_choose_the_voting_slices_of_an_ungated_diagnosis(blobs, plain_spec):
    ungated = replace(plain_spec, groups=tuple(replace(g, gate=None) for g in plain_spec.groups))
    every, boxed = (evaluate(Reader(ungated), blobs, boxed=b) for b in (False, True))
    assert every.cases["p2"]["scores"]["IGM"] is not None
    assert boxed.cases["p2"]["scores"]["IGM"] is None
    assert boxed.cases["p0"]["scores"]["IGM"] > every.cases["p0"]["scores"]["IGM"]


def test_nothing_to_judge_is_said(blobs, plain_spec):
    with pytest.raises(TrainingError, match="no held-out"):
        evaluate(Reader(plain_spec), blobs.subset([]))
    with pytest.raises(TrainingError, match="No slice shows a lesion"):
        pointing_game(np.zeros((1, 4, 4)), [[]], (8, 8))


def test_evaluation_goes_to_json_with_auc_and_intervals(blobs, plain_spec):
    data = evaluate(Reader(plain_spec), blobs).to_json()
    assert set(data["auc"]) == {
        "lesion/per slice", "lesion/per patient", "IGM against NME/per slice", "IGM against NME/per patient",
    }  # fmt: skip
    assert all({"value", "low", "high", "n", "interval"} == set(e) for e in data["auc"].values())
    assert data["attention"]["peak inside true box"]["chance"] > 0


def provenance():
    return Provenance(
        "Does this.",
        {"training": {"IGM": 3}, "held-out test": {"normal": 1}},
        "Phantoms so.",
        "Fitted so.",
        "make it",
    )


def test_card_says_what_it_must(blobs, plain_spec):
    found = evaluate(Reader(plain_spec), blobs)
    card = phantom_card(plain_spec, provenance(), found)
    for words in (
        "synthetic phantoms only", "Research use only", "not a medical device", "split by patient", "4 digital breast",
        "never seen a patient's image", "no ImageNet", "| training | 3 | 3 | 0 | 0 |", "make it",
        f"| lesion, per slice, AUC | {found.figures['lesion/per slice/AUC'].value:.3f} |", "(on slices with lesion)",
    ):  # fmt: skip
        assert words in card, words


def test_peak_is_refined_by_the_neighbours():
    attention = np.zeros((4, 4))
    attention[1, 2] = 0.6
    assert peak(attention, (40, 80)) == pytest.approx((14.5, 49.5))
    attention[1, 3] = 0.6  # half way to the next cell
    assert peak(attention, (40, 80)) == pytest.approx((14.5, 59.5))
    corner = np.zeros((4, 4))
    corner[0, 0] = 1
    assert peak(corner, (40, 80)) == pytest.approx((4.5, 9.5))
    assert peak(np.zeros((2, 2)), (4, 4)) == pytest.approx((0.5, 0.5))


def test_pointing_game_counts_hits_misses_and_skips_empty_slices():
    attention = np.zeros((3, 4, 4))
    attention[:, 0, 0] = 1
    hit, miss = [Box(0, -0.5, -0.5, 9.5, 9.5, "IGM")], [Box(1, 20, 20, 30, 30, "IGM")]
    game = pointing_game(attention, [hit, miss, []], (40, 40))
    assert (game.hits.value, game.hits.n, game.cells.value) == (0.5, 2, 0.5)
    assert game.chance == pytest.approx(100 / 1600)
    assert game.chance_cells == pytest.approx((1 / 16 + 4 / 16) / 2)


def test_scores_do_not_depend_on_the_batch_and_leave_the_mode_alone(blobs, plain_spec):
    model = Reader(plain_spec).train()
    one, two = (score_slices(model, blobs, batch=b, keep_vectors=True) for b in (3, 48))
    assert model.training
    np.testing.assert_allclose(one.vectors, two.vectors, rtol=1e-6)
    np.testing.assert_allclose(one.attention, two.attention, rtol=1e-5)
    assert one.probabilities["IGM"].shape == (48,)
    np.testing.assert_allclose(one.probabilities["IGM"] + one.probabilities["NME"], 1, rtol=1e-5)
