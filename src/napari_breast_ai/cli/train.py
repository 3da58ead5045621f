"""`train`: fit and judge a model on a table of cases, or go on with a run that was stopped."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core import Cancelled, Progress
from ..core.progress import in_words
from .common import CommandError, Commands, output_folder
from .console import say_evaluation
from .training import add_labels
from .values import count

if TYPE_CHECKING:
    from ..training.order import Order
    from ..training.rounds import Farm
    from ..training.wire import Told

TOLD = ("table", "label", "recipe", "weights", "protocol", "set", "reader", "leave_out", "out", "anew")
"""What a run is told when it begins, and `--resume` does not change."""


def register(commands: Commands) -> None:
    """Add `train`."""
    train = commands.add("train", _train, "train and judge a model on a table of cases")
    train.add_argument("table", type=Path, nargs="?")
    add_labels(train, required=False)
    train.add_argument("--recipe", help="a recipe's name (see `recipe`) or file")
    train.add_argument(
        "--weights",
        help="the backbone's ImageNet weights: a file, a folder, or download; recipes without a backbone need none",
    )
    train.add_argument("--protocol", choices=("sequential", "kfold", "repeated", "column", "fractions"))
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the recipe, such as fit.lr=0.01",
    )
    train.add_argument(
        "--leave-out", action="store_true", help="leave out cases that cannot be used, and say which"
    )
    train.add_argument("--out", type=Path, metavar="DIR", help="where the result goes, and the run is kept")
    train.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in this folder")
    train.add_argument("--anew", action="store_true", help="remove what an earlier run in DIR has done")
    train.add_argument("--cache", type=Path, metavar="DIR", help="folder for features (default: the user's)")
    train.add_argument("--threads", type=count, metavar="N", help="processor cores to use")
    train.add_argument(
        "--scheduler", metavar="ADDRESS", help="run the rounds on the workers of this Dask scheduler"
    )
    train.add_argument("--jobs", type=count, metavar="N", help="run N rounds side by side on this machine")
    train.set_defaults(usage=train.error)


def _train(arguments: argparse.Namespace, progress: Progress) -> None:
    """Train, judge, write and report; or go on."""
    from ..training.ordered import train_order
    from ..training.recipe import read_recipe
    from ..training.table_recipe import TableRecipe

    order = _recalled(arguments) if arguments.resume is not None else _ordered(arguments)
    if arguments.scheduler and arguments.jobs:
        arguments.usage("--scheduler has its own workers; leave out --jobs")
    recipe = read_recipe(order.recipe, order.changes)
    if recipe.needs_weights and not order.weights:
        arguments.usage(
            f"the recipe {recipe.name} has a backbone: say with --weights where its ImageNet weights are"
        )
    output_folder(Path(order.out))
    watch = _ignore if arguments.quiet else say_event
    try:
        with _farm(arguments, isinstance(recipe, TableRecipe)) as farm:
            written = train_order(order, watch, None, progress, arguments.anew, farm)
    except (KeyboardInterrupt, Cancelled):
        print(f"\nThe same command, or train --resume {order.out}, goes on from here.", file=sys.stderr)
        raise
    say_evaluation(json.loads(Path(written.evaluation).read_text(encoding="utf-8")))
    if written.before:
        print(f"This run is finished already, in {order.out}; nothing was done. --anew does it again.")
    else:
        print(f"Wrote evaluation.json, predictions.csv, run.json, report.html and bundle to {order.out}.")


def _farm(arguments: argparse.Namespace, in_moments: bool) -> AbstractContextManager[Farm | None]:
    """Where the rounds run: None for here."""
    if not arguments.scheduler and (arguments.jobs or 1) < 2:
        return nullcontext()
    if in_moments:
        print(
            "A recipe of kind “table” fits in moments: its rounds run here, without --jobs and --scheduler.",
            file=sys.stderr,
        )
        return nullcontext()
    from ..training.scheduler import DaskFarm

    return DaskFarm(arguments.scheduler, arguments.jobs or 0)


def _ordered(arguments: argparse.Namespace) -> Order:
    """A new run, or the one in --out."""
    from ..training.order import Order

    if missing := [name for name in ("table", "label", "recipe", "out") if not getattr(arguments, name)]:
        words = ["TABLE" if name == "table" else f"--{name}" for name in missing]
        arguments.usage(f"a new run needs {', '.join(words)}; --resume DIR goes on with one")
    changes = list(arguments.set)
    if arguments.protocol:
        changes.append(f"protocol.kind={arguments.protocol}")
    return Order(
        str(arguments.table),
        tuple(arguments.label),
        arguments.recipe,
        tuple(changes),
        arguments.weights or "",
        arguments.reader or "",
        str(arguments.out),
        arguments.threads or 0,
        arguments.leave_out,
        str(arguments.cache or ""),
    )


def _recalled(arguments: argparse.Namespace) -> Order:
    """The run in the folder, as it was told when it began.

    Raises:
        CommandError: there is no run.
    """
    from ..training.order import from_arguments
    from ..training.runfolder import RunFolder

    if more := [name for name in TOLD if getattr(arguments, name)]:
        arguments.usage(f"--resume goes on as the run began; leave out {more[0].replace('_', '-')}")
    started = RunFolder(arguments.resume).started
    if started is None:
        raise CommandError(
            f"There is no run in {arguments.resume}. Give the folder that --out named, or begin one."
        )
    order = from_arguments(started["arguments"], arguments.resume)
    return replace(order, threads=arguments.threads or 0, cache=str(arguments.cache or order.cache))


def _ignore(event: Told) -> None:
    pass


def say_event(event: Told) -> None:
    """A line per round."""
    from ..training.watching import RoundDone, RunStarted

    if isinstance(event, RunStarted):
        print(event.what, flush=True)
        if event.done:
            print(f"{event.done} of {event.rounds} rounds were finished before.", flush=True)
    elif isinstance(event, RoundDone):
        if event.part == "final":
            what = "the final model"
        else:
            aucs = [
                f"{name.removesuffix('/per patient/AUC')} {value:.3f} (so far {event.so_far[name]:.3f})"
                for name, value in event.aucs.items()
                if name.endswith("/per patient/AUC")
            ]
            told = "; AUC per patient: " + ", ".join(aucs) if aucs else ""
            what = f"repeat {event.repeat}, fold {event.fold}, {event.part}{told}"
        left = f"; {in_words(event.seconds_left)} left" if event.seconds_left else ""
        again = " (finished before)" if event.again else left
        clear = "\r" if sys.stdout.isatty() else ""
        print(f"{clear}{f'Round {event.round} of {event.rounds}: {what}{again}.':<50}", flush=True)
