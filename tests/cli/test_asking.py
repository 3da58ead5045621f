"""Questions, range and similar cases on the command line, on a few phantoms as a cohort."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_breast_ai.cli import main
from napari_breast_ai.core import Box
from napari_breast_ai.inference.similar import (
    SimilarError,
    content_of,
    distances,
    patient_hash,
    read_index,
    thumbnail,
    write_index,
)
from napari_breast_ai.models import load_bundle
from napari_breast_ai.study import read_study
from napari_breast_ai.study.patient import patient_id_of
from napari_breast_ai.training.table import read_cohort

MODEL = "demo-attention-squeezenet"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five patients; the second has her study twice, under another name."""
    room = tmp_path_factory.mktemp("asked")
    assert (
        main(
            [
                "phantom-cohort",
                str(room),
                "--kind=m1",
                "--patients=10",
                "--slices=20",
                "--size=8x96x96",
                "--quiet",
            ]
        )
        == 0
    )
    with (room / "cohort.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:5]
    shutil.copytree(room / rows[1]["path"], room / "again")
    rows.append(rows[1] | {"case_id": "again", "path": "again"})
    with (room / "few.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return room


@pytest.fixture(scope="module")
def index(cohort: Path) -> Path:
    out = cohort / "index"
    command = [
        "similar",
        "index",
        str(cohort / "few.csv"),
        f"--model={MODEL}",
        "--label=diagnosis",
        "--quiet",
    ]
    assert main([*command, f"--out={out}"]) == 0
    return out


def test_questions_over_a_cohort_are_a_table_and_json(cohort, tmp_path, capsys):
    with (cohort / "few.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:1]
    rows.append(rows[0] | {"case_id": "gone", "path": "nowhere", "patient_id": "x"})
    with (cohort / "two.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    told = ["questions", MODEL, str(cohort / "two.csv"), f"--out={tmp_path}", "--slices=1", "--label=lesion"]
    assert main([*told, "--quiet"]) == 0
    found = json.loads((tmp_path / "questions.json").read_text())
    assert [case["case_id"] for case in found["cases"]] == [row["case_id"] for row in rows[:1]]
    assert found["map"] == "attention" and found["label"] == "lesion"
    for case in found["cases"]:
        assert [answer["key"] for answer in case["answers"]] == list(found["questions"])
        assert case["range"]["ranges_known"]
    mass = [case["answers"][0]["value"] for case in found["cases"]]
    assert found["means"][0]["value"] == pytest.approx(np.mean(mass))
    with (tmp_path / "questions.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(found["questions"])
    assert float(lines[0]["value"]) == pytest.approx(mass[0], rel=1e-5)
    said = capsys.readouterr().out
    assert "Heat inside the boxes: 0." in said and "Wrote questions.json" in said


def test_a_study_is_held_against_the_training(cohort, capsys):
    row = read_cohort(cohort / "few.csv").rows[0]
    assert main(["range", str(row.path), f"--model={MODEL}", "--quiet"]) == 0
    said = capsys.readouterr().out
    # Coarse phantoms of one breast with three phases are not what the model knows.
    assert said.startswith("Outside what the model was trained on:") and "in the training" in said
    assert main(["range", str(row.path), f"--model={MODEL}", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["outside"] is True


def test_what_is_out_of_range_stands_in_the_report_and_on_the_console(cohort, tmp_path, capsys):
    row = read_cohort(cohort / "few.csv").rows[0]
    command = ["predict", str(row.path), f"--model={MODEL}", f"--out={tmp_path}", "--slices=3", "--top=0"]
    assert main([*command, "--report", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "outside what the model was trained on; do not take its probabilities as certain" in said
    (first, *_) = [line.strip() for line in said.splitlines() if "in the training" in line]
    page = (tmp_path / "case-report.html").read_text(encoding="utf-8")
    assert first in page and 'fill-opacity="0.35"' in page
    assert (tmp_path / "case-report.pdf").read_bytes().startswith(b"%PDF")


def test_an_index_holds_labels_and_pictures_and_no_names(cohort, index):
    made = read_index(index)
    rows = read_cohort(cohort / "few.csv").rows
    assert [entry.label for entry in made.entries] == [row.columns["diagnosis"] for row in rows]
    told = json.loads((index / "index.json").read_text())
    paths = [case.pop("path") for case in told["cases"]]
    # What is left of it: only paths are kept as they are.
    assert paths == [str(row.path.resolve()) for row in rows]
    names = {row.patient_id for row in rows} | {patient_id_of(row.path) for row in rows}
    assert not any(f'"{name}"' in json.dumps(told) for name in names)
    assert made.entries[1].content == made.entries[5].content == content_of(read_study(rows[1].path))
    for entry in made.entries:
        assert (index / "pictures" / entry.picture).read_bytes().startswith(b"\x89PNG")


def test_the_nearest_cases_are_never_of_the_same_patient(cohort, index, capsys):
    made, bundle = read_index(index), load_bundle(MODEL)
    space = bundle.ranges.features
    entry = made.entries[1]
    found = made.nearest(made.vectors[1], space, entry.content)
    assert {one.entry.path for one in found} == {
        e.path for i, e in enumerate(made.entries) if i not in (1, 5)
    }
    assert [one.distance for one in found] == sorted(one.distance for one in found)
    # Another study of hers, known by her number only.
    by_number = made.nearest(made.vectors[1], space, "", entry.patients[0])
    assert by_number == found
    # Nobody knows whose it is: the same images come first.
    assert made.nearest(made.vectors[1], space)[0].distance == pytest.approx(0, abs=1e-6)
    row = read_cohort(cohort / "few.csv").rows[1]
    whose = patient_id_of(row.path)
    assert whose and patient_hash(made.salt, whose) in entry.patients
    told = ["similar", "find", str(row.path), f"--model={MODEL}", f"--index={index}", "--top=3", "--quiet"]
    assert main(told) == 0
    said = capsys.readouterr().out
    assert said.count("distance") == 4 and str(row.path.resolve()) not in said


def test_a_box_at_the_edge_or_beside_the_picture_does_no_harm(cohort):
    volume = read_study(read_cohort(cohort / "few.csv").rows[0].path)
    bundle, (_, rows, columns) = load_bundle(MODEL), volume.geometry.shape
    plain = thumbnail(volume, bundle, 0, ())
    beside = Box(0, rows + 5, 3, rows + 9, 8, "lesion", "a", "")
    assert thumbnail(volume, bundle, 0, [beside]) == plain
    last = Box(0, rows - 2, columns - 2, rows - 0.5, columns + 9, "lesion", "a", "")
    assert thumbnail(volume, bundle, 0, [last]) != plain


def test_distances_are_the_trainings_spread_or_the_cosine(index):
    made, bundle = read_index(index), load_bundle(MODEL)
    space = bundle.ranges.features
    to_mean = distances(space.mean, made.vectors, space)
    assert to_mean == pytest.approx(space.distance(made.vectors))
    one, other = made.vectors[0].astype(float), made.vectors[2].astype(float)
    cosine = 1 - one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert distances(one, made.vectors[2:3], None)[0] == pytest.approx(cosine)


def test_indexes_that_cannot_be_used_are_said(index, tmp_path, capsys, cohort):
    with pytest.raises(SimilarError, match="is no index"):
        read_index(tmp_path)
    torn = tmp_path / "torn"
    shutil.copytree(index, torn)
    (torn / "vectors.npz").write_bytes((torn / "vectors.npz").read_bytes()[:-20])
    with pytest.raises(SimilarError, match="Make it anew"):
        read_index(torn)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SimilarError, match=r"is no index\. Choose another folder"):
        write_index(tmp_path / "file", read_index(index).model, "", (), np.zeros((0, 1), np.float32), {})
    command = ["similar", "index", str(cohort / "few.csv"), f"--model={MODEL}", "--label=colour", "--quiet"]
    assert main([*command, f"--out={tmp_path / 'new'}"]) == 1
    assert "no column “colour”" in capsys.readouterr().err
