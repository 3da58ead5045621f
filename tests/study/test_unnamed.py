"""Studies whose files carry no UIDs: each has a name of its own, and a copy has the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from napari_breast_ai.annotations.places import journal_path
from napari_breast_ai.study import Overrules, StudyIndex, overruled, read_study, save, scan
from napari_breast_ai.study import deciding as decide

NONE = {"StudyInstanceUID": "", "SeriesInstanceUID": ""}


def says(p: int, z: int) -> dict[str, Any]:
    return {"TemporalPositionIdentifier": p + 1, "InstanceNumber": 10 * p + z, **NONE}


def emptied(folder: Path) -> Path:
    """No SOP UID either; a writer does not write that."""
    for path in (p for p in folder.rglob("*") if p.is_file()):
        ds = dcmread(path)
        ds.SOPInstanceUID = ""
        ds.save_as(path, enforce_file_format=False)
    return folder


def uid(index: StudyIndex) -> str:
    (found,) = {group.identity.study_uid for group in index.groups}
    return found


@pytest.fixture
def unnamed(study: Any) -> Path:
    study.write(says)
    return emptied(study.folder)


def other(study: Any, folder: Path) -> Path:
    """A study with the same headers and other pixels."""
    shutil.copytree(study.folder, folder)
    for path in (p for p in folder.rglob("*") if p.is_file()):
        ds = dcmread(path)
        ds.PixelData = np.flip(ds.pixel_array).tobytes()
        ds.save_as(path, enforce_file_format=False)
    return folder


def test_a_moved_copy_has_the_name_and_another_study_has_not(
    unnamed: Path, study: Any, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / "deep"
    moved.mkdir(parents=True)
    for number, path in enumerate(sorted(p for p in unnamed.rglob("*") if p.is_file())[::-1]):
        shutil.copy(path, moved / f"{number:03d}.dcm")
    index = scan(unnamed)
    assert uid(index) == uid(scan(moved))
    assert uid(index).startswith("2.25.") and len(uid(index)) <= 64
    assert uid(index) != uid(scan(other(study, tmp_path / "other")))
    assert (
        len({f.source.sop_instance_uid for g in index.groups for f in g.frames}) == study.data[..., 0, 0].size
    )
    assert any("carry no StudyInstanceUID" in said for said in index.warnings)
    np.testing.assert_array_equal(read_study(unnamed).data, study.data)


def test_decisions_and_boxes_of_two_do_not_meet(unnamed: Path, study: Any, tmp_path: Path) -> None:
    both = tmp_path / "disc"
    shutil.copytree(unnamed, both / "a")
    other(study, both / "b")
    first, second = scan(both / "a"), scan(both / "b")
    assert journal_path(both, first.groups[0].identity, "x") != journal_path(
        both, second.groups[0].identity, "x"
    )
    (path,) = save(first, Overrules((decide.set_pre_contrast(first.groups[0], 2),)))
    # Even where one file lies beside the other study.
    (both / "b" / "napari-breast-ai").mkdir()
    shutil.copy(path, both / "b" / "napari-breast-ai" / path.name)
    assert overruled(scan(both / "a")).groups[0].pre_contrast == 2
    assert overruled(scan(both / "b")).groups[0].pre_contrast == 0
    shutil.move(both / "a", tmp_path / "moved")
    assert overruled(scan(tmp_path / "moved")).groups[0].pre_contrast == 2


def test_images_with_uids_name_a_study_without_one(study: Any, tmp_path: Path) -> None:
    study.write(says)
    shutil.copytree(study.folder, tmp_path / "copy")
    assert uid(scan(study.folder)) == uid(scan(tmp_path / "copy")) != ""


def test_patients_and_days_are_studies_of_their_own(study: Any) -> None:
    study.write(lambda p, z: says(p, z) | {"PatientID": "AB"[p // 2]})
    assert len({group.identity.study_uid for group in scan(study.folder).groups}) == 2


def test_a_study_with_uids_keeps_them(study: Any) -> None:
    study.write(lambda p, z: {"TemporalPositionIdentifier": p + 1})
    index = scan(study.folder)
    assert uid(index) == "1.2.3" and index.warnings == ()


def test_a_copy_within_the_folder_is_said_and_two_images_are_not(unnamed: Path) -> None:
    files = sorted(p for p in unnamed.rglob("*") if p.is_file())
    shutil.copy(files[0], unnamed / "zz")
    index = scan(unnamed)
    assert [one.file.name for one in index.unused if "another copy" in one.reason] == ["zz"]
    assert sum(len(group.frames) for group in index.groups) == len(files)
