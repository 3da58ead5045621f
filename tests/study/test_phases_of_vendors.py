"""Each vendor's way to say which phase an image is of, and the ways in which such a way lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_breast_ai.core import DceVolume, Geometry
from napari_breast_ai.study import StudyError, StudyIndex, assemble, read_study, scan

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)


def clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}.{round((seconds - whole) * 1e6):06d}"


START, STEP = 36900.0, 61.5


def at(p: int, z: int = 0) -> str:
    return clock(START + STEP * p)


Says = Callable[[int, int], dict[str, Any]]
WAYS: dict[str, tuple[Says, str, str]] = {
    # name: what an image says, the key that must be found, the source of the times
    "temporal position, one acquisition time, trigger per phase": (
        lambda p, z: {"TemporalPositionIdentifier": p + 1, "TriggerTime": f"{1000 * STEP * p}"},
        "TemporalPositionIdentifier",
        "TriggerTime",
    ),
    "trigger time per slice, one acquisition time": (
        lambda p, z: {"TriggerTime": f"{1000 * (STEP * p + 11.0 * z)}"},
        "TriggerTime",
        "TriggerTime",
    ),
    "temporal position 1 everywhere, acquisition number": (
        lambda p, z: {"TemporalPositionIdentifier": 1, "AcquisitionNumber": p + 1, "AcquisitionTime": at(p)},
        "AcquisitionNumber",
        "AcquisitionTime",
    ),
    "acquisition time alone": (
        lambda p, z: {"AcquisitionTime": at(p), "AcquisitionNumber": 1},
        "AcquisitionTime",
        "AcquisitionTime",
    ),
    "acquisition times that differ by under two seconds within a phase": (
        lambda p, z: {"AcquisitionTime": clock(START + STEP * p + 0.3 * z)},
        "AcquisitionTime",
        "AcquisitionTime",
    ),
    "acquisition date and time in one": (
        lambda p, z: {
            "AcquisitionTime": None,
            "AcquisitionDate": None,
            "AcquisitionDateTime": "20240102" + at(p) + "+0200",
        },
        "AcquisitionDateTime",
        "AcquisitionDateTime",
    ),
    "content time alone": (
        lambda p, z: {"AcquisitionTime": None, "ContentTime": at(p)},
        "ContentTime",
        "ContentTime",
    ),
    "temporal position missing before contrast": (
        lambda p, z: {"AcquisitionTime": at(p)} | ({"TemporalPositionIdentifier": p} if p else {}),
        "TemporalPositionIdentifier",
        "AcquisitionTime",
    ),
    "past midnight without a date": (
        lambda p, z: {"AcquisitionDate": None, "AcquisitionTime": clock((86400 - 90 + STEP * p) % 86400)},
        "AcquisitionTime",
        "AcquisitionTime",
    ),
    "midnight within a phase, without a date": (
        lambda p, z: {
            "AcquisitionDate": None,
            "AcquisitionTime": clock((86400 - 62 + STEP * p + 0.3 * z) % 86400),
        },
        "AcquisitionTime",
        "AcquisitionTime",
    ),
    "past midnight with a date": (
        lambda p, z: {
            "AcquisitionDate": f"2024010{2 + int(86400 - 90 + STEP * p >= 86400)}",
            "AcquisitionTime": clock((86400 - 90 + STEP * p) % 86400),
        },
        "AcquisitionTime",
        "AcquisitionTime",
    ),
    "a series per phase, series numbers falling": (
        lambda p, z: {
            "SeriesInstanceUID": f"1.2.9.{p}",
            "SeriesNumber": 9 - p,
            "SeriesDescription": f"t1_fl3d_dyn_{'pre' if not p else f'post{p}'}",
            "AcquisitionTime": at(p),
        },
        "AcquisitionTime",
        "AcquisitionTime",
    ),
}


def check(volume: DceVolume, study: Any, orientation: tuple[float, ...] = AXIAL) -> None:
    np.testing.assert_array_equal(volume.data, study.data)
    np.testing.assert_allclose(volume.times.start_s, [STEP * p for p in range(len(study.data))], atol=1e-4)
    step = np.cross(orientation[:3], orientation[3:]) * 2.5
    expected = Geometry.from_dicom(study.data.shape[1:], (0.75, 0.5), 2.5, (-10.0, -20.0, 30.0), orientation)  # type: ignore[arg-type]
    np.testing.assert_allclose(volume.geometry.affine[:3, 0], step, atol=1e-6)
    assert volume.geometry.same_as(expected)


def accounted(index: StudyIndex, folder: Path) -> None:
    """Every file is in a group or unused, none in both, and the JSON says the same."""
    files = {path for path in folder.rglob("*") if path.is_file()}
    grouped = {path for group in index.groups for path in group.paths}
    unused = {u.file for u in index.unused}
    assert index.files == len(files)
    assert grouped | unused == files
    assert not grouped & unused
    told = index.to_json()
    assert told["files"] == sum(g["files"] for g in told["groups"]) + len(told["unused"])
    frames = [(f.source.path, f.number) for g in index.groups for f in g.frames]
    assert len(frames) == len(set(frames))


@pytest.mark.parametrize("way", WAYS)
def test_phases_are_found(way: str, study: Any) -> None:
    says, key, source = WAYS[way]
    study.write(says)
    index = scan(study.folder)
    accounted(index, study.folder)
    (group,) = index.groups
    assert group.role == "dce"
    assert (group.n_phases, group.n_slices) == study.data.shape[:2]
    assert group.phase_key == key
    volume = assemble(group)
    check(volume, study)
    assert set(volume.times.source) == {source}
    assert not any("contradict" in warning for warning in volume.warnings)


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, OBLIQUE])
def test_slices_rise_along_the_normal(orientation: tuple[float, ...], study: Any) -> None:
    study.write(lambda p, z: {"AcquisitionTime": at(p), "SliceLocation": "0"}, orientation=orientation)
    check(read_study(study.folder), study, orientation)


def test_orientation_named(study: Any) -> None:
    study.write(lambda p, z: {"AcquisitionTime": at(p)}, orientation=SAGITTAL)
    assert scan(study.folder).to_json()["groups"][0]["orientation"] == "sagittal"


def test_pre_contrast_series_and_multiphase_series(study: Any) -> None:
    """GE and Philips: one acquisition time per series, the later series with trigger times of its own."""

    def says(p: int, z: int) -> dict[str, Any]:
        if p == 0:
            return {
                "SeriesInstanceUID": "1.2.9.1",
                "SeriesDescription": "Ax VIBRANT pre",
                "AcquisitionTime": at(0),
            }
        return {
            "SeriesInstanceUID": "1.2.9.2",
            "SeriesDescription": "Ph/Ax VIBRANT MPH",
            "AcquisitionTime": at(1),
            "TemporalPositionIdentifier": p,
            "TriggerTime": f"{1000 * STEP * (p - 1)}",
        }

    study.write(lambda p, z: says(p, z) | ({"TriggerTime": "0"} if p == 0 else {}))
    index = scan(study.folder)
    accounted(index, study.folder)
    (group,) = index.groups
    volume = assemble(group)
    check(volume, study)
    assert set(volume.times.source) == {"AcquisitionTime+TriggerTime"}
    assert any("2 series are joined" in warning for warning in volume.warnings)


def test_trigger_times_of_two_series_do_not_compare(study: Any) -> None:
    """A trigger time of the pre-contrast series that lies between those of the later series orders nothing."""

    def says(p: int, z: int) -> dict[str, Any]:
        if p == 0:
            return {"SeriesInstanceUID": "1.2.9.1", "AcquisitionTime": at(0), "TriggerTime": "30000"}
        later = {"SeriesInstanceUID": "1.2.9.2", "AcquisitionTime": clock(START + STEP + 30)}
        return later | {"TemporalPositionIdentifier": p, "TriggerTime": f"{1000 * STEP * (p - 1)}"}

    study.write(says)
    check(read_study(study.folder), study)


def test_order_of_numbers_against_the_clock(study: Any) -> None:
    """Numbers that fall while time rises: the clock wins, and it is said."""
    study.write(lambda p, z: {"TemporalPositionIdentifier": 9 - p, "AcquisitionTime": at(p)})
    volume = read_study(study.folder)
    check(volume, study)
    assert any("contradict" in warning for warning in volume.warnings)


def test_order_of_numbers_against_trigger_times(study: Any) -> None:
    """Where one acquisition time stands for all, the trigger time is the clock."""
    study.write(lambda p, z: {"TemporalPositionIdentifier": 9 - p, "TriggerTime": f"{1000 * STEP * p}"})
    volume = read_study(study.folder)
    check(volume, study)
    assert any("contradict TriggerTime" in warning for warning in volume.warnings)


def test_order_of_numbers_against_the_moment_of_creation(study: Any) -> None:
    """Images may be reconstructed in any order: the numbers stay, and the contradiction is said."""
    study.write(lambda p, z: {"TemporalPositionIdentifier": p + 1, "ContentTime": at(9 - p)})
    volume = read_study(study.folder)
    np.testing.assert_array_equal(volume.data, study.data)
    assert set(volume.times.source) == {"unknown"}
    assert any("ContentTime contradicts" in warning for warning in volume.warnings)


def test_times_that_disagree_are_said(study: Any) -> None:
    study.write(lambda p, z: {"AcquisitionTime": at(p), "TriggerTime": f"{1000 * 90.0 * p}"})
    volume = read_study(study.folder)
    check(volume, study)
    assert any("disagree by up to 86 s" in warning for warning in volume.warnings)


def test_malformed_times_are_missing_times(study: Any) -> None:
    for path in study.write(
        lambda p, z: {"AcquisitionTime": at(p), "TriggerTime": "77777", "ContentTime": at(p)}
    ):
        content = path.read_bytes()
        assert content.count(b"77777") == 1
        path.write_bytes(content.replace(b"77777", b"7;7 x"))
    check(read_study(study.folder), study)


def test_no_time_at_all(study: Any) -> None:
    study.write(lambda p, z: {"AcquisitionTime": None, "TemporalPositionIdentifier": p + 1})
    index = scan(study.folder)
    assert [p["time_s"] for p in index.to_json()["groups"][0]["phases"]] == [None] * len(study.data)
    volume = assemble(index.dce())
    np.testing.assert_array_equal(volume.data, study.data)
    assert set(volume.times.source) == {"unknown"}
    assert any("do not tell when" in warning for warning in volume.warnings)


def test_nothing_but_instance_numbers(study: Any) -> None:
    """Images that no header tells apart are not passed off as phases."""
    study.write(lambda p, z: {"InstanceNumber": p * 100 + z})
    index = scan(study.folder)
    accounted(index, study.folder)
    assert [g.n_phases for g in index.groups] == [1] * len(study.data)
    np.testing.assert_array_equal(np.concatenate([assemble(g).data for g in index.groups]), study.data)


class TestEnhanced:
    def test_one_file(self, study: Any) -> None:
        study.write_enhanced()
        index = scan(study.folder)
        accounted(index, study.folder)
        volume = assemble(index.dce())
        check(volume, study)
        assert {ref.frame for phase in volume.frames for ref in phase} == set(range(20))

    def test_without_temporal_index(self, study: Any) -> None:
        study.write_enhanced(index=False)
        check(read_study(study.folder), study)

    def test_trigger_delays_alone(self, study: Any) -> None:
        study.write_enhanced(index=False, times=False, trigger=True)
        volume = read_study(study.folder)
        check(volume, study)
        assert set(volume.times.source) == {"NominalCardiacTriggerDelayTime"}

    def test_a_file_per_phase(self, study: Any) -> None:
        for p in range(len(study.data)):
            study.write_enhanced(slice(p, p + 1), name=f"x{9 - p}", index=p % 2 == 0)
        index = scan(study.folder)
        accounted(index, study.folder)
        check(assemble(index.dce()), study)

    def test_one_file_in_two_groups_counts_once(self, study: Any) -> None:
        """A flip angle of its own sets frames apart; the audit's sum still holds."""
        import pydicom

        path = study.write_enhanced()
        ds = pydicom.dcmread(path)
        timing = pydicom.Dataset()
        timing.RepetitionTime, timing.FlipAngle = "5.2", "30"
        for item in ds.PerFrameFunctionalGroupsSequence:
            if item.FrameContentSequence[0].TemporalPositionIndex == 1:
                item.MRTimingAndRelatedParametersSequence = [timing]
        ds.save_as(path)
        index = scan(study.folder)
        accounted(index, study.folder)
        assert sorted(g.n_phases for g in index.groups) == [1, 3]


