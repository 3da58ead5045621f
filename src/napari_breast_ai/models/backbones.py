"""Networks of torchvision, cut off where their last feature map is."""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from .spec_parts import BackboneSpec
from .torchvision_compat import import_torchvision

_FIRE3 = 5
"""Behind this many modules of SqueezeNet 1.1's features is the output of its third fire module."""


# A leaf to whoever traces a backbone: the sizes are known only when it runs.
@fx.wrap
def with_cells(late: Tensor, early: Tensor) -> Tensor:
    """The late map (n, C, h, w), and behind it the early one averaged over each of its cells."""
    cells = functional.adaptive_avg_pool2d(early, (late.shape[2], late.shape[3]))
    return torch.cat([late, cells], dim=1)


class Backbone(nn.Module):
    """Images (n, 3, H, W) to feature maps (n, C, h, w).

    Its parameters keep torchvision's names ("features.0.weight", "layer4.2.conv3.weight",
    "classifier.1.weight").
    """

    def __init__(self, spec: BackboneSpec, network: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if spec.name.startswith("resnet"):
            for name, module in network.named_children():
                parts[name] = module
                if name == spec.layer:
                    break
        else:
            parts["features"] = cast(nn.Module, network.features)
            if spec.layer == "conv10":
                # classifier = dropout, convolution, ReLU, global average: the first does nothing outside
                # training of its own, the last is the pooling's job.
                classifier = cast(nn.Sequential, network.classifier)
                parts["classifier"] = nn.Sequential(OrderedDict([("1", classifier[1]), ("2", nn.ReLU())]))
            elif spec.name == "densenet121":
                # torchvision applies this ReLU in the network's forward.
                parts["relu"] = nn.ReLU()
        for name, module in parts.items():
            self.add_module(name, module)
        self._order = tuple(parts)
        self._early = spec.layer == "features+fire3"

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 3, H, W), prepared as the weights want them, to feature maps (n, C, h, w)."""
        if not self.spec.mirror:
            return self._maps(images)
        own, other = self._maps(torch.cat([images, images.flip(3)])).chunk(2)
        return (own + other.flip(3)) / 2

    def one_sided(self) -> Backbone:
        """The same backbone, with the same weights, without the mirror."""
        twin = copy.copy(self)
        twin.spec = replace(self.spec, mirror=False)
        return twin

    def _maps(self, images: Tensor) -> Tensor:
        x = images
        if self._early:
            early = images
            for number, module in enumerate(cast(nn.Sequential, self.features), 1):
                x = module(x)
                early = x if number == _FIRE3 else early
            return with_cells(x, early)
        for name in self._order:
            x = getattr(self, name)(x)
        return x


def make_network(name: str) -> Any:
    """The whole network of torchvision by that name with random weights, drawn from torch's generator."""
    import_torchvision()
    from torchvision import models

    return models.get_model(name, weights=None)
