"""From signal to concentration: the steady state of a spoiled gradient echo, and its exact inverse.

    S = S0 sin(a) (1 - E) / (1 - cos(a) E),   E = exp(-TR R1),   R1 = R10 + r1 C

(Haase et al. 1986, doi:10.1016/0022-2364(86)90433-6; Schabel and Parker 2008, doi:10.1088/0031-9155/53/9/010.) With the
baseline signal S_b at R10, E0 = exp(-TR R10) and n = (S / S_b) (1 - E0) / (1 - cos(a) E0):

    E = (1 - n) / (1 - n cos(a)),   C = (-ln(E) / TR - R10) / r1.

Echo time is taken as so short that T2* does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import PharmacoError

Array = NDArray[np.float64]

MOST_MM = 30.0
"""Above this concentration the signal hardly changes any more (and falls with T2*): it counts as saturated. mM."""


@dataclass(frozen=True)
class SpoiledGradientEcho:
    """What the conversion needs to know about the sequence and the agent.

    Attributes:
        tr_s: repetition time, seconds.
        flip_deg: flip angle, degrees.
        relaxivity: of the agent, 1/(s mM).
    """

    tr_s: float
    flip_deg: float
    relaxivity: float

    def __post_init__(self) -> None:
        if not 0 < self.tr_s < 1:
            raise PharmacoError(
                f"A repetition time of {self.tr_s * 1000:g} ms is not that of a spoiled gradient echo. Check the unit: "
                "a breast series has 3 to 10 ms."
            )
        if not 0 < self.flip_deg < 90:
            raise PharmacoError(
                f"A flip angle of {self.flip_deg:g}° gives no contrast between T1 values. Give the angle in degrees, "
                "above 0 and below 90."
            )
        if not 0.5 <= self.relaxivity <= 50:
            raise PharmacoError(
                f"A relaxivity of {self.relaxivity:g} per s and mM is not that of a contrast agent. Give it per second "
                "and millimole per litre, such as 4.5."
            )


@dataclass(frozen=True, eq=False)
class Concentration:
    """Concentration of the agent, and where there is none to be had.

    Attributes:
        mM: shape (phases, ...), never NaN: 0 where there is none.
        valid: bool, of the voxels' shape: there is a concentration in every phase.
        no_baseline: bool: the signal before contrast, or T1, is 0 or below.
        saturated: bool: in some phase the signal is at or above what `MOST_MM` gives; no concentration belongs to it.
        negative: bool: in some phase the signal is below 0; it was taken as 0, the lowest that there is.
    """

    mM: Array
    valid: NDArray[np.bool_]
    no_baseline: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    negative: NDArray[np.bool_]


def signal_of(r1: ArrayLike, s0: ArrayLike, tr_s: float, flip_deg: ArrayLike) -> Array:
    """Signal of a spoiled gradient echo in its steady state.

    Args:
        r1: longitudinal relaxation rate, 1/s.
        s0: signal of fully relaxed magnetisation flipped by 90°, in any unit.
        tr_s: repetition time, seconds.
        flip_deg: degrees.
    """
    angle = np.deg2rad(np.asarray(flip_deg, np.float64))
    decay = np.exp(-tr_s * np.asarray(r1, np.float64))
    result: Array = np.asarray(s0, np.float64) * np.sin(angle) * (1 - decay) / (1 - np.cos(angle) * decay)
    return result


def checked_baseline(baseline: Sequence[int], n_phases: int) -> NDArray[np.intp]:
    """The phases before contrast as an array.

    Raises:
        PharmacoError: there is none, or one that the study does not have.
    """
    chosen = np.asarray(baseline, np.intp)
    if chosen.size == 0 or chosen.min() < 0 or chosen.max() >= n_phases:
        raise PharmacoError(
            "No phase before contrast is known, and concentration is counted from it. Choose the pre-contrast phase in "
            "the Cases dock."
        )
    return chosen


def concentration(
    signal: ArrayLike,
    t1_s: ArrayLike,
    sequence: SpoiledGradientEcho,
    baseline: Sequence[int] = (0,),
    b1: ArrayLike = 1.0,
) -> Concentration:
    """Concentration of each phase from the signal and the T1 before contrast.

    Args:
        signal: shape (phases, ...), in any unit that is 0 where nothing is received.
        t1_s: before contrast, seconds: one value, or one per voxel.
        sequence: how it was measured.
        baseline: the phases before contrast; their mean is the baseline.
        b1: actual over nominal flip angle: one value, or one per voxel.

    Raises:
        PharmacoError: there is no baseline phase.
    """
    data = np.asarray(signal)
    chosen = checked_baseline(baseline, data.shape[0])
    cells = data.shape[1:]
    t1 = np.broadcast_to(np.asarray(t1_s, np.float64), cells)
    cosine = np.cos(np.deg2rad(sequence.flip_deg) * np.broadcast_to(np.asarray(b1, np.float64), cells))
    before = data[chosen].mean(axis=0, dtype=np.float64)
    sound = np.isfinite(before) & (before > 0) & np.isfinite(t1) & (t1 > 0)
    rate = 1.0 / np.where(sound, t1, 1.0)
    decay = np.exp(-sequence.tr_s * rate)
    factor = (1 - decay) / (1 - cosine * decay) / np.where(sound, before, 1.0)
    lowest = np.exp(-sequence.tr_s * (rate + sequence.relaxivity * MOST_MM))
    most = (1 - lowest) / (1 - cosine * lowest)
    out = np.zeros(data.shape)
    finite = np.ones(cells, bool)
    saturated = np.zeros(cells, bool)
    negative = np.zeros(cells, bool)
    for phase in range(data.shape[0]):
        n = data[phase] * factor
        finite &= np.isfinite(n)
        saturated |= n >= most
        negative |= n < 0
        n = np.clip(np.where(np.isfinite(n), n, 0.0), 0.0, most)
        out[phase] = (-np.log((1 - n) / (1 - n * cosine)) / sequence.tr_s - rate) / sequence.relaxivity
    valid = sound & finite & ~saturated
    out *= valid
    return Concentration(out, valid, ~sound, saturated & sound, negative & sound)
