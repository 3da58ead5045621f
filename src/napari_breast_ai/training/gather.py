"""From a cohort table to prepared slices: every case is read once, and only the slices that count are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..annotations import AnnotationError
from ..annotations.cases import CaseRecord, find_journals, read_case
from ..core import Box, BreastAIError, DceVolume, Progress, silent
from ..inference.aggregation import boxed_slices
from ..inference.similar import content_of
from ..models import PreparationSpec
from ..places import FOLDER
from ..study import read_study
from .cohort import prepare_case
from .errors import LeftOutError, TrainingError
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
    """Read every case that answers a question, and keep the slices that carry its labels.

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
    parts: list[Examples] = []
    problems: list[Problem] = []

    def look(row: Row, volume: DceVolume, boxes: tuple[Box, ...], content: str) -> None:
        shown = slices_of(row, volume, boxes, questions)
        own = {z: [box for box in boxes if box.z == z] for z in shown}
        kept = tuple(box for z in shown for box in own[z])
        part = prepare_case(row.patient_id, volume, kept, preparation, shown)
        labels = {q.group.name: tuple(q.answer_of(row, own[z]) for z in shown) for q in questions}
        facts = {row.case_id: part.facts[row.patient_id]}
        parts.append(
            replace(
                part,
                cases=(row.case_id,) * len(part),
                labels=labels,
                facts=facts,
                contents={row.case_id: content},
            )
        )

    go_through(asked_rows(cohort, questions), look, problems.append, questions, reader, progress)
    if not parts:
        told = " ".join(str(problem) for problem in problems[:3])
        raise TrainingError(f"No case of {cohort.source.name} can be used. {told}")
    return join(parts), tuple(problems)


Look = Callable[[Row, DceVolume, tuple[Box, ...], str], None]
"""Takes a case: its line, images and boxes, and the hash of its images. Raises LeftOutError where it is of no use."""


def go_through(
    rows: Sequence[Row],
    look: Look,
    tell: Callable[[Problem], None],
    questions: Sequence[Question] = (),
    reader: str | None = None,
    progress: Progress = silent,
    what: str = "reading cases",
    boxes_wanted: bool = True,
) -> None:
    """Open case after case, say what is wrong with each, and look at those that can be used.

    Args:
        rows: the cases.
        look: at each; whatever BreastAIError it raises is a problem of the case.
        tell: told of every problem as it is found.
        questions: the label columns, in which equal images must agree.
        reader: whose boxes; None takes the one reader who has any.
        progress: told after every case; may cancel.
        what: in words, for `progress`.
        boxes_wanted: whether boxes are read.
    """
    seen: dict[str, Row] = {}
    for done, row in enumerate(rows, 1):
        try:
            volume = read_study(row.path)
            boxes = read_boxes_of(row, volume, reader) if boxes_wanted else ()
            content = content_of(volume)
            wrong = check_content(row, volume, boxes, seen, questions, content)
            for problem in wrong:
                tell(problem)
            if not any(problem.fatal for problem in wrong):
                look(row, volume, boxes, content)
        except LeftOutError as error:
            tell(Problem(row.line, str(error), False))
        except BreastAIError as error:
            tell(Problem(row.line, str(error), of_case=True))
        finally:
            progress(done, len(rows), what)


def asked_rows(cohort: Cohort, questions: Sequence[Question]) -> list[Row]:
    """The cases that answer a question, or may by their boxes."""
    return [row for row in cohort.rows if any(one.of_boxes or one.answer(row) for one in questions)]


def slices_of(
    row: Row, volume: DceVolume, boxes: Sequence[Box], questions: Sequence[Question]
) -> tuple[int, ...]:
    """The slices of a case that carry an answer: with a lesion's box, or the one of a picture.

    Raises:
        LeftOutError: there is none.
    """
    boxed = boxed_slices(boxes) if volume.n_slices > 1 else (0,)
    boxed = tuple(z for z in boxed if z < volume.n_slices)
    if not boxed:
        raise LeftOutError(f"Case “{row.case_id}” has no lesion's box and is left out.")
    own = {z: [box for box in boxes if box.z == z] for z in boxed}
    shown = tuple(z for z in boxed if any(q.answer_of(row, own[z]) for q in questions))
    if not shown:
        raise LeftOutError(
            f"Case “{row.case_id}” has no box of the classes that were asked for and is left out."
        )
    return shown


def check_images(
    cohort: Cohort,
    reader: str | None = None,
    progress: Progress = silent,
    questions: Sequence[Question] = (),
) -> tuple[Problem, ...]:
    """Read every case and say what is wrong with it: cannot be read, seen before, boxes beside the image."""
    found: list[Problem] = []
    go_through(cohort.rows, lambda *_: None, found.append, questions, reader, progress)
    return tuple(found)


def check_content(
    row: Row,
    volume: DceVolume,
    boxes: Sequence[Box],
    seen: dict[str, Row],
    questions: Sequence[Question],
    content: str,
) -> list[Problem]:
    """The case's images under another name or with another label, and boxes that do not lie on them.

    `seen` is kept up; `content` is that of `inference.similar.content_of`.
    """
    problems = []
    first = seen.setdefault(content, row)
    if first is not row:
        other = first.patient_id != row.patient_id
        what = (
            f"under another patient (“{first.patient_id}”). Give both the same patient, or remove one"
            if other
            else "in the same patient"
        )
        problems.append(Problem(row.line, f"The same images stand in line {first.line}, {what}.", other))
        for question in questions:
            if len({question.answer(row), question.answer(first)} - {""}) > 1:
                text = f"The same images have another {question.column} in line {first.line}. Correct one."
                problems.append(Problem(row.line, text))
    for box in boxes:
        for text in box.problems(volume.geometry.shape):
            problems.append(Problem(row.line, f"Case “{row.case_id}”: {text}", of_case=True))
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
