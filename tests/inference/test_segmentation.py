"""From a bundle to masks: a small U-Net trained on phantoms, read back and run; bundles that cannot be used."""

import json
import subprocess
import sys
import tracemalloc
import types

import numpy as np
import pytest
import torch
from torch import nn

from napari_breast_ai.core import BreastAIError
from napari_breast_ai.inference import InferenceError
from napari_breast_ai.inference.segmentation import Network, resampled, scaled
from napari_breast_ai.models import BundleError, ModelError
from napari_breast_ai.models.segmentation import (
    SegmentationSpec,
    UNet,
    load_segmentation,
    make_network,
    save_segmentation,
)
from napari_breast_ai.phantom import PhantomSpec, breast_truth, make_phantom, tissue_truth

SPEC = SegmentationSpec(arguments={"channels": [8, 16, 32]}, pixel_mm=7.0)
SIZE = (8, 96, 96)


def phantom(seed: int):
    made = make_phantom(PhantomSpec("normal", seed, SIZE, n_phases=2))
    breast = breast_truth(made.spec)
    return made, breast, tissue_truth(made.truth, breast)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A network that has seen two women, for a few seconds."""
    torch.manual_seed(0)
    images, targets = [], []
    for seed in (0, 1):
        made, breast, tissue = phantom(seed)
        volume = made.volume
        image = torch.from_numpy(scaled(volume.data[0].astype(np.float32), SPEC.scaling))[:, None]
        small = resampled(image, SPEC.pixel_mm, volume.geometry.spacing[1:])
        codes = torch.from_numpy((breast > 0).astype(np.int64) + tissue).float()[:, None]
        codes = nn.functional.interpolate(codes, small.shape[2:], mode="nearest")[:, 0].long()
        pad = [0, -small.shape[3] % 16, 0, -small.shape[2] % 16]
        images.append(nn.functional.pad(small, pad))
        targets.append(nn.functional.pad(codes, pad))
    x, y = torch.cat(images), torch.cat(targets)
    network = make_network(SPEC)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(50):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimiser.step()
    return save_segmentation(tmp_path_factory.mktemp("bundles") / "small", SPEC, network, "A test's network.")


def dice(one, other) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_a_trained_network_finds_the_breasts_of_another_woman(bundle):
    made, breast, _ = phantom(2)
    told = []
    masks = Network.load(bundle, "cpu")(made.volume, 0, lambda *one: told.append(one))
    assert masks.breast.shape == SIZE and masks.breast.dtype == np.uint8
    assert dice(masks.breast == 1, breast == 1) > 0.75
    assert dice(masks.breast == 2, breast == 2) > 0.75
    assert not (masks.tissue & (masks.breast == 0)).any()
    assert "network small" in masks.how and told[-1][0] == told[-1][1] == SIZE[0]


def test_the_same_study_gives_the_same_masks(bundle):
    made, _, _ = phantom(2)
    one, other = (Network.load(bundle, "cpu")(made.volume, 0) for _ in range(2))
    np.testing.assert_array_equal(one.breast, other.breast)


def test_a_phase_that_is_not_there_is_said(bundle):
    made, _, _ = phantom(2)
    with pytest.raises(InferenceError, match="no phase 7"):
        Network.load(bundle, "cpu")(made.volume, 7)


def test_an_empty_answer_is_said():
    made, _, _ = phantom(2)
    network = make_network(SPEC)
    nn.init.zeros_(network.last.weight)
    network.last.bias.data = torch.tensor([1.0, 0.0, 0.0])
    masks = Network(SPEC, network.eval(), torch.device("cpu"), "blind")(made.volume, 0)
    assert not masks.breast.any() and "finds no breast" in masks.warnings[0]


def test_a_network_that_is_not_as_described_is_refused():
    made, _, _ = phantom(2)
    odd = Network(SPEC, nn.Conv2d(1, 5, 1), torch.device("cpu"), "odd")
    with pytest.raises(InferenceError, match="does not give 3 channels"):
        odd(made.volume, 0)


def test_changed_weights_and_foreign_folders_are_refused(bundle, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((bundle / name).read_bytes())
    load_segmentation(tmp_path)
    weights = bytearray((tmp_path / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(bytes(weights))
    with pytest.raises(BundleError, match="was changed"):
        load_segmentation(tmp_path)
    (tmp_path / "config.json").write_text('{"schema": "napari-breast-ai/bundle"}')
    with pytest.raises(BundleError, match="of another kind"):
        load_segmentation(tmp_path)
    with pytest.raises(BundleError, match="already holds"):
        save_segmentation(tmp_path, SPEC, make_network(SPEC), "")
    with pytest.raises(BundleError, match="is no segmentation bundle"):
        load_segmentation(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network": "a b"}, "no name of a network"),
        ({"dimensions": 3}, "has 2"),
        ({"arguments": {"channels": [4]}}, "needs channels"),
        ({"outputs": ["background", "tissue"]}, "fat or breast"),
        ({"scaling": "odd"}, "scaling"),
        ({"pixel_mm": 0}, "0.1 to 20"),
        ({"multiple": 0}, "multiple"),
        ({"code": "print()"}, "nothing is known of"),
        ({"network": "NoSuchNet"}, "MONAI"),
    ],
)
def test_what_is_wrong_with_a_description_is_said(change, said):
    with pytest.raises(ModelError, match=said):
        make_network(SegmentationSpec.from_json({**SPEC.to_json(), **change}))


def monai_bundle(folder, **network_def):
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    target = {
        "_target_": "monai.networks.nets.BasicUNet",
        "spatial_dims": 2,
        "channels": [4, 8],
        **network_def,
    }
    (folder / "configs" / "inference.json").write_text(json.dumps({"network_def": target}))
    told = {
        "inputs": {"image": {"num_channels": 1, "value_range": [0, 1]}},
        "outputs": {"pred": {"channel_def": {"0": "background", "1": "Breast fat", "2": "fibroglandular"}}},
    }
    (folder / "configs" / "metadata.json").write_text(json.dumps({"network_data_format": told}))
    torch.save(UNet([4, 8], 3).state_dict(), folder / "models" / "model.pt")
    return folder


def test_a_monai_bundle_is_read_without_running_it(tmp_path, monkeypatch):
    """MONAI's own classes are stood in for: what is tested is the way from its files to a network and masks."""

    class BasicUNet(UNet):
        def __init__(self, spatial_dims, channels):
            super().__init__(channels, 3)

    nets = types.ModuleType("monai.networks.nets")
    nets.BasicUNet = BasicUNet
    networks = types.ModuleType("monai.networks")
    networks.nets = nets
    for name, module in (("monai", types.ModuleType("monai")), ("monai.networks", networks)):
        monkeypatch.setitem(sys.modules, name, module)
    spec, network = load_segmentation(monai_bundle(tmp_path / "plain"))
    assert spec.outputs == ("background", "fat", "tissue") and spec.scaling == "percentile"
    made, _, _ = phantom(2)
    assert Network(spec, network, torch.device("cpu"), "plain")(made.volume, 0).breast.shape == SIZE
    with pytest.raises(BundleError, match="run as code"):
        load_segmentation(monai_bundle(tmp_path / "code", act="$__import__('os').getcwd()"))


