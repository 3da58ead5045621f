"""The whole way: cohort table, division, frozen features, head, judgement, bundle."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import __version__
from ..core import Box, Progress, silent
from ..models import Composition, build, for_weights, probabilities, save_bundle
from ..models.weights import find_file
from .card import cohort_card
from .errors import TrainingError
from .examples import Examples
from .features import FeatureCache, Kept, backbone_hash, extract
from .gather import examples_from
from .heads import fit_head
from .judge import Judged, averaged, figures, judged_slices, operating_points, per_patient
from .localisation import pointing_game
from .protocol import Plan, divide
from .recipe import Recipe
from .table import Cohort, Question, check_labels

SCHEMA, VERSION = "napari-breast-ai/evaluation", 1


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished training.

    Attributes:
        model: the final one.
        evaluation: what evaluation.json holds.
        log: what run.json holds.
        slices, patients: held-out predictions.
        attention: of the held-out slices of the first repeat, in their order; None without attention.
    """

    model: Composition
    evaluation: dict[str, Any]
    log: dict[str, Any]
    slices: tuple[Judged, ...]
    patients: tuple[Judged, ...]
    attention: NDArray[np.float32] | None


def train(
    cohort: Cohort,
    questions: Sequence[Question],
    recipe: Recipe,
    weights: str | Path,
    *,
    reader: str | None = None,
    cache: FeatureCache | None = None,
    progress: Progress = silent,
) -> Trained:
    """Train and judge by the recipe's protocol; the same input and seed give the same numbers on one machine.

    Args:
        cohort: the table.
        questions: its label columns, see `ask`.
        recipe: how.
        weights: ImageNet weights of the backbone: a file, a folder, "download" or "random".
        reader: whose boxes.
        cache: of features; None computes all.
        progress: told after every case, batch and round.

    Raises:
        TrainingError: something is wrong with table, labels or images; all of it is said before anything is fitted.
        LeakError: a patient, or an image, would be on two sides.
    """
    begin = time.time()
    spec = for_weights(recipe.spec(tuple(question.group for question in questions)), weights)
    folds = 0 if recipe.protocol.kind == "column" else recipe.protocol.folds
    problems = (*cohort.problems, *check_labels(cohort, questions, folds))
    _refuse(cohort, problems)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = build(spec, weights)
    examples, found = examples_from(cohort, questions, spec.preparation, reader=reader, progress=progress)
    _refuse(cohort, found)
    split = {row.case_id: row.columns.get("split", "") for row in cohort.rows}
    plan = divide(
        recipe.protocol,
        examples.patients,
        list(zip(*examples.labels.values(), strict=True)),
        recipe.seed,
        contents=[hashlib.sha256(image.tobytes()).hexdigest() for image in examples.images],
        column=[split[case] for case in examples.cases],
    )
    kept = Features.of(model, examples, recipe, cache, progress)
    rounds, notes, maps = _rounds(model, examples, kept, plan, recipe, progress)
    slices = tuple(one for judged in rounds for one in judged)
    patients = tuple(per_patient(slices, model.groups, spec.aggregation))
    final = _fresh(model, recipe.seed)
    kept.fit(final, examples, plan.final, recipe, recipe.seed)
    told = [str(problem) for problem in (*problems, *found) if not problem.fatal]
    made = {
        "napari-breast-ai": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "table_sha256": cohort.sha256,
        "backbone_sha256": backbone_hash(model),
        "weights": _weights_hash(spec.backbone.name, weights),
        "seed": recipe.seed,
        "threads": torch.get_num_threads(),
    }
    evaluation = {
        "schema": SCHEMA,
        "version": VERSION,
        "data": _data(cohort, examples, recipe),
        "labels": [
            {
                "group": q.group.name,
                "column": q.column,
                "labels": list(q.group.labels),
                "activation": q.group.activation,
            }
            for q in questions
        ],
        "protocol": asdict(recipe.protocol) | {"seed": recipe.seed},
        "recipe": recipe.to_json(),
        "input": asdict(spec.preparation),
        **judgement(slices, patients, final),
        "attention": _attention(examples, plan, maps),
        "warnings": told,
        "made": made,
    }
    log = made | {
        "rounds": notes,
        "seconds": round(time.time() - begin, 1),
        "cache_hits": cache.hits if cache else 0,
    }
    attention = np.concatenate([m for m in maps if m is not None]) if maps and maps[0] is not None else None
    return Trained(final, evaluation, log, slices, patients, attention)