class TestBroken:
    says = staticmethod(lambda p, z: {"TemporalPositionIdentifier": p + 1, "AcquisitionTime": at(p)})

    def test_one_missing_slice(self, study: Any) -> None:
        study.write(self.says, skip=lambda p, z: (p, z) == (2, 3))
        index = scan(study.folder)
        accounted(index, study.folder)
        volume = assemble(index.dce())
        np.testing.assert_array_equal(volume.data, study.data[[0, 1, 3]])
        np.testing.assert_allclose(volume.times.start_s, [0, STEP, 3 * STEP])
        assert any("number 3 is incomplete" in warning for warning in volume.warnings)

    def test_scan_cut_short(self, study: Any) -> None:
        study.write(self.says, skip=lambda p, z: p == 3 and z > 1)
        index = scan(study.folder)
        accounted(index, study.folder)
        np.testing.assert_array_equal(assemble(index.dce()).data, study.data[:3])
        rest = [g for g in index.groups if g.role == "other"]
        assert len(rest) == 1
        assert len(rest[0].paths) == 2

    def test_one_of_two_phases_incomplete(self, study: Any) -> None:
        study.write(self.says, skip=lambda p, z: p > 1 or (p, z) == (1, 2))
        with pytest.raises(StudyError, match=r"one phase only .*number 2 is incomplete"):
            read_study(study.folder)

    def test_thick_slices_that_overlap(self, study: Any) -> None:
        study.write(lambda p, z: self.says(p, z) | {"SliceThickness": "30", "SpacingBetweenSlices": None})
        check(read_study(study.folder), study)

    def test_one_slice(self, study: Any) -> None:
        study.write(self.says, skip=lambda p, z: z != 2)
        volume = read_study(study.folder)
        np.testing.assert_array_equal(volume.data, study.data[:, 2:3])
        assert volume.geometry.spacing == (2.5, 0.75, 0.5)

    def test_incomplete_first_phase_is_said(self, study: Any) -> None:
        study.write(self.says, skip=lambda p, z: (p, z) == (0, 0))
        assert any("pre-contrast" in warning for warning in read_study(study.folder).warnings)

    def test_missing_slice_in_one_of_the_series(self, study: Any) -> None:
        study.write(
            lambda p, z: {"SeriesInstanceUID": f"1.2.9.{p}", "AcquisitionTime": at(p)},
            skip=lambda p, z: (p, z) == (1, 2),
        )
        index = scan(study.folder)
        accounted(index, study.folder)
        np.testing.assert_array_equal(assemble(index.dce()).data, study.data[[0, 2, 3]])

    def test_missing_slice_where_times_differ_within_a_phase(self, study: Any) -> None:
        study.write(
            lambda p, z: {"AcquisitionTime": clock(START + STEP * p + 0.4 * z)},
            skip=lambda p, z: (p, z) == (1, 1),
        )
        index = scan(study.folder)
        accounted(index, study.folder)
        np.testing.assert_array_equal(assemble(index.dce()).data, study.data[[0, 2, 3]])

    def test_doubled_slice(self, study: Any, mr_image: Any, save_dicom: Any) -> None:
        study.write(self.says)
        extra = mr_image(study.data[1, 2], 2, InstanceNumber=900, **self.says(1, 2))
        save_dicom(extra, study.folder / "extra")
        index = scan(study.folder)
        accounted(index, study.folder)
        np.testing.assert_array_equal(assemble(index.dce()).data, study.data)

    def test_second_export_of_the_same_files(self, study: Any) -> None:
        for path in study.write(self.says):
            (path.parent / f"{path.name}-again").write_bytes(path.read_bytes())
        index = scan(study.folder)
        accounted(index, study.folder)
        assert len(index.unused) == study.data[:, :, 0, 0].size
        assert all("copy" in u.reason for u in index.unused)
        np.testing.assert_array_equal(assemble(index.dce()).data, study.data)

    def test_same_uid_in_every_file_is_no_copy(self, study: Any) -> None:
        study.write(lambda p, z: self.says(p, z) | {"SOPInstanceUID": "1.2.3.99"})
        np.testing.assert_array_equal(read_study(study.folder).data, study.data)

    def test_slice_missing_from_all_phases(self, study: Any) -> None:
        study.write(self.says, skip=lambda p, z: z == 2)
        volume = read_study(study.folder)
        np.testing.assert_array_equal(volume.data, study.data[:, [0, 1, 3, 4]])
        assert volume.geometry.spacing[0] == pytest.approx(2.5)
        assert any("1 slice" in warning and "missing" in warning for warning in volume.warnings)


