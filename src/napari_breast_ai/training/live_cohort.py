"""From the boxed cases of a worklist to a training that is judged: the table, and the order that goes with it.

What live attention has learnt was judged by nobody. What is saved of it is therefore the bundle of an ordinary training
on the same boxes, by patient, with its report.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import save_file

from ..annotations.boxed import BoxedCase
from ..core import BreastAIError, Progress, silent
from ..core.words import counted
from ..files import taking_place, write_whole
from ..models import RECIPES
from ..models.bundle import Bundle
from ..places import FOLDER, place, study_name
from ..study import scan
from .errors import TrainingError
from .lessons import lesions
from .order import Order, free_folder
from .recipe import Recipe, read_recipe, recipe_names
from .table import BOXES

LEAST = 4
"""Patients of each class: with fewer, no fold has patients of both classes to learn from, to choose the epoch by and to
be judged on."""

FEW = 8
"""With fewer of a class, a third of the training patients chooses the epoch: a fifth of them would be nobody."""

TABLE = "boxed-cases"


@dataclass(frozen=True)
class BoxedRow:
    """A case as a line of the table. `classes` are those of its lesions' boxes."""

    case_id: str
    patient_id: str
    path: Path
    classes: frozenset[str]


@dataclass(frozen=True)
class BoxedCohort:
    """The boxed cases as a training would take them.

    Attributes:
        rows: in the order of the worklist.
        boxes: how many boxes of lesions there are.
        patients: class to how many patients, in the order of the question.
        notes: what a person must know of it, in sentences.
    """

    rows: tuple[BoxedRow, ...]
    boxes: int
    patients: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def why_not(self) -> str:
        """Why no judged training can be made of it, in a sentence; "" where it can."""
        have = ", ".join(f"{label} {count}" for label, count in self.patients.items()) or "none"
        if len(self.patients) < 2:
            return (
                "A training that is judged needs lesions of two classes, to tell apart; your boxes in the worklist have "
                f"{'one' if self.patients else 'none'} ({have})."
            )
        if min(self.patients.values()) < LEAST:
            return (
                f"There are too few patients to train and to judge by patient: at least {LEAST} of each class are "
                f"needed, and your boxes in the worklist are of {have}."
            )
        return ""


def boxed_cohort(cases: Sequence[BoxedCase], bundle: Bundle, progress: Progress = silent) -> BoxedCohort:
    """Find out whose the boxed cases are, and which classes there are to tell apart.

    Patients are those of the worklist's column `patient_id`, else those of the files' headers, as hashes: the table
    names nobody. The classes are the model's own where its boxes have two of them, else all of the boxes.

    Args:
        cases: of one reader.
        bundle: the model that they have taught.
        progress: told the number of cases that are done; may cancel.
    """
    rows: list[BoxedRow] = []
    notes: list[str] = []
    boxes, unnamed = 0, 0
    for done, case in enumerate(cases):
        progress(done, len(cases), "Looking for patients")
        marked = lesions(case.record.boxes)
        if not marked:
            continue
        boxes += len(marked)
        folder = (case.path if case.path.is_dir() else case.path.parent) / FOLDER
        if case.record.path.parent.resolve() != folder.resolve():
            notes.append(
                f"Case “{case.case_id}” is left out: its boxes are not kept beside it, where a training looks for them."
            )
            continue
        patient = case.patient_id or _patient(case, progress)
        unnamed += not patient
        classes = frozenset(box.label for box in marked)
        rows.append(BoxedRow(case.case_id, patient or f"case-{case.case_id}", case.path, classes))
    progress(len(cases), len(cases), "Looking for patients")
    if unnamed:
        notes.append(
            f"{counted(unnamed, 'case tells', 'cases tell')} no patient, and each counts as a patient of its own. Give "
            "the worklist a column patient_id where one patient has several cases."
        )
    who: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for label in row.classes:
            who[label].add(row.patient_id)
    asked = [[label for label in group.labels if label in who] for group in bundle.spec.groups]
    labels = next((known for known in asked if len(known) > 1), sorted(who))
    return BoxedCohort(tuple(rows), boxes, {label: len(who[label]) for label in labels}, tuple(notes))


