"""What a backbone runs on: torch, or one of the faster engines that may be installed beside it.

All are made from the same folded backbone, take any number of images, and compute in float32.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional

from ..models import Composition
from ..models.backbones import with_cells
from .cache import FeatureCache, backbone_hash
from .openvino_model import OpenVinoModel
from .tracing import trace

_FORMAT = 1
"""Counted up when exports are made in another way."""

_EXAMPLE = 2
"""Images that a backbone is exported with."""


class Runner(Protocol):
    """Feature maps from images.

    Attributes:
        name: of the engine, with its version.
        precision: "float32" or "int8".
        layout: of the images in memory that it takes without a copy.
        alone: whether it has threads of its own, which torch's would disturb: see `threads.one_thread`.
    """

    name: str
    precision: str
    layout: torch.memory_format
    alone: bool

    def features(self, images: Tensor) -> Tensor:
        """Images float32 (n, 3, H, W) to feature maps (n, C, h, w)."""


class TorchRunner:
    """torch itself, channels last, on any device."""

    precision = "float32"
    layout = torch.channels_last
    alone = False

    def __init__(self, folded: nn.Module, device: torch.device) -> None:
        self.name = f"torch {version('torch')}"
        self.device = device
        self._backbone = folded.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, images: Tensor) -> Tensor:
        """See `Runner`; the maps are on the device."""
        # Not inference mode: its tensors can't take part in a gradient later, and it is no faster here.
        with torch.no_grad():
            moved = images.to(device=self.device, memory_format=torch.channels_last)
            return cast(Tensor, self._backbone(moved))


class OpenVinoRunner:
    """OpenVINO on the CPU."""

    precision = "float32"
    layout = torch.contiguous_format
    alone = True

    def __init__(self, model: Composition, folded: nn.Module) -> None:
        import openvino

        self.name = f"OpenVINO {version('openvino')}"

        def convert() -> dict[str, bytes]:
            example = _example(model)
            with warnings.catch_warnings():
                # It traces in a way that torch calls old.
                warnings.simplefilter("ignore")
                converted = openvino.convert_model(
                    folded, example_input=example, input=[-1, *example.shape[1:]]
                )
            with tempfile.TemporaryDirectory(prefix="napari-breast-ai-") as room:
                file = Path(room) / "model.xml"
                openvino.save_model(converted, file, compress_to_fp16=False)
                return {"xml": file.read_bytes(), "weights": file.with_suffix(".bin").read_bytes()}

        parts = _kept(model, self.name, convert)
        self._run = OpenVinoModel(parts["xml"], parts["weights"])

    def features(self, images: Tensor) -> Tensor:
        """See `Runner`."""
        return self._run(images)


class OnnxRunner:
    """ONNX Runtime on the CPU."""

    precision = "float32"
    layout = torch.contiguous_format
    alone = True

    def __init__(self, model: Composition, folded: nn.Module) -> None:
        import onnxruntime

        self.name = f"ONNX Runtime {version('onnxruntime')}"

        def convert() -> dict[str, bytes]:
            example, stream = _example(model), BytesIO()
            with warnings.catch_warnings():
                # The newer exporter wants one more package and gives the same graph.
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    with_fixed_pools(folded, example),
                    (example,),
                    cast(Any, stream),
                    dynamo=False,
                    input_names=["images"],
                    output_names=["features"],
                    dynamic_axes={"images": {0: "n"}, "features": {0: "n"}},
                )
            return {"onnx": stream.getvalue()}

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        # Its threads too would stay awake, while torch gets the next images ready and explains the last.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            _kept(model, self.name, convert)["onnx"], options, providers=["CPUExecutionProvider"]
        )

    def features(self, images: Tensor) -> Tensor:
        """See `Runner`."""
        return torch.from_numpy(self._session.run(None, {"images": images.contiguous().numpy()})[0])


FAST: dict[str, tuple[str, Callable[[Composition, nn.Module], Runner]]] = {
    "openvino": ("openvino", OpenVinoRunner),
    "onnxruntime": ("onnx", OnnxRunner),
}
"""Faster engines by the name of their package, with that of our extra; the fastest by measurement first."""


def installed() -> tuple[str, ...]:
    """Which faster engines there are, the fastest first."""
    return tuple(name for name in FAST if find_spec(name) is not None)


def with_fixed_pools(folded: nn.Module, example: Tensor) -> nn.Module:
    """A copy of a traced module whose early maps are averaged over a known number of cells, as ONNX wants it."""
    traced = trace(folded)
    sizes: dict[fx.Node, Any] = {}

    class Look(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            sizes[n] = super().run_node(n)
            return sizes[n]

    with torch.no_grad():
        Look(traced).run(example)
    for node in list(traced.graph.nodes):
        if node.target is with_cells:
            late, early = node.args
            with traced.graph.inserting_before(node):
                cells = traced.graph.call_function(
                    functional.adaptive_avg_pool2d, (early, tuple(sizes[late].shape[2:]))
                )
                both = traced.graph.call_function(torch.cat, ([late, cells], 1))
            node.replace_all_uses_with(both)
            traced.graph.erase_node(node)
    traced.recompile()
    return traced


def _example(model: Composition) -> Tensor:
    return torch.zeros(_EXAMPLE, 3, *model.spec.preparation.size)


def _kept(model: Composition, name: str, convert: Callable[[], dict[str, bytes]]) -> dict[str, bytes]:
    """An exported model from the disk, or made and kept there."""
    disk = FeatureCache()
    size = "x".join(map(str, model.spec.preparation.size))
    key = f"{backbone_hash(model)[:48]}-{_FORMAT}-{size}-{name.lower().replace(' ', '-')}"
    found: dict[str, NDArray[Any]] | None = disk.get_arrays(key)
    if found is not None:
        return {part: values.tobytes() for part, values in found.items()}
    made = convert()
    if disk.has_room(sum(map(len, made.values()))):
        disk.put_arrays(key, {part: np.frombuffer(raw, np.uint8) for part, raw in made.items()})
    return made
