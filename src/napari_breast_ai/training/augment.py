"""Changed copies of training slices: mirrored, moved, magnified, brighter or flatter; the boxes go along."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..core import Box
from .fitspec import AugmentSpec


def augment(
    images: Tensor,
    boxes: Sequence[Sequence[Box]],
    spec: AugmentSpec,
    rng: np.random.Generator,
    changes: Sequence[bool] = (),
) -> tuple[Tensor, list[list[Box]]]:
    """Change a batch of windowed slices and their boxes in the same way.

    Args:
        images: float32 (n, channels, rows, columns), windowed to 0..1. All channels move alike.
        boxes: per slice, in pixels of these images.
        spec: how much.
        rng: of the draws.
        changes: per channel, whether it shows a change in per cent: middle grey is none, and its brightness is
            never altered, since a scanner's scale does not alter it either. Empty: no channel does.

    Returns:
        Images of the same shape in 0..1 (black beyond the image's edge, or no change), and the boxes, which
        may reach outside.
    """
    n, channels, rows, columns = images.shape
    flip = np.where(rng.random(n) < spec.mirror, -1.0, 1.0)
    scale = np.exp(rng.uniform(np.log(spec.scale[0]), np.log(spec.scale[1]), n))
    shift = rng.uniform(-spec.shift, spec.shift, (n, 2))
    # The new image at normalised position u (-1..1 from edge to edge) shows the old one at (u - 2 shift) /
    # scale.
    theta = np.zeros((n, 2, 3), np.float32)
    theta[:, 0, 0] = flip / scale
    theta[:, 0, 2] = -2 * shift[:, 1] * flip / scale
    theta[:, 1, 1] = 1 / scale
    theta[:, 1, 2] = -2 * shift[:, 0] / scale
    grid = functional.affine_grid(torch.from_numpy(theta), [n, channels, rows, columns], align_corners=False)
    still = torch.tensor(list(changes) or [False] * channels)[None, :, None, None]
    beyond = still * 0.5
    moved = beyond + functional.grid_sample(
        images - beyond, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )

    def factors(largest: float) -> Tensor:
        drawn = np.exp(rng.uniform(-np.log(largest), np.log(largest), (n, 1, 1, 1)))
        return torch.from_numpy(drawn.astype(np.float32))

    gamma, gain = factors(spec.gamma), factors(spec.gain)
    strength = torch.from_numpy(rng.uniform(0, spec.noise, (n, 1, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(rng.standard_normal(moved.shape, dtype=np.float32))
    moved = moved.clamp(0, 1)
    moved = (torch.where(still, moved, moved**gamma * gain) + strength * noise).clamp(0, 1)

    placed = [
        [_place(box, rows, columns, flip[i], scale[i], shift[i, 0], shift[i, 1]) for box in boxes[i]]
        for i in range(n)
    ]
    return moved, placed


def _place(box: Box, rows: int, columns: int, flip: float, scale: float, down: float, right: float) -> Box:
    """The box where `augment` moved it."""

    def move(position: float, size: int, by: float, sign: float) -> float:
        u = (position + 0.5) / size * 2 - 1
        return ((sign * u * scale + 2 * by) + 1) / 2 * size - 0.5

    y0, y1 = (move(y, rows, down, 1.0) for y in (box.y0, box.y1))
    x0, x1 = sorted(move(x, columns, right, flip) for x in (box.x0, box.x1))
    return Box(box.z, y0, x0, y1, x1, box.label, box.id, box.author)
