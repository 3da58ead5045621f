"""NIfTI, NRRD, MetaImage and pictures: values, places and times against the libraries that wrote them."""

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from napari_breast_ai.core import DceVolume
from napari_breast_ai.study import StudyError, read_study

DATA = np.random.default_rng(1).integers(0, 3000, (5, 6, 7, 3)).astype(np.int16)  # i, j, k, phase


def affine(order: tuple[int, ...] = (0, 1, 2), signs: tuple[int, ...] = (1, 1, 1)) -> Any:
    """Storage axes along patient axes (RAS), slightly oblique."""
    made = np.diag([0.0, 0.0, 0.0, 1.0])
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        made[world, axis] = sign * (0.8, 0.9, 2.0)[axis]
    turn = np.array([[1, -0.05, 0], [0.05, 1, 0.02], [0, -0.02, 1]])
    made[:3, :3] = np.linalg.qr(turn)[0] * np.sign(np.diag(np.linalg.qr(turn)[1])) @ made[:3, :3]
    made[:3, 3] = (12.5, -7.25, 33.0)
    return made


def nifti(path: Path, data: Any, matrix: Any = None, slope: float | None = None, step: float = 0.0) -> Path:
    image = nibabel.Nifti1Image(data, affine() if matrix is None else matrix)
    image.header.set_xyzt_units("mm", "sec")
    if data.ndim == 4:
        image.header["pixdim"][4] = step
    if slope is not None:
        image.header.set_slope_inter(slope, 10)
    nibabel.save(image, path)
    return path


def same_voxels(volume: DceVolume, data: Any, matrix: Any) -> None:
    """Every voxel of the file is in the volume, at the place that nibabel gives it."""
    for index in itertools.product(*(range(n) for n in data.shape[:3])):
        ras = nibabel.affines.apply_affine(matrix, index)
        z, y, x = volume.geometry.to_index(ras * (-1, -1, 1))
        place = tuple(round(float(v)) for v in (z, y, x))
        np.testing.assert_allclose(volume.geometry.to_patient(place), ras * (-1, -1, 1), atol=1e-3)
        np.testing.assert_array_equal(volume.data[(slice(None), *place)], data[index])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_nifti_of_any_axis_order(tmp_path: Path, order: Any, signs: Any) -> None:
    matrix = affine(order, signs)
    volume = read_study(nifti(tmp_path / "case.nii.gz", DATA, matrix, step=60.0))
    assert volume.data.dtype == np.int16 and volume.data.shape == (3, *volume.geometry.shape)
    same_voxels(volume, DATA, matrix)
    assert volume.times.start_s == (0.0, 60.0, 120.0) and set(volume.times.source) == {"pixdim[4]"}
    assert volume.n_slices == 7 and volume.geometry.spacing[0] == pytest.approx(2.0, abs=1e-6)
    # Right side up: rows go to the back or the feet, columns to the left or the back; axes are right-handed.
    down, right = volume.geometry.affine[:3, 1], volume.geometry.affine[:3, 2]
    assert down[1] > 0 if volume.geometry.orientation == "axial" else down[2] < 0
    assert right[1] > 0 if volume.geometry.orientation == "sagittal" else right[0] > 0
    assert np.dot(np.cross(right, down), volume.geometry.affine[:3, 0]) > 0


def test_thick_slices_along_another_axis(tmp_path: Path) -> None:
    matrix = np.diag([3.0, 0.7, 0.7, 1.0])
    volume = read_study(nifti(tmp_path / "a.nii", DATA, matrix))
    assert volume.n_slices == 5 and volume.geometry.orientation == "sagittal"
    same_voxels(volume, DATA, matrix)


