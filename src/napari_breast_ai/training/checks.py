"""What would go wrong after hours, said before them: parts without a class, too few patients, no room on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ..inference import FeatureCache
from ..models import Composition
from .errors import RefusedError, TrainingError
from .examples import Examples
from .features import feature_bytes
from .gallery import MOST
from .protocol import Plan, Round
from .recipe import Recipe
from .splits import split_by_patient
from .table import Cohort, Problem, Question, classes_of, left_out

ROW_BYTES = 800
"""Of one judged slice in evaluation.json, its copy in the bundle and predictions.csv, beside its scores."""

OTHER_BYTES = 500_000
"""Of everything that does not grow with the slices, most of it the report's page."""

FAILURE_BYTES = 60_000
"""Of a failure's picture, once as a file and once in the report."""


def refuse(cohort: Cohort, problems: Sequence[Problem], leave_out: bool = False) -> list[Problem]:
    """What can be trained with all the same.

    Args:
        cohort: the table.
        problems: what was found.
        leave_out: leave out the cases of which that is enough.

    Raises:
        RefusedError: something must be put right first.
    """
    problems = left_out(problems, leave_out)
    fatal = [one for one in problems if one.fatal]
    if fatal:
        more = f" And {len(fatal) - 5} more; “cohort check --read” lists all." if len(fatal) > 5 else ""
        if all(one.of_case for one in fatal):
            more += (
                f" Put it right, or leave {_cases(len({one.line for one in fatal}))} out with --leave-out."
            )
        told = " ".join(map(str, fatal[:5]))
        raise RefusedError(f"{cohort.source.name} cannot be trained on. {told}{more}", problems)
    return list(problems)


def _cases(count: int) -> str:
    return "the case" if count == 1 else f"the {count} cases"


def check_plan(
    plan: Plan, examples: Examples, questions: Sequence[Question], recipe: Recipe
) -> list[Problem]:
    """Classes that a part lacks, now that it is known which cases can be used."""
    problems = []
    folds = recipe.protocol.least_patients
    for question in questions:
        told = examples.labels[question.group.name]
        for label in classes_of(question.group):
            shown = question.word(label)
            members = {examples.patients[i] for i in plan.final if told[i] == label}
            if len(members) < max(folds, 2):
                where = (
                    "among the patients that train"
                    if len(plan.final) < len(examples)
                    else "among the usable cases"
                )
                need = f"{folds} folds need at least {folds}" if folds > 2 else "two are needed at least"
                problems.append(
                    Problem(
                        0,
                        f"The class “{shown}” of {question.column} has {len(members)} patients {where}; {need}.",
                    )
                )
                continue
            for one in plan.rounds:
                if not any(told[i] == label for i in one.train):
                    text = f"{_named(one)} would have no slice of the class “{shown}” to learn from. Use fewer folds."
                    problems.append(Problem(0, text))
                elif one.part == "test" and not any(told[i] == label for i in one.judged):
                    text = f"The test part has no slice of the class “{shown}”: no AUC can be given for it."
                    problems.append(Problem(0, text, False))
    return problems + _check_choice(plan, examples, recipe)


def _check_choice(plan: Plan, examples: Examples, recipe: Recipe) -> list[Problem]:
    """Whether each round has patients to choose its epoch on, and of every class."""
    if recipe.fit.method not in ("sgd", "finetune") or plan.choice:
        return []
    for one in plan.everything:
        part = examples.subset(one.train)
        strata = list(zip(*part.labels.values(), strict=True))
        try:
            split = split_by_patient(
                part.patients, (1 - recipe.fit.choose_on, recipe.fit.choose_on, 0.0), recipe.seed, strata
            )
        except TrainingError as error:
            text = f"{_named(one)} has too few patients to keep some apart for choosing the epoch. {error}"
            return [Problem(0, text)]
        chosen = examples.subset([one.train[i] for i in split.validation])
        for name, told in chosen.labels.items():
            known = {label for label in told if label}
            if len(known) < min(2, len({label for label in part.labels[name] if label})):
                text = (
                    f"{_named(one)} keeps patients of one class of {name} apart for choosing the epoch: no AUC tells "
                    "one epoch from another there. Take more patients, or a larger fit.choose_on."
                )
                return [Problem(0, text, False)]
    return []


def _named(one: Round) -> str:
    if one.part == "final":
        return "The final fit"
    return f"Fold {one.fold} of repeat {one.repeat}"


def check_space(
    out: Path,
    cache: FeatureCache | None,
    model: Composition,
    examples: Examples,
    plan: Plan,
    recipe: Recipe,
) -> list[Problem]:
    """Whether there is room for what the run will write.

    Returns:
        A note where features cannot be kept; the run does not need that, so they are then not kept.

    Raises:
        TrainingError: the output folder has too little room.
    """
    tuned = recipe.fit.method == "finetune"
    maps = recipe.fit.method == "sgd" or (tuned and recipe.fit.tuning.start == "fitted")
    per_image = feature_bytes(model, examples.images, "maps" if maps else "vectors")
    features = per_image * len(examples) * (2 if recipe.flips else 1)
    if tuned and not maps:
        features = 0
    whole = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    backbone = sum(value.numel() * value.element_size() for value in model.backbone.state_dict().values())
    judged = sum(len(one.judged) for one in plan.rounds)
    row = ROW_BYTES + 60 * len(model.spec.labels)
    # Weights, momentum and best weights of a fit, old and new at once; the attention of each slice has a channel's size.
    learnt = whole if tuned else whole - backbone
    # Adam keeps two moments of each weight.
    needed = (
        OTHER_BYTES
        + whole
        + (8 if tuned else 6) * learnt
        + judged * (row + per_image // model.spec.backbone.channels)
        + FAILURE_BYTES * min(judged, MOST)
    )
    room = free_bytes(out)
    if room < needed:
        raise TrainingError(
            f"The run will write about {_size(needed)} to {out}, where {_size(room)} are free. Make room, or choose "
            "another folder with --out."
        )
    if cache is None:
        return []
    shared = needed if _device(cache.folder) == _device(out) else 0
    kept = min(features, cache.limit)
    room = free_bytes(cache.folder)
    if room >= kept + shared:
        return []
    cache.full = True
    text = (
        f"The features ({_size(kept)}) are not kept, since {cache.folder} has {_size(room)} free: an interrupted run "
        "computes them again. Make room there, or choose another folder with --cache."
    )
    return [Problem(0, text, False)]


def free_bytes(folder: Path) -> int:
    """Room for new files in a folder that may not exist yet."""
    return shutil.disk_usage(_there(folder)).free


def _device(folder: Path) -> int:
    return _there(folder).stat().st_dev


def _there(folder: Path) -> Path:
    folder = folder.absolute()
    return next(one for one in (folder, *folder.parents) if one.exists())


def _size(count: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count // 1000 + 1} kB"
