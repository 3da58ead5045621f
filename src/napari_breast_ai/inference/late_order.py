"""Do two phases after the contrast agent stand in each other's place? Told from blood and tissue, whatever the model.

Once all of the contrast agent is in the blood, it only gets less there (Parker et al., Magn Reson Med 2006;56:993-1000),
and tissue takes it from the blood and is never ahead of it (Tofts et al., J Magn Reson Imaging 1999;10:223-232). So the
course of blood has one summit and no valley, and before that summit no tissue has taken up a larger part of its own
highest enhancement than blood has.

Noise, movement and another gain in one phase bend courses too. What is found has to be seen in nearly all parts of the
body, has to be larger than their scatter, and the exchange of two phases has to mend it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume
from .phase_order import sample_signal

_PART = 0.06
"""Part of the body's voxels that is looked at: those that enhance most."""

_GROUP = 0.25
"""Of them, blood is the part whose course falls most, and tissue the part whose course rises most."""

_PLACES = 8
"""Parts of the body, one behind the other along the slices."""

_FEWEST = 60
"""Voxels of a group in each of those parts."""

_MOST = _PLACES - 2
"""In so many of them it has to be seen."""

_DEPTH = 0.06
"""A valley in the course of blood, as a part of what that course spans."""

_AHEAD = 0.1
"""How far tissue is ahead of blood, as parts of the highest enhancement of each."""

_ARRIVED = 0.25
"""Before blood has so much of its highest enhancement, noise says nothing of who is ahead."""

_FIRM = 3.0
"""Standard errors over the parts of the body."""

Course = NDArray[np.float64]
"""Enhancement, (parts of the body, phases after contrast)."""


@dataclass(frozen=True)
class Exchange:
    """Two phases that may stand in each other's place.

    Attributes:
        phases: of the study, the earlier first.
        text: a sentence with the reason.
    """

    phases: tuple[int, int]
    text: str


def late_order(volume: DceVolume, floor: float = 0.0) -> Exchange | None:
    """The two phases after contrast whose exchange would mend what neither blood nor tissue can do; mostly None.

    Args:
        volume: the study, its pre-contrast phase the right one: see `phase_order`.
        floor: signal up to which a voxel is air in the phase that a model sees, as `ImagePlan.floor`.
    """
    late = [phase for phase in range(volume.n_phases) if phase != volume.pre_contrast]
    if len(late) < 2:
        return None
    groups = _courses(sample_signal(volume), volume.pre_contrast, late, floor)
    if groups is None:
        return None
    blood, tissue = groups
    found = _valley(blood) or _ahead(blood, tissue)
    if found is None:
        return None
    pair = _mending(blood, tissue)
    if pair is None:
        return None
    a, b = late[pair[0]], late[pair[1]]
    source = ", ".join(dict.fromkeys(volume.times.source))
    told = (
        f"their times ({source}) say that they do not" if source != "unknown" else "nothing tells their times"
    )
    reason = found.format(*(f"phase {phase}" for phase in late))
    return Exchange(
        (a, b), f"{reason} Phases {a} and {b} may stand in each other's place; {told}. Look at both."
    )


def _courses(
    signal: NDArray[np.float32], pre: int, late: list[int], floor: float
) -> tuple[Course, Course] | None:
    """Of blood and of tissue; None where too little enhances."""
    signal = signal[:, (signal.max(axis=0, initial=0) > floor) & (signal[pre] > 0)]
    if signal.shape[1] * _PART * _GROUP < _PLACES * _FEWEST:
        return None
    # Squares of the largest values that float32 has are infinite.
    signal = signal / np.abs(signal).max()
    before = signal[pre]
    # Most of the body hardly enhances: what it does in common is the scanner's.
    gain = np.median(signal[late] / before, axis=1)
    rise = signal[late] / np.maximum(gain, 1e-6)[:, None] - before
    mean = rise.mean(axis=0)
    rise = rise[:, mean >= np.quantile(mean, 1 - _PART)]
    apart = rise - rise.mean(axis=0)
    # The direction in which courses differ most: from those that fall to those that rise.
    _, directions = np.linalg.eigh(apart @ apart.T)
    score = directions[:, -1] @ apart
    low, high = np.quantile(score, [_GROUP, 1 - _GROUP])
    falling, rising = (
        np.stack([part.mean(axis=1) for part in np.array_split(rise[:, of], _PLACES, axis=1)]).astype(float)
        for of in (score >= high, score <= low)
    )
    # Blood is brightest.
    return (falling, rising) if falling.mean(0).max() >= rising.mean(0).max() else (rising, falling)


def _valley(blood: Course, part: float = 1.0) -> str | None:
    """That blood falls and rises again, in words with {n} for the phases after contrast; None where it does not."""
    mean = blood.mean(axis=0)
    for at in np.argsort(mean):
        if not 0 < at < len(mean) - 1:
            continue
        left, right = int(np.argmax(mean[:at])), at + 1 + int(np.argmax(mean[at + 1 :]))
        deep = np.minimum(blood[:, left], blood[:, right]) - blood[:, at]
        if deep.mean() > part * _DEPTH * np.ptp(mean) and _firm(deep):
            return (
                f"Where contrast agent washes out, the signal falls from {{{left}}} to {{{at}}} and is higher again in "
                f"{{{right}}}, which blood does not do."
            )
    return None


def _ahead(blood: Course, tissue: Course, part: float = 1.0) -> str | None:
    """That tissue is ahead of the blood that it takes contrast agent from, likewise."""
    summit = int(np.argmax(blood.mean(axis=0)))
    if (blood[:, summit] <= 1e-6).any():
        return None  # in part of the body nothing is brought to which the rest could be held
    share = blood / blood[:, [summit]]
    # Of tissue that has not enhanced yet there is no share.
    tops = np.maximum(tissue.max(axis=1, keepdims=True), 1e-6)
    for at in range(summit):
        ahead = tissue[:, at] / tops[:, 0] - share[:, at]
        if share[:, at].mean() >= _ARRIVED and ahead.mean() > part * _AHEAD and _firm(ahead):
            return (
                f"In {{{at}}} tissue has taken up more of the contrast agent than blood had brought, which has most "
                f"of it in {{{summit}}}."
            )
    return None


def _firm(values: NDArray[np.float64]) -> bool:
    """Whether numbers of the parts of the body agree that they are above 0."""
    error = float(values.std(ddof=1)) / np.sqrt(len(values))
    return int((values > 0).sum()) >= _MOST and float(values.mean()) > _FIRM * error


def _mending(blood: Course, tissue: Course) -> tuple[int, int] | None:
    """The exchange of two phases that leaves nothing to be said, and the shortest way from phase to phase."""
    # In units of what blood spans: how far tissue spans may be noise.
    places = np.stack([one.mean(axis=0) for one in (blood, tissue)]) / max(np.ptp(blood.mean(axis=0)), 1e-6)
    count, found = places.shape[1], []
    for pair in combinations(range(count), 2):
        order = _exchanged(count, *pair)
        if not _valley(blood[:, order], 1 / 3) and not _ahead(blood[:, order], tissue[:, order], 1 / 3):
            way = float(np.hypot(*np.diff(places[:, order], axis=1)).sum())
            found.append((way, pair))
    return min(found)[1] if found else None


def _exchanged(count: int, first: int, second: int) -> list[int]:
    order = list(range(count))
    order[first], order[second] = second, first
    return order
