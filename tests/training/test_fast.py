"""What 8 bits cost is measured on patients, written into the bundle, and decides whether it is offered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from napari_breast_ai.cli import main
from napari_breast_ai.inference import InferenceError, predict
from napari_breast_ai.inference.quantised import MOST_LOSS, why_not_fast
from napari_breast_ai.models import load_bundle
from napari_breast_ai.study import read_study
from napari_breast_ai.training import fast
from napari_breast_ai.training.table import read_cohort


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Path]:
    """A table of bright squares and bright lines, and a bundle that tells them apart."""
    rng = np.random.default_rng(1)
    lines = ["case_id,patient_id,path,kind"]
    for i in range(24):
        image = rng.integers(20, 80, (64, 64)).astype(np.uint8)
        kind = ("line", "square")[i % 2]
        image[20:44, 20 : 20 + (24 if kind == "square" else 4)] = 230
        Image.fromarray(image).save(tmp_path / f"{i}.png")
        lines.append(f"c{i},p{i},{i}.png,{kind}")
    table = tmp_path / "t.csv"
    table.write_text("\n".join(lines))
    torch.manual_seed(0)
    told = ["--label", "kind=square,line", "--recipe", "squeezenet-ridge", "--weights", "random"]
    told += ["--set", "preparation.source.kind=picture", "--set", "preparation.size=[64, 64]"]
    told += ["--protocol", "sequential", "--threads", "1", "--out", str(tmp_path / "run")]
    assert main(["train", str(table), *told]) == 0
    return table, tmp_path / "run" / "bundle"


def test_8_bits_are_measured_and_used(trained: tuple[Path, Path], tmp_path: Path, capsys: Any) -> None:
    for name in ("openvino", "nncf"):
        pytest.importorskip(name, reason="the extra openvino is not installed")
    table, folder = trained
    bundle = load_bundle(folder)
    volume = read_study(table.parent / "3.png")
    with pytest.raises(InferenceError, match="nothing says what 8 bits cost"):
        predict(volume, bundle, engine="fast")
    assert main(["evaluate", str(folder), str(table), "--out", str(tmp_path / "fast"), "--int8"]) == 0
    said = capsys.readouterr().out
    assert "8 bits cost at most" in said
    # The first part of the table trained: its patients give the ranges, and the others alone are judged.
    assert "The model was trained on 19 of the table's 24 patients" in said and "left out" in said
    made = load_bundle(tmp_path / "fast" / "bundle")
    told = made.evaluation["int8"]
    assert told["calibration_slices"] == 19 and told["slices"] == told["patients"] == 5
    assert told["known"]["patients"] == 19 and told["known"]["left out"]
    assert set(told["auc"]) == {"square against line/per slice/AUC", "square against line/per patient/AUC"}
    assert made.ref == bundle.ref and made.evaluation | {"int8": None} == bundle.evaluation | {"int8": None}
    assert ("is offered" in said) == (told["auc_loss"] < MOST_LOSS) == (why_not_fast(made) == "")
    if not why_not_fast(made):
        found, plain = (predict(volume, made, engine=engine) for engine in ("fast", "torch"))
        assert "int8. In 8 bits" in found.input
        assert found.probabilities["square"] == pytest.approx(plain.probabilities["square"], abs=0.1)
    (tmp_path / "fast" / "bundle" / "int8.bin").write_bytes(b"other")
    with pytest.raises(InferenceError, match=r"not the one that was measured|not offered"):
        predict(volume, made, engine="fast")
    json.dumps(told, allow_nan=False)


def test_nobody_is_judged_whom_the_model_was_trained_on(
    trained: tuple[Path, Path], tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, folder = trained
    small = table.with_name("one.csv")
    small.write_text("\n".join(table.read_text().splitlines()[:2]))
    command = ["evaluate", str(folder), str(small), "--out", str(tmp_path / "fast"), "--int8"]
    assert main(command) == 1
    assert "trained on every patient of one.csv" in capsys.readouterr().err
    assert main([*command, "--known"]) == 1
    assert "cannot be measured on one patient" in capsys.readouterr().err

    class Plain:
        """Stands in OpenVINO's place: the backbone as it is."""

        def __init__(self, parts: dict[str, bytes]) -> None:
            self.backbone = load_bundle(folder).model.backbone

        def features(self, images: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return self.backbone(images)

    looked = []
    monkeypatch.setattr(fast, "quantise", lambda model, images: looked.append(len(images)) or {})
    monkeypatch.setattr(fast, "Int8Runner", Plain)
    monkeypatch.setattr(fast, "version", lambda name: "1")
    bundle, cohort = load_bundle(folder), read_cohort(table)
    told, (said,) = fast.with_fast(bundle, cohort, tmp_path / "left")
    assert looked == [19] and told["patients"] == 5 and "left out" in said
    told, (said,) = fast.with_fast(bundle, cohort, tmp_path / "all", known=True)
    assert looked == [19, 6] and told["patients"] == 18 and "flatter" in said
