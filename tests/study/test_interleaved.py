"""Phases of one series whose slices lie between each other's, and slices that only look so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from napari_breast_ai.phantom import write_dicom
from napari_breast_ai.study import Group, StudyError, assemble, scan

STEP = 2.5


def at(p: int) -> str:
    return f"10{15 + p:02d}00"


def groups(folder: Path) -> tuple[Group, ...]:
    index = scan(folder)
    files = {path for path in folder.rglob("*") if path.is_file()}
    assert {path for group in index.groups for path in group.paths} == files
    assert sum(len(group.frames) for group in index.groups) == len(
        {f for g in index.groups for f in g.frames}
    )
    return tuple(sorted(index.groups, key=lambda g: g.phases[0].frames[0].position or ()))


def lies(z: int, p: int, offsets: tuple[float, ...]) -> list[float]:
    return [-10.0, -20.0, 30.0 + STEP * z + offsets[p]]


WAYS: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "TemporalPositionIdentifier": lambda p, z: {"TemporalPositionIdentifier": p + 1},
    "AcquisitionTime": lambda p, z: {"AcquisitionTime": at(p)},
    "AcquisitionNumber": lambda p, z: {"AcquisitionNumber": p + 1},
    # a time of its own for every slice, without a pause between the phases
    "TriggerTime": lambda p, z: {"TriggerTime": f"{9000 * p + 1800 * z}"},
}


@pytest.mark.parametrize(
    ("key", "spaced"),
    [(key, spaced) for key in WAYS for spaced in ("SpacingBetweenSlices", "SliceThickness", "rounded")]
    # With a time for every slice and no nominal distance only the positions are left, which tell too little.
    + [(key, "neither") for key in WAYS if key != "TriggerTime"],
)
def test_a_stack_beside_the_first_one(study: Any, key: str, spaced: str) -> None:
    """The first phase at its place, the three later ones a third of a slice higher."""
    without = {
        "SpacingBetweenSlices": {},
        "SliceThickness": {"SpacingBetweenSlices": None},
        "rounded": {"SpacingBetweenSlices": "2.45"},
        "neither": {"SpacingBetweenSlices": None, "SliceThickness": None},
    }[spaced]
    offsets = (0.0, STEP / 3, STEP / 3, STEP / 3)
    study.write(lambda p, z: WAYS[key](p, z) | without | {"ImagePositionPatient": lies(z, p, offsets)})
    first, later = groups(study.folder)
    assert (first.n_phases, first.n_slices, later.n_phases, later.n_slices) == (1, 5, 3, 5)
    assert (first.description, later.description) == ("Ax VIBRANT", "Ax VIBRANT [moved by +0.83 mm]")
    np.testing.assert_array_equal(assemble(first).data, study.data[:1])
    np.testing.assert_array_equal(assemble(later).data, study.data[1:])
    assert later.geometry is not None
    np.testing.assert_allclose(later.geometry.to_patient([0, 0, 0])[2], 30 + STEP / 3, atol=1e-5)
    assert later.geometry.spacing[0] == pytest.approx(STEP)
    for group in (first, later):
        (said,) = [w for w in group.warnings if "between each other's" in w]
        assert f"(0.83 mm beside the first) and that {key} tells apart" in said
        assert not any("unevenly" in w or "mixed" in w for w in group.warnings)
    assert scan(study.folder).dce().n_phases == 3


def test_each_phase_at_a_place_of_its_own(study: Any) -> None:
    """Nothing dynamic is left, and the sentence says why."""
    offsets = (0.0, 0.6, -0.6, 1.2)
    study.write(lambda p, z: {"AcquisitionTime": at(p), "ImagePositionPatient": lies(z, p, offsets)})
    assert [(g.n_phases, g.n_slices) for g in groups(study.folder)] == [(1, 5)] * 4
    with pytest.raises(StudyError, match=r"4 stacks of slices .* was moved between its phases"):
        scan(study.folder).dce()


def test_half_a_slice(study: Any) -> None:
    """All slices together are evenly spaced: that their distance is half the nominal one tells it."""
    offsets = (0.0, 0.0, STEP / 2, STEP / 2)
    study.write(lambda p, z: {"AcquisitionTime": at(p), "ImagePositionPatient": lies(z, p, offsets)})
    assert [(g.n_phases, g.n_slices) for g in groups(study.folder)] == [(2, 5)] * 2


def test_a_slice_is_missing_in_the_stack_beside(study: Any) -> None:
    offsets = (0.0, 0.9, 0.9, 0.9)
    study.write(
        lambda p, z: {"AcquisitionTime": at(p), "ImagePositionPatient": lies(z, p, offsets)},
        skip=lambda p, z: (p, z) == (0, 2),
    )
    first, later = groups(study.folder)
    assert (first.n_phases, len(first.frames), later.n_phases) == (1, 4, 3)
    assert any("1 slices are missing (after slice 1)" in w for w in first.warnings)


def test_a_whole_step_or_less_than_a_tenth_is_no_other_stack(study: Any) -> None:
    """Rounded positions, and a phase that begins a slice later."""
    offsets = (0.0, 0.02, -0.02, 0.01)
    study.write(lambda p, z: {"AcquisitionTime": at(p), "ImagePositionPatient": lies(z, p, offsets)})
    (group,) = groups(study.folder)
    assert group.n_phases == 4


@pytest.mark.parametrize("nominal", [{}, {"SpacingBetweenSlices": None}])
def test_slices_in_turns_stay_one_stack(study: Any, nominal: dict[str, Any]) -> None:
    """A 2D series acquires odd slices, then even ones, each pass with its own time and number."""
    study.write(
        lambda p, z: {
            "ImagePositionPatient": [-10.0, -20.0, 30.0 + STEP * (2 * z + p)],
            "AcquisitionTime": at(p),
            "AcquisitionNumber": p + 1,
            "MRAcquisitionType": "2D",
            **nominal,
        },
        skip=lambda p, z: p > 1,
    )
    (group,) = groups(study.folder)
    assert (group.n_phases, group.n_slices) == (1, 10)
    assert not any("between each other's" in w for w in group.warnings)


def test_a_nominal_distance_that_is_wrong_parts_nothing(study: Any) -> None:
    """Twice the real one, and nothing tells odd slices from even ones."""
    study.write(
        lambda p, z: {
            "ImagePositionPatient": [-10.0, -20.0, 30.0 + STEP / 2 * (5 * p + z)],
            "ContentTime": f"1020{5 * p + z:02d}",
        },
        skip=lambda p, z: p > 1,
    )
    (group,) = groups(study.folder)
    assert (group.n_phases, group.n_slices) == (1, 10)


@pytest.mark.parametrize("manner", ["ge", "philips", "enhanced"])
def test_phantoms_moved_between_phases(
    manner: Any, tmp_path: Path, phantom_factory: Callable[..., Any]
) -> None:
    """From phase 2 on a third of a slice away: both stacks have the pixels and places that were written."""
    phantom = phantom_factory("nme", seed=3, shape=(6, 32, 32), n_phases=4)
    step = phantom.volume.geometry.spacing[0]
    for path in write_dicom(phantom, tmp_path, manner):
        ds = pydicom.dcmread(path)
        items = ds.PerFrameFunctionalGroupsSequence if manner == "enhanced" else [ds]
        for item in items:
            content = item.FrameContentSequence[0] if manner == "enhanced" else item
            number = (
                content.TemporalPositionIndex if manner == "enhanced" else content.TemporalPositionIdentifier
            )
            plane = item.PlanePositionSequence[0] if manner == "enhanced" else item
            if number > 2:
                x, y, z = plane.ImagePositionPatient
                plane.ImagePositionPatient = [x, y, f"{float(z) + step / 3:.8g}"]
        ds.save_as(path)
    before, after = groups(tmp_path)
    np.testing.assert_array_equal(assemble(before).data, phantom.volume.data[:2])
    np.testing.assert_array_equal(assemble(after).data, phantom.volume.data[2:])
    assert before.geometry is not None and after.geometry is not None
    moved = after.geometry.to_patient([1, 2, 3]) - before.geometry.to_patient([1, 2, 3])
    np.testing.assert_allclose(moved, [0, 0, step / 3], atol=1e-4)
