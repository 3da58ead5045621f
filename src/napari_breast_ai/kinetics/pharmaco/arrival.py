"""When the bolus arrives, looked for in the study itself: there the strongest enhancement is fitted best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .delay import find_delay
from .inputs import HAEMATOCRIT, ArterialInput, population_input
from .regions import region_curve, strongest
from .signal import SpoiledGradientEcho
from .t1 import T1Map


def study_delay(
    data: NDArray[np.generic],
    times_s: ArrayLike,
    arterial: ArterialInput,
    sequence: SpoiledGradientEcho,
    t1: float | T1Map,
    model: str = "extended-tofts",
    baseline: Sequence[int] = (0,),
    region: ArrayLike | None = None,
    limits_s: tuple[float, float] = (-10.0, 10.0),
    step_s: float = 1.0,
) -> float:
    """The delay for which the mean curve of the strongest enhancement is fitted best, seconds.

    Args:
        data: signal, shape (phases, slices, rows, columns).
        times_s: of the phases, rising, seconds.
        arterial: plasma input; its own delay is not looked at.
        sequence: how it was measured, with the agent's relaxivity.
        t1: before contrast: assumed, seconds, or a map of the volume's shape.
        model: one of `MODELS`; Patlak's, which knows no return, is looked for by Tofts'.
        baseline: phases before contrast.
        region: bool: look for enhancement here only.
        limits_s, step_s: see `find_delay`.

    Raises:
        PharmacoError: nothing enhances, or the curve cannot be fitted.
    """
    before = t1.t1_s if isinstance(t1, T1Map) else t1
    curve = region_curve(data, strongest(data, baseline, region), sequence, before, baseline)
    return find_delay(curve, times_s, arterial, "tofts" if model == "patlak" else model, limits_s, step_s)


def arrived_input(
    name: str,
    data: NDArray[np.generic],
    times_s: Sequence[float],
    sequence: SpoiledGradientEcho,
    t1: float | T1Map,
    model: str = "extended-tofts",
    baseline: Sequence[int] = (0,),
    region: ArrayLike | None = None,
    haematocrit: float = HAEMATOCRIT,
) -> ArterialInput:
    """A population's input, arriving when the study says; arguments as of `study_delay` and `population_input`.

    Raises:
        PharmacoError: the name is unknown, nothing enhances, or the curve cannot be fitted.
    """
    early = population_input(name, float(times_s[-1]), 0.0, haematocrit)
    limits = (0.0, max(float(times_s[-2]), 1.0))
    arrival = study_delay(data, times_s, early, sequence, t1, model, baseline, region, limits, 3.0)
    arterial = population_input(name, float(times_s[-1]), arrival, haematocrit)
    looked = "Its arrival was looked for: there the strongest enhancement is fitted best."
    return replace(arterial, said=f"{arterial.said} {looked}")
