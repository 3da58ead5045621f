"""Every figure of a run, from its predictions on held-out slices: per slice and per patient, for each question."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..core import LabelGroup
from ..inference import aggregate
from .calibration import (
    BINS,
    Bin,
    Brier,
    Temperature,
    brier,
    calibration_error,
    fit_temperature,
    reliability_curve,
)
from .confusion import Counts, count, drawn_shares, shares
from .errors import TrainingError
from .figures import Figure, FloatArray, PatientDraws, drawn_aucs, estimated
from .metrics import auc, auc_delong
from .records import VALIDATION, Record, Run
from .roc import OperatingPoint, Roc, Rule, operating_point, roc, roc_band

Level = Literal["patient", "slice"]
LEVELS: tuple[Level, ...] = ("patient", "slice")
GRID: FloatArray = np.linspace(0, 1, 51)


@dataclass(frozen=True)
class Question:
    """A yes-or-no question: is it `positive`?

    Attributes:
        name: for people.
        group: that asks it.
        positive, negative: the two answers; high scores mean the first.
    """

    name: str
    group: LabelGroup
    positive: str
    negative: str


def questions(groups: Sequence[LabelGroup]) -> tuple[Question, ...]:
    """One question for two exclusive classes, else one for each label."""
    found = []
    for group in groups:
        if group.activation == "softmax" and len(group.labels) == 2:
            first, second = group.labels
            found.append(Question(f"{first} against {second}", group, first, second))
        else:
            found += [Question(label, group, label, f"not {label}") for label in group.labels]
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Answers:
    """Scores and truth of one question, per slice or per patient.

    Attributes:
        scores: (n,) of the positive answer; 0.5 where there is none.
        positive: (n,) truth.
        answered: (n,) whether there is an answer; one that is missing counts as wrong.
        patients, cases, slices: of each, (n,); of a patient the slice is None.
        rule: how a patient's score came about, in the words of one patient, or "".
        left_out: patients with contradicting truths, of whom the run does not say what they count as.
    """

    scores: FloatArray
    positive: NDArray[np.bool_]
    answered: NDArray[np.bool_]
    patients: tuple[str, ...]
    cases: tuple[str, ...]
    slices: tuple[int | None, ...]
    rule: str = ""
    left_out: tuple[str, ...] = ()

    def called(self, threshold: float) -> NDArray[np.bool_]:
        """(n,) what is said at the threshold; the wrong answer where there is none."""
        return np.where(self.answered, self.scores >= threshold, ~self.positive)


def merged(records: Sequence[Record]) -> tuple[Record, ...]:
    """Slices that several runs have judged, each once, with the mean of its scores."""
    found: dict[tuple[str, int | None], list[Record]] = {}
    for record in records:
        found.setdefault((record.case_id, record.slice), []).append(record)
    out = []
    for same in found.values():
        first = same[0]
        means: dict[str, float | None] = {}
        for label in first.scores:
            known = [value for one in same if (value := one.scores.get(label)) is not None]
            means[label] = float(np.mean(known)) if known else None
        out.append(
            Record(
                first.case_id,
                first.patient_id,
                first.slice,
                first.fold,
                first.part,
                means,
                first.truth,
                first.picture,
                first.shows,
            )
        )
    return tuple(out)


def answers(run: Run, question: Question, records: Sequence[Record], level: Level) -> Answers:
    """What was said and what is true; slices on which the question does not arise are left out."""
    once = merged(records)
    if level == "patient":
        return _of_patients(run, question, once)
    asked = [record for record in once if record.truth[question.group.name] is not None]
    values = [record.scores.get(question.positive) for record in asked]
    return Answers(
        np.array([0.5 if value is None else value for value in values], np.float64),
        np.array([question.positive in (r.truth[question.group.name] or ()) for r in asked], bool),
        np.array([value is not None for value in values], bool),
        tuple(record.patient_id for record in asked),
        tuple(record.case_id for record in asked),
        tuple(record.slice for record in asked),
    )


def _of_patients(run: Run, question: Question, records: Sequence[Record]) -> Answers:
    """One score and one truth a patient, by the model's own rule."""
    members: dict[str, list[Record]] = {}
    for record in records:
        members.setdefault(record.patient_id, []).append(record)
    name, exclusive = question.group.name, question.group.activation == "softmax"
    rows: list[tuple[str, str, float | None, bool]] = []
    rule, left_out = "", []
    for patient, own in members.items():
        truths = [truth for record in own if (truth := record.truth[name]) is not None]
        if not truths:
            continue
        if exclusive and len(set(truths)) > 1:
            counts_as = run.told.get(patient, {}).get(name)
            if counts_as is None:
                left_out.append(patient)
                continue
            truths = [counts_as]
        value, said = _patient_score(run, question, own)
        rule = rule or (said if value is not None else "")
        rows.append((patient, own[0].case_id, value, any(question.positive in truth for truth in truths)))
    return Answers(
        np.array([0.5 if row[2] is None else row[2] for row in rows], np.float64),
        np.array([row[3] for row in rows], bool),
        np.array([row[2] is not None for row in rows], bool),
        tuple(row[0] for row in rows),
        tuple(row[1] for row in rows),
        (None,) * len(rows),
        rule,
        tuple(left_out),
    )


