"""The report's sections on one run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from .. import page as html
from .appraisal import GRID, LEVELS, Appraisal, Appraised, Level, Question, answers, fold_aucs
from .confusion import SHARES, confusion_matrix
from .errors import TrainingError
from .figures import Figure, PatientDraws, drawn_aucs
from .metrics import CHALLENGE_WEIGHTS, challenge_score, over_runs
from .records import Record, Run
from .report_figures import forest_svg, reliability_svg, roc_svg
from .report_words import main_part, protocol_words, repeated

MANY = 100
"""More patients than this, and their names stand at the end of the report."""


def summary(appraisal: Appraisal) -> str:
    """AUCs of all questions, as a picture and a table."""
    part = main_part(appraisal)
    rows, picture = [], []
    for question in appraisal.questions:
        both = [appraisal.judged.get((question.name, part, level)) for level in LEVELS]
        cells: list[object] = [question.name]
        for judged in both:
            cells += ["none", ""] if judged is None else [judged.auc, len(judged.answers.scores)]
        rows.append(cells)
        if both[0] is not None and both[0].auc.value is not None:
            area = both[0].auc
            picture.append((question.name, float(area.value or 0), area.low, area.high))
    found = html.table(
        ("question", "AUC per patient (DeLong)", "patients", "AUC per slice (patient bootstrap)", "slices"),
        rows,
        f"Area under the ROC curve with 95 % interval, {part} part",
    )
    if len(picture) > 1:
        found += html.figure(forest_svg(picture, "AUC per patient"), "AUC per patient, 95 % interval")
    return found + _challenge(appraisal, part)


def _challenge(appraisal: Appraisal, part: str) -> str:
    """The data challenge's weighted score, where a model scores all five labels."""
    by_label = {question.positive: question for question in appraisal.questions}
    if not set(CHALLENGE_WEIGHTS) <= set(by_label):
        return ""
    records = [record for record in appraisal.run.records if record.part == part]
    rows = []
    for level in LEVELS:
        said = {label: answers(appraisal.run, by_label[label], records, level) for label in CHALLENGE_WEIGHTS}
        areas, drawn = {}, {}
        for label, one in said.items():
            judged = appraisal.judged.get((by_label[label].name, part, level))
            if judged is not None and judged.auc.value is not None:
                areas[label] = judged.auc.value
                drawn[label] = drawn_aucs(one.scores, one.positive, PatientDraws(one.patients))
        try:
            value = challenge_score(areas)
        except TrainingError as error:
            rows.append((f"per {level}", Figure(None, reason=str(error))))
            continue
        draws = PatientDraws(next(iter(said.values())).patients)
        same = {one.patients for one in said.values()}
        total = sum(weight * drawn[label] for label, weight in CHALLENGE_WEIGHTS.items())
        # The draws belong together only where all labels were asked of the same slices.
        figure = draws.figure(value, total, "") if len(same) == 1 else Figure(value, n=len(records))
        rows.append((f"per {level}", figure))
    return html.table(
        ("0.6 · AUC(malignancy) + 0.1 · each of the other four", "value (patient bootstrap 95 %)"),
        rows,
        "Weighted score of the JFR 2018 data challenge",
    )


def protocol(appraisal: Appraisal) -> str:
    """Who was judged, in which part and fold."""
    run = appraisal.run
    rows = []
    for part in run.parts:
        own = [record for record in run.records if record.part == part]
        told = {(r.patient_id, label) for r in own for t in r.truth.values() for label in (t or ())}
        truths = Counter(label for _, label in told)
        rows.append(
            (
                part,
                len({record.patient_id for record in own}),
                len({(record.case_id, record.slice) for record in own}),
                ", ".join(f"{truths[x]} {x}" for x in sorted(truths, key=_place(run))) or "none",
            )
        )
    found = html.table(("part", "patients", "slices", "patients with"), rows, "What was judged")
    given = run.document.get("protocol")
    if isinstance(given, dict) and given:
        said = protocol_words(given)
        found += html.paragraph(said) if said else html.settings(given, "Protocol")
    elif isinstance(given, str):
        found += html.paragraph(given)
    both = _on_two_sides(run)
    if both:
        found += html.paragraph(
            f"Patients in more than one part: {', '.join(both)}. The figures below mean nothing until they are in one."
        )
    else:
        found += html.paragraph("No patient is in more than one of these parts.")
    if run.patients > MANY:
        return found + html.paragraph("The split, patient by patient, stands at the end.")
    return found + members(run)


def _place(run: Run) -> Callable[[str], tuple[int, str]]:
    """Labels in the order of the model's, those that it has not at the end."""
    labels = [label for group in run.groups for label in group.labels]
    return lambda label: (labels.index(label) if label in labels else len(labels), label)


