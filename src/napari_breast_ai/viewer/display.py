"""What is laid over the image, and which class first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..core import Prediction
from .heat_colors import COLORS

Style = Literal["wash", "lines", "both"]


@dataclass(frozen=True)
class Display:
    """What is laid over the image.

    Attributes:
        attention, gradcam: whether the maps are shown.
        label: the class whose Grad-CAM is shown; "" for the first of the model.
        against: another class, whose map is subtracted from that of `label`; "" for none.
        opacity: of both maps, 0..1.
        threshold: the part of the maps' range below which nothing is drawn, 0..1.
        style: a wash of colour, lines of equal height, or both.
        attention_colors, gradcam_colors: names of `heat_colors.COLORS`; a difference has colours of its own.
    """

    attention: bool = True
    gradcam: bool = False
    label: str = ""
    against: str = ""
    opacity: float = 0.6
    threshold: float = 0.25
    style: Style = "wash"
    attention_colors: str = "viridis"
    gradcam_colors: str = "inferno"

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = []
        if not 0 <= self.opacity <= 1:
            found.append("The opacity must lie between 0 and 1.")
        if not 0 <= self.threshold < 1:
            found.append("The threshold must be at least 0 and less than 1.")
        if self.style not in get_args(Style):
            found.append(f"Maps are drawn as {', '.join(get_args(Style))}, not as “{self.style}”.")
        found.extend(
            f"There are no colours “{name}”; there are {', '.join(COLORS)}."
            for name in (self.attention_colors, self.gradcam_colors)
            if name not in COLORS
        )
        return found


def default_label(prediction: Prediction) -> str:
    """The class whose Grad-CAM is shown first: the most probable one of those that need a lesion."""
    asked = [group for group in prediction.groups if group.gate] or list(prediction.groups)
    scores = {
        label: prediction.case.probabilities.get(label) or 0.0 for group in asked for label in group.labels
    }
    known = {label: score for label, score in scores.items() if label in prediction.gradcam}
    return max(known, key=known.__getitem__) if known else next(iter(prediction.gradcam), "")
