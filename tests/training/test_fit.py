from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_breast_ai.core import Box, Cancelled
from napari_breast_ai.models import RECIPES, HeadSpec, NarrowHead, build, probabilities
from napari_breast_ai.training.errors import LeakError, TrainingError
from napari_breast_ai.training.examples import (
    Examples,
    attention_targets,
    group_targets,
    join,
)
from napari_breast_ai.training.fit import fit, initialise
from napari_breast_ai.training.fitspec import FitSpec
from napari_breast_ai.training.losses import UNKNOWN, LossWeights
from napari_breast_ai.training.narrow import fit_narrow
from napari_breast_ai.training.scoring import score_slices

PAIR = RECIPES["squeezenet-narrow"].groups
QUICK = FitSpec(epochs=2, batch=8, slices_per_patient=8, lr=5e-4, warmup_epochs=0.5)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def new_model(spec, seed=0):
    torch.manual_seed(seed)
    model = build(spec)
    initialise(model, seed)
    return model


def sides(examples, train):
    inside = [i for i, p in enumerate(examples.patients) if p in train]
    return inside, [i for i in range(len(examples)) if i not in inside]


def test_loss_falls_attention_finds_the_blob_and_the_best_epoch_is_kept(blobs, small_spec):
    train, validation = sides(blobs, {"p0", "p1", "p2", "p4"})
    model = new_model(small_spec)
    spec = replace(QUICK, epochs=12, weights=LossWeights(attention=2.0))
    history = fit(model, blobs, train, validation, spec)
    first, last = history.epochs[0].train, history.epochs[-1].train
    assert sum(last.values()) < 0.8 * sum(first.values())
    assert last["attention"] < 0.8 * first["attention"]
    kept = history.epochs[history.best - 1]
    assert kept.score == max(epoch.score for epoch in history.epochs)
    assert not model.training
    # The model at hand is the kept one: its score is that of the kept epoch.
    scores = score_slices(model, blobs.subset(validation))
    lesion = np.array([bool(b) for b in blobs.subset(validation).boxes])
    pairs = scores.probabilities["lesion"][lesion][:, None] > scores.probabilities["lesion"][~lesion][None]
    assert pairs.mean() == pytest.approx(kept.validation["lesion"], abs=0.02)


def test_same_seed_same_weights_bit_for_bit_and_another_seed_others(blobs, small_spec):
    train, validation = sides(blobs, {"p0", "p1", "p2"})
    states = []
    for seed in (0, 0, 1):
        model = new_model(small_spec)
        fit(model, blobs, train[::2], validation[::4], replace(QUICK, seed=seed))
        torch.manual_seed(seed + 99)  # the global generator must not matter
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_initialise_leaves_the_global_generator_alone_and_keeps_the_signal(small_spec):
    model = build(small_spec)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    initialise(model, 3)
    assert torch.equal(torch.rand(1), expected)
    with torch.no_grad():
        pooled = model.pooling(model.backbone(torch.randn(4, 3, 64, 64)))
    assert 0.1 < pooled.vector.std() < 10
    assert 0.001 < pooled.attention.median() < 0.3


def test_a_leak_into_validation_is_refused(blobs, small_spec):
    with pytest.raises(LeakError, match="Patient p0"):
        fit(build(small_spec), blobs, [0, 1], [2, 3], QUICK)


def test_what_is_wrong_is_said_before_it_starts(blobs, small_spec):
    model = build(small_spec)
    with pytest.raises(TrainingError, match=r"at least 1.*positive"):
        fit(model, blobs, [0], [47], replace(QUICK, epochs=0, lr=0))
    with pytest.raises(TrainingError, match="needs slices"):
        fit(model, blobs, [0], [], QUICK)
    with pytest.raises(TrainingError, match="no cases"):
        join([])
    assert len(FitSpec(optimiser="rprop", lesion_share=2).problems()) == 2  # type: ignore[arg-type]


def test_cancel_passes_through(blobs, small_spec):
    seen = []

    def stop(done, total, what):
        seen.append((done, total, what))
        if done == 2:
            raise Cancelled

    train, validation = sides(blobs, {"p0", "p1", "p2"})
    with pytest.raises(Cancelled):
        fit(new_model(small_spec), blobs, train, validation, QUICK, stop)
    assert seen == [(1, 6, "training, epoch 1"), (2, 6, "training, epoch 1")]


def test_a_loss_that_runs_away_is_said(blobs, small_spec):
    train, validation = sides(blobs, {"p0", "p1", "p2"})
    model = new_model(small_spec)
    with torch.no_grad():
        model.head.output.weight.fill_(torch.inf)
    with pytest.raises(TrainingError, match="smaller learning rate"):
        fit(model, blobs, train, validation, QUICK)


