"""A registration by a B-spline of SimpleITK, in a process of its own: its optimiser does not stop when it is told to.

The knots lie as far apart as pays: closer ones follow the noise and take longer, since each voxel that is looked at
costs a time that grows with the number of all knots.

Source: Rueckert et al., IEEE Transactions on Medical Imaging 1999;18:712-721.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core import Progress
from . import apart
from .movement import Movement, Three
from .sitk import library

F32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

KNOTS_MM = 45.0
"""Between the knots of the B-spline."""

SHRINK, SMOOTH = (2, 1), (1.0, 0.0)
"""The pyramid: voxels to one along each axis, and the smoothing before in voxels."""

SAMPLES = (8_000, 30_000)
"""Voxels of tissue that each level looks at."""

ITERATIONS = 8
"""Of a level, at most. The first ones find the movement, later ones follow the noise."""

_ACCURACY = 1e-7
_LEVEL_CHANGE, _CHANGE_OVER = 5e-4, 3
"""A level ends when the correlation has changed by less than this part over so many iterations."""
_TRIES = 6
"""Steps that an iteration tries, at most."""


def bspline(
    fixed: F32, moving: F32, tissue: Bool, step: Three, base: Movement, progress: Progress
) -> Movement:
    """An elastic movement by a B-spline on top of a movement that is known.

    Args:
        fixed, moving: freed images at a level, (slices, rows, columns).
        tissue: their voxels with tissue in either; only these count.
        step: voxels of the study to one of the level.
        base: a movement, such as a rigid one.
        progress: may raise `Cancelled`, which ends the process.

    Raises:
        KineticsError: SimpleITK is not installed, or has failed.
    """
    library()
    total = ITERATIONS * len(SHRINK)
    return apart.registered(__name__, "B-spline", total, (fixed, moving), tissue, step, base, progress)


def _work(folder: Path) -> None:
    """In the process: register, and leave the movement."""
    sitk = library()
    given = apart.given(folder)
    images = []
    for values in (given.fixed, given.moving, given.tissue.astype(np.uint8)):
        image = sitk.GetImageFromArray(values)
        image.SetSpacing(given.spacing[::-1])
        images.append(image)
    here, there, mask = images
    knots = [
        max(1, round(n * mm / KNOTS_MM)) for n, mm in zip(here.GetSize(), here.GetSpacing(), strict=True)
    ]
    found = sitk.BSplineTransformInitializer(here, knots)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricFixedMask(mask)
    method.SetMetricSamplingStrategy(method.REGULAR)
    # Voxels outside of tissue are drawn too, and then left out.
    inside = max(int(given.tissue.sum()), 1)
    parts = [min(1.0, n * k**3 / inside) for n, k in zip(SAMPLES, SHRINK, strict=True)]
    # A seed: the same images move alike.
    method.SetMetricSamplingPercentagePerLevel(parts, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsLBFGS2(
        solutionAccuracy=_ACCURACY,
        numberOfIterations=ITERATIONS,
        deltaConvergenceDistance=_CHANGE_OVER,
        deltaConvergenceTolerance=_LEVEL_CHANGE,
        lineSearchMaximumEvaluations=_TRIES,
    )
    method.SetInitialTransform(found, True)
    method.SetShrinkFactorsPerLevel(list(SHRINK))
    method.SetSmoothingSigmasPerLevel(list(SMOOTH))
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    told = 0

    def tell(upto: int) -> None:
        nonlocal told
        for number in range(told, upto):
            apart.tell(number + 1)
        told = max(told, upto)

    method.AddCommand(sitk.sitkIterationEvent, lambda: tell(told + 1))
    # A level that ends early counts as done.
    method.AddCommand(
        sitk.sitkMultiResolutionIterationEvent, lambda: tell(ITERATIONS * method.GetCurrentLevel())
    )
    method.Execute(here, there)
    field = sitk.TransformToDisplacementField(
        found, sitk.sitkVectorFloat32, here.GetSize(), here.GetOrigin(), here.GetSpacing()
    )
    apart.leave(folder, sitk.GetArrayFromImage(field))


if __name__ == "__main__":
    _work(Path(sys.argv[1]))
