"""8 bits: only where the bundle itself says what they cost, for the very file that was measured."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch

from napari_breast_ai.core import DceVolume
from napari_breast_ai.inference import FeatureCache, InferenceError, KeptFeatures, predict, quantised
from napari_breast_ai.models.bundle import Bundle

PARTS = {quantised.XML: b"a graph", quantised.WEIGHTS: b"its weights"}


class Halves:
    """Stands in an engine's place: torch with features that are a little off."""

    name, precision = "Halves 1", "int8"
    layout, alone = torch.contiguous_format, True

    def __init__(self, parts: dict[str, bytes]) -> None:
        assert parts == PARTS

    def features(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.model.backbone(images) * 0.99

    model: torch.nn.Module


@pytest.fixture
def fast(bundles: Callable[[str], Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A bundle that says of itself that it may be fast."""
    bundle = bundles("gated")
    kind = type("Halves", (Halves,), {"model": bundle.model})
    monkeypatch.setattr(quantised, "Int8Runner", kind)
    monkeypatch.setattr(quantised, "find_spec", lambda name: object())
    for name, raw in PARTS.items():
        (tmp_path / name).write_bytes(raw)
    told = {"auc_loss": 0.0012, "sha256": quantised.hashes(PARTS)}
    return replace(bundle, folder=tmp_path, evaluation={"int8": told})


def test_it_says_so(volume: DceVolume, fast: Bundle) -> None:
    found = predict(volume, fast, engine="fast")
    assert "by Halves 1, int8. In 8 bits, which cost 0.0012 of the AUC" in found.input
    engine = quantised.fast_engine(fast)
    assert quantised.fast_engine(fast) is engine, "it is made once"
    plain = predict(volume, fast)
    assert abs(found.attention - plain.attention).max() > 0
    kept = KeptFeatures(volume, fast, precision="int8")
    predict(volume, fast, engine="fast", kept=kept)
    assert kept.complete
    with pytest.raises(InferenceError, match="another precision"):
        predict(volume, fast, kept=kept)
    with pytest.raises(InferenceError, match="another precision"):
        predict(volume, fast, engine="fast", kept=KeptFeatures(volume, fast))


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        ({}, "nothing says what 8 bits cost it. Measure it"),
        ({"int8": "yes"}, "nothing says what 8 bits cost"),
        ({"int8": {"auc_loss": None}}, "nothing says what 8 bits cost"),
        ({"int8": {"auc_loss": 0.005}}, "cost it 0.005 of the AUC"),
        ({"int8": {"auc_loss": float("nan")}}, "cost it nan of the AUC"),
        ({"int8": {"auc_loss": 0.001, "sha256": {}}}, "not the one that was measured"),
    ],
)
def test_without_that_it_is_refused(
    volume: DceVolume, fast: Bundle, evaluation: dict[str, object], said: str
) -> None:
    with pytest.raises(InferenceError, match=said):
        predict(volume, replace(fast, evaluation=evaluation), engine="fast")


def test_files_that_are_gone_and_packages_that_are_missing(
    volume: DceVolume, fast: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fast.folder / quantised.WEIGHTS).unlink()
    with pytest.raises(InferenceError, match=r"int8\.bin cannot be read"):
        predict(volume, fast, engine="fast")
    monkeypatch.setattr(quantised, "find_spec", lambda name: None)
    with pytest.raises(InferenceError, match="OpenVINO, which is not installed"):
        predict(volume, fast, engine="fast")
    with pytest.raises(InferenceError, match="needs openvino and nncf"):
        quantised.quantise(fast.model, torch.zeros(2, 3, 64, 96))


def test_what_another_file_of_8_bits_gave_is_not_used_again(
    volume: DceVolume, fast: Bundle, tmp_path: Path
) -> None:
    disk = FeatureCache(tmp_path / "cache")
    kept = KeptFeatures(volume, fast, disk=disk, precision="int8")
    predict(volume, fast, engine="fast", kept=kept)
    kept.write()
    assert KeptFeatures(volume, fast, disk=disk, precision="int8").recall() is not None
    told = {"auc_loss": 0.0012, "sha256": {quantised.XML: "measured anew"}}
    anew = KeptFeatures(volume, replace(fast, evaluation={"int8": told}), disk=disk, precision="int8")
    assert anew.recall() is None and anew.get([0]) is None


def test_what_is_not_in_8_bits_is_in_single_precision_on_every_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # OpenVINO stood in for: what is tested is what is asked of it.
    library = MagicMock()
    monkeypatch.setitem(sys.modules, "openvino", library)
    monkeypatch.setattr(quantised, "version", lambda name: "1")
    quantised.Int8Runner(PARTS)
    asked = [call.args[1:] for call in library.Core().compile_model.call_args_list]
    assert [device for device, _ in asked] == ["CPU", "CPU"]
    assert {wishes["INFERENCE_PRECISION_HINT"] for _, wishes in asked} == {"f32"}
