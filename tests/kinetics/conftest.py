"""Small studies made of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from napari_breast_ai.core import DceVolume, Geometry, Identity, PhaseTimes

AXIAL = (1, 0, 0, 0, 1, 0)


def make_volume(
    data: Any,
    starts: Sequence[float] | None = None,
    spacing: tuple[float, float, float] = (2.0, 1.0, 1.0),
    **more: Any,
) -> DceVolume:
    """A study of an array (phases, slices, rows, columns), a phase every 90 s; `starts=()` are unknown times."""
    data = np.asarray(data)
    count = len(data)
    if starts is None:
        starts = [90.0 * k for k in range(count)]
    times = (
        PhaseTimes(tuple(float(s) for s in starts), ("AcquisitionTime",) * count)
        if starts
        else PhaseTimes((0.0,) * count, ("unknown",) * count)
    )
    geometry = Geometry.from_dicom(data.shape[1:], spacing[1:], spacing[0], (-10.0, -20.0, -30.0), AXIAL)
    return DceVolume(data, geometry, times, Identity("1.2.3"), **more)


@pytest.fixture
def study() -> Callable[..., DceVolume]:
    return make_volume


@pytest.fixture(scope="session")
def noisy() -> DceVolume:
    """Six phases of random whole numbers: every kind of voxel."""
    rng = np.random.default_rng(3)
    return make_volume(rng.integers(0, 2000, (6, 5, 33, 29)).astype(np.uint16))
