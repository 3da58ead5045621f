"""Maps and tables to files: NIfTI for maps, CSV for tables, JSON for how they were made."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..core import Geometry, Progress, silent
from ..files import write_nifti, write_whole
from .breast import BreastMasks
from .classes import CLASS_NAMES, SER_NAMES, Thresholds
from .density import BreastFigures, breasts_csv, told
from .errors import KineticsError
from .functional import FunctionalRule
from .maps import KineticMaps

BREAST_FILES = ("breast.nii.gz", "tissue.nii.gz", "breasts.csv", "breasts.json")
"""What `write_breasts` writes."""

_MADE_BY = f"napari-breast-ai {__version__}. Research use only."


def write_map(values: NDArray[Any], geometry: Geometry, path: str | Path) -> Path:
    """Write an array (slices, rows, columns) as NIfTI, axes (column, row, slice).

    Args:
        values: uint8 or float32.
        geometry: of the array.
        path: ends in .nii.gz; written over.

    Raises:
        KineticsError: the file cannot be written.
    """
    path = Path(path)
    try:
        write_nifti(path, values, geometry.ras_affine, geometry.is_orthogonal)
    except OSError as error:
        raise _unwritten(path, error) from error
    return path


def write_maps(
    maps: KineticMaps,
    folder: str | Path,
    thresholds: Thresholds | None = None,
    progress: Progress = silent,
) -> tuple[Path, ...]:
    """Write the maps of a study as NIfTI, and what their numbers mean as JSON.

    `initial.nii.gz` and `delayed.nii.gz` hold per cent, `ser.nii.gz` ratios, `classes.nii.gz` and
    `ser-bins.nii.gz` codes; without a late phase the first and the classes only. `kinetics.json` names the codes, the
    phases with the reasons for them, and the thresholds.

    Args:
        maps: of the study.
        folder: made where it does not exist; files of these names are written over.
        thresholds: of the classes.
        progress: called once a file; may raise `Cancelled`.

    Raises:
        KineticsError: a file cannot be written, or the thresholds make no sense.
    """
    folder = Path(folder)
    t = (Thresholds() if thresholds is None else thresholds).checked()
    shape, geometry = maps.geometry.shape, maps.geometry
    wanted = ["initial", "classes"]
    if maps.choice.late is not None:
        wanted += ["delayed", "ser", "ser-bins"]
    written = []
    for number, name in enumerate(wanted):
        progress(number, len(wanted), "Writing maps")
        values: NDArray[Any]
        if name == "initial" or (name == "delayed" and maps.delayed is not None):
            values = maps.initial if name == "initial" or maps.delayed is None else maps.delayed
        else:
            values = np.empty(shape, np.float32 if name == "ser" else np.uint8)
            for z in range(shape[0]):
                values[z] = (
                    maps.ser(z)
                    if name == "ser"
                    else maps.classes(z, t)
                    if name == "classes"
                    else maps.ser_bins(z, t.shown)
                )
        written.append(write_map(values, geometry, folder / f"{name}.nii.gz"))
    progress(len(wanted), len(wanted), "Writing maps")
    text = json.dumps(described(maps, t), indent=1, ensure_ascii=False) + "\n"
    written.append(write_text(folder / "kinetics.json", text))
    return tuple(written)


def write_breasts(
    masks: BreastMasks,
    rows: Sequence[BreastFigures],
    geometry: Geometry,
    folder: str | Path,
    progress: Progress = silent,
) -> tuple[Path, ...]:
    """Write the breasts' masks as NIfTI and their figures as a table and as JSON, all of them or none.

    `breast.nii.gz` holds the codes of the sides, `tissue.nii.gz` fibroglandular tissue as 1; `breasts.csv` and
    `breasts.json` the figures, the latter with the codes and the method.

    Args:
        masks: of the study.
        rows: of `breast_figures`.
        geometry: of the study.
        folder: made where it does not exist; files of these names are written over.
        progress: may raise `Cancelled`; nothing is written then.

    Raises:
        KineticsError: a file cannot be written.
    """
    folder = Path(folder)
    text = json.dumps({**told(masks, rows), "written_by": _MADE_BY}, indent=1, ensure_ascii=False) + "\n"
    steps: tuple[Callable[[Path], Path], ...] = (
        lambda path: write_map(masks.breast, geometry, path),
        lambda path: write_map(masks.tissue.astype(np.uint8), geometry, path),
        lambda path: write_text(path, breasts_csv(rows)),
        lambda path: write_text(path, text),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".breasts-", dir=folder) as beside:
            parts = []
            for number, (name, write) in enumerate(zip(BREAST_FILES, steps, strict=True)):
                progress(number, len(steps), "Writing masks and figures")
                parts.append(write(Path(beside) / name))
            progress(len(steps), len(steps), "Writing masks and figures")
            return tuple(part.replace(folder / part.name) for part in parts)
    except OSError as error:
        raise _unwritten(folder, error) from error


def described(
    maps: KineticMaps, thresholds: Thresholds, rule: FunctionalRule | None = None
) -> dict[str, Any]:
    """How the maps were made, as plain values for JSON."""
    choice = maps.choice
    return {
        "phases": {
            "pre": choice.pre, "early": choice.early, "late": choice.late,
            "reasons": list(choice.reasons),
            "middles_after_contrast_s": None if choice.middles_s is None else list(choice.middles_s),
        },
        "tissue_floor": maps.floor,
        "thresholds_percent": asdict(thresholds),
        "functional_volume": asdict(FunctionalRule() if rule is None else rule),
        "classes": dict(enumerate(CLASS_NAMES)),
        "ser_bins": dict(enumerate(SER_NAMES)),
        "saturated_at": maps.full,
        "warnings": list(maps.warnings),
        "written_by": _MADE_BY,
    }  # fmt: skip


def write_text(path: Path, text: str) -> Path:
    """Write a text file and the folders above it.

    Raises:
        KineticsError: it cannot be written.
    """
    try:
        write_whole(path, text)
    except OSError as error:
        raise _unwritten(path, error) from error
    return path


def _unwritten(path: Path, error: OSError) -> KineticsError:
    return KineticsError(
        f"“{path}” could not be written ({error.strerror or error}); choose a place that you may write to, with "
        "enough space."
    )
