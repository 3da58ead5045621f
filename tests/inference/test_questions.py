"""Questions to a heat map: against known answers, hand-written references, and captum and quantus where they are."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from napari_breast_ai.core import Box, Cancelled
from napari_breast_ai.inference import InferenceError, make_images, predict
from napari_breast_ai.inference.questions import table
from napari_breast_ai.inference.questions.alike import (
    max_sensitivity,
    noisy,
    rank_correlation,
    sanity,
    shifted,
    top_overlap,
    without_knowledge,
)
from napari_breast_ai.inference.questions.ask import Asker
from napari_breast_ai.inference.questions.course import lines_of
from napari_breast_ai.inference.questions.place import place
from napari_breast_ai.inference.questions.removal import (
    baseline_of,
    cell_masks,
    deletion,
    faithfulness,
    insertion,
    patches,
    ranked,
)

MAP = (4, 5)
SIZE = (16, 20)


def needed(name: str) -> Any:
    """A package that is for development only."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        pytest.skip(f"{name} is not installed: the hand-written reference stands alone")


class Linear(torch.nn.Module):
    """A model with a known answer: each cell of the image counts by its weight, and nothing else does."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        spread = torch.from_numpy(weights).reshape(1, 1, *MAP)
        pixels = torch.nn.functional.interpolate(spread, size=SIZE, mode="nearest-exact")[0, 0] / 16
        self.weights = torch.nn.Parameter(pixels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        one = (images[:, 0] * self.weights).sum(dim=(1, 2))
        return torch.stack([one, -one], dim=1)

    def score(self, images: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            return self(images)[:, 0].numpy()


@pytest.fixture
def linear() -> tuple[Linear, np.ndarray, torch.Tensor]:
    rng = np.random.default_rng(3)
    weights = rng.permutation(np.arange(1, 21)).reshape(MAP).astype(np.float64)
    return Linear(weights).eval(), weights, torch.ones(1, *SIZE, dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------- where it lies


def test_a_map_is_held_against_boxes_by_area():
    heat = np.zeros((4, 4))
    heat[1, 1], heat[1, 2], heat[3, 0] = 4, 2, 2
    # Rows 10 to 19 and columns 10 to 24 of 40: cell (1, 1) wholly, half of (1, 2).
    found = place(heat, [Box(0, 9.5, 9.5, 19.5, 24.5, "NME")], (40, 40))
    assert found.mass == pytest.approx((4 + 1) / 8)
    assert found.peak_inside and found.chance == pytest.approx(150 / 1600)
    # Cells that reach 2: three, of which 1.5 are covered; those that reach 4: one, wholly covered.
    assert found.iou == pytest.approx(1 / 1.5) and found.threshold == pytest.approx(1)
    assert found.best_iou == pytest.approx(1.5 / 2)
    elsewhere = place(heat[::-1, ::-1], [Box(0, 9.5, 9.5, 19.5, 24.5, "NME")], (40, 40))
    assert elsewhere.mass == 0 and not elsewhere.peak_inside


def test_a_map_that_looks_everywhere_is_chance():
    box = Box(0, 9.5, 9.5, 19.5, 24.5, "NME")
    found = place(np.ones((8, 8)), [box], (40, 40))
    assert found.mass == pytest.approx(found.chance) and found.iou == pytest.approx(found.chance)
    assert place(np.zeros((8, 8)), [box], (40, 40)) is None
    assert place(np.ones((8, 8)), [Box(0, 90, 90, 99, 99, "NME")], (40, 40)) is None


# ------------------------------------------------------------------------------------------------------- taken away


def test_curves_of_a_model_whose_answer_is_known(linear):
    model, weights, image = linear
    nothing = torch.zeros_like(image)
    by_weight = np.sort(weights, axis=None)[::-1]
    gone = deletion(model.score, image, nothing, ranked(weights), MAP, steps=20)
    assert gone.scores == pytest.approx(210 - np.concatenate([[0], np.cumsum(by_weight)]))
    assert gone.area == pytest.approx(np.sum(gone.scores[:-1] + gone.scores[1:]) / 2 / 20)
    back = insertion(model.score, image, nothing, ranked(weights), MAP, steps=20)
    assert back.scores == pytest.approx(np.concatenate([[0], np.cumsum(by_weight)]))
    worst = deletion(model.score, image, nothing, ranked(-weights), MAP, steps=20)
    assert gone.area < 105 < worst.area and gone.area + back.area == pytest.approx(210)


def test_deletion_is_that_of_quantus(linear):
    quantus = needed("quantus")
    model, weights, image = linear
    heat = np.kron(weights, np.ones((4, 4)))[None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = quantus.PixelFlipping(
            features_in_step=16, perturb_baseline=0.0, abs=False, normalise=False, disable_warnings=True,
            return_auc_per_sample=False,
        )  # fmt: skip
        curve = metric(
            model=model, x_batch=image[None].numpy(), y_batch=np.array([0]), a_batch=heat[None], softmax=False
        )[0]
    ours = deletion(model.score, image, torch.zeros_like(image), ranked(weights), MAP, steps=20)
    assert ours.scores[1:] == pytest.approx(np.ravel(curve))


def test_faithfulness_of_a_model_whose_answer_is_known(linear):
    model, weights, image = linear
    parts = patches(MAP, 3)
    assert sorted(cell for part in parts for cell in part) == list(range(20)) and len(parts) == 9
    nothing = torch.zeros_like(image)
    assert faithfulness(model.score, image, nothing, weights, parts) == pytest.approx(1)
    assert faithfulness(model.score, image, nothing, -weights, parts) == pytest.approx(-1)
    other = np.random.default_rng(1).random(MAP)
    # By hand: what the score loses is the sum of the weights in the part.
    held, lost = (np.array([m.flat[part].sum() for part in parts]) for m in (other, weights))
    want = np.corrcoef(held, lost)[0, 1]
    assert faithfulness(model.score, image, nothing, other, parts) == pytest.approx(want)
    assert faithfulness(model.score, image, image, weights, parts) is None, "nothing is taken away"


def test_faithfulness_is_that_of_quantus(linear):
    quantus = needed("quantus")
    model, _, image = linear
    other = np.random.default_rng(1).random(MAP)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = quantus.FaithfulnessCorrelation(
            nr_runs=30, subset_size=40, perturb_baseline=0.0, abs=False, normalise=False,
            disable_warnings=True,
        )  # fmt: skip
        np.random.seed(11)  # noqa: NPY002 - quantus draws from numpy's global state
        heat = np.kron(other, np.ones((4, 4)))[None]
        theirs = metric(
            model=model, x_batch=image[None].numpy(), y_batch=np.array([0]), a_batch=heat[None], softmax=False
        )[0]
    np.random.seed(11)  # noqa: NPY002
    sets = [np.random.choice(320, 40, replace=False).tolist() for _ in range(30)]  # noqa: NPY002
    # Cells of one pixel: quantus takes single pixels away.
    ours = faithfulness(model.score, image, torch.zeros_like(image), heat[0], sets)
    assert ours == pytest.approx(theirs)


def test_every_pixel_belongs_to_one_cell_and_baselines_show_nothing():
    whole = cell_masks([[cell] for cell in range(20)], MAP, (17, 23))
    assert torch.equal(whole.sum(dim=0), torch.ones(1, 17, 23, dtype=torch.int64))
    image = torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(0))
    image[:, 28:32, 38:42] += 20
    mean, blur = baseline_of(image, "mean"), baseline_of(image, "blur")
    assert torch.allclose(mean, image.mean(dim=(1, 2), keepdim=True).expand_as(image))
    assert float(blur.max()) < 0.1 * float(image.max()) and float(blur.std()) > 0
    assert float(blur.mean()) == pytest.approx(float(image.mean()), rel=0.05)
    tiny = baseline_of(torch.ones(3, 4, 4), "blur")
    assert torch.allclose(tiny, torch.ones(3, 4, 4))


# ------------------------------------------------------------------------------------------------------------ alike


def test_maps_are_compared_by_rank_and_by_their_hottest():
    one = np.arange(100.0).reshape(10, 10)
    assert rank_correlation(one, np.exp(one / 10)) == pytest.approx(1)
    assert rank_correlation(one, -one) == pytest.approx(-1)
    assert rank_correlation(one, np.ones((10, 10))) is None
    assert top_overlap(one, one**2) == 1 and top_overlap(one, -one) == 0
    half = one.copy()
    half.flat[95:] = 0
    assert top_overlap(one, half) == pytest.approx(0.5)


def test_sensitivity_of_a_map_that_is_its_image():
    image = torch.ones(1, 6, 6, dtype=torch.float64)
    others = noisy(image, 0.2, 5)
    assert all(float((other - image).abs().max()) <= 0.2 for other in others)
    found = max_sensitivity(lambda images: images[:, 0].numpy(), image, others)
    want = max(float((other - image).norm() / image.norm()) for other in others)
    assert found == pytest.approx(want)
    assert max_sensitivity(lambda images: np.ones((len(images), 3, 3)), image, others) == 0
    assert max_sensitivity(lambda images: np.zeros((len(images), 3, 3)), image, others) is None
    down, up, right, _ = shifted(torch.arange(36.0).reshape(1, 6, 6), 2)
    assert down[0, 2, 0] == 0 and down[0, 0, 0] == 0 and up[0, 0, 0] == 12 and right[0, 0, 2] == 0


def test_sensitivity_is_that_of_captum():
    metrics = needed("captum.metrics")
    rng = torch.Generator().manual_seed(4)
    image = torch.rand(1, 6, 6, generator=rng, dtype=torch.float64)
    others = torch.stack(noisy(image, 0.1, 7))

    def attribute(images: Any) -> tuple[torch.Tensor, ...]:
        # What comes back must be a tuple, or captum compares every map with every other.
        return ((images[0] if isinstance(images, tuple) else images) ** 3,)

    theirs = metrics.sensitivity_max(
        attribute,
        image[None],
        perturb_func=lambda images, radius: (others,),
        n_perturb_samples=7,
        max_examples_per_batch=7,
    )
    ours = max_sensitivity(lambda images: (images**3)[:, 0].numpy(), image, others)
    assert ours == pytest.approx(float(theirs[0]))


def test_a_map_that_ignores_the_model_fails_the_sanity_check():
    """An edge detector looks as good as any heat map, and says nothing of what was learnt."""
    torch.manual_seed(0)
    body = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, 2, 1), torch.nn.ReLU()
    )
    image = torch.rand(1, 1, 48, 48)
    image[..., 20:30, 20:30] += 3

    def edges(model: torch.nn.Module) -> np.ndarray:
        return np.hypot(*np.gradient(image[0, 0].numpy()))

    def of_model(model: torch.nn.Module) -> np.ndarray:
        with torch.no_grad():
            return model(image)[0, 0].numpy()

    ignorant = [without_knowledge(body, seed) for seed in range(3)]
    planted, honest = (
        sanity(method(body), [[method(one) for one in ignorant]])[0] for method in (edges, of_model)
    )
    assert planted == pytest.approx(1)
    assert table.answered("random_model", planted).fails
    assert honest < table.INDIFFERENT and not table.answered("random_model", honest).fails


def test_knowledge_goes_and_scale_stays():
    layer = torch.nn.Linear(400, 100).requires_grad_(False)
    random = without_knowledge(layer, 1)
    assert float(random.weight.std()) == pytest.approx(float(layer.weight.std()), rel=0.05)
    assert abs(np.corrcoef(random.weight.ravel(), layer.weight.ravel())[0, 1]) < 0.02
    assert torch.equal(without_knowledge(layer, 1).weight, random.weight)


# ---------------------------------------------------------------------------------------------------- of a real model


def test_every_question_is_answered_of_attention_and_gradcam(bundles, volume):
    bundle = bundles("gated")
    boxes = (Box(2, 12, 24, 28, 36, "IGM"), Box(2, 1, 1, 4, 4, "normal tissue"))
    own = predict(volume, bundle, slices=[2])
    for which in ("attention", "gradcam"):
        asker = Asker(volume, bundle, which, "IGM")
        images = make_images(volume, asker.plan, [2])
        maps = own.attention_for("IGM") if which == "attention" else own.gradcam["IGM"]
        np.testing.assert_allclose(asker.heat(images), maps, atol=1e-5)
        assert asker.probability(images) == pytest.approx(own.probabilities["IGM"], abs=1e-5)
        told: list[int] = []
        answers = asker.ask([2], boxes, lambda done, total, what, told=told: told.append(done))
        assert [answer.key for answer in answers] == [question.key for question in table.QUESTIONS]
        assert told == sorted(told)
        for answer in answers:
            assert answer.value is None or np.isfinite(answer.value)
            assert answer.value is not None or answer.note.endswith(".")
            assert answer.to_json()["unit"] == answer.question.unit
            if answer.course is not None:
                assert answer.value == pytest.approx(answer.course.area)
                assert answer.reference == pytest.approx(answer.course.chance_area)
                assert answer.course.parts[0] == 0 and answer.course.parts[-1] == 1
                assert len(answer.to_json()["course"]["scores"]) == table.STEPS + 1
        removed = [one for one in answers if one.key in ("deletion", "insertion")]
        assert [one.course is None for one in removed] == [one.value is None for one in removed]
        assert answers == asker.ask([2], boxes), "the same numbers again"
    without = Asker(volume, bundle, "attention", "IGM").ask([1, 2])
    assert without[0].value is None and "no lesion's box" in without[0].note


def test_an_attention_is_not_blamed_for_what_speaks_against_a_class(bundles, volume, monkeypatch):
    def emptiest(self: Asker, images: torch.Tensor) -> np.ndarray:
        return 1 / (1 + 50 * images.double().std(dim=(2, 3)).mean(dim=1).numpy())

    monkeypatch.setattr(Asker, "probability", emptiest)
    keys = ("deletion", "insertion", "faithfulness")
    for which in ("attention", "gradcam"):
        asker = Asker(volume, bundles("gated"), which, "IGM")
        image, heat = make_images(volume, asker.plan, [2])[0], np.arange(24, dtype=np.float32).reshape(4, 6)
        told = {one.key: one for one in asker._about_removal(image, heat, lambda *_: None)}
        asked = [told[key].value is not None for key in keys]
        against = ["speaks against this class" in told[key].note for key in keys]
        assert against == [which == "attention"] * 3 and asked == [which == "gradcam"] * 3


def test_the_curves_begin_and_end_with_the_scores_of_the_images(bundles, volume, monkeypatch):
    """Deletion from the whole image to the empty one, insertion from the blurred one to the whole; means over slices."""

    def brightest(self: Asker, images: torch.Tensor) -> np.ndarray:
        return np.clip(images.double().amax(dim=(1, 2, 3)).numpy() / 3 + 0.4, 0, 1)

    monkeypatch.setattr(Asker, "probability", brightest)
    asker = Asker(volume, bundles("gated"), "gradcam", "IGM")
    heat = np.random.default_rng(0).random((4, 6)).astype(np.float32)
    told = []
    for index in (1, 2):
        image = make_images(volume, asker.plan, [index])[0]
        answers = asker._about_removal(image, heat, lambda *_: None)
        gone, back = (next(one for one in answers if one.key == key) for key in ("deletion", "insertion"))
        whole, empty, blurred = asker.probability(
            torch.stack([image, baseline_of(image, "mean"), baseline_of(image, "blur")])
        )
        assert (gone.course.scores[0], gone.course.scores[-1]) == pytest.approx((whole, empty))
        assert (back.course.scores[0], back.course.scores[-1]) == pytest.approx((blurred, whole))
        assert gone.course.by_chance[0] == pytest.approx(whole)
        told.append(answers)
    mean = table.mean_answers(told)
    gone = next(one for one in mean if one.key == "deletion")
    assert (
        gone.course.area
        == pytest.approx(gone.value)
        == pytest.approx(np.mean([one[0].value for one in told]))
    )
    lines = lines_of(mean)
    assert [one.course for one in lines] == [
        one.course for one in mean if one.key in ("deletion", "insertion")
    ]
    assert f"area {gone.value:.2f} (random order {gone.reference:.2f})" in lines[0].legend
    assert lines_of([one for one in mean if one.key != "deletion"]) == lines[1:]


def test_what_cannot_be_asked_is_said(bundles, volume):
    plain = bundles("plain")
    with pytest.raises(InferenceError, match="has no attention"):
        Asker(volume, plain, "attention", "IGM")
    with pytest.raises(InferenceError, match="no class “XY”"):
        Asker(volume, plain, "gradcam", "XY")
    asker = Asker(volume, plain, "gradcam", "IGM")
    with pytest.raises(InferenceError, match="No slice"):
        asker.ask([])
    agreement = next(answer for answer in asker.ask([0]) if answer.key == "agreement")
    assert agreement.value is None and "no attention" in agreement.note

    def stop(done: int, total: int, what: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        asker.ask([0], (), stop)


def test_verdicts_follow_the_meaning_that_people_read():
    assert table.answered("mass", 0.02, 0.02).fails and not table.answered("mass", 0.5, 0.02).fails
    assert table.answered("deletion", 0.8, 0.7).fails and not table.answered("deletion", 0.2, 0.7).fails
    assert table.answered("insertion", 0.6, 0.7).fails and not table.answered("insertion", 0.9, 0.7).fails
    assert table.answered("faithfulness", 0.1, 0.33).fails
    assert table.answered("peak", 0.4).fails and not table.answered("peak", 1.0).fails
    assert table.answered("agreement", -0.2).fails and table.answered("top", 0.1, 0.1).fails
    assert table.answered("noise", 0.7).fails and table.answered("random_model", 0.9).fails
    assert not table.answered("random_head", 1.0).fails, "an attention does not hang on the head"
    assert not table.answered("deletion", None, note="x.").fails
    one = [table.answered("mass", 0.5, 0.1, "by chance"), table.answered("noise", 0.2)]
    two = [table.answered("mass", None, note="No box."), table.answered("noise", 0.9)]
    mean = table.mean_answers([one, two])
    assert (mean[0].value, mean[0].held_against, mean[1].value) == (0.5, "by chance 10 %", 0.55)
    assert mean[1].fails and mean[1].said == "0.55"
