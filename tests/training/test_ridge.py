import torch

from napari_breast_ai.core import LabelGroup
from napari_breast_ai.models import Composition, probabilities
from napari_breast_ai.models.copies import make_parts
from napari_breast_ai.models.heads import LinearHead
from napari_breast_ai.training.heads import fit_head
from napari_breast_ai.training.recipe import read_recipe

PAIR = (LabelGroup("kind", ("a", "b"), "softmax"),)


def fitted(n, *changes, prior=None):
    """Few slices of both sides, 512 features of which one tells a little; the model, and scores and truth of others."""
    how = read_recipe("squeezenet-ridge", changes)
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(n) % 2
    sides = torch.randn(2, n, 512, generator=generator)
    sides[:, :, 0] += 1.5 * truth
    torch.manual_seed(0)
    model = Composition(how.spec(PAIR), torch.nn.Identity(), *make_parts(how.spec(PAIR)))
    half = n // 2
    labels = {"kind": [PAIR[0].labels[k] for k in truth[:half]] * 2}
    features = torch.cat([sides[0, :half], sides[1, :half]])[:, :, None, None]
    patients = [f"p{i}" for i in range(half)] * 2
    note = fit_head(model, features, labels, patients, [()] * n, how, 0, prior=prior)
    with torch.no_grad():
        logits = model.from_features(sides[:, half:].mean(0)[:, :, None, None]).logits
    return note, logits, truth[half:]


def test_a_weak_penalty_is_calibrated_inside_the_training_patients():
    one = "fit.penalties=[0.001]"
    plain, sure, truth = fitted(160, one, "fit.calibrate=false")
    note, calm, _ = fitted(160, one)
    heat = note["temperature"]["kind"]
    assert "temperature" not in plain and heat > 1.5
    torch.testing.assert_close(calm * heat, sure, rtol=1e-3, atol=1e-4)
    loss = torch.nn.functional.cross_entropy
    assert loss(calm, truth) < loss(sure, truth)
    assert (probabilities(calm, PAIR)["b"].round() == probabilities(sure, PAIR)["b"].round()).all()


def test_the_penalty_is_chosen_on_the_mean_of_both_sides_where_that_is_asked():
    """The mean of both sides has half the noise, so that its AUC inside is the higher one."""
    both, _, _ = fitted(160, "fit.penalties=[0.1]")
    each, _, _ = fitted(160, "fit.penalties=[0.1]", "mirror=false")
    assert both["auc inside"]["0.1"] > each["auc inside"]["0.1"] + 0.02


def test_the_penalty_draws_to_the_head_that_is_given():
    prior = LinearHead(512, 2)
    with torch.no_grad():
        prior.output.weight.zero_()
        prior.output.weight[1, 0], prior.output.bias[:] = 2.0, torch.tensor([0.5, -0.5])
    strong, weak = (
        ("fit.penalties=[10000.0]", "fit.calibrate=false"),
        ("fit.penalties=[0.1]", "fit.calibrate=false"),
    )
    note, near, truth = fitted(160, *strong, prior=prior)
    bare, _, _ = fitted(160, *strong)
    # It knows the one feature that tells.
    _, far, _ = fitted(160, *weak, prior=prior)
    assert note["auc inside"]["10000.0"] > bare["auc inside"]["10000.0"]
    loss = torch.nn.functional.cross_entropy
    assert loss(near, truth) < loss(fitted(160, *weak)[1], truth)
    assert not torch.allclose(far, near, atol=0.1)
