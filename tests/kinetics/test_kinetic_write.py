"""Maps as files that others read: values, places, and the words for the codes."""

import json

import nibabel
import numpy as np
import pytest

from napari_breast_ai.core import Geometry
from napari_breast_ai.kinetics import KineticsError, Thresholds, kinetic_maps
from napari_breast_ai.kinetics.write import write_map, write_maps


def test_maps_come_back_where_they_were(noisy, tmp_path):
    maps = kinetic_maps(noisy)
    t = Thresholds(shown=30)
    files = write_maps(maps, tmp_path / "new" / "folder", t)
    assert {path.name for path in files} == {
        "initial.nii.gz", "delayed.nii.gz", "ser.nii.gz", "ser-bins.nii.gz", "classes.nii.gz", "kinetics.json",
    }  # fmt: skip
    wanted = {
        "initial": maps.initial, "delayed": maps.delayed, "ser": maps.ser(slice(None)),
        "ser-bins": maps.ser_bins(slice(None), 30), "classes": maps.classes(slice(None), t),
    }  # fmt: skip
    for name, values in wanted.items():
        image = nibabel.load(tmp_path / "new" / "folder" / f"{name}.nii.gz")
        np.testing.assert_array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), values)
        # NIfTI's millimetres point to the right, the front and the head.
        lps = noisy.geometry.to_patient([3, 7, 11])
        np.testing.assert_allclose(image.affine @ [11, 7, 3, 1], [-lps[0], -lps[1], lps[2], 1], atol=1e-4)
    told = json.loads((tmp_path / "new" / "folder" / "kinetics.json").read_text())
    assert told["phases"]["early"] == maps.choice.early and told["thresholds_percent"]["shown"] == 30
    assert told["classes"]["9"] == "washout, fast"


def test_without_a_late_phase_there_are_fewer_maps(study, tmp_path):
    rng = np.random.default_rng(0)
    files = write_maps(kinetic_maps(study(rng.integers(9, 99, (2, 1, 7, 6)).astype(np.uint16))), tmp_path)
    assert {path.name for path in files} == {"initial.nii.gz", "classes.nii.gz", "kinetics.json"}


def test_what_cannot_be_written_is_said(noisy, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(KineticsError, match="could not be written"):
        write_map(np.zeros(noisy.geometry.shape, np.uint8), noisy.geometry, tmp_path / "file" / "x.nii.gz")
    with pytest.raises(KineticsError):
        write_maps(kinetic_maps(noisy), tmp_path, Thresholds(shown=-1))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_tilted_slices_keep_their_place(tmp_path):
    tilted = Geometry((2, 3, 4), (1.0, 1.0, 1.0), np.eye(4) + np.diag([0.3, 0, 0], 1))
    assert not tilted.is_orthogonal
    path = write_map(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), tilted, tmp_path / "x.nii.gz")
    np.testing.assert_allclose(nibabel.load(path).affine, tilted.ras_affine)
