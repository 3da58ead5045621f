"""Pre-contrast series, injection, sides, roles and diffusion weighting, on tiny files that say one thing each."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from napari_breast_ai.core import Geometry
from napari_breast_ai.study import Group, assemble, read_study, scan

START, STEP = 36900.0, 61.5
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}.{round((seconds - whole) * 1e6):06d}"


def at(p: int) -> str:
    return clock(START + STEP * p)


def accounted(folder: Path) -> tuple[Group, ...]:
    index = scan(folder)
    told = index.to_json()
    files = {path for path in folder.rglob("*") if path.is_file()}
    assert {path for g in index.groups for path in g.paths} | {u.file for u in index.unused} == files
    assert told["files"] == sum(g["files"] for g in told["groups"]) + len(told["unused"]) == len(files)
    return index.groups


class TestPreContrastSeries:
    """The pre-contrast series was acquired with slightly other times, as scanners choose them anew."""

    @staticmethod
    def says(**pre: Any) -> Any:
        def of(p: int, z: int) -> dict[str, Any]:
            if p == 0:
                first = {"SeriesInstanceUID": "1.9.1", "SeriesNumber": 3, "AcquisitionTime": at(0)}
                return first | {"SeriesDescription": "Ax VIBRANT pre"} | pre
            later = {"SeriesInstanceUID": "1.9.2", "SeriesNumber": 5, "AcquisitionTime": at(1)}
            return later | {"TemporalPositionIdentifier": p, "TriggerTime": f"{1000 * STEP * (p - 1)}"}

        return of

    @pytest.mark.parametrize("pre", [{"RepetitionTime": "5.6"}, {"EchoTime": "2.2", "TriggerTime": "0"}])
    def test_a_little_different_is_joined_and_said(self, study: Any, pre: dict[str, str]) -> None:
        study.write(self.says(**pre))
        (group,) = accounted(study.folder)
        assert (group.role, group.n_phases) == ("dce", 4)
        volume = assemble(group)
        np.testing.assert_array_equal(volume.data, study.data)
        if "TriggerTime" in pre:
            np.testing.assert_allclose(volume.times.start_s, [STEP * p for p in range(4)], atol=1e-3)
        said = [w for w in group.warnings if "is taken as the pre-contrast phase" in w]
        assert len(said) == 1
        assert ("TR is 5.6 ms instead of 5.2 ms" in said[0]) == ("RepetitionTime" in pre)

    @pytest.mark.parametrize(
        ("pre", "why"),
        [
            ({"RepetitionTime": "7.9"}, "TR is 7.9 ms instead of 5.2 ms"),
            ({"FlipAngle": "20"}, "flip angle is 20° instead of 10°"),
            ({"EchoTime": "4.6"}, "TE is 4.6 ms instead of 2.4 ms"),
        ],
    )
    def test_very_different_stays_apart_and_is_said(self, study: Any, pre: dict[str, str], why: str) -> None:
        study.write(self.says(**pre))
        groups = accounted(study.folder)
        assert [(g.role, g.n_phases) for g in groups] == [("dce", 3), ("t1", 1)]
        (said,) = [w for w in groups[0].warnings if "may be the pre-contrast phase" in w]
        assert why in said
        assert "Series 3" in said

    @pytest.mark.parametrize(
        "pre",
        [
            {"AcquisitionTime": clock(START + 10 * STEP)},  # after the dynamic series
            {"AcquisitionTime": clock(START - 7200)},  # long before it
            {"ScanOptions": "FS"},  # no subtraction could be made of it
            {"FrameOfReferenceUID": "1.2.77"},
        ],
    )
    def test_what_cannot_be_meant_is_not_spoken_of(self, study: Any, pre: dict[str, str]) -> None:
        says = self.says(**({"RepetitionTime": "5.6"} | pre))
        study.write(lambda p, z: says(p, z) | {"SeriesDescription": "dyn" if p else "T1"})
        groups = accounted(study.folder)
        assert [(g.role, g.n_phases) for g in groups] == [("dce", 3), ("t1", 1)]
        assert not any("pre-contrast" in w for w in groups[0].warnings)

    def test_a_dynamic_with_its_own_phase_before_contrast_takes_no_other(self, study: Any) -> None:
        given = {"ContrastBolusStartTime": clock(START + 2 * STEP)}
        says = self.says(RepetitionTime="5.6")
        study.write(lambda p, z: says(p, z) | (given if p else {}))
        assert [g.n_phases for g in accounted(study.folder)] == [3, 1]

    def test_fat_suppressed_by_name_only_is_apart_and_said(self, study: Any) -> None:
        says = self.says(SeriesDescription="Ax T1 non fatsat")
        study.write(lambda p, z: {"SeriesDescription": "Ax T1 fatsat"} | says(p, z))
        groups = accounted(study.folder)
        assert [(g.role, g.n_phases) for g in groups] == [("dce", 3), ("t1", 1)]
        (said,) = [w for w in groups[0].warnings if "may be the pre-contrast phase" in w]
        assert "only one of the two is described as fat-suppressed" in said

    @pytest.mark.parametrize(
        "names", [("Dixon_W", "Dixon_F"), ("FAT: Ax", "WATER: Ax"), ("in phase", "opp phase")]
    )
    def test_water_and_fat_are_no_phases(self, study: Any, names: tuple[str, str]) -> None:
        study.write(
            lambda p, z: {"SeriesInstanceUID": f"1.9.{p}", "SeriesNumber": p, "SeriesDescription": names[p]},
            skip=lambda p, z: p > 1,
        )
        assert [g.n_phases for g in accounted(study.folder)] == [1, 1]

    def test_two_dynamic_series_each_find_their_own(self, study: Any) -> None:
        """A scan is repeated, each time with a series of its own before contrast."""
        clocks = {(3, 0): 0, (4, 0): 100, (4, 1): 160, (5, 0): 2000, (6, 0): 2100, (6, 1): 2160}
        for (number, _), seconds in clocks.items():
            study.write(
                lambda p, z, n=number, s=seconds: {
                    "SeriesInstanceUID": f"1.9.{n}",
                    "SeriesNumber": n,
                    "AcquisitionTime": clock(START + s),
                },
                skip=lambda p, z: p > 0,
                subfolder=str(seconds),
            )
        groups = accounted(study.folder)
        numbers = [[phase.frames[0].source.series_number for phase in g.phases] for g in groups]
        assert numbers == [[3, 4, 4], [5, 6, 6]]

    def test_two_patients_with_the_same_uids_are_apart(self, study: Any) -> None:
        study.write(lambda p, z: {"PatientID": "AB"[p // 2], "AcquisitionTime": at(p)})
        groups = accounted(study.folder)
        found = sorted((g.frames[0].source.patient_id, g.n_phases) for g in groups)
        assert found == [("A", 2), ("B", 2)]

    def test_a_repeated_scan_of_single_series_is_spoken_of(self, study: Any) -> None:
        def says(p: int, z: int) -> dict[str, Any]:
            return {"SeriesInstanceUID": f"1.9.{p}", "SeriesNumber": p} | {
                "AcquisitionTime": clock(START + 60 * p + (1800 if p > 1 else 0))
            }

        study.write(says)
        (group,) = accounted(study.folder)
        assert group.n_phases == 4
        assert any("31 minutes between the phases 1 and 2" in w for w in group.warnings)

    def test_too_few_slices_to_tell_whose_they_are_are_spoken_of(self, study: Any) -> None:
        """The patient was moved by a part of the slices' distance between two phases of two slices each."""
        study.write(
            lambda p, z: {
                "TemporalPositionIdentifier": p + 1,
                "AcquisitionTime": at(p),
                "ImagePositionPatient": [-10.0, -20.0, 30.0 + 2.5 * z + p],
            },
            skip=lambda p, z: p > 1 or z > 1,
        )
        (group,) = accounted(study.folder)
        assert group.n_phases == 1
        assert any("of several phases may be mixed" in w for w in group.warnings)

    def test_headers_without_any_difference_make_no_copies(self, study: Any) -> None:
        """All that tells the images apart has been removed from them: none may be dropped as a copy."""
        same = {"SOPInstanceUID": "1.9.9", "AcquisitionTime": None, "InstanceNumber": None}
        paths = study.write(lambda p, z: same)
        (study.folder / "copy").write_bytes(paths[0].read_bytes())
        index = scan(study.folder)
        assert len(index.unused) == 1 and "another copy" in index.unused[0].reason
        assert sum(len(g.frames) for g in accounted(study.folder)) == 20

    def test_in_one_series_too(self, study: Any) -> None:
        """The images before contrast have a TR of their own in the same series."""
        study.write(lambda p, z: {"AcquisitionTime": at(p), "RepetitionTime": "5.2" if p else "5.5"})
        (group,) = accounted(study.folder)
        np.testing.assert_array_equal(assemble(group).data, study.data)
        assert any("TR is 5.5 ms instead of 5.2 ms" in w for w in group.warnings)

    def test_two_echoes_are_no_pre_contrast_phase(self, study: Any) -> None:
        study.write(lambda p, z: {"AcquisitionTime": at(max(p, 1)), "EchoTime": "2.4" if p else "2.3"})
        groups = accounted(study.folder)
        assert sorted(g.n_phases for g in groups) == [1, 3]
        assert not any("pre-contrast" in w for g in groups for w in g.warnings)

    def test_siemens_series_after_contrast(self, study: Any) -> None:
        """A series per phase: the first has another TR."""
        study.write(
            lambda p, z: {
                "SeriesInstanceUID": f"1.9.{p}",
                "SeriesNumber": p,
                "AcquisitionTime": at(p),
                "RepetitionTime": "5.2" if p else "5.5",
            }
        )
        (group,) = accounted(study.folder)
        volume = assemble(group)
        np.testing.assert_array_equal(volume.data, study.data)
        np.testing.assert_allclose(volume.times.start_s, [STEP * p for p in range(4)], atol=1e-4)


