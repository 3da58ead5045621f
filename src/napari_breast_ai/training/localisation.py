"""Does the attention look at the lesion?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import Box
from ..inference.box_cells import boxes_to_map, covered_fraction
from ..inference.questions.place import overlap, peak
from .errors import TrainingError
from .figures import PatientDraws
from .metrics import Estimate, proportion


@dataclass(frozen=True)
class Pointing:
    """The pointing game on n slices with a lesion.

    Attributes:
        hits: how often the attention's peak lies inside a true box.
        cells: how often the attention's largest cell touches a true box.
        chance: mean share of the image inside true boxes: what a blind guess would hit.
        chance_cells: mean share of cells that touch a true box.
    """

    hits: Estimate
    cells: Estimate
    chance: float
    chance_cells: float


def pointing_game(
    attention: NDArray[np.floating], boxes: Sequence[Sequence[Box]], image_shape: tuple[int, int]
) -> Pointing:
    """Play the pointing game; slices without a box are left out.

    Args:
        attention: (n, h, w).
        boxes: per slice, in pixels of an image of `image_shape` that the attention covers.
        image_shape: (rows, columns).

    Source: Zhang et al., "Top-down neural attention by excitation backprop", IJCV 2018;126:1084-1102 (a peak
        counts as a hit inside the object).

    Raises:
        TrainingError: when no slice has a box.
    """
    chosen = [i for i, per_slice in enumerate(boxes) if per_slice]
    if not chosen:
        raise TrainingError("No slice shows a lesion, so nobody can tell where the attention should be.")
    h, w = attention.shape[1:]
    hits = cells = 0
    chance, chance_cells = [], []
    for i in chosen:
        y, x = peak(attention[i], image_shape)
        hits += any(box.contains(y, x) for box in boxes[i])
        touched = boxes_to_map(boxes[i], image_shape, (h, w), "max")
        cells += bool(touched.flat[int(np.argmax(attention[i]))])
        chance.append(covered_fraction(boxes[i], image_shape))
        chance_cells.append(float(touched.mean()))
    n = len(chosen)
    return Pointing(
        proportion(hits, n), proportion(cells, n), float(np.mean(chance)), float(np.mean(chance_cells))
    )


def localised(
    attention: NDArray[np.floating],
    boxes: Sequence[Sequence[Box]],
    image_shape: tuple[int, int],
    patients: Sequence[str],
) -> dict[str, Any] | None:
    """Where an attention looked, as evaluation.json holds it; None where no slice has a box.

    Args:
        attention: (n, h, w).
        boxes: per slice, in pixels of an image of `image_shape` that the attention covers.
        image_shape: (rows, columns).
        patients: of each slice.
    """
    chosen = [i for i, own in enumerate(boxes) if own]
    if not chosen:
        return None
    game = pointing_game(attention, boxes, image_shape)
    shared = overlap(attention[chosen], [boxes[i] for i in chosen], image_shape)
    draws = PatientDraws([patients[i] for i in chosen])
    sums = draws.sums(np.stack([shared, np.ones(len(shared))], axis=1))
    area = draws.figure(float(shared.mean()), sums[:, 0] / np.maximum(sums[:, 1], 1), "")
    blind = overlap(np.ones_like(attention[chosen]), [boxes[i] for i in chosen], image_shape)
    return {
        "peak inside true box": game.hits.to_json() | {"chance": game.chance},
        "largest cell touches true box": game.cells.to_json() | {"chance": game.chance_cells},
        "overlap (IoU) of what reaches half the peak with true boxes": {
            "value": area.value,
            "low": area.low,
            "high": area.high,
            "n": len(chosen),
            "interval": "patient bootstrap 95%",
            "chance": float(blind.mean()),
        },
    }
