"""The whole way: cohort table, division, features, rounds, judgement, final model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from ..core import Progress, silent
from ..inference import FeatureCache
from .beyond import calibration, said_synthetic, training_ranges
from .errors import TrainingError
from .examples import Examples
from .gallery import failure_pictures
from .ground import Features, Frozen
from .judge import per_patient, told_labels
from .judgement import judgement, looked_at
from .known import trained_on
from .ready import Ready, make_ready, weights_hash
from .recipe import Recipe
from .rounds import Farm, Result, Rounds, course, judged
from .runfolder import RunFolder, circumstances
from .table import Cohort, Question
from .table_recipe import TableRecipe
from .table_run import train_table
from .table_train import NO_WEIGHTS
from .watching import Control, Watch, unwatched
from .written import SCHEMA, VERSION, Trained, write_training

__all__ = ["SCHEMA", "VERSION", "Features", "Trained", "train", "write_training"]


def train(
    cohort: Cohort,
    questions: Sequence[Question],
    recipe: Recipe | TableRecipe,
    weights: str | Path | None,
    *,
    reader: str | None = None,
    leave_out: bool = False,
    cache: FeatureCache | None = None,
    folder: RunFolder | None = None,
    farm: Farm | None = None,
    progress: Progress = silent,
    watch: Watch = unwatched,
    control: Control | None = None,
) -> Trained:
    """Train and judge by the recipe's protocol; the same input and seed give the same numbers on one machine.

    Args:
        cohort: the table.
        questions: its label columns, see `ask`.
        recipe: how.
        weights: ImageNet weights of the backbone: a file, a folder, "download" or "random"; None where the recipe
            has no backbone.
        reader: whose boxes.
        leave_out: leave out cases that cannot be read, or whose boxes lie outside the image.
        cache: of features; None computes all.
        folder: keeps what is done, and is open (`RunFolder.open`); rounds that it holds are not done again.
        farm: where the rounds run; None runs them here, one after the other. A recipe of kind "table" fits in moments:
            its rounds are neither kept in the folder nor sent anywhere.
        progress: told after every case, batch and round.
        watch: told of everything that happens while fitting, see `watching`.
        control: pauses and cancels.

    Raises:
        TrainingError: something is wrong with table, labels or images; all of it is said before anything is fitted.
        LeakError: a patient, or an image, would be on two sides.
        Cancelled: through the control, or from inside the progress.
    """
    begin = time.time()
    control = control or Control()
    progress = control.steer(progress)
    if isinstance(recipe, TableRecipe):
        return train_table(
            cohort,
            questions,
            recipe,
            weights,
            reader=reader,
            leave_out=leave_out,
            cache=cache,
            progress=progress,
            watch=watch,
        )
    if weights is None:
        raise TrainingError(NO_WEIGHTS)
    ready = make_ready(
        cohort,
        questions,
        recipe,
        weights,
        reader=reader,
        leave_out=leave_out,
        cache=cache,
        folder=folder,
        progress=progress,
    )
    told = (*ready.told, *(folder.notes if folder is not None else ()))
    data = _data(cohort, ready.ground.examples, recipe) + said_synthetic(cohort, ready.ground.examples)
    rounds = Rounds(
        ready.ground,
        ready.plan.everything,
        keeper=folder,
        farm=farm,
        watch=watch,
        control=control,
        progress=progress,
    )
    results = rounds.run(data, told)
    made = circumstances() | {
        "table_sha256": cohort.sha256,
        "backbone_sha256": ready.backbone_sha256,
        "weights": weights_hash(ready.spec.backbone.name, weights),
        "seed": recipe.seed,
    }
    log = made | {
        "rounds": [
            {"repeat": one.repeat, "fold": one.fold, "part": one.part, "seconds": round(result.seconds, 1)}
            | result.note
            for one, result in zip(ready.plan.everything, results, strict=True)
        ],
        "seconds": round(time.time() - begin, 1),
        "cache_hits": cache.hits if cache else 0,
    }
    return conclude(ready, questions, recipe, results, data, told, made, log)


def conclude(
    ready: Ready,
    questions: Sequence[Question],
    recipe: Recipe,
    results: Sequence[Result],
    data: str,
    told: Sequence[str],
    made: dict[str, Any],
    log: dict[str, Any],
) -> Trained:
    """Judge what the rounds said, and put everything together.

    Args:
        ready: what fitting began with.
        questions: of the model.
        recipe: how it was fitted.
        results: of all rounds of the plan.
        data: a sentence on the cases.
        told: warnings.
        made: with what it was computed, and "table_sha256".
        log: what run.json holds.
    """
    examples, rounds, spec = ready.ground.examples, ready.plan.rounds, ready.spec
    maps = [result.attention for result in results[:-1]]
    slices = tuple(
        row for one, result in zip(rounds, results[:-1], strict=True) for row in judged(examples, one, result)
    )
    patients = tuple(per_patient(slices, spec.groups, spec.aggregation))
    evaluation = {
        "schema": SCHEMA,
        "version": VERSION,
        "data": data,
        "labels": told_labels(questions, slices),
        "protocol": asdict(recipe.protocol) | {"seed": recipe.seed},
        "recipe": recipe.to_json(),
        "input": asdict(spec.preparation),
        **judgement(slices, patients, spec.groups),
        "attention": looked_at(examples, rounds, maps),
        "course": course(rounds, results[:-1]),
        "calibration": calibration(patients, spec.groups).to_json(),
        "ranges": training_ranges(examples, ready.plan.final, _features(ready)).to_json(),
        "trained_on": trained_on(
            ready.plan, examples.cases, examples.patients, examples.contents, made["table_sha256"]
        ),
        "warnings": list(told),
        "made": made,
    }
    final = ready.ground.filled(results[-1].weights)
    evaluation["gallery"], pictures = failure_pictures(
        evaluation, examples, rounds, maps, final, ready.plan.final
    )
    folds = [
        result.weights
        for one, result in zip(rounds, results[:-1], strict=True)
        if one.part == "validation" and result.weights
    ]
    return Trained(final, evaluation, log, slices, patients, pictures, folds=folds)


def _features(ready: Ready) -> Tensor | None:
    """Of all slices, where they stay as they are while the model learns."""
    return ready.ground.features.plain if isinstance(ready.ground, Frozen) else None


def _data(cohort: Cohort, examples: Examples, recipe: Recipe) -> str:
    names = {
        "sequential": "the last patients, and cross-validation among the first ones",
        "column": "the patients that the table's split column names",
        "fractions": "patients drawn once for the test",
        "repeated": f"{recipe.protocol.repeats} × {recipe.protocol.folds}-fold cross-validation by patient",
    }
    how = names.get(recipe.protocol.kind, f"{recipe.protocol.folds}-fold cross-validation by patient")
    return (
        f"{len(examples)} slices of {len(set(examples.cases))} cases of {len(set(examples.patients))} patients of the "
        f"table {cohort.source.name}; judged on {how}."
    )
