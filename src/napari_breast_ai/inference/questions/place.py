"""Is the heat map about this lesion? Where its peak and its mass lie, and how well it can be cut to the boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...core import Box
from ..box_cells import boxes_to_map


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


def overlap(
    attention: NDArray[np.floating], boxes: Sequence[Sequence[Box]], image_shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Intersection over union of the cells that reach half the attention's peak with the true boxes, by area.

    Args:
        attention: (n, h, w).
        boxes: per slice, at least one each, in pixels of an image of `image_shape` that the attention covers.
        image_shape: (rows, columns).

    Returns:
        (n,), 0 to 1. A cell is as large as it is, so that 1 is out of reach for small boxes.
    """
    found = []
    for map_, own in zip(attention, boxes, strict=True):
        high = map_ >= 0.5 * map_.max()
        covered = boxes_to_map(own, image_shape, (map_.shape[0], map_.shape[1]), "area").astype(np.float64)
        found.append(float(covered[high].sum() / (high.sum() + covered[~high].sum())))
    return np.array(found, np.float64)


class Place(NamedTuple):
    """Where a heat map lies against the boxes of its slice.

    Attributes:
        mass: part of the map's sum inside the boxes, 0 to 1; a cell that a box covers in part counts in that part.
        peak_inside: the map's peak, as `peak` finds it, lies in a box.
        iou: intersection over union with the boxes at the best of all thresholds, by area, 0 to 1.
        threshold: that threshold, as a part of the map's largest value.
        chance: part of the image inside the boxes: the mass, the chance of a hit, and the IoU of a map that looks
            everywhere.
        best_iou: the IoU of the cells that fit the boxes best: no map of this size can do better.
    """

    mass: float
    peak_inside: bool
    iou: float
    threshold: float
    chance: float
    best_iou: float


def place(heat: NDArray[np.floating], boxes: Sequence[Box], image_shape: tuple[int, int]) -> Place | None:
    """Hold a heat map against the boxes of its slice; None where it is 0 everywhere, or no box lies in the image.

    Args:
        heat: (h, w), not negative, covering the image.
        boxes: in pixels of an image of `image_shape` that the map covers.
        image_shape: (rows, columns).

    Source: the mass inside the object is the energy-based pointing game of Wang et al., Score-CAM, CVPR workshops 2020;
        the peak, Zhang et al., IJCV 2018;126:1084-1102; the IoU, Zhou et al., CVPR 2016, here at the best threshold.
    """
    values = np.asarray(heat, np.float64)
    covered = boxes_to_map(boxes, image_shape, (values.shape[0], values.shape[1])).astype(np.float64)
    if not values.any() or not covered.any():
        return None
    row, column = peak(values, image_shape)
    iou, threshold = _best_iou(values, covered)
    return Place(
        float((values * covered).sum() / values.sum()),
        any(box.contains(row, column) for box in boxes),
        iou,
        threshold / float(values.max()),
        float(covered.mean()),
        _best_iou(covered, covered)[0],
    )


def _best_iou(values: NDArray[np.float64], covered: NDArray[np.float64]) -> tuple[float, float]:
    """The best IoU of {values >= t} with the covered area over all t, and that t."""
    order = np.argsort(-values, axis=None, kind="stable")
    ranked = values.flat[order]
    inside = np.cumsum(covered.flat[order])
    count = np.arange(1, len(order) + 1)
    iou = inside / (count + covered.sum() - inside)
    # A threshold takes all cells of one value or none.
    last = np.append(ranked[1:] < ranked[:-1], True)
    best = int(np.argmax(np.where(last, iou, -1)))
    return float(iou[best]), float(ranked[best])
