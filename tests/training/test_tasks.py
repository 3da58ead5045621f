"""Every question its own copy of pooling and head; both sides of a slice; and what becomes of them when asked."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from napari_breast_ai.cli import main
from napari_breast_ai.core import Box, LabelGroup
from napari_breast_ai.inference import draw_overlay, predict
from napari_breast_ai.models import Composition, load_bundle, pairs, save_bundle
from napari_breast_ai.models.copies import make_parts
from napari_breast_ai.study import read_study
from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.examples import label_targets
from napari_breast_ai.training.fitting import Fitting
from napari_breast_ai.training.heads import fit_head, mean_auc
from napari_breast_ai.training.packing import pack, unpack
from napari_breast_ai.training.protocol import Round
from napari_breast_ai.training.recipe import read_recipe
from napari_breast_ai.training.report_extras import training_curves
from napari_breast_ai.training.rounds import Result, course
from napari_breast_ai.training.splits import split_by_patient

GROUPS = (
    LabelGroup("kind", ("square", "line"), "softmax"),
    LabelGroup("dense", ("dense",), "sigmoid"),
    LabelGroup("old", ("old",), "sigmoid"),
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe(*changes):
    return read_recipe("attention-squeezenet", ["copies=true", "fit.epochs=12", "fit.lr=0.1", *changes])


def data(n=80):
    """Maps whose first channel tells the kind at once; the others tell the rest only weakly."""
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(n, 512, 3, 3)).astype(np.float32))
    told = {"kind": rng.integers(0, 2, n), "dense": rng.integers(0, 2, n), "old": rng.integers(0, 2, n)}
    for channel, (name, strength) in enumerate((("kind", 2.0), ("dense", 0.4), ("old", 0.4))):
        features[:, channel] += strength * torch.from_numpy(told[name])[:, None, None]
    labels = {
        "kind": [GROUPS[0].labels[k] for k in told["kind"]],
        "dense": [str(k) for k in told["dense"]],
        "old": [str(k) for k in told["old"]],
    }
    boxes = [(Box(0, 80.0, 80.0, 140.0, 140.0, "lesion"),)] * n
    return features, labels, [f"p{i}" for i in range(n)], boxes


def fitted(how, fitting=None):
    features, labels, patients, boxes = data()
    spec = how.spec(GROUPS)
    torch.manual_seed(0)
    model = Composition(spec, torch.nn.Identity(), *make_parts(spec))
    note = fit_head(model, features, labels, patients, boxes, how, 0, fitting)
    return model, note


class Recording(Fitting):
    def __init__(self, stop=None):
        super().__init__()
        self.weights, self.stop, self.at_stop = {}, stop, None

    def epoch(self, epoch, epochs, *, state, **more):
        super().epoch(epoch, epochs, state=state, **more)
        self.weights[epoch] = {k: v.clone() for k, v in state()["weights"].items()}
        if epoch == self.stop:
            self.at_stop = pack(self.kept(state))


def test_each_copy_is_that_of_its_own_tasks_best_epoch():
    how = recipe("tasks=[[dense, old]]")
    watched = Recording()
    model, note = fitted(how, watched)
    assert model.spec.copies == (("dense", "old"), ("kind",))
    kept = note["kept epoch"]
    assert set(kept) == {"dense, old", "kind"} and len(set(kept.values())) == 2, (
        "both at one epoch shows nothing"
    )

    features, labels, patients, _ = data()
    strata = list(zip(*labels.values(), strict=True))
    choice = list(split_by_patient(patients, (0.8, 0.2, 0.0), 0, strata).validation)
    targets = {name: told[choice] for name, told in label_targets(GROUPS, labels).items()}

    def asked(pooling, head, groups):
        with torch.no_grad():
            logits = head(pooling(features[choice]).vector)
        scores = {"square": logits[:, 0] - logits[:, 1], "line": logits[:, 1] - logits[:, 0]}
        return mean_auc(scores | {"dense": logits[:, 2], "old": logits[:, 3]}, groups, targets)

    copies = pairs(model.pooling, model.head)
    for own, (names, groups) in enumerate((("dense, old", GROUPS[1:]), ("kind", GROUPS[:1]))):
        values = [asked(pooling, head, groups) for pooling, head in copies]
        assert values[own] == pytest.approx(note["auc when kept"][names], abs=1e-6)
        assert values[own] >= values[1 - own]
    # The course tells each task's own AUC, and which epoch was kept of each.
    by_task = {name: [epoch["tasks"][name] for epoch in watched.course] for name in kept}
    for name, values in by_task.items():
        assert kept[name] == max(i for i, value in enumerate(values, 1) if value == max(values))
        assert note["auc when kept"][name] == max(values)
    # What a copy says of features as they are is what its epoch's weights said of standardised ones.
    first, second = (watched.weights[kept[name]]["1.output.weight"] for name in kept)
    ratio = [head.output.weight / w for (_, head), w in zip(copies, (first, second), strict=True)]
    torch.testing.assert_close(ratio[0], ratio[1], rtol=1e-3, atol=1e-4)


def test_one_task_alone_is_no_copy_and_the_same_as_without():
    spec = recipe("tasks=[[kind, dense, old]]").spec(GROUPS)
    assert spec.copies == ()
    assert recipe().spec(GROUPS).copies == (("kind",), ("dense",), ("old",))
    assert recipe("tasks=[[gone, dense]]").spec(GROUPS).copies == (("dense",), ("kind",), ("old",))


def test_a_fit_that_was_stopped_keeps_the_same_copies():
    watched = Recording(stop=5)
    whole, note = fitted(recipe(), watched)
    again, told = fitted(recipe(), Fitting(unpack(watched.at_stop)))
    assert note == told
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["fit.method=ridge", "pooling=average"], "need the fit “sgd”"),
        (["copies=false", "tasks=[[kind]]"], "Tasks need copies"),
        (["tasks=[[kind], [kind]]"], "belongs to one task"),
        (["tasks=[kind]"], "cannot be"),
    ],
)
def test_copies_that_cannot_be_are_refused(change, said):
    with pytest.raises(TrainingError, match=said):
        recipe(*change)


def test_from_the_table_to_an_answer_with_its_own_attention(tmp_path, capsys):
    rng = np.random.default_rng(1)
    lines = ["case_id,patient_id,path,kind,dense,box_y0,box_x0,box_y1,box_x1"]
    for i in range(24):
        image = rng.integers(20, 80, (64, 64)).astype(np.uint8)
        y, x = (int(v) for v in rng.integers(4, 36, 2))
        kind = ("line", "square")[i % 2]
        image[y : y + 24, x : x + (24 if kind == "square" else 4)] = 230
        Image.fromarray(image).save(tmp_path / f"{i}.png")
        lines.append(f"c{i},p{i},{i}.png,{kind},{i // 2 % 2},{y},{x},{y + 23},{x + 23}")
    table = tmp_path / "t.csv"
    table.write_text("\n".join(lines))
    sets = ["preparation.source.kind=picture", "preparation.size=[64, 64]", "fit.epochs=6", "copies=true"]
    sets += ["flips=true", "mirror=true", "protocol.kind=kfold", "protocol.folds=2"]
    out = tmp_path / "out"
    wanted = ["train", str(table), "--label", "kind=square,line", "--label", "dense", "--weights", "random"]
    wanted += ["--recipe", "attention-squeezenet", "--out", str(out), "--cache", str(tmp_path / "cache")]
    assert main([*wanted, *(part for one in sets for part in ("--set", one))]) == 0, capsys.readouterr().err

    bundle = load_bundle(out / "bundle")
    assert len(bundle.spec.copies) == 2
    assert bundle.spec.backbone.mirror
    volume = read_study(tmp_path / "3.png")
    said = predict(volume, bundle, device="cpu")
    with torch.no_grad():
        # As if the second question's best epoch had looked elsewhere.
        pooling, _ = pairs(bundle.model.pooling, bundle.model.head)[1]
        pooling.attend.weight.neg_()
    other = load_bundle(save_bundle(tmp_path / "other", bundle.model, card="", evaluation={}))
    turned = predict(volume, other, device="cpu")
    own = [turned.attention_for(label) for label in ("square", "dense")]
    assert np.array_equal(own[0], said.attention) and np.array_equal(own[0], turned.attention)
    assert not np.array_equal(own[1], said.attention_for("dense"))
    assert turned.probabilities["dense"] != said.probabilities["dense"]
    assert turned.probabilities["square"] == said.probabilities["square"]
    assert draw_overlay(turned, 0, volume).size[0] >= 512
    # The features that training judged on are those that the bundle sees.
    evaluated = tmp_path / "again"
    assert main(["evaluate", str(out / "bundle"), str(table), "--known", "--out", str(evaluated)]) == 0
    rows = json.loads((evaluated / "evaluation.json").read_text())["predictions"]
    score = next(row["scores"] for row in rows if row["case_id"] == "c3")
    assert float(said.probabilities["square"][0]) == pytest.approx(score["square"], abs=0.02)
    shown = tmp_path / "shown"
    assert (
        main(["predict", str(tmp_path / "3.png"), "--model", str(out / "bundle"), "--out", str(shown)]) == 0
    )
    with np.load(shown / "heatmaps.npz", allow_pickle=False) as maps:
        assert maps["task_attention"].shape[:2] == (2, 1)
        assert np.array_equal(maps["task_attention"][0], maps["attention"])
        assert len(maps["attention_groups"]) == 2


def test_evaluation_and_report_tell_the_kept_epoch_of_each_task():
    watched = Fitting()
    _, note = fitted(recipe(), watched)
    one = Round(1, 2, "validation", (0,), (1,))
    told = course([one], [Result({}, None, note, watched.course)])
    assert told[0]["kept epoch"] == note["kept epoch"] and set(note["kept epoch"]) == {"kind", "dense", "old"}
    json.dumps(told)
    found = training_curves(SimpleNamespace(document={"course": told}))
    for task, epoch in note["kept epoch"].items():
        picture = found[found.index(f"repeat 1: AUC of {task} by epoch") :]
        assert f"fold 2, epoch {epoch} kept" in picture[: picture.index("</figure>")]
    assert found.count("<figure>") == 4 and "fold 2" in found[: found.index("</figure>")]
