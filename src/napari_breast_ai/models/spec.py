"""What a model is, in words and numbers: preparation, backbone, pooling, head, label groups, aggregation.

Plain frozen dataclasses that go to JSON and back without loss. Nothing here needs torch.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, Literal, get_args

from ..core import Activation, LabelGroup
from .errors import ModelError

SourceKind = Literal["phase", "subtraction", "change", "picture"]
SourceRule = Literal["post_index", "nearest_time"]
Mode = Literal["caffe", "torchvision", "plain"]
PoolingKind = Literal["average", "attention"]
HeadKind = Literal["linear", "narrow"]
GateRule = Literal["max", "top_mean"]

CHANGE_PERCENT = 30.0
"""A change by this many per cent up is white, and as many down black; no change is middle grey."""

LAYERS: dict[str, dict[str, int]] = {
    "squeezenet1_1": {"features": 512, "features+fire3": 640, "conv10": 1000},
    "resnet18": {"layer4": 512},
    "resnet50": {"layer4": 2048},
    "mobilenet_v2": {"features": 1280},
    "mobilenet_v3_large": {"features": 960},
    "densenet121": {"features": 1024},
}
"""Backbone name to its layers and their numbers of channels. Names are torchvision's.

"features+fire3" is the last map with the 128 channels of the third fire module, averaged over each cell, behind it:
colour and fine texture, of which little is left at the end.
"""


def _choice(found: list[str], what: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        found.append(f"The {what} {value!r} is unknown; it can be {' or '.join(map(repr, choices))}.")


@dataclass(frozen=True)
class ImageSource:
    """Which image of a dynamic study the model sees.

    Attributes:
        kind: a phase as it is; that phase minus the pre-contrast phase; or, for a channel beside the
            preparation's source, its "change" against the source's phase in per cent, 100 · (S − S_source) /
            S_source, as the delayed course of the enhancement is defined. "picture": the only phase of a study
            that has no other (an ultrasound image, a single slice); rule and value mean nothing then.
        rule: "post_index": `value` counts the phases after the pre-contrast one, the first is 1;
            "nearest_time": the post-contrast phase that starts closest to `value` seconds after phase 0's
            start.
        value: see `rule`.
    """

    kind: SourceKind = "phase"
    rule: SourceRule = "post_index"
    value: float = 1.0

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found: list[str] = []
        _choice(found, "image source", self.kind, get_args(SourceKind))
        _choice(found, "phase rule", self.rule, get_args(SourceRule))
        if self.rule == "post_index" and not (1 <= self.value < 10000 and self.value == int(self.value)):
            found.append("The post-contrast phase's number must be a whole number from 1 on.")
        if self.rule == "nearest_time" and not 0 <= self.value < 86400:
            found.append("The phase's time must be in seconds, 0 or more.")
        return found


@dataclass(frozen=True)
class PreparationSpec:
    """From a volume to the backbone's input.

    Attributes:
        source: which image; the one that is shown beside the scores.
        channels: three images for the three channels, so that the course of the enhancement is seen: of the
            source's kind, in one window, or "change" in its own. None: the source's grey is copied to the three.
        size: (height, width) that the backbone sees, pixels.
        window: lower and upper percentile of the body's voxels that become black and white.
            A subtraction is black from 0 down, as on the scanner.
        mode: how grey values 0..1 become the backbone's input; it belongs to the weights, travels with them.
            "caffe": BGR, 0..255 minus (104, 117, 123). "torchvision": RGB, ImageNet mean and deviation.
            "plain": 0..1 as they are.
    """

    source: ImageSource = field(default_factory=ImageSource)
    size: tuple[int, int] = (227, 227)
    window: tuple[float, float] = (1.0, 99.5)
    mode: Mode = "torchvision"
    channels: tuple[ImageSource, ...] | None = None

    @property
    def sources(self) -> tuple[ImageSource, ...]:
        """The images that the model sees: one, or one for each of three channels."""
        return self.channels or (self.source,)

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = self.source.problems()
        if self.source.kind == "change":
            found.append(
                "A change needs a source to be measured against; it can be a channel, not the source."
            )
        if self.channels is not None:
            if len(self.channels) != 3:
                found.append("The model's image has three channels; give three sources or none.")
            if self.source.kind == "picture":
                found.append("A picture has one image only; leave the channels out.")
            if any(channel.kind not in (self.source.kind, "change") for channel in self.channels):
                found.append("The channels must be phases, or subtractions, as the source is, or changes.")
            found += [problem for channel in self.channels for problem in channel.problems()]
        if len(self.size) != 2 or min(self.size) < 32 or max(self.size) > 4096:
            found.append("The input's height and width must be between 32 and 4096 pixels.")
        if len(self.window) != 2 or not 0 <= self.window[0] < self.window[1] <= 100:
            found.append("The window must be two rising percentiles between 0 and 100.")
        _choice(found, "preprocessing mode", self.mode, get_args(Mode))
        return found


@dataclass(frozen=True)
class BackboneSpec:
    """The network that turns images into feature maps.

    Attributes:
        name: torchvision's name, one of `LAYERS`.
        layer: where the feature map is taken, one of `LAYERS[name]`.
        origin: where the weights came from, in words; filled in when the model is built.
    """

    name: str
    layer: str
    origin: str = "random"

    @property
    def channels(self) -> int:
        """The number of channels of the feature map."""
        return LAYERS[self.name][self.layer]

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found: list[str] = []
        _choice(found, "backbone", self.name, tuple(LAYERS))
        if self.name in LAYERS:
            _choice(found, f"layer of {self.name}", self.layer, tuple(LAYERS[self.name]))
        return found


@dataclass(frozen=True)
class PoolingSpec:
    """From a feature map to one vector: plain average, or average weighted by a learned attention."""

    kind: PoolingKind = "average"

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found: list[str] = []
        _choice(found, "pooling", self.kind, get_args(PoolingKind))
        return found


@dataclass(frozen=True)
class HeadSpec:
    """From the vector to the scores.

    Attributes:
        kind: "linear": one dense layer; "narrow": standardisation, `hidden` ReLU units, one dense layer.
        hidden: the number of hidden units of a narrow head.
    """

    kind: HeadKind = "linear"
    hidden: int = 10

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found: list[str] = []
        _choice(found, "head", self.kind, get_args(HeadKind))
        if self.hidden < 1:
            found.append("A narrow head needs at least one hidden unit.")
        return found


@dataclass(frozen=True)
class AggregationSpec:
    """How a case's scores come from its slices.

    * A group that holds a gate label (such as "lesion"): every slice votes; the case's score is the highest
      slice ("max") or the mean of the `top` highest ("top_mean").
    * A gated group: slices whose gate score is at least `gate_threshold` vote, weighted by it. If none is,
      the question does not arise and the case has no score.
    * Any other group: slices with a person's box vote, equally. Without boxes every slice given votes,
      equally, and the prediction carries a warning that slices without a lesion may have voted.
    """

    gate_threshold: float = 0.5
    gate_rule: GateRule = "top_mean"
    top: int = 3

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found: list[str] = []
        if not 0 < self.gate_threshold < 1:
            found.append("The gate's threshold must lie between 0 and 1.")
        _choice(found, "gate rule", self.gate_rule, get_args(GateRule))
        if self.top < 1:
            found.append("The mean of the highest slices needs at least one slice.")
        return found


@dataclass(frozen=True)
class ModelSpec:
    """A whole model.

    Attributes:
        name: of the model, usable as a folder's name.
        recipe: the name of the recipe that it follows.
        preparation, backbone, pooling, head, groups, aggregation: its parts, in the order in which they act.
    """

    name: str
    recipe: str
    preparation: PreparationSpec
    backbone: BackboneSpec
    pooling: PoolingSpec
    head: HeadSpec
    groups: tuple[LabelGroup, ...]
    aggregation: AggregationSpec = field(default_factory=AggregationSpec)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels of all groups, in the order of the head's outputs."""
        return tuple(label for group in self.groups for label in group.labels)

    @property
    def gates(self) -> tuple[str, ...]:
        """The labels that say whether another group's question arises, in order of first use."""
        return tuple(dict.fromkeys(group.gate for group in self.groups if group.gate is not None))

    def problems(self) -> list[str]:
        """What is wrong with the model, in words; empty if nothing is."""
        found = []
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            found.append("A model's name consists of letters, digits, '.', '_' and '-'.")
        for part in (self.preparation, self.backbone, self.pooling, self.head, self.aggregation):
            found += part.problems()
        return found + self._group_problems()

    def _group_problems(self) -> list[str]:
        found: list[str] = []
        if not self.groups:
            found.append("A model needs at least one group of labels.")
        if len(set(self.labels)) != len(self.labels):
            found.append("No label may occur twice in a model.")
        if len({group.name for group in self.groups}) != len(self.groups):
            found.append("No two groups of labels may have the same name.")
        for group in self.groups:
            _choice(found, f"activation of {group.name!r}", group.activation, get_args(Activation))
            least = 2 if group.activation == "softmax" else 1
            if len(group.labels) < least:
                found.append(f"The group {group.name!r} needs at least {least} label(s).")
            if group.gate is None:
                continue
            holder = next((g for g in self.groups if group.gate in g.labels), None)
            if holder is None:
                found.append(f"The gate {group.gate!r} of {group.name!r} is no label of the model.")
            elif holder.gate is not None or holder is group:
                found.append(
                    f"The gate {group.gate!r} of {group.name!r} must belong to a group without a gate."
                )
        return found

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON values."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: object) -> ModelSpec:
        """The spec that `to_json` wrote.

        Raises:
            ModelError: an entry is missing, unknown, of the wrong type, or the model has problems.
        """
        top = _entries(data, cls, "model")
        preparation = _entries(top["preparation"], PreparationSpec, "preparation")
        channels = preparation["channels"]
        if not (channels is None or isinstance(channels, list)):
            raise ModelError("The model's description is not usable: 'channels' must be a list or null.")
        groups = top["groups"]
        if not isinstance(groups, list):
            raise ModelError("The model's description is not usable: 'groups' must be a list.")
        spec = cls(
            name=_typed(top["name"], str, "name"),
            recipe=_typed(top["recipe"], str, "recipe"),
            preparation=PreparationSpec(
                source=_source(preparation["source"]),
                size=_pair(preparation["size"], int, "size"),
                window=_pair(preparation["window"], float, "window"),
                mode=_typed(preparation["mode"], str, "mode"),
                channels=None if channels is None else tuple(_source(channel) for channel in channels),
            ),
            backbone=_make(BackboneSpec, top["backbone"], "backbone", name=str, layer=str, origin=str),
            pooling=_make(PoolingSpec, top["pooling"], "pooling", kind=str),
            head=_make(HeadSpec, top["head"], "head", kind=str, hidden=int),
            groups=tuple(_group(group) for group in groups),
            aggregation=_make(
                AggregationSpec,
                top["aggregation"],
                "aggregation",
                gate_threshold=float,
                gate_rule=str,
                top=int,
            ),
        )
        problems = spec.problems()
        if problems:
            raise ModelError("The model's description is not usable: " + " ".join(problems))
        return spec


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _entries(data: object, kind: type, what: str) -> dict[str, Any]:
    wanted = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    if not isinstance(data, dict):
        raise ModelError(f"The model's description is not usable: {what!r} must have entries.")
    for problem, keys in (("lacks", wanted - set(data)), ("has the unknown", set(data) - wanted)):
        if keys:
            names = ", ".join(sorted(map(repr, keys)))
            raise ModelError(f"The model's description is not usable: {what!r} {problem} {names}.")
    return data


