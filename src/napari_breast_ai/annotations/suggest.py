"""Boxes that a program proposes: from a model's attention, or from enhancement alone.

A proposal is no box until a person accepts it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core import Box, DceVolume, Geometry, Prediction
from .errors import AnnotationError
from .ledger import new_id

ENHANCEMENT = "enhancement"

EARLY_S = 150.0
"""Seconds after the pre-contrast phase: the early phase is the one nearest to it."""

MEDIUM = 50.0
"""Per cent: initial enhancement below this is slow."""

TISSUE = 0.1
"""Of the 99th percentile before contrast: what is darker is air, where per cent mean nothing."""

NOTCH_MM, CHEST_MM = 25.0, 10.0
"""Breasts stand out where they reach so far before the skin over the breastbone; the chest wall begins so far behind."""

SMALLEST_MM = 4.0
"""A region whose extent is below this in either direction of the slice is no proposal."""

LARGEST_MM = 80.0
"""Nor is one beyond this: a whole breast that enhances."""

LEVELS = (97.0, 98.5, 99.3, 99.7)
"""Percentiles of the breast's enhancement at which regions are cut, until they are no larger than that."""

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
        if prediction.region is None:
            maps[z] = ndimage.zoom(cells, (fine[0] / h, fine[1] / w), order=1, mode="nearest", grid_mode=True)
        else:
            maps[z] = _placed(cells, prediction.region, (rows, columns), fine)
    return _regions(maps, [threshold], geometry, label)


def _placed(
    cells: NDArray[np.float32],
    region: tuple[int, int, int, int],
    shape: tuple[int, int],
    fine: tuple[int, int],
) -> NDArray[np.float32]:
    """A map of a region of the image, interpolated to so many points of the whole image; 0 beyond the region."""
    y0, x0, y1, x1 = region
    at = [
        ((np.arange(points) + 0.5) * size / points - first) * count / (last - first) - 0.5
        for points, size, count, first, last in zip(fine, shape, cells.shape, (y0, x0), (y1, x1), strict=True)
    ]
    found = ndimage.map_coordinates(cells, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest")
    inside = [(a > -0.5) & (a < count - 0.5) for a, count in zip(at, cells.shape, strict=True)]
    placed: NDArray[np.float32] = np.where(inside[0][:, None] & inside[1], found, np.float32(0))
    return placed


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
    breast = tissue & _front(tissue, volume.geometry)
    if not breast.any():
        return ()
    # What enhances no more than the rest of the breast is background, however strong that is.
    floors = [max(percent, float(np.percentile(smooth[breast], part))) for part in LEVELS]
    return _regions(np.where(breast, smooth, -1.0).astype(np.float32), floors, volume.geometry, label)


def _front(tissue: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.bool_]:
    """The part of the image that can be breast, broadcastable to `tissue`: heart and vessels behind enhance more.

    On axial slices that is what lies in front of the skin over the breastbone, and a little behind it; where the
    breasts do not stand out so (one side alone, sagittal slices), the front half of the body; on coronal slices all.
    """
    across, down = geometry.directions["across"], geometry.directions["down"]
    axis, way = (1, down) if down in ("A-P", "P-A") else (2, across) if across in ("A-P", "P-A") else (0, "")
    if not way:
        return np.ones((1, 1, 1), dtype=bool)
    seen = tissue if way == "A-P" else np.flip(tissue, axis)
    first, last = _extent(seen, axis)
    cut = (first + last) / 2
    if axis == 1:
        left, right = _extent(seen, 2)
        # Over the breastbone: the middle tenth of the body.
        middle = seen[:, :, round(0.55 * left + 0.45 * right) : round(0.45 * left + 0.55 * right) + 1]
        # Most of the row is tissue there: single bright pixels in the air are noise.
        solid = middle.mean(axis=2) > 0.5
        skin = np.argmax(solid, axis=1)[solid.any(axis=1)]
        notch = float(np.median(skin)) if len(skin) else 0.0
        if (notch - first) * geometry.spacing[1] > NOTCH_MM:
            cut = notch + CHEST_MM / geometry.spacing[1]
    keep = np.arange(tissue.shape[axis]) <= cut
    if way == "P-A":
        keep = keep[::-1]
    return keep.reshape([-1 if i == axis else 1 for i in range(3)])


def _extent(tissue: NDArray[np.bool_], axis: int) -> tuple[int, int]:
    """First and last index along an axis between which all but 2 % of the tissue lies."""
    along = np.cumsum(tissue.sum(axis=tuple(i for i in range(3) if i != axis)))
    return int(np.searchsorted(along, 0.01 * along[-1])), int(np.searchsorted(along, 0.99 * along[-1]))


def unlike(boxes: Sequence[Box], others: Sequence[Box], iou: float = 0.3) -> tuple[Box, ...]:
    """Those proposals that overlap none of the others (boxes there are, proposals rejected) by `iou` or more."""
    return tuple(box for box in boxes if all(box.iou(other) < iou for other in others))


def _regions(
    maps: NDArray[np.float32], floors: Sequence[float], geometry: Geometry, label: str
) -> tuple[Box, ...]:
    """Boxes of the connected regions of maps, shape (slices, h, w), the ones with the highest sums first.

    A region that is too large at one floor is looked at again at the next, higher one.
    """
    _, rows, columns = geometry.shape
    _, dy, dx = geometry.spacing
    scale = (rows / maps.shape[1], columns / maps.shape[2])
    found: list[tuple[float, tuple[slice, ...], NDArray[np.bool_]]] = []
    mask = maps >= floors[0]
    for floor in floors:
        mask &= maps >= floor
        named, count = ndimage.label(mask, np.ones((3, 3, 3)))
        for index, place in enumerate(ndimage.find_objects(named), start=1):
            height = (place[1].stop - place[1].start) * scale[0] * dy
            width = (place[2].stop - place[2].start) * scale[1] * dx
            if max(height, width) > LARGEST_MM:
                continue
            region = named[place] == index
            mask[place] &= ~region
            if min(height, width) >= SMALLEST_MM:
                found.append((float(maps[place][region].sum()), place, region))
        if not count:
            break
    found.sort(key=lambda one: -one[0])
    return tuple(box for _, place, region in found[:MOST] for box in _boxes(place, region, scale, label))


def _boxes(
    place: tuple[slice, ...], region: NDArray[np.bool_], scale: tuple[float, float], label: str
) -> Iterator[Box]:
    """A box on each slice of a region, which lies at `place` of maps whose cells are `scale` pixels large."""
    lesion = new_id()
    for z, cells in enumerate(region, start=place[0].start):
        ys, xs = np.nonzero(cells)
        if len(ys):
            top, bottom = (place[1].start + edge for edge in (ys.min(), ys.max() + 1))
            left, right = (place[2].start + edge for edge in (xs.min(), xs.max() + 1))
            y0, y1 = (float(edge * scale[0] - 0.5) for edge in (top, bottom))
            x0, x1 = (float(edge * scale[1] - 0.5) for edge in (left, right))
            yield Box(z, y0, x0, y1, x1, label, lesion=lesion)
