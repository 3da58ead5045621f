"""A backbone in whole numbers of 8 bits: several times as fast, and a little other in what it says.

It is offered for bundles alone whose own evaluation holds, for the very file that is run, how much of the AUC that
costs, and that this is next to nothing.
"""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..models import Composition
from ..models.bundle import Bundle
from ..models.table_bundle import TableBundle
from .engine import Engine, fold_batch_norms, kept_engine
from .errors import InferenceError
from .openvino_model import OpenVinoModel

FAST = "fast"
"""The wish for it, among the names of engines."""

MOST_LOSS = 0.005
"""AUC that may be lost."""

XML, WEIGHTS = "int8.xml", "int8.bin"
"""Its files in a bundle's folder."""

_INSTALL = "Install it with pip install “napari-breast-ai[openvino]”."


class Int8Runner:
    """OpenVINO on a backbone that was quantised beforehand."""

    precision = "int8"
    layout = torch.contiguous_format
    alone = True

    def __init__(self, parts: dict[str, bytes]) -> None:
        self.name = f"OpenVINO {version('openvino')}"
        self._run = OpenVinoModel(parts[XML], parts[WEIGHTS])

    def features(self, images: Tensor) -> Tensor:
        """See `runners.Runner`."""
        return self._run(images)


def quantise(model: Composition, images: Tensor) -> dict[str, bytes]:
    """A backbone in 8 bits, its ranges taken from prepared images float32 (n, 3, H, W); name of a file to its bytes.

    Raises:
        InferenceError: what it takes is not installed.
    """
    missing = [name for name in ("openvino", "nncf") if find_spec(name) is None]
    if missing:
        raise InferenceError(f"Making a fast model needs {' and '.join(missing)}. {_INSTALL}")
    import nncf
    import openvino

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's tracing, and nncf's own imports
        converted = openvino.convert_model(
            fold_batch_norms(model.backbone), example_input=images[:2], input=[-1, *images.shape[1:]]
        )
        singles = [images[i : i + 1].contiguous().numpy() for i in range(len(images))]
        small = nncf.quantize(converted, nncf.Dataset(singles), subset_size=len(singles))
    with tempfile.TemporaryDirectory(prefix="napari-breast-ai-") as room:
        openvino.save_model(small, Path(room) / XML, compress_to_fp16=False)
        return {name: (Path(room) / name).read_bytes() for name in (XML, WEIGHTS)}


def hashes(parts: dict[str, bytes]) -> dict[str, str]:
    """SHA-256 of each part."""
    return {name: hashlib.sha256(raw).hexdigest() for name, raw in parts.items()}


def why_not_fast(bundle: Bundle | TableBundle) -> str:
    """Why a bundle is not to be run in 8 bits, in a sentence; empty where it may."""
    told: Any = bundle.evaluation.get("int8")
    loss = told.get("auc_loss") if isinstance(told, dict) else None
    if not isinstance(loss, int | float):
        return (
            f"The model {bundle.ref.name} is not offered as fast: nothing says what 8 bits cost it. Measure it with "
            "napari-breast-ai evaluate … --int8."
        )
    if not loss < MOST_LOSS:  # not a number is not below it
        return (
            f"The model {bundle.ref.name} is not offered as fast: 8 bits cost it {loss:.3f} of the AUC, and "
            f"{MOST_LOSS:g} is too much. Run it in full precision."
        )
    if find_spec("openvino") is None:
        return f"The fast model runs on OpenVINO, which is not installed. {_INSTALL}"
    return ""


def fast_engine(bundle: Bundle) -> tuple[Engine, str]:
    """The engine in 8 bits, and what it costs in a sentence.

    Raises:
        InferenceError: it is not offered, or its files are not those that were measured.
    """
    if said := why_not_fast(bundle):
        raise InferenceError(said)
    told = bundle.evaluation["int8"]
    parts = {}
    for name in (XML, WEIGHTS):
        try:
            parts[name] = (bundle.folder / name).read_bytes()
        except OSError as error:
            raise InferenceError(
                f"{bundle.folder / name} cannot be read ({error.strerror or error}). Get the bundle anew, or run it in "
                "full precision."
            ) from error
    if hashes(parts) != told.get("sha256"):
        raise InferenceError(
            f"The fast model in {bundle.folder} is not the one that was measured. Get the bundle anew, or run it in "
            "full precision."
        )
    said = f"In 8 bits, which cost {max(float(told['auc_loss']), 0.0):.4f} of the AUC when it was measured."
    key = " ".join([FAST, *(told["sha256"][name] for name in sorted(parts)), said])
    return kept_engine(
        bundle.model, key, lambda: (Engine(bundle.model, torch.device("cpu"), Int8Runner(parts)), said)
    )
