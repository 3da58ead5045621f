"""Run a model on a study: scores, attention and Grad-CAM per slice, scores of the case."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..core import Box, DceVolume, Prediction, Progress, silent
from ..models import probabilities
from ..models.bundle import Bundle
from .aggregation import aggregate, boxed_slices
from .device import choose_device
from .engine import engine_for
from .errors import InferenceError
from .preparation import make_images, plan_images


def predict(
    volume: DceVolume,
    bundle: Bundle,
    *,
    slices: Sequence[int] | None = None,
    boxes: Collection[Box] | None = None,
    device: str | torch.device | None = None,
    batch: int = 8,
    progress: Progress = silent,
) -> Prediction:
    """Run a model on slices of a study. The backbone sees every slice once.

    Args:
        volume: the study.
        bundle: the model.
        slices: their indices; None for all.
        boxes: a person's boxes. Where the model can't tell which slices show a lesion, only slices with a
            lesion's box vote on the case's scores.
        device: "cpu", "cuda", "mps"; None for the best one there is.
        batch: slices at a time, which is also how often `progress` is called and can cancel.
        progress: told the number of slices that are done.

    Returns:
        The prediction, on the CPU, slices in rising order.

    Raises:
        InferenceError: the study lacks the phase or the slices, or the device isn't there.
        Cancelled: by `progress`.
    """
    chosen = (
        tuple(range(volume.n_slices)) if slices is None else tuple(sorted({int(index) for index in slices}))
    )
    if not chosen:
        raise InferenceError("No slice was chosen. Choose at least one.")
    if batch < 1:
        raise InferenceError("The number of slices at a time must be at least 1.")
    spec = bundle.spec
    plan = plan_images(volume, spec.preparation)
    progress(0, len(chosen), "Predicting")
    engine = engine_for(bundle.model, choose_device(device))
    logits: list[torch.Tensor] = []
    attention: list[torch.Tensor] = []
    gradcam: list[torch.Tensor] = []
    for start in range(0, len(chosen), batch):
        images = make_images(volume, plan, chosen[start : start + batch])
        found = engine.explain(engine.features(images))
        logits.append(found.logits.cpu())
        gradcam.append(found.gradcam.cpu())
        if found.attention is not None:
            attention.append(found.attention.cpu())
        progress(min(start + batch, len(chosen)), len(chosen), "Predicting")
    scores = {
        label: _array(values) for label, values in probabilities(torch.cat(logits), spec.groups).items()
    }
    maps = torch.cat(gradcam)
    if not bool(torch.isfinite(torch.cat(logits)).all()):
        raise InferenceError(
            "The model's scores are not finite numbers. Its bundle is not usable; choose another."
        )
    case, warnings = aggregate(
        scores, chosen, spec.groups, spec.aggregation, None if not boxes else boxed_slices(boxes)
    )
    return Prediction(
        model=bundle.ref,
        groups=spec.groups,
        slices=chosen,
        probabilities=scores,
        case=case,
        attention=_array(torch.cat(attention)) if attention else None,
        gradcam={label: _array(maps[:, i]) for i, label in enumerate(spec.labels)},
        image_shape=volume.geometry.shape[1:],
        input=plan.description,
        warnings=volume.warnings + _origin(volume, bundle) + plan.warnings + warnings,
        phase=plan.phase,
        subtracted=plan.subtracted,
        window=plan.window,
    )


def _origin(volume: DceVolume, bundle: Bundle) -> tuple[str, ...]:
    """A warning where a model that knows phantoms only is asked about a person."""
    if volume.identity.synthetic or "synthetic" not in str(bundle.evaluation.get("data", "")):
        return ()
    return (
        "This model was trained on synthetic phantoms only: it shows how the program works, and its scores "
        "say nothing about this patient.",
    )


def _array(values: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.ascontiguousarray(values.numpy(), dtype=np.float32)
    return array
