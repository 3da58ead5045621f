"""The cohort table: which cases, whose they are, what is known of them; and all that is wrong with it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..annotations import AnnotationError
from ..annotations.csvtable import read_table
from ..core import Activation, Box, LabelGroup
from .errors import TrainingError

BOXES = "boxes"
"""Asked for like a column: the classes of the boxes themselves."""

REQUIRED = ("case_id", "patient_id", "path")
SPLITS = ("train", "validation", "test")
_YES, _NO = ("1", "yes", "true", "positive"), ("0", "no", "false", "negative")


@dataclass(frozen=True)
class Problem:
    """Something wrong with a table.

    Attributes:
        line: of the file, 0 for the table as a whole.
        text: a sentence.
        fatal: nothing can be trained before it is put right.
        of_case: or before the case of this line is left out.
    """

    line: int
    text: str
    fatal: bool = True
    of_case: bool = False

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{'' if self.fatal else 'Note: '}{where}{self.text}"


@dataclass(frozen=True)
class Row:
    """One case. `columns` are the table's further columns, by their names as written."""

    line: int
    case_id: str
    patient_id: str
    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cohort:
    """A table of cases, in the order given.

    Attributes:
        source: the file.
        rows: the lines that can be used.
        problems: what is wrong, in the order of the lines.
        sha256: of the file.
        columns: names of the further columns.
    """

    source: Path
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    sha256: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """One label column as a question to a model.

    Attributes:
        column: of the table.
        group: the label group; its first label is the positive one. A yes-or-no column is one sigmoid.
        of_boxes: it is no column: each slice's own boxes tell its class.
    """

    column: str
    group: LabelGroup
    of_boxes: bool = False

    def word(self, answer: str) -> str:
        """The class for people: "yes" and "no" of a yes-or-no column."""
        binary = self.group.activation == "sigmoid"
        return ("yes" if answer == "1" else "no") if binary else answer

    def answer(self, row: Row) -> str:
        """The class of a case as targets know it: a label, "1" or "0"; "" where it is none of the question's."""
        told = "" if self.of_boxes else row.columns.get(self.column, "")
        if self.group.activation == "sigmoid":
            return "1" if told.lower() in _YES else "0" if told.lower() in _NO else ""
        return told if told in self.group.labels else ""

    def answer_of(self, row: Row, boxes: Collection[Box]) -> str:
        """The class of a slice of a case: of its boxes where they tell it, by the rule of `foremost`."""
        if not self.of_boxes:
            return self.answer(row)
        found = {box.label for box in boxes} & set(self.group.labels)
        return foremost(self.group, found) if found else ""


def classes_of(group: LabelGroup) -> tuple[str, ...]:
    """The classes of a group as targets know them; the first is the positive one."""
    return ("1", "0") if group.activation == "sigmoid" else group.labels


def foremost(group: LabelGroup, answers: Collection[str]) -> str:
    """What a patient counts as whose cases differ: the first of the classes, in their order, that any of them has."""
    return next(label for label in classes_of(group) if label in answers)


def left_out(problems: Sequence[Problem], leave_out: bool) -> tuple[Problem, ...]:
    """The problems where the cases that cannot be used are left out, or (without `leave_out`) as they are."""
    if not leave_out:
        return tuple(problems)
    return tuple(
        replace(one, fatal=False, text=f"{one.text} The case is left out.")
        if one.fatal and one.of_case
        else one
        for one in problems
    )


def read_cohort(source: str | Path) -> Cohort:
    """Read a CSV with `case_id, patient_id, path` and any further columns; paths are relative to the table.

    Only names are looked at; what is in the images is for `examples_from`.

    Raises:
        TrainingError: it is no table or lacks a column.
    """
    source = Path(source)
    try:
        table = read_table(source, REQUIRED)
    except AnnotationError as error:
        raise TrainingError(str(error)) from error
    at = {name: table.column(name) or 0 for name in REQUIRED}
    # However it is written: who trains must not turn on a capital letter.
    known = tuple("split" if n.lower() == "split" else n for n in table.names)
    names = tuple(n for n in known if n and n.lower() not in REQUIRED)
    problems: list[Problem] = []
    rows: list[Row] = []
    cases: dict[str, Row] = {}
    places: dict[Path, Row] = {}
    for line, cells in table.rows:
        told = {name: cells[i] for name, i in at.items()}
        if missing := [name for name, value in told.items() if not value]:
            text = f"It has no {' and no '.join(missing)}. Fill it in."
            problems.append(Problem(line, text, of_case=True))
            continue
        more = {n: c for n, c in zip(known, cells, strict=True) if n in names}
        row = Row(line, told["case_id"], told["patient_id"], source.parent / told["path"], more)
        problems += _clashes(row, cases.setdefault(row.case_id, row), places.setdefault(row.path, row))
        if not row.path.exists():
            problems.append(
                Problem(line, f"There is nothing at {told['path']}. Correct the path.", of_case=True)
            )
        if (part := more.get("split", "")) and part.lower() not in SPLITS:
            problems.append(Problem(line, f"The split “{part}” is unknown; use {', '.join(SPLITS)}."))
        rows.append(row)
    parts = defaultdict(set)
    for row in rows:
        if part := row.columns.get("split", "").lower():
            parts[row.patient_id].add(part)
            if len(parts[row.patient_id]) == 2:
                problems.append(
                    Problem(row.line, f"Patient “{row.patient_id}” is in two splits. Put all cases into one.")
                )
    if not rows:
        problems.append(Problem(0, "The table names no case that can be used."))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return Cohort(source, tuple(rows), tuple(problems), digest, names)


