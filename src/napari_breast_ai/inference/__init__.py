"""Running a model: preparation, engine, prediction, explanation, the case's scores, and the files that hold
them.

The names that need torch are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .aggregation import aggregate, boxed_slices
from .cache import FeatureCache, backbone_hash, model_hash
from .errors import InferenceError
from .overlay import draw_overlay, rank_slices
from .write import prediction_json, write_prediction

if TYPE_CHECKING:
    from .device import choose_device
    from .engine import Engine, choose_engine, engine_for, engine_ready
    from .explanation import Explained, explain
    from .images import PreparedImages, grey_slices, make_images, prepare, to_input
    from .kept import KeptFeatures
    from .lesion_scores import LesionScores, score_lesions
    from .prediction import conclude, predict, probe
    from .preparation import ImagePlan, plan_images
    from .table_prediction import predict_table

_LATER = {
    "choose_device": "device",
    "Engine": "engine",
    "choose_engine": "engine",
    "engine_for": "engine",
    "engine_ready": "engine",
    "Explained": "explanation",
    "explain": "explanation",
    "KeptFeatures": "kept",
    "LesionScores": "lesion_scores",
    "score_lesions": "lesion_scores",
    "conclude": "prediction",
    "predict": "prediction",
    "probe": "prediction",
    "predict_table": "table_prediction",
    "ImagePlan": "preparation",
    "PreparedImages": "images",
    "grey_slices": "images",
    "make_images": "images",
    "plan_images": "preparation",
    "prepare": "images",
    "to_input": "images",
}

__all__ = [
    "Engine",
    "Explained",
    "FeatureCache",
    "ImagePlan",
    "InferenceError",
    "KeptFeatures",
    "LesionScores",
    "PreparedImages",
    "aggregate",
    "backbone_hash",
    "boxed_slices",
    "choose_device",
    "choose_engine",
    "conclude",
    "draw_overlay",
    "engine_for",
    "engine_ready",
    "explain",
    "grey_slices",
    "make_images",
    "model_hash",
    "plan_images",
    "predict",
    "predict_table",
    "prediction_json",
    "prepare",
    "probe",
    "rank_slices",
    "score_lesions",
    "to_input",
    "write_prediction",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f".{_LATER[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
