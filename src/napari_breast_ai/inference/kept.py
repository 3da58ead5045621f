"""What is kept of a study under a model, in memory and on disk: what is asked after the first run costs no backbone."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core import DceVolume, Progress, silent
from ..models.bundle import Bundle
from .cache import FeatureCache, backbone_hash, model_hash, part_hash
from .explanation import Explained
from .images import ImageMaker
from .preparation import ImagePlan, choose_phase, plan_images
from .streaming import Rows, Seen

MOST = 2 << 30
"""Bytes: maps that would take more are not kept, and are computed anew when they are asked for."""

_FORMAT = 1
"""Counted up when the same inputs would give other numbers."""


class KeptFeatures:
    """Feature maps of one study under one model's backbone and preparation, and what the model said of all slices.

    On disk the maps are found by the pixels of their slice, the preparation, the backbone and the precision: another
    model with the same backbone uses them too. What the model said is found by all pixels that it sees and all its
    weights.

    Attributes:
        volume, bundle: whose they are. All pixels must be there.
        known: bool (slices,), which slices are there.
        precision: of the engine that computes them.
        disk: the folder that they are looked for in, and written to by `write`; None: memory alone.
        told: what the model said of all slices, or None.
        too_large: whether the maps would take more memory than they may.
        limit: bytes that they may take in memory. needs: bytes that all slices take; 0 until one was computed.
    """

    def __init__(
        self,
        volume: DceVolume,
        bundle: Bundle,
        limit_bytes: int = MOST,
        disk: FeatureCache | None = None,
        precision: str = "float32",
    ) -> None:
        self.volume, self.bundle, self.precision, self.disk = volume, bundle, precision, disk
        self.known: NDArray[np.bool_] = np.zeros(volume.n_slices, dtype=bool)
        self.told: tuple[Explained, Seen] | None = None
        self.too_large = False
        self.limit, self.needs = limit_bytes, 0
        # Slice by slice as they came, which copies nothing, until all are asked for together.
        self._rows: dict[int, Tensor] = {}
        self._maps: Tensor | None = None
        self._plan: ImagePlan | None = None
        self._maker: ImageMaker | None = None
        self._sums: dict[int, bytes] = {}
        self._base: bytes | None = None
        # One thread gets ready what another may need at the same moment.
        self._lock, self._writing = threading.RLock(), threading.Lock()

    @property
    def plan(self) -> ImagePlan:
        """Which images the model sees; found when it is first asked for, which takes a look at the whole study.

        Raises:
            InferenceError: the study lacks the phase.
        """
        with self._lock:
            if self._plan is None:
                self._plan = plan_images(self.volume, self.bundle.spec.preparation)
            return self._plan

    @property
    def maker(self) -> ImageMaker:
        """What makes these images; its memory is kept for the next slices.

        Raises:
            InferenceError: the study lacks the phase.
        """
        with self._lock:
            if self._maker is None:
                self._maker = ImageMaker(self.volume, self.plan)
            return self._maker

    @property
    def complete(self) -> bool:
        """Whether every slice's maps are in memory."""
        return bool(self.known.all())

    @property
    def taken(self) -> int:
        """Bytes that they take in memory now."""
        if self._maps is not None:
            return self.needs  # as one array, all slices have their place
        return self.needs * int(self.known.sum()) // max(len(self.known), 1)

    @property
    def maps(self) -> Tensor:
        """All slices, float32 (n, C, h, w) on the CPU; zeros where a slice is not known. Not to be changed.

        Raises:
            LookupError: no slice has been computed.
        """
        with self._writing:
            if self._maps is None:
                if not self._rows:
                    raise LookupError("No slice has been computed yet.")
                first = next(iter(self._rows.values()))
                maps = torch.zeros(len(self.known), *first.shape)
                for z in list(self._rows):
                    maps[z] = self._rows.pop(z)
                self._maps = maps
            return self._maps

    def belongs_to(self, volume: DceVolume, bundle: Bundle) -> bool:
        """Whether these are the maps of that study under that model."""
        return self.volume is volume and self.bundle.ref == bundle.ref

    def get(self, slices: Sequence[int]) -> Tensor | None:
        """Maps of some slices, (n, C, h, w), from memory or disk; None where one of them is in neither."""
        rows = list(slices)
        if not self.known[rows].all() and self.disk is not None and not self.disk.off:
            self._load([z for z in rows if not self.known[z]])
        if not self.known[rows].all():
            return None
        with self._writing:
            return torch.stack([self._row(z) for z in rows])

    def _row(self, z: int) -> Tensor:
        """Maps (C, h, w) of a slice that is known."""
        return self._rows[z] if self._maps is None else self._maps[z]

    def put(self, slices: Sequence[int], maps: Tensor) -> None:
        """Keep maps (n, C, h, w) of some slices in memory, unless all slices together would be too large. They are not
        to be changed afterwards.
        """
        rows = list(slices)
        # A run puts what it computes while the window may ask for what is on disk.
        with self._writing:
            if self._maps is not None:
                self._maps[rows] = maps.float().cpu()
            elif (needs := maps[0].numel() * 4 * len(self.known)) > self.limit:
                self.too_large, self.needs = True, needs
                return
            else:
                self.needs = needs
                self._rows.update(zip(rows, maps.detach().float().cpu(), strict=True))
            self.known[rows] = True

    def recall(self) -> tuple[Explained, Seen] | None:
        """What the model said of all slices, if that is known, in memory or on disk.

        Raises:
            InferenceError: the study lacks the phase.
        """
        with self._lock:
            if self.told is None and self.disk is not None and not self.disk.off:
                found = self.disk.get_arrays(self._case_key())
                # A file of another version has other names in it.
                with contextlib.suppress(KeyError, TypeError, ValueError):
                    self.told = None if found is None else _told(found, self.volume.n_slices)
            return self.told

    def conclude(self, rows: Rows, seen: Seen) -> None:
        """Remember what a run said of its slices, if these are all."""
        slices, found = rows.so_far()
        if len(slices) == self.volume.n_slices:
            self.told = (found, seen)

    def write(self, progress: Progress = silent) -> None:
        """Write to disk what is not there yet. Where there is no room, nothing happens.

        Args:
            progress: told after every slice; may cancel, what is written by then stays.
        """
        disk = self.disk
        if disk is None or disk.off:
            return
        if self.told is not None and not disk.has(self._case_key()) and disk.has_room(1 << 20):
            disk.put_arrays(self._case_key(), _arrays(*self.told))
        wanted = [z for z in np.flatnonzero(self.known).tolist() if not disk.has(self._slice_key(z))]
        with self._writing:
            size = self._row(wanted[0]).numel() * 4 if wanted else 0
        if wanted and disk.has_room(len(wanted) * size):
            for done, z in enumerate(wanted, 1):
                with self._writing:
                    maps = self._row(z)
                disk.put(self._slice_key(z), maps.numpy())
                progress(done, len(wanted), "Keeping the feature maps")
        disk.trim()

    def look(self) -> None:
        """Get ready beforehand what a run will ask for: the plan, memory for images, and what the files are called.

        Raises:
            InferenceError: the study lacks the phase.
        """
        if self.disk is not None and not self.disk.off:
            self._case_key()
            self._slice_key(0)
        _ = self.maker

    @property
    def _numbers(self) -> list[Any]:
        """What the backbone computes in: in 8 bits also with which file, which another measurement makes anew."""
        told: Any = self.bundle.evaluation.get("int8") if self.precision == "int8" else None
        return [self.precision, told.get("sha256") if isinstance(told, dict) else None]

    def _load(self, slices: Sequence[int]) -> None:
        """From disk into memory, up to the first that is not there."""
        assert self.disk is not None
        for z in slices:
            found = self.disk.get(self._slice_key(z))
            if found is None:
                return
            self.put([z], torch.from_numpy(found.copy())[None])

    def _slice_key(self, z: int) -> str:
        """What the maps of a slice are made of."""
        with self._lock:
            if self._base is None:
                plan = self.plan
                inside = b"" if plan.field is None else plan.field.inside.tobytes()
                what = (
                    _FORMAT,
                    self._numbers,
                    asdict(plan.spec),
                    plan.phases,
                    plan.window,
                    plan.floor,
                    plan.region,
                    hashlib.sha256(inside).hexdigest(),
                    backbone_hash(self.bundle.model),
                )
                self._base = json.dumps(what, sort_keys=True).encode()
            return hashlib.sha256(self._base + self._sum(z)).hexdigest()

    def _case_key(self) -> str:
        """What a model says of a study is made of."""
        volume, spec = self.volume, self.bundle.spec
        what = (
            _FORMAT,
            self._numbers,
            spec.to_json(),
            model_hash(self.bundle.model),
            [part_hash(part) for fold in self.bundle.folds for part in fold],
            volume.times.start_s,
            volume.pre_contrast,
            volume.n_phases,
        )
        with self._lock:
            digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
            # zlib lets other threads run meanwhile.
            with ThreadPoolExecutor(torch.get_num_threads()) as threads:
                for check_sum in threads.map(self._sum, range(volume.n_slices)):
                    digest.update(check_sum)
            return digest.hexdigest()

    def _sum(self, z: int) -> bytes:
        """Check sums of a slice's pixels in the phases that the model sees, with the names of its images.

        A cyclic redundancy check finds a changed pixel as surely as a hash does and is several times as fast; what it
        cannot do, tell apart millions of slices, the names do.
        """
        if z not in self._sums:
            volume, spec = self.volume, self.bundle.spec.preparation
            phases = {choose_phase(volume, source) for source in (spec.source, *spec.sources)}
            parts: list[Any] = [volume.identity.study_uid, str(volume.data.dtype), volume.data.shape[2:]]
            for phase in sorted(phases | {volume.pre_contrast}):
                pixels = np.ascontiguousarray(volume.data[phase, z])
                uid = volume.frames[phase][z].sop_instance_uid if volume.frames else ""
                parts += [phase, uid, zlib.crc32(pixels.data)]
            self._sums[z] = hashlib.sha256(repr(parts).encode()).digest()
        return self._sums[z]