class TestContrast:
    @pytest.mark.parametrize(
        ("given_s", "index"),
        [(STEP - 5, 0), (2 * STEP - 1, 1), (2 * STEP + 5, 1), (2 * STEP + 45, 2), (3 * STEP, 2)],
    )
    def test_last_phase_before(self, study: Any, given_s: float, index: int) -> None:
        given = {"ContrastBolusStartTime": clock(START + given_s)}
        study.write(lambda p, z: {"AcquisitionTime": at(p)} | given)
        (group,) = accounted(study.folder)
        assert group.pre_contrast == index
        assert group.contrast_s == pytest.approx(given_s)
        assert not any("contrast agent" in w for w in group.warnings)
        told = scan(study.folder).to_json()["groups"][0]
        assert [p["after_contrast_s"] for p in told["phases"]] == pytest.approx(
            [STEP * p - given_s for p in range(4)]
        )
        volume = assemble(group)
        assert volume.pre_contrast == index
        np.testing.assert_array_equal(volume.subtraction(index), 0)

    def test_trigger_times_count_from_the_acquisition(self, study: Any) -> None:
        given = {"ContrastBolusStartTime": clock(START + 2 * STEP)}
        study.write(lambda p, z: {"AcquisitionTime": at(0), "TriggerTime": f"{1000 * STEP * p}"} | given)
        (group,) = accounted(study.folder)
        assert (group.pre_contrast, group.contrast_s) == (1, pytest.approx(2 * STEP))

    def test_over_midnight(self, study: Any) -> None:
        begun = 86400 - 1.5 * STEP
        study.write(
            lambda p, z: {
                "AcquisitionDate": "20240102" if begun + STEP * p < 86400 else "20240103",
                "AcquisitionTime": clock((begun + STEP * p) % 86400),
                "ContrastBolusStartTime": clock((begun + 2 * STEP) % 86400),
            }
        )
        (group,) = accounted(study.folder)
        assert (group.pre_contrast, group.contrast_s) == (1, pytest.approx(2 * STEP))

    @pytest.mark.parametrize("before_s", [40.0, -10.0])
    def test_no_phase_before_contrast_is_said(self, study: Any, before_s: float) -> None:
        given = {"ContrastBolusStartTime": clock(START - before_s)}
        study.write(lambda p, z: {"AcquisitionTime": at(p)} | given)
        (group,) = accounted(study.folder)
        assert group.pre_contrast == 0
        assert any("there is no pre-contrast phase" in w for w in group.warnings)

    def test_a_time_that_does_not_fit_is_not_used(self, study: Any) -> None:
        given = {"ContrastBolusStartTime": clock(START - 20000)}
        study.write(lambda p, z: {"AcquisitionTime": at(p)} | given)
        (group,) = accounted(study.folder)
        assert (group.pre_contrast, group.contrast_s) == (0, None)
        assert any("does not fit" in w for w in group.warnings)

    def test_without_the_phases_own_times(self, study: Any) -> None:
        study.write(
            lambda p, z: {
                "AcquisitionTime": None,
                "TemporalPositionIdentifier": p + 1,
                "ContrastBolusStartTime": clock(START),
            }
        )
        (group,) = accounted(study.folder)
        assert (group.contrast_s, group.pre_contrast) == (None, 0)
        assert any("times of day are not known" in w for w in group.warnings)


