"""`pharmacokinetics`: the real slice from its own DICOM, T1 data and arterial input; what is missing is asked for."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from napari_breast_ai.cli import main
from napari_breast_ai.study import read_study

COMMAND = "pharmacokinetics"


@pytest.fixture(scope="module")
def real(data_dir, tmp_path_factory):
    """The real slice with what belongs to it as files: arterial input, flip angles as NIfTI and as DICOM, a mask."""
    folder = tmp_path_factory.mktemp("pharmacokinetics")
    source = data_dir / "breast_dce_invivo" / "dicom"
    extra = np.load(data_dir / "breast_dce_invivo" / "reference.npz")
    volume = read_study(source)
    affine = volume.geometry.ras_affine
    table = np.column_stack([extra["t_s"], extra["Cp_mM"]])
    np.savetxt(folder / "aif.csv", table, delimiter=",", header="time_s,plasma_mM", comments="")
    images = extra["T1_signal"]
    as_nifti = images[:, None].transpose(3, 2, 1, 0).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(as_nifti, affine), folder / "angles.nii.gz")
    lesion = np.zeros(volume.geometry.shape, np.uint8)
    lesion[0, 97:125, 86:113] = 1
    nibabel.save(nibabel.Nifti1Image(lesion.transpose(2, 1, 0), affine), folder / "lesion.nii.gz")
    vessel = np.zeros_like(lesion)
    vessel[0, 112:122, 158:166] = 1
    nibabel.save(nibabel.Nifti1Image(vessel.transpose(2, 1, 0), affine), folder / "vessel.nii.gz")
    ds = pydicom.dcmread(sorted(source.iterdir())[0])
    (folder / "angles").mkdir()
    for number, (flip, image) in enumerate(zip(extra["T1_flip_deg"], images, strict=True)):
        ds.FlipAngle, ds.SeriesNumber = str(int(flip)), 100 + number
        ds.SeriesInstanceUID, ds.SOPInstanceUID = generate_uid(), generate_uid()
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.SeriesDescription = f"VFA {flip}"
        ds.RescaleSlope, ds.RescaleIntercept = "120", "0"
        ds.PixelData = np.rint(image / 120).astype(np.uint16).tobytes()
        ds.save_as(folder / "angles" / f"{number:02d}.dcm")
    return source, folder


def run(source, out, *more):
    return main([COMMAND, str(source), "--out", str(out), *map(str, more)])


def told(out):
    return json.loads((out / "pharmacokinetics.json").read_text(encoding="utf-8"))


def image(out, name):
    return nibabel.load(out / f"{name}.nii.gz")


@pytest.fixture(scope="module")
def done(real):
    source, folder = real
    out = folder / "out"
    own = ["--aif", folder / "aif.csv", "--relaxivity", 4.5, "--baseline", "0-3"]
    assert run(source, out, *own, "--t1-angles", folder / "angles") == 0
    return out


def test_the_real_slice_gives_maps_on_its_own_geometry(real, done):
    source, _ = real
    volume = read_study(source)
    for name in ("ktrans", "kep", "ve", "vp", "r2", "rmse", "aicc", "t1", "status"):
        found = image(done, name)
        assert found.shape == volume.geometry.shape[::-1]
        np.testing.assert_allclose(found.affine, volume.geometry.ras_affine, atol=1e-4)
        assert np.isfinite(found.get_fdata()).all()
    assert (done / "maps.png").stat().st_size > 20_000
    ring = image(done, "ktrans").get_fdata()[92:108, 99:118, 0]
    assert 0.05 < np.median(ring) < 0.3


def test_the_file_says_what_was_assumed(done):
    found = told(done)
    assert found["schema"] == "napari-breast-ai/pharmacokinetics" and found["model"] == "extended-tofts"
    assert found["repetition_time_s"] == pytest.approx(0.007939)
    assert found["flip_angle_deg"] == 20 and found["relaxivity_per_s_mM"] == 4.5
    assert found["t1_measured"] is True and found["t1_s"] is None
    assert found["units"]["ktrans"] == "1/min"
    assert found["baseline_phases"] == [0, 1, 2, 3]
    text = " ".join(found["notes"])
    for sentence in (
        "non-linear fit of flip angles 2, 4, 6",
        "from the images' headers",
        "aif.csv",
        "16 s apart",
    ):
        assert sentence in text
    assert sum(found["voxels"].values()) == 192 * 192
    status = image(done, "status").get_fdata()
    assert found["voxels"]["fitted"] == (status == 1).sum() > 10_000
    assert (image(done, "ktrans").get_fdata()[status != 1] == 0).all()


def test_flip_angles_of_nifti_and_of_dicom_give_the_same_maps(real, done):
    source, folder = real
    out = folder / "nifti"
    own = [
        "--aif",
        folder / "aif.csv",
        "--relaxivity",
        4.5,
        "--baseline",
        "0-3",
        "--mask",
        folder / "lesion.nii.gz",
    ]
    angles = [
        "--t1-angles",
        folder / "angles.nii.gz",
        "--flips",
        "20,18,16,14,12,10,8,6,4,2",
        "--t1-tr",
        7.939,
    ]
    assert run(source, out, *own, *angles) == 0
    both = [image(where, "ktrans").get_fdata() for where in (out, done)]
    inside = image(out, "status").get_fdata() == 1
    assert inside.sum() > 600
    assert (
        np.median(np.abs(both[0] - both[1])[inside] / (0.01 + both[1][inside])) < 1e-3
    )  # pixels were rounded
    assert run(source, out, *own, *angles[:2]) == 1


def test_a_population_input_and_an_assumed_t1_are_said(real, capsys):
    source, folder = real
    out = folder / "population"
    mask = ["--mask", folder / "lesion.nii.gz"]
    assert (
        run(source, out, "--aif", "parker", "--arrival", "find", "--t1", 1.6, "--relaxivity", 4.5, *mask) == 0
    )
    said = capsys.readouterr().out
    for sentence in (
        "not this patient's",
        "assumed to be 1.6 s in all tissue",
        "haematocrit of 0.42",
        "was looked for",
    ):
        assert sentence in said
    # The measured plasma curve begins to rise at 50 s and peaks at 82 s.
    assert 40 < np.loadtxt(out / "arterial-input.csv", delimiter=",", skiprows=1)[0, 0] < 85
    assert "was looked for" in told(out)["arterial_input"]
    assert told(out)["t1_s"] == 1.6 and not (out / "t1.nii.gz").exists()


def test_an_artery_that_was_drawn(real):
    source, folder = real
    out = folder / "drawn"
    more = ["--aif-mask", folder / "vessel.nii.gz", "--t1", 1.6, "--relaxivity", 4.5, "--baseline", "0-3"]
    mask = ["--mask", folder / "lesion.nii.gz", "--model", "tofts"]
    assert run(source, out, *more, *mask, "--blood-t1", 1.5, "--delay", 2) == 0
    assert "drawn in a vessel" in told(out)["arterial_input"] and told(out)["arterial_delay_s"] == 2
    assert not (out / "vp.nii.gz").exists()
    points = np.loadtxt(out / "arterial-input.csv", delimiter=",", skiprows=1)
    assert points.shape == (25, 2) and 60 < points[points[:, 1].argmax(), 0] < 120
    assert run(source, out, *more, *mask) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--t1", "1.6", "--aif", "parker"], "--relaxivity"),
        (["--t1", "1.6", "--aif", "parker", "--relaxivity", "4.5"], "When the bolus arrives is not known"),
        (["--t1", "1.6", "--aif", "none.csv", "--relaxivity", "4.5"], "cannot be read as CSV"),
        (["--t1", "1600", "--aif", "parker", "--arrival", "60", "--relaxivity", "4.5"], "cannot be that of tissue"),
        (["--t1", "1.6", "--aif", "parker", "--arrival", "soon", "--relaxivity", "4.5"], "needs a number of seconds"),
        (["--t1", "1.6", "--aif", "parker", "--arrival", "nan", "--relaxivity", "4.5"], "needs a number of seconds"),
        (["--t1", "1.6", "--aif", "parker", "--arrival", "60", "--relaxivity", "0.0045"], "of a contrast agent"),
        (["--t1", "1.6", "--aif", "parker", "--arrival", "60", "--relaxivity", "4", "--tr", "7939"], "Check the unit"),
    ],
)  # fmt: skip
def test_what_is_missing_or_impossible_is_asked_for(real, tmp_path, capsys, more, said):
    assert run(real[0], tmp_path / "out", *more) == 1
    assert said in capsys.readouterr().err


def test_a_study_without_headers_is_asked_for_its_sequence(real, tmp_path, capsys):
    source, folder = real
    file = tmp_path / "study.nii.gz"
    assert main(["convert", str(source), str(file)]) == 0
    more = ["--t1", 1.6, "--aif", folder / "aif.csv", "--relaxivity", 4.5]
    assert run(file, tmp_path / "out", *more) == 1
    asked = capsys.readouterr().err
    assert "--tr" in asked and "--flip" in asked and "--relaxivity" not in asked
    assert (
        run(file, tmp_path / "out", *more, "--tr", 7.939, "--flip", 20, "--mask", folder / "lesion.nii.gz")
        == 0
    )
    timeless = nibabel.load(file)
    timeless.header["pixdim"][4] = 0
    (tmp_path / "other").mkdir()
    nibabel.save(timeless, tmp_path / "other" / "study.nii.gz")
    more += ["--tr", 7.939, "--flip", 20]
    assert run(tmp_path / "other" / "study.nii.gz", tmp_path / "out", *more) == 1
    assert "not known, or do not rise" in capsys.readouterr().err


def test_a_mask_of_another_place_is_refused(real, tmp_path, capsys):
    source, folder = real
    wrong = nibabel.load(folder / "lesion.nii.gz")
    moved = wrong.affine.copy()
    moved[0, 3] += 20
    nibabel.save(nibabel.Nifti1Image(wrong.get_fdata().astype(np.uint8), moved), tmp_path / "wrong.nii.gz")
    more = [
        "--t1",
        1.6,
        "--aif",
        folder / "aif.csv",
        "--relaxivity",
        4.5,
        "--mask",
        tmp_path / "wrong.nii.gz",
    ]
    assert run(source, tmp_path / "out", *more) == 1
    assert "does not lie on the slices of the study" in capsys.readouterr().err


def test_the_command_knows_the_models_and_populations_of_the_room():
    from napari_breast_ai.cli import pharmaco as command
    from napari_breast_ai.kinetics.pharmaco import MODELS, POPULATIONS

    assert set(command._MODELS) == set(MODELS) and set(command._POPULATIONS) == set(POPULATIONS)


def test_contrast_before_the_first_phase_is_no_baseline(real, tmp_path, capsys, monkeypatch):
    """The signal of a phase with contrast in it must not pass for the one without."""
    from dataclasses import replace

    from napari_breast_ai.kinetics import phases
    from napari_breast_ai.study import Loader

    source, folder = real
    begin = Loader.__init__

    def given_before(self, *arguments, **more):
        begin(self, *arguments, **more)
        self.volume = replace(self.volume, warnings=(*self.volume.warnings, f"x {phases._NONE_BEFORE} x"))

    monkeypatch.setattr(Loader, "__init__", given_before)
    own = ["--aif", folder / "aif.csv", "--relaxivity", 4.5, "--t1", 1.4, "--mask", folder / "lesion.nii.gz"]
    assert run(source, tmp_path / "out", *own) == 1
    assert "no signal before contrast" in capsys.readouterr().err
    assert run(source, tmp_path / "out", *own, "--baseline", "0-3") == 0
