"""Radiomics of a lesion by mirp (`pip install "napari-breast-ai[radiomics]"`), as the IBSI defines them.

Source of the definitions: Zwanenburg et al., Radiology 2020;295:328-338, and the reference manual, arXiv 1612.07003.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume
from ..models import PreparationSpec
from ..models.table_spec import RadiomicsSpec
from .errors import InferenceError
from .lesion_regions import Region
from .preparation import plan_images

_MARGIN_MM = 12.0
"""Kept around a lesion: what interpolation and the morphological features look at beside it."""
_MOST_MARGIN = 12
_NAMES = {"stat": "stat_", "ih": "ih_", "ivh": "ivh_", "morph": "morph_", "glcm": "cm_", "glrlm": "rlm_",
          "glszm": "szm_", "gldzm": "dzm_", "ngtdm": "ngt_", "ngldm": "ngl_"}  # fmt: skip
_SLOW = ("morph_moran_i", "morph_geary_c")
"""They compare every voxel with every other: nine tenths of the time, for two of about 170 features."""


def library() -> str:
    """Name and version of what computes the features.

    Raises:
        InferenceError: it is not installed.
    """
    _mirp()
    return f"mirp {version('mirp')}"


def settings(spec: RadiomicsSpec, flat: bool) -> dict[str, Any]:
    """What mirp is told, in its own words, to be kept with the result.

    Args:
        spec: how.
        flat: the case is a picture: features are computed within the slice, and nothing is resampled.
    """
    return {
        "by_slice": flat,
        "ibsi_compliant": True,
        "base_feature_families": list(spec.families),
        "base_discretisation_method": "fixed_bin_number",
        "base_discretisation_n_bins": spec.bins,
        "new_spacing": None if flat or not spec.resample_mm else spec.resample_mm,
        "image spline order": 3,
        "mask": "linear, at least half of a voxel",
        "left out": list(_SLOW),
    }


@cache
def feature_names(spec: RadiomicsSpec, flat: bool) -> tuple[str, ...]:
    """The names of the features, in their order.

    Raises:
        InferenceError: mirp is not installed.
    """
    shape = (1, 8, 8) if flat else (4, 6, 6)
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    inside = np.zeros(shape, bool)
    inside[:, 1:5, 1:5] = True
    return tuple(_compute(image, inside, (2.0, 2.0, 2.0), spec, flat))


def lesion_image(
    volume: DceVolume, preparation: PreparationSpec, spec: RadiomicsSpec
) -> tuple[NDArray[np.float32], str]:
    """The image that features are computed on, float32 (slices, rows, columns), and what it is, in a sentence.

    Raises:
        InferenceError: the study lacks the phase.
    """
    plan = plan_images(volume, preparation)
    image = volume.subtraction(plan.phase) if plan.subtracted else volume.data[plan.phase].astype(np.float32)
    low, high = plan.window
    if spec.intensities == "window":
        image = (image - np.float32(low)) * np.float32(100 / (high - low))
    what = f"phase {plan.phase}" + (" minus the pre-contrast phase" if plan.subtracted else "")
    scale = f"{low:.4g} taken as 0 and {high:.4g} as 100" if spec.intensities == "window" else "as stored"
    return np.nan_to_num(image, copy=False, nan=0.0, posinf=0.0, neginf=0.0), (
        f"Features are of {'the picture' if volume.n_phases == 1 else what}, values {scale}."
    )


def radiomics(
    image: NDArray[np.float32],
    region: Region,
    spacing: tuple[float, float, float],
    spec: RadiomicsSpec,
    flat: bool,
) -> NDArray[np.float32]:
    """Features of one lesion, float32 in the order of `feature_names`; NaN where one is undefined.

    Args:
        image: see `lesion_image`.
        region: of the lesion.
        spacing: mm between (slices, rows, columns).
        spec: how.
        flat: see `settings`.

    Raises:
        InferenceError: mirp is not installed, or gives it up.
    """
    cropped, inside = crop(image, region, spacing)
    found = _compute(cropped, inside, spacing, spec, flat)
    values = np.array([found.get(name, np.nan) for name in feature_names(spec, flat)], np.float64)
    # What does not fit into single precision would be infinite; it means nothing to a model either.
    values[~(np.abs(values) < 1e30)] = np.nan
    return values.astype(np.float32)


def crop(
    image: NDArray[np.float32], region: Region, spacing: tuple[float, float, float]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The part of image and mask that the features of a lesion depend on."""
    cut = []
    for axis, step in enumerate(spacing):
        along = np.flatnonzero(region.mask.any(axis=tuple(other for other in range(3) if other != axis)))
        margin = min(_MOST_MARGIN, int(np.ceil(_MARGIN_MM / step)))
        cut.append(slice(max(0, int(along[0]) - margin), int(along[-1]) + margin + 1))
    where = tuple(cut)
    return np.ascontiguousarray(image[where]), np.ascontiguousarray(region.mask[where])


def _mirp() -> Any:
    try:
        import mirp
    except ImportError as error:
        raise InferenceError(
            "Radiomics needs mirp, which is not installed. Install it with: "
            'pip install "napari-breast-ai[radiomics]"'
        ) from error
    return mirp


def _compute(
    image: NDArray[np.float32],
    inside: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    spec: RadiomicsSpec,
    flat: bool,
) -> dict[str, float]:
    """Feature to value, in mirp's order."""
    mirp = _mirp()
    from mirp.data_import.import_image import import_image
    from mirp.data_import.import_mask import import_mask

    given = settings(spec, flat)
    more = {} if given["new_spacing"] is None else {"new_spacing": given["new_spacing"]}
    try:
        with _quiet(), _fast():
            picture, drawn = import_image(image), import_mask(inside)
            for one in (*picture, *drawn):
                one.image_spacing = spacing
            tables = mirp.extract_features(
                image=picture,
                mask=drawn,
                by_slice=flat,
                ibsi_compliant=True,
                base_feature_families=given["base_feature_families"],
                base_discretisation_method="fixed_bin_number",
                base_discretisation_n_bins=spec.bins,
                **more,
            )
    except Exception as error:  # whatever a library may raise on an odd lesion
        raise InferenceError(
            f"mirp could not compute the lesion's features ({type(error).__name__}: {error}). Look at its box: it may "
            "be too small, or lie on voxels of one value."
        ) from error
    if not tables or tables[0] is None:
        raise InferenceError("The lesion is smaller than a voxel after resampling. Draw a larger box.")
    row = tables[0].iloc[0].to_dict()
    starts = tuple(_NAMES[family] for family in spec.families)
    return {
        str(name): float(value) if value is not None else float("nan")
        for name, value in row.items()
        if str(name).startswith(starts) and not str(name).startswith(_SLOW)
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """mirp sets up the root logger to print where nobody did; and warns of what becomes a missing value here."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(handler)


@contextlib.contextmanager
def _fast() -> Iterator[None]:
    """Without the two slow features, where this version of mirp computes them apart; they are left out anyhow."""
    try:
        from mirp._features.morph_3d_data import Data3DSpatial as data

        slow = data.compute_spatial_information
    except (ImportError, AttributeError):
        yield
        return
    data.compute_spatial_information = lambda *_, **__: None
    try:
        yield
    finally:
        data.compute_spatial_information = slow
