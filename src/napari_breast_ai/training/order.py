"""A training as a person asks for it: everything that is chosen before the start, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..places import writable
from .errors import TrainingError
from .protocol import ProtocolSpec
from .recipe import Recipe, read_recipe
from .table import Cohort, Problem, Question, ask, check_labels, left_out, read_cohort
from .table_recipe import TableRecipe, check_columns

NAMED_WEIGHTS = ("download", "random")
"""Weights that are no file."""


@dataclass(frozen=True)
class Order:
    """What is asked for, in plain values: it is sent to another process as JSON.

    Attributes:
        table: the cohort's file.
        labels: questions as `ask` reads them, such as "label=malignant,benign".
        recipe: name, or file.
        changes: of the recipe, such as "fit.lr=0.01".
        weights: of the backbone: a file, a folder, "download" or "random"; "" where none is chosen yet.
        reader: whose boxes; "" where there is one reader only.
        out: the folder that the result goes to; "" where none is chosen yet.
        threads: processor cores; 0 for torch's own choice.
        leave_out: leave out cases that cannot be used.
        cache: the folder for features; "" for the user's.
    """

    table: str
    labels: tuple[str, ...] = ()
    recipe: str = "squeezenet-ridge"
    changes: tuple[str, ...] = ()
    weights: str = ""
    reader: str = ""
    out: str = ""
    threads: int = 0
    leave_out: bool = False
    cache: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def arguments(self) -> dict[str, Any]:
        """What a run's folder keeps of it: the names are those of the command line, which can go on with it too."""
        return {
            "table": _whole(self.table),
            "label": list(self.labels),
            "recipe": _whole(self.recipe),
            "weights": _whole(self.weights),
            "protocol": None,
            "set": list(self.changes),
            "reader": self.reader or None,
            "leave_out": self.leave_out,
            "cache": _whole(self.cache) or None,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Order:
        """From plain values; names that are not known are left out."""
        known = {one.name for one in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in told.items()
            if name in known
        }
        return cls(**values)


@dataclass(frozen=True)
class Prospect:
    """What an order would do, as far as table and recipe tell: no image is opened.

    Attributes:
        problems: what is wrong, in the order of the table's lines; lines 0 are about the whole.
        missing: what is still to be chosen, in words.
        cases, patients: that answer a question.
        rounds: trainings that are judged; the final model is one more.
        sentence: the plan in words, or "".
    """

    problems: tuple[Problem, ...] = ()
    missing: tuple[str, ...] = ()
    cases: int = 0
    patients: int = 0
    rounds: int = 0
    sentence: str = ""

    @property
    def ready(self) -> bool:
        """Whether it can be started."""
        return not self.missing and not any(problem.fatal for problem in self.problems)


@dataclass
class _Told:
    problems: list[Problem] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def resolve(order: Order) -> tuple[Cohort, tuple[Question, ...], Recipe | TableRecipe]:
    """Table, questions and recipe of an order.

    Raises:
        TrainingError: one of them cannot be had.
    """
    cohort = read_cohort(order.table)
    return cohort, ask(cohort, order.labels), read_recipe(order.recipe, order.changes)


def prospect(order: Order) -> Prospect:
    """Look at an order without opening an image; everything that is wrong is in the answer."""
    told = _Told()
    if not order.table:
        return Prospect(missing=("a table of cases",))
    recipe = cohort = None
    try:
        recipe = read_recipe(order.recipe, order.changes)
    except TrainingError as error:
        told.problems.append(Problem(0, str(error)))
    try:
        cohort = read_cohort(order.table)
        told.problems += cohort.problems
    except TrainingError as error:
        told.problems.append(Problem(0, str(error)))
    questions: tuple[Question, ...] = ()
    if not order.labels:
        told.missing.append("what is to be learnt: a label column")
    elif cohort is not None:
        try:
            questions = ask(cohort, order.labels)
        except TrainingError as error:
            told.problems.append(Problem(0, str(error)))
    # Models of table rows alone look through no backbone.
    _check_files(order, told, recipe is None or recipe.needs_weights)
    if cohort is None or recipe is None or not questions:
        return Prospect(_sorted(left_out(told.problems, order.leave_out)), tuple(told.missing))
    if isinstance(recipe, TableRecipe):
        try:
            check_columns(cohort, questions, recipe)
        except TrainingError as error:
            told.problems.append(Problem(0, str(error)))
    protocol = recipe.protocol
    told.problems += check_labels(cohort, questions, protocol.least_patients)
    if protocol.kind == "column" and "split" not in cohort.columns:
        told.problems.append(
            Problem(0, "The table has no column named split. Choose another protocol, or add the column.")
        )
    wanted = [row for row in cohort.rows if any(one.of_boxes or one.answer(row) for one in questions)]
    patients = len({row.patient_id for row in wanted})
    rounds = rounds_of(protocol, {row.columns.get("split", "").lower() for row in wanted})
    sentence = (
        f"{patients} patients, {len(wanted)} cases. {plan_in_words(protocol)}, then one model from "
        f"{'all patients' if protocol.kind in ('kfold', 'repeated') else 'the training patients'}."
    )
    problems = _sorted(left_out(told.problems, order.leave_out))
    return Prospect(problems, tuple(told.missing), len(wanted), patients, rounds, sentence)


def from_arguments(told: Mapping[str, Any], out: Path) -> Order:
    """The order of a run, from what it was told when it began: by this program's window or its command line."""
    changes = [*told.get("set", ())]
    if told.get("protocol"):
        changes.append(f"protocol.kind={told['protocol']}")
    return Order(
        str(told.get("table") or ""),
        tuple(told.get("label", ())),
        str(told.get("recipe") or ""),
        tuple(changes),
        str(told.get("weights") or ""),
        str(told.get("reader") or ""),
        str(out),
        leave_out=bool(told.get("leave_out")),
        cache=str(told.get("cache") or ""),
    )


def begun(out: str | Path) -> tuple[Order, int] | None:
    """The unfinished run of a folder: what was asked, and how many rounds are done; None where there is none.

    What `RunFolder` leaves is looked at without it: it needs torch, which a window loads when it is needed only.
    """
    folder = Path(out) / "run"
    if (folder / "finished.json").is_file():
        return None
    try:
        started = json.loads((folder / "started.json").read_text(encoding="utf-8"))
        told = started["arguments"]
        return from_arguments(told, Path(out)), len(list(folder.glob("round-*.safetensors")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def free_folder(table: Path) -> Path:
    """A folder beside the table for a result, with nothing in it."""
    place = table.resolve().parent
    number = 1
    while True:
        folder = place / (f"{table.stem}-training" + (f"-{number}" if number > 1 else ""))
        if not folder.exists():
            return folder
        number += 1


def rounds_of(protocol: ProtocolSpec, splits: set[str]) -> int:
    """How many trainings are judged; `splits` are the words of the table's split column."""
    folds = protocol.folds
    known = {
        "column": len(splits & {"validation", "test"}),
        "sequential": folds + 1,
        "kfold": folds,
        "repeated": folds * protocol.repeats,
    }
    # Drawn once: a validation part and a test part.
    return known.get(str(protocol.kind), 2)


def plan_in_words(protocol: ProtocolSpec) -> str:
    """How the cohort is divided, for people."""
    k, first, rest = protocol.folds, f"{protocol.fraction:.0%}", f"{1 - protocol.fraction:.0%}"
    known = {
        "sequential": f"The first {first} of the patients train, in {k} folds; the last {rest} are the test",
        "column": "The table's split column says who trains and who judges",
        "repeated": f"{k} folds by patient, shuffled {protocol.repeats} times",
        "kfold": f"{k} folds by patient: each patient is judged once, by a model that has not seen them",
    }
    return known.get(str(protocol.kind), "Patients are drawn once for training, validation and test")


def _whole(name: str) -> str:
    """A file's whole path; names of recipes, and words such as "download", are no files."""
    return str(Path(name).resolve()) if name and Path(name).exists() else name


def _check_files(order: Order, told: _Told, needs_weights: bool) -> None:
    """Weights and result folder, as far as names tell."""
    if not needs_weights:
        pass
    elif not order.weights:
        told.missing.append("the backbone's weights")
    elif order.weights not in NAMED_WEIGHTS and not Path(order.weights).expanduser().exists():
        told.problems.append(Problem(0, f"There are no weights at {order.weights}. Choose another file."))
    if not order.out:
        told.missing.append("a folder for the result")
        return
    out = Path(order.out)
    if (out / "evaluation.json").exists():
        told.problems.append(Problem(0, f"There is a result in {out} already. Choose another folder."))
    there = next((one for one in (out, *out.parents) if one.exists()), out)
    if not there.is_dir() or not writable(there):
        told.problems.append(Problem(0, f"The folder {out} cannot be written. Choose another one."))


def _sorted(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """What must be put right first, then by line."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda one: (not one.fatal, one.line)))
