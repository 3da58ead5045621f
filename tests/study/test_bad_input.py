"""What is wrong, said in a sentence, and never an exception of a parser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage, MediaStorageDirectoryStorage, generate_uid

from napari_breast_ai.core import BreastAIError, Cancelled
from napari_breast_ai.study import StudyError, assemble, read_study, scan


def says(p: int, z: int) -> dict[str, Any]:
    return {"TemporalPositionIdentifier": p + 1, "TriggerTime": f"{60000 * p}"}


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"There is no file or folder “.*nowhere”"):
        scan(tmp_path / "nowhere")
    assert issubclass(StudyError, BreastAIError)


def test_empty_folder(tmp_path: Path) -> None:
    index = scan(tmp_path)
    assert (index.files, index.groups, index.unused) == (0, (), ())
    with pytest.raises(StudyError, match=r"There are no files in .*; choose the folder"):
        index.dce()


def test_no_dicom(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear colleague, " * 20)
    (tmp_path / "empty").touch()
    (tmp_path / "study.zip").write_bytes(b"PK\3\4" + bytes(200))
    index = scan(tmp_path)
    reasons = {u.file.name: u.reason for u in index.unused}
    assert reasons["letter.txt"] == "it is not a DICOM file"
    assert reasons["empty"] == "the file is empty"
    assert "zip" in reasons["study.zip"]
    assert index.files == 3
    with pytest.raises(StudyError, match=r"no DICOM image .* 3 files looked at, none usable"):
        index.dce()


def test_one_phase_only(study: Any) -> None:
    study.write(says, skip=lambda p, z: p > 0)
    with pytest.raises(StudyError) as caught:
        read_study(study.folder)
    assert "“Ax VIBRANT”" in str(caught.value)
    assert "one phase only (5 slices)" in str(caught.value)
    assert "export the whole dynamic series" in str(caught.value)


def test_not_mr(study: Any) -> None:
    study.write(lambda p, z: says(p, z) | {"Modality": "CT"})
    with pytest.raises(
        StudyError, match=r"“Ax VIBRANT” .*no dynamic MR series \(other: modality CT, not MR\)"
    ):
        read_study(study.folder)


def test_one_file(study: Any) -> None:
    """A file alone is scanned alone, not with its neighbours."""
    path = study.write(says)[0]
    index = scan(path)
    assert index.files == 1
    with pytest.raises(StudyError, match="one phase only"):
        index.dce()


def test_progress(study: Any) -> None:
    study.write(says)
    seen: list[tuple[int, int, str]] = []
    volume = read_study(study.folder, lambda *step: seen.append(step))
    np.testing.assert_array_equal(volume.data, study.data)
    for what in ("Reading headers", "Reading pixels"):
        steps = [(done, total) for done, total, name in seen if name == what]
        assert steps == [(done, 20) for done in range(21)]


@pytest.mark.parametrize("where", ["Reading headers", "Reading pixels"])
def test_cancel(study: Any, where: str) -> None:
    study.write(says)
    calls = []

    def stop(done: int, total: int, what: str) -> None:
        calls.append((what, done))
        if what == where and done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        read_study(study.folder, stop)
    assert calls[-1] == (where, 3)


@pytest.mark.parametrize("kept", [140, 300, 500, 0.75, -1])
def test_truncated_file(study: Any, kept: float) -> None:
    """A file cut inside its header or its pixels is unused with that reason; the rest of the study opens."""
    paths = study.write(says)
    victim = paths[-1]
    content = victim.read_bytes()
    victim.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    index = scan(study.folder)
    (unused,) = index.unused
    assert unused.file == victim
    assert "cut short" in unused.reason or "no pixels" in unused.reason
    volume = assemble(index.dce())
    np.testing.assert_array_equal(volume.data, study.data[:3])
    assert any("number 4 is incomplete" in warning for warning in volume.warnings)


def test_cut_after_the_scan(study: Any) -> None:
    """A file that breaks between scan and reading: a sentence with its name, no half volume."""
    victim = study.write(says)[7]
    group = scan(study.folder).dce()
    victim.write_bytes(victim.read_bytes()[:-40])
    with pytest.raises(StudyError, match=f"“{victim.name}” cannot be read"):
        assemble(group)
    victim.unlink()
    with pytest.raises(StudyError, match=f"“{victim.name}” cannot be read"):
        assemble(group)


def test_no_image_objects(study: Any, mr_image: Any, save_dicom: Any) -> None:
    paths = study.write(says)
    state = Dataset()
    state.SOPClassUID, state.SOPInstanceUID = GrayscaleSoftcopyPresentationStateStorage, generate_uid()
    save_dicom(state, study.folder / "state")
    directory = Dataset()
    directory.SOPClassUID, directory.SOPInstanceUID = MediaStorageDirectoryStorage, generate_uid()
    save_dicom(directory, study.folder / "DICOMDIR")
    bare = mr_image(study.data[0, 0], 0)
    del bare.PixelData
    save_dicom(bare, study.folder / "bare")
    index = scan(study.folder)
    reasons = {u.file.name: u.reason for u in index.unused}
    assert reasons["state"] == "it holds no image (Grayscale Softcopy Presentation State Storage)"
    assert "table of contents" in reasons["DICOMDIR"]
    assert "no pixels" in reasons["bare"]
    assert index.files == len(paths) + 3
    np.testing.assert_array_equal(assemble(index.dce()).data, study.data)
    with pytest.raises(StudyError, match="no DICOM image"):
        scan(study.folder / "state").dce()


def test_hostile_nesting(study: Any) -> None:
    """Sequences nested beyond the parser's depth cost their file only."""
    study.write(says)
    head = (study.folder / "f001").read_bytes()
    start = head.index(b"\x08\x00\x08\x00CS")  # before ImageType
    nested = b"\x08\x00\x06\x00SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 3000
    (study.folder / "deep").write_bytes(head[:start] + nested + head[start:])
    index = scan(study.folder)
    (unused,) = index.unused
    assert unused.file.name == "deep"
    assert "broken" in unused.reason
    np.testing.assert_array_equal(assemble(index.dce()).data, study.data)


