"""A phantom, in each vendor's manner, comes back pixel for pixel, phase for phase, at its time and place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_breast_ai.phantom import MANNERS, write_dicom
from napari_breast_ai.study import read_study, scan


@pytest.mark.parametrize("manner", MANNERS)
def test_comes_back(manner: Any, tmp_path: Path, phantom_factory: Callable[..., Any]) -> None:
    phantom = phantom_factory("nme", seed=2, shape=(6, 64, 64))
    files = write_dicom(phantom, tmp_path / "study", manner)

    index = scan(tmp_path / "study")
    assert index.files == len(files)
    assert not index.unused
    assert {path for group in index.groups for path in group.paths} == set(files)
    assert [g.role for g in index.groups] == (["dce", "derived"] if manner == "siemens" else ["dce"])

    volume = read_study(tmp_path / "study")
    assert volume.data.dtype == phantom.volume.data.dtype
    np.testing.assert_array_equal(volume.data, phantom.volume.data)
    assert volume.geometry.same_as(phantom.volume.geometry)
    np.testing.assert_allclose(volume.times.start_s, phantom.volume.times.start_s, atol=1e-3)
    expected = {
        "ge": "TriggerTime",
        "siemens": "AcquisitionTime",
        "philips": "TriggerTime",
        "enhanced": "FrameAcquisitionDateTime",
    }
    assert set(volume.times.source) == {expected[manner]}
    assert volume.identity.synthetic
    assert volume.identity.study_uid == phantom.volume.identity.study_uid
    assert volume.identity.frame_of_reference_uid == phantom.volume.identity.frame_of_reference_uid
    assert "PHANTOM" not in volume.description.upper()
    assert len(volume.frames) == phantom.volume.n_phases
    assert len({ref for phase in volume.frames for ref in phase}) == volume.n_phases * volume.n_slices


def test_subtraction_stays_apart(tmp_path: Path, phantom_factory: Callable[..., Any]) -> None:
    phantom = phantom_factory("nme", seed=2, shape=(6, 64, 64))
    write_dicom(phantom, tmp_path, "siemens")
    derived = next(g for g in scan(tmp_path).groups if g.role == "derived")
    assert derived.judged.detail == "subtraction"
    assert (derived.n_phases, derived.n_slices) == (1, 6)


def test_all_manners_in_one_folder(tmp_path: Path, phantom_factory: Callable[..., Any]) -> None:
    """Four exports of one study side by side are four dynamic groups, not one of 24 phases."""
    phantom = phantom_factory("nme", seed=2, shape=(6, 64, 64))
    count = sum(len(write_dicom(phantom, tmp_path / manner, manner)) for manner in MANNERS)
    index = scan(tmp_path)
    assert index.files == count
    dynamic = [g for g in index.groups if g.role == "dce"]
    assert [g.n_phases for g in dynamic] == [phantom.volume.n_phases] * 4
