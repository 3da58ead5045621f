"""Commands that doubt a model: questions to its heat maps, its training's range, cases like this one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..core import Progress
from .common import CommandError, Commands, add_times, output_folder, write_text
from .values import count


def register(commands: Commands) -> None:
    """Add `questions`, `range` and `similar`."""
    questions = commands.add("questions", _questions, "question a model's heat maps on a table of cases")
    questions.add_argument("bundle")
    questions.add_argument("table", type=Path)
    questions.add_argument("--out", type=Path, required=True, metavar="DIR")
    questions.add_argument(
        "--map", choices=("attention", "gradcam"), help="default: the attention, where the model has one"
    )
    questions.add_argument("--label", help="whose score is asked for (default: the model's first)")
    questions.add_argument("--reader", help="whose boxes, where several drew")
    questions.add_argument(
        "--slices", type=count, default=5, metavar="N", help="at most N slices of a case (default 5)"
    )

    check = commands.add("range", _range, "say whether a study is like those a model was trained on")
    check.add_argument("path", type=Path)
    check.add_argument("--model", required=True, help="a bundle's name (see `models`) or folder")
    check.add_argument("--json", action="store_true", help="print JSON")
    add_times(check)

    similar = commands.group("similar", "labelled cases that look alike to a model")
    index = similar.add("index", _index, "make an index of a table of cases")
    index.add_argument("table", type=Path)
    index.add_argument("--model", required=True, help="a bundle's name (see `models`) or folder")
    index.add_argument("--label", required=True, metavar="COLUMN", help="the column of the labels")
    index.add_argument("--out", type=Path, required=True, metavar="DIR")
    index.add_argument("--reader", help="whose boxes, where several drew")
    find = similar.add("find", _find, "print the nearest labelled cases of other patients")
    find.add_argument("path", type=Path)
    find.add_argument("--model", required=True, help="a bundle's name (see `models`) or folder")
    find.add_argument("--index", type=Path, required=True, metavar="DIR")
    find.add_argument(
        "--boxes", type=Path, metavar="FILE", help="boxes of the case: a journal or a JSON list"
    )
    find.add_argument("--top", type=count, default=5, metavar="N", help="how many (default 5)")
    add_times(find)


def _questions(arguments: argparse.Namespace, progress: Progress) -> None:
    """Ask, write, and say what failed."""
    from ..inference.questions.table import BY_KEY
    from ..models import load_bundle
    from ..training.questioned import question_cohort, questions_csv
    from ..training.table import read_cohort

    bundle = load_bundle(arguments.bundle)
    cohort = read_cohort(arguments.table)
    out = output_folder(arguments.out)
    has_attention = bundle.spec.pooling.kind == "attention"
    found = question_cohort(
        cohort,
        bundle,
        arguments.map or ("attention" if has_attention else "gradcam"),
        arguments.label or bundle.spec.labels[0],
        reader=arguments.reader,
        most=arguments.slices,
        progress=progress,
    )
    write_text(out / "questions.json", json.dumps(found, indent=1))
    write_text(out / "questions.csv", questions_csv(found))
    cases = len(found["cases"])
    for answer in found["means"]:
        question = BY_KEY[answer["key"]]
        value = "not answered" if answer["value"] is None else f"{answer['value']:.3f}"
        failed = found["failed"][answer["key"]]
        print(f"{question.name}: {value}" + (f"; fails on {failed} of {cases} cases" if failed else ""))
    for sentence in found["left_out"]:
        print(f"Left out: {sentence}")
    print(f"Wrote questions.json and questions.csv, of {cases} cases, to {arguments.out}.")


def _range(arguments: argparse.Namespace, progress: Progress) -> None:
    """Print what is out of range."""
    from ..inference.in_range import check_range
    from ..models import load_bundle
    from ..study import read_study

    bundle = load_bundle(arguments.model)
    volume = read_study(arguments.path, progress, arguments.times)
    report = check_range(volume, bundle.spec.preparation, bundle.ranges)
    if arguments.json:
        print(json.dumps(report.to_json(), indent=1))
        return
    if report.outside:
        print("Outside what the model was trained on:")
    elif report.known:
        print("Within what the model was trained on, as far as the study itself tells.")
    for finding in report.findings:
        print(f"  {finding.text}")


def _index(arguments: argparse.Namespace, progress: Progress) -> None:
    """Make an index."""
    from ..models import load_bundle
    from ..training.similar_cohort import index_cohort
    from ..training.table import read_cohort

    bundle = load_bundle(arguments.model)
    cases, notes = index_cohort(
        read_cohort(arguments.table),
        arguments.label,
        bundle,
        arguments.out,
        reader=arguments.reader,
        progress=progress,
    )
    for note in notes:
        print(f"Left out: {note}")
    print(f"Wrote an index of {cases} cases to {arguments.out}.")


def _find(arguments: argparse.Namespace, progress: Progress) -> None:
    """Print the nearest cases."""
    from ..annotations import read_boxes
    from ..inference import KeptFeatures, predict
    from ..inference.similar import nearest_to, read_index
    from ..models import load_bundle
    from ..study import read_study
    from ..study.patient import patient_id_of

    bundle = load_bundle(arguments.model)
    index = read_index(arguments.index)
    boxes = read_boxes(arguments.boxes) if arguments.boxes else ()
    volume = read_study(arguments.path, progress, arguments.times)
    kept = KeptFeatures(volume, bundle)
    prediction = predict(volume, bundle, boxes=boxes or None, kept=kept, progress=progress)
    found = nearest_to(
        index, bundle, volume, prediction, kept, boxes, patient_id_of(arguments.path), arguments.top
    )
    if not found:
        raise CommandError(f"The index {arguments.index} holds no case of another patient.")
    for number, one in enumerate(found, 1):
        print(f"{number}. {one.entry.label}  distance {one.distance:.2f}  {one.entry.path}")
    print("A distance of 1 is that of two cases of the index as they come.")
