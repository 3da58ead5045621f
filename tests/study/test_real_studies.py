"""Real files of several vendors, each compared with a plain reading by pydicom, file by file."""

from __future__ import annotations

import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import pydicom
import pytest

from napari_breast_ai.study import StudyError, StudyIndex, assemble, read_study, scan


def plain(path: Path, pixels: bool = True) -> pydicom.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, stop_before_pixels=not pixels)


def accounted(index: StudyIndex, folder: Path) -> None:
    files = {path for path in folder.rglob("*") if path.is_file()}
    grouped = {path for group in index.groups for path in group.paths}
    unused = {u.file for u in index.unused}
    assert index.files == len(files)
    assert grouped | unused == files
    assert not grouped & unused
    assert all(u.reason for u in index.unused)
    told = index.to_json()
    assert told["files"] == sum(g["files"] for g in told["groups"]) + len(told["unused"])


class TestBreastInVivo:
    @pytest.fixture
    def folder(self, data_dir: Path) -> Path:
        return data_dir / "breast_dce_invivo"

    def test_one_dynamic_series(self, folder: Path) -> None:
        index = scan(folder / "dicom")
        accounted(index, folder / "dicom")
        (group,) = index.groups
        assert (group.role, group.n_phases, group.n_slices, group.geometry is not None) == (
            "dce",
            25,
            1,
            True,
        )
        phases = index.to_json()["groups"][0]["phases"]
        np.testing.assert_allclose(np.diff([p["time_s"] for p in phases]), 16.43, atol=1e-4)
        assert {p["time_source"] for p in phases} == {"AcquisitionTime"}

    def test_values_are_those_of_the_files(self, folder: Path) -> None:
        volume = read_study(folder / "dicom")
        datasets = sorted(
            (plain(p) for p in (folder / "dicom").iterdir()), key=lambda ds: float(ds.TriggerTime)
        )
        np.testing.assert_array_equal(volume.data[:, 0], np.stack([ds.pixel_array for ds in datasets]))
        assert volume.data.dtype == np.uint16
        assert [phase[0].sop_instance_uid for phase in volume.frames] == [
            ds.SOPInstanceUID for ds in datasets
        ]
        assert volume.geometry.orientation == "sagittal"
        assert not volume.identity.synthetic

    def test_agrees_with_the_source(self, folder: Path) -> None:
        """The source's times; its own 20° image of the same slice, the same way up; the lesion's uptake."""
        volume = read_study(folder / "dicom")
        with np.load(folder / "reference.npz") as reference:
            np.testing.assert_allclose(volume.times.start_s, reference["t_s"], atol=1e-4)
            same_flip = reference["T1_signal"][reference["T1_flip_deg"].tolist().index(20)]
            arterial = reference["Cp_mM"]
        before = volume.data[0, 0].astype(float)
        assert np.corrcoef(before.ravel(), same_flip.ravel())[0, 1] > 0.9
        for turned in (before.T, before[::-1], before[:, ::-1]):
            assert np.corrcoef(turned.ravel(), same_flip.ravel())[0, 1] < 0.75
        ring = volume.data[:, 0, 97:125, 86:113].mean(axis=(1, 2))
        arrival = int(np.argmax(arterial > 0.1))
        assert ring[:arrival].max() < 1.1 * ring[0]
        assert ring[arrival + 2 :].min() > 2 * ring[0]


def test_ge_multiphase(data_dir: Path) -> None:
    folder = data_dir / "dicom" / "ge_multiphase"
    index = scan(folder)
    accounted(index, folder)
    group = index.dce()
    assert (group.n_phases, group.n_slices) == (10, 10)
    volume = assemble(group)
    by_key = {}
    for path in folder.iterdir():
        ds = plain(path)
        by_key[int(ds.TemporalPositionIdentifier), round(float(ds.ImagePositionPatient[2]), 3)] = ds
    heights = sorted({z for _, z in by_key})
    ordered = [[by_key[p, z] for z in heights] for p in range(1, 11)]
    np.testing.assert_array_equal(volume.data, [[ds.pixel_array for ds in phase] for phase in ordered])
    # This scan's phases are alike, pixel for pixel: only the UIDs show that each is in its place.
    uids = [[ds.SOPInstanceUID for ds in phase] for phase in ordered]
    assert [[ref.sop_instance_uid for ref in phase] for phase in volume.frames] == uids
    np.testing.assert_allclose(volume.times.start_s, np.arange(10.0), atol=1e-6)  # TR 1000 ms
    np.testing.assert_allclose(volume.geometry.to_patient([0, 0, 0])[2], heights[0], atol=1e-3)
    assert volume.geometry.spacing == pytest.approx((3.0, 3.75, 3.75))


