"""Figures from held-out predictions: per slice and per patient, always with an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import LabelGroup
from ..inference import aggregate
from ..models import AggregationSpec
from .confusion import count, shares
from .errors import TrainingError
from .examples import Examples
from .metrics import Estimate, auc, auc_bootstrap, auc_delong
from .roc import operating_point
from .table import Question, foremost


@dataclass(frozen=True)
class Judged:
    """A slice (or, with slice -1, a patient) judged by a model that had not seen its patient.

    Attributes are those of `predictions` in evaluation.json, see docs/reference/training.md.
    """

    case_id: str
    patient_id: str
    slice: int
    repeat: int
    fold: int
    part: str
    scores: dict[str, float]
    truth: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; a patient has neither case nor slice."""
        plain = asdict(self)
        if self.slice < 0:
            del plain["case_id"], plain["slice"]
        return plain


def judged_slices(
    examples: Examples, scores: Mapping[str, NDArray[np.floating]], repeat: int, fold: int, part: str
) -> list[Judged]:
    """Scores (n,) of each label with the truth beside them."""
    return [
        Judged(
            examples.cases[i],
            examples.patients[i],
            examples.slices[i],
            repeat,
            fold,
            part,
            {label: float(values[i]) for label, values in scores.items()},
            {name: told[i] for name, told in examples.labels.items() if told[i]},
        )
        for i in range(len(examples))
    ]


def per_patient(
    slices: Sequence[Judged], groups: Sequence[LabelGroup], rule: AggregationSpec
) -> list[Judged]:
    """Each patient's scores: the model's rule over a case's slices, then the mean over the patient's cases.

    Where cases of some patient differ in a question, it is asked per case: then a patient counts as the first class that
    any of her cases has, and for all patients the case with the highest score of the first class gives the scores.
    """
    members: dict[tuple[str, int, str], dict[str, list[Judged]]] = {}
    for one in slices:
        members.setdefault((one.part, one.repeat, one.patient_id), {}).setdefault(one.case_id, []).append(one)
    differing = asked_per_case(slices, groups)
    found = []
    for cases in members.values():
        parts: list[dict[str, float | None]] = []
        for rows in cases.values():
            numbers = [row.slice for row in rows]
            scores = {label: np.array([row.scores[label] for row in rows]) for label in rows[0].scores}
            parts.append(aggregate(scores, numbers, groups, rule, numbers)[0].probabilities)
        first = next(iter(cases.values()))[0]
        means: dict[str, float] = {}
        truth: dict[str, str] = {}
        for group in groups:
            lead = group.labels[0]
            voting = parts
            if group.name in differing:
                voting = [max(parts, key=lambda part: -1.0 if (p := part[lead]) is None else p)]
            for label in group.labels:
                means[label] = float(
                    np.mean([p if (p := part[label]) is not None else 0.5 for part in voting])
                )
            answers = {
                row.truth[group.name] for rows in cases.values() for row in rows if group.name in row.truth
            }
            if answers:
                truth[group.name] = foremost(group, answers)
        found.append(Judged("", first.patient_id, -1, first.repeat, first.fold, first.part, means, truth))
    return found


def asked_per_case(slices: Sequence[Judged], groups: Sequence[LabelGroup]) -> set[str]:
    """The groups in which cases of one patient differ."""
    told: dict[tuple[str, str], set[str]] = {}
    for one in slices:
        for name, answer in one.truth.items():
            told.setdefault((name, one.patient_id), set()).add(answer)
    return {name for (name, _), answers in told.items() if len(answers) > 1} & {g.name for g in groups}


def told_labels(questions: Sequence[Question], slices: Sequence[Judged]) -> list[dict[str, Any]]:
    """What evaluation.json tells of the questions."""
    differing = asked_per_case(slices, [question.group for question in questions])
    return [
        {
            "group": q.group.name,
            "column": q.column,
            "labels": list(q.group.labels),
            "activation": q.group.activation,
            "per_patient": "any case" if q.group.name in differing else "all cases",
        }
        for q in questions
    ]


