"""What enhanced files say in sequences: the side, the contrast agent; and the scale of ultrasound pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from napari_breast_ai.study import Group, read_study, scan

START, STEP = 36900.0, 61.5


def item(**attributes: Any) -> Dataset:
    ds = Dataset()
    for name, value in attributes.items():
        setattr(ds, name, value)
    return ds


def clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}"


def edited(path: Path, edit: Callable[[Dataset], None]) -> Group:
    ds = pydicom.dcmread(path)
    edit(ds)
    ds.save_as(path)
    (group,) = scan(path.parent).groups
    return group


def each_frame(ds: Dataset, groups: Callable[[int], dict[str, Any]]) -> None:
    for own in ds.PerFrameFunctionalGroupsSequence:
        for name, value in groups(own.FrameContentSequence[0].TemporalPositionIndex).items():
            setattr(own, name, [value])


class TestSide:
    @pytest.mark.parametrize(("said", "side"), [("L", "left"), ("R", "right"), ("B", "both")])
    @pytest.mark.parametrize("shared", [True, False])
    def test_frame_anatomy(self, study: Any, said: str, side: str, shared: bool) -> None:
        def edit(ds: Dataset) -> None:
            anatomy = item(FrameLaterality=said)
            if shared:
                ds.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
            else:
                each_frame(ds, lambda p: {"FrameAnatomySequence": anatomy})

        group = edited(study.write_enhanced(), edit)
        assert (group.laterality, group.laterality_source) == (side, "FrameLaterality")

    def test_unpaired_says_nothing_of_a_side(self, study: Any) -> None:
        group = edited(
            study.write_enhanced(),
            lambda ds: setattr(
                ds.SharedFunctionalGroupsSequence[0], "FrameAnatomySequence", [item(FrameLaterality="U")]
            ),
        )
        assert group.laterality_source != "FrameLaterality"


def agents(*given: float | None) -> Callable[[Dataset], None]:
    """An agent for each time; None for one whose time is not told."""

    def edit(ds: Dataset) -> None:
        ds.ContrastBolusAgentSequence = [
            item(
                CodeValue="C-B03BE",
                ContrastBolusAgentNumber=number + 1,
                ContrastAdministrationProfileSequence=[
                    item(ContrastBolusVolume=10.0)
                    if seconds is None
                    else item(ContrastBolusStartTime=clock(START + seconds), ContrastBolusVolume=10.0)
                ],
            )
            for number, seconds in enumerate(given)
        ]

    return edit


def used(*phases: Sequence[str] | str) -> Callable[[Dataset], None]:
    """What each phase says of the agent's administration."""

    def edit(ds: Dataset) -> None:
        each_frame(
            ds,
            lambda p: {
                "ContrastBolusUsageSequence": item(
                    ContrastBolusAgentNumber=1, ContrastBolusAgentAdministered=phases[p - 1]
                )
            },
        )

    return edit


class TestContrast:
    @pytest.mark.parametrize("given", [(70.0,), (95.0, 70.0), (None, 70.0)])
    def test_the_time_of_the_first_agent(self, study: Any, given: tuple[float | None, ...]) -> None:
        group = edited(study.write_enhanced(), agents(*given))
        assert (group.contrast_s, group.pre_contrast) == (70.0, 0)
        assert "a contrast agent is named" in group.judged.reason

    def test_an_agent_without_a_time(self, study: Any) -> None:
        group = edited(study.write_enhanced(), agents(None))
        assert group.contrast_s is None and "a contrast agent is named" in group.judged.reason

    def test_a_second_pre_contrast_phase_by_time(self, study: Any) -> None:
        assert edited(study.write_enhanced(), agents(121.0)).pre_contrast == 1

    @pytest.mark.parametrize("before", [1, 2, 3])
    def test_what_images_say_themselves(self, study: Any, before: int) -> None:
        group = edited(study.write_enhanced(), used(*["NO"] * before, *["YES"] * (4 - before)))
        assert (group.pre_contrast, group.contrast_s) == (before - 1, None)
        assert not any("contrast" in said for said in group.warnings)

    def test_no_phase_before(self, study: Any) -> None:
        group = edited(study.write_enhanced(), used(*["YES"] * 4))
        assert any("had been given before each phase" in said for said in group.warnings)

    def test_contradictions_are_said(self, study: Any) -> None:
        group = edited(study.write_enhanced(), used("NO", "YES", "NO", "YES"))
        assert group.pre_contrast == 0
        assert any("contradict each other on when the contrast" in said for said in group.warnings)

    def test_the_time_goes_before(self, study: Any) -> None:
        def edit(ds: Dataset) -> None:
            agents(121.0)(ds)
            used("NO", "NO", "NO", "YES")(ds)

        group = edited(study.write_enhanced(), edit)
        assert group.pre_contrast == 1
        assert any("ContrastBolusStartTime disagree" in said for said in group.warnings)


def region(**more: Any) -> Dataset:
    plain: dict[str, Any] = {
        "RegionSpatialFormat": 1,
        "RegionDataType": 1,
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": 0.0075,
        "PhysicalDeltaY": 0.009,
    }
    return item(**(plain | more))


DOPPLER = region(RegionSpatialFormat=3, PhysicalUnitsXDirection=4, PhysicalUnitsYDirection=7)


@pytest.mark.parametrize(
    ("regions", "spacing"),
    [
        ([region()], (0.09, 0.075)),
        ([region(), region()], (0.09, 0.075)),
        ([region(), DOPPLER], (0.09, 0.075)),
        ([region(PhysicalDeltaY=-0.009)], (0.09, 0.075)),
        ([region(), region(PhysicalDeltaX=0.0125)], None),
        ([DOPPLER], None),
        ([region(PhysicalDeltaX=0.0)], None),
        ([], None),
    ],
)
def test_the_scale_of_ultrasound(
    tmp_path: Path,
    mr_image: Any,
    save_dicom: Any,
    regions: list[Dataset],
    spacing: tuple[float, float] | None,
) -> None:
    pixels = np.arange(600, dtype=np.uint16).reshape(20, 30)
    ds = mr_image(
        pixels, 0, SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1", Modality="US", PixelSpacing=None,
        ImagePositionPatient=None, ImageOrientationPatient=None, SequenceOfUltrasoundRegions=regions,
    )  # fmt: skip
    volume = read_study(save_dicom(ds, tmp_path / "us.dcm"))
    assert volume.geometry.spacing[1:] == pytest.approx(spacing or (1.0, 1.0))
    said = " ".join(volume.warnings)
    assert ("no physical size" in said) == (spacing is None)
    assert ("Lengths hold inside the ultrasound image" in said) == (spacing is not None)
