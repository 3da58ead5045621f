"""`kinetics` as a person types it: files that open, sentences where something is missing."""

import csv
import json
from dataclasses import replace

import nibabel
import numpy as np
import pydicom
import pytest

from napari_breast_ai.annotations import Journal, Placing, journal_path
from napari_breast_ai.cli import main
from napari_breast_ai.core import Box, PhaseTimes
from napari_breast_ai.kinetics import Thresholds, kinetic_maps
from napari_breast_ai.kinetics.motion import METHODS
from napari_breast_ai.study import read_study, write_nifti


def run(capsys, *arguments) -> tuple[int, str, str]:
    status = main(["kinetics", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_maps_tables_and_curves_of_a_study(study, tmp_path, capsys):
    truth = study.parent / "truth.json"
    status, out, err = run(capsys, study, "--boxes", truth, "--out", tmp_path, "--shown", 40)
    assert (status, err) == (0, "")
    assert "nearest to 150 s" in out and "nearest to 450 s" in out and "Research use only" in out
    maps = kinetic_maps(read_study(study))
    image = nibabel.load(tmp_path / "classes.nii.gz")
    np.testing.assert_array_equal(
        np.asarray(image.dataobj).transpose(2, 1, 0), maps.classes(slice(None), Thresholds(shown=40))
    )
    with (tmp_path / "lesions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    boxes = json.loads(truth.read_text())
    assert len(rows) == len(boxes["boxes"] if isinstance(boxes, dict) else boxes)
    with (tmp_path / "curves.csv").open(encoding="utf-8") as file:
        curves = list(csv.DictReader(file))
    assert {row["lesion"] for row in rows} <= {row["curve"] for row in curves}
    for name in ("mip.png", "curves-lesion-1.png", "classes-lesion-1.png", "curves-signal.png"):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
    early = maps.choice.early
    highest = (maps.volume.data[early].astype(float) - maps.volume.data[0]).max(axis=0)
    seen = np.asarray(nibabel.load(tmp_path / "mip-along-slices.nii.gz").dataobj)[:, :, 0].T
    np.testing.assert_array_equal(seen, highest)


def test_boxes_of_a_reader_and_grown_regions(study, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NAPARI_BREAST_AI_DATA", str(tmp_path / "user data"))
    volume = read_study(study)
    source = tmp_path / "study.nii.gz"
    write_nifti(volume, source)
    volume = read_study(source)
    maps = kinetic_maps(volume)
    z, y, x = (int(i) for i in np.unravel_index(np.argmax(maps.initial), maps.initial.shape))
    path = journal_path(tmp_path, volume.identity, "anna")
    journal = Journal(path, "anna", study_uid=volume.identity.study_uid, placing=Placing.of(volume))
    for at in (z, z + 1 if z == 0 else z - 1):
        journal.add(Box(at, y - 4.5, x - 4.5, y + 4.5, x + 4.5, "NME", lesion="one"))
    status, out, err = run(capsys, source, "--reader", "anna", "--out", tmp_path / "out", "--grow")
    assert (status, err) == (0, "") and "lesion 1: region from" in out
    region = np.asarray(nibabel.load(tmp_path / "out" / "region-lesion-1.nii.gz").dataobj)
    assert region.sum() > 0
    with (tmp_path / "out" / "curves.csv").open(encoding="utf-8") as file:
        curves = {row["curve"] for row in csv.DictReader(file)}
    assert {f"lesion 1, slice {box.z}" for box in journal.boxes} < curves
    assert (tmp_path / "out" / "curves-boxes-lesion-1.png").read_bytes()[:4] == b"\x89PNG"
    status, _, err = run(capsys, source, "--reader", "ben", "--out", tmp_path / "out")
    assert status == 1 and "ben has drawn no boxes" in err


def test_without_boxes_there_are_maps_only(study, tmp_path, capsys):
    status, out, _ = run(capsys, study, "--out", tmp_path)
    assert status == 0 and "No boxes were given" in out
    assert (tmp_path / "initial.nii.gz").exists() and not (tmp_path / "lesions.csv").exists()


def test_phases_by_hand(study, tmp_path, capsys):
    status, _, _ = run(capsys, study, "--out", tmp_path, "--pre", 1, "--early", 2, "--late", 4)
    assert status == 0
    told = json.loads((tmp_path / "kinetics.json").read_text(encoding="utf-8"))["phases"]
    assert (told["pre"], told["early"], told["late"]) == (1, 2, 4)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--early", "99"], "There is no phase 99"),
        (["--late", "0"], "does not come after the pre-contrast phase"),
        (["--fast", "10"], "The threshold of medium"),
        (["--boxes", "nothing.json"], "cannot be read"),
    ],
)
def test_bad_input_is_said(study, tmp_path, capsys, more, said):
    status, _, err = run(capsys, study, "--out", tmp_path / "out", *more)
    assert status == 1 and said in err


def test_boxes_of_another_study(study, tmp_path, capsys):
    other = tmp_path / "boxes.json"
    other.write_text('[{"z": 99, "y0": 1, "x0": 1, "y1": 9, "x1": 9, "label": "NME"}]')
    status, _, err = run(capsys, study, "--boxes", other, "--out", tmp_path / "out")
    assert status == 1 and "None of the boxes lies in this study" in err


def test_unknown_times_are_asked_for(study, tmp_path, capsys):
    volume = read_study(study)
    bare = tmp_path / "bare.nii.gz"
    unknown = PhaseTimes((0.0,) * volume.n_phases, ("unknown",) * volume.n_phases)
    write_nifti(replace(volume, times=unknown), bare)
    status, _, err = run(capsys, bare, "--out", tmp_path / "out")
    assert status == 1 and "Tell the times" in err
    times = ",".join(str(90 * k) for k in range(volume.n_phases))
    assert run(capsys, bare, "--out", tmp_path / "out", "--times", times)[0] == 0


def test_phases_of_different_scale_factors(study, tmp_path, capsys):
    """Each phase is stored with a slope of its own; the enhancement is that of the scanner's units."""
    plain = kinetic_maps(read_study(study))
    changed = tmp_path / "study"
    for path in sorted(p for p in study.rglob("*") if p.is_file()):
        ds = pydicom.dcmread(path, force=True)
        if "PixelData" not in ds:
            continue
        slope = 2 ** (int(ds.SeriesNumber) % 3)
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = f"{1 / slope:.6f}", "0", "US"
        pixels = np.minimum(ds.pixel_array.astype(np.int64) * slope, 65535).astype(np.uint16)
        ds.PixelData = pixels.tobytes()
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 15, 0
        target = changed / path.relative_to(study)
        target.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(target)
    volume = read_study(changed)
    assert volume.data.dtype == np.float32
    maps = kinetic_maps(volume)
    assert (maps.choice.pre, maps.choice.early, maps.choice.late) == (
        plain.choice.pre, plain.choice.early, plain.choice.late,
    )  # fmt: skip
    both = plain.tissue() & maps.tissue()
    np.testing.assert_allclose(maps.initial[both], plain.initial[both], rtol=1e-4, atol=1e-3)
    assert not any("scale factor" in one for one in maps.warnings)


def test_the_breasts_are_outlined_and_measured(study, tmp_path, capsys):
    truth = study.parent / "truth.json"
    status, out, err = run(capsys, study, "--out", tmp_path, "--breast", "--bpe", 30, "--boxes", truth)
    assert (status, err) == (0, "") and "density" in out and "from 30 % on" in out
    breast = np.asarray(nibabel.load(tmp_path / "breast.nii.gz").dataobj)
    tissue = np.asarray(nibabel.load(tmp_path / "tissue.nii.gz").dataobj)
    assert set(np.unique(breast)) == {0, 1, 2} and not tissue[breast == 0].any()
    told = json.loads((tmp_path / "breasts.json").read_text(encoding="utf-8"))
    assert [one["side"] for one in told["figures"]] == ["right", "left", "both"]
    both = told["figures"][-1]
    assert both["density_percent"] == pytest.approx(100 * (tissue > 0).sum() / (breast > 0).sum())
    assert both["threshold_percent"] == 30 and both["left_out_ml"] > 0
    with (tmp_path / "breasts.csv").open(encoding="utf-8") as file:
        assert [row["side"] for row in csv.DictReader(file)] == ["right", "left", "both"]


def test_a_network_outlines_the_breasts(study, tmp_path, capsys):
    import torch

    from napari_breast_ai.models.segmentation import SegmentationSpec, make_network, save_segmentation

    spec = SegmentationSpec(arguments={"channels": [2, 4]}, outputs=("background", "breast"))
    network = make_network(spec)
    torch.nn.init.zeros_(network.last.weight)
    network.last.bias.data = torch.tensor([0.0, 1.0])  # all is breast
    save_segmentation(tmp_path / "all", spec, network, "A test's network.")
    status, out, err = run(capsys, study, "--out", tmp_path / "out", "--segmentation", tmp_path / "all")
    assert (status, err) == (0, "") and "network all" in out
    breast = np.asarray(nibabel.load(tmp_path / "out" / "breast.nii.gz").dataobj)
    assert (breast > 0).all() and set(np.unique(breast)) == {1, 2}


def test_motion_is_corrected_and_never_written_over(study, tmp_path, capsys):
    pytest.importorskip("SimpleITK")
    source = tmp_path / "two.nii.gz"
    volume = read_study(study)
    write_nifti(
        replace(volume, data=volume.data[:2], frames=(), times=PhaseTimes((0.0, 90.0), ("a", "a"))), source
    )
    status, out, err = run(capsys, source, "--out", tmp_path / "out", "--motion")
    assert (status, err) == (0, "") and "Motion of phase 1" in out
    corrected = read_study(tmp_path / "out" / "motion-corrected.nii.gz")
    assert corrected.data.shape == volume.data[:2].shape and corrected.times.start_s == (0.0, 90.0)
    np.testing.assert_array_equal(corrected.data[0], volume.data[0])
    assert (corrected.data[1] != volume.data[1]).any()
    before = (tmp_path / "out" / "motion-corrected.nii.gz").read_bytes()
    status, _, err = run(capsys, source, "--out", tmp_path / "out", "--motion")
    assert status == 1 and "never written over" in err
    assert (tmp_path / "out" / "motion-corrected.nii.gz").read_bytes() == before
    # What is wrong with the phases is said before the long work, and nothing lies in the way of the next try.
    status, _, err = run(capsys, source, "--out", tmp_path / "other", "--motion", "--early", "7")
    assert status == 1 and err and not (tmp_path / "other" / "motion-corrected.nii.gz").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--segmentation", "nowhere"], "is no segmentation bundle"),
        (["--bpe", "30"], "belongs to --breast"),
        (["--breast", "--device", "cpu"], "belongs to --segmentation"),
        (["--breast", "--bpe", "0"], "number above 0"),
    ],
)
def test_what_is_wrong_with_the_breasts_is_said(study, tmp_path, capsys, more, said):
    status, _, err = run(capsys, study, "--out", tmp_path / "out", *more)
    assert status == 1 and said in err


def test_every_registration_can_be_asked_for(capsys):
    with pytest.raises(SystemExit):
        main(["kinetics", "study", "--out", "out", "--motion", "--motion-by", "none"])
    offered = capsys.readouterr().err
    assert all(name in offered.rpartition("choose from")[2] for name in METHODS)
