"""A registration by elastix (`pip install "napari-breast-ai[elastix]"`), in a process of its own: it has no way to stop.

Source: Klein et al., IEEE Transactions on Medical Imaging 2010;29:196-205.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import Progress
from . import apart
from .errors import KineticsError
from .movement import Movement, Three

F32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

LEVELS, ITERATIONS = 3, 150
"""Of the B-spline."""

KNOTS_MM = 30.0
"""Between the knots of the B-spline."""

SAMPLES = 4000
"""Voxels that each iteration looks at, drawn anew."""


def elastix_installed() -> bool:
    """Whether itk-elastix is there; it is not loaded for that."""
    try:
        version("itk-elastix")
    except PackageNotFoundError:
        return False
    return True


def need_elastix() -> None:
    """Raise KineticsError where itk-elastix is not installed."""
    if not elastix_installed():
        raise KineticsError(
            'The package itk-elastix is not installed. Install it with: pip install "napari-breast-ai[elastix]", '
            "or choose another registration."
        )


def elastix(
    fixed: F32, moving: F32, tissue: Bool, step: Three, base: Movement, progress: Progress
) -> Movement:
    """An elastic movement by a B-spline on top of a movement that is known.

    Args:
        fixed, moving: freed images at a level, (slices, rows, columns).
        tissue: their voxels with tissue in either.
        step: voxels of the study to one of the level.
        base: a movement, such as a rigid one.
        progress: may raise `Cancelled`, which ends the process.

    Raises:
        KineticsError: itk-elastix is not installed, or has failed.
    """
    need_elastix()
    return apart.registered(
        __name__, "elastix", LEVELS * ITERATIONS, (fixed, moving), tissue, step, base, progress
    )


def _work(folder: Path) -> None:
    """In the process: register, and leave the movement."""
    import itk

    given = apart.given(folder)
    images: list[Any] = []
    for values in (given.fixed, given.moving):
        image = itk.image_from_array(np.ascontiguousarray(values, np.float32))
        image.SetSpacing(given.spacing[::-1])
        images.append(image)
    parameters = itk.ParameterObject.New()
    settings = parameters.GetDefaultParameterMap("bspline", LEVELS, KNOTS_MM)
    settings["Metric"] = ("AdvancedNormalizedCorrelation", "TransformBendingEnergyPenalty")
    settings["MaximumNumberOfIterations"] = (str(ITERATIONS),)
    settings["NumberOfSpatialSamples"] = (str(SAMPLES),)
    settings["WriteResultImage"] = ("false",)
    settings["RandomSeed"] = ("1",)
    parameters.AddParameterMap(settings)
    _, found = itk.elastix_registration_method(*images, parameter_object=parameters, log_to_console=True)
    field = itk.array_from_image(itk.transformix_deformation_field(images[1], found))
    apart.leave(folder, field)


if __name__ == "__main__":
    _work(Path(sys.argv[1]))
