"""What would go wrong after hours is said before them, through the command line; and labels that differ in a patient."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_breast_ai.cli import main
from napari_breast_ai.core import LabelGroup
from napari_breast_ai.models import AggregationSpec
from napari_breast_ai.training import checks, runfolder
from napari_breast_ai.training.appraisal import answers, questions
from napari_breast_ai.training.ground import Features
from napari_breast_ai.training.judge import Judged, per_patient
from napari_breast_ai.training.records import read_run

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from kill_train import make_table


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return make_table(tmp_path_factory.mktemp("cohort"), 24)


def changed(good, folder, change):
    """The table in another folder, with its lines changed."""
    lines = [line.split(",") for line in good.read_text().splitlines()]
    for cells in lines[1:]:
        cells[2] = str(good.parent / cells[2])
    change(lines)
    table = folder / "table.csv"
    table.write_text("\n".join(",".join(cells) for cells in lines))
    return table


def run(table, out, *more, recipe="attention-squeezenet", label="kind=square,line", kind="kfold"):
    sets = [
        "preparation.source.kind=picture",
        "preparation.size=[64, 64]",
        "protocol.folds=3",
        "fit.epochs=3",
    ]
    words = [
        "train",
        str(table),
        "--label",
        label,
        "--recipe",
        recipe,
        "--weights",
        "random",
        "--protocol",
        kind,
    ]
    words += [word for one in sets for word in ("--set", one)]
    return main([*words, "--threads", "1", "--cache", str(out.parent / "cache"), "--out", str(out), *more])


@pytest.fixture
def no_features(monkeypatch):
    """Features are what takes hours."""

    def fail(*_, **__):
        raise AssertionError("features are made before the problem is said")

    monkeypatch.setattr(Features, "of", fail)


def refused(capsys, status):
    assert status == 1
    said = capsys.readouterr().err
    assert "defect" not in said, said
    return said


def test_a_column_with_one_class(good, tmp_path, capsys, no_features):
    def one(lines):
        for cells in lines[1:]:
            cells[3] = "line"

    table = changed(good, tmp_path, one)
    assert "fewer than two classes" in refused(capsys, run(table, tmp_path / "out", label="kind"))
    assert "has 0 patients" in refused(capsys, run(table, tmp_path / "out"))


def test_fewer_patients_than_folds_also_after_cases_were_left_out(good, tmp_path, capsys, no_features):
    def few(lines):
        del lines[9:]

    said = refused(capsys, run(changed(good, tmp_path, few), tmp_path / "out"))
    assert "The class “square” of kind has 2 patients; 3 folds need at least 3" in said

    def broken(lines):
        for cells in lines[1:]:
            if cells[3] == "square" and cells[1] not in ("p1", "p3"):
                (tmp_path / Path(cells[2]).name).write_bytes(b"no picture")
                cells[2] = Path(cells[2]).name

    said = refused(capsys, run(changed(good, tmp_path, broken), tmp_path / "out", "--leave-out"))
    assert "“square” of kind has 2 patients among the usable cases; 3 folds need at least 3" in said


def test_unreadable_cases_and_boxes_outside_are_said_and_left_out_when_asked(good, tmp_path, capsys):
    def spoil(lines):
        (tmp_path / "bad.png").write_bytes(b"no picture")
        lines[3][2] = "bad.png"
        lines[6][4:8] = ["100", "4", "120", "20"]
        lines[9][2] = "nowhere.png"

    table = changed(good, tmp_path, spoil)
    said = refused(capsys, run(table, tmp_path / "out"))
    assert "line 10: There is nothing at nowhere.png" in said and "--leave-out" in said
    assert main(["cohort", "check", str(table), "--label", "kind", "--read"]) == 1
    told = capsys.readouterr().out
    assert "line 4: “bad.png” cannot be read" in told
    assert "line 7: Case “c5”: The box lies outside the image." in told
    assert not (tmp_path / "out" / "bundle").exists()

    assert run(table, tmp_path / "out", "--leave-out") == 0
    evaluation = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert {p["case_id"] for p in evaluation["predictions"]} == {f"c{i}" for i in range(24)} - {
        "c2",
        "c5",
        "c8",
    }
    for line in (4, 7, 10):
        (warning,) = [one for one in evaluation["warnings"] if one.startswith(f"Note: line {line}:")]
        assert warning.endswith("The case is left out.")
    # Asked for without, it is another run.
    assert "leave out was True" in refused(capsys, run(table, tmp_path / "out"))


def test_a_leak_is_no_case_to_leave_out(good, tmp_path, capsys, no_features):
    def twice(lines):
        lines[1][2] = lines[5][2]
        Image.open(lines[5][2]).save(tmp_path / "copy.png")
        lines[1][2] = "copy.png"

    said = refused(capsys, run(changed(good, tmp_path, twice), tmp_path / "out", "--leave-out"))
    assert "The same images stand in line 2, under another patient" in said


def test_no_space_is_said_beforehand(good, tmp_path, capsys, monkeypatch, no_features):
    monkeypatch.setattr(checks, "free_bytes", lambda folder: 10**6)
    said = refused(capsys, run(good, tmp_path / "out"))
    assert "The run will write about" in said and "where 1.0 MB are free" in said


def test_features_that_find_no_space_are_not_kept(good, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checks, "free_bytes", lambda folder: 10**3 if folder.name == "cache" else 10**9)
    assert run(good, tmp_path / "out") == 0
    evaluation = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert any("features (" in one and "are not kept" in one for one in evaluation["warnings"])
    assert not (tmp_path / "cache").exists()


def test_what_is_estimated_is_enough(good, tmp_path, monkeypatch):
    """The estimate must not be lower than what is written, nor many times as much."""
    sizes = []
    size = checks._size
    monkeypatch.setattr(checks, "_size", lambda count: sizes.append(count) or size(count))
    monkeypatch.setattr(checks, "free_bytes", lambda folder: 0)
    assert run(good, tmp_path / "out") == 1
    needed = sizes[0]
    monkeypatch.undo()
    assert run(good, tmp_path / "out") == 0
    written = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert written <= needed <= 3 * written


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files' sizes are of POSIX")
def test_a_disk_that_is_full_in_mid_run_is_said_and_the_run_goes_on_later(
    good, tmp_path, capsys, monkeypatch
):
    import resource

    monkeypatch.setattr(runfolder, "EVERY_S", 0.0)
    assert run(good, tmp_path / "whole") == 0
    capsys.readouterr()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond this: started.json does not, the state of a fit does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, before[1]))
    try:
        status = run(good, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = refused(capsys, status)
    assert "The run cannot be kept in" in said and "it goes on where it stopped" in said
    assert not list((tmp_path / "out" / "run").glob(".*.part"))
    assert run(good, tmp_path / "out") == 0
    for name in ("evaluation.json", "bundle/model.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_unknown_keys_and_recipes(good, tmp_path, capsys, no_features):
    said = refused(capsys, run(good, tmp_path / "out", "--set", "fit.epoch=3"))
    assert "unknown key “fit.epoch”. Did you mean “epochs”?" in said
    assert "no recipe" in refused(capsys, run(good, tmp_path / "out", recipe="nothing"))
    (tmp_path / "mine.yaml").write_text("name: mine\nmodel: squeezenet-narrow\nfitt: {}\n")
    assert "unknown key “fitt”" in refused(
        capsys, run(good, tmp_path / "out", recipe=str(tmp_path / "mine.yaml"))
    )
    assert not (tmp_path / "out").exists()


def test_parts_without_a_class(good, tmp_path, capsys, no_features):
    def split(lines):
        lines[0].append("split")
        for cells in lines[1:]:
            number = int(cells[1][1:])
            cells.append("test" if number in (1, 3) else "validation" if number in (5, 4) else "train")

    table = changed(good, tmp_path, split)
    with pytest.raises(AssertionError, match="features are made"):
        # It is trained, with a note: the test part has squares only.
        run(table, tmp_path / "out", "--debug", kind="column")

    def one(lines):
        split(lines)
        for cells in lines[1:]:
            if cells[3] == "line":
                cells[8] = "test"

    said = refused(capsys, run(changed(good, tmp_path, one), tmp_path / "out2", kind="column"))
    assert "The class “line” of kind has 0 patients among the patients that train" in said


def test_too_few_patients_to_choose_an_epoch(good, tmp_path, capsys, no_features):
    def few(lines):
        del lines[13:]

    said = refused(capsys, run(changed(good, tmp_path, few), tmp_path / "out"))
    assert "too few patients to keep some apart" in said or "There are too few patients" in said


def test_a_note_where_no_auc_can_choose_the_epoch(good, tmp_path):
    """One patient of a class trains: she cannot be kept apart too."""

    def rare(lines):
        at = lines[0].index("kind")
        for cells in lines[1:]:
            cells[at] = "line" if cells[1] in ("p1", "p2") else "square"

    assert run(changed(good, tmp_path, rare), tmp_path / "out", "--set", "protocol.folds=2") == 0
    said = " ".join(json.loads((tmp_path / "out" / "evaluation.json").read_text())["warnings"])
    assert "keeps patients of one class of kind apart for choosing the epoch" in said


def test_a_note_where_the_test_part_lacks_a_class(good, tmp_path):
    def split(lines):
        lines[0].append("split")
        for cells in lines[1:]:
            number = int(cells[1][1:])
            cells.append("test" if number in (1, 3) else "validation" if number in (5, 4) else "train")

    assert run(changed(good, tmp_path, split), tmp_path / "out", kind="column") == 0
    evaluation = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert any("test part has no slice of the class “line”" in one for one in evaluation["warnings"])


def test_a_patient_may_have_lesions_of_both_kinds(good, tmp_path, capsys):
    def both(lines):
        # The first patient's second picture becomes the third patient's first: a square among lines.
        lines[2][2:] = lines[3][2:]
        del lines[3]

    table = changed(good, tmp_path, both)
    assert main(["cohort", "check", str(table), "--label", "kind=square,line", "--read"]) == 0
    note = "1 patients have cases that differ in kind (“p0” in lines 2 and 3)"
    assert note in capsys.readouterr().out
    assert run(table, tmp_path / "out") == 0
    evaluation = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert any(note in one for one in evaluation["warnings"])
    assert evaluation["labels"][0]["per_patient"] == "any case"
    mine = [p for p in evaluation["predictions"] if p["patient_id"] == "p0"]
    assert {p["truth"]["kind"] for p in mine} == {"square", "line"}
    assert len({p["fold"] for p in mine}) == 1, "a patient is in two folds"
    (whole,) = [p for p in evaluation["patients"] if p["patient_id"] == "p0"]
    assert whole["truth"] == {"kind": "square"}
    assert whole["scores"]["square"] == max(p["scores"]["square"] for p in mine)
    # One rule for all patients: else the truth would decide who gets the higher score.
    for patient in evaluation["patients"]:
        own = [
            p["scores"]["square"]
            for p in evaluation["predictions"]
            if p["patient_id"] == patient["patient_id"]
        ]
        assert patient["scores"]["square"] == max(own)
    read = read_run(tmp_path / "out" / "evaluation.json")
    said = answers(read, questions(read.groups)[0], read.records, "patient")
    at = said.patients.index("p0")
    assert not said.left_out and said.positive[at] and said.scores[at] == whole["scores"]["square"]
    bundle = tmp_path / "out" / "bundle"
    assert main(["evaluate", str(bundle), str(table), "--known", "--out", str(tmp_path / "again")]) == 0
    again = json.loads((tmp_path / "again" / "evaluation.json").read_text())
    assert again["labels"][0]["per_patient"] == "any case"
    assert {p["patient_id"]: p["truth"]["kind"] for p in again["patients"]}["p0"] == "square"


def test_one_picture_cannot_be_both(good, tmp_path, capsys, no_features):
    def same_file(lines):
        lines[2][2], lines[2][3] = lines[1][2], "square"

    said = refused(capsys, run(changed(good, tmp_path, same_file), tmp_path / "out"))
    assert "line 3: The same path has another kind in line 2" in said

    def same_pixels(lines):
        Image.open(lines[1][2]).save(tmp_path / "copy.png")
        lines[2][2:] = ["copy.png", "square", *lines[1][4:]]

    said = refused(capsys, run(changed(good, tmp_path, same_pixels), tmp_path / "out"))
    assert "line 3: The same images have another kind in line 2" in said


def test_a_patients_score_where_all_her_cases_agree_is_their_mean():
    groups = (LabelGroup("k", ("a", "b"), "softmax"), LabelGroup("y", ("y",), "sigmoid"))

    def rows(patient, case, a, kind, y):
        return Judged(case, patient, 0, 1, 1, "test", {"a": a, "b": 1 - a, "y": a / 2}, {"k": kind, "y": y})

    agreeing = [
        rows("p", "c1", 0.2, "b", "0"),
        rows("p", "c2", 0.6, "b", "0"),
        rows("q", "c3", 0.5, "a", "1"),
    ]
    first, _ = per_patient(agreeing, groups, AggregationSpec())
    assert first.scores == pytest.approx({"a": 0.4, "b": 0.6, "y": 0.2}) and first.truth == {
        "k": "b",
        "y": "0",
    }
    differing = [*agreeing[:2], rows("q", "c3", 0.5, "a", "1"), rows("q", "c4", 0.1, "b", "1")]
    first, second = per_patient(differing, groups, AggregationSpec())
    assert first.scores == pytest.approx({"a": 0.6, "b": 0.4, "y": 0.2}), "only the question that differs"
    assert second.truth == {"k": "a", "y": "1"} and second.scores["a"] == 0.5
    assert np.isclose(second.scores["y"], 0.15)
