"""Training of models of table rows: the same table, division, judgement and bundle as for networks.

For every round a chain is chosen and fitted inside its training patients (`chains.fit_chain`), and judged on the
others: cross-validation inside cross-validation. Nothing of the others is looked at before.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core import LabelGroup, Progress, silent
from ..models import AggregationSpec, Composition, build, for_weights
from ..models.table import Cases, TableModel, classes_of, encode, number, unknown_categories
from ..models.table_spec import Block, Column, Member, TableSpec
from .errors import TrainingError
from .judge import Judged, aucs, averaged, per_patient
from .protocol import Plan, Round, divide
from .ready import strata_of
from .table import Cohort, Question
from .table_data import Rows, Wanted, described
from .table_recipe import TableRecipe, check_columns
from .watching import RoundDone, RoundStarted, Watch, unwatched

NO_WEIGHTS = (
    "The recipe needs the backbone's ImageNet weights. Say where they are with --weights: a file, a folder, "
    "or download."
)
MOST_CATEGORIES = 12
"""A column of texts may have so many, or one for each four cases."""


@dataclass(frozen=True, eq=False)
class TableRun:
    """All rounds and the final model.

    Attributes:
        model: the final one.
        deep: the model whose backbone gives its vectors, or None.
        slices: held-out predictions, one a case.
        patients: the same per patient.
        notes: of each round, and of the final fit.
        warnings: sentences for a person.
    """

    model: TableModel
    deep: Composition | None
    slices: tuple[Judged, ...]
    patients: tuple[Judged, ...]
    notes: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]


def wanted_of(recipe: TableRecipe, deep: Composition | None) -> Wanted:
    """What a recipe's rows are made of."""
    image = recipe.image() if deep is None else deep.spec.preparation
    clinical = recipe.clinical.columns if "clinical" in recipe.blocks else ()
    return Wanted(recipe.blocks, image, recipe.radiomics, clinical, deep)


