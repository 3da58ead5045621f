"""Does the contrast agent come after the pre-contrast phase? What is wrong with the order of phases, whatever the model.

It looks at the voxels whose signal changes most, in either direction: there the pre-contrast phase must be the darkest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume

_SAMPLE = 200_000
_MOST_CHANGED = 0.02
"""Part of the body's voxels that is looked at: vessels, heart and lesions are among them in every study."""

_UPTAKE = 0.15
"""Those voxels enhance by far more than this part of their signal; less is as good as no contrast agent."""

_DARKER = 0.25
"""A phase that lies below the pre-contrast one by this part of the whole course is no noise."""

_NEGATIVE = 0.1
"""A magnitude image has no negative values; of a subtraction's air about half is negative."""

_ALIKE = (
    "Nothing in the study takes up contrast agent: its phases look alike. It may not be a dynamic series with contrast "
    "agent, or a phase stands there more than once."
)

_EMPTY = "The study has no tissue that can be told from air."


def phase_order(volume: DceVolume, floor: float = 0.0) -> list[str]:
    """What is wrong with the phases, in sentences; empty for one phase, and where nothing is.

    Args:
        volume: the study.
        floor: signal up to which a voxel is air in the phase that a model sees, as `ImagePlan.floor`.
    """
    if volume.n_phases < 2:
        return []
    whole = sample_signal(volume)
    if not whole.shape[1]:
        return [_EMPTY]
    negative = np.mean(whole < 0, axis=1)
    if negative.max(initial=0) > _NEGATIVE:
        return [
            f"Many values of phase {int(np.argmax(negative))} are negative, as in a subtraction. Open the phases "
            "themselves, not their subtractions."
        ]
    signal = whole[:, whole.max(axis=0, initial=0) > floor]
    if not signal.shape[1]:
        return [_EMPTY]
    pre = volume.pre_contrast
    span = signal.max(axis=0) - signal.min(axis=0)
    most = span >= max(float(np.quantile(span, 1 - _MOST_CHANGED)), 1e-12)
    if not most.any():
        return [_ALIKE]
    course = signal[:, most].mean(axis=1)
    low, high = float(course.min()), float(course.max())
    if high - low < _UPTAKE * max(low, 1e-9):
        return [_ALIKE]
    darkest = int(np.argmin(course))
    if darkest != pre and course[pre] - low > _DARKER * (high - low):
        return [
            f"Where the contrast agent arrives, phase {darkest} is darker than phase {pre}, which is taken as the "
            "pre-contrast one. The phases may be in the wrong order, or another one is the pre-contrast phase; a "
            "subtraction would show the wrong sign."
        ]
    return []


def sample_signal(volume: DceVolume) -> NDArray[np.float32]:
    """Signal of voxels that are evenly spread, (phases, n)."""
    flat = volume.data.reshape(volume.n_phases, -1)
    step = -(-flat.shape[1] // _SAMPLE) | 1
    signal = flat[:, ::step].astype(np.float32)
    return signal[:, np.isfinite(signal).all(axis=0)]
