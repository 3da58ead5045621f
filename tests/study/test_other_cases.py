"""Files of other formats in the audit: cases by the names of their files, a reason for what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import nibabel
import numpy as np
import pytest
from PIL import Image

from napari_breast_ai.cli import main
from napari_breast_ai.study import StudyError, StudyIndex, read_study, scan

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "reference" / "index.schema.json"


def nifti(path: Path, shape: tuple[int, ...] = (6, 5, 4), value: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.full(shape, value, np.int16), np.diag([1.0, 1, 2, 1])), path)
    return path


def audit(folder: Path) -> StudyIndex:
    """Every file once, and the JSON as its schema says."""
    index = scan(folder)
    files = {path for path in folder.rglob("*") if path.is_file()}
    each = [*(p for c in index.cases for p in c.paths), *(u.file for u in index.unused)]
    each.extend(p for g in index.groups for p in g.paths)
    assert sorted(each) == sorted(files) and index.files == len(files)
    told = json.loads(json.dumps(index.to_json()))
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(told)
    counted = sum(one["files"] for one in (*told["groups"], *told["cases"])) + len(told["unused"])
    assert counted == told["files"]
    return index


def cases(index: StudyIndex) -> list[tuple[str, str, int, tuple[int, ...], int]]:
    return [(c.name, c.format, c.n_phases, c.shape, len(c.paths)) for c in index.cases]


def test_numbered_files_of_several_patients(tmp_path: Path) -> None:
    for name in ("patientA_0000", "patientA_0001", "patientB_0000", "patientB_0001", "patientB_0002"):
        nifti(tmp_path / f"{name}.nii.gz")
    index = audit(tmp_path)
    assert cases(index) == [
        ("patientA", "NIfTI", 2, (6, 5, 4), 2),
        ("patientB", "NIfTI", 3, (6, 5, 4), 3),
    ]
    with pytest.raises(StudyError, match=r"2 cases in .*“patientA”, “patientB”.*open a file of one"):
        read_study(tmp_path)
    volume = read_study(tmp_path / "patientB_0001.nii.gz")
    assert volume.n_phases == 3
    assert "are taken as phases of one case by their numbers" in volume.warnings[-1]


@pytest.mark.parametrize("word", ["patient", "Subject", "my pat"])
def test_numbers_that_count_people(tmp_path: Path, word: str) -> None:
    """Equal sizes and places, and names that number phases elsewhere."""
    for number in range(3):
        nifti(tmp_path / f"{word}_{number:04d}.nii.gz", value=number)
    assert [(c[0], c[2]) for c in cases(audit(tmp_path))] == [(f"{word}_{n:04d}", 1) for n in range(3)]
    with pytest.raises(StudyError, match="3 cases"):
        read_study(tmp_path)
    assert (read_study(tmp_path / f"{word}_0001.nii.gz").data == 1).all()


def test_many_cases_are_named(tmp_path: Path) -> None:
    for number in range(23):
        nifti(tmp_path / f"w{number:02d}.nii")
    with pytest.raises(StudyError, match=r"23 cases .*“w19”, ...") as told:
        read_study(tmp_path)
    assert "w20" not in str(told.value)


def test_all_formats_in_one_folder(tmp_path: Path, study: Any, capsys: pytest.CaptureFixture[str]) -> None:
    itk = pytest.importorskip("SimpleITK")
    nifti(tmp_path / "in/four.nii", (6, 5, 4, 3))
    nifti(tmp_path / "in/deep/a_pre.nii.gz")
    nifti(tmp_path / "in/deep/a_post1.nii.gz")
    volume = itk.GetImageFromArray(np.zeros((4, 5, 6), np.int16))
    itk.WriteImage(volume, str(tmp_path / "in/b_phase1.mha"))
    itk.WriteImage(volume, str(tmp_path / "in/b_phase2.mha"))
    itk.WriteImage(volume, str(tmp_path / "in/apart.mhd"))
    vector = itk.GetImageFromArray(np.zeros((4, 5, 6, 7), np.float32), isVector=True)
    itk.WriteImage(vector, str(tmp_path / "in/v.nrrd"))
    itk.WriteImage(vector, str(tmp_path / "in/v2.mha"))
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / "in/us.png")
    (tmp_path / "in/notes.txt").write_text("a letter")
    (tmp_path / "in/broken.nii.gz").write_bytes(b"\x1f\x8b no")
    (tmp_path / "in/broken.nrrd").write_text("NRRD0004\nkinds: domain\n\n")
    (tmp_path / "in/broken.png").write_bytes(b"\x89PNG no")
    study.write(lambda p, z: {"TemporalPositionIdentifier": p + 1})
    for path in study.folder.iterdir():
        if path.is_file():
            path.rename(tmp_path / "in" / path.name)
    index = audit(tmp_path / "in")
    assert cases(index) == [
        ("a", "NIfTI", 2, (6, 5, 4), 2),
        ("four", "NIfTI", 3, (6, 5, 4), 1),
        ("apart", "NRRD or MetaImage", 1, (6, 5, 4), 2),
        ("b", "NRRD or MetaImage", 2, (6, 5, 4), 2),
        ("v", "NRRD or MetaImage", 7, (6, 5, 4), 1),
        ("v2", "NRRD or MetaImage", 7, (6, 5, 4), 1),
        ("us", "picture", 1, (1, 30, 40), 1),
    ]
    reasons = {u.file.name: u.reason for u in index.unused}
    assert reasons["notes.txt"] == "it is not a DICOM file"
    for name, kind in (("nii.gz", "NIfTI"), ("nrrd", "NRRD or MetaImage"), ("png", "picture")):
        assert (
            reasons[f"broken.{name}"] == f"it is named as a {kind} file, and its header cannot be read as one"
        )
    assert main(["index", str(tmp_path / "in"), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "NIfTI: a: 2 phase(s) of 6 × 5 × 4 in 2 file(s)" in said
    assert "20 in groups, 10 of other formats, 4 unused." in said


def test_two_files_that_claim_one_phase(tmp_path: Path) -> None:
    for name in ("a_0000.nii.gz", "a_0001.nii.gz", "a_0001.nii"):
        nifti(tmp_path / name)
    index = audit(tmp_path)
    assert [u.reason for u in index.unused] == [
        f"it claims to be the same phase as “{other}”; remove one of them"
        for other in ("a_0001.nii.gz", "a_0001.nii")
    ]
    with pytest.raises(StudyError, match="claim to be the same phase"):
        read_study(tmp_path / "a_0000.nii.gz")


def test_a_folder_with_one_case_of_several_files_opens(tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    for number in (1, 2, 3):
        image = itk.GetImageFromArray(np.full((4, 5, 6), number, np.int16))
        itk.WriteImage(image, str(tmp_path / f"c_phase{number}.nrrd"))
    volume = read_study(tmp_path)
    assert [int(v) for v in volume.data[:, 0, 0, 0]] == [1, 2, 3]


def test_a_list_of_files_counts_only_these(tmp_path: Path) -> None:
    paths = [nifti(tmp_path / f"a_{number:04d}.nii.gz") for number in range(3)]
    index = scan(paths[:2])
    assert index.files == 2 and cases(index) == [("a", "NIfTI", 2, (6, 5, 4), 2)]
    with pytest.raises(StudyError, match=r"no DICOM image in .*1 cases of other formats .“a”."):
        index.dce()


def test_what_is_in_an_archive_is_not_opened(tmp_path: Path) -> None:
    import zipfile

    path = nifti(tmp_path / "a.nii")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(path, "a.nii")
    path.unlink()
    index = scan(tmp_path)
    assert index.cases == () and "it lies in a zip archive" in index.unused[0].reason
