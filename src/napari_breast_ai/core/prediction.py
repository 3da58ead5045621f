"""What a model said about a volume, and where it looked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Activation = Literal["softmax", "sigmoid"]


@dataclass(frozen=True)
class LabelGroup:
    """Scores that belong together: a softmax over exclusive classes, or independent sigmoids.

    `gate` names a label of another group that says whether this group's question arises at all on a slice: slices
    without a lesion must not vote on IGM against NME.
    """

    name: str
    labels: tuple[str, ...]
    activation: Activation
    gate: str | None = None


@dataclass(frozen=True)
class ModelRef:
    """Which model: its bundle's name and the SHA-256 of its weights."""

    name: str
    sha256: str


@dataclass(frozen=True)
class CaseScores:
    """Scores of the whole case.

    Attributes:
        probabilities: label to probability; None where the question did not arise (no slice with a lesion).
        voting_slices: group name to the slice indices that counted for it.
        rule: one sentence that says how the case's scores came from its slices.
        intervals: label to the two ends of the probability's 95 % interval; only where something gives one.
        interval_rule: a sentence that says what the intervals come from, or why there are none; "" where nothing was
            asked.
    """

    probabilities: dict[str, float | None]
    voting_slices: dict[str, tuple[int, ...]]
    rule: str
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    interval_rule: str = ""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Scores, attention and Grad-CAM of n slices.

    Attributes:
        model: what model.
        groups: the label groups of the model, in order.
        slices: the n slice indices, rising.
        probabilities: label to float32 array (n,).
        case: the case's scores; its rule says what they rest on.
        attention: float32 (n, h, w) in 0..1, or None for a model without attention. h × w is the feature map's size;
            the map covers exactly the image (cells are rows/h × columns/w pixels, align_corners=False), or its region.
        gradcam: label to float32 (n, h, w), not negative, in the units of score per feature (not normalised).
        image_shape: (rows, columns) of the slices.
        input: sentences that say what image the model saw (which phase, subtraction, window).
        warnings: sentences that a reader must see beside the scores.
        phase: index of the phase that the model saw, or None if nothing tells.
        subtracted: the model saw that phase minus the pre-contrast phase.
        window: the values, in the scanner's units, that were black and white to the model, or None if nothing tells.
        region: (y0, x0, y1, x1), the rows y0 to y1 - 1 and columns x0 to x1 - 1 that the model saw and the maps cover;
            it may reach beyond the image. None: the whole image.
        task_attention: where questions are answered by copies of their own, label group to the attention (n, h, w) of
            its copy; `attention` is then that of the first. Empty where one copy answers everything.
        pending: slices that the run has still to score; while there are any, the case has no scores.
    """

    model: ModelRef
    groups: tuple[LabelGroup, ...]
    slices: tuple[int, ...]
    probabilities: dict[str, NDArray[np.float32]]
    case: CaseScores
    attention: NDArray[np.float32] | None
    gradcam: dict[str, NDArray[np.float32]]
    image_shape: tuple[int, int]
    input: str = ""
    warnings: tuple[str, ...] = field(default=())
    phase: int | None = None
    subtracted: bool = False
    window: tuple[float, float] | None = None
    region: tuple[int, int, int, int] | None = None
    task_attention: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    pending: int = 0

    def attention_for(self, label: str) -> NDArray[np.float32] | None:
        """The attention (n, h, w) of the copy that answers this label's question, or None without attention."""
        for group in self.groups:
            if label in group.labels and group.name in self.task_attention:
                return self.task_attention[group.name]
        return self.attention

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels of all groups, in order."""
        return tuple(label for group in self.groups for label in group.labels)

    @property
    def map_shape(self) -> tuple[int, int]:
        """(h, w) of the heat maps."""
        first = next(iter(self.gradcam.values()))
        return int(first.shape[1]), int(first.shape[2])

    @property
    def covered(self) -> tuple[int, int, int, int]:
        """(y0, x0, y1, x1) of the pixels that the heat maps cover, the last ones not counted in."""
        return self.region or (0, 0, *self.image_shape)

    def cell_to_pixel(self, row: float, column: float) -> tuple[float, float]:
        """The image position (pixel centres at integers) of a heat map position (cell centres at integers)."""
        h, w = self.map_shape
        y0, x0, y1, x1 = self.covered
        return y0 + (row + 0.5) * (y1 - y0) / h - 0.5, x0 + (column + 0.5) * (x1 - x0) / w - 0.5
