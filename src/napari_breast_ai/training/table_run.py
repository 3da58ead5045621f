"""The whole way of a model of table rows: cohort table, rows, division, rounds, judgement."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from ..core import Progress, silent
from ..inference import FeatureCache, backbone_hash
from ..models.table_ranges import CaseRanges
from .beyond import calibration
from .checks import refuse
from .judge import told_labels
from .judgement import judgement
from .known import trained_on
from .protocol import ProtocolSpec
from .ready import weights_hash
from .runfolder import circumstances
from .table import Cohort, Question, check_labels
from .table_data import Rows, described, rows_from
from .table_recipe import TableRecipe
from .table_train import build_deep, check_recipe, plan_of, run_rounds, wanted_of
from .watching import RunDone, RunStarted, Watch, unwatched
from .written import SCHEMA, VERSION, Trained


def train_table(
    cohort: Cohort,
    questions: Sequence[Question],
    recipe: TableRecipe,
    weights: str | Path | None,
    *,
    reader: str | None = None,
    leave_out: bool = False,
    cache: FeatureCache | None = None,
    progress: Progress = silent,
    watch: Watch = unwatched,
) -> Trained:
    """Train and judge by the recipe's protocol; see `train`.

    Args:
        cohort: the table.
        questions: its label columns, see `ask`.
        recipe: how.
        weights: ImageNet weights of the backbone, where the recipe has one; else None.
        reader: whose boxes.
        leave_out: leave out cases that cannot be read, or whose boxes lie outside the image.
        cache: of features; None computes all.
        progress: told after every case, batch and round; may cancel.
        watch: told of every round.

    Raises:
        TrainingError: something is wrong with table, labels or images, or a package is missing; all of it is said
            before anything is fitted.
        LeakError: a patient, or an image, would be on two sides.
    """
    begin = time.time()
    check_recipe(cohort, questions, recipe, weights)
    problems = [*cohort.problems, *check_labels(cohort, questions, recipe.protocol.least_patients)]
    problems = refuse(cohort, problems, leave_out)
    deep = build_deep(recipe, weights)
    wanted = wanted_of(recipe, deep)
    rows, found = rows_from(cohort, questions, wanted, reader=reader, cache=cache, progress=progress)
    said = {problem.line for problem in problems if problem.of_case}
    problems += refuse(cohort, [problem for problem in found if problem.line not in said], leave_out)
    groups = tuple(question.group for question in questions)
    plan = plan_of(rows, groups, cohort, recipe)
    data = told_rows(cohort, rows, _judged_on(recipe.protocol))
    told = list(dict.fromkeys(map(str, problems)))
    watch(RunStarted(data, len(plan.everything), 0, 0, tuple(told)))
    fitting = time.monotonic()
    run = run_rounds(rows, groups, plan, recipe, deep, progress, watch)
    watch(RunDone(time.monotonic() - fitting))
    made = circumstances() | {
        "scikit-learn": version("scikit-learn"),
        "table_sha256": cohort.sha256,
        "seed": recipe.seed,
    }
    if deep is not None and weights is not None:
        made |= {
            "backbone_sha256": backbone_hash(deep),
            "weights": weights_hash(deep.spec.backbone.name, weights),
        }
    evaluation = {
        "schema": SCHEMA,
        "version": VERSION,
        "data": data,
        "labels": told_labels(questions, run.slices),
        "protocol": asdict(recipe.protocol) | {"seed": recipe.seed, "inner folds": recipe.fit.folds},
        "recipe": recipe.to_json(),
        "input": asdict(wanted.preparation),
        **judgement(run.slices, run.patients, groups),
        "attention": None,
        "calibration": calibration(run.patients, groups).to_json(),
        "case_ranges": CaseRanges.of(
            run.model, rows.cases.subset(plan.final), [rows.patients[i] for i in plan.final]
        ).to_json(),
        **described(wanted),
        "trained_on": trained_on(
            plan, rows.ids, rows.patients, dict(zip(rows.ids, rows.contents, strict=True)), cohort.sha256
        ),
        "inputs": run.model.influence(),
        "choices": list(run.notes),
        "warnings": [*told, *run.warnings],
        "made": made,
    }
    log = made | {
        "rounds": list(run.notes),
        "seconds": round(time.time() - begin, 1),
        "cache_hits": cache.hits if cache else 0,
    }
    return Trained(run.model, evaluation, log, run.slices, run.patients, deep=deep)


def _judged_on(protocol: ProtocolSpec) -> str:
    names = {
        "sequential": "the last patients, and cross-validation among the first ones",
        "column": "the patients that the table's split column names",
        "fractions": "patients drawn once for the test",
    }
    return names.get(protocol.kind, f"{protocol.folds}-fold cross-validation by patient")


def told_rows(cohort: Cohort, rows: Rows, judged_on: str) -> str:
    """What was judged, in a sentence."""
    return (
        f"{len(rows)} cases of {len(set(rows.patients))} patients of the table {cohort.source.name}; judged on "
        f"{judged_on}. A case is one row, so that what is said “per slice” is said per case."
    )
