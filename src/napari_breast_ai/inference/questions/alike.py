"""How far two heat maps say the same: of two methods, of nearly the same image, of a model without its knowledge."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn

Explain = Callable[[Tensor], NDArray[np.floating]]
"""Images (n, C, H, W) to heat maps (n, h, w)."""

TOP = 0.1
"""Part of the cells that count as a map's hottest."""


def rank_correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float | None:
    """Spearman's rank correlation of two maps of one shape, -1 to 1; None where one of them is the same everywhere."""
    if np.ptp(one) < 1e-12 or np.ptp(other) < 1e-12:
        return None
    return float(spearmanr(np.ravel(one), np.ravel(other)).statistic)


def top_overlap(one: NDArray[np.floating], other: NDArray[np.floating], part: float = TOP) -> float | None:
    """Part of the hottest cells of one map that are among the hottest of the other, 0 to 1; by chance it is `part`.

    None where one of the maps is the same everywhere.
    """
    if np.ptp(one) < 1e-12 or np.ptp(other) < 1e-12:
        return None
    count = max(1, round(part * np.size(one)))
    first, second = (
        set(np.argsort(-np.asarray(m, np.float64), axis=None, kind="stable")[:count].tolist())
        for m in (one, other)
    )
    return len(first & second) / count


def max_sensitivity(explain: Explain, image: Tensor, others: Iterable[Tensor]) -> float | None:
    """How far the map changes at most when the image changes a little: max ‖Φ(x′) − Φ(x)‖ / ‖Φ(x)‖ over others x′.

    None where the map is 0 everywhere.

    Args:
        explain: the map.
        image: (C, H, W).
        others: images of the same shape, nearly the same.

    Source: Yeh et al., On the (in)fidelity and sensitivity of explanations, NeurIPS 2019; divided by the map's own
        length, as captum's `sensitivity_max` does.
    """
    own = np.asarray(explain(image[None]), np.float64)[0]
    length = float(np.linalg.norm(own))
    if length < 1e-12:
        return None
    maps = np.asarray(explain(torch.stack(list(others))), np.float64)
    return float(np.sqrt(((maps - own) ** 2).sum(axis=(1, 2))).max() / length)


def noisy(image: Tensor, radius: float, count: int, seed: int = 0) -> list[Tensor]:
    """The image with noise, evenly between -radius and radius in every pixel."""
    generator = torch.Generator().manual_seed(seed)
    return [
        image + radius * (2 * torch.rand(image.shape, generator=generator, dtype=image.dtype) - 1)
        for _ in range(count)
    ]


def shifted(image: Tensor, pixels: int) -> list[Tensor]:
    """The image (C, H, W) moved by so many pixels up, down, left and right; what comes in repeats the edge."""
    height, width = image.shape[1:]
    found = []
    for down, right in ((pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels)):
        rows = (torch.arange(height) - down).clamp(0, height - 1)
        columns = (torch.arange(width) - right).clamp(0, width - 1)
        found.append(image[:, rows][:, :, columns])
    return found


def without_knowledge(module: nn.Module, seed: int) -> nn.Module:
    """A copy whose weights are random: each drawn from a normal distribution with its own mean and spread.

    The size of what passes through stays about the same; all that was learnt is gone. Fixed statistics (of batch
    norms) stay.
    """
    made = copy.deepcopy(module)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in made.parameters():
            draw = torch.randn(weight.shape, generator=generator).to(weight)
            spread = weight.std() if weight.numel() > 1 else weight.abs().mean()
            weight.copy_(weight.mean() + spread * draw)
    return made


def sanity(own: NDArray[np.floating], stages: Sequence[Sequence[NDArray[np.floating]]]) -> list[float | None]:
    """Mean rank correlation of a map with those of models that know less and less, one for each stage.

    A map that tells what the model has learnt must change with the weights. One that stays is made of the image alone.
    Draws whose map is the same everywhere are left out; None where none is left.

    Args:
        own: the model's map (h, w).
        stages: of each, maps (h, w) from draws of other random weights.

    Source: Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018 (cascading randomisation from the top).
    """
    found: list[float | None] = []
    for draws in stages:
        told = [value for draw in draws if (value := rank_correlation(own, draw)) is not None]
        found.append(float(np.mean(told)) if told else None)
    return found
