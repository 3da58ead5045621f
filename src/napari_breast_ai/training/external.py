"""Judging a finished bundle on a cohort that it was not made from."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from .. import __version__
from ..core import Progress, silent
from ..models import probabilities
from ..models.bundle import Bundle
from .errors import TrainingError
from .features import extract
from .gather import examples_from
from .judge import figures, judged_slices, per_patient
from .localisation import pointing_game
from .table import Cohort, Question, ask
from .train import SCHEMA, VERSION


def evaluate_bundle(
    bundle: Bundle, cohort: Cohort, *, reader: str | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """What evaluation.json holds for a bundle on a cohort; every case is of the part "test".

    The label columns are those that the bundle was trained on, or columns of its groups' names. Operating points are
    the bundle's own.

    Raises:
        TrainingError: a column is not there, or no case can be used.
    """
    told = bundle.evaluation.get("labels")
    columns = {one["group"]: one["column"] for one in told} if isinstance(told, list) else {}
    questions: list[Question] = []
    for group in bundle.spec.groups:
        wanted = str(columns.get(group.name, group.name))
        binary = group.activation == "sigmoid"
        (question,) = ask(cohort, [wanted if binary else f"{wanted}={','.join(group.labels)}"])
        questions.append(Question(question.column, group))
    problems = [str(problem) for problem in cohort.problems if problem.fatal]
    if problems:
        raise TrainingError(f"{cohort.source.name} cannot be used. " + " ".join(problems[:5]))
    examples, found = examples_from(
        cohort, questions, bundle.spec.preparation, reader=reader, progress=progress
    )
    keep = "maps" if bundle.spec.pooling.kind == "attention" else "vectors"
    features = extract(bundle.model, examples.images, keep=keep, progress=progress)  # type: ignore[arg-type]
    with torch.no_grad():
        output = bundle.model.from_features(features)
    scores = {k: v.numpy() for k, v in probabilities(output.logits, bundle.spec.groups).items()}
    slices = judged_slices(examples, scores, 1, 1, "test")
    patients = per_patient(slices, bundle.spec.groups, bundle.spec.aggregation)
    points = bundle.evaluation.get("operating_points")
    points = points if isinstance(points, dict) else {}
    thresholds = {label: float(point["threshold"]) for label, point in points.items()}
    attention = None
    if output.attention is not None and any(examples.lesion_boxes):
        game = pointing_game(output.attention.numpy(), examples.lesion_boxes, examples.image_shape)
        attention = {
            "peak inside true box": game.hits.to_json() | {"chance": game.chance},
            "largest cell touches true box": game.cells.to_json() | {"chance": game.chance_cells},
        }
    warnings = [str(problem) for problem in found]
    if bundle.evaluation.get("made", {}).get("table_sha256") == cohort.sha256:
        warnings.append(
            "The model was made from this very table: these figures say nothing about new patients."
        )
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "data": f"{len(examples)} slices of {len(set(examples.patients))} patients of the table {cohort.source.name}.",
        "labels": [
            {
                "group": q.group.name,
                "column": q.column,
                "labels": list(q.group.labels),
                "activation": q.group.activation,
            }
            for q in questions
        ],
        "protocol": {"kind": "external"},
        "recipe": bundle.evaluation.get("recipe"),
        "predictions": [one.to_json() for one in slices],
        "patients": [one.to_json() for one in patients],
        "figures": {
            "test": {
                k: v.to_json() for k, v in figures(slices, patients, bundle.spec.groups, thresholds).items()
            }
        },
        "runs": [],
        "operating_points": points,
        "attention": attention,
        "warnings": warnings,
        "made": {
            "napari-breast-ai": __version__,
            "torch": torch.__version__,
            "table_sha256": cohort.sha256,
            "model": bundle.ref.name,
            "model_sha256": bundle.ref.sha256,
            "images_sha256": hashlib.sha256(examples.images.tobytes()).hexdigest(),
        },
    }