def check_recipe(cohort: Cohort, questions: Sequence[Question], recipe: TableRecipe, weights: object) -> None:
    """Say what is missing before any case is read.

    Raises:
        TrainingError: scikit-learn, the clinical columns or the weights.
        InferenceError: mirp.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise TrainingError(
            "Radiomics and clinical models need scikit-learn, which is not installed. Install it with: "
            'pip install "napari-breast-ai[radiomics]"'
        ) from error
    check_columns(cohort, questions, recipe)
    if "radiomics" in recipe.blocks:
        described(wanted_of(recipe, None))
    if "deep" in recipe.blocks and weights is None:
        raise TrainingError(NO_WEIGHTS)


def build_deep(recipe: TableRecipe, weights: str | Path | None) -> Composition | None:
    """The model whose backbone gives vectors; None where the recipe looks at none."""
    if "deep" not in recipe.blocks or weights is None:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return build(for_weights(recipe.backbone(), weights), weights)


def plan_of(rows: Rows, groups: Sequence[LabelGroup], cohort: Cohort, recipe: TableRecipe) -> Plan:
    """Who trains, who judges.

    Raises:
        TrainingError, LeakError: as `divide`.
    """
    split = {row.case_id: row.columns.get("split", "") for row in cohort.rows}
    return divide(
        recipe.protocol,
        rows.patients,
        strata_of(groups, rows.patients, rows.labels),
        recipe.seed,
        contents=rows.contents,
        column=[split[case] for case in rows.ids],
    )


def run_rounds(
    rows: Rows,
    groups: Sequence[LabelGroup],
    plan: Plan,
    recipe: TableRecipe,
    deep: Composition | None,
    progress: Progress = silent,
    watch: Watch = unwatched,
) -> TableRun:
    """Fit and judge every round, then fit the final model.

    Raises:
        TrainingError: a part of the patients has too few of a class.
    """
    slices: list[Judged] = []
    notes: list[dict[str, Any]] = []
    total = len(plan.rounds) + 1
    begin = time.monotonic()

    def started(number: int, one: Round) -> None:
        patients = len({rows.patients[i] for i in one.train})
        watch(RoundStarted(number, total, one.repeat, one.fold, one.part, patients, len(one.train)))

    def over(number: int, one: Round) -> None:
        same = [row for row in slices if row.part == one.part]
        own = [row for row in same if (row.repeat, row.fold) == (one.repeat, one.fold)]
        now, so_far = (
            aucs(some, per_patient(some, groups, AggregationSpec()), groups) for some in (own, averaged(same))
        )
        left = (time.monotonic() - begin) / number * (total - number)
        watch(
            RoundDone(
                number,
                total,
                one.repeat,
                one.fold,
                one.part,
                number,
                now,
                so_far,
                seconds_left=left,
            )
        )

    for done, one in enumerate(plan.rounds, 1):
        started(done, one)
        model, note = fit_table(rows, groups, one.train, recipe, deep)
        scores = model.probabilities(rows.cases.subset(one.judged))
        slices += [
            Judged(
                rows.ids[i],
                rows.patients[i],
                rows.slices[i],
                one.repeat,
                one.fold,
                one.part,
                {label: float(values[n]) for label, values in scores.items()},
                {name: told[i] for name, told in rows.labels.items() if told[i]},
            )
            for n, i in enumerate(one.judged)
        ]
        notes.append({"repeat": one.repeat, "fold": one.fold, "part": one.part} | note)
        over(done, one)
        progress(done, total, "fitting")
    last = plan.everything[-1]
    started(total, last)
    final, note = fit_table(rows, groups, plan.final, recipe, deep)
    notes.append({"part": "final"} | note)
    over(total, last)
    progress(total, total, "fitting")
    warnings = unknown_categories(final.spec.columns, rows.cases) + rows.regions
    patients = tuple(per_patient(slices, groups, final.spec.aggregation))
    return TableRun(final, deep, tuple(slices), patients, tuple(notes), warnings)


def fit_table(
    rows: Rows,
    groups: Sequence[LabelGroup],
    train: Sequence[int],
    recipe: TableRecipe,
    deep: Composition | None,
) -> tuple[TableModel, dict[str, Any]]:
    """A model fitted on some of the rows; no other row has any influence on it.

    Raises:
        TrainingError: a class has too few patients among them.
    """
    from .chains import fit_chain

    part = rows.cases.subset(train)
    columns = columns_of(part, recipe)
    shares: list[tuple[Block, ...]] = (
        [(block,) for block in recipe.blocks] if recipe.combine == "late" else [recipe.blocks]
    )
    members: list[Member] = []
    arrays: dict[str, NDArray[Any]] = {}
    notes = []
    for group in groups:
        known = [n for n, i in enumerate(train) if rows.labels[group.name][i]]
        classes = [classes_of(group).index(rows.labels[group.name][train[n]]) for n in known]
        patients = [rows.patients[train[n]] for n in known]
        for blocks in shares:
            seen = [column for column in columns if column.block in blocks]
            inputs = encode(seen, part)[known]
            try:
                fitted = fit_chain(inputs, classes, patients, seen, recipe.fit, recipe.seed)
            except TrainingError as error:
                raise TrainingError(f"{group.name}: {error}") from error
            arrays |= {f"{len(members)}.{name}": values for name, values in fitted.arrays.items()}
            members.append(Member(group.name, blocks, recipe.fit.classifier))
            notes.append({"group": group.name, "blocks": list(blocks)} | fitted.note)
    wanted = wanted_of(recipe, deep)
    spec = TableSpec(
        name=recipe.name,
        recipe=recipe.name,
        preparation=wanted.preparation,
        radiomics=recipe.radiomics if "radiomics" in recipe.blocks else None,
        deep=None if deep is None else deep.spec,
        columns=columns,
        members=tuple(members),
        groups=tuple(groups),
    )
    counts = {"training cases": len(train), "training patients": len({rows.patients[i] for i in train})}
    return TableModel(spec, arrays), counts | {"members": notes}


def columns_of(part: Cases, recipe: TableRecipe) -> tuple[Column, ...]:
    """The inputs, as the training rows have them: whether a clinical column is one of numbers, and its categories."""
    found: list[Column] = []
    for block in recipe.blocks:
        if block != "clinical":
            found += [Column(block, name) for name in part.names[block]]
            continue
        for name in recipe.clinical.columns:
            cells = [cell for cell in part.texts[name] if cell]
            numbers = all(not np.isnan(number(cell)) for cell in cells)
            if numbers and name not in recipe.clinical.categories:
                found.append(Column(block, name))
                continue
            categories = tuple(sorted(set(cells))) or ("",)
            if len(categories) > max(MOST_CATEGORIES, len(cells) // 4):
                odd = next((cell for cell in cells if np.isnan(number(cell))), cells[0])
                raise TrainingError(
                    f"The clinical column “{name}” has {len(categories)} different texts in {len(cells)} cases, such as "
                    f"“{odd}”: no category that anything could be learnt from. Leave it out, or write numbers and leave "
                    "cells empty where nothing is known."
                )
            found.append(Column(block, name, "category", categories))
    return tuple(found)
