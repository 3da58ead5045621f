"""Would the score fall without it? Parts of the image are taken away and the model is asked anew.

Everything here is about one image and a function that scores images: it knows no model. The heat map has h × w cells
that cover the image; a cell is the smallest part that is taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...core import Progress, silent

Score = Callable[[Tensor], NDArray[np.floating]]
"""Images (n, C, H, W) to n numbers."""

Baseline = Literal["mean", "blur"]
BLUR = 0.08
"""Standard deviation of the blur as a part of the image's longer side: a lesion of a few per cent is gone."""

BATCH = 8


@dataclass(frozen=True, eq=False)
class Curve:
    """A score while cells are taken away from an image, or put back.

    Attributes:
        parts: (steps + 1,), part of the cells that are changed, 0 to 1.
        scores: (steps + 1,).
    """

    parts: NDArray[np.float64]
    scores: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Under the curve by trapezia, in the unit of the score."""
        return float(np.trapezoid(self.scores, self.parts))


def baseline_of(image: Tensor, kind: Baseline) -> Tensor:
    """An image (C, H, W) that shows nothing: the mean of each channel everywhere, or all of it blurred (see `BLUR`)."""
    if kind == "mean":
        return image.mean(dim=(1, 2), keepdim=True).expand_as(image).clone()
    sigma = BLUR * max(image.shape[1:])
    reach = int(3 * sigma)
    at = torch.arange(-reach, reach + 1, dtype=image.dtype)
    weight = torch.exp(-0.5 * (at / sigma) ** 2)
    weight = (weight / weight.sum()).expand(image.shape[0], 1, -1)
    whole = image[None]
    for size, shape in ((whole.shape[2], (2 * reach + 1, 1)), (whole.shape[3], (1, 2 * reach + 1))):
        # Reflecting needs an image that is larger than the reach.
        mode = "reflect" if reach < size else "replicate"
        pad = (0, 0, reach, reach) if shape[1] == 1 else (reach, reach, 0, 0)
        whole = functional.pad(whole, pad, mode=mode)
        whole = functional.conv2d(whole, weight.reshape(-1, 1, *shape), groups=image.shape[0])
    return whole[0]


def cell_masks(cells: Sequence[Sequence[int]], map_shape: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Where sets of cells (flat indices) lie in an image, bool (n, 1, H, W); every pixel belongs to one cell."""
    marks = torch.zeros(len(cells), map_shape[0] * map_shape[1])
    for row, chosen in enumerate(cells):
        marks[row, list(chosen)] = 1
    maps = marks.reshape(len(cells), 1, *map_shape)
    return functional.interpolate(maps, size=size, mode="nearest-exact") > 0.5


def scores_without(
    score: Score,
    image: Tensor,
    baseline: Tensor,
    cells: Sequence[Sequence[int]],
    map_shape: tuple[int, int],
    progress: Progress = silent,
) -> NDArray[np.float64]:
    """Scores (n,) of an image whose cells show the baseline, for n sets of cells (flat indices)."""
    size = (int(image.shape[1]), int(image.shape[2]))
    found = []
    for start in range(0, len(cells), BATCH):
        progress(start, len(cells), "Asking")
        masks = cell_masks(cells[start : start + BATCH], map_shape, size)
        found.append(np.asarray(score(torch.where(masks, baseline, image)), np.float64))
    progress(len(cells), len(cells), "Asking")
    return np.concatenate(found) if found else np.zeros(0)


def ranked(heat: NDArray[np.floating]) -> NDArray[np.intp]:
    """Cells from the hottest to the coldest, flat indices; equal ones in the order of the image."""
    return np.argsort(-np.asarray(heat, np.float64), axis=None, kind="stable")


def deletion(
    score: Score,
    image: Tensor,
    baseline: Tensor,
    order: NDArray[np.intp],
    map_shape: tuple[int, int],
    steps: int,
    progress: Progress = silent,
) -> Curve:
    """The score while cells are taken away in an order, so that a map which matters gives a small area.

    Args:
        score: what is asked.
        image, baseline: (C, H, W); cells are replaced by the baseline's.
        order: of all cells, from `ranked`.
        map_shape: (h, w).
        steps: equal steps from the whole image to the whole baseline.
        progress: told after every few images.

    Source: Petsiuk et al., RISE, BMVC 2018. There pixels are taken away; here the cells of the map.
    """
    counts = _counts(order, steps)
    cells = [order[:count].tolist() for count in counts]
    return Curve(counts / len(order), scores_without(score, image, baseline, cells, map_shape, progress))


def insertion(
    score: Score,
    image: Tensor,
    baseline: Tensor,
    order: NDArray[np.intp],
    map_shape: tuple[int, int],
    steps: int,
    progress: Progress = silent,
) -> Curve:
    """The score while cells of the image are put into the baseline: a map which matters gives a large area.

    Arguments and source as in `deletion`.
    """
    counts = _counts(order, steps)
    cells = [order[count:].tolist() for count in counts]
    return Curve(counts / len(order), scores_without(score, image, baseline, cells, map_shape, progress))


def _counts(order: NDArray[np.intp], steps: int) -> NDArray[np.intp]:
    """How many cells are changed at each of equal steps, from none to all."""
    return np.round(np.linspace(0, len(order), steps + 1)).astype(np.intp)


def patches(map_shape: tuple[int, int], across: int) -> list[list[int]]:
    """All cells in about `across` × `across` patches, flat indices; each cell lies in one of them."""
    h, w = map_shape
    flat = np.arange(h * w).reshape(h, w)
    rows = np.array_split(np.arange(h), min(across, h))
    columns = np.array_split(np.arange(w), min(across, w))
    return [flat[np.ix_(r, c)].ravel().tolist() for r in rows for c in columns]


def faithfulness(
    score: Score,
    image: Tensor,
    baseline: Tensor,
    heat: NDArray[np.floating],
    parts: Sequence[Sequence[int]],
    progress: Progress = silent,
) -> float | None:
    """Pearson's correlation between the heat in a part and how far the score falls without it, over all parts.

    None where all parts hold the same heat or take the same away.

    Args:
        score: what is asked.
        image, baseline: (C, H, W).
        heat: (h, w).
        parts: sets of cells (flat indices), such as `patches`.
        progress: told after every few images.

    Source: Bhatt et al., Evaluating and aggregating feature-based model explanations, IJCAI 2020 (faithfulness
        correlation, there over random sets), after Samek et al., IEEE TNNLS 2017;28:2660-2673.
    """
    values = np.asarray(heat, np.float64).ravel()
    map_shape = (heat.shape[0], heat.shape[1])
    scores = scores_without(score, image, baseline, [[], *parts], map_shape, progress)
    drops = scores[0] - scores[1:]
    held = np.array([values[list(part)].sum() for part in parts])
    if np.ptp(drops) < 1e-12 or np.ptp(held) < 1e-12:
        return None
    return float(np.corrcoef(held, drops)[0, 1])
