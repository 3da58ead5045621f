"""What a run's bundle brings besides weights: calibration, and the ranges of what it was trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence

from torch import Tensor

from ..core import LabelGroup
from ..models.calibration import CaseCalibration, GroupTemperature
from ..models.ranges import FeatureSpace, TrainingRanges
from .calibration import fit_temperature
from .errors import TrainingError
from .examples import Examples
from .judge import Judged, averaged
from .phantom_cohort import ABOUT
from .phantom_cohort import SCHEMA as PHANTOMS
from .table import Cohort


def calibration(patients: Sequence[Judged], groups: Sequence[LabelGroup]) -> CaseCalibration:
    """Temperatures from validation patients alone; none where these do not tell."""
    found: dict[str, GroupTemperature] = {}
    own = averaged([one for one in patients if one.part == "validation"])
    for group in groups:
        told = [one for one in own if one.truth.get(group.name)]
        if group.activation == "softmax":
            told = [one for one in told if one.truth[group.name] in group.labels]
            scores = [[one.scores[label] for label in group.labels] for one in told]
            truths = [group.labels.index(one.truth[group.name]) for one in told]
            sets: list[tuple[str, list[list[float]] | list[float], list[int]]] = [
                (group.name, scores, truths)
            ]
        else:
            # The table's yes or no is about the group's one label.
            label = group.labels[0]
            sets = [
                (
                    label,
                    [one.scores[label] for one in told],
                    [int(one.truth[group.name] == "1") for one in told],
                )
            ]
        for name, values, truth in sets:
            try:
                fitted = fit_temperature(values, truth)
            except TrainingError:
                continue
            # At its limit it would turn every score into 0, 1 or a guess.
            if not fitted.note:
                found[name] = GroupTemperature(
                    round(fitted.value, 6),
                    fitted.n,
                    f"{fitted.n} validation patients",
                    None if fitted.error is None else round(fitted.error, 6),
                )
    return CaseCalibration(found)


def training_ranges(examples: Examples, rows: Sequence[int], features: Tensor | None) -> TrainingRanges:
    """Of the slices that the final model was fitted on, and their studies.

    Args:
        examples: all.
        rows: of the final model.
        features: float32 (n, C, h, w) of all examples; None where they change with the training.
    """
    cases = dict.fromkeys(examples.cases[i] for i in rows)
    facts = [examples.facts[case] for case in cases if case in examples.facts]
    space = None
    if features is not None:
        chosen = list(rows)
        vectors = features[chosen].mean(dim=(2, 3)).numpy()
        space = FeatureSpace.of(vectors, [examples.patients[i] for i in chosen])
    return TrainingRanges.of(facts, space)


def said_synthetic(cohort: Cohort, examples: Examples) -> str:
    """A sentence where the cohort is of phantoms, in whole or in part; "" for patients."""
    synthetic = {case for case, facts in examples.facts.items() if facts.synthetic}
    try:
        about = json.loads((cohort.source.parent / ABOUT).read_text(encoding="utf-8"))
        whole = isinstance(about, dict) and about.get("schema") == PHANTOMS
    except (OSError, ValueError):
        whole = False
    cases = set(examples.cases)
    if whole or synthetic == cases:
        return " All of them are synthetic phantoms: nothing here says anything about patients."
    if synthetic:
        return f" {len(synthetic & cases)} of the cases are synthetic phantoms, not patients."
    return ""
