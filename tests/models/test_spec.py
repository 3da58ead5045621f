"""Specs say what is wrong with them, and go to JSON and back."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from napari_breast_ai.core import LabelGroup
from napari_breast_ai.models import (
    RECIPES,
    AggregationSpec,
    BackboneSpec,
    HeadSpec,
    ImageSource,
    ModelError,
    ModelSpec,
    PoolingSpec,
    PreparationSpec,
)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_sound_and_survive_json(name: str) -> None:
    spec = RECIPES[name]
    assert spec.name == name
    assert spec.problems() == []
    assert ModelSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_published_numbers_of_the_recipes() -> None:
    narrow = RECIPES["squeezenet-narrow"]
    assert (narrow.preparation.size, narrow.preparation.mode) == ((227, 227), "caffe")
    assert (narrow.backbone.channels, narrow.head.hidden, narrow.labels) == (1000, 10, ("IGM", "NME"))
    attention = RECIPES["attention-resnet50"]
    assert (attention.preparation.size, attention.backbone.channels, len(attention.labels)) == (
        (240, 345),
        2048,
        5,
    )
    assert replace(attention, name="x", recipe="x", pooling=PoolingSpec("average")) == replace(
        RECIPES["gap-resnet50"], name="x", recipe="x"
    )
    assert RECIPES["attention-squeezenet"].gates == ("lesion",)


@pytest.mark.parametrize(
    ("part", "word"),
    [
        (ImageSource("other", "post_index", 1), "image source"),  # type: ignore[arg-type]
        (ImageSource("phase", "post_index", 0), "whole number"),
        (ImageSource("phase", "post_index", 1.5), "whole number"),
        (ImageSource("phase", "post_index", float("nan")), "whole number"),
        (ImageSource("phase", "nearest_time", -1), "seconds"),
        (PreparationSpec(size=(8, 227)), "32"),
        (PreparationSpec(window=(99, 1)), "percentiles"),
        (PreparationSpec(mode="other"), "mode"),  # type: ignore[arg-type]
        (PreparationSpec(channels=(ImageSource(),)), "three channels"),
        (PreparationSpec(channels=(ImageSource("subtraction"),) * 3), "as the source is"),
        (PreparationSpec(ImageSource("change")), "measured against"),
        (BackboneSpec("vgg99", "features"), "backbone 'vgg99'"),
        (BackboneSpec("resnet18", "features"), "layer of resnet18"),
        (PoolingSpec("max"), "pooling"),  # type: ignore[arg-type]
        (HeadSpec("wide"), "head"),  # type: ignore[arg-type]
        (HeadSpec("narrow", 0), "hidden"),
        (AggregationSpec(gate_threshold=0), "threshold"),
        (AggregationSpec(gate_rule="min"), "gate rule"),  # type: ignore[arg-type]
        (AggregationSpec(top=0), "at least one"),
    ],
)
def test_parts_say_what_is_wrong(part: Any, word: str) -> None:
    problems = part.problems()
    assert len(problems) == 1
    assert word in problems[0]
    assert problems[0].endswith(".")


@pytest.mark.parametrize(
    ("groups", "word"),
    [
        ((), "at least one group"),
        ((LabelGroup("a", ("x",), "softmax"),), "at least 2"),
        ((LabelGroup("a", (), "sigmoid"),), "at least 1"),
        ((LabelGroup("a", ("x",), "sigmoid"), LabelGroup("b", ("x",), "sigmoid")), "twice"),
        ((LabelGroup("a", ("x",), "sigmoid"), LabelGroup("a", ("y",), "sigmoid")), "same name"),
        ((LabelGroup("a", ("x",), "sigmoid", gate="y"),), "no label of the model"),
        ((LabelGroup("a", ("x",), "sigmoid", gate="x"),), "without a gate"),
        ((LabelGroup("a", ("x",), "tanh"),), "activation"),  # type: ignore[arg-type]
    ],
)
def test_groups_say_what_is_wrong(groups: tuple[LabelGroup, ...], word: str) -> None:
    problems = replace(RECIPES["gap-resnet50"], groups=groups).problems()
    assert any(word in problem for problem in problems), problems


def test_a_name_must_be_usable_as_a_folder() -> None:
    assert replace(RECIPES["gap-resnet50"], name="../up").problems()


def _broken(*path: str | int, value: Any) -> Any:
    data: Any = copy.deepcopy(RECIPES["attention-squeezenet"].to_json())
    at = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return data


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        _broken("surprise", value=1),
        _broken("name", value=3),
        _broken("groups", value="lesion"),
        _broken("groups", 0, "labels", value="lesion"),
        _broken("preparation", "size", value=[227]),
        _broken("preparation", "size", value=[227, 227.5]),
        _broken("preparation", "source", "value", value=True),
        _broken("preparation", "source", "value", value=float("inf")),
        _broken("backbone", "name", value="vgg99"),
        _broken("head", "hidden", value="ten"),
        _broken("aggregation", value=None),
    ],
)
def test_unusable_json_is_refused_in_words(data: Any) -> None:
    with pytest.raises(ModelError, match=r"^The model's description is not usable: .*\.$"):
        ModelSpec.from_json(data)


def test_specs_and_the_list_of_bundles_need_no_torch() -> None:
    code = (
        "import sys, napari_breast_ai.models as m, napari_breast_ai.inference\n"
        "m.list_bundles(); m.RECIPES\n"
        "assert 'torch' not in sys.modules and 'torchvision' not in sys.modules\n"
        "assert callable(m.build) and 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
