"""Folders and files become layers; everything else is left to other plugins."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Layer
from PIL import Image

from napari_breast_ai.core import BreastAIError
from napari_breast_ai.study import read_study
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer.reader import get_reader
from napari_breast_ai.viewer.session import Session


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory, phantom_factory: Callable[..., Any]
) -> tuple[Path, Any]:
    from napari_breast_ai.phantom import write_dicom

    phantom = phantom_factory("nme", shape=(6, 48, 48), n_phases=3)
    folder = tmp_path_factory.mktemp("study")
    write_dicom(phantom, folder, "ge")
    return folder, phantom


def test_a_folder_and_its_files_read_alike(written: tuple[Path, Any]) -> None:
    folder, phantom = written
    files = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    for path in (str(folder), files):
        reader = get_reader(path)
        assert reader is not None
        (data, settings, kind), *_ = reader(path)
        assert kind == "image" and settings["name"] == "Dynamic"
        np.testing.assert_array_equal(data, phantom.volume.data)
        np.testing.assert_allclose(settings["scale"][1:], phantom.volume.geometry.spacing)
        assert settings["metadata"][look.KEY]["source"] == (path if isinstance(path, str) else files[0])


def test_boxes_of_a_study_that_was_read_are_beside_it(written: tuple[Path, Any], session: Session) -> None:
    folder, _ = written
    reader = get_reader(str(folder))
    assert reader is not None
    for data in reader(str(folder)):
        session.viewer.add_layer(Layer.create(*data))
    assert session.journal is not None and session.volume is not None
    assert session.journal.path.parent.parent == folder
    assert session.volume.identity.synthetic and "Synthetic data" in session.readout.text


def test_other_formats_are_ours_too(written: tuple[Path, Any], tmp_path: Path) -> None:
    folder, phantom = written
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", folder)
    for name in (archive, "a.nii.gz", "b.nii", "c.NRRD", "d.mha", "e.mhd"):
        assert get_reader(name) is not None
    reader = get_reader(archive)
    assert reader is not None
    np.testing.assert_array_equal(reader(archive)[0][0], phantom.volume.data)


def test_a_picture_opens_as_one_slice(tmp_path: Path, session: Session) -> None:
    Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40)).save(tmp_path / "a.png")
    session.show_study(read_study(tmp_path / "a.png"), str(tmp_path / "a.png"))
    assert session.volume is not None and session.volume.data.shape == (1, 1, 30, 40)
    session.go_to(0, 0)
    assert (session.slice_index, session.phase_index) == (0, 0)
    session.close_study()


def test_what_is_not_dicom_is_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "0001").write_bytes(b"not an image, but long enough to look at" * 10)
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    assert get_reader(str(tmp_path / "0001")) is None
    assert get_reader(str(tmp_path / "photo.png")) is None
    assert get_reader(str(tmp_path / "absent")) is None
    assert get_reader([]) is None
    assert get_reader([str(tmp_path), str(tmp_path / "photo.png")]) is None
    (tmp_path / "0002").write_bytes(bytes(128) + b"DICM")
    assert get_reader(str(tmp_path / "0002")) is not None


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    reader = get_reader(str(tmp_path))
    assert reader is not None
    with pytest.raises(BreastAIError):
        reader(str(tmp_path))


def test_the_real_study(data_dir: Path, session: Session, tmp_path: Path, qtbot: Any) -> None:
    source = str(data_dir / "breast_dce_invivo" / "dicom")
    reader = get_reader(source)
    assert reader is not None
    for data in reader(source):
        session.viewer.add_layer(Layer.create(*data))
    assert session.viewer.dims.nsteps == (25, 1, 192, 192)
    session.go_to(0, 24)
    assert "Phase 24 of 0–24, 394 s" in session.readout.text
    assert session.volume is not None
    qtbot.waitUntil(lambda: session.complete, timeout=60_000)
    low, high = session.viewer.layers["Dynamic"].contrast_limits
    assert low < np.median(session.volume.data) < high < session.volume.data.max()
