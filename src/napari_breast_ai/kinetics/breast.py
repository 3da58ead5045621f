"""The breasts and their fibroglandular tissue on the images before contrast, by a classical method or a network.

Whoever gives masks of the breast is a `Segmenter`: the classical `segment_breast` here, or a network that
`napari_breast_ai.inference` runs. The figures (`density.py`) ask for nothing but the masks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core import DceVolume, Progress, silent
from .errors import KineticsError
from .phases import before_contrast
from .signals import as_float
from .skin import depth_below, skin_depth
from .surfaces import Surfaces, Turned, find_surfaces
from .tissue import fibroglandular

Bool = NDArray[np.bool_]

SIDES = {1: "right", 2: "left", 3: "one breast"}
"""Codes of the breast mask: the patient's sides; 3 where the images do not tell which breast they show."""

NO_LENGTHS = "lengths count a pixel as 1 mm"
"""What a reading's remark says of a picture without a size."""

LEAST_MM, LEAST_PART = 15.0, 0.3
"""A breast is where the chest's cover is thicker than this, and than this part of its thickest place."""

STEPS, WALL_STEPS, SKIN_STEPS = 100, 30, 45
"""Steps of the whole that are told, those before the tissue, and those before the skin is known to be none of it."""

MIDLINE_MM = 15.0
"""A single breast whose middle is closer to the patient's midline has no side."""


@dataclass(frozen=True)
class BreastSettings:
    """Of the classical method.

    Attributes:
        fat_suppressed: whether fat is dark; None looks at the images.
        skin_mm: skin is at least so thick; it is no tissue of the gland, and counts as breast. Where it is seen to be
            thicker, up to 8 mm, that counts; 0 leaves no skin out.
        behind_mm: how far behind the skin over the breastbone a breast reaches, at most to the muscles.
    """

    fat_suppressed: bool | None = None
    skin_mm: float = 3.0
    behind_mm: float = 25.0

    def problems(self) -> list[str]:
        """What is wrong with the settings, in words; empty if nothing is."""
        if not all(math.isfinite(one) and 0 <= one <= 100 for one in (self.skin_mm, self.behind_mm)):
            return ["The skin's thickness and the breast's reach behind the breastbone must be 0 to 100 mm."]
        return []


@dataclass(frozen=True, eq=False)
class BreastMasks:
    """The breasts of a study.

    Attributes:
        breast: uint8 (slices, rows, columns), 0 and the codes of `SIDES`.
        tissue: bool, fibroglandular tissue; inside the breasts.
        how: the method or network, for people.
        warnings: sentences that a reader must see.
    """

    breast: NDArray[np.uint8] = field(repr=False)
    tissue: Bool = field(repr=False)
    how: str
    warnings: tuple[str, ...] = ()


class Segmenter(Protocol):
    """Finds the breasts and their tissue in a study; the hook for a network of one's own."""

    def __call__(self, volume: DceVolume, pre: int, progress: Progress = silent) -> BreastMasks:
        """Masks on the study's own voxels.

        Args:
            volume: the study.
            pre: the phase before contrast.
            progress: may raise `Cancelled`.

        Raises:
            BreastAIError: the study is not such as the segmenter needs; the sentence says what it lacks.
        """


def segment_breast(
    volume: DceVolume,
    pre: int | None = None,
    progress: Progress = silent,
    *,
    settings: BreastSettings | None = None,
) -> BreastMasks:
    """Outline the breasts between skin and chest wall, and tell gland from fat in them.

    Args:
        volume: axial, sagittal or coronal images of a woman lying on her breasts that reach behind the chest wall.
        pre: the phase before contrast; None for the one that the study was read with.
        progress: may raise `Cancelled`.
        settings: of the method.

    Raises:
        KineticsError: lengths mean nothing in these images, no chest wall or breast is found, or the settings make no
            sense.
    """
    settings = BreastSettings() if settings is None else settings
    if found := settings.problems():
        raise KineticsError(" ".join(found))
    if any(NO_LENGTHS in one for one in volume.warnings):
        raise KineticsError(
            "A picture without a physical size cannot be measured: breast density needs images whose pixels have a "
            "length, such as DICOM or NIfTI."
        )
    pre = before_contrast(volume) if pre is None else pre
    if not 0 <= pre < volume.n_phases:
        raise KineticsError(
            f"There is no phase {pre}: the study has phases 0 to {volume.n_phases - 1}. Choose one of them."
        )
    turned = Turned.of(volume.geometry)
    image = np.maximum(as_float(np.ascontiguousarray(turned.turn(volume.data[pre]))), 0)
    progress(0, STEPS, "breast: skin and chest wall")
    surfaces = find_surfaces(image, turned.spacing, settings.fat_suppressed, _part(progress, 0, WALL_STEPS))
    inside = _between(surfaces, image.shape, turned.spacing, settings.behind_mm)
    if not inside.any():
        raise KineticsError("No breast stands out in front of the chest wall on these images.")
    progress(WALL_STEPS, STEPS, "breast: tissue")
    z, y, x = ndimage.find_objects(inside.view(np.uint8))[0]
    part = z, y, x
    inner = _part(progress, SKIN_STEPS, STEPS)
    middle = None if surfaces.middle is None else max(0, surfaces.middle * surfaces.step[2] - x.start)
    deep = _below_skin(
        image[part],
        inside[part],
        turned.spacing,
        middle,
        surfaces,
        settings.skin_mm,
        _part(progress, WALL_STEPS, SKIN_STEPS),
    )
    tissue = np.zeros_like(inside)
    tissue[part] = fibroglandular(image[part], deep, turned.spacing, surfaces.suppressed, inner)
    progress(STEPS, STEPS, "breast: sides")
    breast, warnings = _sided(turned.back(inside), surfaces, turned, volume)
    fat = "fat dark" if surfaces.suppressed else "fat bright"
    progress(STEPS, STEPS, "breast")
    return BreastMasks(
        breast,
        turned.back(tissue),
        f"classical: skin, chest wall, fuzzy c-means ({fat}), phase {pre}",
        warnings,
    )


