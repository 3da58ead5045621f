"""Plain types on numpy that all rooms share. Imports nothing else of the package."""

from .boxes import BOX_LABELS, NORMAL_TISSUE, Box
from .errors import BreastAIError
from .geometry import Geometry
from .prediction import Activation, CaseScores, LabelGroup, ModelRef, Prediction
from .progress import Cancelled, Progress, silent
from .volume import DceVolume, FrameRef, Identity, PhaseTimes

__all__ = [
    "BOX_LABELS",
    "NORMAL_TISSUE",
    "Activation",
    "Box",
    "BreastAIError",
    "Cancelled",
    "CaseScores",
    "DceVolume",
    "FrameRef",
    "Geometry",
    "Identity",
    "LabelGroup",
    "ModelRef",
    "PhaseTimes",
    "Prediction",
    "Progress",
    "silent",
]