def test_sgd_works_and_a_model_without_attention_too(blobs):
    recipe = RECIPES["squeezenet-narrow"]
    spec = replace(recipe, preparation=replace(recipe.preparation, size=(64, 64)), head=HeadSpec("linear"))
    train, validation = sides(blobs, {"p0", "p1", "p2"})
    how = replace(QUICK, epochs=1, optimiser="sgd", lr=0.01)
    history = fit(new_model(spec), blobs, train, validation, how)
    assert set(history.epochs[0].train) == {"diagnosis"}
    assert 0 <= history.epochs[0].validation["diagnosis: NME"] <= 1


def test_targets_say_what_the_boxes_say():
    groups = RECIPES["attention-squeezenet"].groups
    box = Box(0, 0, 0, 8, 8, "NME")
    boxes = [[box], [], [box, Box(0, 1, 1, 2, 2, "IGM")], [Box(0, 1, 1, 2, 2, "normal tissue")]]
    targets = group_targets(groups, boxes)
    assert targets["lesion"].flatten().tolist() == [1, 0, 1, 0]
    assert targets["diagnosis"].tolist() == [1, UNKNOWN, UNKNOWN, UNKNOWN]
    reduced = attention_targets(boxes, (16, 16), (2, 2), "area")
    assert reduced.shape == (4, 2, 2) and reduced[0, 0, 0] > 0.8 and reduced[3].sum() == 0


def test_examples_know_their_patients(blobs):
    assert blobs.case_diagnoses == {
        "p0": "IGM",
        "p1": "NME",
        "p2": None,
        "p3": "IGM",
        "p4": "NME",
        "p5": None,
    }
    assert blobs.diagnoses[1] == "IGM" and blobs.diagnoses[0] is None
    part = blobs.subset([3, 1])
    assert part.slices == (3, 1) and np.array_equal(part.images[1], blobs.images[1])
    with pytest.raises(ValueError, match="Every slice"):
        Examples(blobs.images, (), blobs.patients, blobs.slices)


def narrow_data(n=300, seed=0):
    rng = torch.Generator().manual_seed(seed)
    vectors = torch.rand(n, 20, generator=rng) * torch.logspace(-3, 3, 20)
    vectors[:, 7] = 4.0  # a feature that never changes must not make the others infinite
    standard = (vectors - vectors.mean(0)) / vectors.std(0).clamp(min=1e-9)
    # Not linearly separable: the product of two features decides.
    classes = (standard[:, 1] * standard[:, 12] > 0).long()
    return vectors, classes


def test_narrow_head_learns_what_a_linear_one_cannot():
    vectors, classes = narrow_data()
    head = NarrowHead(20, 2, 10)
    result = fit_narrow(head, vectors, {"diagnosis": classes}, PAIR, seed=1)
    assert result.training_accuracy > 0.95
    with torch.no_grad():
        scores = probabilities(head(vectors), RECIPES["squeezenet-narrow"].groups)
    assert ((scores["NME"] > 0.5).long() == classes).double().mean() == pytest.approx(
        result.training_accuracy
    )
    torch.testing.assert_close(head.mean, vectors.mean(0))


def test_narrow_fit_ends_where_the_gradient_vanishes_and_repeats():
    vectors, classes = narrow_data(60)
    vectors[:30] += torch.randn(30, 20, generator=torch.Generator().manual_seed(2))
    one, two = NarrowHead(20, 2, 2), NarrowHead(20, 2, 2)
    first, second = (fit_narrow(head, vectors, {"diagnosis": classes}, PAIR, seed=4) for head in (one, two))
    assert first == second
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    exact = one.double()
    torch.nn.functional.cross_entropy(exact(vectors.double()), classes).backward()
    assert max(p.grad.abs().max() for p in exact.parameters()) < 1e-3
    assert first.evaluations <= 5000


def test_narrow_fit_takes_standardisation_from_its_own_slices_only():
    vectors, classes = narrow_data()
    head = NarrowHead(20, 2, 10)
    fit_narrow(head, vectors[:200], {"diagnosis": classes[:200]}, PAIR, iterations=5)
    torch.testing.assert_close(head.mean, vectors[:200].mean(0))
    assert not torch.allclose(head.mean, vectors.mean(0))


def test_narrow_fit_needs_both_classes():
    vectors, _ = narrow_data(10)
    with pytest.raises(TrainingError, match="Each class"):
        fit_narrow(NarrowHead(20, 2, 10), vectors, {"diagnosis": torch.zeros(10, dtype=torch.int64)}, PAIR)
