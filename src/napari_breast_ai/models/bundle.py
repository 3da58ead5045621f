"""A model as a folder of config.json, model.safetensors, README.md (its card), evaluation.json.

No code, no pickle.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import nn

from ..core import ModelRef
from .calibration import CaseCalibration
from .composition import Composition, skeleton
from .copies import make_parts
from .errors import BundleError
from .pooling import Pooling
from .ranges import TrainingRanges
from .registry import (
    CARD,
    CONFIG,
    EVALUATION,
    FOLDS,
    SCHEMA,
    VERSION,
    WEIGHTS,
    BundleConfig,
    content_hash,
    file_hash,
    find_bundle,
    read_config,
    read_json,
)
from .spec import ModelSpec
from .table_spec import TableSpec


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
        calibration: temperatures of the case's scores; none in bundles of before there were any.
        ranges: of the studies that it was trained on, or None.
        folds: pooling and head of each fold of its cross-validation, over the same backbone; none in bundles that
            were made without.
    """

    ref: ModelRef
    spec: ModelSpec
    model: Composition
    card: str
    evaluation: dict[str, Any]
    folder: Path
    calibration: CaseCalibration = field(default_factory=CaseCalibration)
    ranges: TrainingRanges | None = None
    folds: tuple[tuple[Pooling, nn.Module], ...] = ()

    def operating_point(self, label: str) -> float | None:
        """The probability from which on the model's own evaluation calls a case positive, or None."""
        points = self.evaluation.get("operating_points")
        one = points.get(label) if isinstance(points, dict) else None
        group = next((group for group in self.spec.groups if label in group.labels), None)
        if group is None or not isinstance(one, dict) or not isinstance(one.get("threshold"), int | float):
            return None
        return self.calibration.threshold(label, float(one["threshold"]), group)


def save_bundle(
    folder: str | Path,
    model: Composition,
    *,
    card: str,
    evaluation: dict[str, Any],
    precision: Literal["float32", "float16"] = "float32",
    folds: Sequence[Mapping[str, torch.Tensor]] = (),
) -> Path:
    """Write a bundle; its folder appears, or is replaced, in one step when everything is written.

    Args:
        folder: to write. It may exist if it is empty or a bundle.
        model: spec and weights.
        card: what a person must know about the model, Markdown.
        evaluation: how it was measured and what came out, JSON values.
        precision: of the weights on disk; half precision halves the size.
        folds: of each fold of the cross-validation the weights of pooling and head, named as in the model.

    Returns:
        The folder.

    Raises:
        BundleError: the folder can't be written or holds something else; a weight is not finite (at that
            precision).
    """
    members = {f"{n}.{name}": value for n, one in enumerate(folds) for name, value in one.items()}
    return write_folder(
        folder,
        _weights(model.state_dict(), precision),
        {"model": model.spec.to_json()},
        card,
        evaluation,
        _weights(members, precision),
    )


def write_folder(
    folder: str | Path,
    weights: dict[str, torch.Tensor],
    described: dict[str, Any],
    card: str,
    evaluation: dict[str, Any],
    folds: dict[str, torch.Tensor] | None = None,
    more: Mapping[str, bytes] | None = None,
) -> Path:
    """Write weights, description, card, evaluation and maybe folds as the folder of a bundle, in one step; `more`:
    other files of it.

    Raises:
        BundleError: as `save_bundle`.
    """
    folder = Path(folder)
    if folder.exists() and not _replaceable(folder):
        raise BundleError(f"{folder} already holds something that is no model bundle. Choose another folder.")
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
            if folds:
                save_file(folds, new / FOLDS, metadata={"format": "pt"})
            config = {
                "schema": SCHEMA,
                "version": VERSION,
                **described,
                "sha256": {
                    WEIGHTS: file_hash(new / WEIGHTS),
                    EVALUATION: content_hash(json.loads(content)),
                }
                | ({FOLDS: file_hash(new / FOLDS)} if folds else {}),
            }
            for name, text in ((CARD, card), (EVALUATION, content), (CONFIG, json.dumps(config, indent=2))):
                (new / name).write_text(text.rstrip("\n") + "\n", encoding="utf-8", newline="\n")
            for name, raw in (more or {}).items():
                (new / name).write_bytes(raw)
            old = Path(room) / "old"
            if folder.exists():
                folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                # What was there goes back: it would be removed with the room.
                if old.exists():
                    old.rename(folder)
                raise
    except (OSError, SafetensorError) as error:
        raise BundleError(
            f"The model bundle {folder} can't be written ({error}). Choose another folder."
        ) from error
    return folder