class TestMiddle:
    def test_unknown_without_a_duration(self, study: Any) -> None:
        study.write(lambda p, z: {"AcquisitionTime": at(p)})
        (group,) = accounted(study.folder)
        assert {(p.mid_s, p.mid_source) for p in group.phases} == {(None, "unknown")}

    def test_from_the_duration(self, study: Any) -> None:
        study.write(lambda p, z: {"AcquisitionTime": at(p), "AcquisitionDuration": 60.0})
        (group,) = accounted(study.folder)
        assert [p.mid_s for p in group.phases] == pytest.approx([STEP * p + 30 for p in range(4)])
        assert {p.mid_source for p in group.phases} == {"AcquisitionDuration"}

    def test_duration_of_the_whole_series_tells_nothing(self, study: Any) -> None:
        study.write(lambda p, z: {"AcquisitionTime": at(p), "AcquisitionDuration": 4 * STEP})
        (group,) = accounted(study.folder)
        assert {p.mid_s for p in group.phases} == {None}

    def test_contradicting_trigger_times_are_said(self, study: Any) -> None:
        study.write(lambda p, z: {"AcquisitionTime": at(p), "TriggerTime": f"{1000 * STEP * (9 - p)}"})
        volume = read_study(study.folder)
        np.testing.assert_allclose(volume.times.start_s, [STEP * p for p in range(4)], atol=1e-4)
        assert any("TriggerTime contradicts AcquisitionTime" in w for w in volume.warnings)


