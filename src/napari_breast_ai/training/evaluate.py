"""Judging a model on patients that it has never seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import CaseScores, LabelGroup, Progress, silent
from ..inference import aggregate
from ..models import LESION, Composition
from .errors import TrainingError
from .examples import Examples
from .localisation import Pointing, pointing_game
from .metrics import Estimate, accuracy, auc_bootstrap, auc_delong, proportion
from .scoring import SliceScores, score_slices


@dataclass(frozen=True)
class Evaluation:
    """Held-out figures; keys of `figures` are "QUESTION/per slice|per patient/FIGURE".

    Attributes:
        patients: number of patients by class, "normal" for those without a lesion.
        slices: number of slices, and of these with a lesion.
        figures: estimates with intervals.
        pointing: where the attention looked, or None for a model without attention.
        unanswered: lesion patients on whom the model found no slice to answer the diagnosis from.
        cases: per patient, truth and case scores.
        rule: how a case's scores came from its slices, in the words of one case.
    """

    patients: dict[str, int]
    slices: tuple[int, int]
    figures: dict[str, Estimate]
    pointing: Pointing | None
    unanswered: int
    cases: dict[str, dict[str, Any]]
    rule: str

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        pointing = self.pointing
        return {
            "patients": self.patients,
            "slices": {"all": self.slices[0], "with lesion": self.slices[1]},
            "auc": {
                k.removesuffix("/AUC"): e.to_json() for k, e in self.figures.items() if k.endswith("/AUC")
            },
            "proportions": {k: e.to_json() for k, e in self.figures.items() if not k.endswith("/AUC")},
            "attention": None
            if pointing is None
            else {
                "peak inside true box": pointing.hits.to_json() | {"chance": pointing.chance},
                "largest cell touches true box": pointing.cells.to_json() | {"chance": pointing.chance_cells},
            },
            "diagnosis unanswered": self.unanswered,
            "rule": self.rule,
            "cases": self.cases,
        }


def evaluate(
    model: Composition, examples: Examples, *, boxed: bool = False, progress: Progress = silent
) -> Evaluation:
    """Score all slices of held-out patients and compare with their boxes, per slice and per patient.

    Case scores come from `inference.aggregate`, the rule by which a prediction judges a case. A patient on
    whom the diagnosis was not answered counts as wrong, and in the AUC as undecided (0.5).

    Args:
        model: to judge.
        examples: all slices of the held-out patients.
        boxed: whether a person's boxes (here the true ones) choose the slices that vote on a diagnosis
            without gate.
        progress: told after every batch.

    Raises:
        TrainingError: when there is nothing to judge.
    """
    if not len(examples):
        raise TrainingError("There are no held-out patients to judge the model on.")
    scores = score_slices(model, examples, progress=progress)
    cases, rule = _case_scores(model, examples, scores, boxed)
    truth = examples.case_diagnoses
    has_lesion = np.array([bool(boxes) for boxes in examples.lesion_boxes])
    figures: dict[str, Estimate] = {}
    unanswered = 0
    for group in model.groups:
        if LESION in group.labels:
            figures |= _detection(examples, scores, cases, has_lesion)
        elif group.activation == "softmax" and len(group.labels) == 2:
            found, missing = _diagnosis(group, examples, scores, cases)
            figures |= found
            unanswered += missing
    game = None
    if scores.attention is not None and has_lesion.any():
        game = pointing_game(scores.attention, examples.lesion_boxes, examples.image_shape)
    return Evaluation(
        patients=dict(sorted(Counter(label or "normal" for label in truth.values()).items())),
        slices=(len(examples), int(has_lesion.sum())),
        figures=figures,
        pointing=game,
        unanswered=unanswered,
        cases={p: {"truth": truth[p], "scores": case.probabilities} for p, case in cases.items()},
        rule=rule,
    )


def _case_scores(
    model: Composition, examples: Examples, scores: SliceScores, boxed: bool
) -> tuple[dict[str, CaseScores], str]:
    """Each patient's scores by the model's own aggregation, and its rule in words."""
    members: dict[str, list[int]] = {}
    for i, patient in enumerate(examples.patients):
        members.setdefault(patient, []).append(i)
    lesions = examples.lesion_boxes
    cases: dict[str, CaseScores] = {}
    for patient, rows in members.items():
        slices = [examples.slices[i] for i in rows]
        with_box = [examples.slices[i] for i in rows if lesions[i]]
        part = {label: values[rows] for label, values in scores.probabilities.items()}
        cases[patient], _ = aggregate(
            part, slices, model.groups, model.spec.aggregation, with_box if boxed else None
        )
    first = next((case for patient, case in cases.items() if examples.case_diagnoses[patient]), None)
    return cases, (first or next(iter(cases.values()))).rule


def _detection(
    examples: Examples, scores: SliceScores, cases: dict[str, CaseScores], has_lesion: NDArray[np.bool_]
) -> dict[str, Estimate]:
    """Is there a lesion: on the slice, in the patient."""
    per_slice = scores.probabilities[LESION]
    truth = examples.case_diagnoses
    ill = {p for p, has in zip(examples.patients, has_lesion, strict=True) if has}
    # No score means that no slice voted for a lesion.
    per_case = np.array([cases[p].probabilities[LESION] or 0.0 for p in truth], np.float64)
    sick = np.array([p in ill for p in truth])
    found = _auc(f"{LESION}/per slice/AUC", per_slice, has_lesion, examples.patients)
    found |= _auc(f"{LESION}/per patient/AUC", per_case, sick)
    for name, score, positive in (("slice", per_slice, has_lesion), ("patient", per_case, sick)):
        called = score >= 0.5
        if positive.any():
            n = int(positive.sum())
            found[f"{LESION}/per {name}/sensitivity at 0.5"] = proportion(int((called & positive).sum()), n)
        if not positive.all():
            n = int((~positive).sum())
            found[f"{LESION}/per {name}/specificity at 0.5"] = proportion(int((~called & ~positive).sum()), n)
    return found


def _diagnosis(
    group: LabelGroup, examples: Examples, scores: SliceScores, cases: dict[str, CaseScores]
) -> tuple[dict[str, Estimate], int]:
    """Which of two classes: on slices with a lesion, and in patients with one. The first label is the
    positive one.
    """
    positive, other = group.labels
    rows = [i for i, label in enumerate(examples.diagnoses) if label in group.labels]
    per_slice = scores.probabilities[positive][rows]
    labels = [examples.diagnoses[i] for i in rows]
    key = f"{positive} against {other}"
    found: dict[str, Estimate] = {}
    if rows:
        is_positive = np.array([label == positive for label in labels])
        found |= _auc(f"{key}/per slice/AUC", per_slice, is_positive, [examples.patients[i] for i in rows])
        found[f"{key}/per slice/accuracy"] = accuracy(
            [positive if score >= 0.5 else other for score in per_slice], labels
        )
    patients = {p: label for p, label in examples.case_diagnoses.items() if label in group.labels}
    answers = [cases[p].probabilities[positive] for p in patients]
    if patients:
        is_positive = np.array([label == positive for label in patients.values()])
        found |= _auc(f"{key}/per patient/AUC", [0.5 if a is None else a for a in answers], is_positive)
        found[f"{key}/per patient/accuracy"] = accuracy(
            ["no answer" if a is None else positive if a >= 0.5 else other for a in answers],
            list(patients.values()),
        )
    return found, sum(answer is None for answer in answers)


def _auc(
    key: str, scores: Any, positive: NDArray[np.bool_], patients: Sequence[str] | None = None
) -> dict[str, Estimate]:
    """An AUC where both classes are there: by patient bootstrap for slices, by DeLong for patients."""
    if positive.all() or not positive.any():
        return {}
    if patients is None:
        return {key: auc_delong(scores, positive)}
    return {key: auc_bootstrap(scores, positive, patients, draws=1000)}
