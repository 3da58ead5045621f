"""Commands about making models: check a cohort, train, judge a bundle on a cohort, show the recipes."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from ..core import Progress
from .common import CommandError, Commands, output_folder, write_text
from .console import RESEARCH_USE


def register(commands: Commands) -> None:
    """Add `cohort`, `recipe`, `train` and `evaluate`."""
    cohort = commands.add("cohort", _cohort, "say what is wrong with a table of cases, line by line")
    cohort.add_argument("action", choices=("check",))
    cohort.add_argument("table", type=Path, help="a CSV with case_id, patient_id, path and label columns")
    _add_labels(cohort, required=False)
    cohort.add_argument("--folds", type=int, default=0, metavar="K", help="folds that each class must fill")
    cohort.add_argument("--read", action="store_true", help="open every case: images, equal contents, boxes")

    recipe = commands.add(
        "recipe", _recipe, "print a training recipe, to be copied and changed; or list them"
    )
    recipe.add_argument("name", nargs="?")

    train = commands.add("train", _train, "train and judge a model on a table of cases")
    train.add_argument("table", type=Path)
    _add_labels(train, required=True)
    train.add_argument("--recipe", required=True, help="a recipe's name (see `recipe`) or file")
    train.add_argument(
        "--weights", required=True, help="the backbone's ImageNet weights: a file, a folder, or download"
    )
    train.add_argument("--protocol", choices=("sequential", "kfold", "repeated", "column"))
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the recipe, such as fit.lr=0.01",
    )
    train.add_argument("--out", type=Path, required=True, metavar="DIR")
    train.add_argument("--cache", type=Path, metavar="DIR", help="folder for features (default: the user's)")
    train.add_argument("--threads", type=int, metavar="N", help="processor cores to use")

    judge = commands.add("evaluate", _evaluate, "judge a model on a table of cases that it was not made from")
    judge.add_argument("bundle")
    judge.add_argument("table", type=Path)
    judge.add_argument("--out", type=Path, required=True, metavar="DIR")
    judge.add_argument("--reader", help="whose boxes, where several drew")


def _add_labels(sub: argparse.ArgumentParser, required: bool) -> None:
    sub.add_argument(
        "--label", "--labels", action="append", default=[], required=required, metavar="COLUMN[=A,B]",
        help="a label column; with =A,B these classes only, the first is the positive one. May be repeated",
    )  # fmt: skip
    sub.add_argument("--reader", help="whose boxes, where several drew")


def _cohort(arguments: argparse.Namespace, progress: Progress) -> None:
    """Print every problem of a table."""
    from ..training.gather import check_images
    from ..training.table import ask, check_labels, read_cohort

    cohort = read_cohort(arguments.table)
    problems = list(cohort.problems)
    if arguments.label:
        problems += check_labels(cohort, ask(cohort, arguments.label), arguments.folds)
    if arguments.read:
        problems += check_images(cohort, arguments.reader, progress)
    for problem in sorted(problems, key=lambda problem: problem.line):
        print(problem)
    patients = len({row.patient_id for row in cohort.rows})
    print(f"{len(cohort.rows)} cases of {patients} patients in {cohort.source.name}.")
    if fatal := sum(problem.fatal for problem in problems):
        raise CommandError(f"{fatal} problem(s) must be put right before anything is trained.")


def _recipe(arguments: argparse.Namespace, progress: Progress) -> None:
    """Print a recipe, or the names of all."""
    from ..training.recipe import recipe_names, recipe_text

    print(recipe_text(arguments.name) if arguments.name else "\n".join(recipe_names()))


def _train(arguments: argparse.Namespace, progress: Progress) -> None:
    """Train, judge and write."""
    import torch

    from ..training.features import FeatureCache
    from ..training.recipe import read_recipe
    from ..training.table import ask, read_cohort
    from ..training.train import train, write_training

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    changes = list(arguments.set)
    if arguments.protocol:
        changes.append(f"protocol.kind={arguments.protocol}")
    recipe = read_recipe(arguments.recipe, changes)
    cohort = read_cohort(arguments.table)
    questions = ask(cohort, arguments.label)
    out = output_folder(arguments.out)
    trained = train(
        cohort,
        questions,
        recipe,
        arguments.weights,
        reader=arguments.reader,
        cache=FeatureCache(arguments.cache),
        progress=progress,
    )
    written = write_training(out, trained, _command(arguments))
    _say(trained.evaluation)
    print(f"Wrote {', '.join(path.name for path in written)} to {out}.")


def _evaluate(arguments: argparse.Namespace, progress: Progress) -> None:
    """Judge a bundle."""
    from ..models import load_bundle
    from ..training.external import evaluate_bundle
    from ..training.table import read_cohort

    bundle = load_bundle(arguments.bundle)
    cohort = read_cohort(arguments.table)
    out = output_folder(arguments.out)
    evaluation = evaluate_bundle(bundle, cohort, reader=arguments.reader, progress=progress)
    write_text(out / "evaluation.json", json.dumps(evaluation, indent=1) + "\n")
    _say(evaluation)
    print(f"Wrote evaluation.json to {out}.")


def _command(arguments: argparse.Namespace) -> str:
    """The command with which a person makes it again, by names of files: a bundle tells nobody's folders."""
    words = ["napari-breast-ai", "train", arguments.table.name]
    for label in arguments.label:
        words += ["--label", label]
    words += ["--recipe", Path(arguments.recipe).name, "--weights", Path(arguments.weights).name]
    if arguments.protocol:
        words += ["--protocol", arguments.protocol]
    for change in arguments.set:
        words += ["--set", change]
    return shlex.join([*words, "--out", "DIR"])


def _say(evaluation: dict[str, Any]) -> None:
    """The figures, and what a person must know beside them."""
    print(evaluation["data"])
    for part, found in evaluation["figures"].items():
        for name, one in found.items():
            print(
                f"  {part}, {name}: {one['value']:.3f} ({one['low']:.3f}-{one['high']:.3f}), n = {one['n']}"
            )
    for name, one in evaluation.get("across_runs", {}).items():
        print(f"  {name}, mean (SD) of {one['n']} fits: {one['mean']:.3f} ({one['sd']:.3f})")
    for warning in evaluation["warnings"]:
        print(f"  {warning}", file=sys.stderr)
    print(RESEARCH_USE)