class TestSides:
    @staticmethod
    def write_both(study: Any, **more: Any) -> None:
        for side, x in (("right", -90.0), ("left", 70.0)):
            study.write(
                lambda p, z, x=x: {
                    "AcquisitionTime": at(p),
                    "TemporalPositionIdentifier": p + 1,
                    "ImagePositionPatient": [x + 2.5 * z, -20.0, 30.0],
                    **more,
                },
                orientation=SAGITTAL,
                subfolder=side,
            )

    def test_left_and_right_in_one_series_are_two_dynamics(self, study: Any) -> None:
        self.write_both(study)
        groups = accounted(study.folder)
        assert sorted((g.role, g.n_phases, g.n_slices) for g in groups) == [("dce", 4, 5)] * 2
        assert {(g.laterality, g.laterality_source) for g in groups} == {
            ("left", "position"),
            ("right", "position"),
        }
        for group in groups:
            assert f"[{group.laterality}]" in group.description
            # SAGITTAL's normal points to the right: slice 0 of the index is the leftmost.
            np.testing.assert_array_equal(assemble(group).data, study.data[:, ::-1])
            assert {p.parent.name for p in group.paths} == {group.laterality}
            assert group.geometry is not None
            assert group.geometry.directions == {"across": "A-P", "down": "H-F", "through": "L-R"}
            assert not any("missing" in w for w in group.warnings)

    def test_laterality_both_is_of_the_series(self, study: Any) -> None:
        self.write_both(study, Laterality="B")
        assert {g.laterality for g in accounted(study.folder)} == {"left", "right"}

    def test_a_few_missing_slices_are_no_second_stack(self, study: Any) -> None:
        study.write(lambda p, z: {"AcquisitionTime": at(p)}, orientation=SAGITTAL, skip=lambda p, z: z == 2)
        (group,) = accounted(study.folder)
        assert any("missing" in w for w in group.warnings)

    @pytest.mark.parametrize(
        ("more", "expected"),
        [
            ({"ImageLaterality": "L", "Laterality": "R"}, ("left", "Laterality")),
            ({"SeriesDescription": "Sag T1 dyn_RIGHT"}, ("right", "description")),
            ({"SeriesDescription": "bright dyn leftover"}, ("", "")),
        ],
    )
    def test_sources(self, study: Any, more: dict[str, str], expected: tuple[str, str]) -> None:
        study.write(lambda p, z: {"AcquisitionTime": at(p)} | more, orientation=SAGITTAL)
        (group,) = accounted(study.folder)
        assert (group.laterality, group.laterality_source) == expected

    def test_tag_against_position_is_said(self, study: Any) -> None:
        self.write_both(study, Laterality="L")
        groups = accounted(study.folder)
        assert [g.laterality for g in groups] == ["left", "left"]
        assert sum(any("check which is right" in w for w in g.warnings) for g in groups) == 1

    def test_directions(self) -> None:
        shape, spacing, place = (2, 3, 4), (1.0, 1.0), (0.0, 0.0, 0.0)
        supine = Geometry.from_dicom(shape, spacing, 1.0, place, (1, 0, 0, 0, 1, 0)).directions
        assert supine == {"across": "R-L", "down": "A-P", "through": "F-H"}
        prone = Geometry.from_dicom(shape, spacing, 1.0, place, (-1, 0, 0, 0, -1, 0)).directions
        assert prone == {"across": "L-R", "down": "P-A", "through": "F-H"}