def averaged(rows: Sequence[Judged]) -> list[Judged]:
    """Several repeats' scores of one slice or patient as one; their mean."""
    members: dict[tuple[str, str, str, int], list[Judged]] = {}
    for row in rows:
        members.setdefault((row.part, row.patient_id, row.case_id, row.slice), []).append(row)
    return [
        Judged(
            **{
                **asdict(same[0]),
                "scores": {k: float(np.mean([row.scores[k] for row in same])) for k in same[0].scores},
            }
        )
        for same in members.values()
    ]


def asked(group: LabelGroup) -> list[tuple[str, str]]:
    """(label, its question in words): one of a pair, every one of several."""
    if group.activation == "sigmoid":
        return [(label, label) for label in group.labels]
    if len(group.labels) == 2:
        return [(group.labels[0], f"{group.labels[0]} against {group.labels[1]}")]
    return [(label, f"{label} against the rest") for label in group.labels]


def _known(
    rows: Sequence[Judged], group: LabelGroup, label: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[str]]:
    """Scores, truth and patients of the rows whose answer is known."""
    known = [row for row in rows if group.name in row.truth]
    yes = "1" if group.activation == "sigmoid" else label
    return (
        np.array([row.scores[label] for row in known]),
        np.array([row.truth[group.name] == yes for row in known], bool),
        [row.patient_id for row in known],
    )


def figures(
    slices: Sequence[Judged],
    patients: Sequence[Judged],
    groups: Sequence[LabelGroup],
    thresholds: Mapping[str, float] | None = None,
    draws: int = 1000,
) -> dict[str, Estimate]:
    """Every figure of every question; where a class is missing the figure is not there.

    Args:
        slices, patients: one row each, of one part.
        groups: the model's label groups.
        thresholds: operating points per label, chosen on other data; figures at 0.5 come always.
        draws: of the patient bootstrap of an AUC over slices.
    """
    found: dict[str, Estimate] = {}
    for group in groups:
        for label, question in asked(group):
            for rows, what in ((slices, "slice"), (patients, "patient")):
                scores, truth, names = _known(rows, group, label)
                if not len(scores):
                    continue
                key = f"{question}/per {what}"
                if truth.any() and not truth.all():
                    several = len(set(names)) < len(names)
                    try:
                        found[f"{key}/AUC"] = (
                            auc_bootstrap(scores, truth, names, draws=draws)
                            if several
                            else auc_delong(scores, truth)
                        )
                    except TrainingError:
                        found[f"{key}/AUC"] = auc_delong(scores, truth)
                found |= _at(key, "", scores, truth, 0.5)
                if thresholds and label in thresholds:
                    found |= _at(key, " at the operating point", scores, truth, thresholds[label])
    return found


def aucs(
    slices: Sequence[Judged], patients: Sequence[Judged], groups: Sequence[LabelGroup]
) -> dict[str, float]:
    """The AUCs alone, without their intervals; names as in `figures`."""
    found: dict[str, float] = {}
    for group in groups:
        for label, question in asked(group):
            for rows, what in ((slices, "slice"), (patients, "patient")):
                scores, truth, _ = _known(rows, group, label)
                if truth.any() and not truth.all():
                    found[f"{question}/per {what}/AUC"] = auc(scores, truth)
    return found


def _at(
    key: str, where: str, scores: NDArray[np.float64], truth: NDArray[np.bool_], threshold: float
) -> dict[str, Estimate]:
    """What a threshold gives, with Wilson's intervals."""
    found = shares(count(scores >= threshold, truth))
    return {
        f"{key}/{name}{where}": Estimate(one.value, one.low, one.high, one.n, one.method)
        for name, one in found.items()
        if name != "negative predictive value"
        and one.value is not None
        and one.low is not None
        and one.high is not None
    }


def operating_points(
    validation: Sequence[Judged], groups: Sequence[LabelGroup]
) -> dict[str, dict[str, float | str]]:
    """Per question the threshold with the highest sensitivity + specificity (Youden) on validation patients."""
    found: dict[str, dict[str, float | str]] = {}
    for group in groups:
        for label, _ in asked(group):
            scores, truth, _ = _known(validation, group, label)
            if not truth.any() or truth.all():
                continue
            found[label] = {
                "threshold": operating_point(scores, truth).threshold,
                "rule": "highest sensitivity + specificity per patient",
                "chosen_on": f"{len(truth)} validation patients",
            }
    return found