def members(run: Run) -> str:
    """Which patient is in which part and fold."""
    rows = []
    for part in run.parts:
        own = [record for record in run.records if record.part == part]
        if repeated(run, part) and (found := _by_repeat(own, part)):
            return found
        folds = sorted({record.fold for record in own}, key=_by_number)
        for fold in folds:
            # A part that was judged once, by one model, is no fold of anything.
            named = fold if len(folds) > 1 and fold else "–"
            here = sorted({record.patient_id for record in own if record.fold == fold}, key=_by_number)
            rows.append((part, named, len(here), ", ".join(here)))
    return html.table(("part", "run or fold", "patients", "who"), rows, "The split, patient by patient")


def _by_repeat(records: Sequence[Record], part: str) -> str:
    """A line a patient with her fold in every repeat; "" where the runs are not named by repeat and fold."""
    folds: dict[str, dict[str, str]] = {}
    for record in records:
        named = re.fullmatch(r"(?:repeat|shuffle) (\d+), fold (\d+)", record.fold)
        if named is None:
            return ""
        folds.setdefault(record.patient_id, {})[named[1]] = named[2]
    repeats = sorted({repeat for own in folds.values() for repeat in own}, key=int)
    said = (
        f"The split, patient by patient, {part} part: the fold that judged her in repeat {', '.join(repeats)}. The "
        "models of that fold have learnt from no slice of hers."
    )
    return html.columns(
        said,
        [
            (patient, " · ".join(folds[patient].get(repeat, "–") for repeat in repeats))
            for patient in sorted(folds, key=_by_number)
        ],
    )


def _by_number(name: str) -> list[tuple[int, str]]:
    """Names in the order in which people count: p2 before p10."""
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", name)]


def _on_two_sides(run: Run) -> list[str]:
    parts: dict[str, set[str]] = {}
    for record in run.records:
        parts.setdefault(record.patient_id, set()).add(record.part)
    return sorted(patient for patient, where in parts.items() if len(where) > 1)


def question_section(appraisal: Appraisal, question: Question, part: str) -> str:
    """All figures of a question in a part, per patient and per slice."""
    found = []
    patients, slices = (appraisal.judged.get((question.name, part, level)) for level in LEVELS)
    for level, judged in zip(LEVELS, (patients, slices), strict=True):
        if level == "slice" and patients is not None and judged is not None:
            same = len(judged.answers.scores) == len(patients.answers.scores)
            if same and np.array_equal(judged.answers.scores, patients.answers.scores):
                found.append(
                    html.paragraph("One slice a patient: per slice the figures are the same.", "note")
                )
                continue
        if judged is None:
            found.append(html.paragraph(f"Per {level}: this question arises on no case of the {part} part."))
            continue
        found.append(f"<h4>{escape(f'{question.name}, per {level}, {part} part')}</h4>")
        found.append(_level(judged, question, level))
    return "".join(found)


def _level(judged: Appraised, question: Question, level: Level) -> str:
    said = judged.answers
    found = []
    if said.rule:
        found.append(
            html.paragraph(f"How a patient is scored, in the words of one: {said.rule}.", "note lead")
        )
    if said.left_out:
        left = ", ".join(said.left_out)
        found.append(
            html.paragraph(f"Left out, since their slices are of several classes: {left}.", "note lead")
        )
    found.append(_shares(judged, level))
    pictures = []
    if judged.curve is not None:
        here = None
        if judged.point is not None:
            shares = judged.shares[judged.point.threshold]
            sensitivity, specificity = shares["sensitivity"].value, shares["specificity"].value
            if sensitivity is not None and specificity is not None:
                here = (judged.point, sensitivity, specificity)
        pictures.append(
            html.figure(
                roc_svg(judged.curve, judged.band, GRID, here, f"ROC curve of {question.name} per {level}"),
                f"ROC, per {level}: AUC {judged.auc}",
            )
        )
    if judged.calibration is not None:
        after = judged.warmed.curve if judged.warmed is not None else None
        pictures.append(
            html.figure(
                reliability_svg(
                    judged.calibration.curve, after, f"Calibration of {question.name} per {level}"
                ),
                f"Calibration, per {level}, {judged.calibration.bins} bins",
            )
        )
    found.append(f'<div class="row together">{"".join(pictures)}</div>')
    if judged.curve is None:
        found.append(html.paragraph(f"No ROC curve: {judged.auc.reason}"))
    elif judged.band is None:
        why = "too few patients of one class, or none that differ"
        found.append(html.paragraph(f"No band around the ROC curve: {why}.", "note"))
    found.append(_matrices(judged, question, level))
    return "".join(found) + _calibration(judged)


def _at(threshold: float) -> str:
    return "at 0.5" if threshold == 0.5 else f"at {threshold:.3f}"


