"""Copies of pooling and head for each task, and mirrored backbones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from napari_breast_ai.core import LabelGroup
from napari_breast_ai.models import (
    AttentionPooling,
    Composition,
    ModelError,
    ModelSpec,
    PoolingSpec,
    build,
    load_bundle,
    pairs,
    save_bundle,
)
from napari_breast_ai.models.backbones import Backbone

GROUPS = (
    LabelGroup("malignancy", ("malignancy",), "sigmoid"),
    LabelGroup("kind", ("IDC", "other benign"), "softmax"),
    LabelGroup("gland", ("gland",), "sigmoid"),
)
TASKS = (("gland", "malignancy"), ("kind",))


@pytest.fixture(scope="module")
def copied(small_spec: ModelSpec) -> Composition:
    torch.manual_seed(3)
    return build(replace(small_spec, groups=GROUPS, copies=TASKS))


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    torch.manual_seed(4)
    return torch.rand(3, 512, 3, 5)


def test_each_question_is_answered_by_its_own_copy(copied: Composition, features: torch.Tensor) -> None:
    found = copied.from_features(features)
    (first, head), (second, other) = pairs(copied.pooling, copied.head)
    one, two = head(first(features).vector), other(second(features).vector)
    assert not torch.allclose(one, two)
    # Labels in the order of the groups, whatever the order of the tasks.
    torch.testing.assert_close(found.logits, torch.stack([one[:, 0], two[:, 1], two[:, 2], one[:, 3]], 1))
    assert found.of_tasks is not None and found.attention is not None
    torch.testing.assert_close(found.of_tasks[:, 0], first(features).attention)
    torch.testing.assert_close(found.of_tasks[:, 1], second(features).attention)
    torch.testing.assert_close(found.attention, found.of_tasks[:, 0])


def test_equal_copies_say_what_one_says(copied: Composition, features: torch.Tensor) -> None:
    single = build(replace(copied.spec, copies=()))
    for pooling, head in pairs(copied.pooling, copied.head):
        own = build(replace(copied.spec, copies=TASKS))
        for mine, mine_head in pairs(own.pooling, own.head):
            mine.load_state_dict(pooling.state_dict())
            mine_head.load_state_dict(head.state_dict())
        single.pooling.load_state_dict(pooling.state_dict())
        single.head.load_state_dict(head.state_dict())
        torch.testing.assert_close(own.from_features(features).logits, single.from_features(features).logits)


def test_a_bundle_keeps_the_copies(copied: Composition, features: torch.Tensor, tmp_path: Path) -> None:
    bundle = load_bundle(save_bundle(tmp_path / "b", copied, card="", evaluation={}))
    assert bundle.spec.copies == TASKS
    for mine, theirs in zip(
        bundle.model.from_features(features), copied.from_features(features), strict=True
    ):
        assert mine is not None and theirs is not None
        assert torch.equal(mine, theirs)


def test_a_bundle_of_the_first_version_has_neither_copies_nor_a_mirror(bundle_folder: Path) -> None:
    file = bundle_folder / "config.json"
    config = json.loads(file.read_text())
    config["version"] = 1
    del config["model"]["copies"], config["model"]["backbone"]["mirror"]
    file.write_text(json.dumps(config))
    spec = load_bundle(bundle_folder).spec
    assert spec.copies == () and not spec.backbone.mirror


@pytest.mark.parametrize(
    "tasks", [(("gland",), ("kind",)), (("gland", "malignancy"), ("kind", "gland")), ((), *TASKS), (("x",),)]
)
def test_tasks_that_do_not_fit_the_questions_are_refused(
    small_spec: ModelSpec, tasks: tuple[tuple[str, ...], ...]
) -> None:
    spec = replace(small_spec, groups=GROUPS, copies=tasks)
    assert spec.problems()
    with pytest.raises(ModelError, match="task"):
        ModelSpec.from_json(json.loads(json.dumps(spec.to_json())))


@pytest.mark.parametrize("copies", ["all", ["all"], [[1]], None])
def test_a_list_of_copies_that_is_none_is_refused(small_spec: ModelSpec, copies: object) -> None:
    with pytest.raises(ModelError, match="'copies' must be"):
        ModelSpec.from_json(small_spec.to_json() | {"copies": copies})


def test_a_mirrored_backbone_answers_a_slice_and_its_mirror_image_alike(small_spec: ModelSpec) -> None:
    torch.manual_seed(5)
    spec = replace(small_spec, pooling=PoolingSpec("attention"))
    model = build(replace(spec, backbone=replace(spec.backbone, mirror=True)))
    assert isinstance(model.backbone, Backbone) and isinstance(model.pooling, AttentionPooling)
    images = torch.rand(2, 3, 64, 96)
    one = model.backbone.one_sided()
    with torch.no_grad():
        maps = model.backbone(images)
        wanted = (one(images) + one(images.flip(3)).flip(3)) / 2
        assert not torch.allclose(one(images), wanted, atol=1e-3)
        torch.testing.assert_close(maps, wanted)
        here, there = model(images), model(images.flip(3))
    torch.testing.assert_close(here.logits, there.logits)
    assert here.attention is not None and there.attention is not None
    torch.testing.assert_close(here.attention, there.attention.flip(2))
    assert model.backbone.spec.mirror, "the one-sided twin is another object"