def _patient_score(run: Run, question: Question, own: Sequence[Record]) -> tuple[float | None, str]:
    """A patient's score and its rule in words: as the run gives it, else by the model's rule over her slices."""
    first = own[0]
    given = [
        value
        for (part, _, patient), scores in run.whole.items()
        if (part, patient) == (first.part, first.patient_id)
        and (value := scores.get(question.positive)) is not None
    ]
    if given:
        return float(np.mean(given)), "the training run's own score of the patient, by the model's rule"
    needed = {*question.group.labels, *((question.group.gate,) if question.group.gate else ())}
    usable = [record for record in own if all(record.scores.get(label) is not None for label in needed)]
    if not usable:
        return None, ""
    # Other groups' scores have no say in this one's.
    probabilities = {
        label: np.array([record.scores.get(label) or 0.0 for record in usable], np.float64)
        for group in run.groups
        for label in group.labels
    }
    numbers = [record.slice for record in usable if record.slice is not None]
    if len(set(numbers)) < len(usable):
        numbers = list(range(len(usable)))  # several cases, or no slices: any numbers that tell them apart
    # Where nobody says which slices show the lesion, those count on which the question arises.
    asked = [record.truth[question.group.name] is not None for record in usable]
    boxed = [number for number, counts in zip(numbers, asked, strict=True) if counts]
    case, _ = aggregate(probabilities, numbers, run.groups, run.aggregation, None if all(asked) else boxed)
    rules = case.rule.removesuffix(".").split("; ")
    return case.probabilities[question.positive], next(
        (rule for rule in rules if rule.startswith(f"{question.group.name}:")), ""
    )


@dataclass(frozen=True)
class Calibration:
    """How the scores go with shares: Brier score, expected calibration error, reliability curve, number of bins."""

    brier: Brier
    error: float
    curve: tuple[Bin, ...]
    bins: int


@dataclass(frozen=True, eq=False)
class Appraised:
    """All figures of one question in one part at one level.

    Attributes:
        answers: what they rest on.
        auc: by DeLong for patients, by patient bootstrap for slices.
        auc_slices: for slices, DeLong's interval as if slices were independent; else as `auc`.
        curve, band: ROC curve, and limits of its band on `GRID`; None where undefined.
        point: the threshold chosen on the validation part, or None, then `point_reason` says why.
        counts: at 0.5 and, where there is a point, at its threshold.
        shares: figures at these thresholds with Wilson's intervals.
        drawn: the same with intervals from drawing patients.
        calibration, warmed: before and after temperature scaling; None where undefined.
        temperature: fitted on the validation part, or None, then `temperature_reason` says why.
    """

    level: Level
    answers: Answers
    auc: Figure
    auc_slices: Figure
    curve: Roc | None
    band: tuple[FloatArray, FloatArray] | None
    point: OperatingPoint | None
    point_reason: str
    counts: dict[float, Counts]
    shares: dict[float, dict[str, Figure]]
    drawn: dict[float, dict[str, Figure]]
    calibration: Calibration | None
    warmed: Calibration | None
    temperature: Temperature | None
    temperature_reason: str


@dataclass(frozen=True, eq=False)
class Choice:
    """What is chosen on validation data: how the threshold is, and how sensitive it must be."""

    rule: Rule = "youden"
    least: float = 0.95


@dataclass(frozen=True, eq=False)
class Appraisal:
    """All questions of a run: question, part and level to figures."""

    run: Run
    questions: tuple[Question, ...]
    judged: dict[tuple[str, str, str], Appraised] = field(default_factory=dict)


def appraise(run: Run, choice: Choice | None = None) -> Appraisal:
    """Judge each question of each part per patient and per slice; thresholds and temperatures come from the
    validation part alone.
    """
    choice = choice or Choice()
    out = Appraisal(run, questions(run.groups))
    for question in out.questions:
        for level in LEVELS:
            chosen_on: Answers | None = None
            if VALIDATION in run.parts:
                chosen_on = answers(run, question, _part(run, VALIDATION), level)
            for part in run.parts:
                said = answers(run, question, _part(run, part), level)
                if len(said.scores):
                    judged = _judge(
                        said, level, chosen_on, part == VALIDATION, choice, _told_point(run, question, level)
                    )
                    out.judged[question.name, part, level] = judged
    return out


