import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from napari_breast_ai.cli import main
from napari_breast_ai.inference import FeatureCache
from napari_breast_ai.models import RECIPES, build, load_bundle
from napari_breast_ai.training.errors import LeakError, TrainingError
from napari_breast_ai.training.features import extract
from napari_breast_ai.training.protocol import ProtocolSpec, divide
from napari_breast_ai.training.recipe import read_recipe, recipe_names

SMALL = ["--set", "preparation.source.kind=picture", "--set", "preparation.size=[64, 64]"]
ODD = {"case_id", "patient_id", "slice", "repeat", "fold", "part", "scores", "truth"}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Twenty patients with two pictures each: bright squares, or bright lines; two more are of another class."""
    folder = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(1)
    lines = ["case_id,patient_id,path,kind,dense,box_y0,box_x0,box_y1,box_x1"]
    for i in range(42):
        image = rng.integers(20, 80, (64, 64)).astype(np.uint8)
        y, x = (int(v) for v in rng.integers(4, 36, 2))
        kind = "other" if i >= 40 else ("line", "square")[i // 2 % 2]
        image[y : y + 24, x : x + (24 if kind == "square" else 4)] = 230
        Image.fromarray(image).save(folder / f"{i}.png")
        lines.append(f"c{i},p{i // 2},{i}.png,{kind},{i // 4 % 2},{y},{x},{y + 23},{x + 23}")
    (folder / "t.csv").write_text("\n".join(lines))
    return folder / "t.csv"


def run(table, out, recipe, *more):
    torch.manual_seed(0)
    arguments = [
        "train",
        str(table),
        "--label",
        "kind=square,line",
        "--recipe",
        recipe,
        "--weights",
        "random",
    ]
    return main(
        [
            *arguments,
            *SMALL,
            *more,
            "--out",
            str(out),
            "--cache",
            str(table.parent / "cache"),
            "--threads",
            "1",
        ]
    )


@pytest.mark.parametrize(
    ("recipe", "protocol"),
    [
        ("squeezenet-narrow", "sequential"),
        ("squeezenet-ridge", "kfold"),
        ("attention-squeezenet", "repeated"),
    ],
)
def test_the_whole_way_and_again(table, tmp_path, recipe, protocol, capsys):
    more = [
        "--protocol",
        protocol,
        "--set",
        "protocol.folds=3",
        "--set",
        "protocol.repeats=2",
        "--set",
        "fit.epochs=4",
    ]
    assert run(table, tmp_path / "one", recipe, *more) == 0, capsys.readouterr().err
    assert run(table, tmp_path / "two", recipe, *more) == 0
    first = (tmp_path / "one" / "evaluation.json").read_bytes()
    assert first == (tmp_path / "two" / "evaluation.json").read_bytes(), "the same seed gave another result"
    weights = [(tmp_path / n / "bundle" / "model.safetensors").read_bytes() for n in ("one", "two")]
    assert weights[0] == weights[1]

    evaluation = json.loads(first)
    assert (evaluation["schema"], evaluation["version"]) == ("napari-breast-ai/evaluation", 1)
    assert set(evaluation["predictions"][0]) == ODD
    judged = [p["case_id"] for p in evaluation["predictions"]]
    assert set(judged) == {f"c{i}" for i in range(40)}
    assert len(judged) == (80 if protocol == "repeated" else 40)
    parts = {p["part"] for p in evaluation["predictions"]}
    assert parts == ({"validation", "test"} if protocol == "sequential" else {"validation"})
    if protocol == "sequential":
        assert {p["patient_id"] for p in evaluation["predictions"] if p["part"] == "test"} == {
            f"p{i}" for i in range(16, 20)
        }
        assert any("operating point" in key for key in evaluation["figures"]["test"])
    assert not any("operating point" in key for key in evaluation["figures"]["validation"])
    assert 0 <= evaluation["figures"]["validation"]["square against line/per patient/AUC"]["value"] <= 1
    if recipe.startswith("attention"):
        assert evaluation["attention"]["peak inside true box"]["n"] == 40

    shown = tmp_path / "shown"
    bundle = tmp_path / "one" / "bundle"
    for entry in evaluation["gallery"]:  # the models may be right everywhere
        assert ("has learnt" in entry["shows"]) == (recipe == "squeezenet-ridge")
    assert json.loads((bundle / "evaluation.json").read_text())["gallery"] == []
    made = load_bundle(bundle)
    fitted = {(p["repeat"], p["fold"]) for p in evaluation["predictions"] if p["part"] == "validation"}
    assert len(made.folds) == len(fitted) > 1, "pooling and head of each fold, for intervals"
    size = (bundle / "folds.safetensors").stat().st_size / len(made.folds)
    assert size < 0.2 * (bundle / "model.safetensors").stat().st_size
    for one in evaluation["calibration"].values():
        assert one["error"] > 0
    assert made.ranges.studies == (32 if protocol == "sequential" else 40)
    assert made.ranges.numbers["rows"].median == 64 and made.ranges.choices["image"] == {
        "picture": made.ranges.studies
    }
    assert made.ranges.features.distances[0] < made.ranges.features.distances[2]
    for one in made.calibration.temperatures.values():
        assert one.chosen_on == f"{16 if protocol == 'sequential' else 20} validation patients"
    for file in bundle.iterdir():
        if file.suffix != ".safetensors":
            assert '"p1"' not in file.read_text() and '"c1"' not in file.read_text(), file.name
    assert main(["predict", str(table.parent / "3.png"), "--model", str(bundle), "--out", str(shown)]) == 0
    told = json.loads((shown / "prediction.json").read_text())
    assert "the picture itself" in json.dumps(told)
    assert "<html" in (tmp_path / "one" / "report.html").read_text()
    assert main(["evaluate", str(bundle), str(table), "--out", str(tmp_path / "one")]) == 1
    assert "holds a training" in capsys.readouterr().err
    assert (tmp_path / "one" / "evaluation.json").read_bytes() == first
    # Whom it was trained on is left out; of a cross-validation that is everybody.
    status = main(["evaluate", str(bundle), str(table), "--out", str(tmp_path / "others")])
    if protocol == "sequential":
        others = json.loads((tmp_path / "others" / "evaluation.json").read_text())
        assert status == 0 and {p["patient_id"] for p in others["patients"]} == {
            f"p{i}" for i in range(16, 20)
        }
        assert (
            "trained on 16 of the table's 20 patients (found 16 by their id and 32 cases by equal images"
            in (others["warnings"][0])
        )
        assert others["known"] == {
            "compared": "patients and images",
            "patients": 16,
            "cases by images": 32,
            "left out": True,
        }
    else:
        assert status == 1 and "every patient of" in capsys.readouterr().err
    assert main(["evaluate", str(bundle), str(table), "--known", "--out", str(tmp_path / "again")]) == 0
    again = json.loads((tmp_path / "again" / "evaluation.json").read_text())
    score = next(p["scores"]["square"] for p in again["predictions"] if p["case_id"] == "c3")
    with (shown / "probabilities.csv").open() as file:
        head, row = (line.strip().split(",") for line in list(file)[:2])
    assert float(row[head.index("square")]) == pytest.approx(score, abs=0.02)
    assert "the figures flatter the model" in again["warnings"][0] and len(again["patients"]) == 20


def test_several_label_columns_and_a_binary_one(table, tmp_path):
    more = ["--label", "dense", "--protocol", "kfold", "--set", "protocol.folds=2"]
    assert run(table, tmp_path / "out", "squeezenet-ridge", *more) == 0
    evaluation = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [q["activation"] for q in evaluation["labels"]] == ["softmax", "sigmoid"]
    assert {"square against line/per slice/AUC", "dense/per slice/AUC"} <= set(
        evaluation["figures"]["validation"]
    )


def test_problems_are_said_before_anything_is_fitted(table, tmp_path, capsys):
    assert run(table, tmp_path / "out", "squeezenet-narrow", "--set", "protocol.folds=30") == 1
    assert "30 folds need at least 30" in capsys.readouterr().err
    assert not (tmp_path / "out" / "bundle").exists()


def test_features_come_from_the_cache_bit_for_bit(tmp_path):
    recipe = RECIPES["squeezenet-narrow"]
    model = build(replace(recipe, preparation=replace(recipe.preparation, size=(64, 64))))
    images = np.random.default_rng(0).integers(0, 255, (11, 1, 64, 64), np.uint8)
    cache = FeatureCache(tmp_path)
    fresh = extract(model, images, keep="maps")
    extract(model, images[3:7], keep="maps", cache=cache)
    mixed = extract(model, images, keep="maps", cache=cache)
    assert torch.equal(fresh, mixed) and cache.hits == 4
    assert torch.equal(extract(model, images, keep="maps", cache=cache), fresh) and cache.hits == 15
    vectors = extract(model, images, cache=cache)
    assert vectors.shape == (11, 1000, 1, 1) and cache.hits == 15, "vectors are not maps"

    for file in tmp_path.glob("*/*.f32"):
        file.write_bytes(file.read_bytes()[:-4] + b"\x01\x02\x03\x04")
    assert torch.equal(extract(model, images, keep="maps", cache=cache), fresh)
    with torch.no_grad():
        next(model.backbone.parameters()).add_(1)
    assert not torch.equal(extract(model, images, keep="maps", cache=cache), fresh), (
        "other weights, old features"
    )
    small = FeatureCache(tmp_path, limit_bytes=100_000)
    small.trim()
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.f32")) <= 100_000


def test_recipes_are_read_changed_and_refused(tmp_path):
    assert {"squeezenet-narrow", "attention-resnet50", "gap-squeezenet"} <= set(recipe_names())
    for name in recipe_names():
        assert read_recipe(name).name == name
    recipe = read_recipe("squeezenet-narrow", ["preparation.source.kind=subtraction", "fit.tolerance=1e-5"])
    assert (recipe.preparation.source.kind, recipe.fit.tolerance) == ("subtraction", 1e-5)
    published = RECIPES["squeezenet-narrow"]
    made = read_recipe("squeezenet-narrow").spec(published.groups)
    assert made == published
    for change, said in (
        ("fit.itterations=5", "Did you mean “iterations”"),
        ("fit.iterations=many", "cannot be 'many'"),
        ("pooling=max", "use average, attention"),
        ("fit.method=ridge", "needs a linear head"),
        ("seed.x=1", "no keys below"),
        ("hidden", "write key=value"),
        ("preparation.size=[1]", "cannot be"),
    ):
        with pytest.raises(TrainingError, match=said):
            read_recipe("squeezenet-narrow", [change])
    (tmp_path / "r.yaml").write_text("name: [")
    with pytest.raises(TrainingError, match="YAML"):
        read_recipe(tmp_path / "r.yaml")


def test_protocols_keep_patients_and_images_apart():
    patients = [f"p{i // 3}" for i in range(60)]
    strata = [i // 3 % 2 for i in range(60)]
    plan = divide(ProtocolSpec("repeated", 3, 3), patients, strata, 0)
    assert len(plan.rounds) == 9
    assert len({one.judged for one in plan.rounds}) == 9, "the repeats are not shuffled anew"
    sequential = divide(ProtocolSpec("sequential"), patients, strata, 0)
    assert sequential.rounds[-1].judged == tuple(range(48, 60))
    assert all(set(one.judged) < set(range(48)) for one in sequential.rounds[:-1])
    assert sequential.final == tuple(range(48))
    column = ["train"] * 30 + ["validation"] * 15 + ["test"] * 15
    told = divide(ProtocolSpec("column"), patients, strata, 0, column=column)
    assert [(one.part, one.judged[0]) for one in told.rounds] == [("validation", 30), ("test", 45)]
    with pytest.raises(LeakError, match="Patient p3"):
        divide(ProtocolSpec("column"), patients, strata, 0, column=["train"] * 10 + ["test"] * 50)
    same = ["x" if i in (0, 59) else str(i) for i in range(60)]
    with pytest.raises(LeakError, match="The same image"):
        divide(ProtocolSpec("sequential"), patients, strata, 0, contents=same)
