"""The parts of a model, in words and numbers: preparation, backbone, pooling, head, aggregation. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

SourceKind = Literal["phase", "subtraction", "change", "picture"]
SourceRule = Literal["post_index", "nearest_time"]
Mode = Literal["caffe", "torchvision", "plain"]
View = Literal["whole", "ultrasound"]
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


def check_choice(found: list[str], what: str, value: object, choices: tuple[str, ...]) -> None:
    """Add a sentence to what was found where a value is none of the choices."""
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
        check_choice(found, "image source", self.kind, get_args(SourceKind))
        check_choice(found, "phase rule", self.rule, get_args(SourceRule))
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
        view: what part of the image. "whole"; or for pictures "ultrasound": the field of view cut out of the screen,
            without the device's and the patient's text, and made square by black margins.
    """

    source: ImageSource = field(default_factory=ImageSource)
    size: tuple[int, int] = (227, 227)
    window: tuple[float, float] = (1.0, 99.5)
    mode: Mode = "torchvision"
    channels: tuple[ImageSource, ...] | None = None
    view: View = "whole"

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
        check_choice(found, "preprocessing mode", self.mode, get_args(Mode))
        check_choice(found, "view", self.view, get_args(View))
        if self.view == "ultrasound" and self.source.kind != "picture":
            found.append(
                "An ultrasound's field of view can be cut out of pictures only; use the view “whole”."
            )
        return found


@dataclass(frozen=True)
class BackboneSpec:
    """The network that turns images into feature maps.

    Attributes:
        name: torchvision's name, one of `LAYERS`.
        layer: where the feature map is taken, one of `LAYERS[name]`.
        origin: where the weights came from, in words; filled in when the model is built.
        mirror: the feature map is the mean of the image's own and, turned back, of its mirror image's. Breasts come
            as left and right ones, and a network that was trained on photographs answers both alike only on average.
    """

    name: str
    layer: str
    origin: str = "random"
    mirror: bool = False

    @property
    def channels(self) -> int:
        """The number of channels of the feature map."""
        return LAYERS[self.name][self.layer]

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found: list[str] = []
        check_choice(found, "backbone", self.name, tuple(LAYERS))
        if self.name in LAYERS:
            check_choice(found, f"layer of {self.name}", self.layer, tuple(LAYERS[self.name]))
        return found


@dataclass(frozen=True)
class PoolingSpec:
    """From a feature map to one vector: plain average, or average weighted by a learned attention."""

    kind: PoolingKind = "average"

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found: list[str] = []
        check_choice(found, "pooling", self.kind, get_args(PoolingKind))
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
        check_choice(found, "head", self.kind, get_args(HeadKind))
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
        check_choice(found, "gate rule", self.gate_rule, get_args(GateRule))
        if self.top < 1:
            found.append("The mean of the highest slices needs at least one slice.")
        return found
