"""The predictions on held-out slices that a training run leaves in evaluation.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from ..core import LabelGroup
from ..models.spec_parts import AggregationSpec
from .errors import TrainingError

SCHEMA = "napari-breast-ai/evaluation"
VALIDATION, TRAINING = "validation", ("train", "training")

_IMPLIES = {"IDC": "malignancy", "other malignant": "malignancy"}
"""A slice with one of these classes is a positive of the other one, too, where a model scores both."""


@dataclass(frozen=True)
class Record:
    """What was said about one slice by a model that has never seen its patient.

    Attributes:
        case_id, patient_id: of the cohort table.
        slice: number of the slice, or None where the whole case is one record.
        fold: the run and fold, in words, whose model said it.
        part: "validation", "test" or whatever the protocol calls it.
        scores: label to probability; None where there is no answer.
        truth: group to the labels that hold; None where the group's question does not arise.
        picture: file of the slice with a heat map laid over it, beside evaluation.json, or "".
        shows: what that heat map is, or "".
    """

    case_id: str
    patient_id: str
    slice: int | None
    fold: str
    part: str
    scores: Mapping[str, float | None]
    truth: Mapping[str, tuple[str, ...] | None]
    picture: str = ""
    shows: str = ""


@dataclass(frozen=True, eq=False)
class Run:
    """One evaluation.json.

    Attributes:
        name: of the run, for people.
        groups: the model's label groups.
        aggregation: how a patient's scores come from her slices.
        records: all predictions but those on training data.
        whole: scores of patients, by part, fold and patient, where the run gives them; else they are made of slices.
        told: what patients count as, by their name, where the run says so.
        document: the whole file.
        folder: where it lies; its pictures' paths start here.
        sha256: of the file, or "".
    """

    name: str
    groups: tuple[LabelGroup, ...]
    aggregation: AggregationSpec
    records: tuple[Record, ...]
    document: Mapping[str, Any]
    folder: Path = Path()
    sha256: str = ""
    whole: Mapping[tuple[str, str, str], Mapping[str, float | None]] = field(default_factory=dict)
    told: Mapping[str, Mapping[str, tuple[str, ...] | None]] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that were judged, the validation last: it was used for choices."""
        found = dict.fromkeys(record.part for record in self.records)
        return tuple(sorted(found, key=lambda part: part == VALIDATION))

    @property
    def patients(self) -> int:
        """How many were judged."""
        return len({record.patient_id for record in self.records})


def read_run(path: Path) -> Run:
    """Read an evaluation.json.

    Raises:
        TrainingError: it cannot be read, or holds no predictions; the sentence says what to do.
    """
    try:
        content = path.read_bytes()
        document = json.loads(content)
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be read ({error.strerror}). Give the evaluation.json of a run."
        ) from error
    except ValueError as error:
        raise TrainingError(
            f"{path} is not a JSON file, or a damaged one. Give the evaluation.json of a run."
        ) from error
    return make_run(document, path.parent.name or path.stem, path, hashlib.sha256(content).hexdigest())


def make_run(
    document: object, name: str = "run", path: Path = Path("evaluation.json"), sha256: str = ""
) -> Run:
    """The run of an evaluation's content.

    Args:
        document: content of evaluation.json.
        name: used where the content has no name.
        path: of the file, for sentences and for its pictures.
        sha256: of the file.

    Raises:
        TrainingError: as `read_run`.
    """
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise TrainingError(
            f"{path} is no evaluation of this program. Give the evaluation.json of a training run."
        )
    if document.get("version") != 1:
        raise TrainingError(f"{path} is of a newer version of this program. Install that to read it.")
    rows = document.get("predictions")
    if not isinstance(rows, list) or not rows:
        raise TrainingError(
            f"{path} holds no predictions on held-out slices, so that nothing can be judged from it. Train again "
            "with `napari-breast-ai train`, which writes them."
        )
    groups = _groups(document, rows)
    records = []
    drawn = _gallery(document)
    for number, row in enumerate(rows, 1):
        try:
            record = _record(row, groups)
            if (record.case_id, record.slice) in drawn and not record.picture:
                picture, shows = drawn[record.case_id, record.slice]
                record = replace(record, picture=picture, shows=shows)
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingError(
                f"Prediction {number} of {path} cannot be read ({error}). The file is damaged or was written by "
                "another program; train again, or take it out."
            ) from error
        if record.part not in TRAINING:
            records.append(record)
    if not records:
        raise TrainingError(
            f"{path} holds predictions on training slices only, which say nothing of new patients."
        )
    patients = _whole(document, path, groups)
    recipe = document.get("recipe")
    called = document.get("name") or (recipe.get("name") if isinstance(recipe, dict) else recipe) or name
    return Run(
        str(called),
        groups,
        _aggregation(document),
        tuple(records),
        document,
        path.parent,
        sha256,
        {(one.part, one.fold, one.patient_id): one.scores for one in patients},
        {one.patient_id: one.truth for one in patients},
    )


def _gallery(document: Mapping[str, Any]) -> dict[tuple[str, int | None], tuple[str, str]]:
    """The pictures that the run has drawn, by case and slice; what cannot be read is passed over."""
    found: dict[tuple[str, int | None], tuple[str, str]] = {}
    rows = document.get("gallery")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and isinstance(row.get("slice"), int) and isinstance(row.get("file"), str):
            found[str(row.get("case_id")), row["slice"]] = (row["file"], str(row.get("shows") or ""))
    return found


