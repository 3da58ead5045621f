"""The published systems, and one of our own, as specs.

Sources: M1, Haseki Med Bull 2026;64(2):76-84 (squeezenet-narrow). M2, "Detection of MRI breast lesions using
deep learning", JFR 2018 data challenge (attention-resnet50, and gap-resnet50 as its baseline). Where the
source is silent (phase of M2, window of all) the choice is this project's.
"""

from __future__ import annotations

from ..core import LabelGroup
from .spec import BackboneSpec, HeadSpec, ImageSource, ModelSpec, PoolingSpec, PreparationSpec

DIAGNOSIS = ("IGM", "NME")
LESION = "lesion"
CHALLENGE = ("malignancy", "normal", "other benign", "IDC", "other malignant")
"""The five scores of M2: "normal" is normal mammary gland, "IDC" invasive ductal carcinoma."""

_POST_CONTRAST = ImageSource("phase", "nearest_time", 120.0)


def _subtraction(seconds: float) -> ImageSource:
    return ImageSource("subtraction", "nearest_time", seconds)


def _change(seconds: float) -> ImageSource:
    return ImageSource("change", "nearest_time", seconds)


def _resnet50(name: str, pooling: PoolingSpec) -> ModelSpec:
    return ModelSpec(
        name=name,
        recipe=name,
        preparation=PreparationSpec(_POST_CONTRAST, (240, 345), (1.0, 99.5), "torchvision"),
        backbone=BackboneSpec("resnet50", "layer4"),
        pooling=pooling,
        head=HeadSpec("linear"),
        groups=(LabelGroup("scores", CHALLENGE, "sigmoid"),),
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
        _resnet50("attention-resnet50", PoolingSpec("attention")),
        _resnet50("gap-resnet50", PoolingSpec("average")),
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
"""Recipe name to spec: "squeezenet-narrow", "attention-resnet50", "gap-resnet50", "attention-squeezenet"."""
