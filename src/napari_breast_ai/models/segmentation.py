"""Networks that outline the breasts and their tissue: what one is, the network itself, its bundle.

A bundle is a folder with config.json and model.safetensors: no code. The network is a U-Net of ours, or a class of
`monai.networks.nets` with plain arguments (extra `monai`); a MONAI bundle is read too where its network is
such a class and its weights are plain tensors. Nothing of a bundle's is ever run.

Source of the U-Net: Ronneberger, Fischer and Brox, MICCAI 2015.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..files import taking_place, write_whole
from .errors import BundleError, ModelError
from .registry import CONFIG, WEIGHTS, file_hash, read_json

SCHEMA = "napari-breast-ai/segmentation"
VERSION = 1
UNET = "unet"
Scaling = Literal["standard", "percentile", "none"]
Part = Literal["background", "fat", "breast", "tissue"]


@dataclass(frozen=True)
class SegmentationSpec:
    """What a segmentation network is and asks.

    Attributes:
        network: "unet", or the name of a class of `monai.networks.nets`.
        arguments: plain values. Of "unet": `channels`, the numbers of its levels. Of MONAI: the class's own.
        dimensions: 2 (slice by slice) or 3.
        outputs: what each output channel stands for, in order: background; fat of the breast; tissue, fibroglandular;
            breast, where the network does not part it. The highest channel of a voxel wins.
        pixel_mm: the in-plane size of the pixels that it was trained on; None takes images as they are.
        scaling: "standard": mean 0, deviation 1 of each stack; "percentile": its 1st to 99th percentile to 0 to 1.
        multiple: rows and columns (and slices, with 3 dimensions) are padded to a multiple of this.
    """

    network: str = UNET
    arguments: Mapping[str, Any] = field(default_factory=lambda: {"channels": [16, 32, 64]})
    dimensions: int = 2
    outputs: tuple[Part, ...] = ("background", "fat", "tissue")
    pixel_mm: float | None = None
    scaling: Scaling = "standard"
    multiple: int = 16

    def problems(self) -> list[str]:
        """What is wrong, in words; empty if nothing is."""
        found = []
        if not self.network.isidentifier():
            found.append(f"The network {self.network!r} is no name of a network.")
        if self.dimensions not in (2, 3) or (self.network == UNET and self.dimensions != 2):
            found.append("A segmentation network has 2 or 3 dimensions; a “unet” has 2.")
        if self.network == UNET and not _levels(self.arguments.get("channels")):
            found.append(
                "A “unet” needs channels: 2 to 6 whole numbers from 1 to 1024, such as [16, 32, 64]."
            )
        if not set(self.outputs) <= set(get_args(Part)) or not {"fat", "breast"} & set(self.outputs):
            found.append(
                "The outputs of a segmentation network are background, fat, breast, tissue; one of them must be fat "
                "or breast."
            )
        if self.scaling not in get_args(Scaling):
            found.append(
                f"The scaling {self.scaling!r} is unknown; it can be {', '.join(get_args(Scaling))}."
            )
        if self.pixel_mm is not None and not (isfinite(self.pixel_mm) and 0.1 <= self.pixel_mm <= 20):
            found.append("The pixels of a segmentation network must be 0.1 to 20 mm large.")
        if not 1 <= self.multiple <= 256:
            found.append("Images can be padded to a multiple of 1 to 256 pixels.")
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "arguments": dict(self.arguments), "outputs": list(self.outputs)}

    @classmethod
    def from_json(cls, data: object) -> SegmentationSpec:
        """The spec of plain values.

        Raises:
            ModelError: they do not describe one.
        """
        if not isinstance(data, dict) or not set(data) <= set(cls.__dataclass_fields__):
            raise ModelError(
                "The description of the segmentation network has entries that nothing is known of."
            )
        try:
            spec = cls(**{**data, "outputs": tuple(data.get("outputs", cls.outputs))})
            problems = spec.problems()
        except (TypeError, AttributeError, ValueError) as error:
            raise ModelError(
                f"The description of the segmentation network is not usable ({error})."
            ) from error
        if problems:
            raise ModelError(" ".join(problems))
        return spec


class UNet(nn.Module):
    """A small U-Net: two convolutions a level, max pooling down, nearest neighbours and a convolution up.

    Named layers: `down.0` ..., `up.0` ..., `last`.
    """

    def __init__(self, channels: list[int], outputs: int) -> None:
        super().__init__()
        sizes = [1, *channels]
        self.down = nn.ModuleList(_block(a, b) for a, b in pairwise(sizes))
        self.up = nn.ModuleList(
            _block(below + here, here) for below, here in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.last = nn.Conv2d(channels[0], outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 1, rows, columns) to scores (n, outputs, rows, columns); sizes divisible by 2 per level."""
        kept = []
        for number, block in enumerate(self.down):
            images = block(images if number == 0 else nn.functional.max_pool2d(images, 2))
            kept.append(images)
        for block, beside in zip(self.up, kept[-2::-1], strict=True):
            larger = nn.functional.interpolate(images, scale_factor=2.0, mode="nearest")
            images = block(torch.cat([larger, beside], dim=1))
        return cast(Tensor, self.last(images))


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