class TestRoles:
    T2 = {"ScanningSequence": "SE", "MRAcquisitionType": "2D", "RepetitionTime": "4000", "EchoTime": "90"}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("more", "expected"),
        [
            ({"SeriesDescription": "T2 tse tra"}, ("t2", "")),
            ({"SeriesDescription": "T2 tse tra", "ScanOptions": ["PFP", "FS"]}, ("t2", "fat-suppressed")),
            ({"SeriesDescription": "Ax T2 FSE"}, ("t2", "")),
            ({"SeriesDescription": "t2_tirm_tra"}, ("t2", "fat-suppressed")),
            ({"SeriesDescription": "STIR"}, ("t2", "fat-suppressed")),
            ({"SeriesDescription": "T2W_SPAIR"}, ("t2", "fat-suppressed")),
            ({"SeriesDescription": "AX T2 FS"}, ("t2", "fat-suppressed")),
            ({"SeriesDescription": "AX T2 non-FS"}, ("t2", "")),
            (
                {"SeriesDescription": "t2 sag", "SpectrallySelectedSuppression": "FAT"},
                ("t2", "fat-suppressed"),
            ),
            ({"SeriesDescription": "t2 fs", "SpectrallySelectedSuppression": "NONE"}, ("t2", "")),
        ],
    )
    def test_t2(self, study: Any, more: dict[str, Any], expected: tuple[str, str]) -> None:
        study.write(lambda p, z: {"AcquisitionTime": at(0), **self.T2, **more}, skip=lambda p, z: p > 0)
        (group,) = accounted(study.folder)
        assert (group.role, group.judged.detail) == expected
        assert bool(expected[1]) == ("fat suppression" in group.judged.reason)

    def test_mosaic_is_said(self, study: Any) -> None:
        study.write(
            lambda p, z: {
                "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
                "AcquisitionTime": at(p),
            },
            skip=lambda p, z: z > 0,
        )
        (group,) = accounted(study.folder)
        assert group.geometry is None
        assert any("mosaic" in w for w in group.warnings)