def _told_point(run: Run, question: Question, level: Level) -> OperatingPoint | None:
    """The threshold that came with the model, chosen on patients when it was made."""
    points = run.document.get("operating_points")
    one = points.get(question.positive) if isinstance(points, dict) and level == "patient" else None
    if not isinstance(one, dict) or not isinstance(one.get("threshold"), float):
        return None
    how = f"{one.get('rule', 'the model’s own')}, chosen on {one.get('chosen_on', 'other patients')}"
    return OperatingPoint(one["threshold"], None, None, 0, how)


def _part(run: Run, part: str) -> list[Record]:
    return [record for record in run.records if record.part == part]


def _judge(
    said: Answers,
    level: Level,
    chosen_on: Answers | None,
    is_validation: bool,
    choice: Choice,
    told: OperatingPoint | None,
) -> Appraised:
    draws = PatientDraws(said.patients)
    delong = estimated(lambda: auc_delong(said.scores, said.positive))
    area = delong
    if level == "slice" and delong.value is not None:
        area = draws.figure(delong.value, drawn_aucs(said.scores, said.positive, draws), "")
    curve = band = None
    if delong.value is not None:
        curve = roc(said.scores, said.positive)
        with suppress(TrainingError):
            band = roc_band(said.scores, said.positive, draws, GRID)
        if band is not None and not (band[1] - band[0]).any():
            band = None  # a perfect curve in every draw tells nothing of other patients
    point, point_reason = (
        (told, "") if told and chosen_on is None else _point(chosen_on, is_validation, choice)
    )
    temperature, temperature_reason = _temperature(chosen_on, is_validation)
    thresholds = [0.5] if point is None else [0.5, point.threshold]
    counts = {t: count(said.called(t), said.positive) for t in thresholds}
    return Appraised(
        level,
        said,
        area,
        delong,
        curve,
        band,
        point,
        point_reason,
        counts,
        {t: shares(one) for t, one in counts.items()},
        {t: drawn_shares(said.called(t), said.positive, draws) for t in thresholds},
        _calibration(said.scores, said.positive),
        None if temperature is None else _calibration(temperature.apply(said.scores), said.positive),
        temperature,
        temperature_reason,
    )


def _calibration(scores: FloatArray, positive: NDArray[np.bool_]) -> Calibration:
    # Bins of fewer than ten cases on average would show chance alone.
    bins = min(BINS, max(3, len(scores) // 10))
    return Calibration(
        brier(scores, positive, bins),
        calibration_error(scores, positive, bins),
        reliability_curve(scores, positive, bins),
        bins,
    )


def _refusal(chosen_on: Answers | None, is_validation: bool, what: str) -> str:
    if is_validation:
        return f"This is the part on which the {what} is chosen, so that figures with it would flatter."
    if chosen_on is None:
        return f"There is no validation part, so that no {what} could be chosen without looking at these patients."
    return ""


def _point(
    chosen_on: Answers | None, is_validation: bool, choice: Choice
) -> tuple[OperatingPoint | None, str]:
    reason = _refusal(chosen_on, is_validation, "threshold")
    if reason or chosen_on is None:
        return None, reason
    try:
        return operating_point(chosen_on.scores, chosen_on.positive, choice.rule, choice.least), ""
    except TrainingError as error:
        return None, f"No threshold could be chosen on the validation part: {error}"


def _temperature(chosen_on: Answers | None, is_validation: bool) -> tuple[Temperature | None, str]:
    reason = _refusal(chosen_on, is_validation, "temperature")
    if reason or chosen_on is None:
        return None, reason
    try:
        return fit_temperature(chosen_on.scores, chosen_on.positive), ""
    except TrainingError as error:
        return None, f"No temperature could be fitted on the validation part: {error}"


def fold_aucs(run: Run, question: Question, part: str, level: Level = "slice") -> dict[str, float | None]:
    """The AUC in each run and fold by itself; None where it lacks a class."""
    out: dict[str, float | None] = {}
    for fold in dict.fromkeys(record.fold for record in _part(run, part)):
        own = [record for record in _part(run, part) if record.fold == fold]
        said = answers(run, question, own, level)
        both = said.positive.any() and not said.positive.all()
        out[fold] = auc(said.scores, said.positive) if both else None
    return out