def _typed(value: object, kind: type, what: str) -> Any:
    # JSON knows one kind of number, and Python's True is an int: neither may slip through or be refused by
    # it.
    fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
    if not fits or isinstance(value, bool) or (isinstance(value, float) and not isfinite(value)):
        raise ModelError(f"The model's description is not usable: {what!r} must be a {kind.__name__}.")
    return kind(value)


def _pair(value: object, kind: type, what: str) -> Any:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ModelError(f"The model's description is not usable: {what!r} must be two numbers.")
    return _typed(value[0], kind, what), _typed(value[1], kind, what)


def _make(cls: Any, data: object, what: str, **kinds: type) -> Any:
    entries = _entries(data, cls, what)
    return cls(**{key: _typed(entries[key], kind, key) for key, kind in kinds.items()})


def _source(data: object) -> ImageSource:
    source: ImageSource = _make(ImageSource, data, "source", kind=str, rule=str, value=float)
    return source


def _group(data: object) -> LabelGroup:
    entries = _entries(data, LabelGroup, "group")
    if not isinstance(entries["labels"], list):
        raise ModelError("The model's description is not usable: 'labels' must be a list.")
    return LabelGroup(
        name=_typed(entries["name"], str, "name"),
        labels=tuple(_typed(label, str, "labels") for label in entries["labels"]),
        activation=_typed(entries["activation"], str, "activation"),
        gate=None if entries["gate"] is None else _typed(entries["gate"], str, "gate"),
    )
