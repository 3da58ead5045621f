"""Backbones, pooling, heads and what they make together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_breast_ai.core import LabelGroup
from napari_breast_ai.models import (
    LAYERS,
    RECIPES,
    AttentionPooling,
    BackboneSpec,
    Composition,
    HeadSpec,
    ModelError,
    NarrowHead,
    PoolingSpec,
    build,
    import_torchvision,
    probabilities,
)
from napari_breast_ai.models.backbones import Backbone, make_network
from napari_breast_ai.models.pooling import AveragePooling, Pooled, Pooling


@pytest.mark.parametrize(("name", "layer"), [(name, layer) for name in LAYERS for layer in LAYERS[name]])
def test_backbone_ends_where_torchvision_pools(name: str, layer: str) -> None:
    """Average pooling and torchvision's own classifier on our feature map give torchvision's own output."""
    torch.manual_seed(1)
    network = make_network(name).eval()
    backbone = Backbone(BackboneSpec(name, layer), network).eval()
    images = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        features = backbone(images)
        wanted = network(images)
        assert features.shape[:2] == (2, LAYERS[name][layer])
        if name == "squeezenet1_1":
            maps = features if layer == "conv10" else network.classifier[1:3](features[:, :512])
            found = maps.mean(dim=(2, 3))
        else:
            found = (network.fc if name.startswith("resnet") else network.classifier)(
                features.mean(dim=(2, 3))
            )
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_feature_maps_have_the_published_sizes() -> None:
    for recipe, size in (("squeezenet-narrow", (1000, 14, 14)), ("attention-resnet50", (2048, 8, 11))):
        spec = RECIPES[recipe]
        with torch.device("meta"):
            backbone = Backbone(spec.backbone, make_network(spec.backbone.name))
            assert tuple(backbone(torch.empty(1, 3, *spec.preparation.size)).shape[1:]) == size


def test_squeezenet_has_the_published_number_of_parameters() -> None:
    model = build(RECIPES["squeezenet-narrow"])
    assert sum(p.numel() for p in model.backbone.parameters()) == 1_235_496


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_attention_is_average_pooling(dtype: torch.dtype) -> None:
    features = torch.randn(3, 16, 5, 7, dtype=dtype)
    pooling = AttentionPooling(16).to(dtype)
    for bias in (-40.0, 0.0, 3.0):
        torch.nn.init.zeros_(pooling.attend.weight)
        torch.nn.init.constant_(pooling.attend.bias, bias)
        torch.testing.assert_close(pooling(features).vector, features.mean(dim=(2, 3)))


def test_one_hot_attention_is_that_cell() -> None:
    features = torch.rand(2, 4, 3, 5)
    features[:, 0] = -1
    features[0, 0, 1, 3] = features[1, 0, 2, 0] = 1
    pooling = AttentionPooling(4)
    with torch.no_grad():
        pooling.attend.weight.zero_()
        pooling.attend.weight[0, 0] = 60
        pooled = pooling(features)
    torch.testing.assert_close(pooled.vector[0], features[0, :, 1, 3])
    torch.testing.assert_close(pooled.vector[1], features[1, :, 2, 0])
    assert float(pooled.attention[0, 1, 3]) == pytest.approx(1)
    assert float(pooled.attention[0].sum()) == pytest.approx(1)


def test_attention_pooling_is_the_published_quotient() -> None:
    features = torch.randn(2, 8, 4, 6, dtype=torch.float64)
    pooling = AttentionPooling(8).double()
    pooled = pooling(features)
    p = pooled.attention[:, None]
    torch.testing.assert_close(pooled.vector, (p * features).sum(dim=(2, 3)) / p.sum(dim=(2, 3)))
    torch.testing.assert_close(torch.sigmoid(pooled.attention_logits), pooled.attention)


@pytest.mark.parametrize("kind", ["average", "attention"])
def test_closed_form_of_the_mean_gradient_is_autograds(kind: str) -> None:
    torch.manual_seed(2)
    features = torch.randn(3, 8, 4, 6, dtype=torch.float64)
    pooling: Pooling = AveragePooling() if kind == "average" else AttentionPooling(8).double()
    with torch.no_grad():
        pooled: Pooled = pooling(features)
        gradient = torch.randn(3, 5, 8, dtype=torch.float64)
        closed = pooling.mean_gradient(features, pooled, gradient)
        maps = pooling.weighted(features, pooled, gradient)
    general = Pooling.mean_gradient(pooling, features, pooled, gradient)
    torch.testing.assert_close(closed, general, rtol=1e-10, atol=1e-12)
    wanted = torch.einsum("nlc,nchw->nlhw", general, features).flatten(2)
    torch.testing.assert_close(maps, wanted, rtol=1e-10, atol=1e-12)


def test_narrow_head_standardises() -> None:
    vectors = torch.randn(50, 6) * 3 + 2
    vectors[:, 4] = 0.1
    head = NarrowHead(6, 2, 10)
    assert torch.equal(head.hidden.bias, torch.zeros(10))
    assert float(head.hidden.weight.detach().abs().max()) <= (6 / 16) ** 0.5
    head.set_standardisation(vectors)
    standard = (vectors - head.mean) / head.std
    torch.testing.assert_close(standard.mean(dim=0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(standard.std(dim=0)[:4], torch.ones(4))
    assert float(standard[:, 4].abs().max()) < 1e-6
    assert head(vectors).shape == (50, 2)
    head.set_standardisation(vectors[:1])
    assert torch.isfinite(head(vectors)).all()


def test_probabilities_follow_the_groups() -> None:
    groups = (LabelGroup("a", ("x",), "sigmoid"), LabelGroup("b", ("y", "z"), "softmax", gate="x"))
    logits = torch.tensor([[0.0, 1.0, 3.0], [2.0, -1.0, -1.0]])
    found = probabilities(logits, groups)
    assert list(found) == ["x", "y", "z"]
    torch.testing.assert_close(found["x"], torch.sigmoid(logits[:, 0]))
    torch.testing.assert_close(found["y"] + found["z"], torch.ones(2))
    assert float(found["y"][1]) == pytest.approx(0.5)
    assert float(found["z"][0]) == pytest.approx(1 / (1 + torch.e**-2))


def test_forward_is_its_parts(small_model: Composition) -> None:
    images = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        output = small_model(images)
        pooled = small_model.pooling(small_model.backbone(images))
        assert torch.equal(output.logits, small_model.head(pooled.vector))
        assert torch.equal(output.attention, pooled.attention)
    assert output.logits.shape == (2, 3)
    assert not small_model.training


def test_a_spec_with_problems_is_not_built() -> None:
    spec = replace(RECIPES["gap-resnet50"], backbone=BackboneSpec("vgg99", "features"))
    with pytest.raises(ModelError, match="backbone 'vgg99' is unknown"):
        build(spec)


def test_every_pooling_goes_with_every_head() -> None:
    spec = replace(RECIPES["gap-resnet50"], backbone=BackboneSpec("squeezenet1_1", "features"))
    for pooling in (PoolingSpec("average"), PoolingSpec("attention")):
        for head in (HeadSpec("linear"), HeadSpec("narrow", 4)):
            output = build(replace(spec, pooling=pooling, head=head))(torch.rand(1, 3, 64, 64))
            assert output.logits.shape == (1, 5)
            assert (output.attention is None) == (pooling.kind == "average")


def test_torchvision_is_importable_here() -> None:
    assert hasattr(import_torchvision(), "models")
