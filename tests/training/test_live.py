"""An attention taught by boxes: convex, from the model's own, and it finds the lesion on slices without a box."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from napari_breast_ai.core import Box, Cancelled
from napari_breast_ai.inference.box_cells import boxes_to_map
from napari_breast_ai.models import load_bundle
from napari_breast_ai.models.pooling import AttentionPooling, AveragePooling
from napari_breast_ai.phantom import PhantomSpec, make_phantom
from napari_breast_ai.training.live import START, LiveAttention, LiveSpec
from napari_breast_ai.training.localisation import pointing_game

SHAPE = (60, 80)


def made(seed: int = 0) -> tuple[torch.Tensor, AttentionPooling]:
    generator = torch.Generator().manual_seed(seed)
    features = (
        torch.rand((6, 5, 6, 8), generator=generator) * torch.tensor([1.0, 10, 0.1, 3, 0])[:, None, None]
    )
    torch.manual_seed(seed)
    return features, AttentionPooling(5)


def test_without_boxes_it_is_the_models_own() -> None:
    features, pooling = made()
    own = torch.sigmoid(pooling.attend(features)[:, 0]).detach().numpy()
    live = LiveAttention(features, pooling, (0, 0, *SHAPE))
    found = live.fit(())
    np.testing.assert_allclose(found.attention, own, atol=1e-5)
    assert found.taught == () and found.boxes == 0
    live.fit([Box(2, 10, 10, 30, 40, "NME")])
    np.testing.assert_allclose(live.fit(()).attention, own, atol=1e-5)
    plain = LiveAttention(features, AveragePooling(), (0, 0, *SHAPE)).fit(())
    np.testing.assert_allclose(plain.attention, START, rtol=1e-4)


def test_a_fit_to_older_boxes_that_ends_meanwhile_does_not_get_into_a_newer_one() -> None:
    features, pooling = made(2)
    older = [Box(1, 10, 10, 30, 40, "NME")]
    newer = [*older, Box(3, 30, 40, 50, 70, "NME")]
    stale = LiveAttention(features, pooling, (0, 0, *SHAPE))
    stale.fit(older)
    last = stale._last

    class Disturbed(LiveAttention):
        """Another thread stores what it found as soon as this one has stored its own."""

        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, last if name == "_last" and hasattr(self, "_last") else value)

    alone = LiveAttention(features, pooling, (0, 0, *SHAPE)).fit(newer)
    found = Disturbed(features, pooling, (0, 0, *SHAPE)).fit(newer)
    np.testing.assert_array_equal(found.attention, alone.attention)


def test_it_is_the_optimum_that_another_optimiser_finds() -> None:
    features, pooling = made(1)
    spec = LiveSpec(penalty=0.05, positive=2.0, iterations=500)
    boxes = [
        Box(1, 10, 10, 30, 40, "NME"),
        Box(1, 40, 50, 55, 75, "IGM"),
        Box(4, 0, 0, 20, 20, "normal tissue"),
    ]
    found = LiveAttention(features, pooling, (0, 0, *SHAPE), spec).fit(boxes, looked_at=[0])
    assert found.taught == (0, 1, 4) and found.boxes == 2

    x = features.double().numpy()
    mean = x.mean((0, 2, 3))
    std = x.std((0, 2, 3), ddof=1)
    std[std < 1e-6] = 1
    rows = [0, 1, 4]
    z = ((x[rows].transpose(0, 2, 3, 1) - mean) / std).reshape(-1, 5)
    want = np.stack([boxes_to_map([b for b in boxes[:2] if b.z == r], SHAPE, (6, 8)) for r in rows]).ravel()
    anchor = pooling.attend.weight.detach().double().numpy()[0, :, 0, 0] * std

    def loss(p: np.ndarray) -> float:
        logit = z @ p[:5] + p[5]
        cross = 2.0 * want * np.logaddexp(0, -logit) + (1 - want) * np.logaddexp(0, logit)
        return float(cross.mean() + 0.5 * 0.05 * ((p[:5] - anchor) ** 2).sum())

    best = minimize(loss, np.zeros(6), method="BFGS", options={"gtol": 1e-9})
    logits = ((x.transpose(0, 2, 3, 1) - mean) / std) @ best.x[:5] + best.x[5]
    np.testing.assert_allclose(found.attention, 1 / (1 + np.exp(-logits)), atol=2e-3)


def test_it_goes_on_from_the_last_solution_to_the_same_place() -> None:
    features, pooling = made(2)
    boxes = [Box(z, 10, 10, 30, 40, "NME") for z in (1, 3)]
    spec = LiveSpec(penalty=0.05, iterations=500)
    steps = LiveAttention(features, pooling, (0, 0, *SHAPE), spec)
    steps.fit(boxes[:1])
    at_once = LiveAttention(features, pooling, (0, 0, *SHAPE), spec)
    np.testing.assert_allclose(steps.fit(boxes).attention, at_once.fit(boxes).attention, atol=2e-3)


def test_a_fit_that_is_stopped_changes_nothing() -> None:
    features, pooling = made(4)
    live = LiveAttention(features, pooling, (0, 0, *SHAPE))
    boxes = [Box(2, 10, 10, 30, 40, "NME")]
    before = live.fit(boxes)
    told: list[int] = []

    def stop(done: int, total: int, what: str) -> None:
        told.append(done)
        if len(told) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        live.fit([*boxes, Box(4, 0, 0, 50, 70, "IGM")], progress=stop)
    assert told == [0, 1, 2]
    np.testing.assert_allclose(live.fit(boxes).attention, before.attention, atol=2e-3)


def test_boxes_are_taken_where_the_model_looked() -> None:
    features, pooling = made(3)
    moved = LiveAttention(features, pooling, (100, -20, 100 + SHAPE[0], -20 + SHAPE[1]))
    found = moved.fit([Box(2, 110, -10, 130, 20, "NME")])
    same = LiveAttention(features, pooling, (0, 0, *SHAPE)).fit([Box(2, 10, 10, 30, 40, "NME")])
    np.testing.assert_array_equal(found.attention, same.attention)


@pytest.mark.parametrize("own", [True, False])
def test_two_boxes_find_the_lesion_on_other_slices(own: bool) -> None:
    """The demonstration model on phantoms it has not seen, and the same features without its attention."""
    bundle = load_bundle("demo-attention-squeezenet")
    from napari_breast_ai.inference import KeptFeatures, predict

    pooling = bundle.model.pooling if own else AveragePooling()
    before = after = total = 0.0
    for seed in (101, 103):
        phantom = make_phantom(PhantomSpec(kind="nme", seed=seed))
        kept = KeptFeatures(phantom.volume, bundle)
        predict(phantom.volume, bundle, kept=kept, device="cpu")
        image = phantom.volume.geometry.shape[1:]
        boxes = phantom.truth.boxes
        slices = sorted({box.z for box in boxes})
        shown = {slices[len(slices) // 3], slices[2 * len(slices) // 3]}
        rest = [z for z in slices if z not in shown]
        truth = [[box for box in boxes if box.z == z] for z in rest]
        live = LiveAttention(kept.maps, pooling, (0, 0, *image))
        for taught in (False, True):
            found = live.fit([box for box in boxes if box.z in shown] if taught else ())
            hits = pointing_game(found.attention[rest], truth, image).hits.value * len(rest)
            if taught:
                after += hits
            else:
                before += hits
        total += len(rest)
    assert after >= before and after / total >= 0.5, (before, after, total)
    if not own:
        assert after >= before + 0.3 * total, "it knew nothing before"
