"""Weights for a backbone: torchvision's download, a local file, or a folder that holds such a file."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any, Literal, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .errors import ModelError
from .spec_parts import BackboneSpec, Mode
from .torchvision_compat import import_torchvision

Weights = Literal["random", "download"] | str | Path

# DenseNet's published file still has the names of torchvision 0.2: "denselayer1.norm.1.weight".
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


def _published(name: str) -> Any:
    """torchvision's first ImageNet weights of a network: those that the published systems began with."""
    import_torchvision()
    from torchvision import models

    return models.get_model_weights(name)["IMAGENET1K_V1"]


def preprocessing_of(name: str, weights: Weights) -> Mode | None:
    """The preprocessing mode that belongs to weights of the network `name`, or None if nothing tells.

    Raises:
        ModelError: the file can't be found or read.
    """
    if weights == "random":
        return None
    if weights == "download":
        return "torchvision"
    file = find_file(name, Path(weights))
    if file.name == _file_name(name):
        return "torchvision"
    if file.suffix == ".safetensors":
        try:
            with safe_open(file, "pt") as opened:
                told = " ".join((opened.metadata() or {}).values())
        except (SafetensorError, OSError) as error:
            raise _unreadable(file, error) from error
        return "caffe" if "BGR" in told and "0..255" in told else None
    return None


def _file_name(name: str) -> str:
    return Path(_published(name).url).name


def find_file(name: str, path: Path) -> Path:
    """The file of weights at `path`: the file itself, or in a folder the file that torchvision would have
    downloaded.

    Raises:
        ModelError: there is none.
    """
    path = path.expanduser()
    if path.is_file():
        return path
    if not path.is_dir():
        raise ModelError(f"There is no file or folder of weights at {path}. Check the path.")
    wanted = _file_name(name)
    for folder in (path, path / "checkpoints", path / "hub" / "checkpoints"):
        if (folder / wanted).is_file():
            return folder / wanted
    raise ModelError(
        f"The folder {path} holds no {wanted}, which are the ImageNet weights of {name}. Put it there."
    )


def fill_network(network: nn.Module, spec: BackboneSpec, weights: Weights) -> str:
    """Load weights into a whole network of torchvision, in place; what the backbone doesn't use may be
    missing.

    Returns:
        Where they came from, in words.

    Raises:
        ModelError: they can't be had, read, or don't fit.
    """
    if weights == "random":
        return "random"
    if weights == "download":
        state, origin = _download(spec.name), "torchvision IMAGENET1K_V1 (ImageNet)"
    else:
        file = find_file(spec.name, Path(weights))
        state, origin = _read(file), f"file {file.name}"
    _check(network, spec, state, origin)
    network.load_state_dict(state, strict=False)
    return origin


def _download(name: str) -> dict[str, Tensor]:
    published = _published(name)
    try:
        return _modern(published.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"The ImageNet weights of {name} could not be downloaded ({error}). Without a connection, put "
            f"{_file_name(name)} from {published.url} into a folder and give that folder as the weights."
        ) from error


def _read(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as opened:
                return {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - not a dict
        # weights_only: tensors and nothing that runs.
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise _unreadable(file, error) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{file} is not a file of weights: it holds something else than named tensors.")
    return _modern(cast(dict[str, Tensor], state))


def _unreadable(file: Path, error: Exception) -> ModelError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelError(
        f"The weights {file} can't be read ({first}). They must be a .safetensors or .pth state dict."
    )


def _modern(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}


def _check(network: nn.Module, spec: BackboneSpec, state: dict[str, Tensor], origin: str) -> None:
    """Refuse weights that are not those of the network."""
    wanted = network.state_dict()
    strange = sorted(set(state) - set(wanted))
    missing = sorted(key for key in set(wanted) - set(state) if _used(key, spec))
    bent = sorted(k for k in set(wanted) & set(state) if wanted[k].shape != state[k].shape)
    # A last layer for another number of classes is no obstacle where the backbone ends before it.
    for key in [key for key in bent if not _used(key, spec)]:
        bent.remove(key)
        del state[key]
    if strange or missing:
        what = f"lacks {missing[0]}" if missing else f"has {strange[0]}, which the network doesn't know"
        raise ModelError(f"The weights ({origin}) are not those of {spec.name}: it {what}. Give others.")
    if bent:
        key = bent[0]
        raise ModelError(
            f"The weights ({origin}) don't fit {spec.name}: {key} has the shape {tuple(state[key].shape)} "
            f"and should have {tuple(wanted[key].shape)}. Give others."
        )


def _used(key: str, spec: BackboneSpec) -> bool:
    """Whether a parameter is part of the backbone. Batch counters are not: they are for training only."""
    if key.endswith("num_batches_tracked"):
        return False
    if key.startswith("classifier."):
        return spec.layer == "conv10"
    return not key.startswith("fc.")
