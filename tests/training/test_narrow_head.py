from dataclasses import replace

import pytest
import torch

from napari_breast_ai.core import LabelGroup
from napari_breast_ai.models import BackboneSpec, NarrowHead, build, probabilities
from napari_breast_ai.models.heads import make_head
from napari_breast_ai.models.spec_parts import HeadSpec
from napari_breast_ai.training.metrics import auc
from napari_breast_ai.training.narrow_head import fit_mean, fit_narrow_head, heat, temperatures
from napari_breast_ai.training.recipe import read_recipe

PAIR = (LabelGroup("diagnosis", ("IGM", "NME"), "softmax"),)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def data(n, seed=0):
    """Two classes that overlap, seen through 40 features most of which are noise."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.arange(n) % 2
    vectors = torch.randn(n, 40, generator=generator)
    vectors[:, 0] += classes * 1.5
    return vectors, classes


def narrow(restarts=1, calibrate=False, iterations=100):
    changes = [f"fit.restarts={restarts}", f"fit.calibrate={str(calibrate).lower()}", "hidden=4"]
    return read_recipe("squeezenet-narrow", [*changes, f"fit.iterations={iterations}"])


def test_several_fits_in_one_head_are_the_mean_of_their_logits():
    vectors, classes = data(60)
    targets = {"diagnosis": classes}
    whole = make_head(HeadSpec("narrow", 12), 40, 2)
    fit_mean(whole, vectors, targets, PAIR, narrow(restarts=3), seed=5)
    parts = []
    for seed in (5, 6, 7):
        part = make_head(HeadSpec("narrow", 4), 40, 2)
        fit_mean(part, vectors, targets, PAIR, narrow(), seed)
        parts.append(part(vectors))
    assert not torch.allclose(parts[0], parts[1])
    torch.testing.assert_close(whole(vectors), torch.stack(parts).mean(0), rtol=1e-4, atol=1e-4)


def test_the_temperature_is_the_one_that_scaled_the_logits():
    generator = torch.Generator().manual_seed(1)
    logit = torch.randn(20_000, generator=generator, dtype=torch.float64) * 2
    truth = (torch.rand(20_000, generator=generator, dtype=torch.float64) < torch.sigmoid(logit)).long()
    logits = torch.stack([-logit / 2, logit / 2], 1)
    for factor in (3.0, 40.0):
        (found,) = temperatures(factor * logits, {"diagnosis": truth}, PAIR)
        assert found == pytest.approx(factor, rel=0.05)
    (kept,) = temperatures(logits / 5, {"diagnosis": truth}, PAIR)
    assert kept == pytest.approx(1, abs=1e-3), "a head is not made surer than its fit made it"


def test_calibration_keeps_order_and_answers_and_unties_what_was_certain():
    vectors, classes = data(80)
    other, truth = data(400, seed=1)
    patients = [f"p{i // 2}" for i in range(80)]
    labels = {"diagnosis": [PAIR[0].labels[k] for k in classes]}
    recipes = [narrow(calibrate=calibrate, iterations=1000) for calibrate in (False, True)]
    said = []
    for recipe in recipes:
        spec = replace(recipe.spec(PAIR), backbone=BackboneSpec("squeezenet1_1", "conv10"))
        model = build(spec)
        model.head = make_head(HeadSpec("narrow", 4), 40, 2)
        note = fit_narrow_head(model, vectors, {"diagnosis": classes}, labels, patients, recipe, seed=0)
        with torch.no_grad():
            logits = model.head(other)
        said.append((logits, probabilities(logits, PAIR)["NME"].numpy(), note))
    (plain, sure, _), (warm, calm, note) = said
    assert note["temperature"]["diagnosis"] > 3
    torch.testing.assert_close(warm * note["temperature"]["diagnosis"], plain, rtol=1e-4, atol=1e-3)
    assert ((sure > 0.5) == (calm > 0.5)).all()
    assert (sure > 1 - 1e-6).sum() > 20 > (calm > 1 - 1e-6).sum()
    assert (
        abs(auc(calm, truth.bool()) - auc((plain[:, 1] - plain[:, 0]).double().numpy(), truth.bool())) < 2e-3
    )

    def loss(scores):
        right = torch.tensor(scores).double().clamp(1e-6, 1 - 1e-6)
        return float(torch.nn.functional.binary_cross_entropy(right, truth.double()))

    assert loss(calm) < loss(sure)


def test_heat_divides_each_group_by_its_own_temperature():
    groups = (*PAIR, LabelGroup("dense", ("dense",), "sigmoid"))
    head = make_head(HeadSpec("narrow", 4), 6, 3)
    assert isinstance(head, NarrowHead)
    vectors = torch.randn(5, 6)
    before = head(vectors).detach()
    heat(head, [2.0, 5.0], groups)
    torch.testing.assert_close(head(vectors).detach(), before / torch.tensor([2.0, 2.0, 5.0]))


def test_a_class_of_one_patient_does_not_stop_the_choice_of_a_temperature():
    vectors, _ = data(40)
    names = ["IGM"] * 35 + ["NME"] * 5
    patients = [f"p{i // 5}" for i in range(40)]
    recipe = narrow(calibrate=True, iterations=20)
    model = build(recipe.spec(PAIR), "random")
    wide = torch.randn(40, model.spec.backbone.channels, generator=torch.Generator().manual_seed(0))
    wide[:, :40] = vectors
    classes = torch.tensor([PAIR[0].labels.index(name) for name in names])
    note = fit_narrow_head(model, wide, {"diagnosis": classes}, {"diagnosis": names}, patients, recipe, 0)
    assert note["temperature"]["diagnosis"] >= 1

    two = patients[30:]
    rows = slice(30, 40)
    told = {"diagnosis": classes[rows]}
    note = fit_narrow_head(model, wide[rows], told, {"diagnosis": names[rows]}, two, recipe, 0)
    assert note["temperature"] == {"diagnosis": 1.0}, "nobody could be held out: scores stay as they are"
