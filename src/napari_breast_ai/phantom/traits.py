"""What a woman and a lesion are like, drawn by the seed; how far IGM and NME overlap is decided here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from .fields import Rng, stream
from .spec import BPE_LEVELS, DENSITIES, Bpe, Density, PhantomSpec

T = TypeVar("T", bound=str)
Distribution = Literal["focal", "linear", "segmental", "regional", "mass"]
Pattern = Literal["heterogeneous", "clumped", "clustered ring", "homogeneous", "rim"]

_GLAND_FRACTION = {"a": (0.04, 0.09), "b": (0.10, 0.20), "c": (0.22, 0.38), "d": (0.42, 0.60)}
_BPE_KTRANS = {"minimal": 0.006, "mild": 0.016, "moderate": 0.034, "marked": 0.065}


@dataclass(frozen=True)
class BreastTraits:
    """One breast, in mm: where it hangs from, its half widths, its length, where its nipple points."""

    side: int
    centre_x: float
    centre_z: float
    half_x: float
    half_z: float
    length: float
    roundness: float
    tilt_x: float
    tilt_z: float
    gland_fraction: float


@dataclass(frozen=True)
class BodyTraits:
    """A woman: trunk in mm, both breasts, density, background enhancement, the scanner's mood."""

    trunk_half_x: float
    trunk_depth: float
    fat_medial: float
    fat_lateral: float
    muscle: float
    skin: float
    breasts: tuple[BreastTraits, BreastTraits]
    density: Density
    bpe: Bpe
    bpe_ktrans: float
    foci: int
    fat_signal: float
    gain: float


@dataclass(frozen=True)
class LesionTraits:
    """A lesion. Everything that tells the classes apart is in here.

    Attributes:
        side: -1 patient's right, +1 left.
        distribution: how it lies in the breast.
        pattern: its internal enhancement.
        extent_mm: its length.
        width: its width as a fraction of its length.
        ktrans: median transfer constant of the enhancing part, 1/min.
        kep: median washout rate, 1/min.
        rings: number of ring-enhancing micro-abscesses (or of rings around ducts).
        skin_mm: thickening of the skin over it, 0 for none.
        dispersion: spread of the kinetics inside, standard deviation of the logarithm.
        spikes: how far a mass sends spicules into its surroundings, 0 (smooth) to 1.
    """

    side: int
    distribution: Distribution
    pattern: Pattern
    extent_mm: float
    width: float
    ktrans: float
    kep: float
    rings: int
    skin_mm: float
    dispersion: float
    spikes: float = 0.0


@dataclass(frozen=True)
class ClassProfile:
    """Frequencies of a class's traits; for numbers the median and the standard deviation of the logarithm.

    `limits_mm` are the smallest and largest extent; `spikes` of a mass are drawn evenly between two values.
    """

    distribution: dict[Distribution, float]
    pattern: dict[Pattern, float]
    extent_mm: tuple[float, float]
    width: tuple[float, float]
    ktrans: tuple[float, float]
    kep: tuple[float, float]
    skin: float
    limits_mm: tuple[float, float] = (20.0, 65.0)
    spikes: tuple[float, float] = (0.0, 0.0)


# Frequencies are of the order reported: clustered rings in most IGM and in a quarter of malignant NME;
# segmental or linear distribution in most malignant NME and some IGM; early rise with plateau or washout in
# malignant NME, persistent or plateau in IGM; skin thickening in half of IGM and in some carcinomas; masses of
# invasive carcinoma mostly irregular, with a rim or heterogeneous inside, fibroadenomas smooth and even.
PROFILES: dict[str, ClassProfile] = {
    "igm": ClassProfile(
        {"focal": 0.08, "linear": 0.05, "segmental": 0.27, "regional": 0.60},
        {"heterogeneous": 0.27, "clumped": 0.08, "clustered ring": 0.65},
        (44.0, 0.22), (0.78, 0.18), (0.22, 0.34), (0.28, 0.70), 0.50,
    ),
    "nme": ClassProfile(
        {"focal": 0.08, "linear": 0.18, "segmental": 0.52, "regional": 0.22},
        {"heterogeneous": 0.27, "clumped": 0.47, "clustered ring": 0.26},
        (42.0, 0.25), (0.55, 0.22), (0.31, 0.36), (0.98, 0.70), 0.18,
    ),
    "idc": ClassProfile(
        {"mass": 0.78, "segmental": 0.08, "regional": 0.14},
        {"rim": 0.42, "heterogeneous": 0.46, "clumped": 0.12},
        (22.0, 0.32), (0.82, 0.12), (0.34, 0.36), (1.05, 0.60), 0.18, (9.0, 50.0), (0.35, 1.0),
    ),
    "fibroadenoma": ClassProfile(
        {"mass": 1.0},
        {"homogeneous": 0.62, "heterogeneous": 0.30, "rim": 0.08},
        (17.0, 0.32), (0.70, 0.14), (0.22, 0.38), (0.32, 0.60), 0.0, (8.0, 36.0), (0.0, 0.45),
    ),
}  # fmt: skip

OTHER: dict[str, str] = {"igm": "nme", "nme": "igm", "idc": "fibroadenoma", "fibroadenoma": "idc"}
"""The class from which a lesion borrows traits where classes overlap."""


