"""What is laid over the image, and which class first."""

from __future__ import annotations

from dataclasses import dataclass

from ..core import Prediction


@dataclass(frozen=True)
class Display:
    """What is laid over the image.

    Attributes:
        attention, gradcam: whether the maps are shown.
        label: the class whose Grad-CAM is shown; "" for the first of the model.
        opacity: of both maps, 0..1.
        threshold: the part of the maps' range below which nothing is drawn, 0..1.
    """

    attention: bool = True
    gradcam: bool = False
    label: str = ""
    opacity: float = 0.6
    threshold: float = 0.25

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = []
        if not 0 <= self.opacity <= 1:
            found.append("The opacity must lie between 0 and 1.")
        if not 0 <= self.threshold < 1:
            found.append("The threshold must be at least 0 and less than 1.")
        return found


def default_label(prediction: Prediction) -> str:
    """The class whose Grad-CAM is shown first: the most probable one of those that need a lesion."""
    asked = [group for group in prediction.groups if group.gate] or list(prediction.groups)
    scores = {
        label: prediction.case.probabilities.get(label) or 0.0 for group in asked for label in group.labels
    }
    known = {label: score for label, score in scores.items() if label in prediction.gradcam}
    return max(known, key=known.__getitem__) if known else next(iter(prediction.gradcam), "")