def _clashes(row: Row, same_case: Row, same_path: Row) -> list[Problem]:
    found = []
    if same_case is not row:
        whose = "" if same_case.patient_id == row.patient_id else " under another patient"
        found.append(
            Problem(row.line, f"The case_id “{row.case_id}” stands in line {same_case.line} already{whose}.")
        )
    if same_path is not row:
        other = same_path.patient_id != row.patient_id
        whose = "under another patient. Give both the same patient, or remove one" if other else "already"
        found.append(Problem(row.line, f"The same path stands in line {same_path.line} {whose}.", other))
    return found


def ask(cohort: Cohort, wanted: Sequence[str]) -> tuple[Question, ...]:
    """Label columns as questions.

    Args:
        cohort: the table.
        wanted: columns, each as "column" (all its classes, by name; the first is the positive one) or
            "column=first,second" (these classes in this order; cases of others are left out). "boxes=first,second",
            where the table has no such column: the classes that readers gave to their boxes, slice by slice.

    Raises:
        TrainingError: a column is not there, or two columns share a name for a class and cannot be told apart.
    """
    if not wanted:
        raise TrainingError("No label column was named. Name one with --label.")
    questions = []
    for one in wanted:
        column, _, listed = one.partition("=")
        names = {name.lower(): name for name in cohort.columns}
        if column.lower() == BOXES and BOXES not in names:
            questions.append(_ask_boxes(listed))
            continue
        if column.lower() not in names:
            raise TrainingError(
                f"The table has no column “{column}”. Its columns are {', '.join(cohort.columns) or 'none'}."
            )
        column = names[column.lower()]
        found = sorted({row.columns[column] for row in cohort.rows if row.columns[column]})
        classes = tuple(name.strip() for name in listed.split(",") if name.strip()) or tuple(found)
        activation: Activation = "softmax"
        if not listed and found and all(value.lower() in (*_YES, *_NO) for value in found):
            classes, activation = (column,), "sigmoid"
        questions.append(Question(column, LabelGroup(column, classes, activation)))
    labels = [label for question in questions for label in question.group.labels]
    if doubled := sorted({label for label in labels if labels.count(label) > 1}):
        raise TrainingError(
            f"The class “{doubled[0]}” occurs in two questions. Name the classes differently in the table."
        )
    return tuple(questions)


def _ask_boxes(listed: str) -> Question:
    classes = tuple(name.strip() for name in listed.split(",") if name.strip())
    if len(classes) < 2:
        raise TrainingError("Name the classes of boxes to tell apart, such as --label boxes=IGM,NME.")
    return Question(BOXES, LabelGroup(BOXES, classes, "softmax"), of_boxes=True)


def check_labels(cohort: Cohort, questions: Sequence[Question], folds: int = 0) -> tuple[Problem, ...]:
    """What is wrong with the label columns: contradictions, empty cells, too few patients for the folds.

    Cases of one patient may differ: she may have a benign and a malignant lesion. One file may not.
    """
    problems: list[Problem] = []
    for question in questions:
        name = question.column
        if question.of_boxes:
            continue  # told by the journals, which are read with the images
        told: dict[str, dict[str, int]] = {}
        files: dict[Path, tuple[str, int]] = {}
        empty = left_out = 0
        for row in cohort.rows:
            answer = question.answer(row)
            if not answer:
                empty += not row.columns[name]
                left_out += bool(row.columns[name])
                continue
            told.setdefault(row.patient_id, {}).setdefault(answer, row.line)
            first, line = files.setdefault(row.path, (answer, row.line))
            if first != answer:
                text = f"The same path has another {name} in line {line}. Correct one, or remove a line."
                problems.append(Problem(row.line, text))
        problems += _differing(question, told)
        if empty:
            problems.append(Problem(0, f"{empty} cases have no {name} and are left out.", False))
        if left_out:
            problems.append(
                Problem(
                    0, f"{left_out} cases have another {name} than was asked for and are left out.", False
                )
            )
        classes = classes_of(question.group)
        counts = {c: sum(c in answers for answers in told.values()) for c in classes}
        if len(classes) < 2:
            problems.append(
                Problem(0, f"The column {name} has fewer than two classes; nothing can be learnt.")
            )
        for label, count in counts.items():
            shown = question.word(label)
            if count < max(folds, 2):
                need = f"{folds} folds need at least {folds}" if folds > 2 else "two are needed at least"
                problems.append(Problem(0, f"The class “{shown}” of {name} has {count} patients; {need}."))
    return tuple(problems)


def _differing(question: Question, told: Mapping[str, Mapping[str, int]]) -> list[Problem]:
    """Patients whose cases differ, and how they are counted."""
    several = {patient: answers for patient, answers in told.items() if len(answers) > 1}
    if not several:
        return []
    named = "; ".join(
        f"“{patient}” in lines {' and '.join(map(str, answers.values()))}"
        for patient, answers in list(several.items())[:5]
    )
    more = "; ..." if len(several) > 5 else ""
    first = question.word(classes_of(question.group)[0])
    text = (
        f"{len(several)} patients have cases that differ in {question.column} ({named}{more}). Each case keeps its own. "
        f"Per patient, anyone with a case of “{first}” counts as that, and the case that looks most like it gives "
        "the score."
    )
    return [Problem(0, text, False)]
