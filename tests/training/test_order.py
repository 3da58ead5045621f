"""What is said of a training before it starts, and what a window and its process tell each other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_breast_ai.annotations import Journal
from napari_breast_ai.core import Box
from napari_breast_ai.places import FOLDER
from napari_breast_ai.training import columns, gather
from napari_breast_ai.training.columns import columns_of, label_argument, recipe_sentences
from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.order import Order, begun, free_folder, prospect
from napari_breast_ai.training.ordered import command
from napari_breast_ai.training.outcome import outcome, read_outcome
from napari_breast_ai.training.outlook import check
from napari_breast_ai.training.table import Problem, ask
from napari_breast_ai.training.watching import EpochDone, RoundDone, RoundStarted, Shown
from napari_breast_ai.training.wire import Failed, Found, Progressed, Written, from_line, to_line

PICTURE = "preparation.source.kind=picture"


def write(folder: Path, lines: list[str], name: str = "t.csv") -> Path:
    for line in lines[1:]:
        (folder / line.split(",")[2]).touch()
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


@pytest.fixture
def table(tmp_path: Path) -> Path:
    head = "case_id,patient_id,path,kind,ki67,age,grade,split,box_y0,note"
    rows = [
        f"c{i},p{i // 2},c{i}.png,{('benign', 'malignant')[i // 2 % 2]},{i // 4 % 2},{30 + i},{i % 3},"
        f"{('train', 'validation')[i // 12]},{i},text {i}"
        for i in range(24)
    ]
    return write(tmp_path, [head, *rows])


def test_columns_that_can_be_learnt(table: Path) -> None:
    found = columns_of(table)
    assert (found.patients, found.pictures, found.has_split, found.readers) == (12, True, True, ())
    assert [one.name for one in found.labels] == ["kind", "ki67"], "no ages, boxes, notes, splits"
    kind, ki67 = found.labels
    assert kind.classes == (("malignant", 6), ("benign", 6)) and not kind.yes_or_no
    assert ki67.yes_or_no
    arguments = [label_argument(one, tuple(word for word, _ in one.classes)) for one in found.labels]
    groups = [question.group for question in ask(found.cohort, arguments)]
    assert [group.labels for group in groups] == [("malignant", "benign"), ("ki67",)]
    assert set(gather.BOX_COLUMNS) <= set(columns._NOT_LABELS)


def test_readers_of_the_cases(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for reader in ("anna", "ben"):
            place = tmp_path / name / FOLDER / f"boxes-{reader}-{name}.jsonl"
            place.parent.mkdir(exist_ok=True)
            with_boxes = Journal(place, reader, study_uid="1.2")
            if name == "a" or reader == "anna":
                with_boxes.add(Box(0, 1, 1, 5, 5, "IGM" if name == "a" else "NME"))
    (tmp_path / "t.csv").write_text("case_id,patient_id,path,kind\na,1,a,x\nb,2,b,y\n")
    found = columns_of(tmp_path / "t.csv")
    assert found.readers == ("anna", "ben")
    assert [(one.name, one.classes) for one in found.labels] == [
        ("kind", (("x", 1), ("y", 1))),
        ("boxes", (("IGM", 1), ("NME", 1))),
    ]
    (question,) = ask(found.cohort, [label_argument(found.labels[1], ("IGM", "NME"))])
    assert question.of_boxes
    order = Order(str(tmp_path / "t.csv"), ("boxes=IGM,NME",), weights="random", out=str(tmp_path / "o"))
    assert prospect(order).cases == 2


def test_every_recipe_says_what_it_is() -> None:
    for name, text in recipe_sentences().items():
        assert len(text) > 20, name


def test_the_plan_is_said(table: Path, tmp_path: Path) -> None:
    order = Order(
        str(table),
        ("kind=malignant,benign",),
        changes=(PICTURE,),
        weights="random",
        out=str(tmp_path / "out"),
    )
    found = prospect(order)
    assert found.ready and not found.problems
    assert (found.patients, found.cases, found.rounds) == (12, 24, 5)
    assert found.sentence.startswith("12 patients, 24 cases. 5 folds by patient")
    repeated = prospect(Order.from_json({**order.to_json(), "changes": ["protocol.kind=repeated"]}))
    assert repeated.rounds == 15 and "shuffled 3 times" in repeated.sentence
    column = prospect(Order.from_json({**order.to_json(), "changes": ["protocol.kind=column"]}))
    assert column.rounds == 1


def test_what_is_missing_and_what_is_wrong(table: Path, tmp_path: Path) -> None:
    assert prospect(Order("")).missing == ("a table of cases",)
    found = prospect(Order(str(table)))
    assert len(found.missing) == 3 and not found.ready
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "evaluation.json").write_text("{}")
    wrong = {
        "labels": ("nonesuch",),
        "recipe": "nonesuch",
        "changes": ("fit.epoch=3",),
        "weights": str(tmp_path / "nothing.pth"),
        "out": str(tmp_path / "done"),
    }
    good = {"labels": ("kind",), "weights": "random", "out": str(tmp_path / "new"), "table": str(table)}
    for name, value in wrong.items():
        found = prospect(Order(**{**good, name: value}))
        assert not found.ready and [one.fatal for one in found.problems] == [True], name
    (table.parent / "c3.png").unlink()
    lines = table.read_text().splitlines()
    lines[6] = lines[6].replace("c5.png", "")
    table.write_text("\n".join([*lines, lines[2]]) + "\n")
    found = prospect(Order(**good))
    assert [(one.line, one.fatal) for one in found.problems] == [
        (5, True),
        (7, True),
        (26, True),
        (26, False),
    ]
    (one,) = [one for one in prospect(Order(**good, leave_out=True)).problems if one.line == 5]
    assert not one.fatal and one.text.endswith("left out.")
    assert not prospect(
        Order(str(tmp_path / "absent.csv"), **{k: good[k] for k in good if k != "table"})
    ).ready


def test_a_protocol_without_its_column(table: Path, tmp_path: Path) -> None:
    text = table.read_text().replace(",split,", ",group,")
    table.write_text(text)
    order = Order(
        str(table), ("kind",), changes=("protocol.kind=column",), weights="random", out=str(tmp_path / "o")
    )
    assert any("no column named split" in one.text for one in prospect(order).problems)


def test_a_free_folder_and_an_unfinished_run(table: Path) -> None:
    first = free_folder(table)
    assert first == table.parent / "t-training" and begun(first) is None
    order = Order(str(table), ("kind",), "attention-squeezenet", (PICTURE,), "random", "anna", str(first))
    (first / "run").mkdir(parents=True)
    assert free_folder(table).name == "t-training-2"
    # As the run folder writes it; what the command line adds is taken up too.
    told = order.arguments() | {"protocol": "kfold"}
    (first / "run" / "started.json").write_text(json.dumps({"arguments": told}))
    (first / "run" / "round-001.safetensors").touch()
    asked, done = begun(first) or (None, 0)
    assert done == 1 and asked == Order.from_json(
        {**order.to_json(), "changes": [PICTURE, "protocol.kind=kfold"]}
    )
    (first / "run" / "finished.json").touch()
    assert begun(first) is None


def test_what_is_told_comes_back_the_same() -> None:
    rng = np.random.default_rng(0)
    shown = Shown(
        "c1", 3, rng.integers(0, 255, (5, 7), np.uint8), (Box(3, 1.5, 2, 4, 5, "IGM", "b1", "anna"),)
    )
    started = RoundStarted(1, 4, 1, 2, "validation", 10, 20, shown)
    back = from_line(to_line(started))
    assert isinstance(back, RoundStarted) and back.shown is not None
    np.testing.assert_array_equal(back.shown.picture, shown.picture)
    assert back.shown.boxes == shown.boxes and back.part == "validation"
    epoch = EpochDone(1, 4, 2, 60, 0.5, None, True, rng.random((4, 4), np.float32), 12.5)
    again = from_line(to_line(epoch).encode())
    assert isinstance(again, EpochDone) and again.attention is not None and again.auc is None
    np.testing.assert_array_equal(again.attention, epoch.attention)
    done = RoundDone(1, 4, 1, 2, "validation", 1, {"a/per patient/AUC": 0.75}, {}, seconds_left=3.0)
    assert from_line(to_line(done)).aucs == {"a/per patient/AUC": 0.75}  # type: ignore[union-attr]
    for event in (
        Progressed(1, 3, "reading cases"),
        Found(Problem(3, "Wrong “so”.", False, True)),
        Written("e", "r", "b"),
        Failed("No.", True, (Problem(0, "x"),)),
    ):
        assert from_line(to_line(event)) == event
    assert (
        from_line(b"Downloading: 3%") is None
        and from_line("[1]") is None
        and from_line('{"kind": "x"}') is None
    )


def test_the_outcome_puts_patients_and_the_test_first(tmp_path: Path) -> None:
    figure = {"value": 0.75, "low": 0.6, "high": 0.9, "n": 8, "interval": "DeLong"}
    other = figure | {"value": 0.5, "low": None, "high": None}
    rows = [
        {
            "case_id": f"c{i}",
            "slice": 0,
            "patient_id": f"p{i // 2}",
            "part": "test" if i > 5 else "validation",
        }
        for i in range(10)
    ]
    evaluation = {
        "predictions": rows,
        "figures": {
            "validation": {"a against b/per patient/AUC": other},
            "test": {
                "a against b/per slice/AUC": figure,
                "a against b/per patient/AUC": figure,
                "a against b/per patient/sensitivity": other,
                "a against b/per patient/sensitivity at the operating point": figure,
            },
        },
        "across_runs": {"test: a against b/per patient/AUC": {"mean": 0.8, "sd": 0.1, "n": 3}},
        "warnings": ["Few."],
    }
    found = outcome(evaluation)
    assert (found.part, found.patients, found.slices, found.warnings) == ("test", 2, 4, ("Few.",))
    assert found.sentence.startswith("2 patients (4 slices)")
    assert [(r.figure, r.patients, r.slices) for r in found.rows] == [
        ("AUC", "0.75 (0.60–0.90)", "0.75 (0.60–0.90)"),
        ("sensitivity", "0.75 (0.60–0.90)", ""),
    ]
    assert found.folds == ("a against b: AUC per patient of 3 single fits 0.800 (SD 0.100).",)
    (tmp_path / "e.json").write_text("{")
    with pytest.raises(TrainingError, match="cannot be read"):
        read_outcome(tmp_path / "e.json")


def test_the_command_of_a_run_says_all_that_decides_its_result() -> None:
    told = command(Order("/x/t.csv", ("kind",), reader="anna", leave_out=True))
    assert "--leave-out" in told and "--reader READER" in told
    assert "anna" not in told, "a bundle names nobody"


def test_one_image_with_two_labels_is_told_when_the_cases_are_opened(tmp_path: Path) -> None:
    picture = np.arange(1600, dtype=np.uint8).reshape(40, 40)
    for name in ("a", "b"):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    table = tmp_path / "t.csv"
    table.write_text("case_id,patient_id,path,kind\na,p1,a.png,x\nb,p1,b.png,y\n")
    told: list[Found] = []
    check(Order(str(table), ("kind",), "squeezenet-narrow", (PICTURE,)), told.append)
    assert any("another kind in line 2" in one.problem.text for one in told)
