"""Questions to a model's heat maps over a cohort, as rows of a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from ..core import BreastAIError, Progress, silent
from ..inference import boxed_slices
from ..inference.in_range import check_range
from ..inference.questions.ask import Asker, Which
from ..inference.questions.table import QUESTIONS, mean_answers
from ..models.bundle import Bundle
from ..study import read_study
from .errors import TrainingError
from .gather import read_boxes_of
from .table import Cohort

SCHEMA, VERSION = "napari-breast-ai/questions", 1


def question_cohort(
    cohort: Cohort,
    bundle: Bundle,
    which: Which,
    label: str,
    *,
    reader: str | None = None,
    most: int = 5,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Put every question to the lesion's slices of every case.

    Args:
        cohort: the table.
        bundle: the model.
        which, label: of `Asker`.
        reader: whose boxes.
        most: slices of a case, evenly spread over those with a box; of a case without boxes the middle one.
        progress: told after every case.

    Returns:
        JSON values: `cases` (case_id, slices, range, answers), `means` over the cases, `failed` (question to the number
        of cases whose map fails it), `left_out` (sentences).

    Raises:
        TrainingError: no case can be asked about.
        InferenceError: the model has no such map or label.
        Cancelled: by `progress`.
    """
    cases, answered, left = [], [], []
    for done, row in enumerate(cohort.rows, 1):
        try:
            volume = read_study(row.path)
            boxes = read_boxes_of(row, volume, reader)
            slices = _spread(boxed_slices(boxes), most) or (volume.n_slices // 2,)
            answers = Asker(volume, bundle, which, label).ask(slices, boxes)
            report = check_range(volume, bundle.spec.preparation, bundle.ranges)
            answered.append(answers)
            cases.append(
                {
                    "case_id": row.case_id,
                    "slices": list(slices),
                    "range": report.to_json(),
                    "answers": [answer.to_json() for answer in answers],
                }
            )
        except BreastAIError as error:
            left.append(f"Case “{row.case_id}”: {error}")
        progress(done, len(cohort.rows), "Asking about cases")
    if not cases:
        raise TrainingError(
            f"No case of {cohort.source.name} can be asked about. {' '.join(left[:3])}".rstrip()
        )
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "model": {"name": bundle.ref.name, "sha256": bundle.ref.sha256},
        "map": which,
        "label": label,
        "questions": {
            question.key: {"name": question.name, "unit": question.unit, "meaning": question.meaning}
            for question in QUESTIONS
        },
        "cases": cases,
        "means": [answer.to_json() for answer in mean_answers(answered)],
        "failed": {
            question.key: sum(one.fails for answers in answered for one in answers if one.key == question.key)
            for question in QUESTIONS
        },
        "left_out": left,
    }


def questions_csv(found: dict[str, Any]) -> str:
    """A line for each case and question, of what `question_cohort` gives."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        (
            "case_id",
            "slices",
            "map",
            "label",
            "question",
            "value",
            "unit",
            "reference",
            "fails",
            "out_of_range",
        )
    )
    for case in found["cases"]:
        for answer in case["answers"]:
            writer.writerow(
                (
                    case["case_id"],
                    " ".join(map(str, case["slices"])),
                    found["map"],
                    found["label"],
                    answer["key"],
                    "" if answer["value"] is None else f"{answer['value']:.6g}",
                    answer["unit"],
                    "" if answer["reference"] is None else f"{answer['reference']:.6g}",
                    int(answer["fails"]),
                    int(case["range"]["outside"]),
                )
            )
    return out.getvalue()


def _spread(slices: Sequence[int], most: int) -> tuple[int, ...]:
    if len(slices) <= most:
        return tuple(slices)
    if most == 1:
        return (slices[len(slices) // 2],)
    return tuple(slices[round(i * (len(slices) - 1) / (most - 1))] for i in range(most))
