"""What phantom to make."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..core import BreastAIError

Kind = Literal["igm", "nme", "normal", "idc", "fibroadenoma"]
Density = Literal["a", "b", "c", "d"]
Bpe = Literal["minimal", "mild", "moderate", "marked"]

KINDS: tuple[Kind, ...] = ("igm", "nme", "normal", "idc", "fibroadenoma")
"""Granulomatous mastitis, malignant non-mass enhancement, no lesion, invasive carcinoma as a mass, benign mass."""

DENSITIES: tuple[Density, ...] = ("a", "b", "c", "d")
BPE_LEVELS: tuple[Bpe, ...] = ("minimal", "mild", "moderate", "marked")


class PhantomError(BreastAIError):
    """A phantom that cannot be made or written, in words."""


@dataclass(frozen=True)
class PhantomSpec:
    """What makes one phantom; equal specs give equal phantoms.

    The seed decides the woman (size, shape, density, background enhancement, vessels), and with the kind the
    lesion. The same seed at another matrix is the same woman, sampled otherwise.

    Attributes:
        kind: one of `KINDS`.
        seed: not negative.
        shape: (slices, rows, columns).
        n_phases: phases including the pre-contrast one.
        interval_s: seconds from one phase's start to the next; the injection begins when phase 0 ends.
        overlap: how far the classes share their traits, -1 to 1. At 0 every trait of the lesion follows its
            own class's distribution (these already overlap, as published frequencies do); above 0 each
            trait is drawn, independently of the others, from the *other* class with probability overlap / 2;
            IGM and NME are each other's other class, and so are both masses.
            For IGM against NME a perfect reader of all traits, kinetics included, reaches an AUC of 0.98 at 0,
            0.92 at 0.25, 0.82 at 0.5 and 0.5 at 1. Below 0 the classes are drawn apart (see `traits.apart`), to
            textbook pictures at -1.
        field_t: field strength in tesla, 1.5 or 3.0.
        fov_mm: length of the image's longer side.
        slice_mm: distance of neighbouring slices; None spreads the slices over 144 mm, at most 6 mm apart.
        motion_mm: typical displacement between phases.
        noise: standard deviation of the receiver's noise, as a part of the gland's signal before contrast.
        density: amount of fibroglandular tissue, None leaves it to the seed.
        bpe: background parenchymal enhancement, None leaves it to the seed.
        motion_across_mm: typical displacement between phases across the slices, besides `motion_mm` within them.
    """

    kind: Kind
    seed: int = 0
    shape: tuple[int, int, int] = (48, 256, 256)
    n_phases: int = 6
    interval_s: float = 60.0
    overlap: float = 0.25
    field_t: float = 1.5
    fov_mm: float = 340.0
    slice_mm: float | None = None
    motion_mm: float = 0.5
    noise: float = 0.05
    density: Density | None = None
    bpe: Bpe | None = None
    motion_across_mm: float = 0.0

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distances in mm of (slices, rows, columns)."""
        pixel = round(self.fov_mm / max(self.shape[1:]), 6)
        step = self.slice_mm if self.slice_mm is not None else min(144.0 / self.shape[0], 6.0)
        return round(step, 6), pixel, pixel

    def problems(self) -> list[str]:
        """What is wrong with the spec, in words; empty if nothing is."""
        found = []
        if self.kind not in KINDS:
            found.append(f"The kind '{self.kind}' is unknown; choose one of {', '.join(KINDS)}.")
        if self.seed < 0:
            found.append("The seed must not be negative.")
        if len(self.shape) != 3 or self.shape[0] < 1 or min(self.shape[1:]) < 32:
            found.append("The size must be at least 1 slice of 32 rows and 32 columns.")
        elif math.prod(self.shape) > 1024 * 1024 * 64 or max(self.shape) > 1024:
            found.append("The size must be at most 1024 a side and 67 million voxels a phase.")
        if not 2 <= self.n_phases <= 60:
            found.append("A dynamic study needs 2 to 60 phases.")
        if not (math.isfinite(self.interval_s) and 1 <= self.interval_s <= 600):
            found.append("The phases must be 1 to 600 seconds apart.")
        if not -1 <= self.overlap <= 1:
            found.append("The overlap of the classes must lie between -1 and 1.")
        if self.field_t not in (1.5, 3.0):
            found.append("The field strength must be 1.5 or 3 tesla.")
        if not 100 <= self.fov_mm <= 600:
            found.append("The field of view must be 100 to 600 mm.")
        if self.slice_mm is not None and not 0.3 <= self.slice_mm <= 20:
            found.append("The slices must be 0.3 to 20 mm apart.")
        if not (0 <= self.motion_mm <= 5 and 0 <= self.motion_across_mm <= 5):
            found.append("The motion must lie between 0 and 5 mm.")
        if not 0 <= self.noise <= 1:
            found.append("The noise must lie between 0 and 1.")
        if self.density is not None and self.density not in DENSITIES:
            found.append("The density must be a, b, c or d.")
        if self.bpe is not None and self.bpe not in BPE_LEVELS:
            found.append(f"The background enhancement must be one of {', '.join(BPE_LEVELS)}.")
        return found
