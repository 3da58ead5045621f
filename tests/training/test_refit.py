"""Early features beside the last ones, and a group fitted anew on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_breast_ai.core import Box
from napari_breast_ai.inference import Engine
from napari_breast_ai.models import RECIPES, build
from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.examples import Examples
from napari_breast_ai.training.fit import initialise
from napari_breast_ai.training.refit import EARLY_LAYER, refit_pair, widen
from napari_breast_ai.training.scoring import score_slices


@pytest.fixture(scope="module")
def model():
    recipe = RECIPES["attention-squeezenet"]
    spec = replace(recipe, preparation=replace(recipe.preparation, size=(64, 64), mode="plain"))
    torch.manual_seed(0)
    found = build(spec)
    initialise(found, 0)
    return found.eval()


def coloured(patients: range, rng: np.random.Generator) -> Examples:
    """A bright square on each slice: reddish is IGM, bluish NME, with noise and varying brightness."""
    images, boxes, names = [], [], []
    for patient in patients:
        label = ("IGM", "NME")[patient % 2]
        for _ in range(3):
            image = rng.uniform(100, 120, (3, 64, 64))
            y, x = rng.integers(5, 35, 2)
            square = np.array([150, 170, 90] if label == "IGM" else [90, 170, 150]) + rng.normal(0, 15, 3)
            image[:, y : y + 20, x : x + 20] = square[:, None, None] * rng.uniform(0.8, 1.2)
            images.append(np.clip(image, 0, 255).astype(np.uint8))
            boxes.append((Box(0, y - 0.5, x - 0.5, y + 19.5, x + 19.5, label),))
            names.append(f"p{patient}")
    return Examples(np.stack(images), tuple(boxes), tuple(names), tuple(range(len(names))))


def test_a_widened_model_says_the_same(model):
    wide = widen(model)
    assert wide.spec.backbone.layer == EARLY_LAYER
    assert not wide.spec.problems()
    images = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        before, after = model(images), wide.eval()(images)
        late, both = model.backbone(images), wide.backbone(images)
    torch.testing.assert_close(after.logits, before.logits)
    torch.testing.assert_close(after.attention, before.attention)
    torch.testing.assert_close(both[:, :512], late)
    # The early part of a cell is the mean of the third fire module's output over it.
    with torch.inference_mode():
        early = wide.backbone.features[:5](images)
    assert early.shape[1] == both.shape[1] - 512 == 128
    torch.testing.assert_close(
        both[:, 512:], torch.nn.functional.adaptive_avg_pool2d(early, tuple(late.shape[2:]))
    )
    # The engine traces the backbone.
    torch.testing.assert_close(Engine(wide, torch.device("cpu")).features(images), both, atol=1e-5, rtol=1e-4)
    with pytest.raises(TrainingError, match="widened"):
        widen(wide)


def test_a_pair_is_fitted_anew_and_nothing_else(model):
    rng = np.random.default_rng(0)
    train, validation, unseen = (coloured(range(a, b), rng) for a, b in ((0, 16), (16, 24), (24, 40)))
    wide = widen(model)
    before = score_slices(wide, unseen).probabilities
    found = refit_pair(wide, "diagnosis", train, validation)
    after = score_slices(wide, unseen).probabilities
    np.testing.assert_array_equal(after["lesion"], before["lesion"])
    np.testing.assert_allclose(after["IGM"] + after["NME"], 1, atol=1e-6)
    truth = np.array([diagnosis == "NME" for diagnosis in unseen.diagnoses])
    assert ((after["NME"] > 0.5) == truth).mean() > 0.9
    assert found.choices[found.penalty] == max(found.choices.values())


def test_one_label_only_is_refused(model):
    rng = np.random.default_rng(1)
    whole = coloured(range(8), rng)
    igm = whole.subset([i for i, d in enumerate(whole.diagnoses) if d == "IGM"])
    with pytest.raises(TrainingError, match="only one of"):
        refit_pair(widen(model), "diagnosis", igm, whole)