def _levels(channels: object) -> bool:
    return (
        isinstance(channels, list | tuple)
        and 2 <= len(channels) <= 6
        and all(isinstance(one, int) and not isinstance(one, bool) and 1 <= one <= 1024 for one in channels)
    )


def make_network(spec: SegmentationSpec) -> nn.Module:
    """The network of a spec, its weights random.

    Raises:
        ModelError: the spec is wrong, MONAI is not installed, has no such network, or does not take the arguments.
    """
    if found := spec.problems():
        raise ModelError(" ".join(found))
    if spec.network == UNET:
        return UNet(list(spec.arguments["channels"]), len(spec.outputs))
    try:
        from monai.networks import nets
    except ImportError as error:
        raise ModelError(
            f"The network {spec.network} is one of MONAI's, which is not installed. Install it with: "
            'pip install "napari-breast-ai[monai]", or choose another method.'
        ) from error
    made = getattr(nets, spec.network, None)
    if not (isinstance(made, type) and issubclass(made, nn.Module)):
        raise ModelError(
            f"The installed MONAI has no network {spec.network}. Install the version of the bundle."
        )
    try:
        return made(**spec.arguments)
    except Exception as error:
        raise ModelError(f"MONAI's {spec.network} does not take the bundle's arguments ({error}).") from error


def save_segmentation(folder: str | Path, spec: SegmentationSpec, network: nn.Module, card: str) -> Path:
    """Write a bundle: config.json, model.safetensors, README.md.

    Args:
        folder: made where it does not exist; must not hold another config.json than a segmentation bundle's.
        spec: what the network is.
        network: of `make_network`, trained.
        card: what a person must know about it, Markdown.

    Raises:
        BundleError: the folder cannot be written, or holds something else.
    """
    folder = Path(folder)
    if (folder / CONFIG).exists():
        known = read_json(folder / CONFIG)
        if not isinstance(known, dict) or known.get("schema") != SCHEMA:
            raise BundleError(
                f"{folder} already holds something that is no segmentation bundle. Choose another."
            )
    weights = {
        name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()
    }
    try:
        with taking_place(folder / WEIGHTS) as part:
            save_file(weights, part, metadata={"format": "pt"})
        config = {
            "schema": SCHEMA,
            "version": VERSION,
            "model": spec.to_json(),
            "sha256": {WEIGHTS: file_hash(folder / WEIGHTS)},
        }
        write_whole(folder / "README.md", card.rstrip("\n") + "\n")
        write_whole(folder / CONFIG, json.dumps(config, indent=2) + "\n")
    except (OSError, SafetensorError) as error:
        raise BundleError(
            f"The bundle {folder} can't be written ({error}). Choose another folder."
        ) from error
    return folder


def load_segmentation(folder: str | Path) -> tuple[SegmentationSpec, nn.Module]:
    """Read a segmentation bundle of ours or of MONAI's, in evaluation mode, on the CPU.

    Raises:
        BundleError: it is none, a file is missing or was changed, or the weights do not fit.
        ModelError: its description is not usable.
    """
    folder = Path(folder).expanduser()
    if (folder / "configs" / "metadata.json").is_file():
        spec, state = _monai(folder)
    else:
        spec, state = _ours(folder)
    network = make_network(spec)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise BundleError(f"The weights in {folder} don't fit the network: {first} Get it anew.") from error
    return spec, network.eval()


