"""Frozen features of prepared slices, computed once and kept on disk by what they are made of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core import Progress, silent
from ..inference import FeatureCache, backbone_hash, engine_for, to_input
from ..models import Composition

Kept = Literal["vectors", "maps"]
BATCH = 8


def feature_bytes(model: Composition, images: NDArray[np.uint8], keep: Kept) -> int:
    """Size of the features of one slice."""
    return int(extract(model, images[:1], keep=keep)[0].numel()) * 4


def extract(
    model: Composition,
    images: NDArray[np.uint8],
    *,
    keep: Kept = "vectors",
    cache: FeatureCache | None = None,
    progress: Progress = silent,
) -> Tensor:
    """Features of prepared slices on the CPU, from the cache or by the engine that predicts.

    Args:
        model: whose backbone; pooling and head are not used.
        images: uint8 (n, 1 or 3, rows, columns) as in `Examples`.
        keep: "vectors": averaged over the cells, for average pooling; "maps": as they are.
        cache: None computes all.
        progress: told after every batch; may cancel, what is done is kept.

    Returns:
        float32 (n, C, h, w); h and w are 1 for vectors, whose average pooling is themselves.
    """
    what = json.dumps([asdict(model.spec.preparation), keep], sort_keys=True)
    base = hashlib.sha256((what + (backbone_hash(model) if cache else "")).encode()).digest()
    keys = [
        hashlib.sha256(base + repr(image.shape).encode() + image.tobytes()).hexdigest() for image in images
    ]
    found: dict[int, NDArray[np.float32]] = {}
    for i, key in enumerate(keys):
        values = cache.get(key) if cache else None
        if values is not None:
            found[i] = values
    missing = [i for i in range(len(images)) if i not in found]
    engine = engine_for(model, torch.device("cpu"))
    for start in range(0, len(missing), BATCH):
        rows = missing[start : start + BATCH]
        # Always as many at a time: another size of batch could sum in another order, and a number from the
        # cache would differ in its last bit from one computed now.
        padded = rows + [rows[-1]] * (BATCH - len(rows))
        maps = engine.features(
            to_input(torch.from_numpy(images[padded]).float() / 255, model.spec.preparation)
        )
        if keep == "vectors":
            maps = maps.mean(dim=(2, 3), keepdim=True)
        for i, values in zip(rows, maps.contiguous().numpy(), strict=False):
            found[i] = values.copy()
            if cache:
                cache.put(keys[i], found[i])
        progress(start + len(rows), len(missing), "features")
    if cache and missing:
        cache.trim()
    return torch.from_numpy(np.stack([found[i] for i in range(len(images))]))
