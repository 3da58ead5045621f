"""What a model says of single lesions: groups of boxes that a person drew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..annotations.lesions import Lesion, lesions
from ..core import Box, CaseScores, Prediction
from ..models import probabilities
from ..models.bundle import Bundle
from ..models.copies import HeadCopies, PoolingCopies, pairs
from ..models.pooling import Pooled, Pooling
from .aggregation import NO_LESION, ranges
from .box_cells import boxes_to_map
from .ensemble import with_intervals
from .kept import KeptFeatures

CELLS = (
    "Lesions: the model looks at the cells under their boxes only, weighted by its attention; the mean over their "
    "slices."
)
SLICES = "Lesions: the mean over the slices with their boxes, of the scores of whole slices."


@dataclass(frozen=True)
class LesionScores:
    """What a model says of one lesion.

    Attributes:
        lesion: the boxes.
        slices: those of its slices that were scored, rising.
        scores: label to probability, calibrated as the case's, with intervals; the rule says what of the image counted.
    """

    lesion: Lesion
    slices: tuple[int, ...]
    scores: CaseScores


def score_lesions(
    prediction: Prediction,
    boxes: Iterable[Box],
    bundle: Bundle | None = None,
    kept: KeptFeatures | None = None,
) -> tuple[LesionScores, ...]:
    """Score each lesion from the slices, and where the model has attention from the cells, in its boxes.

    With attention p and the part m of each cell that the boxes cover, a slice's vector is Σ m p f / Σ m p in place of
    Σ p f / Σ p: what the model was taught to do with a lesion's mask. Plain pooling was never shown a part of an image,
    so that whole slices count there; likewise where the feature maps were not kept. The temperature was fitted on cases,
    not on lesions.

    Args:
        prediction: what the model said of the study.
        boxes: a person's; those of normal tissue are no lesions, and neither is one without a scored slice.
        bundle: the model, or None where only its scores are known.
        kept: its feature maps of the study.

    Returns:
        In the order of the lesions' first boxes.
    """
    found = []
    for lesion in lesions(box for box in boxes if box.label != NO_LESION):
        slices = tuple(sorted({box.z for box in lesion.boxes} & set(prediction.slices)))
        if not slices:
            continue
        maps = None if kept is None or bundle is None or not _has_attention(bundle) else kept.get(slices)
        members: list[CaseScores] = []
        if maps is None or bundle is None:
            rows = [prediction.slices.index(z) for z in slices]
            scores = {label: values[rows] for label, values in prediction.probabilities.items()}
            own = _mean(scores, slices, SLICES)
        else:
            cover = torch.from_numpy(
                np.stack([_cover([b for b in lesion.boxes if b.z == z], prediction) for z in slices])
            )
            model = bundle.model
            own = _asked(model.pooling, model.head, maps, cover, bundle, slices)
            members = [_asked(*fold, maps, cover, bundle, slices) for fold in bundle.folds]
        made = own if bundle is None else with_intervals(own, members, bundle)
        found.append(LesionScores(lesion, slices, made))
    return tuple(found)


def _has_attention(bundle: Bundle) -> bool:
    return bundle.spec.pooling.kind == "attention"


def _asked(
    pooling: Pooling, head: nn.Module, maps: Tensor, cover: Tensor, bundle: Bundle, slices: Sequence[int]
) -> CaseScores:
    """The mean over the slices of what a pooling and a head say of the covered cells."""
    with torch.no_grad():
        vectors = [_vector(one, maps, cover) for one, _ in pairs(pooling, head)]
        asked = isinstance(pooling, PoolingCopies) and isinstance(head, HeadCopies)
        logits = head(torch.cat(vectors, dim=1) if asked else vectors[0])
    scores = {
        label: np.asarray(values.numpy(), np.float64)
        for label, values in probabilities(logits, bundle.spec.groups).items()
    }
    return _mean(scores, slices, CELLS)


def _vector(pooling: Pooling, maps: Tensor, cover: Tensor) -> Tensor:
    """Σ m p f / Σ m p, (n, C)."""
    attention = cast(Pooled, pooling(maps)).attention
    weight = cover if attention is None else cover * attention
    # A box may lie beside what the model saw, and an attention may be 0 all over it.
    weight = torch.where(weight.sum(dim=(1, 2), keepdim=True) > 0, weight, cover + 1e-6)
    weight = weight / weight.sum(dim=(1, 2), keepdim=True)
    return torch.einsum("nchw,nhw->nc", maps, weight)


def _mean(scores: Mapping[str, NDArray[np.floating]], slices: Sequence[int], how: str) -> CaseScores:
    return CaseScores(
        {label: float(np.mean(values, dtype=np.float64)) for label, values in scores.items()},
        {},
        f"{how.removesuffix('.')} ({ranges(slices)}).",
    )


def _cover(boxes: Sequence[Box], prediction: Prediction) -> NDArray[np.float32]:
    """The part of each cell that boxes of one slice cover, float32 (h, w)."""
    y0, x0, y1, x1 = prediction.covered
    h, w = prediction.map_shape
    return boxes_to_map([box.shifted(-y0, -x0) for box in boxes], (y1 - y0, x1 - x0), (h, w))