@pytest.mark.filterwarnings("ignore")  # MONAI's own, at its import
def test_a_network_of_the_real_monai(tmp_path):
    """Its own class with its own weights, from a bundle made by hand to masks."""
    nets = pytest.importorskip("monai.networks.nets", reason="MONAI (extra monai) is not installed")
    arguments = {"spatial_dims": 2, "in_channels": 1, "out_channels": 3, "channels": [4, 8], "strides": [2]}
    folder = monai_bundle(tmp_path / "real", _target_="monai.networks.nets.UNet", **arguments)
    torch.manual_seed(0)
    own = nets.UNet(**arguments)
    torch.save(own.state_dict(), folder / "models" / "model.pt")
    spec, network = load_segmentation(folder)
    assert type(network) is nets.UNet and spec.dimensions == 2
    image = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(network(image), own.eval()(image))
    made, _, _ = phantom(2)
    assert Network.load(folder)(made.volume, 0).breast.shape == SIZE
    with pytest.raises(BreastAIError, match="does not take the bundle's arguments"):
        load_segmentation(monai_bundle(tmp_path / "other", _target_="monai.networks.nets.UNet", wrong=1))


def test_monai_is_imported_when_its_bundle_is_loaded_and_not_before():
    code = "import sys, napari_breast_ai.inference.segmentation; sys.exit('monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_monai_its_bundle_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "monai", None)
    monkeypatch.setitem(sys.modules, "monai.networks", None)
    with pytest.raises(BreastAIError, match=r"pip install \"napari-breast-ai\[monai\]\""):
        load_segmentation(monai_bundle(tmp_path / "plain"))


def test_masks_of_a_large_study_fit_into_memory(bundle, monkeypatch):
    made, _, _ = phantom(2)
    network = Network.load(bundle)
    won = np.ones((40, 200, 200), np.uint8)
    monkeypatch.setattr(Network, "_slices", lambda *_: won)
    monkeypatch.setattr(
        "napari_breast_ai.inference.segmentation._masks", lambda breast, tissue, *_: (breast, tissue)
    )
    tracemalloc.start()
    try:
        breast, tissue = network(made.volume, 0)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert breast.all() and not tissue.any()
    assert most < 6 * won.size, "names of classes, voxel by voxel, would take 40 bytes each"
