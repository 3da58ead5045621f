"""A model's scores and attention on prepared slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core import Progress, silent
from ..inference import to_input
from ..inference.explanation import explain
from ..models import AttentionPooling, Composition, probabilities
from .examples import Examples


@dataclass(frozen=True, eq=False)
class SliceScores:
    """Scores of n slices.

    Attributes:
        probabilities: label to float32 (n,).
        attention: float32 (n, h, w) in 0..1, or None for a model without attention.
        vectors: float32 (n, C), the pooled features; None unless asked for.
        logits, attention_logits: (n, labels) and (n, h, w) or None, before softmax or sigmoid, on the CPU.
    """

    probabilities: dict[str, NDArray[np.float32]]
    attention: NDArray[np.float32] | None
    vectors: NDArray[np.float32] | None = None
    logits: Tensor | None = None
    attention_logits: Tensor | None = None


def score_slices(
    model: Composition,
    examples: Examples,
    *,
    batch: int = 32,
    keep_vectors: bool = False,
    progress: Progress = silent,
) -> SliceScores:
    """Run the model on all slices of the examples, without changing them, in evaluation mode, where the model is."""
    was_training = model.training
    model.eval()
    device = next((one.device for one in model.parameters()), torch.device("cpu"))
    logits, attention, vectors, before = [], [], [], []
    try:
        with torch.inference_mode():
            for start in range(0, len(examples), batch):
                indices = range(start, min(start + batch, len(examples)))
                images = to_input(examples.grey(indices), model.spec.preparation)
                images = images.to(device=device, memory_format=torch.channels_last)
                pooled = model.pooling(model.backbone(images))
                logits.append(model.head(pooled.vector).cpu())
                if pooled.attention is not None:
                    attention.append(pooled.attention.cpu())
                    before.append(pooled.attention_logits.cpu())
                if keep_vectors:
                    vectors.append(pooled.vector.cpu())
                progress(indices.stop, len(examples), "scoring slices")
            whole = torch.cat(logits)
            scores = probabilities(whole, model.groups)
    finally:
        model.train(was_training)
    return SliceScores(
        {label: score.numpy() for label, score in scores.items()},
        torch.cat(attention).numpy() if attention else None,
        torch.cat(vectors).numpy() if vectors else None,
        whole,
        torch.cat(before) if before else None,
    )


def look_at(model: Composition, one: Examples) -> NDArray[np.float32]:
    """Where the model looks on one slice, float32 (h, w): its attention, or its first label's Grad-CAM, largest 1."""
    if isinstance(model.pooling, AttentionPooling):
        attention = score_slices(model, one).attention
        assert attention is not None
        return np.asarray(attention[0], np.float32)
    was_training = model.training
    model.eval()
    device = next((one.device for one in model.parameters()), torch.device("cpu"))
    with torch.no_grad():
        features = model.backbone(to_input(one.grey([0]), model.spec.preparation).to(device))
    found = explain(features, model.pooling, model.head).gradcam[0, 0].cpu()
    model.train(was_training)
    return np.asarray((found / found.max().clamp_min(1e-12)).numpy(), np.float32)
