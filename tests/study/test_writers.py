"""Written NIfTI and DICOM as others read them: nibabel, SimpleITK, pydicom, dcm2niix; and as we do."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from pydicom import dcmread

from napari_breast_ai.core import Cancelled, DceVolume, Geometry, Identity, PhaseTimes
from napari_breast_ai.study import StudyError, read_study, scan, write_dicom_series, write_nifti

SHAPE = (3, 4, 6, 5)


def volume(kind: str = "uint16", sagittal: bool = False) -> DceVolume:
    values = np.random.default_rng(4).integers(0, 250, SHAPE)
    data = (values * 0.37 - 11.25).astype(kind) if kind == "float32" else values.astype(kind)
    turn = 0.1
    axes = (np.cos(turn), np.sin(turn), 0.0, -np.sin(turn), np.cos(turn), 0.0)
    geometry = Geometry.from_dicom(
        SHAPE[1:], (0.7, 0.8), 2.5, (-20.5, -30.25, 11.125), (0, 1, 0, 0, 0, -1) if sagittal else axes
    )
    return DceVolume(
        data, geometry, PhaseTimes((0.0, 75.5, 160.25), ("AcquisitionTime",) * 3),
        Identity("1.2.3", frame_of_reference_uid="1.2.4", synthetic=True), description="Ax dyn",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32"])
@pytest.mark.parametrize("sagittal", [False, True])
def test_nifti(tmp_path: Path, kind: str, sagittal: bool) -> None:
    written = volume(kind, sagittal)
    path, beside = write_nifti(written, tmp_path / "new" / "case.nii.gz")
    image = nibabel.load(path)
    assert image.shape == SHAPE[::-1] and image.get_data_dtype() == written.data.dtype
    np.testing.assert_array_equal(np.asarray(image.dataobj), written.data.T)
    for index in ((0, 0, 0), (3, 5, 4), (1, 2, 3)):
        ras = nibabel.affines.apply_affine(image.affine, index[::-1])
        np.testing.assert_allclose(written.geometry.to_patient(index), ras * (-1, -1, 1), atol=1e-3)
    assert json.loads(beside.read_text())["phase_times_s"] == [0.0, 75.5, 160.25]
    again = read_study(path)
    np.testing.assert_array_equal(again.data, written.data)
    assert again.geometry.same_as(written.geometry) and again.times.start_s == written.times.start_s
    assert again.identity.synthetic and again.description == "Ax dyn" and not again.warnings
    assert {p.name for p in path.parent.iterdir()} == {"case.nii.gz", "case.json"}


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "float32"])
@pytest.mark.parametrize("sagittal", [False, True])
def test_dicom(tmp_path: Path, kind: str, sagittal: bool) -> None:
    written = volume(kind, sagittal)
    paths = write_dicom_series(written, tmp_path / "out")
    assert len(paths) == 12 and all(path.is_file() for path in paths)
    for number, path in enumerate(paths):
        ds = dcmread(path)
        p, z = divmod(number, SHAPE[1])
        values = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        tolerance = 0 if kind != "float32" else float(ds.RescaleSlope)
        np.testing.assert_allclose(values, written.data[p, z], atol=tolerance)
        np.testing.assert_allclose(
            [float(v) for v in ds.ImagePositionPatient], written.geometry.to_patient([z, 0, 0]), atol=1e-3
        )
        assert ds.TemporalPositionIdentifier == p + 1 and ds.StudyInstanceUID != "1.2.3"
        assert "Research use" in ds.ImageComments and ds.ImageType[0] == "DERIVED"
    again = read_study(tmp_path / "out")
    np.testing.assert_allclose(again.data, written.data, atol=0 if kind != "float32" else 0.01)
    assert again.geometry.same_as(written.geometry)
    assert again.times.start_s == pytest.approx(written.times.start_s) and again.identity.synthetic
    assert scan(tmp_path / "out").files == 12
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_dicom_by_simpleitk(tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    written = volume()
    paths = write_dicom_series(written, tmp_path / "out", keep_study=True)
    assert dcmread(paths[0]).StudyInstanceUID == "1.2.3" and dcmread(paths[0]).FrameOfReferenceUID == "1.2.4"
    reader = itk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in paths[4:8]])
    image = reader.Execute()
    np.testing.assert_array_equal(itk.GetArrayFromImage(image), written.data[1])
    for z, y, x in ((0, 0, 0), (3, 5, 4)):
        place = image.TransformIndexToPhysicalPoint((x, y, z))
        np.testing.assert_allclose(place, written.geometry.to_patient([z, y, x]), atol=1e-3)


@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")
def test_dicom_by_dcm2niix(tmp_path: Path) -> None:
    written = volume()
    write_dicom_series(written, tmp_path / "out")
    (tmp_path / "nii").mkdir()
    subprocess.run(
        ["dcm2niix", "-z", "n", "-f", "case", "-o", str(tmp_path / "nii"), str(tmp_path / "out")],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    (path,) = (tmp_path / "nii").glob("*.nii")
    read = read_study(path)
    np.testing.assert_array_equal(read.data, written.data)
    np.testing.assert_allclose(read.geometry.affine, written.geometry.affine, atol=1e-3)


def test_unknown_times_stay_unknown(tmp_path: Path) -> None:
    written = replace(volume(), times=PhaseTimes((0.0,) * 3, ("unknown",) * 3))
    write_dicom_series(written, tmp_path / "d")
    path, _ = write_nifti(written, tmp_path / "a.nii")
    for place in (tmp_path / "d", path):
        again = read_study(place)
        assert set(again.times.source) == {"unknown"}
        np.testing.assert_array_equal(again.data, written.data)


def test_nothing_is_left_half_written_or_overwritten(tmp_path: Path) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if done:
            raise Cancelled

    with pytest.raises(Cancelled):
        write_dicom_series(volume(), tmp_path / "out", progress=stop)
    with pytest.raises(Cancelled):
        write_nifti(volume(), tmp_path / "a.nii", progress=stop)
    assert list(tmp_path.iterdir()) == []
    write_nifti(volume(), tmp_path / "a.nii")
    for refused in ("a.nii", "a.nii.gz", "b.txt"):
        with pytest.raises(StudyError):
            write_nifti(volume(), tmp_path / refused)
    with pytest.raises(StudyError, match="empty folder"):
        write_dicom_series(volume(), tmp_path)
    skewed: Any = volume().geometry.affine.copy()
    skewed[0, 0] += 1.0
    geometry = Geometry(SHAPE[1:], volume().geometry.spacing, skewed)
    with pytest.raises(StudyError, match="right angles"):
        write_dicom_series(replace(volume(), geometry=geometry), tmp_path / "skew")