def _patient(case: BoxedCase, progress: Progress) -> str:
    """A hash of the PatientID in the headers of the case, or ""."""

    def step(done: int, total: int, what: str) -> None:
        progress(0, 0, "Looking for patients")

    try:
        index = scan(case.path, step)
    except BreastAIError:
        return ""
    sources = [frame.source for group in index.groups for frame in group.frames]
    told = {one.patient_id for one in sources if one.study_uid == case.record.study_uid} - {""}
    return f"patient-{study_name(told.pop())[:12]}" if len(told) == 1 else ""


def order_for(cohort: BoxedCohort, bundle: Bundle, folder: Path, reader: str) -> Order:
    """Write the table, and the backbone of the model to begin with, and say what is to be trained.

    The recipe is the attention's on the same backbone, with the image that the model sees.

    Args:
        cohort: which can be trained on, see `why_not`.
        bundle: the model that was taught.
        folder: of the worklist.
        reader: whose boxes.

    Raises:
        TrainingError: nothing can be written, or there is no recipe for this backbone.
    """
    if cohort.why_not:
        raise TrainingError(cohort.why_not)
    name = _recipe_for(bundle)
    table = _free(place(folder, f"{TABLE}.csv"))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("case_id", "patient_id", "path"))
    writer.writerows((row.case_id, row.patient_id, row.path.resolve()) for row in cohort.rows)
    try:
        write_whole(table, text.getvalue())
        weights = _write_backbone(bundle, name, table.with_name(f"{table.stem}-backbone.safetensors"))
    except OSError as error:
        raise TrainingError(f"The table {table} cannot be written ({error.strerror or error}).") from error
    preparation, source = bundle.spec.preparation, bundle.spec.preparation.source
    changes = [
        f"preparation.source.kind={source.kind}",
        f"preparation.source.rule={source.rule}",
        f"preparation.source.value={source.value:g}",
        f"preparation.size=[{preparation.size[0]},{preparation.size[1]}]",
        f"preparation.view={preparation.view}",
        f"layer={bundle.spec.backbone.layer}",
    ]
    if min(cohort.patients.values()) < FEW:
        changes.append("fit.choose_on=0.34")
    return Order(
        str(table),
        (f"{BOXES}={','.join(cohort.patients)}",),
        name,
        tuple(changes),
        str(weights or ""),
        reader,
        str(free_folder(table)),
    )


def _recipe_for(bundle: Bundle) -> str:
    """The recipe that teaches an attention on frozen maps of the same backbone."""
    names = sorted(recipe_names(), key=lambda name: name != bundle.spec.recipe)
    for name in names:
        recipe = read_recipe(name)
        if (
            isinstance(recipe, Recipe)
            and recipe.pooling == "attention"
            and recipe.fit.method == "sgd"
            and RECIPES[recipe.model].backbone.name == bundle.spec.backbone.name
        ):
            return name
    raise TrainingError(
        f"There is no recipe that teaches an attention on the backbone {bundle.spec.backbone.name}. Choose one in the "
        "Train dock."
    )


def _write_backbone(bundle: Bundle, name: str, path: Path) -> Path | None:
    """The model's backbone as a file of weights; None where a training cannot, or must not, begin with it."""
    recipe = read_recipe(name)
    assert isinstance(recipe, Recipe)
    mode, usual = bundle.spec.preparation.mode, RECIPES[recipe.model].preparation.mode
    if mode not in (usual, "caffe") or bundle.spec.recipe.endswith("-finetune"):
        # A backbone that was tuned may have seen the patients who are to judge.
        return None
    told = {"format": "pt"} | ({"preprocessing": "BGR, 0..255"} if mode == "caffe" else {})
    state = {
        key: tensor.detach().cpu().contiguous() for key, tensor in bundle.model.backbone.state_dict().items()
    }
    with taking_place(path) as part:
        save_file(state, part, metadata=told)
    return path


def _free(path: Path) -> Path:
    """The path, or the next number of it that does not exist."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found
