"""A model's scores and attention on prepared slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..core import Progress, silent
from ..inference import to_input
from ..models import Composition, probabilities
from .examples import Examples


@dataclass(frozen=True, eq=False)
class SliceScores:
    """Scores of n slices.

    Attributes:
        probabilities: label to float32 (n,).
        attention: float32 (n, h, w) in 0..1, or None for a model without attention.
        vectors: float32 (n, C), the pooled features; None unless asked for.
    """

    probabilities: dict[str, NDArray[np.float32]]
    attention: NDArray[np.float32] | None
    vectors: NDArray[np.float32] | None = None


def score_slices(
    model: Composition,
    examples: Examples,
    *,
    batch: int = 32,
    keep_vectors: bool = False,
    progress: Progress = silent,
) -> SliceScores:
    """Run the model on all slices of the examples, without changing them, in evaluation mode."""
    was_training = model.training
    model.eval()
    logits, attention, vectors = [], [], []
    try:
        with torch.inference_mode():
            for start in range(0, len(examples), batch):
                indices = range(start, min(start + batch, len(examples)))
                images = to_input(examples.grey(indices), model.spec.preparation)
                images = images.contiguous(memory_format=torch.channels_last)
                pooled = model.pooling(model.backbone(images))
                logits.append(model.head(pooled.vector))
                if pooled.attention is not None:
                    attention.append(pooled.attention)
                if keep_vectors:
                    vectors.append(pooled.vector)
                progress(indices.stop, len(examples), "scoring slices")
            scores = probabilities(torch.cat(logits), model.groups)
    finally:
        model.train(was_training)
    return SliceScores(
        {label: score.numpy() for label, score in scores.items()},
        torch.cat(attention).numpy() if attention else None,
        torch.cat(vectors).numpy() if vectors else None,
    )
