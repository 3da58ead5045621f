"""What a model was taught to answer, and how well it did on whom it had not seen, from its bundle's evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core import LabelGroup

if TYPE_CHECKING:
    from ..models.bundle import Bundle
    from ..models.table_bundle import TableBundle

_PARTS = {
    "test": "The {who} are those of the test; no part of the model was fitted to them.",
    "validation": "The {who} are those of the cross-validation, each judged by a model that had not seen them.",
}


@dataclass(frozen=True)
class Taught:
    """One question that a model answers.

    Attributes:
        question: its name, and against what the AUC tells its class where there are several.
        classes: in words.
        auc: with its interval, or that it was not measured.
        patients: how many it rests on, or "".
        who: they are: patients or phantoms.
    """

    question: str
    classes: str
    auc: str
    patients: str
    who: str = "patients"

    @property
    def row(self) -> tuple[str, str, str, str]:
        """As a row under `columns`."""
        return self.question, self.classes, self.auc, self.patients

    @property
    def sentence(self) -> str:
        """As a sentence."""
        of = f", {self.patients} {self.who}" if self.patients else ""
        return f"{self.question} ({self.classes}): AUC {self.auc}{of}."


def columns(taught: Sequence[Taught]) -> tuple[str, str, str, str]:
    """What is above the rows of a model's questions."""
    who = taught[0].who if taught else "patients"
    return "question", "classes", f"AUC per {who[:-1]} (95 % interval)", who


def taught_scores(bundle: Bundle | TableBundle) -> tuple[Taught, ...]:
    """Every question of a model: of a yes-or-no question and of two classes one row, of more a row for each class."""
    part, who = _part(bundle.evaluation), _who(bundle.evaluation)
    figures: Mapping[str, Any] = bundle.evaluation["figures"][part] if part else {}
    found = []
    for group in bundle.spec.groups:
        classes = _classes(group)
        for key, name in _asked(group):
            one = figures.get(f"{key}/per patient/AUC")
            known = isinstance(one, Mapping) and isinstance(one.get("value"), int | float)
            found.append(
                Taught(name, classes, _auc(one), str(one.get("n", "")), who)
                if known and isinstance(one, Mapping)
                else Taught(name, classes, "not measured", "", who)
            )
    return tuple(found)


def judged_on(evaluation: Mapping[str, Any]) -> str:
    """Whose patients the figures of `taught_scores` are, a sentence; "" where there are none."""
    return _PARTS.get(_part(evaluation), "").format(who=_who(evaluation))


def _who(evaluation: Mapping[str, Any]) -> str:
    """Of whom the figures are."""
    return "phantoms" if "synthetic" in str(evaluation.get("data", "")) else "patients"


def _part(evaluation: Mapping[str, Any]) -> str:
    """The test where there was one, else another part; "" without figures."""
    parts = evaluation.get("figures")
    if not isinstance(parts, Mapping) or not parts:
        return ""
    return "test" if "test" in parts else str(next(iter(parts)))


def _asked(group: LabelGroup) -> Sequence[tuple[str, str]]:
    """The names of a group's figures in evaluation.json, and of its questions for people."""
    if group.activation == "sigmoid":
        return [(label, label) for label in group.labels]
    if len(group.labels) == 2:
        key = " against ".join(group.labels)
        return [(key, f"{group.name}: {key}")]
    return [(key := f"{label} against the rest", f"{group.name}: {key}") for label in group.labels]


def _classes(group: LabelGroup) -> str:
    known = "yes or no" if group.activation == "sigmoid" else ", ".join(group.labels)
    return f"{known}; asked where there is a {group.gate}" if group.gate else known


def _auc(one: Mapping[str, Any]) -> str:
    low, high = one.get("low"), one.get("high")
    limits = "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
    return f"{one['value']:.2f}{limits}"