def test_noise_behind_a_preamble(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(40):
        (tmp_path / f"{number}").write_bytes(bytes(128) + b"DICM" + rng.bytes(int(rng.integers(0, 3000))))
    index = scan(tmp_path)
    assert index.files == 40 == len(index.unused)
    assert all(u.reason for u in index.unused)


def test_mutated_files(study: Any) -> None:
    """Flipped bytes and cuts anywhere: no exception, every file accounted for."""
    paths = study.write(says)
    rng = np.random.default_rng(11)
    originals = [path.read_bytes() for path in paths]
    for _ in range(15):
        for path, content in zip(paths, originals, strict=True):
            mutated = bytearray(content)
            for place in rng.integers(0, len(mutated), int(rng.integers(0, 4))):
                mutated[place] = int(rng.integers(0, 256))
            if rng.random() < 0.1:
                del mutated[int(rng.integers(0, len(mutated))) :]
            path.write_bytes(bytes(mutated))
        index = scan(study.folder)
        grouped = {p for g in index.groups for p in g.paths}
        assert grouped | {u.file for u in index.unused} == set(paths)
        assert index.files == len(paths)
        told = index.to_json()
        assert told["files"] == sum(g["files"] for g in told["groups"]) + len(told["unused"])
        for group in index.groups:
            try:
                volume = assemble(group)
            except StudyError:
                continue
            assert volume.data.shape == (group.n_phases, *volume.geometry.shape)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_does_not_hang(study: Any) -> None:
    paths = study.write(says)
    os.mkfifo(study.folder / "pipe")
    index = scan(study.folder)
    assert index.files == len(paths) + 1
    assert [u.reason for u in index.unused] == ["it is not a regular file"]


def test_images_without_a_place(study: Any) -> None:
    study.write(lambda p, z: says(p, z) | {"ImagePositionPatient": None})
    index = scan(study.folder)
    (group,) = index.groups
    assert group.role == "other"
    with pytest.raises(StudyError, match="no regular stack"):
        assemble(group)
    with pytest.raises(StudyError, match=r"no regular stack .*do not say where .*dynamic series"):
        index.dce()


def test_patient_names_are_not_kept(study: Any) -> None:
    study.write(lambda p, z: says(p, z) | {"ImageComments": "Doe"})
    index = scan(study.folder)
    volume = assemble(index.dce())
    assert "Doe" not in repr(index) + repr(index.to_json()) + repr(volume) + repr(index.groups[0].frames)
    assert not volume.identity.synthetic


@pytest.mark.parametrize("name", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_places_beyond_all_measure_are_none(study: Any, name: str) -> None:
    """Numbers that would overflow the geometry are missing numbers."""
    wild = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
    study.write(lambda p, z: says(p, z) | ({name: [f"{z - 2}e307"] * wild[name]} if z != 2 else {}))
    index = scan(study.folder)
    assert index.files == 20 == sum(len(g.paths) for g in index.groups)
    assert all(g.n_slices < 5 for g in index.groups if g.role == "dce")


def test_a_link_to_a_folder_is_in_the_audit(study: Any, tmp_path: Path) -> None:
    study.write(says)
    try:
        (study.folder / "loop").symlink_to(study.folder, target_is_directory=True)
    except OSError:
        pytest.skip("this user may not make links")
    index = scan(study.folder)
    assert index.files == 21
    assert [(u.file.name, "not followed" in u.reason) for u in index.unused] == [("loop", True)]


def test_a_name_that_the_system_refuses(tmp_path: Path) -> None:
    with pytest.raises(StudyError):
        scan(tmp_path / ("x" * 5000))


def test_headers_do_not_steer_the_terminal(study: Any) -> None:
    study.write(lambda p, z: says(p, z) | {"SeriesDescription": "Ax\x1b[2J\x07 VIBRANT\r\nx"})
    (group,) = scan(study.folder).groups
    assert group.description == "Ax [2J  VIBRANT  x"


@pytest.mark.parametrize("where", ["PatientName", "SeriesDescription", "ImageComments"])
def test_synthetic_is_noticed(study: Any, where: str) -> None:
    study.write(lambda p, z: says(p, z) | {where: "SYNTHETIC data"})
    assert read_study(study.folder).identity.synthetic
