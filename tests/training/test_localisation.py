from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from napari_breast_ai.core import Box
from napari_breast_ai.inference.questions.place import overlap, peak
from napari_breast_ai.models import Pooled
from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.localisation import localised, pointing_game
from napari_breast_ai.training.scoring import score_slices


class Reader(nn.Module):
    """Stands in for a trained model: scores and attention come from the brightness of 8 × 8 pixel cells."""

    def __init__(self, spec):
        super().__init__()
        self.spec, self.groups = spec, spec.groups

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
        square = 400 * (vector[:, 1] - 0.17)
        return torch.stack([lesion, square, torch.zeros_like(square)], 1)


@pytest.fixture
def plain_spec(small_spec):
    return replace(small_spec, preparation=replace(small_spec.preparation, mode="plain"))


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


def test_without_a_lesion_there_is_no_game():
    with pytest.raises(TrainingError, match="No slice shows a lesion"):
        pointing_game(np.zeros((1, 4, 4)), [[]], (8, 8))


def test_an_attention_that_sees_the_lesions_hits_them(blobs, plain_spec):
    seen = score_slices(Reader(plain_spec), blobs).attention
    game = pointing_game(seen, blobs.lesion_boxes, blobs.image_shape)
    assert game.cells.value == 1 and game.hits.n == 16
    assert game.chance == pytest.approx((20 * 20) / 64**2)


def test_pointing_game_counts_hits_misses_and_skips_empty_slices():
    attention = np.zeros((3, 4, 4))
    attention[:, 0, 0] = 1
    hit, miss = [Box(0, -0.5, -0.5, 9.5, 9.5, "IGM")], [Box(1, 20, 20, 30, 30, "IGM")]
    game = pointing_game(attention, [hit, miss, []], (40, 40))
    assert (game.hits.value, game.hits.n, game.cells.value) == (0.5, 2, 0.5)
    assert game.chance == pytest.approx(100 / 1600)
    assert game.chance_cells == pytest.approx((1 / 16 + 4 / 16) / 2)


def test_overlap_is_by_area_and_1_where_the_cells_are_the_boxes():
    attention = np.zeros((3, 4, 4))
    attention[0, :2, :2] = 1  # one quarter, exactly the box
    attention[1, 0, 0], attention[1, 3, 3] = (
        1,
        0.4,
    )  # a corner cell of it; what is below half the peak counts not
    attention[2] = 0.3
    quarter = [Box(0, -0.5, -0.5, 19.5, 19.5, "IGM")]
    found = overlap(attention, [quarter] * 3, (40, 40))
    assert found == pytest.approx([1.0, 0.25, 0.25])
    told = localised(attention, [quarter, quarter, []], (40, 40), ["a", "b", "c"])
    shared = told["overlap (IoU) of what reaches half the peak with true boxes"]
    assert (
        shared["value"] == pytest.approx(0.625)
        and shared["n"] == 2
        and shared["chance"] == pytest.approx(0.25)
    )
    assert (shared["low"], shared["high"]) == pytest.approx((0.25, 1.0))
    assert localised(attention, [[], [], []], (40, 40), ["a", "b", "c"]) is None


def test_scores_do_not_depend_on_the_batch_and_leave_the_mode_alone(blobs, plain_spec):
    model = Reader(plain_spec).train()
    one, two = (score_slices(model, blobs, batch=b) for b in (3, 48))
    assert model.training
    np.testing.assert_allclose(one.logits, two.logits, rtol=1e-5)
    np.testing.assert_allclose(one.attention, two.attention, rtol=1e-5)
    assert one.probabilities["IGM"].shape == (48,)
    np.testing.assert_allclose(one.probabilities["IGM"] + one.probabilities["NME"], 1, rtol=1e-5)
