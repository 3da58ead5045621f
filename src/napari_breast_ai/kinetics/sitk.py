"""What SimpleITK does of a registration: smaller images, the rigid step, and demons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import KineticsError
from .flow import freed
from .movement import Movement, Three

F32 = NDArray[np.float32]
Spacing = tuple[float, float, float]

SAMPLES = 60_000
"""Voxels that the rigid step looks at, at most."""

DEMONS = (60, 20)
"""Iterations of demons at the coarse and the fine level."""

_DEMONS_SMOOTH = 4.0
"""Standard deviation in pixels of the smoothing of the movement by demons."""


def library() -> Any:
    """SimpleITK.

    Raises:
        KineticsError: it is not installed.
    """
    try:
        import SimpleITK
    except ImportError as error:
        raise KineticsError(
            "Motion is corrected with SimpleITK, which is not installed. Install it with: pip install "
            '"napari-breast-ai[itk]"'
        ) from error
    return SimpleITK


def reduced(values: F32, step: Three) -> F32:
    """The mean of each block of `step` voxels; what fills no block is left out."""
    sitk = library()
    image = sitk.BinShrink(sitk.GetImageFromArray(values), [int(k) for k in step[::-1]])
    return np.asarray(sitk.GetArrayFromImage(image))


def rigid(
    fixed: F32, moving: F32, step: Three, base: Movement, window_mm: float, told: Callable[[], None]
) -> Any:
    """The rigid movement between two images, by correlation: a transform of SimpleITK in mm of the study.

    Args:
        fixed, moving: signals at a level, (slices, rows, columns).
        step: voxels of the study to one of the level.
        base: gives the place of the level in the study.
        window_mm: of the local mean and scale that the images are freed of. A wide one leaves large structures, which
            pull from far away.
        told: called with every iteration; what it raises ends the work.
    """
    sitk = library()
    spacing = _spacing(base, step)
    here, there = (_image(freed(one, spacing, window_mm), step, base) for one in (fixed, moving))
    found = sitk.CenteredTransformInitializer(
        here, there, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.REGULAR)
    # A seed: the same images move alike.
    method.SetMetricSamplingPercentage(min(0.25, SAMPLES / fixed.size), 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.02, 40, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(found, True)
    _watched(method, told, here, there)
    return found


def demons(
    levels: list[tuple[F32, F32, Three]], transform: Any, base: Movement, told: Callable[[], None]
) -> Movement:
    """An elastic movement by symmetric demons (Vercauteren et al., NeuroImage 2009;45:S61-S72), after a rigid one.

    Args:
        levels: freed images of the coarse and the fine level with their steps.
        transform: of `rigid`; None for none.
        base: gives the place of the levels in the study.
        told: called with every iteration; what it raises ends the work.
    """
    sitk = library()
    transform = sitk.Transform(3, sitk.sitkIdentity) if transform is None else transform
    shift, step = None, levels[-1][2]
    for (fixed, moving, step), count in zip(levels, DEMONS, strict=True):
        here, there = (_image(one, step, base) for one in (fixed, moving))
        there = sitk.Resample(there, here, transform, sitk.sitkLinear, 0.0)
        method = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        method.SetNumberOfIterations(count)
        method.SetSmoothDisplacementField(True)
        method.SetStandardDeviations(_DEMONS_SMOOTH)
        method.SetSmoothUpdateField(True)
        method.SetUpdateFieldStandardDeviations(1.0)
        images = (here, there) if shift is None else (here, there, sitk.Resample(shift, here))
        shift = _watched(method, told, *images)
    whole = sitk.CompositeTransform(3)
    whole.AddTransform(transform)
    whole.AddTransform(sitk.DisplacementFieldTransform(sitk.Cast(shift, sitk.sitkVectorFloat64)))
    return on_cells(whole, base, step)


def on_cells(transform: Any, base: Movement, cell: Three) -> Movement:
    """A transform of SimpleITK as a movement on cells of that many voxels, in the place of `base`."""
    sitk = library()
    size = [n * k // c for n, k, c in zip(base.grid.shape[1:], base.cell, cell, strict=True)]
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat32, size[::-1], _origin(base, cell), _spacing(base, cell)[::-1]
    )
    grid = np.ascontiguousarray(np.moveaxis(sitk.GetArrayFromImage(field)[..., ::-1], -1, 0))
    return Movement(grid, cell, base.corner, base.shape, base.spacing)


def _spacing(base: Movement, step: Three) -> Spacing:
    return base.spacing[0] * step[0], base.spacing[1] * step[1], base.spacing[2] * step[2]


def _origin(base: Movement, step: Three) -> list[float]:
    """The middle of a level's first voxel in mm along (columns, rows, slices)."""
    at = zip(base.corner, step, base.spacing, strict=True)
    return [float((corner + (k - 1) / 2) * mm) for corner, k, mm in at][::-1]


def _image(values: F32, step: Three, base: Movement) -> Any:
    image = library().GetImageFromArray(values)
    image.SetSpacing([float(mm) for mm in _spacing(base, step)[::-1]])
    image.SetOrigin(_origin(base, step))
    return image


def _watched(process: Any, told: Callable[[], None], *images: Any) -> Any:
    """Execute a filter or registration of SimpleITK; what `told` raises in between ends it."""
    stopped: list[BaseException] = []

    def step() -> None:
        try:
            if not stopped:
                told()
        except BaseException as stop:  # noqa: BLE001 - raised again behind the library's own code
            stopped.append(stop)
            process.Abort()

    process.AddCommand(library().sitkIterationEvent, step)
    try:
        made = process.Execute(*images)
    except RuntimeError:
        if not stopped:
            raise
    if stopped:
        raise stopped[0]
    return made
