"""Masks of the breasts as one array of labels, which a person can correct, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core import Geometry
from .breast import SIDES, BreastMasks

TISSUE = 4
"""Fibroglandular tissue among the labels; the others are the codes of `SIDES`."""

LABELS = {**SIDES, TISSUE: "fibroglandular tissue"}

BY_HAND = "outlined by hand"
EDITED = ", edited by hand"

NEAREST_MM = 3.0
"""Which side is painted nearest is looked for on voxels of at most about this size."""


def labels_of(masks: BreastMasks) -> NDArray[np.uint8]:
    """One label a voxel (slices, rows, columns): 0, the side, or `TISSUE` in place of the side."""
    return np.where(masks.tissue, np.uint8(TISSUE), masks.breast).astype(np.uint8)


def no_masks(shape: tuple[int, ...]) -> BreastMasks:
    """Nothing yet: what a person paints by hand begins with."""
    return BreastMasks(np.zeros(shape, np.uint8), np.zeros(shape, bool), "")


def masks_of(labels: NDArray[Any], before: BreastMasks, geometry: Geometry) -> BreastMasks:
    """Masks of labels that a person may have changed.

    Tissue keeps the side of the breast in which it was found. Where a hand has painted that breast as another side,
    or tissue where no breast was found, it is of the side that is painted nearest to it.

    Args:
        labels: whole numbers, as of `labels_of`; numbers that stand for nothing count as 0, which is said.
        before: what was found; empty where the person began with nothing.
        geometry: of the study.
    """
    labels = np.asarray(labels)
    if np.array_equal(labels, labels_of(before)):
        return before
    tissue = np.asarray(labels == TISSUE)
    painted = np.where((labels >= min(SIDES)) & (labels <= max(SIDES)), labels, 0).astype(np.uint8)
    found = np.where(tissue, before.breast, np.uint8(0))
    other = before.breast[(painted != 0) & (painted != before.breast)]
    gone = np.bincount(other, minlength=256) > 0  # code 0, too: a breast was painted where there was none
    gone[0] = True
    asked = tissue & gone[found]
    breast = np.where(tissue, found, painted)
    if asked.any():
        seeds = painted if painted.any() else found
        breast[asked] = _nearest(seeds, asked, geometry) if seeds.any() else 3
    warnings = before.warnings
    strange = labels[(labels < 0) | (labels > TISSUE)]
    if strange.size:
        numbers = ", ".join(str(int(one)) for one in np.unique(strange))
        warnings = (*warnings, f"Labels that stand for nothing here are left out: {numbers}.")
    how = f"{before.how}{EDITED}" if before.how else BY_HAND
    return BreastMasks(breast, tissue, how, warnings)


def _nearest(codes: NDArray[np.uint8], asked: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.uint8]:
    """The code that is nearest to each voxel that is asked for, to about `NEAREST_MM`, in their order."""
    box = ndimage.find_objects(((codes != 0) | asked).view(np.uint8))[0]
    codes, asked = codes[box], asked[box]
    step = [max(1, int(NEAREST_MM // mm)) for mm in geometry.spacing]
    small = codes
    for axis, n in enumerate(step):
        small = np.maximum.reduceat(small, np.arange(0, small.shape[axis], n), axis=axis)
    spacing = [n * mm for n, mm in zip(step, geometry.spacing, strict=True)]
    at = ndimage.distance_transform_edt(small == 0, spacing, return_distances=False, return_indices=True)
    everywhere = small[tuple(at)]
    places = np.nonzero(asked)
    return np.asarray(everywhere[tuple(one // n for one, n in zip(places, step, strict=True))])
