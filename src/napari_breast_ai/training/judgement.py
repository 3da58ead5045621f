"""From the held-out predictions of all rounds to the figures of evaluation.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import LabelGroup
from .examples import Examples
from .judge import Judged, averaged, figures, operating_points
from .localisation import localised
from .protocol import Round


def judgement(
    slices: Sequence[Judged], patients: Sequence[Judged], groups: Sequence[LabelGroup]
) -> dict[str, Any]:
    """The part of evaluation.json that follows from held-out predictions alone."""
    points = operating_points([p for p in averaged(patients) if p.part == "validation"], groups)
    thresholds = {label: float(point["threshold"]) for label, point in points.items()}
    found: dict[str, Any] = {}
    for part in dict.fromkeys(one.part for one in slices):
        one, whole = (averaged([row for row in rows if row.part == part]) for rows in (slices, patients))
        # Where a threshold was chosen it looks better than it is.
        use = thresholds if part == "test" else None
        found[part] = {k: v.to_json() for k, v in figures(one, whole, groups, use).items()}
    runs: list[dict[str, Any]] = []
    for repeat, fold, part in dict.fromkeys((s.repeat, s.fold, s.part) for s in slices):
        some, theirs = (
            [row for row in rows if (row.repeat, row.fold, row.part) == (repeat, fold, part)]
            for rows in (slices, patients)
        )
        aucs = figures(some, theirs, groups, draws=50)
        runs.append(
            {"repeat": repeat, "fold": fold, "part": part}
            | {"figures": {k: v.value for k, v in aucs.items() if k.endswith("/AUC")}}
        )
    across: dict[str, list[float]] = {}
    for run in runs:
        for key, value in run["figures"].items():
            across.setdefault(f"{run['part']}: {key}", []).append(value)
    return {
        "predictions": [one.to_json() for one in slices],
        "patients": [one.to_json() for one in patients],
        "figures": found,
        "runs": runs,
        "across_runs": {
            key: {"mean": float(np.mean(v)), "sd": float(np.std(v, ddof=1)), "n": len(v)}
            for key, v in across.items()
            if len(v) > 1
        },
        "operating_points": points,
    }


def looked_at(
    examples: Examples, rounds: Sequence[Round], maps: Sequence[NDArray[np.float32] | None]
) -> dict[str, Any] | None:
    """Where the attention of the first repeat's models looked on slices they had not seen."""
    first = [(r, m) for r, m in zip(rounds, maps, strict=True) if m is not None and r.repeat == 1]
    if not first:
        return None
    rows = [i for one, _ in first for i in one.judged]
    own = examples.subset(rows)
    return localised(
        np.concatenate([m for _, m in first]), own.lesion_boxes, examples.image_shape, own.patients
    )
