"""What a model is: spec, backbones, pooling, heads, recipes, bundles.

Specs, recipes and the list of bundles need no torch; the names that do are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import BundleError, ModelError
from .recipes import CHALLENGE, DIAGNOSIS, LESION, RECIPES
from .registry import BundleInfo, find_bundle, list_bundles, user_folder
from .spec import ModelSpec
from .spec_parts import (
    CHANGE_PERCENT,
    LAYERS,
    AggregationSpec,
    BackboneSpec,
    HeadSpec,
    ImageSource,
    PoolingSpec,
    PreparationSpec,
)

if TYPE_CHECKING:
    from .bundle import Bundle, load_bundle, save_bundle
    from .composition import Composition, Output, build, for_weights, probabilities
    from .copies import make_parts, pairs
    from .heads import NarrowHead
    from .pooling import AttentionPooling, Pooled, Pooling
    from .table_bundle import TableBundle, load_any_bundle
    from .torchvision_compat import import_torchvision

_LATER = {
    "Bundle": "bundle",
    "load_bundle": "bundle",
    "save_bundle": "bundle",
    "Composition": "composition",
    "Output": "composition",
    "build": "composition",
    "for_weights": "composition",
    "probabilities": "composition",
    "make_parts": "copies",
    "pairs": "copies",
    "NarrowHead": "heads",
    "AttentionPooling": "pooling",
    "Pooled": "pooling",
    "Pooling": "pooling",
    "import_torchvision": "torchvision_compat",
    "TableBundle": "table_bundle",
    "load_any_bundle": "table_bundle",
}

__all__ = [
    "CHALLENGE",
    "CHANGE_PERCENT",
    "DIAGNOSIS",
    "LAYERS",
    "LESION",
    "RECIPES",
    "AggregationSpec",
    "AttentionPooling",
    "BackboneSpec",
    "Bundle",
    "BundleError",
    "BundleInfo",
    "Composition",
    "HeadSpec",
    "ImageSource",
    "ModelError",
    "ModelSpec",
    "NarrowHead",
    "Output",
    "Pooled",
    "Pooling",
    "PoolingSpec",
    "PreparationSpec",
    "TableBundle",
    "build",
    "find_bundle",
    "for_weights",
    "import_torchvision",
    "list_bundles",
    "load_any_bundle",
    "load_bundle",
    "make_parts",
    "pairs",
    "probabilities",
    "save_bundle",
    "user_folder",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f".{_LATER[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
