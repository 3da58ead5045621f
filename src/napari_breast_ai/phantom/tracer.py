"""Contrast agent in blood and tissue, and what the scanner makes of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

HAEMATOCRIT = 0.42
RELAXIVITY = 4.3
"""1/(s·mM), in plasma at 1.5 T; Rohrer et al., Invest Radiol 2005;40:715-724: 3.6 to 5."""


def parker_aif(minutes: ArrayLike) -> NDArray[np.float64]:
    """Concentration in whole blood (mM) `minutes` after the bolus arrives in the artery; 0 before.

    Source: Parker et al., Magn Reson Med 2006;56:993-1000, equation 1 and table 1: two Gaussians and an
    exponential modulated by a sigmoid, the average of 67 measurements.
    """
    t = np.asarray(minutes, dtype=np.float64)
    first = 0.809 / (0.0563 * np.sqrt(2 * np.pi)) * np.exp(-((t - 0.17046) ** 2) / (2 * 0.0563**2))
    second = 0.330 / (0.132 * np.sqrt(2 * np.pi)) * np.exp(-((t - 0.365) ** 2) / (2 * 0.132**2))
    late = 1.050 * np.exp(-0.1685 * t) / (1 + np.exp(np.clip(-38.078 * (t - 0.483), -700, 700)))
    return np.where(t < 0, 0.0, first + second + late)


def impulse_table(
    minutes: ArrayLike, kep: NDArray[np.float64], step_min: float = 1 / 300
) -> NDArray[np.float64]:
    """∫₀ᵗ Cp(τ) exp(-kep (t - τ)) dτ in mM·min, for each time t (rows) and kep in 1/min (columns).

    Times Ktrans this is the tissue concentration of Tofts' model (J Magn Reson Imaging 1999;10:223-232).
    Cp = Cb / (1 - haematocrit) is taken as linear within a step, and the integral of that is exact.
    """
    times = np.asarray(minutes, dtype=np.float64)
    end = max(float(times.max(initial=0.0)), step_min)
    n = int(np.ceil(end / step_min)) + 1
    cp = parker_aif(np.arange(n + 1) * step_min) / (1 - HAEMATOCRIT)
    x = np.maximum(kep * step_min, 1e-8)
    decay = np.exp(-x)
    # Weights of the old and the new sample in the integral of a line times the exponential.
    new = step_min * (x - 1 + decay) / x**2
    old = step_min * (1 - decay * (1 + x)) / x**2
    course = np.zeros((n + 1, kep.size))
    for i in range(n):
        course[i + 1] = course[i] * decay + old * cp[i] + new * cp[i + 1]
    at = np.clip(times, 0, None) / step_min
    low = np.minimum(at.astype(int), n - 1)
    part = (at - low)[:, None]
    return np.asarray(course[low] * (1 - part) + course[low + 1] * part, dtype=np.float64)


def tofts(minutes: ArrayLike, ktrans: float, ve: float, vp: float = 0.0) -> NDArray[np.float64]:
    """Tissue concentration in mM `minutes` after the bolus arrives: the extended Tofts model.

    Args:
        minutes: times.
        ktrans: transfer constant, 1/min.
        ve: volume fraction of the extravascular extracellular space.
        vp: volume fraction of plasma.
    """
    table = impulse_table(minutes, np.array([ktrans / ve]))[:, 0]
    return ktrans * table + vp * parker_aif(minutes) / (1 - HAEMATOCRIT)


def spoiled_gradient_echo(r1: NDArray[np.float32], tr_s: float, flip_deg: float) -> NDArray[np.float32]:
    """Steady-state signal per proton density: sin α (1 - E1) / (1 - cos α E1), E1 = exp(-TR R1); R1 in 1/s.

    Source: the Ernst equation; Bernstein, King and Zhou, Handbook of MRI Pulse Sequences, 2004, chapter 14.
    """
    e1 = np.exp(r1 * np.float32(-tr_s))
    sine, cosine = np.float32(np.sin(np.radians(flip_deg))), np.float32(np.cos(np.radians(flip_deg)))
    return np.asarray(sine * (1 - e1) / (1 - cosine * e1), dtype=np.float32)
