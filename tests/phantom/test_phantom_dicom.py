"""The four manners, read back by plain pydicom."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from napari_breast_ai.core import Cancelled
from napari_breast_ai.phantom import MANNERS, Phantom, PhantomError, write_dicom


def read(files: list[Path]) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(file) for file in files]


def position(ds: pydicom.Dataset) -> int:
    """Slice index by geometry: rows go left, columns back, so slices rise to the head."""
    return round(float(ds.ImagePositionPatient[2]) * 1000)


def phases_by(datasets: list[pydicom.Dataset], keyword: str) -> np.ndarray:
    keys = sorted({float(ds[keyword].value) for ds in datasets})
    stacks = []
    for key in keys:
        stack = sorted((ds for ds in datasets if float(ds[keyword].value) == key), key=position)
        assert len({position(ds) for ds in stack}) == len(stack)
        stacks.append([ds.pixel_array for ds in stack])
    return np.array(stacks)


def seconds(time: str) -> float:
    return int(time[:2]) * 3600 + int(time[2:4]) * 60 + float(time[4:])


@pytest.mark.parametrize("manner", MANNERS)
def test_every_file_says_that_it_is_synthetic(igm: Phantom, tmp_path: Path, manner: str) -> None:
    files = write_dicom(igm, tmp_path / "study", manner)  # type: ignore[arg-type]
    found = sorted(path for path in (tmp_path / "study").rglob("*") if path.is_file())
    assert files == found
    datasets = read(files)
    assert len({ds.SOPInstanceUID for ds in datasets}) == len(files)
    for ds in datasets:
        assert ds.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert "SYNTHETIC" in str(ds.PatientName)
        assert "SYNTHETIC" in ds.SeriesDescription
        assert "SYNTHETIC" in ds.ImageComments
        assert "SYNTHETIC" in ds.Manufacturer
        assert ds.StudyInstanceUID == igm.volume.identity.study_uid
        assert ds.FrameOfReferenceUID == igm.volume.identity.frame_of_reference_uid
        for element in ds.iterall():
            if element.VR == "UI" and element.keyword.endswith("InstanceUID"):
                assert pydicom.uid.UID(element.value).is_valid
                assert element.value.startswith("2.25.")


@pytest.mark.parametrize("manner", MANNERS)
def test_values_are_valid(igm: Phantom, tmp_path: Path, manner: str) -> None:
    """Every value survives pydicom's strict validation."""
    for file in write_dicom(igm, tmp_path, manner)[:3]:  # type: ignore[arg-type]
        ds = pydicom.dcmread(file)
        before = pydicom.config.settings.reading_validation_mode
        pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE
        try:
            strict = pydicom.dcmread(file)
            assert sum(1 for _ in strict.iterall()) == sum(1 for _ in ds.iterall())
        finally:
            pydicom.config.settings.reading_validation_mode = before


def test_ge(igm: Phantom, tmp_path: Path) -> None:
    files = write_dicom(igm, tmp_path, "ge")
    datasets = read(files)
    assert not any(file.suffix == ".dcm" for file in files)
    assert len({ds.SeriesInstanceUID for ds in datasets}) == 1
    assert len({ds.AcquisitionTime for ds in datasets}) == 1
    assert np.array_equal(phases_by(datasets, "TriggerTime"), igm.volume.data)
    assert np.array_equal(phases_by(datasets, "TemporalPositionIdentifier"), igm.volume.data)
    assert sorted({float(ds.TriggerTime) / 1000 for ds in datasets}) == list(igm.volume.times.start_s)
    assert {ds.NumberOfTemporalPositions for ds in datasets} == {igm.volume.n_phases}


def test_siemens(igm: Phantom, tmp_path: Path) -> None:
    datasets = read(write_dicom(igm, tmp_path, "siemens"))
    original = [ds for ds in datasets if ds.ImageType[0] == "ORIGINAL"]
    assert not any("TemporalPositionIdentifier" in ds or "TriggerTime" in ds for ds in datasets)
    assert len({ds.SeriesInstanceUID for ds in original}) == igm.volume.n_phases
    assert np.array_equal(phases_by(original, "AcquisitionTime"), igm.volume.data)
    times = sorted({seconds(ds.AcquisitionTime) for ds in original})
    assert np.allclose(np.array(times) - times[0], igm.volume.times.start_s)
    derived = sorted((ds for ds in datasets if ds.ImageType[0] == "DERIVED"), key=position)
    assert {tuple(ds.ImageType)[-1] for ds in derived} == {"SUB"}
    difference = np.clip(igm.volume.subtraction(1), 0, None).astype(np.uint16)
    assert np.array_equal([ds.pixel_array for ds in derived], difference)