def test_a_file_per_phase_is_found_by_name(tmp_path: Path) -> None:
    for phase in (2, 0, 1):
        nifti(tmp_path / f"case_{phase:04d}.nii.gz", DATA[..., phase])
    (tmp_path / "case.json").write_text(
        json.dumps({"phase_times_s": [5, 95, 185.5], "pre_contrast": 0, "description": "Ax dyn"})
    )
    for path in (tmp_path, tmp_path / "case_0001.nii.gz", sorted(tmp_path.glob("*.gz"))[::-1]):
        volume = read_study(path)
        same_voxels(volume, DATA, affine())
        assert volume.times.start_s == (0.0, 90.0, 180.5) and volume.description == "Ax dyn"
        assert volume.warnings == () and volume.identity.study_uid.startswith("2.25.")
    (tmp_path / "case.json").unlink()
    volume = read_study([tmp_path / "case_0001.nii.gz", tmp_path / "case_0002.nii.gz"])
    assert volume.n_phases == 2 and "number 0" in volume.warnings[0], "the first phase was not chosen"
    (tmp_path / "case_0001.nii.gz").unlink()
    volume = read_study(tmp_path, times=(0, 200))
    assert volume.times.start_s == (0, 200) and "missing between the files" in volume.warnings[0]
    nifti(tmp_path / "other_0000.nii.gz", DATA[..., 0])
    with pytest.raises(StudyError, match="2 cases"):
        read_study(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("p_001", "p_002"),
        ("p1", "p2"),
        ("case_t1", "case_t2"),
        ("sub-01", "sub-02"),
        ("p_0001", "p_0002"),
        ("a/dce", "b/dce"),
        ("a/dce_0000", "b/dce_0000"),
    ],
)
def test_files_of_several_cases_are_not_taken_for_phases(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Numbers may count patients, and weightings have numbers in their names."""
    paths = [tmp_path / f"{name}.nii.gz" for name in names]
    for phase, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        nifti(path, DATA[..., phase])
    assert read_study(paths[1]).n_phases == 1
    for several in (tmp_path, paths):
        with pytest.raises(StudyError, match="2 cases"):
            read_study(several)


@pytest.mark.parametrize(
    "names",
    [
        ("pre", "post1", "post2"),
        ("case_pre", "case_post_1", "case_post_2"),
        ("c_phase9", "c_phase10", "c_phase11"),
        ("x Dyn1", "x Dyn2", "x Dyn3"),
        ("DUKE_001_0000", "DUKE_001_0001", "DUKE_001_0002"),
    ],
)
@pytest.mark.parametrize("ending", [".nii.gz", ".mha"])
def test_names_that_count_phases(tmp_path: Path, names: tuple[str, ...], ending: str) -> None:
    paths = [tmp_path / f"{name}{ending}" for name in names]
    for phase, path in enumerate(paths):
        if ending == ".mha":
            itk = pytest.importorskip("SimpleITK")
            itk.WriteImage(itk.GetImageFromArray(DATA[..., phase].transpose(2, 1, 0)), str(path))
        else:
            nifti(path, DATA[..., phase])
    volume = read_study(sorted(paths))
    for phase, path in enumerate(paths):
        np.testing.assert_array_equal(volume.data[phase], read_alone(path, tmp_path).data[0])


def read_alone(path: Path, tmp_path: Path) -> DceVolume:
    alone = tmp_path / "alone"
    alone.mkdir(exist_ok=True)
    return read_study(shutil.copy(path, alone / path.name.replace(".", "x.", 1)))


def test_numbers_of_images_are_no_phases(tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    paths = [tmp_path / f"t{number}.nrrd" for number in (1, 10, 2)]
    for path in paths:
        itk.WriteImage(itk.GetImageFromArray(DATA[..., 0].transpose(2, 1, 0)), str(path))
    with pytest.raises(StudyError, match=r"3 cases.*NAME_0000"):
        read_study(paths)


def test_times(tmp_path: Path) -> None:
    path = nifti(tmp_path / "case.nii.gz", DATA)
    volume = read_study(path)
    assert set(volume.times.source) == {"unknown"} and "phase_times_s" in volume.warnings[0]
    assert "unknown" in read_study(nifti(path, DATA, step=0.005)).warnings[0]  # a repetition time
    for content, expected in (
        ({"FrameTimesStart": [0, 60, 130]}, (0, 60, 130)),
        ({"AcquisitionTime": ["10:15:00.5", "10:16:00.5", "10:17:10"]}, (0, 60, 129.5)),
    ):
        (tmp_path / "case.json").write_text(json.dumps(content))
        volume = read_study(path)
        assert volume.times.start_s == expected and volume.times.source[0] in content
        assert read_study(path, times=[1, 2, 4]).times.start_s == (0, 1, 3)
    for wrong in (
        {"phase_times_s": [0, 60]},
        {"phase_times_s": [0, 60, 30]},
        {"phase_times_s": [0, None, 1]},
    ):
        (tmp_path / "case.json").write_text(json.dumps(wrong))
        with pytest.raises(StudyError):
            read_study(path)
    (tmp_path / "case.json").write_text("{")
    with pytest.raises(StudyError, match="JSON"):
        read_study(path)
    (tmp_path / "case.json").unlink()
    for phase, clock in enumerate(("23:59:30", "00:00:30", "00:01:30")):
        nifti(tmp_path / f"n_phase{phase}.nii.gz", DATA[..., phase])
        (tmp_path / f"n_phase{phase}.json").write_text(json.dumps({"AcquisitionTime": clock}))
    assert read_study(tmp_path / "n_phase0.nii.gz").times.start_s == (0, 60, 120)


def test_values_are_scaled_and_integers_kept(tmp_path: Path) -> None:
    volume = read_study(nifti(tmp_path / "a.nii", DATA[..., 0], slope=0.5))
    loaded = nibabel.load(tmp_path / "a.nii")
    assert volume.data.dtype == np.float32 and volume.n_phases == 1
    np.testing.assert_allclose(np.sort(volume.data.ravel()), np.sort(loaded.get_fdata().ravel()), rtol=1e-6)
    odd = DATA[..., 0].astype(np.float64)
    odd[0, 0, 0] = np.nan
    volume = read_study(nifti(tmp_path / "b.nii", odd))
    assert volume.data.dtype == np.float32 and np.isfinite(volume.data).all()
    assert any("not numbers" in said for said in volume.warnings)


def test_phases_that_do_not_fit(tmp_path: Path) -> None:
    nifti(tmp_path / "c_0000.nii", DATA[..., 0])
    nifti(tmp_path / "c_0001.nii", DATA[:-1, ..., 0])
    with pytest.raises(StudyError, match="not phases of one study"):
        read_study(tmp_path / "c_0000.nii")
    nifti(tmp_path / "c_0001.nii", DATA[..., 0], affine() + _shift())
    with pytest.raises(StudyError, match="same place"):
        read_study(tmp_path / "c_0000.nii")


def _shift() -> Any:
    moved = np.zeros((4, 4))
    moved[0, 3] = 1.0
    return moved


@pytest.mark.parametrize("cut", [0, 3, 200, 352, 600])
def test_broken_nifti(tmp_path: Path, cut: int) -> None:
    path = nifti(tmp_path / "a.nii", DATA)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(StudyError, match=r"a\.nii"):
        read_study(path)


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".mhd"])
def test_nrrd_and_metaimage(tmp_path: Path, ending: str) -> None:
    itk = pytest.importorskip("SimpleITK")
    phases = []
    for phase in range(3):
        image = itk.GetImageFromArray(DATA[..., phase].transpose(2, 1, 0))
        image.SetSpacing((0.8, 0.9, 2.0))
        image.SetOrigin((1.0, -2.0, 3.5))
        image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
        phases.append(image)
    matrix = np.eye(4)
    for axis in range(3):
        ends = [phases[0].TransformIndexToPhysicalPoint([i * (a == axis) for a in range(3)]) for i in (0, 1)]
        matrix[:3, axis] = np.subtract(ends[1], ends[0])
    matrix[:3, 3] = phases[0].GetOrigin()
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
    itk.WriteImage(itk.Compose(phases), str(tmp_path / f"vector{ending}"))
    itk.WriteImage(itk.JoinSeries(phases, 0.0, 70.0), str(tmp_path / f"four{ending}"))
    for name in ("vector", "four"):
        volume = read_study(tmp_path / f"{name}{ending}", times=(0, 70, 140))
        same_voxels(volume, DATA, ras)
        assert volume.data.dtype == np.int16 and volume.times.start_s == (0, 70, 140)
    (tmp_path / "each").mkdir()
    for phase, image in enumerate(phases):
        itk.WriteImage(image, str(tmp_path / "each" / f"p_{phase:04d}{ending}"))
    same_voxels(read_study(sorted((tmp_path / "each").glob(f"*{ending}"))), DATA, ras)


def test_pixels_elsewhere_are_not_opened(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    (tmp_path / "secret.raw").write_bytes(bytes(64))
    (tmp_path / "in").mkdir()
    head = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementDataFile = {}\n"
    for name in ("../secret.raw", str(tmp_path / "secret.raw"), "LIST", "f%d.raw 0 3 1"):
        (tmp_path / "in" / "a.mhd").write_text(head.format(name))
        with pytest.raises(StudyError, match="plain name"):
            read_study(tmp_path / "in" / "a.mhd")
    (tmp_path / "in" / "a.nhdr").write_text(
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: raw\ndata file: ../secret.raw\n\n"
    )
    with pytest.raises(StudyError, match="plain name"):
        read_study(tmp_path / "in" / "a.nhdr")


def test_without_simpleitk_a_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004\n")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(StudyError, match="pip install"):
        read_study(tmp_path / "a.nrrd")


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_a_picture_is_a_case_of_one_slice(tmp_path: Path, ending: str) -> None:
    grey = np.tile(np.arange(40, dtype=np.uint8) * 5, (30, 1))
    Image.fromarray(grey).save(tmp_path / f"grey.{ending}")
    volume = read_study(tmp_path / f"grey.{ending}")
    assert volume.data.shape == (1, 1, 30, 40) and volume.data.dtype == np.uint8
    assert np.abs(volume.data[0, 0].astype(int) - grey).max() <= (4 if ending == "jpg" else 0)
    assert "no physical size" in volume.warnings[-1]
    colour = np.stack([grey, np.full_like(grey, 100), grey[:, ::-1]], axis=-1)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    volume = read_study(tmp_path / "colour.png")
    expected = np.rint(colour.astype(float) @ (0.299, 0.587, 0.114))
    assert np.abs(volume.data[0, 0] - expected).max() <= 1 and "colours" in volume.warnings[0]
    with pytest.raises(StudyError, match="open one of them"):
        read_study(tmp_path)


def test_sixteen_bits_of_a_picture_stay(tmp_path: Path) -> None:
    values = np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
        np.testing.assert_array_equal(read_study(tmp_path / name).data[0, 0], values)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:100])
    with pytest.raises(StudyError, match="damaged"):
        read_study(tmp_path / "b.png")


def test_an_ultrasound_file(tmp_path: Path, mr_image: Any, save_dicom: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    ds = mr_image(
        pixels[..., 0], 0, SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1", Modality="US", SamplesPerPixel=3,
        PhotometricInterpretation="RGB", PlanarConfiguration=0, PixelData=pixels.tobytes(), PixelSpacing=None,
        ImagePositionPatient=None, ImageOrientationPatient=None,
    )  # fmt: skip
    volume = read_study(save_dicom(ds, tmp_path / "us.dcm"))
    assert volume.data.shape == (1, 1, 20, 30)
    expected = np.rint(pixels.astype(float) @ (0.299, 0.587, 0.114))
    assert np.abs(volume.data[0, 0] - expected).max() <= 1
    assert any("no physical size" in said for said in volume.warnings)
    assert volume.frames[0][0].sop_instance_uid == ds.SOPInstanceUID


def test_a_picture_stored_dark_for_light(tmp_path: Path, mr_image: Any, save_dicom: Any) -> None:
    pixels = np.random.default_rng(0).integers(3, 256, (20, 30)).astype(np.uint8)
    more = {"PhotometricInterpretation": "MONOCHROME1", "Modality": "US"}
    volume = read_study(save_dicom(mr_image(pixels, 0, **more), tmp_path / "us.dcm"))
    np.testing.assert_array_equal(
        volume.data[0, 0], int(pixels.max()) + int(pixels.min()) - pixels.astype(int)
    )


@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")
def test_a_real_study_is_the_same_as_dicom_and_as_nifti(tmp_path: Path, data_dir: Path) -> None:
    folder = data_dir / "dicom" / "ge_multiphase"
    subprocess.run(
        ["dcm2niix", "-z", "y", "-f", "ge", "-o", str(tmp_path), str(folder)], check=True, capture_output=True
    )
    dicom, other = read_study(folder), read_study(tmp_path / "ge.nii.gz")
    np.testing.assert_array_equal(other.data, dicom.data)
    assert other.geometry.same_as(dicom.geometry) and other.times.start_s == dicom.times.start_s