def test_ge_diffusion_is_no_dynamic(data_dir: Path) -> None:
    folder = data_dir / "dicom" / "ge_dwi"
    index = scan(folder)
    accounted(index, folder)
    (group,) = index.groups
    assert group.role == "dwi"
    weights = [p["b_value"] for p in index.to_json()["groups"][0]["phases"]]
    assert weights == [0.0] + [1000.0] * 6
    with pytest.raises(StudyError, match=r"no dynamic MR series \(dwi: "):
        index.dce()
    files = sorted((plain(p) for p in folder.iterdir()), key=lambda ds: int(ds.InstanceNumber))
    low = files[0].ImagePositionPatient[2] < files[1].ImagePositionPatient[2]
    first = assemble(group).data[0]
    expected = np.stack([ds.pixel_array for ds in (files[:2] if low else files[1::-1])])
    np.testing.assert_array_equal(first, expected)


@pytest.mark.parametrize(
    ("series", "role", "phases"), [("7", "dce", 20), ("10", "dwi", 21), ("11", "adc", 1)]
)
def test_siemens_enhanced(data_dir: Path, series: str, role: str, phases: int) -> None:
    """One enhanced file per time point becomes one group."""
    folder = data_dir / "dicom" / "siemens_xa30_enhanced" / series
    index = scan(folder)
    accounted(index, folder)
    (group,) = index.groups
    assert (group.role, group.n_phases) == (role, phases)
    volume = assemble(group)
    datasets = [plain(p) for p in folder.iterdir()]
    if role == "dwi":  # sorted by weighting first
        datasets.sort(key=lambda ds: (_b_value(ds), int(ds.AcquisitionNumber)))
    else:
        datasets.sort(key=lambda ds: ds.AcquisitionDateTime)
        begun = np.array(
            [
                float(ds.AcquisitionDateTime[10:12]) * 60 + float(ds.AcquisitionDateTime[12:])
                for ds in datasets
            ]
        )
        np.testing.assert_allclose(volume.times.start_s, begun - begun[0], atol=1e-3)
    for phase, ds in enumerate(datasets):
        normal = _normal(ds.PerFrameFunctionalGroupsSequence[0])
        heights = [
            float(np.dot(normal, item.PlanePositionSequence[0].ImagePositionPatient))
            for item in ds.PerFrameFunctionalGroupsSequence
        ]
        stored = ds.pixel_array[np.argsort(heights)].astype(float)
        shift = [
            float(i.PixelValueTransformationSequence[0].RescaleIntercept)
            for i in ds.PerFrameFunctionalGroupsSequence
        ]
        scale = [
            float(i.PixelValueTransformationSequence[0].RescaleSlope)
            for i in ds.PerFrameFunctionalGroupsSequence
        ]
        assert len(set(shift)) == len(set(scale)) == 1
        np.testing.assert_allclose(volume.data[phase], stored * scale[0] + shift[0], rtol=1e-6)


def _b_value(ds: pydicom.Dataset) -> float:
    return float(ds.PerFrameFunctionalGroupsSequence[0].MRDiffusionSequence[0].DiffusionBValue)


def _normal(item: pydicom.Dataset) -> np.ndarray:
    orientation = [float(v) for v in item.PlaneOrientationSequence[0].ImageOrientationPatient]
    return np.cross(orientation[:3], orientation[3:])