def _part(progress: Progress, first: int, last: int) -> Progress:
    """Tells of a part of the work as of steps `first` to `last` of the whole."""

    def told(done: int, total: int, what: str) -> None:
        progress(first + (last - first) * done // max(total, 1), STEPS, what)

    return told


def _between(
    surfaces: Surfaces, shape: tuple[int, ...], spacing: tuple[float, float, float], behind_mm: float
) -> Bool:
    """Voxels between skin and chest wall where there is a breast."""

    def finer(surface: NDArray[np.float32]) -> NDArray[np.float32]:
        at = [(np.arange(n) + 0.5) / s - 0.5 for n, s in zip(shape[::2], surfaces.step[::2], strict=True)]
        grid = np.meshgrid(*at, indexing="ij")
        return np.asarray(ndimage.map_coordinates(surface, grid, order=1, mode="nearest"), np.float32)

    skin = finer(np.nan_to_num(surfaces.skin, nan=1e4))
    wall = np.minimum(finer(surfaces.wall), np.float32(surfaces.bone_mm + behind_mm))
    thick = wall - skin
    shown = thick > 0
    if not shown.any():
        return np.zeros(shape, bool)
    foot = thick > max(LEAST_MM, LEAST_PART * float(np.percentile(thick[shown], 98)))
    foot = ndimage.binary_opening(foot, np.ones((1, min(5, shape[2])), bool))
    depth = ((np.arange(shape[1]) + 0.5) * spacing[1]).astype(np.float32)[None, :, None]
    return np.asarray(foot[:, None] & (depth >= skin[:, None]) & (depth < wall[:, None]))


def _below_skin(
    image: NDArray[np.float32],
    inside: Bool,
    spacing: tuple[float, float, float],
    middle: int | None,
    surfaces: Surfaces,
    skin_mm: float,
    progress: Progress,
) -> Bool:
    """The breasts less their skin; `middle` is the column between them, None where there is one."""
    if skin_mm == 0:
        return inside
    depth = depth_below(inside, spacing, progress, "breast: tissue")
    deep = np.zeros_like(inside)
    for side in (slice(None),) if middle is None else (slice(0, middle), slice(middle, None)):
        own = inside[:, :, side], depth[:, :, side]
        # Fat that is bright hides the skin.
        seen = skin_depth(image[:, :, side], *own, spacing[1]) if surfaces.suppressed else 0.0
        deep[:, :, side] = own[0] & (own[1] > max(seen, skin_mm))
    return deep


def _sided(
    inside: Bool, surfaces: Surfaces, turned: Turned, volume: DceVolume
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The mask with the patient's sides, and what is to be said about them."""
    if surfaces.middle is not None:
        sides = np.full(turned.turn(inside).shape, 1, np.uint8)
        sides[:, :, surfaces.middle * surfaces.step[2] :] = 2
        return np.where(inside, turned.back(sides), np.uint8(0)), ()
    middle = volume.geometry.to_patient([float(at.mean()) for at in np.nonzero(inside)])[0]
    if abs(middle) < MIDLINE_MM:
        said = "The images do not tell which breast they show: its figures stand for “one breast”."
        return np.where(inside, np.uint8(3), np.uint8(0)), (said,)
    return np.where(inside, np.uint8(1 if middle < 0 else 2), np.uint8(0)), ()
