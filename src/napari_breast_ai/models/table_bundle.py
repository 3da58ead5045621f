"""Bundles of models of table rows: the same folder as any bundle, its numbers as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core import ModelRef
from .bundle import Bundle, fill, load_bundle, read_folder, read_weights, write_folder
from .calibration import CaseCalibration
from .composition import Composition, skeleton
from .errors import BundleError
from .registry import TABLE, find_bundle
from .table import TableModel
from .table_ranges import CaseRanges
from .table_spec import TableSpec

_BACKBONE, _MEMBERS = "deep.", "member."


@dataclass(frozen=True, eq=False)
class TableBundle:
    """A model of table rows that has been read and verified.

    Attributes:
        ref: the model's name and the SHA-256 of its numbers.
        spec: what it is.
        model: the model itself.
        deep: the model whose backbone gives its vectors, or None.
        card: README.md, Markdown.
        evaluation: evaluation.json.
        folder: where it was read from.
        calibration: temperatures of its scores, where it brings some.
        ranges: of the cases that it was fitted on; None where it does not tell them.
    """

    ref: ModelRef
    spec: TableSpec
    model: TableModel
    deep: Composition | None
    card: str
    evaluation: dict[str, Any]
    folder: Path
    calibration: CaseCalibration = field(default_factory=CaseCalibration)
    ranges: CaseRanges | None = None


def save_table_bundle(
    folder: str | Path,
    model: TableModel,
    deep: Composition | None,
    *,
    card: str,
    evaluation: dict[str, Any],
) -> Path:
    """Write a bundle; its folder appears, or is replaced, in one step when everything is written.

    Args:
        folder: to write. It may exist if it is empty or a bundle.
        model: spec and numbers.
        deep: the model whose backbone gives its vectors; kept in single precision.
        card: what a person must know about the model, Markdown.
        evaluation: how it was measured and what came out, JSON values.

    Raises:
        BundleError: the folder can't be written or holds something else.
    """
    if (model.spec.deep is None) != (deep is None):
        raise BundleError("The model can't be kept: its backbone is missing, or has no place in it.")
    weights = {_MEMBERS + name: torch.from_numpy(np.array(values)) for name, values in model.arrays.items()}
    if deep is not None:
        weights |= {
            _BACKBONE + name: value.detach().cpu().contiguous().clone()
            for name, value in deep.state_dict().items()
        }
    return write_folder(folder, weights, {"kind": TABLE, "model": model.spec.to_json()}, card, evaluation)


def load_any_bundle(name_or_folder: str | Path) -> Bundle | TableBundle:
    """Read a bundle of either kind and verify it.

    Raises:
        BundleError: not a bundle, a missing file, a wrong hash, a newer version, or numbers that don't fit.
        ModelError: the description of the model, or its numbers, are not usable.
    """
    folder = find_bundle(name_or_folder)
    config, card, evaluation = read_folder(folder)
    spec = config.spec
    if not isinstance(spec, TableSpec):
        return load_bundle(folder)
    tensors = read_weights(folder)
    arrays = {
        name.removeprefix(_MEMBERS): value.numpy()
        for name, value in tensors.items()
        if name.startswith(_MEMBERS)
    }
    own = {
        name.removeprefix(_BACKBONE): value for name, value in tensors.items() if name.startswith(_BACKBONE)
    }
    deep = None if spec.deep is None else fill(skeleton(spec.deep), own, folder)
    return TableBundle(
        ModelRef(spec.name, config.weights_sha256),
        spec,
        TableModel(spec, arrays),
        deep,
        card,
        evaluation,
        folder,
        CaseCalibration.from_json(evaluation.get("calibration")),
        CaseRanges.from_json(evaluation.get("case_ranges")),
    )