def test_philips_classic_and_enhanced_give_the_same(data_dir: Path) -> None:
    """One scan stored twice: three phases, the label and control images of spin labelling kept apart."""
    found = []
    for name in ("philips_classic_1903", "philips_enhanced_1903"):
        folder = data_dir / "dicom" / name
        index = scan(folder)
        accounted(index, folder)
        assert [(g.role, g.n_phases, g.n_slices) for g in index.groups] == [("dce", 3, 40)] * 2
        assert all(any("kept apart" in w for w in g.warnings) for g in index.groups)
        found.append([assemble(g) for g in index.groups])
        assert index.dce().n_phases == 3
    for classic, enhanced in zip(*found, strict=True):
        assert classic.description == enhanced.description
        np.testing.assert_array_equal(classic.data, enhanced.data)
        np.testing.assert_allclose(classic.times.start_s, [0.0, 127.5, 255.0], atol=1e-3)
        np.testing.assert_allclose(enhanced.times.start_s, classic.times.start_s, atol=1e-3)
        assert classic.geometry.same_as(enhanced.geometry)
    control, label = found[0]
    assert control.description.endswith("[CONTROL]")
    assert label.description.endswith("[LABEL]")
    assert not np.array_equal(control.data, label.data)

    places = defaultdict(dict)
    for path in (data_dir / "dicom" / "philips_classic_1903").iterdir():
        ds = plain(path)
        kind = (ds[0x2005, 0x1429].value, int(ds.TemporalPositionIdentifier))
        places[kind][float(ds.ImagePositionPatient[2])] = ds.pixel_array * float(ds.RescaleSlope)
    for volume, name in ((control, "CONTROL"), (label, "LABEL")):
        expected = np.stack([[v for _, v in sorted(places[name, p].items())] for p in (1, 2, 3)])
        np.testing.assert_allclose(volume.data, expected, rtol=1e-6)


def test_one_slice_of_one_phase(data_dir: Path) -> None:
    folder = data_dir / "breast_dce_qin_slice"
    with pytest.raises(StudyError, match="has one phase only") as caught:
        read_study(folder)
    assert "export the whole dynamic series" in str(caught.value)


def test_odd_files(data_dir: Path) -> None:
    """Every odd file is accounted for, and what is a group either loads or says why not."""
    folder = data_dir / "dicom" / "pydicom_odd"
    index = scan(folder)
    accounted(index, folder)
    assert "it is not a DICOM file" in {u.reason for u in index.unused if u.file.name == "LICENSE"}
    loaded = 0
    for group in index.groups:
        try:
            volume = assemble(group)
        except StudyError as error:
            assert len(str(error)) > 40
        else:
            loaded += 1
            assert volume.data.shape == (group.n_phases, *volume.geometry.shape)
    assert loaded >= 10
    with pytest.raises(StudyError):
        index.dce()


@pytest.mark.parametrize(
    "name",
    ["MR2_UNCI.dcm", "MR2_J2KR.dcm", "emri_small.dcm", "emri_small_RLE.dcm", "emri_small_big_endian.dcm",
     "emri_small_jpeg_2k_lossless.dcm", "liver_expb.dcm", "693_UNCR.dcm",
     "MR-SIEMENS-DICOM-WithOverlays.dcm"],
)  # fmt: skip
def test_pixels_of_odd_files(data_dir: Path, name: str) -> None:
    """Values straight from the disk, or decoded, equal pydicom's own."""
    path = data_dir / "dicom" / "pydicom_odd" / name
    groups = scan(path).groups
    ds = plain(path)
    stored = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    from napari_breast_ai.study.pixels import stored_values

    frames = [frame for group in groups for frame in group.frames]
    assert len(frames) == len(stored)
    for frame, plane in zip(frames, stored_values(frames), strict=True):
        np.testing.assert_array_equal(plane, stored[frame.number or 0])


def test_everything_at_once(data_dir: Path) -> None:
    """A messy folder: all vendors and the odd files together; nothing is lost and nothing mixed up."""
    folder = data_dir / "dicom"
    index = scan(folder)
    accounted(index, folder)
    for group in index.groups:
        assert len({frame.source.study_uid for frame in group.frames}) == 1
    shapes = sorted((g.n_phases, g.n_slices) for g in index.groups if g.role == "dce")
    assert shapes == [(3, 40)] * 4 + [(10, 10), (20, 33)]
