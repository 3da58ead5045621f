"""Whole models that learn: repeatable, taken up again bit for bit, and the whole way to a bundle."""

import itertools
import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from napari_breast_ai.cli import main
from napari_breast_ai.core import Cancelled, LabelGroup
from napari_breast_ai.models import (
    LAYERS,
    RECIPES,
    BackboneSpec,
    ImageSource,
    PreparationSpec,
    build,
    load_bundle,
)
from napari_breast_ai.models.backbones import Backbone, make_network
from napari_breast_ai.models.stages import stages
from napari_breast_ai.training import runfolder
from napari_breast_ai.training.errors import LeakError, TrainingError
from napari_breast_ai.training.finetune import Images, images_ground, refuse_bare_norms
from napari_breast_ai.training.fit import fit
from napari_breast_ai.training.fitspec import AugmentSpec, FitSpec, LossWeights
from napari_breast_ai.training.fitting import Fitting
from napari_breast_ai.training.losses import group_loss
from napari_breast_ai.training.metrics import auc
from napari_breast_ai.training.packing import pack, unpack
from napari_breast_ai.training.protocol import ProtocolSpec, divide
from napari_breast_ai.training.ready import asked
from napari_breast_ai.training.recipe import read_recipe, recipe_names
from napari_breast_ai.training.runfolder import RunFolder
from napari_breast_ai.training.table import ask, read_cohort
from napari_breast_ai.training.train import train, write_training
from napari_breast_ai.training.watching import Control, EpochDone

GROUPS = (LabelGroup("kind", ("IGM", "NME"), "softmax"),)
SMALL = [
    "preparation.source.kind=picture",
    "preparation.size=[64, 64]",
    "fit.epochs=3",
    "fit.batch=8",
    "fit.tuning.head_epochs=2",
    "fit.choose_on=0.5",
]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def told(blobs):
    """The slices with a lesion, and a table that tells what it is; four patients, sixteen slices."""
    return labelled(blobs)


@pytest.fixture(scope="module")
def more(many_blobs):
    """The same of sixteen patients, sixty-four slices."""
    return labelled(many_blobs)


def labelled(examples):
    part = examples.subset([i for i, boxes in enumerate(examples.boxes) if boxes])
    return replace(part, labels={"kind": tuple(boxes[0].label for boxes in part.boxes)})


def model_of(backbone: str, layer: str, pooling: str = "attention", seed: int = 0):
    base = RECIPES["attention-resnet50" if pooling == "attention" else "gap-resnet50"]
    spec = replace(
        base,
        preparation=PreparationSpec(ImageSource("picture"), (64, 64)),
        backbone=BackboneSpec(backbone, layer),
        groups=GROUPS,
    )
    torch.manual_seed(seed)
    return build(spec)


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


TRAIN, CHOICE = list(range(8)), list(range(8, 16))
SOME, OTHERS = list(range(16)), list(range(16, 32))
QUICK = FitSpec(
    epochs=4, batch=3, slices_per_patient=None, optimiser="adam", lr=1e-3, warmup_epochs=0.5, choose_by="loss"
)


class Stopping(Fitting):
    """Stops after an epoch and keeps what is left as the run's folder does."""

    def __init__(self, after):
        super().__init__()
        self.after, self.bytes = after, b""

    def epoch(self, epoch, epochs, *, loss, auc, kept, state, look=lambda: None):
        super().epoch(epoch, epochs, loss=loss, auc=auc, kept=kept, state=state)
        if epoch == self.after:
            self.bytes = pack(self.kept(state))
            raise Cancelled