def _arrays(found: Explained, seen: Seen) -> dict[str, NDArray[Any]]:
    parts = {
        "logits": found.logits,
        "gradcam": found.gradcam,
        "attention": found.attention,
        "of_tasks": found.of_tasks,
        "of_folds": found.of_folds,
    }
    arrays: dict[str, NDArray[Any]] = {k: v.numpy() for k, v in parts.items() if v is not None}
    arrays["seen"] = np.frombuffer(json.dumps(asdict(seen)).encode(), np.uint8)
    return arrays


def _told(arrays: dict[str, NDArray[Any]], n_slices: int) -> tuple[Explained, Seen] | None:
    """The other way round; None where it does not fit."""
    parts = {
        k: torch.from_numpy(arrays[k])
        for k in ("logits", "gradcam", "attention", "of_tasks", "of_folds")
        if k in arrays
    }
    told = json.loads(arrays["seen"].tobytes())
    region = told.pop("region")
    seen = Seen(
        **told
        | {
            "warnings": tuple(told["warnings"]),
            "window": tuple(told["window"]),
            "region": None if region is None else tuple(region),
        }
    )
    if any(len(values) != n_slices for values in parts.values()):
        return None
    found = Explained(
        parts["logits"],
        parts.get("attention"),
        parts["gradcam"],
        parts.get("of_tasks"),
        parts.get("of_folds"),
    )
    return found, seen
