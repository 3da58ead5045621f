"""Curves of regions: of the artery that was drawn, and of the tissue that shows when the bolus arrives."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import PharmacoError
from .inputs import HAEMATOCRIT, ArterialInput, drawn_input
from .signal import SpoiledGradientEcho, checked_baseline, concentration

Array = NDArray[np.float64]

_STRONGEST = 98.0
_COLUMNS = ("plasma_mM", "blood_mM")


def region_curve(
    data: NDArray[np.generic],
    region: ArrayLike,
    sequence: SpoiledGradientEcho,
    t1_s: ArrayLike,
    baseline: Sequence[int] = (0,),
) -> Array:
    """The mean concentration of a region's voxels that have one, shape (phases,), mM.

    Args:
        data: signal, shape (phases, slices, rows, columns).
        region: bool, shape (slices, rows, columns).
        sequence: how it was measured, with the agent's relaxivity.
        t1_s: before contrast: one value, or a map of the volume's shape.
        baseline: phases before contrast.

    Raises:
        PharmacoError: the region is empty, or none of its voxels has a concentration in every phase.
    """
    chosen = np.asarray(region, bool)
    if not chosen.any():
        raise PharmacoError("The region is empty. Draw it inside the tissue or vessel that is meant.")
    t1 = np.asarray(t1_s, np.float64)
    found = concentration(data[:, chosen], t1[chosen] if t1.ndim else t1, sequence, baseline)
    if not found.valid.any():
        raise PharmacoError(
            "No voxel of the region has a concentration in every phase: the signal is saturated, or T1 is not known "
            "there. Draw another region."
        )
    curve: Array = found.mM[:, found.valid].mean(axis=1)
    return curve


def strongest(
    data: NDArray[np.generic], baseline: Sequence[int], inside: ArrayLike | None = None
) -> NDArray[np.bool_]:
    """Where the study enhances most: the upper 2 % of the mean rise over the baseline; bool, shape of the volume.

    Args:
        data: signal, shape (phases, slices, rows, columns).
        baseline: phases before contrast.
        inside: bool: look here only.
    """
    before = data[checked_baseline(baseline, data.shape[0])].mean(axis=0, dtype=np.float32)
    rise = data.mean(axis=0, dtype=np.float32) - before
    usable = (before > 0) & np.isfinite(rise)
    if inside is not None:
        usable &= np.asarray(inside, bool)
    if not usable.any():
        raise PharmacoError(
            "The study has no signal before contrast. Check the pre-contrast phase in the Cases dock."
        )
    chosen: NDArray[np.bool_] = usable & (rise >= np.percentile(rise[usable], _STRONGEST))
    return chosen


def artery_input(
    data: NDArray[np.generic],
    times_s: ArrayLike,
    region: ArrayLike,
    sequence: SpoiledGradientEcho,
    blood_t1_s: float,
    baseline: Sequence[int] = (0,),
    haematocrit: float = HAEMATOCRIT,
) -> ArterialInput:
    """The arterial input of a region that was drawn in a vessel of the study.

    Args:
        data, sequence, baseline: as of `region_curve`.
        times_s: of the phases, seconds.
        region: bool, shape (slices, rows, columns): inside the vessel.
        blood_t1_s: T1 of blood before contrast, seconds; a T1 map is not right where blood flows in.
        haematocrit: plasma = blood / (1 - haematocrit).

    Raises:
        PharmacoError: the region has no curve, or shows no agent.
    """
    blood = region_curve(data, region, sequence, blood_t1_s, baseline)
    count = int(np.asarray(region, bool).sum())
    of = f"{count} voxels drawn in a vessel, with a T1 of blood of {blood_t1_s:g} s"
    return drawn_input(times_s, blood, haematocrit, of)


def read_input(path: Path, haematocrit: float = HAEMATOCRIT) -> ArterialInput:
    """An arterial input from a CSV file with the columns `time_s` and `plasma_mM` or `blood_mM`.

    Raises:
        PharmacoError: the file cannot be read, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PharmacoError(
            f"“{path.name}” cannot be read as CSV ({error}). Check the name and the file."
        ) from error
    names = set(rows[0]) if rows else set()
    column = next((one for one in _COLUMNS if one in names), None)
    if "time_s" not in names or column is None:
        raise PharmacoError(
            f"“{path.name}” is no arterial input: it needs a first line with the columns time_s and plasma_mM (or "
            "blood_mM), and a line per point."
        )
    try:
        times, values = (np.array([float(row[name]) for row in rows]) for name in ("time_s", column))
    except (TypeError, ValueError):
        raise PharmacoError(f"“{path.name}” holds something that is no number. Correct the file.") from None
    cells = 0.0 if column == "plasma_mM" else haematocrit
    return drawn_input(times, values, cells, f"the curve of “{path.name}”")
