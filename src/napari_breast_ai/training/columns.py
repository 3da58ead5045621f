"""Which columns of a cohort table could be learnt, and what a person chooses from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..annotations import AnnotationError
from ..annotations.cases import find_journals, read_case
from ..core import Progress, silent
from ..places import FOLDER
from .recipe import recipe_names, recipe_text
from .table import BOXES, Cohort, ask, read_cohort

MOST_CLASSES = 12
"""A column with more different words is a name or a measurement, not a label."""

_NOT_LABELS = ("split", "box_y0", "box_x0", "box_y1", "box_x1")
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp")
_POSITIVE = ("malignant", "cancer", "carcinoma", "igm", "positive", "high", "abnormal", "lesion")


@dataclass(frozen=True)
class LabelColumn:
    """A column that could be learnt.

    Attributes:
        name: as written.
        classes: each with its number of patients; the one that reads like the positive one first.
        yes_or_no: it is a question of its own, with one probability.
    """

    name: str
    classes: tuple[tuple[str, int], ...]
    yes_or_no: bool = False


@dataclass(frozen=True)
class Columns:
    """What a table offers.

    Attributes:
        cohort: the table.
        patients: how many.
        labels: the columns that could be learnt; "boxes" stands for the classes of the readers' boxes.
        pictures: all cases are single pictures, not studies.
        has_split: there is a column that says who trains.
        readers: who has drawn boxes of these cases.
    """

    cohort: Cohort
    patients: int
    labels: tuple[LabelColumn, ...]
    pictures: bool
    has_split: bool
    readers: tuple[str, ...]


def columns_of(table: str | Path, progress: Progress = silent) -> Columns:
    """Read a cohort table and say what it offers; of the cases only the readers' journals are opened.

    Raises:
        TrainingError: it is no table, or lacks a column.
    """
    cohort = read_cohort(table)
    labels = []
    for name in cohort.columns:
        if name.lower() in _NOT_LABELS:
            continue
        patients: dict[str, set[str]] = defaultdict(set)
        for row in cohort.rows:
            if row.columns[name]:
                patients[row.columns[name]].add(row.patient_id)
        if not patients or len(patients) > MOST_CLASSES or _measured(list(patients)):
            continue
        yes_or_no = ask(cohort, [name])[0].group.activation == "sigmoid"
        labels.append(_column(name, patients, yes_or_no))
    readers, boxed = _boxes(cohort, progress)
    if len(boxed) > 1 and BOXES not in (name.lower() for name in cohort.columns):
        labels.append(_column(BOXES, boxed))
    return Columns(
        cohort,
        len({row.patient_id for row in cohort.rows}),
        tuple(labels),
        bool(cohort.rows) and all(row.path.suffix.lower() in _PICTURES for row in cohort.rows),
        any(name.lower() == "split" for name in cohort.columns),
        readers,
    )


def label_argument(column: LabelColumn, classes: tuple[str, ...]) -> str:
    """How `ask` is told of a column and the classes of it that are wanted, the positive one first."""
    if column.yes_or_no:
        return column.name
    return f"{column.name}={','.join(classes)}"


def recipe_sentences() -> dict[str, str]:
    """The package's recipes, each with what its file says of it at the top."""
    found = {}
    for name in recipe_names():
        lines = []
        for line in recipe_text(name).splitlines():
            if not line.startswith("#"):
                break
            lines.append(line.lstrip("# "))
        found[name] = " ".join(lines)
    return found


def _measured(words: list[str]) -> bool:
    """Whether a column holds numbers other than the two of a yes-or-no question."""
    if len(words) < 3:
        return False
    try:
        return all(float(word.replace(",", ".")) is not None for word in words)
    except ValueError:
        return False


def _reads_positive(word: str) -> bool:
    return word.lower() in _POSITIVE


def _column(name: str, patients: Mapping[str, set[str]], yes_or_no: bool = False) -> LabelColumn:
    order = sorted(patients, key=lambda word: (not _reads_positive(word), word))
    return LabelColumn(name, tuple((word, len(patients[word])) for word in order), yes_or_no)


def _boxes(cohort: Cohort, progress: Progress) -> tuple[tuple[str, ...], dict[str, set[str]]]:
    """Whose boxes lie beside the cases, and the classes of these boxes, each with its patients."""
    readers: set[str] = set()
    classes: dict[str, set[str]] = defaultdict(set)
    owners: dict[Path, set[str]] = defaultdict(set)
    for row in cohort.rows:
        owners[(row.path if row.path.is_dir() else row.path.parent) / FOLDER].add(row.patient_id)
    for done, (folder, patients) in enumerate(owners.items(), 1):
        for path in find_journals([folder]) if folder.is_dir() else ():
            try:
                record = read_case(path, folder.parent.name)
            except AnnotationError:
                continue
            if record.boxes:
                readers.add(record.reader)
            for box in record.boxes:
                # Whose box it is in a folder of several patients, only the images tell.
                classes[box.label] |= patients if len(patients) == 1 else {str(path)}
        progress(done, len(owners), "looking for boxes")
    return tuple(sorted(readers)), classes
