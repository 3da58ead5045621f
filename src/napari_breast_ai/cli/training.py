"""Commands about making models: check a cohort, judge a bundle on a cohort, show the recipes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..core import Progress
from .common import CommandError, Commands, output_folder, write_text
from .console import say_evaluation


def register(commands: Commands) -> None:
    """Add `cohort`, `recipe` and `evaluate`."""
    cohort = commands.add("cohort", _cohort, "say what is wrong with a table of cases, line by line")
    cohort.add_argument("action", choices=("check",))
    cohort.add_argument("table", type=Path, help="a CSV with case_id, patient_id, path and label columns")
    add_labels(cohort, required=False)
    cohort.add_argument("--folds", type=int, default=0, metavar="K", help="folds that each class must fill")
    cohort.add_argument("--read", action="store_true", help="open every case: images, equal contents, boxes")

    recipe = commands.add(
        "recipe", _recipe, "print a training recipe, to be copied and changed; or list them"
    )
    recipe.add_argument("name", nargs="?")

    judge = commands.add("evaluate", _evaluate, "judge a model on a table of cases that it was not made from")
    judge.add_argument("bundle")
    judge.add_argument("table", type=Path)
    judge.add_argument("--out", type=Path, required=True, metavar="DIR")
    judge.add_argument("--reader", help="whose boxes, where several drew")
    judge.add_argument(
        "--known", action="store_true", help="judge also patients that the model was trained on, and say so"
    )
    judge.add_argument(
        "--int8",
        action="store_true",
        help="measure instead what 8 bits cost the model, and write a bundle that has both to DIR/bundle",
    )


def add_labels(sub: argparse.ArgumentParser, required: bool) -> None:
    """Let a command be told the label columns, and whose boxes."""
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
    questions = ask(cohort, arguments.label) if arguments.label else ()
    problems += check_labels(cohort, questions, arguments.folds)
    if arguments.read:
        problems += check_images(cohort, arguments.reader, progress, questions)
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


def _evaluate(arguments: argparse.Namespace, progress: Progress) -> None:
    """Judge a bundle."""
    from ..models.table_bundle import load_any_bundle
    from ..training.external import evaluate_bundle
    from ..training.table import read_cohort

    bundle = load_any_bundle(arguments.bundle)
    cohort = read_cohort(arguments.table)
    out = output_folder(arguments.out)
    if (out / "run").exists() or (out / "bundle").exists():
        raise CommandError(
            f"{out} holds a training, whose evaluation would be written over. Choose another folder with --out."
        )
    if arguments.int8:
        _measure_int8(bundle, cohort, out / "bundle", arguments, progress)
        return
    evaluation = evaluate_bundle(
        bundle, cohort, reader=arguments.reader, known=arguments.known, progress=progress
    )
    write_text(out / "evaluation.json", json.dumps(evaluation, indent=1) + "\n")
    say_evaluation(evaluation)
    print(f"Wrote evaluation.json to {out}.")


def _measure_int8(
    bundle: Any, cohort: Any, folder: Path, arguments: argparse.Namespace, progress: Progress
) -> None:
    """Say what 8 bits cost a bundle."""
    from ..inference.quantised import MOST_LOSS
    from ..models.bundle import Bundle
    from ..training.fast import with_fast

    if not isinstance(bundle, Bundle):
        raise CommandError("This model has no backbone alone that could be made faster.")
    told, notes = with_fast(
        bundle, cohort, folder, reader=arguments.reader, known=arguments.known, progress=progress
    )
    for sentence in notes:
        print(sentence)
    for key, one in told["auc"].items():
        print(f"{key}: {one['float32']:.4f} in full precision, {one['int8']:.4f} in 8 bits")
    offered = "It is offered as fast" if told["auc_loss"] < MOST_LOSS else "It is not offered as fast"
    print(f"8 bits cost at most {max(told['auc_loss'], 0.0):.4f} of an AUC. {offered} (below {MOST_LOSS:g}).")
    print(f"Wrote the bundle {folder}.")
