"""A model as boxes have taught it on the screen, kept as a bundle that says everywhere that nobody has judged it."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch

from ..core.words import counted
from ..inference.prediction import NOT_JUDGED
from ..models import AttentionPooling
from ..models.bundle import Bundle, save_bundle
from .errors import TrainingError
from .live import LiveFit


def origin(fit: LiveFit) -> str:
    """Where such a model comes from, in words. The Review dock warns with them."""
    return f"taught live on {counted(fit.boxes, 'box', 'boxes')} of {counted(fit.cases, 'case', 'cases')}, {NOT_JUDGED}"


def save_taught(folder: str | Path, bundle: Bundle, fit: LiveFit) -> Path:
    """Write a model with the attention that boxes have made of it; head and backbone stay as they are.

    Calibration, training ranges and figures of the model are left out: they were those of another model.

    Args:
        folder: to write.
        bundle: the model that was taught.
        fit: its taught attention.

    Raises:
        TrainingError: the model has no single attention that could be replaced.
        BundleError: the folder cannot be written.
    """
    if not isinstance(bundle.model.pooling, AttentionPooling):
        raise TrainingError(
            "This model pools without an attention, or with one for each question, and cannot be saved with a taught "
            "one. Train a model on your boxes in the Train dock."
        )
    model = copy.deepcopy(bundle.model)
    pooling = model.pooling
    assert isinstance(pooling, AttentionPooling)
    attend = pooling.attend
    assert attend.bias is not None
    with torch.no_grad():
        attend.weight.copy_(torch.from_numpy(fit.weight)[None, :, None, None])
        attend.bias.fill_(fit.bias)
    folder = Path(folder)
    model.spec = replace(model.spec, name=folder.name)
    said, before = origin(fit), str(bundle.evaluation.get("data", ""))
    card = "\n".join(
        (
            f"# {folder.name}",
            "",
            f"The model “{bundle.ref.name}” (weights {bundle.ref.sha256[:12]}) with another attention: {said}.",
            "",
            "**Nobody has judged this model: there are no figures, no report and no calibration. Its scores come from "
            "the head of the model before, which was taught with another attention. Research use only; not a medical "
            "device; not for diagnosis.**",
            "",
            "To have it judged, draw boxes on cases of more patients and press “Save as bundle…” again: it then goes "
            "through a training by patient, with its report.",
        )
    )
    evaluation = {
        "schema": "napari-breast-ai/taught-live",
        "version": 1,
        "data": "; ".join(text for text in (said, before and f"backbone and head: {before}") if text),
        "boxes": fit.boxes,
        "cases": fit.cases,
        "from": {"name": bundle.ref.name, "sha256": bundle.ref.sha256},
    }
    return save_bundle(folder, model, card=card, evaluation=evaluation)
