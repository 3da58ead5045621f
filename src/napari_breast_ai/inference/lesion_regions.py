"""The voxels of a case's lesions: boxes joined over slices, or masks from a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..annotations.lesions import between, lesion_of, lesions
from ..annotations.masks import mask
from ..core import Box, DceVolume
from .aggregation import NO_LESION
from .errors import InferenceError


@dataclass(frozen=True, eq=False)
class Region:
    """One lesion.

    Attributes:
        mask: bool (slices, rows, columns) of the volume.
        volume_mm3: of its voxels.
        boxes: that a person drew round it; none for a mask.
    """

    mask: NDArray[np.bool_]
    volume_mm3: float
    boxes: tuple[Box, ...] = ()

    @property
    def slices(self) -> tuple[int, ...]:
        """The slices that it lies on, rising."""
        return tuple(int(z) for z in np.flatnonzero(self.mask.any(axis=(1, 2))))

    @property
    def middle(self) -> int:
        """The slice with most of it; of several the first."""
        return int(np.argmax(self.mask.sum(axis=(1, 2))))


def regions_of_boxes(volume: DceVolume, boxes: Iterable[Box]) -> tuple[Region, ...]:
    """The lesions that boxes mark, the largest first.

    Boxes that name no lesion belong together where they overlap on neighbouring slices. Slices between two boxes of
    one lesion are filled in, edges interpolated linearly. Boxes of normal tissue are no lesions.
    """
    linked: list[Box] = []
    marks = sorted((box for box in boxes if box.label != NO_LESION), key=lambda box: box.z)
    for number, box in enumerate(marks):
        own = replace(box, id=box.id or f"#{number}")
        linked.append(own if own.lesion else replace(own, lesion=lesion_of(own, linked) or own.id))
    found = []
    for lesion in lesions(linked):
        members = list(lesion.boxes)
        for first, second in zip(lesion.boxes, lesion.boxes[1:], strict=False):
            if second.z - first.z > 1:
                members += between(first, second)
        found.append(_region(volume, mask(members, volume.geometry.shape).astype(bool), lesion.boxes))
    return _sorted(found)


def regions_of_mask(volume: DceVolume, drawn: DceVolume) -> tuple[Region, ...]:
    """The lesions of a mask that was read as an image, the largest first: its connected parts (26 neighbours).

    Args:
        volume: the case.
        drawn: of the same grid; whatever is not 0 is lesion. A picture's edge may be blurred by its compression:
            above half of its largest value counts.

    Raises:
        InferenceError: the mask lies on another grid.
    """
    same = (
        volume.geometry.shape == drawn.geometry.shape
        if volume.n_slices == 1
        else volume.geometry.same_as(drawn.geometry, 0.1)
    )
    if not same:
        raise InferenceError(
            f"The mask has {' × '.join(map(str, drawn.geometry.shape))} voxels and the images have "
            f"{' × '.join(map(str, volume.geometry.shape))}, or it lies elsewhere. Give a mask that was drawn on "
            "these images."
        )
    values = np.nan_to_num(drawn.data[0].astype(np.float32))
    inside = values > 0.5 * values.max() if values.max() > 0 else np.zeros(values.shape, bool)
    parts, count = ndimage.label(inside, np.ones((3, 3, 3)))
    return _sorted([_region(volume, parts == number) for number in range(1, count + 1)])


def _region(volume: DceVolume, inside: NDArray[np.bool_], boxes: tuple[Box, ...] = ()) -> Region:
    return Region(inside, float(inside.sum() * np.prod(volume.geometry.spacing)), boxes)


def _sorted(found: list[Region]) -> tuple[Region, ...]:
    return tuple(sorted((one for one in found if one.mask.any()), key=lambda one: -one.volume_mm3))
