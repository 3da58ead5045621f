"""The command that turns evaluations into a report."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..core import Progress
from .common import Commands
from .console import RESEARCH_USE


def register(commands: Commands) -> None:
    """Add `report`."""
    report = commands.add("report", _report, "make a page of figures from training runs")
    report.add_argument("evaluation", type=Path, nargs="+", metavar="EVALUATION.json")
    report.add_argument("--out", type=Path, required=True, metavar="HTML", help="the page to write")
    report.add_argument(
        "--sensitivity",
        type=_share,
        metavar="X",
        help="choose thresholds on the validation part for a sensitivity of at least X, such as 0.95; "
        "default: the highest sum of sensitivity and specificity",
    )
    report.add_argument(
        "--hide-names", action="store_true", help="numbers in place of the names of patients and cases"
    )


def _share(text: str) -> float:
    """Parse a share above 0, at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and at most 1")
    return value


def _report(arguments: argparse.Namespace, progress: Progress) -> None:
    """Write the report of one or more evaluations."""
    from ..training.appraisal import Choice
    from ..training.report import write_report

    choice = Choice() if arguments.sensitivity is None else Choice("sensitivity", arguments.sensitivity)
    runs = write_report(
        arguments.evaluation,
        arguments.out,
        choice=choice,
        hide_names=arguments.hide_names,
        progress=progress,
    )
    for run in runs:
        print(f"{run.name}: {run.patients} patients in {', '.join(run.parts)}")
    print(f"Wrote {arguments.out}.")
    print(RESEARCH_USE)
