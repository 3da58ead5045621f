"""Cohorts of phantoms on the disk, and a small one of each kind through the whole way to the report."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from napari_breast_ai.cli import main
from napari_breast_ai.phantom.cohorts import FIVE, CohortDesign
from napari_breast_ai.study import read_study
from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.gather import read_boxes_of
from napari_breast_ai.training.phantom_cohort import READER, write_cohort
from napari_breast_ai.training.table import read_cohort

M1 = ["--kind=m1", "--patients=10", "--slices=30", "--size=8x96x96", "--quiet"]
M2 = ["--kind=m2", "--patients=30", "--size=1x96x138", "--quiet"]


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    room = tmp_path_factory.mktemp("cohorts")
    for name, options in (("m1", M1), ("m2", M2)):
        assert main(["phantom-cohort", str(room / name), *options]) == 0
    return room


def test_studies_boxes_and_table_belong_together(cohorts):
    cohort = read_cohort(cohorts / "m1" / "cohort.csv")
    assert not cohort.problems and len(cohort.rows) == 10
    slices = 0
    for row in cohort.rows:
        volume = read_study(row.path)
        assert volume.n_phases == 3 and volume.geometry.shape == (8, 48, 48)
        boxes = read_boxes_of(row, volume)
        assert {box.label for box in boxes} == {row.columns["diagnosis"]} and boxes[0].author == READER
        slices += len({box.z for box in boxes})
        assert 20 <= int(row.columns["age"]) <= 85
        gain = volume.subtraction(2).astype(float)
        inside = np.concatenate(
            [gain[b.z, int(b.y0 + 1) : int(b.y1), int(b.x0 + 1) : int(b.x1)].ravel() for b in boxes]
        )
        assert np.median(inside) > np.median(gain), "boxes lie where it enhances"
    about = json.loads((cohorts / "m1" / "cohort.json").read_text())
    assert slices == about["annotated slices"] == 30
    assert "no patients" in about["data"]


def test_pictures_have_their_box_in_the_table(cohorts):
    with (cohorts / "m2" / "cohort.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30 and set(FIVE) <= set(rows[0])
    for row in rows:
        assert (row["box_y0"] == "") == (row["normal"] == "1")
        volume = read_study(cohorts / "m2" / row["path"])
        assert volume.data.shape == (1, 1, 48, 69) and volume.data.dtype == np.uint16
        if row["box_y0"]:
            y0, x0, y1, x1 = (float(row[f"box_{edge}"]) for edge in ("y0", "x0", "y1", "x1"))
            assert 0 <= y0 <= y1 < 48 and 0 <= x0 <= x1 < 69


def test_equal_designs_are_equal_on_the_disk(tmp_path):
    design = CohortDesign("m1", patients=2, slices=6, shape=(4, 64, 64))
    for name in ("a", "b"):
        write_cohort(design, tmp_path / name, manner="ge", workers=1 + (name == "b"))
    files = {path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert files and files == {
        p.relative_to(tmp_path / "b") for p in (tmp_path / "b").rglob("*") if p.is_file()
    }
    for file in files:
        if file.suffix != ".jsonl":  # journals tell when
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_a_folder_that_cannot_take_it_is_said_before(tmp_path, monkeypatch, capsys):
    (tmp_path / "there").write_text("x")
    with pytest.raises(TrainingError, match="not empty"):
        write_cohort(CohortDesign("m2", patients=2), tmp_path)
    with pytest.raises(TrainingError, match="cannot be written"):
        write_cohort(CohortDesign("m2", patients=2), tmp_path / "there" / "new")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1_000_000}))
    with pytest.raises(TrainingError, match="only 1 MB are free"):
        write_cohort(CohortDesign("m1"), tmp_path / "new")
    assert main(["phantom-cohort", str(tmp_path / "other"), "--kind=m1", "--patients=1"]) == 1
    assert "2 to 5000 patients" in capsys.readouterr().err


def run(cohorts, kind, out, recipe, *more):
    cohort = cohorts / kind / "cohort.csv"
    labels = [word for label in CohortDesign(kind).labels for word in ("--label", label)]
    small = ["--set", "preparation.size=[64, 64]", "--set", "fit.epochs=3", "--threads", "1", "--quiet"]
    cache = ["--cache", str(cohorts / "cache"), "--weights", "random", "--out", str(out)]
    return main(["train", str(cohort), *labels, "--recipe", recipe, *small, *cache, *more])


def test_both_protocols_run_to_the_report(cohorts, tmp_path, capsys):
    sets = [("phase", tmp_path / "d1"), ("subtraction", tmp_path / "d2")]
    for kind, out in sets:
        more = ["--set", f"preparation.source.kind={kind}", "--set", "protocol.folds=3"]
        assert run(cohorts, "m1", out, "squeezenet-narrow", *more) == 0, capsys.readouterr().err
    picture = ["--set", "preparation.source.kind=picture", "--set", "protocol.repeats=2"]
    five = [("attention-squeezenet", tmp_path / "attention"), ("gap-squeezenet", tmp_path / "gap")]
    for recipe, out in five:
        assert run(cohorts, "m2", out, recipe, *picture) == 0, capsys.readouterr().err
    evaluation = json.loads((tmp_path / "d1" / "evaluation.json").read_text())
    assert {p["part"] for p in evaluation["predictions"]} == {"validation", "test"}
    assert "nothing here says anything about patients" in evaluation["data"]
    numbers = evaluation["ranges"]["numbers"]
    assert numbers["phases"]["median"] == 3 and 3.2 <= numbers["distance of slices, mm"]["low"] <= 4.0
    assert set(evaluation["ranges"]["choices"]["side"]) <= {"left", "right"}
    for _, out in five:
        evaluation = json.loads((out / "evaluation.json").read_text())
        wrong = sum(
            (p["scores"]["malignancy"] > 0.5) != (p["truth"]["malignancy"] == "1")
            for p in evaluation["predictions"]
        )
        entries = evaluation["gallery"]
        assert wrong and entries, "three epochs on random features leave something to show"
        for entry in entries:
            assert (entry["shows"] == "attention") == (out.name == "attention")
            assert entry["shows"] == "attention" or "has learnt from this slice" in entry["shows"]
            with Image.open(out / entry["file"]) as picture:
                assert picture.size == (384, 384)
        assert {path.name for path in (out / "pictures").iterdir()} == {
            entry["file"].removeprefix("pictures/") for entry in entries
        }
        assert sorted(path.name for path in (out / "bundle").iterdir()) == sorted(
            ["README.md", "config.json", "evaluation.json", "folds.safetensors", "model.safetensors"]
        )
    for name, runs in (("m1", sets), ("m2", five)):
        page = tmp_path / f"{name}.html"
        files = [str(out / "evaluation.json") for _, out in runs]
        assert main(["report", *files, "--out", str(page)]) == 0
        text = page.read_text(encoding="utf-8")
        assert "The runs against one another" in text
        assert "synthetic phantoms. The result says nothing about patients" in text
        assert name == "m1" or text.count("data:image/jpeg;base64,") >= 2
    assert "Weighted score" in text and "other malignant" in text