def judgement(slices: Sequence[Judged], patients: Sequence[Judged], model: Composition) -> dict[str, Any]:
    """The part of evaluation.json that follows from held-out predictions alone."""
    groups = model.groups
    points = operating_points([p for p in averaged(patients) if p.part == "validation"], groups)
    thresholds = {label: float(point["threshold"]) for label, point in points.items()}
    found: dict[str, Any] = {}
    for part in dict.fromkeys(one.part for one in slices):
        one, whole = (averaged([row for row in rows if row.part == part]) for rows in (slices, patients))
        # Where a threshold was chosen it looks better than it is.
        use = thresholds if part == "test" else None
        found[part] = {k: v.to_json() for k, v in figures(one, whole, groups, use).items()}
    runs: list[dict[str, Any]] = []
    for repeat, fold, part in dict.fromkeys((s.repeat, s.fold, s.part) for s in slices):
        some, theirs = (
            [row for row in rows if (row.repeat, row.fold, row.part) == (repeat, fold, part)]
            for rows in (slices, patients)
        )
        aucs = figures(some, theirs, groups, draws=50)
        runs.append(
            {"repeat": repeat, "fold": fold, "part": part}
            | {"figures": {k: v.value for k, v in aucs.items() if k.endswith("/AUC")}}
        )
    across: dict[str, list[float]] = {}
    for run in runs:
        for key, value in run["figures"].items():
            across.setdefault(f"{run['part']}: {key}", []).append(value)
    return {
        "predictions": [one.to_json() for one in slices],
        "patients": [one.to_json() for one in patients],
        "figures": found,
        "runs": runs,
        "across_runs": {
            key: {"mean": float(np.mean(v)), "sd": float(np.std(v, ddof=1)), "n": len(v)}
            for key, v in across.items()
            if len(v) > 1
        },
        "operating_points": points,
    }


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
            (out / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise TrainingError(f"{out} cannot be written ({error.strerror}). Choose another folder.") from error
    public = nameless(evaluation)
    bundle = save_bundle(
        out / "bundle", model, card=cohort_card(model.spec, public, command), evaluation=public
    )
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
    # Sentences about the table name its cases.
    return evaluation | rows | {"warnings": []}


@dataclass(frozen=True, eq=False)
class Features:
    """Frozen features of all slices and, where the recipe learns from them, of their mirror images."""

    plain: Tensor
    mirrored: Tensor | None
    boxes: tuple[tuple[Box, ...], ...]
    mirrored_boxes: tuple[tuple[Box, ...], ...]

    @classmethod
    def of(
        cls,
        model: Composition,
        examples: Examples,
        recipe: Recipe,
        cache: FeatureCache | None,
        progress: Progress,
    ) -> Features:
        """Compute, or take from the cache."""
        keep: Kept = "maps" if recipe.fit.method == "sgd" else "vectors"
        plain = extract(model, examples.images, keep=keep, cache=cache, progress=progress)
        mirrored = None
        if recipe.flips:
            turned = np.ascontiguousarray(examples.images[..., ::-1])
            mirrored = extract(model, turned, keep=keep, cache=cache, progress=progress)
        last = examples.image_shape[1] - 1
        boxes = tuple(
            tuple(replace(b, x0=last - b.x1, x1=last - b.x0) for b in one) for one in examples.boxes
        )
        return cls(plain, mirrored, examples.boxes, boxes)

    def fit(
        self, model: Composition, examples: Examples, rows: Sequence[int], recipe: Recipe, seed: int
    ) -> dict[str, Any]:
        """Fit the head on these slices."""
        chosen, part = list(rows), examples.subset(rows)
        features, boxes = self.plain[chosen], part.boxes
        labels, patients = dict(part.labels), part.patients
        if self.mirrored is not None:
            features = torch.cat([features, self.mirrored[chosen]])
            boxes += tuple(self.mirrored_boxes[i] for i in chosen)
            labels, patients = {n: v + v for n, v in labels.items()}, patients + patients
        return fit_head(model, features, labels, patients, boxes, recipe, seed)


def _rounds(
    model: Composition, examples: Examples, kept: Features, plan: Plan, recipe: Recipe, progress: Progress
) -> tuple[list[list[Judged]], list[dict[str, Any]], list[NDArray[np.float32] | None]]:
    judged, notes, maps = [], [], []
    for done, one in enumerate(plan.rounds, 1):
        fresh = _fresh(model, recipe.seed)
        how = kept.fit(fresh, examples, one.train, recipe, recipe.seed)
        with torch.no_grad():
            output = fresh.from_features(kept.plain[list(one.judged)])
        scores = {k: v.numpy() for k, v in probabilities(output.logits, fresh.groups).items()}
        part = examples.subset(one.judged)
        judged.append(judged_slices(part, scores, one.repeat, one.fold, one.part))
        notes.append(
            {"repeat": one.repeat, "fold": one.fold, "part": one.part}
            | {
                "training slices": len(one.train),
                "training patients": len({examples.patients[i] for i in one.train}),
            }
            | how
        )
        maps.append(None if output.attention is None else output.attention.numpy())
        progress(done, len(plan.rounds), "fitting heads")
    return judged, notes, maps


def _fresh(model: Composition, seed: int) -> Composition:
    """Pooling and head drawn anew, on the same backbone."""
    from ..models.heads import make_head
    from ..models.pooling import make_pooling

    spec = model.spec
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pooling = make_pooling(spec.pooling, spec.backbone.channels)
        head = make_head(spec.head, spec.backbone.channels, len(spec.labels))
    return Composition(spec, model.backbone, pooling, head).eval()


def _attention(
    examples: Examples, plan: Plan, maps: Sequence[NDArray[np.float32] | None]
) -> dict[str, Any] | None:
    """Where the attention of the first repeat's models looked on slices they had not seen."""
    first = [(r, m) for r, m in zip(plan.rounds, maps, strict=True) if m is not None and r.repeat == 1]
    if not first:
        return None
    rows = [i for one, _ in first for i in one.judged]
    boxes = examples.subset(rows).lesion_boxes
    if not any(boxes):
        return None
    game = pointing_game(np.concatenate([m for _, m in first]), boxes, examples.image_shape)
    return {
        "peak inside true box": game.hits.to_json() | {"chance": game.chance},
        "largest cell touches true box": game.cells.to_json() | {"chance": game.chance_cells},
    }


def _refuse(cohort: Cohort, problems: Sequence[Any]) -> None:
    fatal = [str(problem) for problem in problems if problem.fatal]
    if fatal:
        more = f" And {len(fatal) - 5} more; “cohort check” lists all." if len(fatal) > 5 else ""
        raise TrainingError(f"{cohort.source.name} cannot be trained on. " + " ".join(fatal[:5]) + more)


def _weights_hash(name: str, weights: str | Path) -> str:
    if weights in ("random", "download"):
        return str(weights)
    file = find_file(name, Path(weights))
    return f"{file.name} sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}"


def _data(cohort: Cohort, examples: Examples, recipe: Recipe) -> str:
    names = {
        "sequential": "the last patients, and cross-validation among the first ones",
        "column": "the patients that the table's split column names",
    }
    how = names.get(recipe.protocol.kind, f"{recipe.protocol.folds}-fold cross-validation by patient")
    return (
        f"{len(examples)} slices of {len(set(examples.cases))} cases of {len(set(examples.patients))} patients of the "
        f"table {cohort.source.name}; judged on {how}."
    )
