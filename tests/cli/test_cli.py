"""The commands as a person types them: what they leave, what they say, and their exit status."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from napari_breast_ai.cli import main


def test_index_accounts_for_every_file(study, tmp_path, capsys):
    assert main(["index", str(study), "--json", str(tmp_path / "audit.json")]) == 0
    audit = json.loads((tmp_path / "audit.json").read_text())
    on_disk = sum(path.is_file() for path in study.rglob("*"))
    assert audit["files"] == on_disk
    assert sum(group["files"] for group in audit["groups"]) + len(audit["unused"]) == on_disk
    (dce,) = [group for group in audit["groups"] if group["role"] == "dce"]
    assert len(dce["phases"]) == 6
    assert dce["n_slices"] == 10
    np.testing.assert_allclose([phase["time_s"] for phase in dce["phases"]], np.arange(6) * 60.0, atol=0.01)

    capsys.readouterr()
    assert main(["index", str(study)]) == 0
    assert f"{on_disk} files" in capsys.readouterr().out


def test_predict_writes_what_it_promises(study, bundle, tmp_path, capsys):
    out = tmp_path / "result"
    truth = study.parent / "truth.json"
    arguments = [
        "predict",
        str(study),
        "--model",
        str(bundle),
        "--out",
        str(out),
        "--boxes",
        str(truth),
        "--top",
        "2",
    ]
    assert main(arguments) == 0
    prediction = json.loads((out / "prediction.json").read_text())
    assert len(prediction["model"]["sha256"]) == 64
    text = (out / "prediction.json").read_text()
    assert "PHANTOM" not in text, "a patient's name got into the prediction"
    with (out / "probabilities.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["slice"] != "case"]
    assert [int(row["slice"]) for row in rows] == list(range(10))
    for row in rows:
        assert float(row["IGM"]) + float(row["NME"]) == pytest.approx(1, abs=1e-4)
        assert 0 <= float(row["lesion"]) <= 1
    with np.load(out / "heatmaps.npz", allow_pickle=False) as maps:
        assert maps["attention"].shape[0] == 10
        assert np.isfinite(maps["attention"]).all()
    assert len(list(out.glob("*.png"))) == 2
    assert "Research use only" in capsys.readouterr().out


def test_chosen_slices_only(study, bundle, tmp_path):
    arguments = [
        "predict",
        str(study),
        "--model",
        str(bundle),
        "--out",
        str(tmp_path),
        "--slices",
        "2,5-6",
        "--quiet",
    ]
    assert main(arguments) == 0
    with (tmp_path / "probabilities.csv").open(newline="") as file:
        assert [row["slice"] for row in csv.DictReader(file)] == ["2", "5", "6", "case"]


def test_models_are_listed(capsys):
    assert main(["models"]) == 0
    assert "squeezenet-narrow" in capsys.readouterr().out


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must fail with a sentence on standard error, and return the sentence."""
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert "defect" not in captured.err, captured.err
    assert captured.out == ""
    return captured.err