class TestApart:
    def test_other_flip_angle(self, study: Any) -> None:
        study.write(lambda p, z: {"AcquisitionTime": at(p), "FlipAngle": "10" if p else "20"})
        assert sorted(g.n_phases for g in scan(study.folder).groups) == [1, 3]

    @pytest.mark.parametrize(
        ("what", "detail"),
        [
            ({"ImageType": ["DERIVED", "SECONDARY", "SUB"]}, "subtraction"),
            ({"SeriesDescription": "(401/2/1)-(401/1/1)"}, "subtraction"),
            ({"SeriesDescription": "t1_dyn_SUB_1"}, "subtraction"),
            ({"SeriesDescription": "MIP sagittal"}, "mip"),
            ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "reformat"),
            ({"SeriesDescription": "3-plane localizer"}, "localizer"),
            ({"ImageType": ["DERIVED", "PRIMARY"]}, ""),
        ],
    )
    def test_derived_series(self, study: Any, what: dict[str, Any], detail: str) -> None:
        """The last phase becomes a derived series: three phases stay, and it is a labelled group."""
        study.write(
            lambda p, z: {"AcquisitionTime": at(p)} | ({**what, "SeriesInstanceUID": "1.9"} if p == 3 else {})
        )
        index = scan(study.folder)
        accounted(index, study.folder)
        np.testing.assert_array_equal(assemble(index.dce()).data, study.data[:3])
        (derived,) = [g for g in index.groups if g.role == "derived"]
        assert derived.judged.detail == detail
        assert derived.judged.reason

    @pytest.mark.parametrize(
        "description", ["Ax VIBRANT", "t1_fl3d_dynaVIEWS_submm", "Breast_subject 12", "local T1", "compare"]
    )
    def test_innocent_names(self, study: Any, description: str) -> None:
        study.write(lambda p, z: {"AcquisitionTime": at(p), "SeriesDescription": description})
        assert [g.role for g in scan(study.folder).groups] == ["dce"]

    def test_left_and_right_stacks_side_by_side(self, study: Any) -> None:
        """Two stacks at the same heights but apart in the plane are two groups."""
        study.write(lambda p, z: {"AcquisitionTime": at(p)}, subfolder="left")
        shift = [120.0, -20.0]
        study.write(
            lambda p, z: {"AcquisitionTime": at(p), "ImagePositionPatient": [*shift, 30.0 + 2.5 * z]},
            subfolder="right",
        )
        index = scan(study.folder)
        accounted(index, study.folder)
        assert [(g.role, g.n_phases, g.n_slices) for g in index.groups] == [("dce", 4, 5)] * 2

    def test_two_runs_of_one_protocol(self, study: Any) -> None:
        """Two dynamic series are two groups, however alike."""
        study.write(lambda p, z: {"AcquisitionTime": at(p)}, subfolder="first")
        study.write(
            lambda p, z: {"AcquisitionTime": at(p + 10), "SeriesInstanceUID": "1.5"}, subfolder="second"
        )
        index = scan(study.folder)
        accounted(index, study.folder)
        assert [(g.role, g.n_phases) for g in index.groups] == [("dce", 4)] * 2
        (said,) = assemble(index.dce()).warnings
        assert "2 dynamic series are in" in said
        assert read_study(study.folder / "first").warnings == ()

    def test_two_studies_in_one_folder(self, study: Any) -> None:
        """One is opened whole, and it is said that there is another."""
        study.write(lambda p, z: {"AcquisitionTime": at(p)}, subfolder="a")
        other = {"StudyInstanceUID": "9.9", "SeriesDescription": "another woman's"}
        study.write(lambda p, z: {"AcquisitionTime": at(p)} | other, subfolder="b")
        index = scan(study.folder)
        accounted(index, study.folder)
        assert [(g.role, g.n_phases) for g in index.groups] == [("dce", 4)] * 2
        volume = assemble(index.dce())
        np.testing.assert_array_equal(volume.data, study.data)
        (said,) = volume.warnings
        assert "2 different studies" in said

    def test_t2_and_t1_beside_the_dynamic(self, study: Any, mr_image: Any, save_dicom: Any) -> None:
        study.write(lambda p, z: {"AcquisitionTime": at(p)})
        for z in range(5):
            t2 = {"SeriesInstanceUID": "1.7", "SeriesDescription": "t2_tirm_tra", "EchoTime": "70"}
            t2 |= {"ScanningSequence": "SE", "RepetitionTime": "4000", "SeriesNumber": 2}
            save_dicom(mr_image(study.data[0, z], z, **t2), study.folder / f"t2-{z}")
        index = scan(study.folder)
        accounted(index, study.folder)
        assert [g.role for g in index.groups] == ["dce", "t2"]

    def test_water_before_fat(self, study: Any) -> None:
        """Of a Dixon dynamic, the water images are the series to read."""
        fat = {
            "SeriesInstanceUID": "1.6",
            "ImageType": ["ORIGINAL", "PRIMARY", "DIXON", "FAT"],
            "SeriesNumber": 3,
        }
        study.write(lambda p, z: {"AcquisitionTime": at(p)} | fat, subfolder="fat")
        water = {"ImageType": ["ORIGINAL", "PRIMARY", "DIXON", "WATER"]}
        study.write(lambda p, z: {"AcquisitionTime": at(p)} | water, subfolder="water")
        index = scan(study.folder)
        assert [g.n_phases for g in index.groups] == [4, 4]
        assert "WATER" in index.dce().frames[0].image_type

    def test_everything_marked_derived_still_opens(self, study: Any) -> None:
        """Some exports mark all images as derived; with nothing better there, that is the dynamic."""
        study.write(lambda p, z: {"AcquisitionTime": at(p), "ImageType": ["DERIVED", "PRIMARY"]})
        np.testing.assert_array_equal(read_study(study.folder).data, study.data)


