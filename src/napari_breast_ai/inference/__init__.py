"""Running a model: preparation, engine, prediction, explanation, the case's scores, and the files that hold
them.

The names that need torch are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .aggregation import aggregate, boxed_slices
from .errors import InferenceError
from .overlay import draw_overlay, rank_slices
from .write import prediction_json, write_prediction

if TYPE_CHECKING:
    from .device import choose_device
    from .engine import Engine, engine_for
    from .explanation import Explained, explain
    from .prediction import predict
    from .preparation import (
        ImagePlan,
        PreparedImages,
        grey_slices,
        make_images,
        plan_images,
        prepare,
        to_input,
    )

_LATER = {
    "choose_device": "device",
    "Engine": "engine",
    "engine_for": "engine",
    "Explained": "explanation",
    "explain": "explanation",
    "predict": "prediction",
    "ImagePlan": "preparation",
    "PreparedImages": "preparation",
    "grey_slices": "preparation",
    "make_images": "preparation",
    "plan_images": "preparation",
    "prepare": "preparation",
    "to_input": "preparation",
}

__all__ = [
    "Engine",
    "Explained",
    "ImagePlan",
    "InferenceError",
    "PreparedImages",
    "aggregate",
    "boxed_slices",
    "choose_device",
    "draw_overlay",
    "engine_for",
    "explain",
    "grey_slices",
    "make_images",
    "plan_images",
    "predict",
    "prediction_json",
    "prepare",
    "rank_slices",
    "to_input",
    "write_prediction",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f".{_LATER[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
