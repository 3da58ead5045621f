"""What a finished training leaves in its folder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..files import write_whole
from ..models import Composition, save_bundle
from ..models.table import TableModel
from ..models.table_bundle import save_table_bundle
from .card import cohort_card
from .errors import TrainingError
from .gallery import write_pictures
from .judge import Judged
from .table_card import table_card

SCHEMA, VERSION = "napari-breast-ai/evaluation", 1


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished training.

    Attributes:
        model: the final one.
        evaluation: what evaluation.json holds.
        log: what run.json holds.
        slices, patients: held-out predictions.
        pictures: of failures, JPEG files by their names below the run's folder.
        deep: the model whose backbone gives a model of table rows its vectors, or None.
        folds: weights of pooling and head of each fold, where the backbone is the same for all.
    """

    model: Composition | TableModel
    evaluation: dict[str, Any]
    log: dict[str, Any]
    slices: tuple[Judged, ...]
    patients: tuple[Judged, ...]
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    deep: Composition | None = None
    folds: Sequence[Mapping[str, Tensor]] = ()


def write_training(out: Path, trained: Trained, command: str) -> tuple[Path, ...]:
    """Write evaluation.json, predictions.csv, run.json and the bundle into a folder.

    Raises:
        TrainingError: it cannot be written.
        BundleError: the bundle cannot.
    """
    model, evaluation = trained.model, trained.evaluation
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    labels, groups = model.spec.labels, [group.name for group in model.groups]
    keys = ("case_id", "patient_id", "slice", "repeat", "fold", "part")
    writer.writerow([*keys, *(f"score {x}" for x in labels), *(f"truth {x}" for x in groups)])
    for one in trained.slices:
        writer.writerow(
            [getattr(one, key) for key in keys]
            + [f"{one.scores[label]:.6f}" for label in labels]
            + [one.truth.get(group, "") for group in groups]
        )
    texts = {
        "evaluation.json": json.dumps(evaluation, indent=1, allow_nan=False) + "\n",
        "predictions.csv": table.getvalue(),
        "run.json": json.dumps(trained.log | {"command": command}, indent=1) + "\n",
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_whole(out / name, text.encode())
    except OSError as error:
        raise TrainingError(f"{out} cannot be written ({error.strerror}). Choose another folder.") from error
    write_pictures(out, trained.pictures)
    public = nameless(evaluation)
    if isinstance(model, TableModel):
        card = table_card(model.spec, public, command)
        bundle = save_table_bundle(out / "bundle", model, trained.deep, card=card, evaluation=public)
    else:
        card = cohort_card(model.spec, public, command)
        bundle = save_bundle(out / "bundle", model, card=card, evaluation=public, folds=trained.folds)
    return (*(out / name for name in texts), bundle)


def nameless(evaluation: dict[str, Any]) -> dict[str, Any]:
    """The same with running numbers for cases and patients: a bundle goes to others."""
    names: dict[tuple[str, str], str] = {}

    def number(kind: str, name: str) -> str:
        return names.setdefault((kind, name), f"{kind} {1 + sum(k == kind for k, _ in names)}")

    def hide(row: dict[str, Any]) -> dict[str, Any]:
        new = {"patient_id": number("patient", row["patient_id"])}
        if "case_id" in row:
            new["case_id"] = number("case", row["case_id"])
        return row | new

    rows = {key: [hide(row) for row in evaluation[key]] for key in ("predictions", "patients")}
    # Sentences about the table name its cases, and pictures show them.
    return evaluation | rows | {"warnings": [], "gallery": []}