BASE = {"ScanningSequence": "EP", "RepetitionTime": "5000", "EchoTime": "80", "SeriesDescription": "Ax DWI"}


def private(ds: Dataset, tag: int, vr: str, value: Any) -> None:
    ds.add_new(tag, vr, value)


class TestDiffusion:
    WEIGHTS = (0.0, 50.0, 800.0, 800.0)

    @pytest.mark.parametrize("unknown", [False, True])
    @pytest.mark.parametrize(
        ("maker", "tag", "vr", "value"),
        [
            ("SIEMENS", 0x0019100C, "IS", lambda b: str(int(b))),
            ("GE MEDICAL SYSTEMS", 0x00431039, "IS", lambda b: [str(int(b) + 1_000_000_000), "8", "0", "0"]),
            ("Philips Medical Systems", 0x20011003, "FL", lambda b: b),
            ("UIH", 0x00651009, "FD", lambda b: b),
            ("Other", 0x00189087, "FD", lambda b: b),
        ],
    )
    def test_every_vendor(
        self,
        study: Any,
        mr_image: Any,
        save_dicom: Any,
        maker: str,
        tag: int,
        vr: str,
        value: Any,
        unknown: bool,
    ) -> None:
        """As written by the scanner, and as passed on by a system that does not know the element (VR UN)."""
        stored = {"IS": lambda v: "\\".join(v if isinstance(v, list) else [v]).encode()}
        stored |= {"FL": lambda v: struct.pack("<f", v), "FD": lambda v: struct.pack("<d", v)}
        for p, b in enumerate(self.WEIGHTS):
            for z in range(len(study.data[0])):
                more = {
                    **BASE,
                    "InstanceNumber": 40 - p * 10 - z,
                    "AcquisitionNumber": p,
                    "Manufacturer": maker,
                }
                ds = mr_image(study.data[p, z], z, **more)
                if unknown and tag & 0x10000:
                    content = stored[vr](value(b))
                    private(ds, tag, "UN", content + b" " * (len(content) % 2))
                else:
                    private(ds, tag, vr, value(b))
                save_dicom(ds, study.folder / f"{p}{z}")
        (group,) = accounted(study.folder)
        assert group.role == "dwi"
        assert [p["b_value"] for p in scan(study.folder).to_json()["groups"][0]["phases"]] == list(
            self.WEIGHTS
        )
        np.testing.assert_array_equal(assemble(group).data, study.data)

    def test_directionality_none_is_zero(self, study: Any, mr_image: Any, save_dicom: Any) -> None:
        for p, b in enumerate((None, 800.0)):
            for z in range(len(study.data[0])):
                ds = mr_image(study.data[p, z], z, **BASE)
                item = Dataset()
                item.DiffusionDirectionality = "ISOTROPIC" if b else "NONE"
                if b:
                    item.DiffusionBValue = b
                ds.MRDiffusionSequence = Sequence([item])
                if b:
                    ds.DiffusionBValue = b
                else:
                    ds.DiffusionDirectionality = "NONE"
                save_dicom(ds, study.folder / f"{p}{z}")
        (group,) = accounted(study.folder)
        assert [p.frames[0].b_value for p in group.phases] == [0.0, 800.0]

    def test_missing_is_taken_as_zero_and_said(self, study: Any, mr_image: Any, save_dicom: Any) -> None:
        for p, b in enumerate((600.0, None)):
            for z in range(len(study.data[0])):
                ds = mr_image(study.data[p, z], z, **BASE)
                if b:
                    ds.DiffusionBValue = b
                save_dicom(ds, study.folder / f"{p}{z}")
        (group,) = accounted(study.folder)
        np.testing.assert_array_equal(assemble(group).data, study.data[[1, 0]])
        assert any("taken as b = 0" in w for w in group.warnings)