def body_traits(spec: PhantomSpec) -> BodyTraits:
    """Draw the woman of a seed."""
    rng = stream(spec.seed, "body")
    trunk_half_x = rng.uniform(132, 147)
    size = rng.normal(0, 1)
    length = float(np.clip(82 + 15 * size + rng.normal(0, 7), 52, 120))
    half_x = float(np.clip(58 + 5.5 * size + rng.normal(0, 3), 44, 72))
    half_z = float(np.clip(62 + 6 * size + rng.normal(0, 4), 46, 78))
    centre_x = float(np.clip(half_x + rng.uniform(16, 24), 66, trunk_half_x - 44))
    roundness = rng.uniform(2.1, 2.9)
    tilt = rng.uniform(-2, 12)
    density = DENSITIES[int(rng.choice(4, p=[0.12, 0.40, 0.36, 0.12]))]
    bpe = BPE_LEVELS[int(rng.choice(4, p=[0.36, 0.34, 0.20, 0.10]))]
    density = spec.density or density
    bpe = spec.bpe or bpe
    fraction = rng.uniform(*_GLAND_FRACTION[density])
    breasts = []
    for side in (-1, 1):
        grow = 1 + rng.normal(0, 0.05)
        breasts.append(
            BreastTraits(
                side,
                side * (centre_x + rng.normal(0, 2.5)),
                rng.normal(0, 4),
                half_x * grow,
                half_z * grow,
                length * grow * (1 + rng.normal(0, 0.04)),
                roundness,
                side * tilt + rng.normal(0, 3),
                rng.normal(-2, 5),
                fraction * rng.uniform(0.85, 1.15),
            )
        )
    return BodyTraits(
        trunk_half_x=trunk_half_x,
        trunk_depth=rng.uniform(205, 235),
        fat_medial=rng.uniform(4, 8) + 2 * max(size, 0),
        fat_lateral=rng.uniform(9, 18) + 4 * max(size, 0),
        muscle=rng.uniform(6, 11),
        skin=rng.uniform(1.4, 2.0),
        breasts=(breasts[0], breasts[1]),
        density=density,
        bpe=bpe,
        bpe_ktrans=_BPE_KTRANS[bpe] * float(np.exp(rng.normal(0, 0.2))),
        foci=int(rng.poisson({"minimal": 1, "mild": 4, "moderate": 9, "marked": 16}[bpe])),
        fat_signal=rng.uniform(0.05, 0.13),
        gain=rng.uniform(0.85, 1.2),
    )


def lesion_traits(spec: PhantomSpec) -> LesionTraits | None:
    """Draw the lesion of a seed and kind; None for a normal case."""
    if spec.kind == "normal":
        return None
    rng = stream(spec.seed, "lesion", spec.kind)
    own = PROFILES[spec.kind]
    other = PROFILES[OTHER[spec.kind]]
    if spec.overlap < 0:
        own = apart(own, other, -spec.overlap)

    def profile() -> ClassProfile:
        return other if rng.random() < spec.overlap / 2 else own

    def lognormal(median: float, sigma: float, low: float, high: float) -> float:
        return float(np.clip(median * np.exp(rng.normal(0, sigma)), low, high))

    side = -1 if rng.random() < 0.5 else 1
    distribution = _pick(rng, profile().distribution)
    pattern = _pick(rng, profile().pattern)
    size = profile()
    extent = lognormal(*size.extent_mm, *size.limits_mm)
    width = lognormal(*profile().width, 0.35, 1.0)
    ktrans = lognormal(*profile().ktrans, 0.10, 0.8)
    kep = lognormal(*profile().kep, 0.08, 3.0)
    # The space that takes up the agent is less than the whole, so what comes in fast cannot stay for ever.
    kep = max(kep, ktrans / 0.85)
    skin = rng.uniform(1.5, 4.5) if rng.random() < profile().skin else 0.0
    if distribution == "focal":
        extent, width = min(extent, 26.0), max(width, 0.7)
    rings = int(rng.integers(5, 12)) if pattern == "clustered ring" else 0
    dispersion = rng.uniform(0.12, 0.3)
    if distribution != "mass":
        return LesionTraits(side, distribution, pattern, extent, width, ktrans, kep, rings, skin, dispersion)
    spikes = rng.uniform(*profile().spikes)
    # A mass is rounder than what follows the ducts, and seldom as long.
    extent, width = min(extent, 50.0), max(width, 0.6)
    return LesionTraits(
        side, distribution, pattern, extent, width, ktrans, kep, rings, skin, dispersion, spikes
    )


def apart(own: ClassProfile, other: ClassProfile, how_far: float) -> ClassProfile:
    """The class drawn away from another one, 0 (as it is) to 1.

    Frequencies are weighted by their ratio to the other class's, to the power 2 · how_far; medians move on by the
    square root of theirs; spreads become narrower, at 1 by half.
    """

    def frequencies(mine: dict[T, float], theirs: dict[T, float]) -> dict[T, float]:
        return {name: p * (p / max(theirs.get(name, 0.0), 0.02)) ** (2 * how_far) for name, p in mine.items()}

    def numbers(mine: tuple[float, float], theirs: tuple[float, float]) -> tuple[float, float]:
        return mine[0] * (mine[0] / theirs[0]) ** (0.5 * how_far), mine[1] * (1 - 0.5 * how_far)

    skin = frequencies({"yes": own.skin, "no": 1 - own.skin}, {"yes": other.skin, "no": 1 - other.skin})
    return ClassProfile(
        frequencies(own.distribution, other.distribution),
        frequencies(own.pattern, other.pattern),
        numbers(own.extent_mm, other.extent_mm),
        numbers(own.width, other.width),
        numbers(own.ktrans, other.ktrans),
        numbers(own.kep, other.kep),
        skin["yes"] / (skin["yes"] + skin["no"]),
        own.limits_mm,
        own.spikes,
    )


def _pick(rng: Rng, frequencies: dict[T, float]) -> T:
    names = list(frequencies)
    weights = np.array([frequencies[name] for name in names])
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]
