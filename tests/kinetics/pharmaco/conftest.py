"""The real slice with its own T1 data and arterial input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_breast_ai.kinetics.pharmaco import ArterialInput, SpoiledGradientEcho, T1Map, t1_nonlinear
from napari_breast_ai.study import read_study


@dataclass(frozen=True, eq=False)
class RealSlice:
    """The real slice: signal of 25 phases, its T1, sequence and measured plasma input; where the lesion is."""

    data: NDArray[Any]
    times_s: NDArray[np.float64]
    t1: T1Map
    sequence: SpoiledGradientEcho
    arterial: ArterialInput
    lesion: NDArray[np.bool_]
    baseline: tuple[int, ...] = (0, 1, 2, 3)


@pytest.fixture(scope="session")
def real_slice(data_dir: Path) -> RealSlice:
    """`breast_dce_invivo` (DCEMRI.jl's demonstration data, MIT)."""
    volume = read_study(data_dir / "breast_dce_invivo" / "dicom")
    extra = np.load(data_dir / "breast_dce_invivo" / "reference.npz")
    tr, flip, relaxivity = (float(extra[k]) for k in ("TR_s", "DCE_flip_deg", "relaxivity_per_mM_s"))
    times = np.array(volume.times.start_s)
    np.testing.assert_allclose(times, extra["t_s"], atol=1e-3)
    before, late = volume.data[:4, 0].mean(axis=0), volume.data[8:, 0].mean(axis=0)
    lesion = np.zeros(volume.data.shape[1:], bool)
    lesion[0, 97:125, 86:113] = ((before > 300) & (late > 1.5 * before))[97:125, 86:113]
    return RealSlice(
        volume.data,
        times,
        t1_nonlinear(extra["T1_signal"][:, np.newaxis], extra["T1_flip_deg"], tr),
        SpoiledGradientEcho(tr, flip, relaxivity),
        ArterialInput(extra["t_s"], extra["Cp_mM"], "measured in this patient"),
        lesion,
    )