def change_bundle(
    bundle: Bundle,
    folder: str | Path,
    *,
    card: str | None = None,
    evaluation: dict[str, Any] | None = None,
    more: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a bundle anew with another card or evaluation, or with further files.

    All else of it stays as it is in its folder: weights and folds in their precision, and every other file (but no
    folders in it).

    Args:
        bundle: as it was read.
        folder: to write; the bundle's own is replaced.
        card, evaluation: in place of the bundle's; None keeps them.
        more: names of further files to their bytes.

    Raises:
        BundleError: as `save_bundle`, or the bundle's folder can't be read any more, or holds other weights by now.
    """
    own = bundle.folder
    written = {CONFIG, WEIGHTS, FOLDS, CARD, EVALUATION}
    try:
        others = {
            one.name: one.read_bytes() for one in own.iterdir() if one.is_file() and one.name not in written
        }
        same = file_hash(own / WEIGHTS) == bundle.ref.sha256
    except OSError as error:
        raise BundleError(f"The model bundle {own} can't be read ({error}). Get it anew.") from error
    if not same:
        raise BundleError(f"The model bundle {own} was changed since it was read; open it anew.")
    return write_folder(
        folder,
        read_weights(own),
        {"model": bundle.spec.to_json()},
        bundle.card if card is None else card,
        bundle.evaluation if evaluation is None else evaluation,
        read_weights(own, FOLDS) if bundle.folds else None,
        others | dict(more or {}),
    )


def _replaceable(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    if (folder / CONFIG).is_file():
        content = read_json(folder / CONFIG)
        return isinstance(content, dict) and content.get("schema") == SCHEMA
    return not any(folder.iterdir())


def _weights(tensors: Mapping[str, torch.Tensor], precision: str) -> dict[str, torch.Tensor]:
    weights = {}
    for name, tensor in tensors.items():
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
    config, card, evaluation = read_folder(folder)
    if isinstance(config.spec, TableSpec):
        needs = " and ".join(config.spec.needs)
        raise BundleError(
            f"The model {config.spec.name} scores a whole case from {needs}, and has no heat map to show. Run it in "
            "the Review dock, or with “napari-breast-ai evaluate” on a table that tells them."
        )
    model = _fill(config.spec, folder)
    return Bundle(
        ModelRef(config.spec.name, config.weights_sha256),
        config.spec,
        model,
        card,
        evaluation,
        folder,
        CaseCalibration.from_json(evaluation.get("calibration")),
        TrainingRanges.from_json(evaluation.get("ranges")),
        _folds(config.spec, folder) if config.folds_sha256 else (),
    )


def _folds(spec: ModelSpec, folder: Path) -> tuple[tuple[Pooling, nn.Module], ...]:
    """Pooling and head of each fold."""
    state = read_weights(folder, FOLDS)
    numbers = sorted({name.partition(".")[0] for name in state}, key=lambda one: (len(one), one))
    found = []
    for number in numbers:
        with torch.device("meta"):
            pooling, head = make_parts(spec)
        member = Composition(spec, nn.Identity(), pooling, head)
        own = {
            name.partition(".")[2]: value for name, value in state.items() if name.startswith(f"{number}.")
        }
        fill(member, own, folder)
        found.append((pooling, head))
    return tuple(found)


def read_folder(folder: Path) -> tuple[BundleConfig, str, dict[str, Any]]:
    """Description, card and evaluation of a bundle, its hashes verified.

    Raises:
        BundleError, ModelError: as `load_bundle`.
    """
    config = read_config(folder)
    for name in (WEIGHTS, CARD, EVALUATION):
        if not (folder / name).is_file():
            raise BundleError(f"The model bundle {folder} is not complete: it has no {name}. Get it anew.")
    if file_hash(folder / WEIGHTS) != config.weights_sha256:
        raise _changed(folder, WEIGHTS)
    evaluation = read_json(folder / EVALUATION)
    if config.folds_sha256 and not (folder / FOLDS).is_file():
        raise BundleError(f"The model bundle {folder} is not complete: it has no {FOLDS}. Get it anew.")
    if config.folds_sha256 and file_hash(folder / FOLDS) != config.folds_sha256:
        raise _changed(folder, FOLDS)
    if content_hash(evaluation) != config.evaluation_sha256:
        raise _changed(folder, EVALUATION)
    if not isinstance(evaluation, dict):
        raise BundleError(f"The model bundle {folder} is not usable: its {EVALUATION} must have entries.")
    try:
        card = (folder / CARD).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder / CARD} can't be read ({error}). Get the bundle anew.") from error
    return config, card, evaluation


def _changed(folder: Path, name: str) -> BundleError:
    return BundleError(
        f"The model bundle {folder} is damaged or was changed: {name} doesn't have the hash in {CONFIG}. "
        "Get it anew."
    )


def _fill(spec: ModelSpec, folder: Path) -> Composition:
    model = skeleton(spec)
    return fill(model, read_weights(folder), folder)


def read_weights(folder: Path, name: str = WEIGHTS) -> dict[str, torch.Tensor]:
    """The tensors of a bundle.

    Raises:
        BundleError: they cannot be read.
    """
    try:
        # Not mapped: Windows lets nobody replace a file that is.
        return dict(load((folder / name).read_bytes()))
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{folder / name} can't be read ({error}). Get the bundle anew.") from error


def fill(model: Composition, state: dict[str, torch.Tensor], folder: Path) -> Composition:
    """Give a model without numbers those of a bundle.

    Raises:
        BundleError: they do not fit.
    """
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
