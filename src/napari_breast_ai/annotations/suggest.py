"""Boxes that a program proposes: from a model's attention, or from enhancement alone.

A proposal is no box until a person accepts it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core import Box, DceVolume, Geometry, Prediction
from .errors import AnnotationError
from .journal import new_id

ENHANCEMENT = "enhancement"

EARLY_S = 150.0
"""Seconds after the pre-contrast phase: the early phase is the one nearest to it."""

MEDIUM = 70.0
"""Per cent: initial enhancement that a functional volume asks for at least."""

TISSUE = 0.1
"""Of the 99th percentile before contrast: what is darker is air, where per cent mean nothing."""

SMALLEST_MM = 4.0
"""A region whose extent is below this in either direction of the slice is no proposal."""

LARGEST_MM = 120.0
"""Nor is one beyond this: the heart, or a whole breast."""

MOST = 8
"""Proposals are the regions with the highest sums; more would hide than help."""


def from_attention(
    prediction: Prediction, geometry: Geometry, label: str, *, threshold: float = 0.5
) -> tuple[Box, ...]:
    """Boxes around the connected regions of a model's attention.

    The map, one number from 0 to 1 in each cell, is interpolated linearly to a quarter of the image's pixels and cut
    at the threshold; cells that touch, across slices too, are one region, and each of its slices gets a box.

    Args:
        prediction: with attention, shape (slices, h, w).
        geometry: of the study.
        label: the boxes' class.
        threshold: 0..1; attention is taught to be the covered fraction of a cell.

    Raises:
        AnnotationError: the model has no attention.
    """
    if prediction.attention is None:
        raise AnnotationError(
            f"The model “{prediction.model.name}” has no attention to take boxes from. Choose a model with attention, "
            "or take the suggestions from the enhancement."
        )
    _, rows, columns = geometry.shape
    h, w = prediction.attention.shape[1:]
    fine = (max(h, rows // 4), max(w, columns // 4))
    maps = np.zeros((geometry.shape[0], *fine), dtype=np.float32)
    for z, cells in zip(prediction.slices, prediction.attention, strict=True):
        maps[z] = ndimage.zoom(cells, (fine[0] / h, fine[1] / w), order=1, mode="nearest", grid_mode=True)
    return _regions(maps, maps >= threshold, geometry, label)


def from_enhancement(volume: DceVolume, label: str, *, percent: float = MEDIUM) -> tuple[Box, ...]:
    """Boxes around what enhances early: 100 · (S1 - S0) / S0 of at least `percent`, smoothed over 1.5 mm.

    Vessels, the heart, nipples and glands enhance too: a proposal says no more than that.

    Raises:
        AnnotationError: the study has one phase only.
    """
    if volume.n_phases < 2:
        raise AnnotationError(
            "The study has one phase: there is no enhancement to take suggestions from. Draw the boxes by hand."
        )
    pre = volume.pre_contrast
    early = volume.times.nearest(volume.times.start_s[pre] + EARLY_S, min(pre + 1, volume.n_phases - 1))
    before = volume.data[pre].astype(np.float32)
    change = volume.data[early].astype(np.float32)
    change -= before
    tissue = before > TISSUE * np.percentile(before, 99)
    relative = np.zeros_like(change)
    np.divide(change, before, out=relative, where=tissue)
    relative *= 100
    sigma = tuple(1.5 / step / 2.355 for step in volume.geometry.spacing)
    smooth = ndimage.gaussian_filter(relative, sigma)
    # What enhances no more than the rest of the tissue is background, however strong that is.
    floor = max(percent, float(np.percentile(smooth[tissue], 98))) if tissue.any() else percent
    return _regions(smooth, smooth >= floor, volume.geometry, label)


def unlike(boxes: Sequence[Box], others: Sequence[Box], iou: float = 0.3) -> tuple[Box, ...]:
    """Those proposals that overlap none of the others (boxes there are, proposals rejected) by `iou` or more."""
    return tuple(box for box in boxes if all(box.iou(other) < iou for other in others))


def _regions(
    maps: NDArray[np.float32], mask: NDArray[np.bool_], geometry: Geometry, label: str
) -> tuple[Box, ...]:
    """Boxes of the regions of a mask, shape (slices, h, w), the ones with the highest sums first."""
    _, rows, columns = geometry.shape
    _, dy, dx = geometry.spacing
    scale_y, scale_x = rows / maps.shape[1], columns / maps.shape[2]
    named, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if not count:
        return ()
    sums = ndimage.sum_labels(maps, named, np.arange(1, count + 1))
    places = ndimage.find_objects(named)
    boxes: list[Box] = []
    found = 0
    for index in np.argsort(-np.asarray(sums)):
        place = places[index]
        height = (place[1].stop - place[1].start) * scale_y * dy
        width = (place[2].stop - place[2].start) * scale_x * dx
        if min(height, width) < SMALLEST_MM or max(height, width) > LARGEST_MM:
            continue
        lesion = new_id()
        for z in range(place[0].start, place[0].stop):
            ys, xs = np.nonzero(named[z, place[1], place[2]] == index + 1)
            if not len(ys):
                continue
            top, left = ys.min() + place[1].start, xs.min() + place[2].start
            bottom, right = ys.max() + 1 + place[1].start, xs.max() + 1 + place[2].start
            boxes.append(
                Box(
                    z,
                    float(top * scale_y - 0.5),
                    float(left * scale_x - 0.5),
                    float(bottom * scale_y - 0.5),
                    float(right * scale_x - 0.5),
                    label,
                    lesion=lesion,
                )
            )
        found += 1
        if found == MOST:
            break
    return tuple(boxes)
