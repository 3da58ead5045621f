import json
import shutil
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from napari_breast_ai.cli import main
from napari_breast_ai.core import Box, LabelGroup
from napari_breast_ai.inference import FeatureCache, InferenceError, predict_table
from napari_breast_ai.inference.table_prediction import score_table
from napari_breast_ai.inference.table_range import case_range
from napari_breast_ai.models import BundleError, load_bundle
from napari_breast_ai.models.calibration import CaseCalibration
from napari_breast_ai.models.table import Cases, TableModel
from napari_breast_ai.models.table_bundle import load_any_bundle
from napari_breast_ai.study import read_study
from napari_breast_ai.training.errors import LeakError, TrainingError
from napari_breast_ai.training.external import evaluate_bundle
from napari_breast_ai.training.gather import read_boxes_of
from napari_breast_ai.training.recipe import read_recipe
from napari_breast_ai.training.report import write_report
from napari_breast_ai.training.table import ask, read_cohort
from napari_breast_ai.training.table_data import Rows
from napari_breast_ai.training.table_train import fit_table, plan_of, run_rounds
from napari_breast_ai.training.train import train, write_training

PICTURES = "preparation.source.kind=picture"
FEW = "radiomics.families=[morph, stat, glcm]"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Forty patients with a picture each: coarse or fine stripes in a box, ages that tell a little, gaps."""
    folder = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(1)
    lines = ["case_id,patient_id,path,kind,dense,age,menopause,box_y0,box_x0,box_y1,box_x1,mask"]
    for i in range(40):
        kind = ("coarse", "fine")[i % 2]
        image = rng.normal(100, 25, (64, 64))
        y, x = (int(v) for v in rng.integers(4, 36, 2))
        stripes = 40 * np.sign(np.sin(np.arange(24) * (0.5 if kind == "coarse" else 1.6)))
        image[y : y + 24, x : x + 24] += stripes
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
        inside = np.zeros((64, 64), np.uint8)
        inside[y + 2 : y + 22, x + 2 : x + 22] = 255
        Image.fromarray(inside).save(folder / f"m{i}.png")
        age = "" if i % 9 == 4 else f"{rng.normal(45 + 12 * (i % 2), 8):.0f}"
        stage = ("pre", "post", "")[i % 3]
        lines.append(
            f"c{i},p{i},{i}.png,{kind},{i // 4 % 2},{age},{stage},{y},{x},{y + 23},{x + 23},m{i}.png"
        )
    (folder / "t.csv").write_text("\n".join(lines))
    return folder / "t.csv"


def run(table, out, recipe, *more):
    given = [
        "train",
        str(table),
        "--label",
        "kind=fine,coarse",
        "--recipe",
        recipe,
        "--set",
        "protocol.folds=4",
    ]
    for change in more:
        given += ["--set", change]
    return main([*given, "--out", str(out), "--cache", str(table.parent / "cache"), "--threads", "1"])


def score_as_in_review(table, case, bundle):
    """What the Review dock would say, before its temperature."""
    cohort = read_cohort(table)
    row = next(one for one in cohort.rows if one.case_id == f"c{case}")
    volume = read_study(row.path)
    boxes, values = read_boxes_of(row, volume), {name: row.columns[name] for name in bundle.spec.clinical}
    plain = replace(bundle, calibration=CaseCalibration())
    found = predict_table(volume, plain, boxes=boxes, values=values)
    assert found.slices == () and found.gradcam == {} and found.attention is None
    assert ("age" in found.case.rule) == bool(values.get("age")), found.case.rule
    assert any("Not known of this case" in text for text in found.warnings) == (not all(values.values()))
    return found.case.probabilities


def test_the_whole_way_of_radiomics_with_clinical_values(table, tmp_path, capsys):
    pytest.importorskip("mirp", reason="mirp is not installed")
    changes = [
        PICTURES,
        FEW,
        "clinical.columns=[age, menopause]",
        "fit.penalties=[10, 1]",
        "fit.keep=[0]",
        "fit.correlation=1.0",
    ]
    assert run(table, tmp_path / "one", "radiomics-clinical", *changes) == 0, capsys.readouterr().err
    assert run(table, tmp_path / "two", "radiomics-clinical", *changes) == 0
    for name in ("evaluation.json", "bundle/model.safetensors", "bundle/config.json"):
        one, two = ((tmp_path / n / name).read_bytes() for n in ("one", "two"))
        assert one == two, "the same seed gave another result, or the cache another number"

    evaluation = json.loads((tmp_path / "one" / "evaluation.json").read_text())
    assert (evaluation["schema"], evaluation["version"]) == ("napari-breast-ai/evaluation", 1)
    assert {p["case_id"] for p in evaluation["predictions"]} == {f"c{i}" for i in range(40)}
    assert evaluation["figures"]["validation"]["fine against coarse/per patient/AUC"]["value"] > 0.9
    assert evaluation["radiomics"]["library"].startswith("mirp 2.")
    assert evaluation["radiomics"]["settings"]["base_discretisation_n_bins"] == 32
    assert len(evaluation["choices"]) == 5 and evaluation["choices"][0]["members"][0]["auc inside"] > 0.8
    assert evaluation["inputs"][0]["inputs offered"] == evaluation["radiomics"]["features"] + 3

    bundle = tmp_path / "one" / "bundle"
    card = (bundle / "README.md").read_text()
    assert "menopause (post, pre)" in card and "mirp" in card and "c1" not in card.split()
    assert '"p1"' not in (bundle / "evaluation.json").read_text()
    read = load_any_bundle(bundle)
    assert read.spec.clinical == ("age", "menopause")
    # Where the numbers that it uses lay among its cases; none of a case that knows nothing of one.
    assert read.ranges.cases == 40 and read.ranges.deep is None
    assert {name for name in read.ranges.spans if name.startswith("clinical")} == {"clinical/age"}
    ages = [float(line.split(",")[5]) for line in table.read_text().splitlines()[1:] if line.split(",")[5]]
    span = read.ranges.spans["clinical/age"]
    assert (span.low, span.high) == pytest.approx(tuple(np.percentile(ages, (1, 99))))
    odd = []
    for i in range(40):
        row = next(one for one in read_cohort(table).rows if one.case_id == f"c{i}")
        volume = read_study(row.path)
        boxes, values = read_boxes_of(row, volume), {name: row.columns[name] for name in read.spec.clinical}
        _, case = score_table(volume, read, boxes=boxes, values=values)
        report = case_range(volume, read, case)
        assert report.known
        odd.append(report.outside)
        case = replace(case, texts={"age": ("130",), "menopause": ("during",)})
        told = case_range(volume, read, case).doubts
        assert any("“age” is 130" in one and f"{span.high:.4g}" in one for one in told)
        assert any("“menopause” is “during”" in one for one in told)
    assert sum(odd) <= 2, "its own training cases are like the training"
    assert [c.kind for c in read.spec.columns if c.block == "clinical"] == ["number", "category"]
    assert (
        main(["predict", str(table.parent / "3.png"), "--model", str(bundle), "--out", str(tmp_path / "p")])
        == 1
    )
    assert "the values age, menopause" in capsys.readouterr().err
    with pytest.raises(BundleError, match="evaluate"):
        load_bundle(bundle)

    # On the very cases that it was fitted on it is judged only if that is wished; a changed copy hides nobody.
    assert main(["evaluate", str(bundle), str(table), "--out", str(tmp_path / "again")]) == 1
    assert "The model was trained on every patient of t.csv" in capsys.readouterr().err
    assert main(["evaluate", str(bundle), str(table), "--known", "--out", str(tmp_path / "again")]) == 0
    again = json.loads((tmp_path / "again" / "evaluation.json").read_text())
    assert "trained on 40 of the table's 40 patients" in again["warnings"][0]
    other = table.parent / "other.csv"
    other.write_text(table.read_text().replace(",post,", ",during,"))
    assert main(["evaluate", str(bundle), str(other), "--known", "--out", str(tmp_path / "other")]) == 0
    told = json.loads((tmp_path / "other" / "evaluation.json").read_text())
    assert "“during” was not among the training patients" in " ".join(told["warnings"])
    same = {p["case_id"]: p["scores"]["fine"] for p in again["predictions"]}
    for case in (0, 3, 13, 22):  # 13 and 22 have no age, 13 a stage
        found = score_as_in_review(table, case, read)
        assert found["fine"] == pytest.approx(same[f"c{case}"], abs=1e-12)
    changed = {p["case_id"]: p["scores"]["fine"] for p in told["predictions"]}
    assert same["c1"] != changed["c1"] and same["c0"] == changed["c0"], "only cells of “post” were changed"

    write_report([tmp_path / n / "evaluation.json" for n in ("one", "other")], tmp_path / "report.html")
    report = (tmp_path / "report.html").read_text()
    assert "mirp 2." in report and "per case" in report and "inner folds of its training patients" in report
    assert "What the model looks at" in report and "Choices, each made inside its training patients" in report
    assert "menopause=post" in report or "cm_" in report


def test_masks_take_the_place_of_boxes_and_deep_features_join(table, tmp_path, capsys):
    pytest.importorskip("mirp", reason="mirp is not installed")
    changes = [PICTURES, FEW, "radiomics.region=masks", "preparation.size=[64, 64]", "fit.penalties=[10]"]
    cohort = read_cohort(table)
    questions = ask(cohort, ["kind=fine,coarse", "dense"])
    cache = FeatureCache(table.parent / "cache")
    scores = {}
    for combine in ("late", "early"):
        recipe = read_recipe("deep-radiomics", [*changes, f"combine={combine}", "fit.keep=[10]"])
        trained = train(cohort, questions, recipe, "random", cache=cache)
        *_, bundle = write_training(tmp_path / combine, trained, "napari-breast-ai train")
        back = load_any_bundle(bundle)
        assert [m.blocks for m in back.spec.members] == (
            [("radiomics",), ("deep",)] * 2 if combine == "late" else [("radiomics", "deep")] * 2
        )
        assert sum(c.block == "deep" for c in back.spec.columns) == 512
        assert (
            main(["evaluate", str(bundle), str(table), "--known", "--out", str(tmp_path / f"e-{combine}")])
            == 0
        )
        told = json.loads((tmp_path / f"e-{combine}" / "evaluation.json").read_text())
        assert {"fine against coarse/per slice/AUC", "dense/per patient/AUC"} <= set(told["figures"]["test"])
        scores[combine] = [p["scores"]["fine"] for p in told["predictions"]]
        assert trained.evaluation["made"]["weights"] == "random"
    assert scores["late"] != scores["early"]
    assert "mask" in (tmp_path / "late" / "bundle" / "README.md").read_text()
    without = table.parent / "without.csv"
    without.write_text("\n".join(line.rsplit(",", 1)[0] for line in table.read_text().splitlines()))
    assert (
        main(["evaluate", str(tmp_path / "late" / "bundle"), str(without), "--out", str(tmp_path / "x")]) == 1
    )
    assert "no lesion's mask" in capsys.readouterr().err

    # In a reading there are boxes and no masks; and with boxes it scores there what it scores in a table.
    row = cohort.rows[3]
    volume = read_study(row.path)
    boxes = read_boxes_of(row, volume)
    with pytest.raises(InferenceError, match="a table whose column mask"):
        predict_table(volume, back, boxes=boxes)
    spec = replace(back.spec, radiomics=replace(back.spec.radiomics, region="boxes"))
    boxed = replace(back, spec=spec, model=TableModel(spec, back.model.arrays), calibration=CaseCalibration())
    with pytest.raises(InferenceError, match="no box marks one yet"):
        predict_table(volume, boxed)
    wanted = evaluate_bundle(boxed, cohort, known=True)["predictions"][3]["scores"]
    found = predict_table(volume, boxed, boxes=boxes).case.probabilities
    # Grey values are rounded to 8 bits on their way into a training.
    assert found == pytest.approx(wanted, abs=0.01)


def test_a_planted_clinical_column_raises_the_auc(table, tmp_path):
    planted = table.parent / "planted.csv"
    lines = table.read_text().splitlines()
    rng = np.random.default_rng(7)
    cells = ["noise", *(f"{rng.normal():.3f}" for _ in lines[1:])]
    marker = ["marker", *(f"{rng.normal(2.0 * ('fine' in line)):.3f}" for line in lines[1:])]
    planted.write_text("\n".join(",".join(one) for one in zip(lines, cells, marker, strict=True)))
    values = {}
    for columns in ("noise", "noise, marker"):
        assert run(planted, tmp_path / columns, "clinical", f"clinical.columns=[{columns}]") == 0
        found = json.loads((tmp_path / columns / "evaluation.json").read_text())
        values[columns] = found["figures"]["validation"]["fine against coarse/per patient/AUC"]
    assert values["noise, marker"]["value"] > 0.8 > 0.7 > values["noise"]["value"]
    assert values["noise, marker"]["low"] > 0.5


def test_no_cluster_is_begun_for_what_fits_in_moments(table, tmp_path, capsys, monkeypatch):
    def begun(*_):
        raise AssertionError("a cluster for nothing")

    monkeypatch.setattr("napari_breast_ai.training.scheduler.DaskFarm.__init__", begun)
    words = ["train", str(table), "--label", "kind=fine,coarse", "--recipe", "clinical", "--jobs", "2"]
    words += ["--set", "clinical.columns=[age]", "--out", str(tmp_path / "out"), "--quiet"]
    assert main(words) == 0
    assert "its rounds run here" in capsys.readouterr().err


def some_rows(change=None, count=60, texts=True):
    """Rows made of numbers, with two clinical columns and gaps."""
    rng = np.random.default_rng(2)
    truth = ["fine" if i % 2 else "coarse" for i in range(count)]
    values = rng.normal(0, 1, (count, 8)) + (np.arange(count) % 2)[:, None] * 0.8
    values[rng.random(values.shape) < 0.1] = np.nan
    age = [f"{a:.0f}" if i % 7 else "" for i, a in enumerate(rng.normal(50, 10, count))]
    stage = ["abc"[i % 3] for i in range(count)]
    if change is not None:
        values[change] = 1e6
        for i in change if texts else ():
            age[i], stage[i] = "nobody knows", "z"
    cases = Cases(
        {"radiomics": values},
        {"radiomics": tuple(f"f{i}" for i in range(8))},
        {"age": age, "stage": stage},
        count,
    )
    names = tuple(f"p{i}" for i in range(count))
    return Rows(cases, names, names, (0,) * count, {"kind": tuple(truth)}, names)


@pytest.mark.parametrize("classifier", ["logistic", "svm", "forest"])
def test_nothing_of_the_held_out_patients_reaches_the_fit(classifier, table):
    """Filling in, scaling, choosing, categories, penalty, curve: with other held-out rows they stay bit for bit."""
    changes = [
        "clinical.columns=[age, stage]",
        f"fit.classifier={classifier}",
        "fit.trees=10",
        "fit.keep=[3, 5]",
        "fit.penalties=[3, 1]",
    ]
    recipe = read_recipe("radiomics-clinical", changes)
    groups = tuple(q.group for q in ask(read_cohort(table), ["kind=fine,coarse"]))
    plan = plan_of(some_rows(), groups, _cohort_of(table, 60), recipe)
    for one in plan.rounds[:2]:
        plain, note = fit_table(some_rows(), groups, one.train, recipe, None)
        changed, other = fit_table(some_rows(change=list(one.judged)), groups, one.train, recipe, None)
        assert plain.spec == changed.spec and note == other
        assert set(plain.arrays) == set(changed.arrays)
        for name, values in plain.arrays.items():
            assert np.array_equal(values, changed.arrays[name]), name
        moved, _ = fit_table(
            some_rows(change=list(one.train[:5]), texts=False), groups, one.train, recipe, None
        )
        assert not np.array_equal(moved.arrays["0.mean"], plain.arrays["0.mean"]), "the test could not fail"
    run = run_rounds(some_rows(), groups, plan, recipe, None)
    assert len(run.slices) == 60 and len(run.notes) == 6
    assert {c.name: c.categories for c in run.model.spec.columns if c.categories} == {
        "stage": ("a", "b", "c")
    }


def _cohort_of(table, count):
    """A table whose rows go by the same names; only its split column would be looked at."""
    path = table.parent / f"names{count}.csv"
    path.write_text(
        "case_id,patient_id,path,kind\n" + "\n".join(f"p{i},p{i},{i % 40}.png,fine" for i in range(count))
    )
    return read_cohort(path)


def test_leaks_and_what_is_missing_are_said(table, tmp_path, capsys):
    outs = (tmp_path / str(number) for number in count())
    shutil.copy(table.parent / "0.png", table.parent / "copy.png")
    leaky = table.parent / "leaky.csv"
    lines = table.read_text().splitlines()
    leaky.write_text("\n".join([*lines, lines[1].replace("c0,p0,0.png", "c99,p99,copy.png")]))
    assert run(leaky, next(outs), "clinical", "clinical.columns=[age]") == 1
    assert "The same images stand in line 2, under another patient" in capsys.readouterr().err
    split = table.parent / "split.csv"
    rows = [line.split(",") for line in lines]
    rows[0].append("split")
    for i, row in enumerate(rows[1:]):
        row[1] = f"p{i % 20}"
        row.append("train" if i < 30 else "test")
    split.write_text("\n".join(",".join(row) for row in rows))
    assert run(split, next(outs), "clinical", "clinical.columns=[age]", "protocol.kind=column") == 1
    assert "is in two splits" in capsys.readouterr().err
    for changes, said in (
        ([], "does not say which"),
        (["clinical.columns=[weight]"], "no column “weight”"),
        (["clinical.columns=[kind]"], "is what is asked"),
        (["clinical.columns=[path]"], "no column “path”"),
        (["clinical.columns=[mask]"], "different texts"),
        (["fit.penalties=[0]"], "Penalties must be positive"),
        (["blocks=[clinical, genes]"], "use radiomics, clinical, deep"),
        (["kind=tabel"], "use image, table"),
        (["clinical.colums=[age]"], "Did you mean “columns”"),
    ):
        assert run(table, next(outs), "clinical", *changes) == 1, changes
        assert said in capsys.readouterr().err, changes
    for recipe in ("deep-radiomics", "squeezenet-narrow"):
        with pytest.raises(SystemExit):
            run(table, next(outs), recipe, PICTURES)
        assert "say with --weights where" in capsys.readouterr().err
    with pytest.raises(LeakError):
        rows_ = some_rows()
        twice = Rows(**{**rows_.__dict__, "contents": ("same",) * 2 + rows_.contents[2:]})
        plan_of(
            twice,
            (LabelGroup("kind", ("fine", "coarse"), "softmax"),),
            _cohort_of(table, 60),
            read_recipe("clinical", ["clinical.columns=[age]"]),
        )


def test_without_scikit_learn_a_sentence_says_what_to_install(table, monkeypatch):
    import sys

    cohort = read_cohort(table)
    recipe = read_recipe("clinical", ["clinical.columns=[age]"])
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(TrainingError, match="napari-breast-ai\\[radiomics\\]"):
        train(cohort, ask(cohort, ["kind=fine,coarse"]), recipe, None)


def test_a_volumes_lesion_is_looked_at_in_three_dimensions(tmp_path):
    pytest.importorskip("mirp", reason="mirp is not installed")
    from napari_breast_ai.annotations import Journal, journal_path
    from napari_breast_ai.study import read_study
    from napari_breast_ai.training.table_data import rows_from
    from napari_breast_ai.training.table_train import wanted_of

    made = ["phantom", str(tmp_path / "s"), "--kind=nme", "--seed=1", "--size=8x48x48", "--quiet"]
    assert main(made) == 0
    volume = read_study(tmp_path / "s")
    journal = Journal(
        journal_path(tmp_path / "s", volume.identity, "ann"), "ann", study_uid=volume.identity.study_uid
    )
    journal.add(Box(2, 9.5, 9.5, 25.5, 25.5, "NME"))
    journal.add(Box(3, 9.5, 9.5, 25.5, 25.5, "NME"))
    journal.add(Box(6, 30, 30, 36, 36, "NME"))
    (tmp_path / "t.csv").write_text("case_id,patient_id,path,label\na,p1,s,x\n")
    cohort = read_cohort(tmp_path / "t.csv")
    questions = ask(cohort, ["label"])
    spacing = volume.geometry.spacing
    volumes = [2 * 16 * 16 * np.prod(spacing), 6 * 6 * np.prod(spacing)]
    found = {}
    for lesions in ("largest", "mean"):
        recipe = read_recipe("radiomics", [FEW, f"radiomics.lesions={lesions}"])
        rows, problems = rows_from(cohort, questions, wanted_of(recipe, None))
        assert not problems and rows.slices == (2,)
        names = rows.cases.names["radiomics"]
        assert any("_3d_" in name for name in names)
        found[lesions] = rows.cases.numbers["radiomics"][0, names.index("morph_vol_approx")]
        assert "more than one lesion" in rows.regions[0]
    assert found["largest"] == pytest.approx(volumes[0], rel=0.15)
    (by_box,) = ask(cohort, ["boxes=IGM,NME"])
    journal.add(Box(4, 1, 1, 46, 46, "IGM"))
    recipe = read_recipe("radiomics", [FEW])
    rows, _ = rows_from(cohort, [by_box], wanted_of(recipe, None))
    assert rows.labels == {"boxes": ("IGM",)} and rows.slices == (4,), (
        "the largest lesion's class is the case's"
    )
    (other,) = ask(cohort, ["boxes=other benign,other malignant"])
    with pytest.raises(TrainingError, match="no lesion's box"):
        rows_from(cohort, [other], wanted_of(recipe, None))
    assert found["mean"] == pytest.approx(np.average(volumes, weights=volumes), rel=0.2)


def test_an_order_without_its_clinical_columns_is_not_ready(table):
    from napari_breast_ai.training.order import Order, prospect

    asked = Order(str(table), ("kind=fine,coarse",), "clinical", out=str(table.parent / "out"))
    (problem,) = prospect(asked).problems
    assert "does not say which" in problem.text and not prospect(asked).ready
    named = prospect(replace(asked, changes=("clinical.columns=[age,menopause]",)))
    assert named.ready and named.rounds == 5, "no weights are asked for"
