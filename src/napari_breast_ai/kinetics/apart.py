"""A registration in a process of its own, for libraries that cannot be stopped within an iteration.

A stop must not have to wait: the process is ended instead. Its words, a line that begins with a digit for each
iteration, tell how far it is.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core import Progress
from .errors import KineticsError
from .movement import Movement, Three

F32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

_GIVEN, _FOUND = "pair.npz", "field.npy"


@dataclass(frozen=True, eq=False)
class Given:
    """What the process is given.

    Attributes:
        fixed, moving: freed images, (slices, rows, columns); what was known of the movement is taken out.
        tissue: where there is tissue in either.
        spacing: mm of a voxel.
    """

    fixed: F32
    moving: F32
    tissue: Bool
    spacing: tuple[float, float, float]


def registered(
    module: str,
    name: str,
    iterations: int,
    images: tuple[F32, F32],
    tissue: Bool,
    step: Three,
    base: Movement,
    progress: Progress,
) -> Movement:
    """An elastic movement on top of one that is known, by a module's own process.

    Args:
        module: is run with a folder: it takes `given` from there and hands its movement to `leave`.
        name: of the registration, for people.
        iterations: about how many the process tells of.
        images: freed, of both phases at a level, (slices, rows, columns).
        tissue: their voxels with tissue in either.
        step: voxels of the study to one of the level.
        base: a movement, such as a rigid one.
        progress: may raise `Cancelled`, which ends the process.

    Raises:
        KineticsError: the process has failed.
    """
    fixed, moving = images
    at = [c + (np.arange(n) + 0.5) * k - 0.5 for c, n, k in zip(base.corner, fixed.shape, step, strict=True)]
    shift = base.slices((at[0], at[1], at[2]))
    mm = np.array([s * k for s, k in zip(base.spacing, step, strict=True)], np.float32)
    known = np.stack([shift(k) for k in range(fixed.shape[0])], 1)
    places = np.indices(fixed.shape, np.float32) + known / mm[:, None, None, None]
    warped = ndimage.map_coordinates(moving, places, order=1, mode="nearest")
    with tempfile.TemporaryDirectory(prefix="napari-breast-ai-") as where:
        folder = Path(where)
        np.savez(folder / _GIVEN, fixed=fixed, moving=warped, tissue=tissue, spacing=mm)
        _run(module, name, folder, iterations, progress)
        found = np.load(folder / _FOUND)
    # What the process found comes first, then what was known: looked up where the former leads.
    places = np.indices(fixed.shape, np.float32) + found / mm[:, None, None, None]
    then = [ndimage.map_coordinates(one, places, order=1, mode="nearest") for one in known]
    return Movement(found + np.stack(then), step, base.corner, base.shape, base.spacing)


def given(folder: Path) -> Given:
    """In the process: what is to be registered."""
    with np.load(folder / _GIVEN) as file:
        z, y, x = (float(mm) for mm in file["spacing"])
        return Given(file["fixed"], file["moving"], file["tissue"], (z, y, x))


def tell(number: int) -> None:
    """In the process: say that an iteration is done."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def leave(folder: Path, field: F32) -> None:
    """In the process: hand over the movement in mm, (slices, rows, columns, 3) along (columns, rows, slices)."""
    np.save(folder / _FOUND, np.ascontiguousarray(np.moveaxis(field[..., ::-1], -1, 0), dtype=np.float32))


def _run(module: str, name: str, folder: Path, iterations: int, progress: Progress) -> None:
    """Have the process register what lies in the folder; end it when `progress` raises."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(folder)],
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
            done = sum(line[:1].isdigit() for line in lines)
            progress(min(iterations, done), iterations, name)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        ear.join()
        if process.stdout is not None:
            process.stdout.close()
    if process.returncode or not (folder / _FOUND).is_file():
        raise KineticsError(
            f"The registration by {name} has failed: {' '.join(' '.join(lines[-3:]).split()) or 'it says nothing'}. "
            "Choose another registration."
        )
