"""Judging a finished bundle on a cohort that it was not made from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..core import Progress, silent
from ..inference.table_prediction import other_library
from ..models import probabilities
from ..models.bundle import Bundle
from ..models.table import unknown_categories
from ..models.table_bundle import TableBundle
from ..models.table_spec import Block, RadiomicsSpec
from .errors import TrainingError
from .features import extract
from .gather import examples_from
from .judge import Judged, figures, judged_slices, per_patient, told_labels
from .known import Known, known_of
from .localisation import localised
from .table import Cohort, Problem, Question, ask, check_labels
from .table_data import Wanted, described, rows_from
from .table_run import told_rows
from .train import SCHEMA, VERSION


@dataclass(frozen=True)
class _Judgement:
    """What one kind of bundle says of a cohort."""

    data: str
    slices: list[Judged]
    known: Known
    problems: Sequence[Problem]
    images_sha256: str
    more: dict[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()


def evaluate_bundle(
    bundle: Bundle | TableBundle,
    cohort: Cohort,
    *,
    reader: str | None = None,
    known: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """What evaluation.json holds for a bundle on a cohort; every case is of the part "test".

    The label columns are those that the bundle was trained on, or columns of its groups' names. Operating points are
    the bundle's own.

    Args:
        bundle: of either kind.
        cohort: the table.
        reader: whose boxes.
        known: judge also patients that the model was trained on; else they are left out. Either is said.
        progress: told after every case and batch.

    Raises:
        TrainingError: a column is not there, no case can be used, or the model was trained on all of them.
        InferenceError: mirp is needed and not installed.
    """
    questions = questions_of(bundle, cohort)
    judge = _by_rows if isinstance(bundle, TableBundle) else _by_slices
    found = judge(bundle, cohort, questions, reader, known, progress)  # type: ignore[arg-type]
    groups = bundle.spec.groups
    patients = per_patient(found.slices, groups, bundle.spec.aggregation)
    points = bundle.evaluation.get("operating_points")
    points = points if isinstance(points, dict) else {}
    thresholds = {label: float(point["threshold"]) for label, point in points.items()}
    notes = [one for one in check_labels(cohort, questions) if not one.fatal]
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "data": found.data,
        "labels": told_labels(questions, found.slices),
        "protocol": {"kind": "external"},
        "recipe": bundle.evaluation.get("recipe"),
        "predictions": [one.to_json() for one in found.slices],
        "patients": [one.to_json() for one in patients],
        "figures": {
            "test": {k: v.to_json() for k, v in figures(found.slices, patients, groups, thresholds).items()}
        },
        "runs": [],
        "operating_points": points,
        "attention": None,
        **found.more,
        "known": found.known.to_json(known),
        "warnings": [
            *found.known.sentences(known),
            *(str(problem) for problem in (*notes, *found.problems)),
            *found.warnings,
        ],
        "made": {
            "napari-breast-ai": __version__,
            "numpy": np.__version__,
            "torch": torch.__version__,
            "table_sha256": cohort.sha256,
            "model": bundle.ref.name,
            "model_sha256": bundle.ref.sha256,
            "images_sha256": found.images_sha256,
        },
    }


def wanted_by(bundle: TableBundle) -> Wanted:
    """What a bundle's rows are made of."""
    spec = bundle.spec
    blocks: tuple[Block, ...] = tuple(dict.fromkeys(column.block for column in spec.columns))
    return Wanted(blocks, spec.preparation, spec.radiomics or RadiomicsSpec(), spec.clinical, bundle.deep)


def questions_of(bundle: Bundle | TableBundle, cohort: Cohort) -> list[Question]:
    """The bundle's label groups, asked of the table's columns: those that it was trained on, or of its groups' names.

    Raises:
        TrainingError: a column is not there, or the table cannot be used.
    """
    told = bundle.evaluation.get("labels")
    columns = {one["group"]: one["column"] for one in told} if isinstance(told, list) else {}
    questions: list[Question] = []
    for group in bundle.spec.groups:
        column = str(columns.get(group.name, group.name))
        binary = group.activation == "sigmoid"
        (question,) = ask(cohort, [column if binary else f"{column}={','.join(group.labels)}"])
        questions.append(replace(question, group=group))
    problems = [str(problem) for problem in cohort.problems if problem.fatal]
    if problems:
        raise TrainingError(f"{cohort.source.name} cannot be used. " + " ".join(problems[:5]))
    return questions


def _by_slices(
    bundle: Bundle,
    cohort: Cohort,
    questions: Sequence[Question],
    reader: str | None,
    keep_known: bool,
    progress: Progress,
) -> _Judgement:
    """A model of images."""
    examples, problems = examples_from(
        cohort, questions, bundle.spec.preparation, reader=reader, progress=progress
    )
    known = known_of(bundle.evaluation, examples.cases, examples.patients, examples.contents, cohort.sha256)
    if known.patients and not keep_known:
        known.refuse_all(cohort.source.name)
        examples = examples.subset(known.others(examples.patients))
    keep = "maps" if bundle.spec.pooling.kind == "attention" else "vectors"
    features = extract(bundle.model, examples.images, keep=keep, progress=progress)  # type: ignore[arg-type]
    with torch.no_grad():
        output = bundle.model.from_features(features)
    scores = {k: v.numpy() for k, v in probabilities(output.logits, bundle.spec.groups).items()}
    attention = None
    if output.attention is not None:
        maps = output.attention.numpy()
        attention = localised(maps, examples.lesion_boxes, examples.image_shape, examples.patients)
    return _Judgement(
        f"{len(examples)} slices of {len(set(examples.patients))} patients of the table {cohort.source.name}.",
        judged_slices(examples, scores, 1, 1, "test"),
        known,
        problems,
        hashlib.sha256(examples.images.tobytes()).hexdigest(),
        {"attention": attention},
    )


def _by_rows(
    bundle: TableBundle,
    cohort: Cohort,
    questions: Sequence[Question],
    reader: str | None,
    keep_known: bool,
    progress: Progress,
) -> _Judgement:
    """A model of table rows."""
    spec, wanted = bundle.spec, wanted_by(bundle)
    rows, problems = rows_from(cohort, questions, wanted, reader=reader, progress=progress)
    contents = dict(zip(rows.ids, rows.contents, strict=True))
    known = known_of(bundle.evaluation, rows.ids, rows.patients, contents, cohort.sha256)
    if known.patients and not keep_known:
        known.refuse_all(cohort.source.name)
        rows = rows.subset(known.others(rows.patients))
    scores = bundle.model.probabilities(rows.cases)
    slices = [
        Judged(
            rows.ids[i],
            rows.patients[i],
            rows.slices[i],
            1,
            1,
            "test",
            {label: float(values[i]) for label, values in scores.items()},
            {name: answers[i] for name, answers in rows.labels.items() if answers[i]},
        )
        for i in range(len(rows))
    ]
    return _Judgement(
        told_rows(cohort, rows, "all of them, by a finished model"),
        slices,
        known,
        problems,
        hashlib.sha256("".join(rows.contents).encode()).hexdigest(),
        described(wanted),
        [
            *unknown_categories(spec.columns, rows.cases),
            *rows.regions,
            *(other_library(bundle) if spec.radiomics is not None else []),
        ],
    )
