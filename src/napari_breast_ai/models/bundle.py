"""A model as a folder of config.json, model.safetensors, README.md (its card), evaluation.json.

No code, no pickle.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..core import ModelRef
from .composition import Composition, skeleton
from .errors import BundleError
from .registry import (
    CARD,
    CONFIG,
    EVALUATION,
    SCHEMA,
    VERSION,
    WEIGHTS,
    content_hash,
    file_hash,
    find_bundle,
    read_config,
    read_json,
)
from .spec import ModelSpec


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model that has been read and verified.

    Attributes:
        ref: the model's name and the SHA-256 of its weights.
        spec: what it is.
        model: the model itself, float32, in evaluation mode, on the CPU.
        card: README.md, Markdown.
        evaluation: evaluation.json.
        folder: where it was read from.
    """

    ref: ModelRef
    spec: ModelSpec
    model: Composition
    card: str
    evaluation: dict[str, Any]
    folder: Path


def save_bundle(
    folder: str | Path,
    model: Composition,
    *,
    card: str,
    evaluation: dict[str, Any],
    precision: Literal["float32", "float16"] = "float32",
) -> Path:
    """Write a bundle; its folder appears, or is replaced, in one step when everything is written.

    Args:
        folder: to write. It may exist if it is empty or a bundle.
        model: spec and weights.
        card: what a person must know about the model, Markdown.
        evaluation: how it was measured and what came out, JSON values.
        precision: of the weights on disk; half precision halves the size.

    Returns:
        The folder.

    Raises:
        BundleError: the folder can't be written or holds something else; a weight is not finite (at that
            precision).
    """
    folder = Path(folder)
    if folder.exists() and not _replaceable(folder):
        raise BundleError(f"{folder} already holds something that is no model bundle. Choose another folder.")
    weights = _weights(model, precision)
    try:
        content = json.dumps(evaluation, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BundleError(f"The evaluation can't be written as JSON ({error}).") from error
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as room:
            new = Path(room) / "new"
            new.mkdir()
            save_file(weights, new / WEIGHTS, metadata={"format": "pt"})
            config = {
                "schema": SCHEMA,
                "version": VERSION,
                "model": model.spec.to_json(),
                "sha256": {
                    WEIGHTS: file_hash(new / WEIGHTS),
                    EVALUATION: content_hash(json.loads(content)),
                },
            }
            for name, text in ((CARD, card), (EVALUATION, content), (CONFIG, json.dumps(config, indent=2))):
                (new / name).write_text(text.rstrip("\n") + "\n", encoding="utf-8", newline="\n")
            if folder.exists():
                folder.rename(Path(room) / "old")
            new.rename(folder)
    except (OSError, SafetensorError) as error:
        raise BundleError(
            f"The model bundle {folder} can't be written ({error}). Choose another folder."
        ) from error
    return folder


def _replaceable(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    if (folder / CONFIG).is_file():
        content = read_json(folder / CONFIG)
        return isinstance(content, dict) and content.get("schema") == SCHEMA
    return not any(folder.iterdir())


def _weights(model: Composition, precision: str) -> dict[str, torch.Tensor]:
    weights = {}
    for name, tensor in model.state_dict().items():
        value = tensor.detach().cpu().contiguous()
        if value.is_floating_point():
            value = value.to(torch.float16 if precision == "float16" else torch.float32)
            if not bool(torch.isfinite(value).all()):
                raise BundleError(f"The model can't be kept: {name} is not finite in {precision}.")
        # safetensors refuses tensors that share memory.
        weights[name] = value.clone()
    return weights


def load_bundle(name_or_folder: str | Path) -> Bundle:
    """Read a bundle and verify it.

    Args:
        name_or_folder: a name that `list_bundles` gives, or a folder.

    Raises:
        BundleError: not a bundle, a missing file, a wrong hash, a newer version, or weights that don't fit.
        ModelError: the description of the model is not usable.
    """
    folder = find_bundle(name_or_folder)
    config = read_config(folder)
    for name in (WEIGHTS, CARD, EVALUATION):
        if not (folder / name).is_file():
            raise BundleError(f"The model bundle {folder} is not complete: it has no {name}. Get it anew.")
    if file_hash(folder / WEIGHTS) != config.weights_sha256:
        raise _changed(folder, WEIGHTS)
    evaluation = read_json(folder / EVALUATION)
    if content_hash(evaluation) != config.evaluation_sha256:
        raise _changed(folder, EVALUATION)
    if not isinstance(evaluation, dict):
        raise BundleError(f"The model bundle {folder} is not usable: its {EVALUATION} must have entries.")
    try:
        card = (folder / CARD).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder / CARD} can't be read ({error}). Get the bundle anew.") from error
    model = _fill(config.spec, folder)
    return Bundle(
        ModelRef(config.spec.name, config.weights_sha256), config.spec, model, card, evaluation, folder
    )


def _changed(folder: Path, name: str) -> BundleError:
    return BundleError(
        f"The model bundle {folder} is damaged or was changed: {name} doesn't have the hash in {CONFIG}. "
        "Get it anew."
    )


def _fill(spec: ModelSpec, folder: Path) -> Composition:
    try:
        state = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{folder / WEIGHTS} can't be read ({error}). Get the bundle anew.") from error
    model = skeleton(spec)
    wanted = model.state_dict()
    for problem, names in (
        ("lack", sorted(set(wanted) - set(state))),
        ("have the unknown", sorted(set(state) - set(wanted))),
    ):
        if names:
            raise BundleError(
                f"The weights in {folder} don't fit the model: they {problem} {names[0]}. Get it anew."
            )
    for name, value in state.items():
        if value.shape != wanted[name].shape:
            raise BundleError(
                f"The weights in {folder} don't fit the model: {name} has the shape {tuple(value.shape)} "
                f"and should have {tuple(wanted[name].shape)}. Get it anew."
            )
        state[name] = value.to(wanted[name].dtype)
    model.load_state_dict(state, assign=True)
    return model.eval()
