"""Does the attention look at the lesion?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core import Box
from .errors import TrainingError
from .metrics import Estimate, proportion
from .targets import boxes_to_map, covered_fraction


def peak(attention: NDArray[np.floating], image_shape: tuple[int, int]) -> tuple[float, float]:
    """The attention's peak in pixels (row, column): the centre of mass of the largest cell and its
    neighbours.

    A cell is often as large as a lesion. Supervised attention says how much of each cell is covered, so that
    the neighbours tell where in the largest cell the lesion lies.

    Args:
        attention: (h, w), covering the image.
        image_shape: (rows, columns).
    """
    h, w = attention.shape
    i, j = np.unravel_index(int(np.argmax(attention)), attention.shape)
    y0, y1 = max(0, int(i) - 1), min(h, int(i) + 2)
    x0, x1 = max(0, int(j) - 1), min(w, int(j) + 2)
    weight = np.asarray(attention[y0:y1, x0:x1], np.float64)
    total = weight.sum()
    row, column = float(i), float(j)
    if total > 0:
        row = float((weight.sum(1) * np.arange(y0, y1)).sum() / total)
        column = float((weight.sum(0) * np.arange(x0, x1)).sum() / total)
    return (row + 0.5) * image_shape[0] / h - 0.5, (column + 0.5) * image_shape[1] / w - 0.5


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