def test_philips(igm: Phantom, tmp_path: Path) -> None:
    datasets = read(write_dicom(igm, tmp_path, "philips"))
    assert len({ds.SeriesInstanceUID for ds in datasets}) == 1
    assert np.array_equal(phases_by(datasets, "TemporalPositionIdentifier"), igm.volume.data)
    assert {(float(ds.RescaleSlope), float(ds.RescaleIntercept)) for ds in datasets} == {(1.0, 0.0)}
    ordered = sorted(datasets, key=lambda ds: int(ds.InstanceNumber))
    assert [int(ds.InstanceNumber) for ds in ordered] == list(range(1, len(datasets) + 1))
    phases = np.array([ds.TemporalPositionIdentifier for ds in ordered])
    assert (np.diff(phases) < 0).sum() > len(phases) / 5, "scrambled"
    assert {seconds(ds.AcquisitionTime) - seconds(ds.SeriesTime) for ds in datasets} == {0.0}


def test_enhanced(igm: Phantom, tmp_path: Path) -> None:
    (ds,) = read(write_dicom(igm, tmp_path, "enhanced"))
    assert ds.SOPClassUID == pydicom.uid.EnhancedMRImageStorage
    volume = igm.volume
    frames = ds.pixel_array
    assert frames.shape[0] == ds.NumberOfFrames == len(ds.PerFrameFunctionalGroupsSequence)
    seen = set()
    start = None
    for pixels, group in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        content = group.FrameContentSequence[0]
        phase, z = content.TemporalPositionIndex - 1, content.InStackPositionNumber - 1
        assert list(content.DimensionIndexValues) == [1, z + 1, phase + 1]
        assert np.array_equal(pixels, volume.data[phase, z])
        at = [float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient]
        np.testing.assert_allclose(at, volume.geometry.to_patient([z, 0, 0]), atol=1e-4)
        time = seconds(content.FrameAcquisitionDateTime[8:])
        start = time if start is None else start
        assert time - start == pytest.approx(volume.times.start_s[phase])
        seen.add((phase, z))
    assert len(seen) == volume.n_phases * volume.n_slices
    shared = ds.SharedFunctionalGroupsSequence[0]
    assert [float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing] == pytest.approx(
        volume.geometry.spacing[1:]
    )
    assert [int(p.DimensionIndexPointer) for p in ds.DimensionIndexSequence] == [
        0x00209056,
        0x00209057,
        0x00209128,
    ]


@pytest.mark.parametrize("manner", ["ge", "siemens", "philips"])
def test_classic_geometry(igm: Phantom, tmp_path: Path, manner: str) -> None:
    geometry = igm.volume.geometry
    for ds in read(write_dicom(igm, tmp_path, manner)):  # type: ignore[arg-type]
        assert [float(v) for v in ds.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
        assert [float(v) for v in ds.PixelSpacing] == pytest.approx(geometry.spacing[1:])
        index = geometry.to_index([float(v) for v in ds.ImagePositionPatient])
        np.testing.assert_allclose(index[1:], 0, atol=1e-4)
        assert abs(index[0] - round(index[0])) < 1e-4


def test_writing_twice_gives_equal_files(igm: Phantom, tmp_path: Path) -> None:
    first = write_dicom(igm, tmp_path / "a", "philips")
    second = write_dicom(igm, tmp_path / "b", "philips")
    assert [f.name for f in first] == [f.name for f in second]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))


def test_unwritable_folder(igm: Phantom, tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("not a folder")
    with pytest.raises(PhantomError, match="choose a folder that you may write to"):
        write_dicom(igm, blocked / "study", "ge")
    assert blocked.read_text() == "not a folder"
    assert list(tmp_path.iterdir()) == [blocked]


@pytest.mark.skipif(
    os.name == "nt" or getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write anywhere"
)
def test_folder_without_permission(igm: Phantom, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(PhantomError, match="could not be written"):
        write_dicom(igm, locked / "study", "ge")
    assert list(locked.iterdir()) == []


@pytest.mark.parametrize("exists", [False, True])
def test_a_cancelled_writing_leaves_nothing(igm: Phantom, tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "deep" / "study"
    if exists:
        target.mkdir(parents=True)

    def stop(done: int, total: int, what: str) -> None:
        assert total == igm.volume.n_phases * igm.volume.n_slices
        if done == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        write_dicom(igm, target, "ge", stop)
    if exists:
        assert list(target.iterdir()) == []
    else:
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("exists", [False, True])
def test_a_move_that_fails_halfway_leaves_what_stood_there(
    igm: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    target = tmp_path / "deep" / "study"
    if exists:
        write_dicom(igm, target, "siemens")
        (target / "notes.txt").write_text("mine")
        for path in sorted(target.rglob("*"))[:3]:
            if path.is_file():
                path.write_bytes(b"edited by hand")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    moved = Path.replace
    count = 0

    def full(self: Path, to: Any) -> Path:
        nonlocal count
        if ".phantom-" in str(self) and "new" in self.parts:
            count += 1
            if count == 7:
                raise OSError(28, "No space left on device")
        return moved(self, to)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(PhantomError, match="No space left"):
        write_dicom(igm, target, "siemens")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    if not exists:
        assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    written = write_dicom(igm, target, "siemens")
    assert all(path.read_bytes() != b"edited by hand" for path in written)
    assert not list(target.glob(".phantom-*"))


def test_unknown_manner(igm: Phantom, tmp_path: Path) -> None:
    with pytest.raises(PhantomError, match="manner 'canon' is unknown"):
        write_dicom(igm, tmp_path, "canon")  # type: ignore[arg-type]
