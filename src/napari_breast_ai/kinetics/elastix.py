"""A registration by elastix (`pip install "napari-breast-ai[elastix]"`), in a process of its own.

Elastix cannot be stopped from within, and a stop must not have to wait: the process is ended instead. Its words, a line
an iteration, tell how far it is.

Source: Klein et al., IEEE Transactions on Medical Imaging 2010;29:196-205.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core import Progress
from .errors import KineticsError
from .movement import Movement, Three

F32 = NDArray[np.float32]

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


def elastix(fixed: F32, moving: F32, step: Three, base: Movement, progress: Progress) -> Movement:
    """An elastic movement by a B-spline on top of a movement that is known.

    Args:
        fixed, moving: freed images at a level, (slices, rows, columns).
        step: voxels of the study to one of the level.
        base: a movement, such as a rigid one.
        progress: may raise `Cancelled`, which ends the process.

    Raises:
        KineticsError: itk-elastix is not installed, or has failed.
    """
    need_elastix()
    at = [c + (np.arange(n) + 0.5) * k - 0.5 for c, n, k in zip(base.corner, fixed.shape, step, strict=True)]
    shift = base.slices((at[0], at[1], at[2]))
    mm = np.array([s * k for s, k in zip(base.spacing, step, strict=True)], np.float32)
    known = np.stack([shift(k) for k in range(fixed.shape[0])], 1)
    places = np.indices(fixed.shape, np.float32) + known / mm[:, None, None, None]
    warped = ndimage.map_coordinates(moving, places, order=1, mode="nearest")
    with tempfile.TemporaryDirectory(prefix="napari-breast-ai-") as name:
        folder = Path(name)
        np.savez(folder / "pair.npz", fixed=fixed, moving=warped, spacing=mm)
        _run(folder, progress)
        found = np.load(folder / "field.npy")
    # The B-spline comes first, then what was known: found where the B-spline leads.
    places = np.indices(fixed.shape, np.float32) + found / mm[:, None, None, None]
    then = [ndimage.map_coordinates(one, places, order=1, mode="nearest") for one in known]
    return Movement(found + np.stack(then), step, base.corner, base.shape, base.spacing)


def _run(folder: Path, progress: Progress) -> None:
    """Have the process register what lies in the folder; end it when `progress` raises."""
    total = LEVELS * ITERATIONS
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Windows would open a console.
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    lines: list[str] = []

    def listen() -> None:
        assert process.stdout is not None
        lines.extend(process.stdout)

    ear = threading.Thread(target=listen, daemon=True)
    ear.start()
    try:
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
            progress(min(total, sum(line[:1].isdigit() for line in lines)), total, "elastix")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        ear.join()
        if process.stdout is not None:
            process.stdout.close()
    if process.returncode or not (folder / "field.npy").is_file():
        raise KineticsError(
            f"The registration by elastix has failed: {' '.join(' '.join(lines[-3:]).split()) or 'it says nothing'}. "
            "Choose another registration."
        )


def _work(folder: Path) -> None:
    """In the process: register, and leave the movement in mm, (3, slices, rows, columns)."""
    import itk

    with np.load(folder / "pair.npz") as given:
        fixed, moving, spacing = given["fixed"], given["moving"], given["spacing"]
    images: list[Any] = []
    for values in (fixed, moving):
        image = itk.image_from_array(np.ascontiguousarray(values, np.float32))
        image.SetSpacing([float(mm) for mm in spacing[::-1]])
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
    np.save(
        folder / "field.npy", np.ascontiguousarray(np.moveaxis(field[..., ::-1], -1, 0), dtype=np.float32)
    )


if __name__ == "__main__":
    _work(Path(sys.argv[1]))