def _shares(judged: Appraised, level: Level) -> str:
    """Accuracy and the like at 0.5 and at the chosen threshold, with intervals."""
    head = ["figure"]
    columns: list[list[object]] = []
    for threshold, shares in judged.shares.items():
        where = _at(threshold)
        if level == "slice":
            head.append(f"{where} (patient bootstrap 95 %)")
            columns.append([judged.drawn[threshold][name] for name in SHARES])
        head.append(f"{where} (Wilson 95 %)")
        columns.append([shares[name] for name in SHARES])
    rows: list[list[object]] = [[name, *(c[i] for c in columns)] for i, name in enumerate(SHARES)]
    found = html.table(head, rows)
    if level == "slice" and judged.auc_slices.value is not None:
        found += html.paragraph(
            f"AUC {judged.auc} by patient bootstrap; {judged.auc_slices} by DeLong, as if slices were independent.",
            "note",
        )
    if judged.point is None:
        return found + html.paragraph(judged.point_reason, "note")
    point = judged.point
    if point.sensitivity is None or point.specificity is None:
        return found + html.paragraph(f"Threshold {point.threshold:.3f}: {point.how}.", "note")
    return found + html.paragraph(
        f"Threshold {point.threshold:.3f}: {point.how} on the {point.n} validation {level}s, where sensitivity was "
        f"{point.sensitivity:.3f} and specificity {point.specificity:.3f}.",
        "note",
    )


def _matrices(judged: Appraised, question: Question, level: Level) -> str:
    labels = (question.positive, question.negative)
    truth = [labels[0] if one else labels[1] for one in judged.answers.positive]
    found = []
    for threshold in judged.counts:
        called = [labels[0] if one else labels[1] for one in judged.answers.called(threshold)]
        found.append(
            html.confusion(
                labels, confusion_matrix(truth, called, labels), f"{level.title()}s {_at(threshold)}"
            )
        )
    return f'<div class="row">{"".join(found)}</div>'


def _calibration(judged: Appraised) -> str:
    columns = [("as given", judged.calibration)]
    if judged.temperature is not None and judged.warmed is not None:
        columns.append((f"at temperature {judged.temperature.value:.2f}", judged.warmed))
    names = (
        ("Brier score", "score"),
        ("reliability (less is better)", "reliability"),
        ("resolution (more is better)", "resolution"),
        ("uncertainty (of the truth)", "uncertainty"),
        ("spread inside bins", "spread"),
        ("covariance inside bins", "covariance"),
    )
    known = [(name, one) for name, one in columns if one is not None]
    rows: list[list[object]] = [
        [name, *(f"{getattr(one.brier, field):.4f}" for _, one in known)] for name, field in names
    ]
    rows.append(["expected calibration error", *(f"{one.error:.4f}" for _, one in known)])
    found = html.table(("calibration", *(name for name, _ in known)), rows)
    if judged.temperature is None:
        return found + html.paragraph(judged.temperature_reason, "note")
    note = f" {judged.temperature.note}" if judged.temperature.note else ""
    return found + html.paragraph(
        f"Temperature fitted on {judged.temperature.n} validation {judged.level}s; above 1 the scores were too "
        f"bold, below 1 too careful. Brier score = reliability − resolution + uncertainty + spread − covariance.{note}",
        "note",
    )


def many_classes(appraisal: Appraisal, part: str) -> str:
    """Confusion matrices of groups of more than two exclusive classes; the highest score is the answer."""
    found = ""
    records = [record for record in appraisal.run.records if record.part == part]
    for group in appraisal.run.groups:
        if group.activation != "softmax" or len(group.labels) < 3:
            continue
        asked = [
            r
            for r in records
            if r.truth[group.name] and all(r.scores.get(x) is not None for x in group.labels)
        ]
        truth = [(record.truth[group.name] or ("",))[0] for record in asked]
        said = [max(group.labels, key=lambda label: record.scores[label] or 0.0) for record in asked]
        counts = confusion_matrix(truth, said, group.labels)
        found += html.confusion(
            group.labels, counts, f"{group.name}, slices, {part} part: the highest score counts"
        )
    return found


def over_folds(appraisal: Appraisal, part: str) -> str:
    """Each run's or fold's own AUCs, their mean and standard deviation."""
    folds = dict.fromkeys(record.fold for record in appraisal.run.records if record.part == part)
    if len(folds) < 2:
        return ""
    found = {q.name: fold_aucs(appraisal.run, q, part) for q in appraisal.questions}
    by_label = {question.positive: question.name for question in appraisal.questions}
    if set(CHALLENGE_WEIGHTS) <= set(by_label):
        weighted: dict[str, float | None] = {}
        for fold in folds:
            areas = {x: a for x in CHALLENGE_WEIGHTS if (a := found[by_label[x]][fold]) is not None}
            weighted[fold] = challenge_score(areas) if len(areas) == len(CHALLENGE_WEIGHTS) else None
        found["weighted score"] = weighted
    rows: list[list[object]] = []
    for name, values in found.items():
        total = over_runs(list(values.values()))
        each = ", ".join("undefined" if v is None else f"{v:.3f}" for v in values.values())
        rows.append([name, str(total), len(total.values), total.undefined, each])
    return html.table(
        ("AUC per slice", "mean (SD)", "runs", "undefined in", "each"),
        rows,
        f"Over the {len(folds)} runs or folds of the {part} part",
    ) + html.paragraph(
        "Each run's AUC by itself. The standard deviation says how runs differ; their training sets overlap, and it "
        "is no confidence interval.",
        "note",
    )
