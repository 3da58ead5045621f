"""Weights from files and folders, and every refusal in words."""

from __future__ import annotations

import pickle
import urllib.error
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_breast_ai.models import RECIPES, BackboneSpec, ModelError, build, for_weights
from napari_breast_ai.models.backbones import make_network
from napari_breast_ai.models.weights import preprocessing_of

SPEC = RECIPES["attention-squeezenet"]
FILE = "squeezenet1_1-b8a52dc0.pth"
CAFFE = "squeezenet1_1_imagenet_caffe.fp16.safetensors"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return {name: value.clone() for name, value in make_network("squeezenet1_1").state_dict().items()}


def test_file_folder_and_half_precision_give_the_same_weights(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    half = {name: value.half() for name, value in state.items()}
    save_file(half, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pth")
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(state, tmp_path / "hub" / "checkpoints" / FILE)
    for path, exact in ((tmp_path / "w.pth", True), (tmp_path / "w.safetensors", False), (tmp_path, True)):
        model = build(SPEC, path)
        assert model.spec.backbone.origin == f"file {FILE if path.is_dir() else path.name}"
        for name, value in model.backbone.state_dict().items():
            assert value.dtype == torch.float32
            wanted = state[name] if exact else half[name].float()
            assert torch.equal(value, wanted), name


def test_the_backbone_may_lack_what_it_does_not_use(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({k: v for k, v in state.items() if k.startswith("features")}, tmp_path / "w.pth")
    build(SPEC, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"lacks classifier\.1"):
        build(replace(SPEC, backbone=BackboneSpec("squeezenet1_1", "conv10")), tmp_path / "w.pth")


def test_another_number_of_classes_matters_only_where_it_is_used(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    other = dict(state)
    other["classifier.1.weight"], other["classifier.1.bias"] = torch.zeros(7, 512, 1, 1), torch.zeros(7)
    torch.save(other, tmp_path / "w.pth")
    build(SPEC, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"has the shape \(7,\) and should have \(1000,\)"):
        build(replace(SPEC, backbone=BackboneSpec("squeezenet1_1", "conv10")), tmp_path / "w.pth")


def test_old_names_of_densenet_are_understood(tmp_path: Path) -> None:
    network = make_network("densenet121")
    old = {}
    for name, value in network.state_dict().items():
        for part in ("norm", "conv"):
            for number in ("1", "2"):
                name = (
                    name.replace(f".{part}{number}.", f".{part}.{number}.") if "denselayer" in name else name
                )
        old[name] = value
    assert any(".norm.1." in name for name in old)
    torch.save(old, tmp_path / "w.pth")
    model = build(replace(SPEC, backbone=BackboneSpec("densenet121", "features")), tmp_path / "w.pth")
    name = "features.denseblock1.denselayer1.conv1.weight"
    assert torch.equal(model.backbone.state_dict()[name], network.state_dict()[name])


class _Loud:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("w.safetensors", b"not weights", "can't be read"),
        ("w.pth", b"not weights", "can't be read"),
        ("w.pth", b"", "can't be read"),
        ("w.pth", pickle.dumps(_Loud(), protocol=2), "can't be read"),
    ],
)
def test_unreadable_files_are_refused_and_nothing_is_executed(
    name: str, content: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=words):
        build(SPEC, tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_wrong_content_is_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="something else than named tensors"):
        build(SPEC, tmp_path / "w.pth")
    torch.save({**state, "extra": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="extra, which the network doesn't know"):
        build(SPEC, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="not those of resnet18: it lacks"):
        build(replace(SPEC, backbone=BackboneSpec("resnet18", "layer4")), tmp_path / "w.pth")


def test_missing_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no file or folder of weights at"):
        build(SPEC, tmp_path / "nowhere")
    with pytest.raises(ModelError, match=f"holds no {FILE}"):
        build(SPEC, tmp_path)


def test_a_failed_download_tells_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch.hub

    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    import torchvision.models._api as api  # loaded by the fixture's network

    monkeypatch.setattr(api, "load_state_dict_from_url", offline)
    with pytest.raises(ModelError, match=f"could not be downloaded .* put {FILE} .* into a folder"):
        build(SPEC, "download")


def test_a_download_is_used(state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.models._api as api

    asked: list[str] = []

    def fetch(url: str, **_: object) -> dict[str, torch.Tensor]:
        asked.append(url)
        return dict(state)

    monkeypatch.setattr(api, "load_state_dict_from_url", fetch)
    model = build(SPEC, "download")
    assert asked == [f"https://download.pytorch.org/models/{FILE}"]
    assert torch.equal(model.backbone.state_dict()["features.0.weight"], state["features.0.weight"])
    assert "IMAGENET1K_V1" in model.spec.backbone.origin


def test_the_mode_belongs_to_the_weights(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    caffe = RECIPES["squeezenet-narrow"]
    with pytest.raises(ModelError, match="prepared in the mode 'torchvision', and the model says 'caffe'"):
        build(caffe, "download")
    torch.save(state, tmp_path / FILE)
    assert for_weights(caffe, tmp_path).preparation.mode == "torchvision"
    assert for_weights(caffe, "random") == caffe
    torch.save(state, tmp_path / "unknown.pth")
    assert preprocessing_of("squeezenet1_1", tmp_path / "unknown.pth") is None


def test_imagenet_features_are_torchvisions_own(data_dir: Path) -> None:
    """The 1000 features of real slices equal the whole network's forward, and none is negative."""
    import numpy as np
    from PIL import Image

    file = data_dir / "weights" / CAFFE
    spec = RECIPES["squeezenet-narrow"]
    assert for_weights(SPEC, file).preparation.mode == "caffe"
    model = build(spec, file)
    network = make_network("squeezenet1_1").eval()
    network.load_state_dict(load_file(file))
    pictures = sorted((data_dir / "breastdm_png" / "images").glob("*.png"))[:2]
    grey = [np.asarray(Image.open(p).convert("L").resize((227, 227)), dtype=np.float32) for p in pictures]
    images = torch.from_numpy(np.stack(grey))[:, None] - torch.tensor([104.0, 117, 123])[:, None, None]
    with torch.inference_mode():
        maps = model.backbone(images)
        features = model.pooling(maps).vector
        wanted = network(images)
    assert maps.shape == (2, 1000, 14, 14)
    assert float(features.min()) >= 0
    assert float(features.max()) > 1
    torch.testing.assert_close(features, wanted, rtol=1e-5, atol=1e-5)
