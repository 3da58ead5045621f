"""Cases read from their journals alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from napari_breast_ai.annotations import AnnotationError, Journal, Placing, journal_path
from napari_breast_ai.annotations.cases import find_journals, read_case
from napari_breast_ai.core import Box, FrameRef, Geometry, Identity

STUDY = Identity("1.2.3", frame_of_reference_uid="1.9")


def stack(position: float = 0.0, slices: int = 8, spacing: float = 0.8) -> Geometry:
    return Geometry.from_dicom(
        (slices, 60, 60), (spacing, spacing), 3.0, (0, 0, position), (1, 0, 0, 0, 1, 0)
    )


def frames(prefix: str, slices: int = 8) -> list[list[FrameRef]]:
    return [[FrameRef(f"{prefix}.{z}") for z in range(slices)]]


@pytest.fixture
def case(tmp_path: Path) -> Path:
    folder = tmp_path / "case 7"
    folder.mkdir()
    return folder


def test_all_that_a_journal_says(case: Path) -> None:
    path = journal_path(case, STUDY, "Dr. Äß", 2)
    placing = Placing(stack(), "1.9", frames("5"))
    journal = Journal(path, "Dr. Äß", study_uid="1.2.3", reading=2, placing=placing)
    journal.enter()
    made = journal.add(Box(3, 9.5, 19.5, 12.5, 30.25, "NME"))
    journal.offer([Box(z, 1, 1, 5, 5, "IGM") for z in (1, 2, 4)], "model:x")
    journal.reject(journal.offers[0].id)
    journal.accept(journal.offers[0].id, "NME")
    journal.say_empty(6)
    journal.mark("skipped", "breathing")
    journal.leave()
    before = path.read_bytes()
    record = read_case(path)
    assert (record.case_id, record.path, record.reader, record.reading, record.study_uid) == (
        "case 7", path, "Dr. Äß", 2, "1.2.3",
    )  # fmt: skip
    assert record.boxes == journal.boxes and record.boxes[0] == made and record.boxes[1].origin == "model:x"
    assert record.offers == journal.offers and len(record.offers) == 1
    assert record.rejected == journal.rejected and len(record.rejected) == 1
    assert (record.empty_slices, record.empty_case) == ((6,), False)
    assert (record.status, record.reason, record.warnings) == ("skipped", "breathing", ())
    assert record.geometry is not None and record.geometry.same_as(stack())
    assert [one["do"] for one in record.actions] == [
        "volume", "open", "add", "offer", "reject", "accept", "none", "status", "close",
    ]  # fmt: skip
    assert all(one["at"].endswith("Z") for one in record.actions)
    assert path.read_bytes() == before and read_case(path, "A1").case_id == "A1"


def test_boxes_of_several_series_come_onto_the_stack_that_was_drawn_on_last(case: Path) -> None:
    path = journal_path(case, STUDY, "anna")
    dce, t2 = stack(), stack(position=3.0, slices=6, spacing=0.4)
    Journal(path, "anna", placing=Placing(dce, "1.9", frames("5"))).add(Box(3, 10, 10, 20, 30, "NME"))
    Journal(path, "anna", placing=Placing(dce, "1.9", frames("5"))).add(Box(0, 10, 10, 20, 30, "NME"))
    Journal(path, "anna", placing=Placing(t2, "1.9", frames("6"))).add(Box(4, 10, 10, 20, 30, "IGM"))
    # Another study's image by mistake in the same journal: it lies in no place of this patient's.
    Journal(path, "anna", placing=Placing(stack(), "7.7", frames("9"))).add(Box(2, 1, 1, 5, 5, "IGM"))
    Journal(path, "anna", placing=Placing(t2, "1.9", frames("6"))).relabel(
        Journal(path, "anna").boxes[0].id, "other benign"
    )
    record = read_case(path)
    assert record.geometry is not None and record.geometry.same_as(t2)
    assert [(box.z, box.label) for box in record.boxes] == [(2, "other benign"), (4, "IGM")]
    np.testing.assert_allclose(
        t2.to_patient([record.boxes[0].z, record.boxes[0].y0, record.boxes[0].x1]),
        dce.to_patient([3, 10, 30]),
        atol=1e-3,
    )


def test_a_journal_of_version_1_and_a_damaged_one(case: Path) -> None:
    path = case / "boxes-old.jsonl"
    path.write_bytes(
        b'{"schema":"napari-breast-ai/journal","version":1,"study_uid":"1.2.3","reader":"anna","at":"T"}\n'
        b'{"do":"add","box":{"z":4,"y0":1.0,"x0":2.0,"y1":3.0,"x1":4.0,"label":"IGM","id":"b","author":"anna"},'
        b'"at":"T"}\n'
        b"[1]\nrubbish\n"
        b'{"do":"undo","at":"T"}\n{"do":"redo","at":"T"}\n{"do":"dance"}\n{"do":"add","box"'
    )
    record = read_case(path)
    assert (record.case_id, record.reader, record.reading, record.geometry) == ("boxes-old", "anna", 1, None)
    assert [box.id for box in record.boxes] == ["b"]
    assert len(record.warnings) == 4
    path.write_bytes(path.read_bytes().partition(b"\n")[2])
    assert (read_case(path).reader, len(read_case(path).boxes)) == ("", 1)


def test_what_is_no_journal(case: Path) -> None:
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_case(case / "absent.jsonl")
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_case(case)
    (case / "boxes-x.jsonl").write_text(json.dumps({"boxes": []}))
    with pytest.raises(AnnotationError, match="not a journal"):
        read_case(case / "boxes-x.jsonl")


def test_find_journals(tmp_path: Path) -> None:
    paths = []
    for name in ("b", "a", "deep/er"):
        (tmp_path / name).mkdir(parents=True)
        for reader in ("bert", "anna"):
            path = journal_path(tmp_path / name, STUDY, reader)
            Journal(path, reader).add(Box(0, 0, 0, 1, 1, "IGM"))
            paths.append(path)
    (tmp_path / "a" / "boxes.txt").write_text("")
    (tmp_path / "a" / "worklist-x-anna.jsonl").write_text("")
    assert find_journals([tmp_path]) == tuple(sorted(paths))
    assert find_journals([paths[0], tmp_path / "b", paths[0]]) == (paths[0], paths[1])
    assert find_journals([]) == ()
    with pytest.raises(AnnotationError, match="There is no file or folder"):
        find_journals([tmp_path / "absent"])
    assert len({read_case(path).study_uid for path in paths}) == 1
