"""The backbone, run once per slice as fast as the machine allows."""

from __future__ import annotations

import copy
from typing import cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..models import Composition
from .explanation import Explained, explain


class Engine:
    """A model ready to run on one device: batch norms folded into convolutions, channels last, no gradients.

    The model that it was made from is not touched.
    """

    def __init__(self, model: Composition, device: torch.device) -> None:
        self.device = device
        layout = torch.channels_last
        self._backbone = fold_batch_norms(model.backbone).to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self._pooling = copy.deepcopy(model.pooling).eval().requires_grad_(False).to(device)
        self._head = copy.deepcopy(model.head).eval().requires_grad_(False).to(device)

    def features(self, images: Tensor) -> Tensor:
        """Images float32 (n, 3, H, W) to feature maps (n, C, h, w) on the device."""
        # Not inference mode: its tensors can't take part in a gradient later, and it is no faster here.
        with torch.no_grad():
            moved = images.to(device=self.device, memory_format=torch.channels_last)
            return cast(Tensor, self._backbone(moved))

    def explain(self, features: Tensor) -> Explained:
        """Scores, attention and Grad-CAM of every class from the feature maps (n, C, h, w) of `features`."""
        return explain(features, self._pooling, self._head)


_engines: WeakKeyDictionary[Composition, tuple[object, Engine]] = WeakKeyDictionary()


def engine_for(model: Composition, device: torch.device) -> Engine:
    """An engine for the model, kept for the next call while the model's weights stay the same."""
    tensors = [*model.parameters(), *model.buffers()]
    state = (device, tuple((tensor.data_ptr(), tensor._version) for tensor in tensors))
    known = _engines.get(model)
    if known is None or known[0] != state:
        known = (state, Engine(model, device))
        _engines[model] = known
    return known[1]


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """A copy of the module for evaluation; batch norms right behind a convolution are part of it."""
    traced = fx.symbolic_trace(copy.deepcopy(module).eval().requires_grad_(False))
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        before = node.args[0]
        if (
            before.op != "call_module"
            or not isinstance(modules[before.target], nn.Conv2d)
            or len(before.users) > 1
        ):
            continue
        fused = fuse_conv_bn_eval(modules[before.target], modules[node.target])
        traced.set_submodule(before.target, fused)
        modules[before.target] = fused
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    traced.recompile()
    traced.delete_all_unused_submodules()
    return traced.requires_grad_(False)
