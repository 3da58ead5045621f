"""Frozen features of prepared slices, computed once and kept on disk by what they are made of."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core import Progress, silent
from ..inference import engine_for, to_input
from ..models import Composition

Kept = Literal["vectors", "maps"]
BATCH = 8


class FeatureCache:
    """A folder of arrays, one file each, of bounded size; those not used for longest go first.

    It may be deleted at any time. What cannot be read or written counts as not there.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int = 8 * 2**30) -> None:
        """Use a folder (None: the user's cache folder), which is made when it is needed."""
        self.folder = folder or platformdirs.user_cache_path("napari-breast-ai", appauthor=False) / "features"
        self.limit = limit_bytes
        self.hits = 0

    def get(self, key: str) -> NDArray[np.float32] | None:
        """The array of that key, if it is there and whole."""
        file = self._file(key)
        try:
            raw = file.read_bytes()
            # Cut short by a full disk or damaged: numpy would not see a changed number.
            if hashlib.sha256(raw[32:]).digest() != raw[:32]:
                return None
            os.utime(file)
        except OSError:
            return None
        shape = np.frombuffer(raw, np.int64, 3, 32)
        self.hits += 1
        return np.frombuffer(raw, np.float32, -1, 56).reshape(shape)

    def put(self, key: str, values: NDArray[np.float32]) -> None:
        """Keep an array (C, h, w); it appears whole or not at all."""
        file = self._file(key)
        body = np.array(values.shape, np.int64).tobytes() + np.ascontiguousarray(values).tobytes()
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=file.parent, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(hashlib.sha256(body).digest() + body)
                Path(name).replace(file)
            except OSError:
                Path(name).unlink(missing_ok=True)

    def trim(self) -> None:
        """Delete what was not used for longest until the folder is within its limit."""
        with contextlib.suppress(OSError):
            found = [(s.stat().st_mtime, s.stat().st_size, s) for s in self.folder.glob("*/*.f32")]
            size = sum(bytes_ for _, bytes_, _ in found)
            for _, bytes_, file in sorted(found):
                if size <= self.limit:
                    break
                file.unlink(missing_ok=True)
                size -= bytes_

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.f32"


def backbone_hash(model: Composition) -> str:
    """SHA-256 of a backbone: its name, layer and weights."""
    spec = model.spec.backbone
    digest = hashlib.sha256(f"{spec.name} {spec.layer}".encode())
    for name, tensor in sorted(model.backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


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
