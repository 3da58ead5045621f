"""What 8 bits cost a bundle, measured on a cohort, and the bundle that says so."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..core import Progress, silent
from ..inference import to_input
from ..inference.quantised import Int8Runner, hashes, quantise
from ..models import probabilities
from ..models.bundle import Bundle, change_bundle
from .errors import TrainingError
from .examples import Examples
from .external import questions_of
from .features import BATCH, extract
from .gather import examples_from
from .judge import figures, judged_slices, per_patient
from .known import known_of
from .table import Cohort

CALIBRATION = 100
"""Images, at most, that the ranges are taken from; of patients who are not judged."""


def with_fast(
    bundle: Bundle,
    cohort: Cohort,
    folder: Path,
    *,
    reader: str | None = None,
    known: bool = False,
    progress: Progress = silent,
) -> tuple[dict[str, Any], list[str]]:
    """Quantise a bundle's backbone, measure what that costs, and write a bundle that holds both.

    The AUCs come from patients that the model was not trained on, the ranges from the images of those that it was, or,
    where none of them is in the cohort, of every fourth patient, who is not judged then.

    Args:
        bundle: in full precision.
        cohort: cases with boxes or labels, as for `evaluate_bundle`.
        folder: of the new bundle.
        reader: whose boxes, where several drew.
        known: judge also patients that the model was trained on; else they are left out. Either is said.
        progress: told after every batch.

    Returns:
        What its evaluation says of it under "int8": the AUCs in both precisions, and the largest loss. And what a
        reader must know of the patients, in sentences.

    Raises:
        TrainingError: there are too few patients, the model was trained on all of them, or no AUC can be computed.
        InferenceError: OpenVINO or nncf is not installed.
        BundleError: the folder cannot be written.
    """
    questions = questions_of(bundle, cohort)
    examples, _ = examples_from(cohort, questions, bundle.spec.preparation, reader=reader, progress=progress)
    learnt = known_of(bundle.evaluation, examples.cases, examples.patients, examples.contents, cohort.sha256)
    shown = set() if known else set(learnt.patients)
    if not known:
        learnt.refuse_all(cohort.source.name)
    shown = shown or set(sorted(set(examples.patients))[::4])
    to_look = [i for i, one in enumerate(examples.patients) if one in shown][:CALIBRATION]
    to_judge = [i for i, one in enumerate(examples.patients) if one not in shown]
    if not to_judge:
        raise TrainingError("What 8 bits cost cannot be measured on one patient. Take a table with more.")
    parts = quantise(bundle.model, _input(bundle, examples, to_look))
    judged = examples.subset(to_judge)
    full = extract(bundle.model, judged.images, keep="maps", progress=progress)
    runner, small = Int8Runner(parts), []
    for start in range(0, len(judged), BATCH):
        small.append(runner.features(_input(bundle, judged, range(start, min(start + BATCH, len(judged))))))
        progress(min(start + BATCH, len(judged)), len(judged), "in 8 bits")
    before, after = (_aucs(bundle, judged, one) for one in (full, torch.cat(small)))
    if not before:
        raise TrainingError(
            "What 8 bits cost cannot be measured: no question has both answers in this table."
        )
    told = {
        "auc": {key: {"float32": before[key], "int8": after[key]} for key in before},
        "auc_loss": max(before[key] - after[key] for key in before),
        "slices": len(judged),
        "patients": len(set(judged.patients)),
        "calibration_slices": len(to_look),
        "known": learnt.to_json(known),
        "table_sha256": cohort.sha256,
        "made": {name: version(name) for name in ("openvino", "nncf")},
        "sha256": hashes(parts),
    }
    change_bundle(bundle, folder, evaluation=bundle.evaluation | {"int8": told}, more=parts)
    return told, learnt.sentences(known)


def _input(bundle: Bundle, examples: Examples, rows: Any) -> torch.Tensor:
    grey = torch.from_numpy(examples.images[list(rows)]).float() / 255
    return to_input(grey, bundle.spec.preparation)


def _aucs(bundle: Bundle, examples: Examples, features: torch.Tensor) -> dict[str, float]:
    with torch.no_grad():
        output = bundle.model.from_features(features)
    spec = bundle.spec
    scores = {k: v.numpy() for k, v in probabilities(output.logits, spec.groups).items()}
    slices = judged_slices(examples, scores, 1, 1, "test")
    found = figures(slices, per_patient(slices, spec.groups, spec.aggregation), spec.groups, {}, draws=2)
    return {key: float(one.value) for key, one in found.items() if key.endswith("/AUC")}