def test_bad_studies_are_refused_in_words(bundle, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "out"
    predict = ["predict", "--model", str(bundle), "--out", str(out)]
    assert "no files" in refused([*predict, str(empty)], capsys)
    (empty / "letter.txt").write_text("Dear colleague")
    assert "DICOM" in refused([*predict, str(empty)], capsys)
    assert "no file or folder" in refused([*predict, str(tmp_path / "missing")], capsys)
    assert list(out.iterdir()) == []


def test_one_phase_is_not_a_dynamic_study(study, bundle, tmp_path, capsys):
    from pydicom import dcmread

    single = tmp_path / "single"
    single.mkdir()
    headers = [(path, dcmread(path, stop_before_pixels=True)) for path in study.rglob("*") if path.is_file()]
    first = min(h.SeriesNumber for _, h in headers)
    for path, header in headers:
        if header.SeriesNumber == first:
            shutil.copy(path, single / path.name)
    arguments = ["predict", str(single), "--model", str(bundle), "--out", str(tmp_path / "out")]
    assert "one phase" in refused(arguments, capsys)


def test_bad_models_are_refused_in_words(study, bundle, tmp_path, capsys):
    predict = ["predict", str(study), "--out", str(tmp_path / "out"), "--model"]
    assert "demo-no-such" in refused([*predict, "demo-no-such"], capsys)
    assert str(tmp_path) in refused([*predict, str(tmp_path)], capsys)
    changed = shutil.copytree(bundle, tmp_path / "changed")
    weights = bytearray((changed / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (changed / "model.safetensors").write_bytes(weights)
    assert "hash" in refused([*predict, str(changed)], capsys)
    assert not (tmp_path / "out" / "prediction.json").exists()


def test_an_output_folder_that_cannot_be_made_is_said_before_the_work(study, bundle, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    arguments = ["predict", str(study), "--model", str(bundle), "--out", str(tmp_path / "file" / "out")]
    assert "cannot be written" in refused(arguments, capsys)


def test_bad_usage_ends_with_2(capsys):
    for arguments in (
        [],
        ["predict"],
        ["phantom", "x", "--kind", "cyst"],
        ["phantom", "x", "--kind=igm", "--size=3x4"],
        ["phantom", "x", "--kind=igm", "--seed=-1"],
        ["predict", "x", "--model=m", "--out=o", "--slices=5-3"],
        ["predict", "x", "--model=m", "--out=o", "--slices=0-999999999999"],
        ["predict", "x", "--model=m", "--out=o", "--top=-1"],
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
    capsys.readouterr()


def test_debug_shows_the_traceback(tmp_path):
    from napari_breast_ai.core import BreastAIError

    with pytest.raises(BreastAIError, match="no file or folder"):
        main(["index", str(tmp_path / "missing"), "--debug"])


def test_stopping_leaves_nothing(study, bundle, tmp_path, monkeypatch, capsys):
    from napari_breast_ai import cli
    from napari_breast_ai.core import Cancelled

    def stop_in_the_middle(done, total, what):
        if total > 1 and done == 1:
            raise Cancelled

    monkeypatch.setattr(cli, "silent", stop_in_the_middle)
    out = tmp_path / "out"
    assert main(["predict", str(study), "--model", str(bundle), "--out", str(out)]) == 130
    assert list(out.iterdir()) == []
    capsys.readouterr()


def run(arguments: list[str], **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "napari_breast_ai", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )


def test_output_that_knows_few_characters(study):
    """Redirected output on Windows knows a code page only; what it lacks becomes a question mark."""
    out, err = (process := run(["index", str(study)], PYTHONIOENCODING="ascii")).communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"6 phase(s) ? 10 slice(s)" in out


@pytest.mark.skipif(os.name == "nt", reason="Windows reports a closed pipe in another way")
def test_a_reader_who_has_enough_is_no_defect(study):
    process = run(["index", str(study)])
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr as stream:
        assert stream.read() == b""
    assert process.wait() == 0


def test_help_needs_neither_torch_nor_napari():
    code = (
        "import sys; from napari_breast_ai.cli import main\n"
        "try: main(['predict', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'napari', 'pydicom', 'qtpy') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.strip().endswith("[]")


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (ModuleNotFoundError("No module named 'napari'", name="napari"), "needs napari"),
        (ImportError("libglib-2.0.so.0: cannot open shared object file"), "make system"),
    ],
)
def test_a_window_that_cannot_be_opened_is_said(study, tmp_path, monkeypatch, capsys, fault, advice):
    import builtins

    known = builtins.__import__

    def without_the_window(name, *rest, **more):
        if name == "viewer":
            raise fault
        return known(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_the_window)
    assert main(["view", str(study), "--no-wait"]) == 1
    assert advice in capsys.readouterr().err
