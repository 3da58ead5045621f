"""Our Grad-CAM is the one of the public packages; the engine changes nothing but the time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_breast_ai.inference import Engine, engine_for, explain
from napari_breast_ai.inference.engine import fold_batch_norms
from napari_breast_ai.models import RECIPES, BackboneSpec, Composition, HeadSpec, PoolingSpec, build
from napari_breast_ai.models.pooling import AveragePooling

IMAGES = (2, 3, 64, 96)
COMPARED = 2


class _Logits(nn.Module):
    """The packages want a model that gives nothing but scores."""

    def __init__(self, model: Composition) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images).logits


def _model(backbone: str, layer: str, pooling: str, head: str = "linear") -> Composition:
    torch.manual_seed(6)
    spec = replace(
        RECIPES["gap-resnet50"],
        backbone=BackboneSpec(backbone, layer),
        pooling=PoolingSpec(pooling),  # type: ignore[arg-type]
        head=HeadSpec(head),  # type: ignore[arg-type]
    )
    model = build(spec)
    for module in model.modules():
        # As after training: a batch norm that is the identity would not notice being folded wrongly.
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, -0.1, 0.1)
    return model


def _quick(model: Composition) -> Composition:
    """Let the packages' backward end right below the feature map: Grad-CAM needs it no further."""
    for parameter in list(model.backbone.parameters())[:-1]:
        parameter.requires_grad_(False)
    return model


def _grad_cam(wrapped: _Logits, images: torch.Tensor, label: int) -> np.ndarray:
    """The map of the `grad-cam` package before it is resized and normalised."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    raw: list[np.ndarray] = []

    class Raw(GradCAM):  # type: ignore[misc]
        def get_cam_image(self, *args: Any, **kwargs: Any) -> np.ndarray:
            raw.append(super().get_cam_image(*args, **kwargs))
            return raw[-1]

    with Raw(model=wrapped, target_layers=[wrapped.model.backbone]) as cam:
        cam(input_tensor=images, targets=[ClassifierOutputTarget(label)] * len(images))
    return np.maximum(raw[0], 0)


@pytest.mark.parametrize("pooling", ["average", "attention"])
@pytest.mark.parametrize(
    ("backbone", "layer"),
    [
        ("squeezenet1_1", "features"),
        ("squeezenet1_1", "conv10"),
        ("resnet50", "layer4"),
        ("mobilenet_v3_large", "features"),
        ("densenet121", "features"),
    ],
)
def test_grad_cam_is_that_of_the_public_packages(backbone: str, layer: str, pooling: str) -> None:
    from captum.attr import LayerGradCam

    model = _quick(_model(backbone, layer, pooling).double())
    images = torch.rand(IMAGES, dtype=torch.float64)
    with torch.no_grad():
        # Opposite labels: where the map of one is nothing but zeros, that of the other is not.
        weight = model.head.output.weight  # type: ignore[union-attr]
        weight[1] = -weight[0]  # type: ignore[index, operator]
        features = model.backbone(images)
    ours = explain(features, model.pooling, model.head).gradcam.numpy()
    wrapped = _Logits(model)
    captum = LayerGradCam(wrapped, model.backbone)
    largest = 0.0
    for label in range(COMPARED):
        theirs = captum.attribute(images, target=label, relu_attributions=True)[:, 0].detach().numpy()
        peak = theirs.max()
        largest = max(largest, peak)
        np.testing.assert_allclose(ours[:, label], theirs, rtol=0, atol=1e-6 * max(peak, 1e-12))
        np.testing.assert_allclose(
            ours[:, label], _grad_cam(wrapped, images, label), rtol=0, atol=1e-6 * max(peak, 1e-12)
        )
    assert largest > 0


def test_grad_cam_of_a_narrow_head_is_that_of_captum() -> None:
    from captum.attr import LayerGradCam

    model = _model("squeezenet1_1", "conv10", "average", "narrow").double()
    images = torch.rand(IMAGES, dtype=torch.float64)
    with torch.no_grad():
        features = model.backbone(images)
        model.head.set_standardisation(features.mean(dim=(2, 3)) + torch.randn(2, 1000))  # type: ignore[operator]
    ours = explain(features, model.pooling, model.head).gradcam
    peak = float(ours.max())
    assert peak > 0
    for label in range(COMPARED):
        theirs = LayerGradCam(_Logits(model), model.backbone).attribute(
            images, target=label, relu_attributions=True
        )
        torch.testing.assert_close(ours[:, label], theirs[:, 0].detach(), rtol=0, atol=1e-6 * peak)


def test_average_pooling_and_a_linear_head_give_cam_in_closed_form() -> None:
    """CAM (Zhou 2016): the head's own weights over the feature map, here divided by the number of cells."""
    torch.manual_seed(7)
    features = torch.randn(3, 8, 4, 6)
    head = nn.Linear(8, 2)
    found = explain(features, AveragePooling(), head)
    wanted = torch.relu(torch.einsum("lc,nchw->nlhw", head.weight.detach(), features)) / 24
    torch.testing.assert_close(found.gradcam, wanted)
    torch.testing.assert_close(found.logits, head(features.mean(dim=(2, 3))).detach())
    assert found.attention is None


def test_grad_cam_of_one_slice_does_not_depend_on_the_others() -> None:
    model = _model("squeezenet1_1", "features", "attention")
    features = torch.rand(4, 512, 3, 5)
    every = explain(features, model.pooling, model.head)
    alone = explain(features[2:3], model.pooling, model.head)
    torch.testing.assert_close(every.gradcam[2:3], alone.gradcam)
    assert not every.gradcam.requires_grad
    assert not every.logits.requires_grad


@pytest.mark.parametrize(
    ("backbone", "layer", "folded_entirely"),
    [
        ("resnet18", "layer4", True),
        ("mobilenet_v2", "features", True),
        ("mobilenet_v3_large", "features", True),
        ("densenet121", "features", False),
        ("squeezenet1_1", "conv10", True),
    ],
)
def test_folding_changes_nothing(backbone: str, layer: str, folded_entirely: bool) -> None:
    model = _model(backbone, layer, "average")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = fold_batch_norms(model.backbone)
    images = torch.rand(IMAGES)
    with torch.inference_mode():
        wanted, found = model.backbone(images), folded(images)
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())
    norms = [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) < max(1, sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()))
    assert (not norms) == folded_entirely
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_engine_says_what_the_model_says() -> None:
    model = _model("resnet18", "layer4", "attention")
    images = torch.rand(IMAGES)
    engine = Engine(model, torch.device("cpu"))
    found = engine.explain(engine.features(images))
    with torch.inference_mode():
        wanted = model(images)
    torch.testing.assert_close(found.logits, wanted.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.attention, wanted.attention, rtol=1e-4, atol=1e-5)


def test_an_engine_is_kept_until_the_weights_change() -> None:
    model = _model("squeezenet1_1", "features", "average")
    cpu = torch.device("cpu")
    first = engine_for(model, cpu)
    assert engine_for(model, cpu) is first
    with torch.no_grad():
        model.head.output.bias.add_(1.0)  # type: ignore[union-attr, operator]
    second = engine_for(model, cpu)
    assert second is not first
    features = torch.rand(1, 512, 3, 3)
    torch.testing.assert_close(second.explain(features).logits, first.explain(features).logits + 1)