@pytest.mark.parametrize(
    ("backbone", "layer", "change"),
    [
        ("squeezenet1_1", "features+fire3", {"optimiser": "sgd", "schedule": "cosine"}),
        (
            "mobilenet_v2",
            "features",
            {"schedule": "plateau", "plateau": 1, "weights": LossWeights(focal=2.0)},
        ),
        ("resnet18", "layer4", {"optimiser": "adamw", "last_stages": 2, "backbone_lr": 0.1}),
    ],
)
def test_a_stopped_fit_goes_on_to_the_same_weights_bit_for_bit(told, backbone, layer, change):
    spec = replace(QUICK, **change)
    whole = model_of(backbone, layer)
    history = fit(whole, told, TRAIN, CHOICE, spec)
    assert len(history.epochs) == 4

    stopped = model_of(backbone, layer)
    halt = Stopping(2)
    with pytest.raises(Cancelled):
        fit(stopped, told, TRAIN, CHOICE, spec, fitting=halt)
    fresh = model_of(backbone, layer, seed=9)  # everything must come from what was kept
    going_on = Fitting(unpack(halt.bytes))
    again = fit(fresh, told, TRAIN, CHOICE, spec, fitting=going_on)
    assert same(whole.state_dict(), fresh.state_dict())
    assert again == history
    assert [one["epoch"] for one in going_on.course] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_stages_of_every_backbone_end_where_maps_halve(name):
    layer = next(iter(LAYERS[name]))
    backbone = Backbone(BackboneSpec(name, layer), make_network(name)).train()
    found = stages(backbone)
    assert 4 <= len(found) <= 5
    everything = [m for part in found for m in part]
    assert sum(p.numel() for m in everything for p in m.parameters()) == sum(
        p.numel() for p in backbone.parameters()
    )
    assert all(module.training for module in backbone.modules()), "its mode has changed"
    x = torch.zeros(1, 3, 128, 128)
    sizes = []
    with torch.no_grad():
        for part in found:
            for module in part:
                x = module(x)
            sizes.append(x.shape[2])
    assert all(b < a for a, b in itertools.pairwise(sizes))


def test_only_the_last_stages_learn(told):
    model = model_of("resnet18", "layer4")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fit(model, told, TRAIN, CHOICE, replace(QUICK, epochs=1, last_stages=1))
    after = model.state_dict()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert {k.split(".")[1] for k in changed if k.startswith("backbone.")} == {"layer4"}
    assert any(k.startswith("pooling.") for k in changed) and any(k.startswith("head.") for k in changed)
    assert all(p.requires_grad for p in model.parameters()), "what is left cannot be learnt later"
    with pytest.raises(TrainingError, match="has 5 stages"):
        fit(model, told, TRAIN, CHOICE, replace(QUICK, last_stages=6))


def test_frozen_batch_norms_keep_statistics_and_learn_scale(told):
    for kind in ("frozen", "batch"):
        model = model_of("resnet18", "layer4")
        before = {k: v.clone() for k, v in model.state_dict().items()}
        fit(model, told, TRAIN, CHOICE, replace(QUICK, epochs=1, batch_norm=kind))
        after = model.state_dict()
        statistics = [k for k in before if k.endswith(("running_mean", "running_var"))]
        kept = all(torch.equal(before[k], after[k]) for k in statistics)
        assert statistics and kept == (kind == "frozen")
        assert not torch.equal(before["backbone.bn1.weight"], after["backbone.bn1.weight"])


def test_a_lonely_last_slice_joins_the_batch_before_it(told):
    # Seven slices in threes leave one, which has no statistics where maps are one cell.
    steps = []
    model = model_of("resnet18", "layer4")
    small = replace(told, images=np.ascontiguousarray(told.images[..., ::2, ::2]), boxes=((),) * len(told))
    fit(
        model,
        small,
        TRAIN[:7],
        CHOICE,
        replace(QUICK, epochs=1),
        lambda done, of, what: steps.append((done, of)),
    )
    assert steps == [(1, 2), (2, 2)]


