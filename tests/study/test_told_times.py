"""Times that a person told are kept beside the case and recalled by every way of opening it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest

from napari_breast_ai.phantom import write_dicom
from napari_breast_ai.study import (
    Loader,
    StudyError,
    open_study,
    read_study,
    recall_times,
    tell_times,
    times_unknown,
)
from napari_breast_ai.study.told_times import TOLD


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_BREAST_AI_DATA", str(tmp_path / "user-data"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Four phases that do not say when they were taken."""
    path = tmp_path / "case" / "series.nii.gz"
    path.parent.mkdir()
    values = np.random.default_rng(0).integers(0, 900, (20, 18, 6, 4)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, -1.0, 2.0, 1.0])), path)
    return path


@pytest.fixture
def dicom(tmp_path: Path, phantom_factory: Callable[..., Any]) -> Path:
    """A dynamic series whose images carry no times at all."""
    folder = tmp_path / "dicom"
    write_dicom(phantom_factory("igm", shape=(6, 48, 48), n_phases=3), folder, "ge")
    for path in folder.rglob("*"):
        if path.is_file():
            ds = pydicom.dcmread(path)
            for name in (
                "AcquisitionTime",
                "ContentTime",
                "TriggerTime",
                "AcquisitionDateTime",
                "SeriesTime",
            ):
                if name in ds:
                    del ds[name]
            for name in ("AcquisitionDate", "ContentDate", "TemporalResolution", "AcquisitionDuration"):
                if name in ds:
                    del ds[name]
            ds.save_as(path)
    return folder


def test_told_once_known_ever_after(image: Path) -> None:
    before = read_study(image)
    assert times_unknown(before) and any("Type their times" in one for one in before.warnings)
    told = tell_times(before, [10, 100, 190.5, 281], image, "anna")
    assert told.times.start_s == (0.0, 90.0, 180.5, 271.0) and set(told.times.source) == {TOLD}
    assert told.data is before.data and not times_unknown(told)
    for opened in (read_study(image), read_study(image.parent), open_study([image])):
        assert opened.times == told.times
        assert not any("unknown" in one for one in opened.warnings)
    (kept,) = (image.parent / "napari-breast-ai").iterdir()
    assert json.loads(kept.read_text())["by"] == "anna"
    # What is told on the command line is not overruled, and another telling takes the place of the first.
    assert read_study(image, times=(0, 1, 2, 3)).times.start_s == (0, 1, 2, 3)
    tell_times(before, [0, 60, 120, 180], image)
    assert read_study(image).times.start_s == (0, 60, 120, 180)


def test_dicom_without_times(dicom: Path) -> None:
    before = open_study(dicom)
    assert isinstance(before, Loader) and times_unknown(before.volume)
    assert before.volume.warnings
    tell_times(before.volume, [0, 70, 140], dicom)
    after = open_study(dicom)
    assert isinstance(after, Loader) and after.volume.times.start_s == (0, 70, 140)
    assert not any("do not tell when" in one for one in after.volume.warnings)
    assert recall_times(before.volume, dicom).data is before.volume.data
    # Another order of the phases has other times.
    turned = replace(before.volume, frames=before.volume.frames[::-1])
    assert times_unknown(recall_times(turned, dicom))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ([0, 90, 180], "are 3, and the study has 4 phases"),
        ([0, 90, 80, 180], "do not fall"),
        ([0, 90, 90, 180], "times that rise"),
        ([0, 90, float("nan"), 180], "must be numbers"),
        ([], "are 0"),
    ],
)
def test_what_cannot_be_is_said_and_not_kept(image: Path, seconds: list[float], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        tell_times(read_study(image), seconds, image)
    assert not (image.parent / "napari-breast-ai").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": "x"}', '{"phase_times_s": [true]}', "\0" * 9])
def test_a_damaged_file_is_said_and_replaced(image: Path, content: str) -> None:
    volume = read_study(image)
    tell_times(volume, [0, 60, 120, 180], image)
    (kept,) = (image.parent / "napari-breast-ai").iterdir()
    kept.write_text(content)
    after = read_study(image)
    assert times_unknown(after) and any("told before" in one and kept.name in one for one in after.warnings)
    tell_times(after, [0, 60, 120, 180], image)
    assert not times_unknown(read_study(image))


def test_a_closed_folder_keeps_them_elsewhere(image: Path, tmp_path: Path) -> None:
    image.parent.chmod(0o555)
    try:
        tell_times(read_study(image), [0, 60, 120, 180], image)
        assert read_study(image).times.start_s == (0, 60, 120, 180)
        assert len(list((tmp_path / "user-data" / "cases").iterdir())) == 1
    finally:
        image.parent.chmod(0o755)
