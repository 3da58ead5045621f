import math

import numpy as np
import pytest
import torch

from napari_breast_ai.core import Box, LabelGroup
from napari_breast_ai.inference.box_cells import boxes_to_map
from napari_breast_ai.training.augment import AugmentSpec, augment
from napari_breast_ai.training.losses import (
    UNKNOWN,
    LossWeights,
    attention_loss,
    group_loss,
    total_loss,
)

DIAGNOSIS = LabelGroup("diagnosis", ("IGM", "NME"), "softmax", gate="lesion")
FINDING = LabelGroup("finding", ("lesion",), "sigmoid")


def test_attention_loss_on_known_values():
    logits, target = torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0.0]]])
    assert attention_loss(logits, target).item() == pytest.approx(math.log(2))
    assert attention_loss(logits, target, 3.0).item() == pytest.approx(2 * math.log(2))


def test_attention_loss_is_smallest_where_the_sigmoid_equals_the_covered_fraction():
    target = torch.tensor([[[0.3]]])
    at = {
        p: attention_loss(torch.logit(torch.tensor([[[p]]])), target).item()
        for p in (0.2, 0.29, 0.3, 0.31, 0.6)
    }
    assert min(at, key=at.get) == 0.3


def test_diagnosis_counts_only_where_it_arises():
    logits = torch.tensor([[math.log(3.0), 0.0], [50.0, -50.0]])
    assert group_loss(logits, torch.tensor([0, UNKNOWN]), DIAGNOSIS).item() == pytest.approx(-math.log(0.75))
    logits.requires_grad_()
    group_loss(logits, torch.tensor([0, UNKNOWN]), DIAGNOSIS).backward()
    assert logits.grad[1].abs().sum() == 0 and logits.grad[0].abs().sum() > 0


def test_a_batch_without_answers_costs_nothing_and_can_be_stepped_on():
    logits = torch.ones(2, 2, requires_grad=True)
    loss = group_loss(logits, torch.tensor([UNKNOWN, UNKNOWN]), DIAGNOSIS)
    loss.backward()
    assert loss.item() == 0 and logits.grad.abs().sum() == 0
    assert group_loss(torch.ones(1, 1), torch.tensor([[float("nan")]]), FINDING).item() == 0


def test_total_is_the_weighted_sum_in_the_groups_order():
    logits = torch.tensor([[0.0, math.log(3.0), 0.0]])
    targets = {"finding": torch.tensor([[1.0]]), "diagnosis": torch.tensor([1])}
    weights = LossWeights(attention=2.0, groups={"diagnosis": 0.5})
    total, parts = total_loss(
        logits, torch.zeros(1, 2, 2), [FINDING, DIAGNOSIS], targets, torch.zeros(1, 2, 2), weights
    )
    assert parts["finding"] == pytest.approx(math.log(2))
    assert parts["diagnosis"] == pytest.approx(-math.log(0.25))
    assert total.item() == pytest.approx(math.log(2) - 0.5 * math.log(0.25) + 2 * math.log(2))
    plain, parts = total_loss(logits, None, [FINDING, DIAGNOSIS], targets, None, weights)
    assert "attention" not in parts and plain.item() < total.item()


def test_weights_say_what_is_wrong():
    assert LossWeights().problems() == []
    assert LossWeights(groups={"diagnosis": -1}).problems()


def test_boxes_move_with_the_picture():
    """A bright rectangle is still exactly where its box says after mirror, shift and magnification."""
    n, rows, columns = 12, 64, 96
    rng = np.random.default_rng(0)
    images = torch.zeros(n, 1, rows, columns)
    boxes = []
    for i in range(n):
        y, x = int(rng.integers(16, 30)), int(rng.integers(20, 60))
        images[i, 0, y : y + 18, x : x + 14] = 1
        boxes.append([Box(i, y - 0.5, x - 0.5, y + 17.5, x + 13.5, "IGM", id=str(i))])
    spec = AugmentSpec(mirror=0.5, shift=0.1, scale=(0.7, 1.3), gamma=1, gain=1, noise=0)
    moved, placed = augment(images, boxes, spec, np.random.default_rng(1))
    for image, (box,), (before,) in zip(moved, placed, boxes, strict=True):
        assert (box.id, box.z, box.label) == (before.id, before.z, before.label)
        painted = boxes_to_map([box], (rows, columns), (rows, columns))
        assert np.abs(image[0].numpy() - painted).mean() < 0.01
        assert abs(image.sum().item() - painted.sum()) / painted.sum() < 0.05
    assert len({round(p[0].x0, 3) for p in placed}) == n


def test_augmentation_repeats_by_seed_stays_in_the_window_and_can_be_nothing():
    images = torch.rand(4, 1, 32, 32)
    boxes = [[Box(0, 3, 3, 9, 9, "NME")]] * 4
    one, two = (augment(images, boxes, AugmentSpec(), np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one[0], two[0]) and one[1] == two[1]
    assert one[0].min() >= 0 and one[0].max() <= 1
    nothing = AugmentSpec(mirror=0, shift=0, scale=(1, 1), gamma=1, gain=1, noise=0)
    same, placed = augment(images, boxes, nothing, np.random.default_rng(3))
    torch.testing.assert_close(same, images, atol=1e-5, rtol=0)
    assert placed[0][0].y1 == pytest.approx(9)
    assert (
        nothing.problems() == [] and len(AugmentSpec(mirror=2, shift=1, scale=(2, 1), gain=0).problems()) == 4
    )


def test_brightness_never_alters_a_channel_that_shows_change():
    images = torch.full((6, 3, 32, 32), 0.5)
    images[:, 1] = 0.3
    spec = AugmentSpec(mirror=0.5, shift=0.3, scale=(0.7, 0.8), gamma=2, gain=2, noise=0)
    moved, _ = augment(images, [[]] * 6, spec, np.random.default_rng(4), changes=(True, False, True))
    # Middle grey is no change: in the picture, and beyond its edge, which shift and scale bring into view.
    torch.testing.assert_close(moved[:, [0, 2]], images[:, [0, 2]], atol=1e-6, rtol=0)
    assert (moved[:, 1] == 0).any(), "nothing of what lies beyond the edge is in view"
    middle = moved[:, 1, 14:18, 14:18]
    assert (middle - 0.3).abs().min() > 1e-3, "the brightness of the image itself is altered"