def _whole(document: Mapping[str, Any], path: Path, groups: Sequence[LabelGroup]) -> list[Record]:
    """Patients with their scores."""
    rows = document.get("patients")
    if not isinstance(rows, list):
        return []
    try:
        return [_record({"case_id": "", "truth": {}} | row, groups) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"The patients' scores in {path} cannot be read ({error}). Train again."
        ) from error


def hidden(runs: Sequence[Run]) -> tuple[Run, ...]:
    """The runs with numbers in place of the names of patients and cases, the same in all of them."""
    patients = dict.fromkeys(record.patient_id for run in runs for record in run.records)
    cases = dict.fromkeys(record.case_id for run in runs for record in run.records)
    names = {name: f"case {i}" for i, name in enumerate(cases, 1)}
    names |= {name: f"patient {i}" for i, name in enumerate(patients, 1)}

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {without(key): without(item) for key, item in value.items()}
        if isinstance(value, list):
            return [without(item) for item in value]
        return names.get(value, value) if isinstance(value, str) else value

    numbers = {name: f"case {i}" for i, name in enumerate(cases, 1)}
    return tuple(
        replace(
            run,
            records=tuple(
                replace(one, case_id=numbers[one.case_id], patient_id=names[one.patient_id])
                for one in run.records
            ),
            document={
                key: without(item)
                for key, item in run.document.items()
                if key not in ("predictions", "patients", "gallery")
            },
            whole={
                (part, fold, names.get(patient, "")): scores
                for (part, fold, patient), scores in run.whole.items()
            },
            told={names.get(patient, ""): truth for patient, truth in run.told.items()},
        )
        for run in runs
    )


def find(document: Mapping[str, Any], *names: str) -> Any:
    """The first entry of one of these names at the top, or one or two levels below; None without one."""
    levels: list[Mapping[str, Any]] = [document]
    for _ in range(3):
        for level in levels:
            for name in names:
                if level.get(name) is not None:
                    return level[name]
        levels = [value for level in levels for value in level.values() if isinstance(value, dict)]
    return None


def _groups(document: Mapping[str, Any], rows: Sequence[Any]) -> tuple[LabelGroup, ...]:
    """The recipe's label groups; without any, those that the truths name."""
    recipe, told = document.get("recipe"), document.get("labels")
    if isinstance(told, list) and told and all(isinstance(one, dict) and "group" in one for one in told):
        given: Any = [{"name": one["group"], **one} for one in told]
    else:
        given = find(
            {"top": document.get("groups"), "recipe": recipe} if isinstance(recipe, dict) else document,
            "groups",
        )
    if isinstance(given, list) and given:
        try:
            return tuple(
                LabelGroup(g["name"], tuple(g["labels"]), g["activation"], g.get("gate")) for g in given
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise TrainingError(f"The recipe's groups of labels cannot be read ({error}).") from error
    try:
        labels = tuple(dict.fromkeys(label for row in rows for label in row["scores"]))
        names = tuple(dict.fromkeys(name for row in rows for name in row["truth"]))
        said = {
            name: {t for row in rows if isinstance(t := row["truth"].get(name), str)} & set(labels)
            for name in names
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"The predictions cannot be read ({error}).") from error
    if len(names) == 1:
        adds_up = all(abs(sum(row["scores"].values()) - 1) < 1e-3 for row in rows)
        return (LabelGroup(names[0], labels, "softmax" if adds_up and len(labels) > 1 else "sigmoid"),)
    return tuple(
        LabelGroup(name, (name,), "sigmoid")
        if name in labels
        else LabelGroup(name, tuple(label for label in labels if label in said[name]), "softmax")
        for name in names
    )


def _aggregation(document: Mapping[str, Any]) -> AggregationSpec:
    given = find(document, "aggregation")
    if isinstance(given, dict):
        try:
            return AggregationSpec(**given)
        except TypeError:
            pass
    return AggregationSpec()


def _record(row: Any, groups: Sequence[LabelGroup]) -> Record:
    scores: dict[str, float | None] = {}
    for label, value in row["scores"].items():
        scores[str(label)] = None if value is None else float(value)
        if value is not None and not (isfinite(float(value)) and 0 <= float(value) <= 1):
            raise ValueError(f"the score of {label} is {value}, which is no probability")
    named = {key: str(row[key]) for key in ("run", "shuffle", "repeat", "fold") if row.get(key) is not None}
    fold = ", ".join(f"{key} {value}" if value.isdecimal() else value for key, value in named.items())
    return Record(
        str(row["case_id"]),
        str(row.get("patient_id") or row["case_id"]),
        None if row.get("slice") is None else int(row["slice"]),
        fold,
        str(row.get("part") or "held-out"),
        scores,
        {group.name: _truth(row["truth"].get(group.name), group) for group in groups},
        str(row.get("overlay") or row.get("picture") or ""),
    )


def _truth(value: Any, group: LabelGroup) -> tuple[str, ...] | None:
    """The labels that hold, from a name, a list of names, labels with yes or no, or yes or no itself."""
    if value is None or value == "":
        return None
    if isinstance(value, dict):
        held = {str(label) for label, holds in value.items() if holds}
    elif isinstance(value, bool | int | float) or (group.activation == "sigmoid" and value in ("0", "1")):
        value = value not in ("0", 0, False)
        held = {group.labels[0]} if value else set()
    else:
        held = {value} if isinstance(value, str) else {str(label) for label in value}
    held |= {_IMPLIES[label] for label in held if label in _IMPLIES}
    found = tuple(label for label in group.labels if label in held)
    # A class that is none of a group's exclusive ones: its question does not arise.
    return None if group.activation == "softmax" and len(found) != 1 else found
