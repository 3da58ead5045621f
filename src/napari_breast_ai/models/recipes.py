"""The published systems, and some of our own, as specs.

Sources: M1, Haseki Med Bull 2026;64(2):76-84 (squeezenet-narrow). M2, "Detection of MRI breast lesions using
deep learning", JFR 2018 data challenge (attention-resnet50, and gap-resnet50 as its baseline). M3, non-mass lesions on
ultrasound, Shenzhen (mobilenet-448, densenet121-448). Where the source is silent (phase of M2, window of all, version
of M3's MobileNet) the choice is this project's.
"""

from __future__ import annotations

from ..core import LabelGroup
from .spec import ModelSpec
from .spec_parts import BackboneSpec, HeadSpec, ImageSource, PoolingKind, PoolingSpec, PreparationSpec

DIAGNOSIS = ("IGM", "NME")
LESION = "lesion"
CHALLENGE = ("malignancy", "normal", "other benign", "IDC", "other malignant")
"""The five scores of M2: "normal" is normal mammary gland, "IDC" invasive ductal carcinoma."""

_POST_CONTRAST = ImageSource("phase", "nearest_time", 120.0)


def _subtraction(seconds: float) -> ImageSource:
    return ImageSource("subtraction", "nearest_time", seconds)


def _change(seconds: float) -> ImageSource:
    return ImageSource("change", "nearest_time", seconds)


def _challenge(pooling: PoolingKind, name: str, backbone: str, layer: str) -> ModelSpec:
    """M2's system, on its own backbone or on another."""
    full = f"{'gap' if pooling == 'average' else pooling}-{name}"
    return ModelSpec(
        name=full,
        recipe=full,
        preparation=PreparationSpec(_POST_CONTRAST, (240, 345), (1.0, 99.5), "torchvision"),
        backbone=BackboneSpec(backbone, layer),
        pooling=PoolingSpec(pooling),
        head=HeadSpec("linear"),
        groups=(LabelGroup("scores", CHALLENGE, "sigmoid"),),
    )


def _ultrasound(name: str, backbone: str) -> ModelSpec:
    """M3's system. Its classes are those of its second question; a training gives its own."""
    return ModelSpec(
        name=name,
        recipe=name,
        preparation=PreparationSpec(
            ImageSource("picture"), (448, 448), (1.0, 99.5), "torchvision", view="ultrasound"
        ),
        backbone=BackboneSpec(backbone, "features"),
        pooling=PoolingSpec("average"),
        head=HeadSpec("linear"),
        groups=(LabelGroup("malignancy", ("malignant", "benign"), "softmax"),),
    )


_BACKBONES = (
    ("resnet50", "resnet50", "layer4"),
    ("resnet18", "resnet18", "layer4"),
    ("mobilenet-v2", "mobilenet_v2", "features"),
    ("mobilenet-v3", "mobilenet_v3_large", "features"),
    ("densenet121", "densenet121", "features"),
)

RECIPES: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="squeezenet-narrow",
            recipe="squeezenet-narrow",
            # The second dynamic phase, counting from the first after the contrast agent.
            preparation=PreparationSpec(
                ImageSource("phase", "post_index", 2), (227, 227), (1.0, 99.5), "caffe"
            ),
            backbone=BackboneSpec("squeezenet1_1", "conv10"),
            pooling=PoolingSpec("average"),
            head=HeadSpec("narrow", 10),
            groups=(LabelGroup("diagnosis", DIAGNOSIS, "softmax"),),
        ),
        *(_challenge("attention", *backbone) for backbone in _BACKBONES),
        *(_challenge("average", *backbone) for backbone in _BACKBONES),
        _ultrasound("mobilenet-448", "mobilenet_v2"),
        _ultrasound("densenet121-448", "densenet121"),
        ModelSpec(
            name="attention-squeezenet",
            recipe="attention-squeezenet",
            # The peak between the changes from the early and to the delayed phase: how fast the enhancement
            # comes and whether it washes out, which one image cannot show.
            preparation=PreparationSpec(
                _subtraction(120.0),
                (227, 227),
                (1.0, 99.5),
                "torchvision",
                channels=(_change(60.0), _subtraction(120.0), _change(300.0)),
            ),
            backbone=BackboneSpec("squeezenet1_1", "features"),
            pooling=PoolingSpec("attention"),
            head=HeadSpec("linear"),
            groups=(
                LabelGroup("lesion", (LESION,), "sigmoid"),
                LabelGroup("diagnosis", DIAGNOSIS, "softmax", gate=LESION),
            ),
        ),
    )
}
"""Recipe name to spec: "squeezenet-narrow"; "attention-" and "gap-" with "resnet50", "resnet18", "mobilenet-v2",
"mobilenet-v3" and "densenet121"; "attention-squeezenet"; "mobilenet-448" and "densenet121-448".
"""
