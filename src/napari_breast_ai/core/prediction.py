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
    """

    probabilities: dict[str, float | None]
    voting_slices: dict[str, tuple[int, ...]]
    rule: str


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
            the map covers exactly the image (cells are rows/h × columns/w pixels, align_corners=False).
        gradcam: label to float32 (n, h, w), not negative, in the units of score per feature (not normalised).
        image_shape: (rows, columns) of the slices.
        input: sentences that say what image the model saw (which phase, subtraction, window).
        warnings: sentences that a reader must see beside the scores.
        phase: index of the phase that the model saw, or None if nothing tells.
        subtracted: the model saw that phase minus the pre-contrast phase.
        window: the values, in the scanner's units, that were black and white to the model, or None if nothing tells.
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

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels of all groups, in order."""
        return tuple(label for group in self.groups for label in group.labels)

    @property
    def map_shape(self) -> tuple[int, int]:
        """(h, w) of the heat maps."""
        first = next(iter(self.gradcam.values()))
        return int(first.shape[1]), int(first.shape[2])

    def cell_to_pixel(self, row: float, column: float) -> tuple[float, float]:
        """The image position (pixel centres at integers) of a heat map position (cell centres at integers)."""
        h, w = self.map_shape
        rows, columns = self.image_shape
        return (row + 0.5) * rows / h - 0.5, (column + 0.5) * columns / w - 0.5