@pytest.mark.parametrize("same", [{}, {"InstanceNumber": 1, "SOPInstanceUID": "1.2.3.99"}])
def test_names_and_order_of_files_mean_nothing(study: Any, tmp_path: Path, same: dict[str, Any]) -> None:
    """The same files under other names, in other folders, give an equal index and volume."""
    paths = study.write(lambda p, z: {"TemporalPositionIdentifier": p + 1, "AcquisitionTime": at(p)} | same)
    paths += study.write(
        lambda p, z: {"SeriesInstanceUID": "1.8", "SeriesDescription": "SUB", "AcquisitionTime": at(p)},
        subfolder="sub",
    )
    (study.folder / "notes.txt").write_text("nothing")
    expected = told(scan(study.folder))
    data = read_study(study.folder).data
    for seed in range(3):
        other = tmp_path / f"shuffled{seed}"
        names = np.random.default_rng(seed).permutation(len(paths))
        for path, name in zip(paths, names, strict=True):
            target = other / f"d{name % 3}" / f"{name:05d}.x"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        (other / "0notes").write_text("nothing")
        assert told(scan(other)) == expected
        listed = sorted(other.rglob("*.x"), key=lambda p: p.name[::-1])
        volume = read_study(listed)
        np.testing.assert_array_equal(volume.data, data)


def told(index: StudyIndex) -> dict[str, Any]:
    """The JSON without names of files."""
    found = index.to_json()
    for group in found["groups"]:
        del group["paths"]
    found["unused"] = [u["reason"] for u in found["unused"]]
    return found