def _ours(folder: Path) -> tuple[SegmentationSpec, dict[str, Tensor]]:
    if not (folder / CONFIG).is_file():
        raise BundleError(
            f"{folder} is no segmentation bundle: it has neither {CONFIG} nor configs/metadata.json. Give the folder "
            "of a bundle."
        )
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict) or config.get("schema") != SCHEMA:
        raise BundleError(f"{folder} is no segmentation bundle: its {CONFIG} is of another kind.")
    if config.get("version") != VERSION:
        raise BundleError(f"{folder} is of a version that this napari-breast-ai does not read. Update it.")
    spec = SegmentationSpec.from_json(config.get("model"))
    hashes = config.get("sha256")
    file = folder / WEIGHTS
    if not file.is_file():
        raise BundleError(f"The bundle {folder} is not complete: it has no {WEIGHTS}. Get it anew.")
    if not isinstance(hashes, dict) or hashes.get(WEIGHTS) != file_hash(file):
        raise BundleError(
            f"The bundle {folder} is damaged or was changed: {WEIGHTS} doesn't have the hash in {CONFIG}. Get it anew."
        )
    return spec, _tensors(file)


def _monai(folder: Path) -> tuple[SegmentationSpec, dict[str, Tensor]]:
    """A MONAI bundle's network and weights. Its expressions ($...) would be code and are refused."""
    meta = read_json(folder / "configs" / "metadata.json")
    config = read_json(folder / "configs" / "inference.json")
    told = config.get("network_def") if isinstance(config, dict) else None
    if not isinstance(told, dict) or not isinstance(told.get("_target_"), str):
        raise BundleError(f"The MONAI bundle {folder} has no network_def in configs/inference.json.")
    name = told["_target_"].removeprefix("monai.networks.nets.").rpartition(".")[2]
    arguments = {key: value for key, value in told.items() if not key.startswith("_")}
    if any("$" in one or "@" in one or "%" in one for one in _strings(arguments)):
        raise BundleError(
            f"The network_def of the MONAI bundle {folder} holds expressions ($, @, %), which would be run as code. "
            "Write plain values there."
        )
    try:
        formats = meta["network_data_format"]
        image = formats["inputs"]["image"]
        channels = formats["outputs"]["pred"]["channel_def"]
        outputs = tuple(_part(str(channels[key])) for key in sorted(channels, key=int))
        if int(image["num_channels"]) != 1:
            raise BundleError(
                f"The MONAI bundle {folder} asks for {image['num_channels']} channels; one image before contrast is all "
                "that can be given."
            )
        scaling = "percentile" if list(image.get("value_range", ())) == [0, 1] else "standard"
        dimensions = int(arguments.get("spatial_dims", 3))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"configs/metadata.json of the MONAI bundle {folder} does not tell network_data_format with an image of "
            "num_channels and a pred with channel_def."
        ) from error
    spec = SegmentationSpec.from_json(
        {
            "network": name,
            "arguments": arguments,
            "dimensions": dimensions,
            "outputs": outputs,
            "scaling": scaling,
            "pixel_mm": meta.get("pixel_mm"),
            "multiple": 32,
        }
    )
    for file in (folder / "models" / WEIGHTS, folder / "models" / "model.pt"):
        if file.is_file():
            return spec, _tensors(file)
    raise BundleError(f"The MONAI bundle {folder} has no models/{WEIGHTS} and no models/model.pt.")


def _part(name: str) -> str:
    """What a channel's name stands for."""
    name = name.lower()
    if any(word in name for word in ("fibro", "fgt", "gland", "dense", "tissue")):
        return "tissue"
    return next((part for part in ("fat", "breast") if part in name), "background")


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [one for part in value.items() for item in part for one in _strings(item)]
    if isinstance(value, list | tuple):
        return [one for item in value for one in _strings(item)]
    return []


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        state = torch.load(file, map_location="cpu", weights_only=True)  # tensors and nothing that runs
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise BundleError(
            f"{file} can't be read as plain tensors ({type(error).__name__}). Get it anew."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(one, Tensor) for one in state.values()):
        raise BundleError(f"{file} holds something else than named tensors.")
    return cast(dict[str, Tensor], state)
