"""From a cohort table to prepared slices: every case is read once, and only the slices that count are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..annotations import AnnotationError
from ..annotations.cases import CaseRecord, find_journals, read_case
from ..core import Box, BreastAIError, DceVolume, Progress, silent
from ..inference.aggregation import boxed_slices
from ..models import PreparationSpec
from ..places import FOLDER
from ..study import read_study
from .cohort import prepare_case
from .errors import TrainingError
from .examples import Examples, join
from .table import Cohort, Problem, Question, Row

BOX_COLUMNS = ("box_y0", "box_x0", "box_y1", "box_x1")
"""First and last row and column of a still image's one box, pixels, both inside."""


def examples_from(
    cohort: Cohort,
    questions: Sequence[Question],
    preparation: PreparationSpec,
    *,
    reader: str | None = None,
    progress: Progress = silent,
) -> tuple[Examples, tuple[Problem, ...]]:
    """Read every case that answers a question, and keep the slices that carry its patient's labels.

    These are the slices with a lesion's box; a picture of one slice carries them with or without one. Boxes come
    from the journals beside the case, or for pictures from the columns `box_y0, box_x0, box_y1, box_x1`.

    Args:
        cohort: the table.
        questions: see `ask`.
        preparation: of the model.
        reader: whose boxes; None takes the one reader who has any.
        progress: told after every case.

    Returns:
        The slices, and what was found wrong on the way.

    Raises:
        TrainingError: no case can be used.
    """
    parts, problems = [], []
    seen: dict[str, Row] = {}
    wanted = [row for row in cohort.rows if any(question.answer(row) for question in questions)]
    for done, row in enumerate(wanted, 1):
        try:
            volume = read_study(row.path)
            boxes = read_boxes_of(row, volume, reader)
            problems += check_content(row, volume, boxes, seen)
            shown = boxed_slices(boxes) if volume.n_slices > 1 else (0,)
            shown = tuple(z for z in shown if z < volume.n_slices)
            if not shown:
                problems.append(
                    Problem(row.line, f"Case “{row.case_id}” has no lesion's box and is left out.", False)
                )
                continue
            kept = tuple(box for box in boxes if box.z in shown)
            part = prepare_case(row.patient_id, volume, kept, preparation, shown)
            labels = {q.group.name: (q.answer(row),) * len(part) for q in questions}
            parts.append(replace(part, cases=(row.case_id,) * len(part), labels=labels))
        except BreastAIError as error:
            problems.append(Problem(row.line, str(error)))
        progress(done, len(wanted), "reading cases")
    if not parts:
        told = " ".join(str(problem) for problem in problems[:3])
        raise TrainingError(f"No case of {cohort.source.name} can be used. {told}")
    return join(parts), tuple(problems)


def check_images(cohort: Cohort, reader: str | None = None, progress: Progress = silent) -> Iterator[Problem]:
    """Read every case and say what is wrong with it: cannot be read, seen before, boxes beside the image."""
    seen: dict[str, Row] = {}
    for done, row in enumerate(cohort.rows, 1):
        try:
            volume = read_study(row.path)
            yield from check_content(row, volume, read_boxes_of(row, volume, reader), seen)
        except BreastAIError as error:
            yield Problem(row.line, str(error))
        progress(done, len(cohort.rows), "reading cases")


def check_content(row: Row, volume: DceVolume, boxes: Sequence[Box], seen: dict[str, Row]) -> list[Problem]:
    """The case's images under another name, and boxes that do not lie on them; `seen` is kept up."""
    problems = []
    digest = hashlib.sha256(repr(volume.data.shape).encode())
    digest.update(volume.data.tobytes())
    first = seen.setdefault(digest.hexdigest(), row)
    if first is not row:
        other = first.patient_id != row.patient_id
        what = (
            f"under another patient (“{first.patient_id}”). Give both the same patient, or remove one"
            if other
            else "in the same patient"
        )
        problems.append(Problem(row.line, f"The same images stand in line {first.line}, {what}.", other))
    for box in boxes:
        for text in box.problems(volume.geometry.shape):
            problems.append(Problem(row.line, text))
    return problems


def read_boxes_of(row: Row, volume: DceVolume, reader: str | None = None) -> tuple[Box, ...]:
    """The boxes of a case: from the columns of the table, or from the one journal of its images.

    Raises:
        TrainingError: a cell is no number, or several readers drew boxes and none was chosen.
    """
    names = {name.lower(): name for name in row.columns}
    cells = [row.columns[names[name]] if name in names else "" for name in BOX_COLUMNS]
    if volume.n_slices == 1 and all(cells):
        try:
            y0, x0, y1, x1 = (float(cell) for cell in cells)
        except ValueError:
            raise TrainingError(
                f"The box of case “{row.case_id}” ({', '.join(cells)}) must be four numbers."
            ) from None
        return (Box(0, y0 - 0.5, x0 - 0.5, y1 + 0.5, x1 + 0.5, "lesion", "table", "table"),)
    folder = (row.path if row.path.is_dir() else row.path.parent) / FOLDER
    records: list[CaseRecord] = []
    for path in find_journals([folder]) if folder.is_dir() else ():
        try:
            record = read_case(path, row.case_id)
        except AnnotationError:
            continue
        mine = record.study_uid == volume.identity.study_uid and record.boxes
        if mine and (reader is None or record.reader == reader):
            records.append(record)
    readers = sorted({record.reader for record in records})
    if len(readers) > 1:
        raise TrainingError(
            f"Case “{row.case_id}” has boxes of {len(readers)} readers ({', '.join(readers)}). "
            "Choose one with --reader."
        )
    return max(records, key=lambda record: record.reading).boxes if records else ()
