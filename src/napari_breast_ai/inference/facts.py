"""Measure a study as a model sees it: what is held against the model's training ranges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume
from ..models.ranges import BODY, Side, StudyFacts
from .preparation import ImagePlan

_SAMPLE = 200_000
_AWAY_MM = 25.0
"""A field that ends this near the midline shows one breast only."""


def study_facts(volume: DceVolume, plan: ImagePlan) -> StudyFacts:
    """Numbers of a study.

    Args:
        volume: the study.
        plan: which of its images the model sees, from `plan_images`.
    """
    seen, pre = volume.data[plan.phase].ravel(), volume.data[volume.pre_contrast].ravel()
    step = -(-seen.size // _SAMPLE) | 1  # odd, so that columns of all parities are seen
    after, before = seen[::step].astype(np.float64), pre[::step].astype(np.float64)
    body = np.isfinite(after) & np.isfinite(before) & (after > plan.floor)
    if not body.any():
        body = np.isfinite(after)
    values, base = after[body], before[body]
    top = float(np.percentile(values, 99)) if values.size else 0.0
    dynamic = volume.n_phases > 1 and plan.phase != volume.pre_contrast
    starts = volume.times.start_s
    return StudyFacts(
        kind=plan.spec.source.kind,
        orientation=volume.geometry.orientation,
        side=_side(volume) if plan.spec.source.kind != "picture" else "unknown",
        spacing_mm=volume.geometry.spacing,
        shape=volume.geometry.shape,
        phases=volume.n_phases,
        seen_after_s=float(starts[plan.phase] - starts[volume.pre_contrast]) if dynamic else 0.0,
        interval_s=float(np.median(np.diff(starts))) if volume.n_phases > 1 else 0.0,
        grey=_percentiles(values / top) if top > 0 else (0.0,) * len(BODY),
        enhancement=_enhancement(values, base, plan.floor) if dynamic else (),
        synthetic=volume.identity.synthetic,
    )


def _enhancement(values: NDArray[np.float64], base: NDArray[np.float64], floor: float) -> tuple[float, ...]:
    tissue = base > max(floor, 1e-9)
    if not tissue.any():
        return (0.0,) * len(BODY)
    return _percentiles(100 * (values[tissue] - base[tissue]) / base[tissue])


def _percentiles(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in np.percentile(values, BODY))


def _side(volume: DceVolume) -> Side:
    """Which side of the patient's midline the field covers: x grows to her left."""
    slices, rows, columns = volume.geometry.shape
    corners = [(z, y, x) for z in (0, slices - 1) for y in (0, rows - 1) for x in (0, columns - 1)]
    across = volume.geometry.to_patient(corners)[:, 0]
    if across.min() > -_AWAY_MM:
        return "left"
    return "right" if across.max() < _AWAY_MM else "both"