def test_patience_plateau_and_choice_by_loss(told):
    model = model_of("squeezenet1_1", "features")
    spec = replace(
        QUICK,
        epochs=40,
        lr=1e-12,
        clip=1e-6,
        schedule="plateau",
        plateau=2,
        patience=5,
        warmup_epochs=0,
        augment=AugmentSpec(0, 0, (1, 1), 1, 1, 0),
    )
    history = fit(model, told, TRAIN, CHOICE, spec)
    losses = [epoch.loss for epoch in history.epochs]
    best = min(losses)
    assert history.best == max(i for i, loss in enumerate(losses, 1) if loss == best)
    assert len(losses) < 40
    first = losses.index(best) + 1
    assert len(losses) == first + 5, "stopped at another epoch than five after the first best one"
    assert history.epochs[0].lr == pytest.approx(1e-12)
    assert history.epochs[-1].lr == pytest.approx(1e-12 * 0.1 ** ((len(losses) - 1 - first) // 2))


def test_focal_loss_is_its_formula_and_cross_entropy_at_zero():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(50, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.randint(-1, 3, (50,), generator=generator)
    group = LabelGroup("g", ("a", "b", "c"), "softmax")
    known = target >= 0
    p = torch.softmax(logits[known], 1)[torch.arange(int(known.sum())), target[known]]
    for gamma in (0.0, 1.0, 2.0, 2.5):
        wanted = (-((1 - p) ** gamma) * torch.log(p)).mean()
        torch.testing.assert_close(group_loss(logits, target, group, gamma), wanted)
    one = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    truth = torch.randint(0, 2, (40, 2), generator=generator).double()
    truth[::7] = float("nan")
    q = torch.sigmoid(one)
    q = torch.where(truth > 0.5, q, 1 - q)[~torch.isnan(truth)]
    found = group_loss(one, truth, LabelGroup("s", ("x", "y"), "sigmoid"), 2.0)
    torch.testing.assert_close(found, (-((1 - q) ** 2) * torch.log(q)).mean())
    # Certain answers: the gradient stays a number.
    sure = torch.tensor([[80.0, -80.0], [-80.0, 80.0]], requires_grad=True)
    group_loss(sure, torch.tensor([0, 0]), LabelGroup("g", ("a", "b"), "softmax"), 0.5).backward()
    assert bool(torch.isfinite(sure.grad).all())


def test_half_precision_learns_and_keeps_float32_weights(told):
    # Slow, so that what differs is what a step computes and not where many steps have led.
    slow = replace(QUICK, epochs=2, lr=1e-6)
    for precision in ("bfloat16", "float16"):
        model = model_of("squeezenet1_1", "features")
        history = fit(model, told, TRAIN, CHOICE, replace(slow, precision=precision))
        assert all(p.dtype == torch.float32 for p in model.parameters())
        exact = model_of("squeezenet1_1", "features")
        other = fit(exact, told, TRAIN, CHOICE, slow)
        for half, full in zip(history.epochs, other.epochs, strict=True):
            assert sum(half.train.values()) == pytest.approx(sum(full.train.values()), rel=0.02)
        assert not same(model.state_dict(), exact.state_dict())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_a_gpu_repeats_itself_and_comes_back_to_the_cpu(told):
    states = []
    for _ in range(2):
        model = model_of("resnet18", "layer4")
        fit(model, told, TRAIN, CHOICE, QUICK, device="cuda")
        states.append(model.state_dict())
    assert same(*states) and all(v.device.type == "cpu" for v in states[0].values())


def ground_of(told, changes=(), backbone="squeezenet1_1", choice=()):
    recipe = read_recipe("attention-squeezenet-finetune", [*SMALL, *changes])
    return images_ground(model_of(backbone, next(iter(LAYERS[backbone]))), told, recipe, choice)


def test_rounds_begin_with_the_given_weights_and_repeat(more):
    ground = ground_of(more)
    given = {k: v.clone() for k, v in ground.model.state_dict().items()}
    first, how = ground.fit(SOME, Fitting())
    assert same(given, ground.model.state_dict()), "a round has changed what the next one begins with"
    assert how["epochs"] <= 3 and how["device"] in ("cpu", "cuda")
    assert not torch.equal(
        first.state_dict()["backbone.features.0.weight"], given["backbone.features.0.weight"]
    )
    other, _ = ground.fit(OTHERS, Fitting())
    assert not same(first.state_dict(), other.state_dict())
    # On another machine: only what travels, and nothing remembered.
    sent: Images = pickle.loads(pickle.dumps(ground.light()))
    assert sent.digest() == ground.digest()
    again, _ = sent.fit(SOME, Fitting())
    assert same(first.state_dict(), again.state_dict())
    scores, attention = ground.judge(first, OTHERS)
    rebuilt, _ = ground.judge(ground.filled(ground.fitted(first)), OTHERS)
    assert np.array_equal(scores["IGM"], rebuilt["IGM"])
    assert attention.shape == (16, 3, 3) and scores["IGM"].shape == (16,)
    assert "fine-tuned on the cohort" in first.spec.backbone.origin


def test_one_fit_serves_all_parts_that_are_judged_by_it(more):
    ground = ground_of(more, choice=OTHERS)
    one, two = Fitting(), Fitting()
    first, _ = ground.fit(SOME, one)
    second, how = ground.fit(SOME, two)
    assert same(first.state_dict(), second.state_dict()) and one.course == two.course
    assert how["the same fit as"] == "the round before"


def test_who_chooses_the_epoch_is_no_one_who_learns(more):
    ground = ground_of(more)
    rows = list(range(64))
    train, choice = ground._sides(rows)
    patients = [{more.patients[i] for i in side} for side in (train, choice)]
    assert patients[0].isdisjoint(patients[1]) and sorted(train + choice) == rows
    with pytest.raises(LeakError):
        ground_of(more, choice=[0]).fit(SOME, Fitting())


def test_random_weights_have_no_statistics_to_freeze():
    model = model_of("resnet18", "layer4")
    with pytest.raises(TrainingError, match=r"batch_norm=batch"):
        refuse_bare_norms(model, read_recipe("attention-squeezenet-finetune"))
    refuse_bare_norms(model, read_recipe("mobilenet-448"))
    refuse_bare_norms(model_of("squeezenet1_1", "features"), read_recipe("attention-squeezenet-finetune"))


def test_every_backbone_has_its_recipes_and_m3_is_as_published():
    names = set(recipe_names())
    for backbone in ("squeezenet", "resnet18", "resnet50", "mobilenet-v2", "mobilenet-v3", "densenet121"):
        for kind in ("attention", "gap"):
            recipe = read_recipe(f"{kind}-{backbone}")
            assert recipe.pooling == {"gap": "average"}.get(kind, kind)
            learnt = read_recipe(f"{kind}-{backbone}", ["fit.method=finetune", "copies=false"])
            assert learnt.tuned().problems() == []
    made = {read_recipe(n).spec(GROUPS).backbone.name for n in names if n.startswith("attention-")}
    assert made == set(LAYERS)
    for name, backbone in (("mobilenet-448", "mobilenet_v2"), ("densenet121-448", "densenet121")):
        recipe = read_recipe(name)
        spec, how = recipe.spec(GROUPS), recipe.tuned()
        assert spec.backbone.name == backbone and spec.pooling.kind == "average"
        assert (spec.preparation.size, spec.preparation.view) == ((448, 448), "ultrasound")
        assert (how.epochs, how.patience, how.batch, how.optimiser, how.lr) == (300, 15, 16, "adam", 0.001)
        assert (how.schedule, how.plateau, how.factor, how.choose_by) == ("plateau", 5, 0.1, "loss")
        assert how.weights.focal == 2 and recipe.protocol.kind == "fractions"
        assert recipe.protocol.parts == (7, 1, 2)
        assert spec == replace(RECIPES[name], groups=GROUPS)
    for change, said in (
        ("fit.tuning.focal=-1", "must not be negative"),
        ("fit.tuning.patience=-1", "patience"),
        ("fit.tuning.optimiser=rprop", "use adamw, adam, sgd"),
        ("fit.tuning.augment.gamma=0.5", "at least 1"),
        ("flips=true", "leave flips out"),
        ("copies=true", "set copies to false"),
        ("protocol.parts=[1, 0, 2]", "three positive numbers"),
        ("fit.tuning.stages=2", "unknown key"),
    ):
        with pytest.raises(TrainingError, match=said):
            read_recipe("mobilenet-448", [change])


def test_fractions_are_of_patients_and_nobody_is_on_two_sides():
    patients = [f"p{i // 3}" for i in range(300)]
    plan = divide(ProtocolSpec("fractions"), patients, [i // 3 % 2 for i in range(300)], 5)
    sides = [plan.final, plan.choice, plan.rounds[1].judged]
    assert [len({patients[i] for i in side}) for side in sides] == [70, 10, 20]
    assert sorted(i for side in sides for i in side) == list(range(300))
    assert [one.part for one in plan.rounds] == ["validation", "test"]
    assert plan.rounds[0].judged == plan.choice and {one.train for one in plan.rounds} == {plan.final}
    assert divide(ProtocolSpec("fractions"), patients, [0] * 300, 6) != plan
    eight = divide(ProtocolSpec("fractions", parts=(8, 1, 1)), patients, [0] * 300, 5)
    assert len({patients[i] for i in eight.rounds[1].judged}) == 10
    with pytest.raises(LeakError, match="The same image"):
        same_image = ["x" if i in (plan.final[0], plan.choice[0]) else str(i) for i in range(300)]
        divide(ProtocolSpec("fractions"), patients, [i // 3 % 2 for i in range(300)], 5, contents=same_image)


@pytest.fixture(scope="module")
def screens(tmp_path_factory):
    """Thirty patients on ultrasound screens: speckle with a dark square (malignant) or a dark line (benign)."""
    folder = tmp_path_factory.mktemp("screens")
    rng = np.random.default_rng(4)
    lines = ["case_id,patient_id,path,label,box_y0,box_x0,box_y1,box_x1"]
    for i in range(30):
        screen = np.zeros((240, 320), np.uint8)
        field = rng.integers(60, 160, (160, 200)).astype(np.uint8)
        y, x = (int(v) for v in rng.integers(10, 80, 2))
        label = ("malignant", "benign")[i % 2]
        field[y : y + 60, x : x + (60 if label == "malignant" else 8)] = 5
        screen[40:200, 60:260] = field
        screen[5:15, 10:90:3] = 255  # a name
        Image.fromarray(screen).save(folder / f"{i}.png")
        lines.append(f"c{i},p{i},{i}.png,{label},{y + 40},{x + 60},{y + 99},{x + 119}")
    (folder / "t.csv").write_text("\n".join(lines))
    return folder / "t.csv"


def test_m3_the_whole_way_to_a_bundle_that_says_the_same(screens, tmp_path, capsys):
    changes = ["preparation.size=[64, 64]", "fit.epochs=2", "fit.tuning.precision=float32"]
    out = tmp_path / "out"
    arguments = ["train", str(screens), "--label", "label=malignant,benign", "--recipe", "mobilenet-448"]
    arguments += [
        "--weights",
        "random",
        "--out",
        str(out),
        "--cache",
        str(tmp_path / "cache"),
        "--threads",
        "1",
    ]
    for change in changes:
        arguments += ["--set", change]
    assert main(arguments) == 0, capsys.readouterr().err
    evaluation = json.loads((out / "evaluation.json").read_text())
    parts = [one["part"] for one in evaluation["predictions"]]
    assert (parts.count("validation"), parts.count("test")) == (4, 6)
    assert "chose the epoch" in " ".join(evaluation["warnings"])
    assert evaluation["input"]["view"] == "ultrasound"
    bundle = load_bundle(out / "bundle")
    assert "fine-tuned on the cohort" in bundle.card and "frozen" not in bundle.card
    # The bundle holds the backbone that was learnt: it says of a test case what was judged.
    torch.manual_seed(0)
    random = build(bundle.spec).state_dict()["backbone.features.0.0.weight"]
    assert not torch.equal(bundle.model.state_dict()["backbone.features.0.0.weight"], random)
    case = next(one for one in evaluation["predictions"] if one["part"] == "test")
    shown = tmp_path / "shown"
    picture = screens.parent / f"{case['case_id'][1:]}.png"
    assert main(["predict", str(picture), "--model", str(out / "bundle"), "--out", str(shown)]) == 0
    prediction = json.loads((shown / "prediction.json").read_text())
    assert "cut out of the screen" in prediction["input"]["image"]
    assert prediction["input"]["region"] is not None
    score = prediction["slices"][0]["probabilities"]["malignant"]
    # Training keeps its slices in 256 steps of grey.
    assert math.isclose(score, case["scores"]["malignant"], abs_tol=0.02)


def test_a_run_that_was_stopped_inside_an_epoch_goes_on_to_the_same_bundle(screens, tmp_path, monkeypatch):
    monkeypatch.setattr(runfolder, "EVERY_S", 0.0)
    cohort = read_cohort(screens)
    questions = ask(cohort, ["label=malignant,benign"])
    changes = ["protocol.kind=kfold", "protocol.folds=2", "fit.choose_on=0.3", "preparation.view=ultrasound"]
    recipe = read_recipe("attention-squeezenet-finetune", [*SMALL, *changes])

    def run(out, **more):
        folder = RunFolder(out)
        with folder.open(asked(cohort, questions, recipe, "random", None, False), {}):
            trained = train(cohort, questions, recipe, "random", folder=folder, **more)
            write_training(out, trained, "command")
        return trained

    class Later(Control):
        """Cancelled two steps after the second epoch of the second round."""

        steps = -1

        def point(self):
            self.steps -= self.steps > 0
            if self.steps == 0:
                self.cancel()
            super().point()

    control, events = Later(), []

    def watch(event):
        events.append(event)
        if isinstance(event, EpochDone) and (event.round, event.epoch) == (2, 2):
            control.steps = 3

    with pytest.raises(Cancelled):
        run(tmp_path / "out", watch=watch, control=control)
    assert (events[-1].round, events[-1].epoch) == (2, 2), "the epoch was not left"
    again = []
    run(tmp_path / "out", watch=again.append)
    assert again[0].done == 1 and again[0].epochs == 3
    taken_up = [e.attention is None for e in again if isinstance(e, EpochDone) and e.round == 2]
    assert taken_up == [True, True, False], "two epochs are told again, and one is done"
    shown = [e for e in again if isinstance(e, EpochDone) and e.attention is not None]
    assert shown and all(e.attention.shape == (3, 3) for e in shown)
    run(tmp_path / "whole")
    for name in ("evaluation.json", "predictions.csv", "bundle/model.safetensors", "bundle/config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_fine_tuned_model_learns_what_it_is_shown(more):
    """Squares against crosses, from random weights, on patients whom it has not seen."""
    changes = ["fit.lr=0.002", "fit.epochs=8", "fit.choose_on=0.25", "fit.tuning.optimiser=adam"]
    changes += ["fit.tuning.start=drawn", "fit.tuning.backbone_lr=1.0", "fit.tuning.batch_norm=batch"]
    ground = ground_of(more, changes, backbone="resnet18")
    model, how = ground.fit(list(range(48)), Fitting())
    scores, _ = ground.judge(model, list(range(48, 64)))
    truth = np.array([label == "IGM" for label in more.labels["kind"][48:]])
    assert auc(scores["IGM"].astype(float), truth) > 0.9, how
