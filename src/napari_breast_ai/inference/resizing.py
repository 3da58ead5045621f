"""Bilinear resizing with antialiasing, as `torch.nn.functional.interpolate` does it, in a part of its time."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional


def resize(images: Tensor, size: tuple[int, int], out: Tensor | None = None) -> Tensor:
    """Resize images (n, c, rows, columns) to (n, c, height, width).

    A new row is a weighted sum of a few old ones, and so is a new column. Both are taken as rows, with a transposition
    between them, since adding whole rows is fast. The weights are torch's own.

    Args:
        images: float32 on the CPU; others are left to torch.
        size: (height, width).
        out: float32 (n, c, height, width), is filled where it is given.

    Returns:
        What torch gives, to the rounding of float32: `out`, or else new memory, not contiguous.
    """
    if images.device.type != "cpu" or images.dtype != torch.float32 or images.requires_grad:
        found = interpolate(images, size)
        return found if out is None else out.copy_(found)
    count, channels, rows, columns = images.shape
    planes = count * channels
    with torch.no_grad():
        lower = _sum_rows(images.reshape(planes * rows, columns), _taps(rows, size[0], planes))
        turned = _sum_rows(lower.t().contiguous(), _taps(columns, size[1], 1))
    if out is not None and out.is_contiguous():
        # As one matrix, which is turned block by block.
        out.view(planes * size[0], size[1]).copy_(turned.t())
        return out
    found = turned.view(size[1], count, channels, size[0]).permute(1, 2, 3, 0)
    return found if out is None else out.copy_(found)


def interpolate(images: Tensor, size: tuple[int, int]) -> Tensor:
    """The same by torch alone."""
    return functional.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)


def _sum_rows(values: Tensor, taps: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The weighted sums of rows (rows, columns) that the taps name."""
    places, starts, weights = taps
    return functional.embedding_bag(places, values, starts, mode="sum", per_sample_weights=weights)


@lru_cache(maxsize=32)
def _taps(old: int, new: int, planes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which old rows make the new ones, for so many planes one below the other.

    Returns:
        The old rows' places, where each new row begins among these, and their weights.
    """
    # What torch makes of the unit matrix are its weights.
    matrix = interpolate(torch.eye(old)[None, None], (new, old))[0, 0]
    of, places = matrix.nonzero(as_tuple=True)
    starts = torch.searchsorted(of, torch.arange(new))
    plane = torch.arange(planes)[:, None]
    return (
        (places + plane * old).flatten(),
        (starts + plane * len(places)).flatten(),
        matrix[of, places].repeat(planes),
    )
