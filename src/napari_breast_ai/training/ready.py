"""All that comes before fitting: the table checked, the cases read, the division made, the features there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..core import LabelGroup, Progress
from ..inference import FeatureCache, backbone_hash
from ..models import ModelSpec, build, for_weights
from ..models.weights import find_file
from .checks import check_plan, check_space, refuse
from .errors import TrainingError
from .examples import Examples
from .finetune import images_ground, refuse_bare_norms
from .gather import examples_from
from .ground import Features, Frozen, Ground
from .packing import digest
from .protocol import Plan, divide
from .recipe import Recipe
from .runfolder import OTHERWISE, RunFolder
from .table import Cohort, Problem, Question, check_labels, foremost
from .table_recipe import TableRecipe


@dataclass(frozen=True, eq=False)
class Ready:
    """What fitting begins with.

    Attributes:
        ground: slices and features.
        plan: who trains, who judges.
        spec: of the model.
        backbone_sha256: of the weights that the features were made with.
        told: sentences that a person should see.
    """

    ground: Ground
    plan: Plan
    spec: ModelSpec
    backbone_sha256: str
    told: tuple[str, ...]


def asked(
    cohort: Cohort,
    questions: Sequence[Question],
    recipe: Recipe | TableRecipe,
    weights: str | Path | None,
    reader: str | None,
    leave_out: bool,
) -> dict[str, Any]:
    """All that decides what comes out, as JSON values: two runs of the same are one.

    Raises:
        ModelError: there are no such weights.
    """
    backbone = recipe.backbone() if isinstance(recipe, TableRecipe) else recipe.spec(_groups(questions))
    return {
        "table sha256": cohort.sha256,
        "labels": [f"{q.column}={','.join(q.group.labels)}" for q in questions],
        "recipe": recipe.to_json(),
        "weights": None if weights is None else weights_hash(backbone.backbone.name, weights),
        "reader": reader,
        "leave out": leave_out,
    }


def make_ready(
    cohort: Cohort,
    questions: Sequence[Question],
    recipe: Recipe,
    weights: str | Path,
    *,
    reader: str | None,
    leave_out: bool,
    cache: FeatureCache | None,
    folder: RunFolder | None,
    progress: Progress,
) -> Ready:
    """See `train`. What costs a moment comes first: everything that can be wrong is said before features are made.

    Raises:
        TrainingError, LeakError: as `train`.
    """
    spec = for_weights(recipe.spec(_groups(questions)), weights)
    folds = recipe.protocol.least_patients
    problems = [*cohort.problems, *check_labels(cohort, questions, folds)]
    problems = refuse(cohort, problems, leave_out)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = build(spec, weights)
    if recipe.fit.method == "finetune":
        refuse_bare_norms(model, recipe)
    examples, found = examples_from(cohort, questions, spec.preparation, reader=reader, progress=progress)
    said = {problem.line for problem in problems if problem.of_case}
    problems += refuse(cohort, [problem for problem in found if problem.line not in said], leave_out)
    plan = _divide(cohort, questions, recipe, examples)
    problems += refuse(cohort, check_plan(plan, examples, questions, recipe), leave_out)
    if folder is not None:
        if not folder.same("examples", _content(examples)):
            raise TrainingError(
                f"The images, boxes or labels are not those with which the run in {folder.out} began. {OTHERWISE}"
            )
        problems += check_space(folder.folder, cache, model, examples, plan, recipe)
    ground: Ground
    if recipe.fit.method == "finetune":
        ground = images_ground(model, examples, recipe, plan.choice, cache=cache, progress=progress)
    else:
        features = Features.of(model, examples, recipe, cache, progress)
        ground = Frozen(model, examples, features, recipe)
    if folder is not None and not folder.same("features", ground.digest()):
        folder.notes.append(
            "The features are not, to the last digit, those with which the run began: another version, machine or "
            "number of threads computed them. Results may differ from those of an undisturbed run."
        )
    if plan.choice and recipe.fit.method == "finetune":
        problems.append(
            Problem(
                0, "The validation part chose the epoch, so its figures look better than they are.", False
            )
        )
    told = tuple(dict.fromkeys(map(str, problems)))
    return Ready(ground, plan, ground.spec, backbone_hash(model), told)


def weights_hash(backbone: str, weights: str | Path) -> str:
    """The file of the backbone's weights and its SHA-256.

    Raises:
        ModelError: there is none.
    """
    if weights in ("random", "download"):
        return str(weights)
    file = find_file(backbone, Path(weights))
    return f"{file.name} sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}"


def strata_of(
    groups: Sequence[LabelGroup], patients: Sequence[str], labels: Mapping[str, Sequence[str]]
) -> list[tuple[str, ...]]:
    """Per example, the class of its patient in each group, by which the folds are dealt out evenly."""
    strata = []
    for group in groups:
        told: dict[str, set[str]] = {}
        for patient, answer in zip(patients, labels[group.name], strict=True):
            told.setdefault(patient, set()).update([answer] if answer else [])
        of = {patient: foremost(group, own) if own else "" for patient, own in told.items()}
        strata.append([of[patient] for patient in patients])
    return list(zip(*strata, strict=True))


def _groups(questions: Sequence[Question]) -> tuple[LabelGroup, ...]:
    return tuple(question.group for question in questions)


def _divide(cohort: Cohort, questions: Sequence[Question], recipe: Recipe, examples: Examples) -> Plan:
    split = {row.case_id: row.columns.get("split", "") for row in cohort.rows}
    return divide(
        recipe.protocol,
        examples.patients,
        strata_of(_groups(questions), examples.patients, examples.labels),
        recipe.seed,
        contents=[hashlib.sha256(image.tobytes()).hexdigest() for image in examples.images],
        column=[split[case] for case in examples.cases],
    )


def _content(examples: Examples) -> str:
    boxes = [[(b.y0, b.x0, b.y1, b.x1, b.label) for b in own] for own in examples.boxes]
    told = (examples.patients, examples.cases, examples.slices, sorted(examples.labels.items()), boxes)
    return digest(examples.images, repr(told))
