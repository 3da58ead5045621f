"""A model: backbone, pooling and head put together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from ..core import LabelGroup
from .backbones import Backbone, make_network
from .copies import make_parts
from .errors import ModelError
from .pooling import Pooled, Pooling
from .spec import ModelSpec
from .weights import fill_network, preprocessing_of


class Output(NamedTuple):
    """What a model says about n images.

    Attributes:
        logits: (n, labels), before softmax or sigmoid, in the order of `ModelSpec.labels`.
        attention: (n, h, w) in 0..1, or None for a model without attention.
        of_tasks: (n, tasks, h, w), where each task has a copy with attention of its own; else None.
    """

    logits: Tensor
    attention: Tensor | None
    of_tasks: Tensor | None = None


class Composition(nn.Module):
    """A model whose three parts can be called one by one.

    `backbone(images (n, 3, H, W))` gives features (n, C, h, w); `pooling(features)` gives `Pooled`;
    `head(vector)` gives logits (n, labels).
    """

    spec: ModelSpec
    backbone: nn.Module
    pooling: Pooling
    head: nn.Module

    def __init__(self, spec: ModelSpec, backbone: nn.Module, pooling: Pooling, head: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = backbone
        self.pooling = pooling
        self.head = head

    @property
    def groups(self) -> tuple[LabelGroup, ...]:
        """The label groups, in order."""
        return self.spec.groups

    def forward(self, images: Tensor) -> Output:
        """Images (n, 3, H, W), prepared as the spec says."""
        return self.from_features(self.backbone(images))

    def from_features(self, features: Tensor) -> Output:
        """Features (n, C, h, w) of the backbone."""
        pooled = cast(Pooled, self.pooling(features))
        return Output(self.head(pooled.vector), pooled.attention, pooled.of_tasks)


def build(spec: ModelSpec, weights: Literal["random", "download"] | str | Path = "random") -> Composition:
    """Make the model that the spec describes; pooling and head are always random.

    Args:
        spec: what to build.
        weights: of the backbone. "random"; "download": ImageNet weights by torchvision's own download; or the
            path of a local file (`.safetensors`, `.pth`) with torchvision's parameter names, or of a folder
            that holds the file which torchvision would have downloaded.

    Returns:
        The model, in evaluation mode; `model.spec.backbone.origin` says where the weights came from.

    Raises:
        ModelError: the spec has problems, the weights can't be had, don't fit, or want another preprocessing
            mode than the spec's (see `for_weights`).
    """
    problems = spec.problems()
    if problems:
        raise ModelError("The model can't be built. " + " ".join(problems))
    mode = preprocessing_of(spec.backbone.name, weights)
    if mode is not None and mode != spec.preparation.mode:
        raise ModelError(
            f"These weights want images prepared in the mode {mode!r}, and the model says "
            f"{spec.preparation.mode!r}. "
            "Use models.for_weights(spec, weights), which sets the mode that belongs to the weights."
        )
    network = make_network(spec.backbone.name)
    origin = fill_network(network, spec.backbone, weights)
    spec = replace(spec, backbone=replace(spec.backbone, origin=origin))
    return _compose(spec, network).eval()


def for_weights(spec: ModelSpec, weights: Literal["random", "download"] | str | Path) -> ModelSpec:
    """The spec with the preprocessing mode that belongs to the weights, where that is known.

    Raises:
        ModelError: the weights can't be found or read.
    """
    mode = preprocessing_of(spec.backbone.name, weights) or spec.preparation.mode
    return replace(spec, preparation=replace(spec.preparation, mode=mode))


def skeleton(spec: ModelSpec) -> Composition:
    """The model with the right shapes and no numbers (all tensors on torch's "meta" device), to be filled."""
    with torch.device("meta"):
        return _compose(spec, make_network(spec.backbone.name)).eval()


def _compose(spec: ModelSpec, network: nn.Module) -> Composition:
    backbone = Backbone(spec.backbone, network)
    return Composition(spec, backbone, *make_parts(spec))


def probabilities(logits: Tensor, groups: tuple[LabelGroup, ...]) -> dict[str, Tensor]:
    """Logits (n, labels) to label → probabilities (n,), by each group's softmax or sigmoids."""
    found: dict[str, Tensor] = {}
    start = 0
    for group in groups:
        part = logits[:, start : start + len(group.labels)]
        start += len(group.labels)
        scores = torch.softmax(part, dim=1) if group.activation == "softmax" else torch.sigmoid(part)
        found.update(zip(group.labels, scores.unbind(dim=1), strict=True))
    return found
