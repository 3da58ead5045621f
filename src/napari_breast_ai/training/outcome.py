"""What came of a training, for a first look: patients first, every figure with its interval."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import TrainingError

_SHOWN = ("AUC", "accuracy", "sensitivity", "specificity")
_AT = " at the operating point"


@dataclass(frozen=True)
class Row:
    """A figure per patient and per slice, as texts; "" where it is undefined."""

    question: str
    figure: str
    patients: str
    slices: str


@dataclass(frozen=True)
class Outcome:
    """A run's result in short.

    Attributes:
        patients, slices: who was judged by models that had not seen them.
        part: "test" where there was one, else "validation".
        rows: the figures.
        folds: mean and spread over single fits, a sentence each.
        warnings: sentences that a reader must see.
    """

    patients: int
    slices: int
    part: str
    rows: tuple[Row, ...]
    folds: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Who was judged, and how."""
        how = (
            "who decided nothing before" if self.part == "test" else "each by a model that had not seen them"
        )
        return f"{self.patients} patients ({self.slices} slices) were judged, {how}."


def read_outcome(path: Path) -> Outcome:
    """The result in an evaluation.json.

    Raises:
        TrainingError: it cannot be read.
    """
    try:
        return outcome(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"The result {path} cannot be read ({error}). Train again.") from error


def outcome(evaluation: Mapping[str, Any]) -> Outcome:
    """The result in short; of several parts the test is shown."""
    figures = evaluation["figures"]
    part = "test" if "test" in figures else next(iter(figures), "validation")
    own = [row for row in evaluation["predictions"] if row["part"] == part]
    told = figures.get(part, {})
    rows = []
    for question in dict.fromkeys(key.split("/")[0] for key in told):
        for name in _SHOWN:
            # What a threshold chosen elsewhere gives is worth more than what 0.5 gives.
            keys = (name + _AT, name)
            found = {}
            for level in ("patient", "slice"):
                key = next((k for k in keys if f"{question}/per {level}/{k}" in told), None)
                found[level] = "" if key is None else _text(told[f"{question}/per {level}/{key}"])
            if any(found.values()):
                rows.append(Row(question, name, found["patient"], found["slice"]))
    folds = []
    for key, one in evaluation.get("across_runs", {}).items():
        if key.startswith(f"{part}: ") and key.endswith("per patient/AUC"):
            question = key.removeprefix(f"{part}: ").split("/")[0]
            folds.append(
                f"{question}: AUC per patient of {one['n']} single fits {one['mean']:.3f} (SD {one['sd']:.3f})."
            )
    return Outcome(
        len({row["patient_id"] for row in own}),
        len({(row["case_id"], row["slice"]) for row in own}),
        part,
        tuple(rows),
        tuple(folds),
        tuple(str(one) for one in evaluation.get("warnings", ())),
    )


def _text(one: Mapping[str, Any]) -> str:
    value, low, high = one.get("value"), one.get("low"), one.get("high")
    if value is None:
        return ""
    return f"{value:.2f}" if low is None or high is None else f"{value:.2f} ({low:.2f}–{high:.2f})"
