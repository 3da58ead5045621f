"""`convert` and `--times`: any door in, NIfTI or DICOM out."""

import numpy as np
from PIL import Image

from napari_breast_ai.cli import main
from napari_breast_ai.study import read_study


def test_a_study_goes_to_nifti_and_back(study, tmp_path, capsys):
    image = tmp_path / "case.nii.gz"
    assert main(["convert", str(study), str(image)]) == 0
    assert "case.json" in capsys.readouterr().out
    assert main(["convert", str(image), str(tmp_path / "dicom")]) == 0
    first, last = read_study(study), read_study(tmp_path / "dicom")
    np.testing.assert_array_equal(last.data, first.data)
    assert last.geometry.same_as(first.geometry)
    np.testing.assert_allclose(last.times.start_s, first.times.start_s, atol=1e-3)
    assert main(["convert", str(image), str(image)]) == 1
    assert "exists already" in capsys.readouterr().err
    (tmp_path / "case.json").unlink()
    times = ",".join(str(30 * i) for i in range(first.n_phases))
    assert main(["convert", str(image), str(tmp_path / "b.nii"), "--times", times]) == 0
    assert read_study(tmp_path / "b.nii").times.start_s[1] == 30
    assert main(["convert", str(image), str(tmp_path / "c.nii"), "--times", "0,1"]) == 1
    assert "one time per phase" in capsys.readouterr().err


def test_a_picture_gives_a_sentence_where_a_model_needs_phases(bundle, tmp_path, capsys):
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(tmp_path / "a.png")
    out = tmp_path / "out"
    assert main(["predict", str(tmp_path / "a.png"), "--model", str(bundle), "--out", str(out)]) == 1
    assert "phase after the contrast agent" in capsys.readouterr().err
