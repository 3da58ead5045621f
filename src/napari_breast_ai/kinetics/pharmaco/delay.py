"""How much later the bolus reaches the tissue than the artery where it was measured (or than a population's says)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from .errors import PharmacoError
from .fit import Bounds, solve_tofts
from .inputs import ArterialInput
from .table import checked_times, convolved, table_at

Array = NDArray[np.float64]

_N_RATES = 33
"""Fewer than a fit's own: a delay moves a curve far more than the table's error of 1e-8 does."""


def find_delay(
    concentration_mM: ArrayLike,
    times_s: ArrayLike,
    arterial: ArterialInput,
    model: str = "extended-tofts",
    limits_s: tuple[float, float] = (-10.0, 10.0),
    step_s: float = 1.0,
    bounds: Bounds | None = None,
) -> float:
    """The delay of an input for which a curve is fitted best: one delay, so give the mean curve of a region.

    The least sum of squares is looked for in steps over all delays, and then between the neighbours of the best.

    Args:
        concentration_mM: shape (phases,).
        times_s: of the phases, rising, seconds.
        arterial: plasma input; its own delay is not looked at.
        model: `tofts` or `extended-tofts`.
        limits_s: earliest and latest delay, seconds.
        step_s: between the delays that are tried first.
        bounds: of the parameters.

    Returns:
        Seconds, to about 0.01.

    Raises:
        PharmacoError: the curve cannot be fitted at any of the delays.
    """
    limits = bounds or Bounds()
    times = checked_times(times_s)
    curve = np.asarray(concentration_mM, np.float64)[:, np.newaxis]
    if curve.shape[0] != times.size or not np.isfinite(curve).all():
        raise PharmacoError(
            "The delay needs one concentration per phase, without gaps. Choose another region."
        )
    logarithms = np.linspace(np.log(limits.kep[0]), np.log(limits.kep[1]), _N_RATES)
    convolution = convolved(arterial, logarithms)

    def left_over(delay_s: float) -> float:
        table = table_at(times, arterial.delayed(delay_s), logarithms, convolution)
        return float(solve_tofts(curve, table, limits, model)[3][0])

    n = max(2, int(np.ceil((limits_s[1] - limits_s[0]) / step_s)) + 1)
    tried = np.linspace(*limits_s, n)
    best = int(np.argmin([left_over(float(one)) for one in tried]))
    around = (tried[max(best - 1, 0)], tried[min(best + 1, n - 1)])
    found = minimize_scalar(left_over, bounds=around, method="bounded", options={"xatol": 0.005})
    return float(found.x) if found.fun <= left_over(float(tried[best])) else float(tried[best])
