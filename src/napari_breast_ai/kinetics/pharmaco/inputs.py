"""The arterial input: the concentration in the plasma of the artery that feeds the tissue, over time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from .convolution import at_times
from .errors import PharmacoError

Array = NDArray[np.float64]

HAEMATOCRIT = 0.42
"""Share of cells in the blood of the large vessels of an adult woman; said wherever it is used."""
MOST_HELD = 0.2
"""An input may end before the study does by this share of the study, and keeps its last value for the rest."""
_STEP_S = 0.25
_MINUTE = 60.0

# Parker et al. 2006, table 1 (doi:10.1002/mrm.21066). Minutes and mM.
_PARKER = ((0.809, 0.0563, 0.17046), (0.330, 0.132, 0.365))
_PARKER_TAIL = (1.050, 0.1685, 38.078, 0.483)
# Georgiou et al. 2019, equation 1 and table 3 (doi:10.1002/mrm.27524). Minutes and mM. The table gives two or three
# digits, which misses the paper's own curve by up to 2 %; these are the same numbers with the digits that its curve
# has.
_GEORGIOU = ((0.37430, 0.11269), (0.33119, 1.17451), (10.06088, 16.01963))
_GEORGIOU_SHAPE = (5.26698, 0.0320789, 0.1285561)


@dataclass(frozen=True, eq=False)
class ArterialInput:
    """Concentration in arterial plasma.

    Attributes:
        times_s: seconds on the study's clock, rising.
        plasma_mM: one per time.
        said: where it comes from, in a sentence.
        delay_s: how much later than at `times_s` it reaches the tissue.
    """

    times_s: Array
    plasma_mM: Array
    said: str
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "times_s", np.asarray(self.times_s, np.float64))
        object.__setattr__(self, "plasma_mM", np.asarray(self.plasma_mM, np.float64))
        if self.times_s.ndim != 1 or self.times_s.shape != self.plasma_mM.shape or self.times_s.size < 2:
            raise PharmacoError(
                "An arterial input needs at least two points, each with a time and a concentration."
            )
        if not all(np.isfinite(one).all() for one in (self.times_s, self.plasma_mM, self.delay_s)):
            raise PharmacoError("The arterial input holds values that are no numbers. Correct its file.")
        if (np.diff(self.times_s) <= 0).any():
            raise PharmacoError(
                "The times of the arterial input must rise from point to point. Sort its file."
            )
        if self.plasma_mM.max() <= 0:
            raise PharmacoError(
                "The arterial input shows no contrast agent at all. Choose another region or curve."
            )

    @property
    def arrival_s(self) -> Array:
        """The times at which the points reach the tissue."""
        return self.times_s + self.delay_s

    def delayed(self, seconds: float) -> ArterialInput:
        """The same input, reaching the tissue `seconds` later than its points say, and no more."""
        return replace(self, delay_s=float(seconds))

    def at(self, times_s: ArrayLike) -> Array:
        """Plasma concentration that reaches the tissue at moments, mM."""
        return at_times(self.arrival_s, self.plasma_mM, times_s)

    def check_reach(self, times_s: ArrayLike) -> None:
        """Whether the input lasts as long as the study.

        Raises:
            PharmacoError: it ends much earlier.
        """
        times = np.asarray(times_s, np.float64)
        missing = float(times[-1] - self.arrival_s[-1])
        if missing > MOST_HELD * float(times[-1] - times[0]):
            raise PharmacoError(
                f"The arterial input ends {missing:.0f} s before the last phase. Give a curve that lasts as long as the "
                "study, or use fewer phases."
            )


def parker_blood(times_s: ArrayLike, arrival_s: float = 0.0) -> Array:
    """The population's blood curve of Parker et al. 2006 (doi:10.1002/mrm.21066), mM of whole blood.

    Two passes of the bolus as Gaussians, and a sigmoid times an exponential. It is that of 0.1 mmol/kg at 3 ml/s in
    patients with cancer.

    Args:
        times_s: seconds.
        arrival_s: when the bolus reaches the artery; before it the curve is 0.
    """
    seconds = np.asarray(times_s, np.float64)
    t = (seconds - arrival_s) / _MINUTE
    alpha, beta, s, tau = _PARKER_TAIL
    with np.errstate(over="ignore"):  # long before arrival, and 0 there anyway
        curve = alpha * np.exp(-beta * t) / (1 + np.exp(-s * (t - tau)))
        for area, width, centre in _PARKER:
            curve += area / (width * np.sqrt(2 * np.pi)) * np.exp(-((t - centre) ** 2) / (2 * width**2))
    # Compared as given: a difference that was rounded could lose the moment of arrival itself.
    return np.where(seconds < arrival_s, 0.0, curve)


def georgiou_blood(times_s: ArrayLike, arrival_s: float = 0.0) -> Array:
    """The population's blood curve of Georgiou et al. 2019 (doi:10.1002/mrm.27524), mM of whole blood.

    Of patients with breast cancer, 0.1 mmol/kg, haematocrit 0.35. Three exponentials times a sum of gamma variates,
    one for each time that the bolus comes round (Horsfield et al. 2009, doi:10.1088/0031-9155/54/9/023).

    Args:
        times_s: seconds.
        arrival_s: when the bolus reaches the artery; before it the curve is 0.
    """
    t = np.maximum((np.asarray(times_s, np.float64) - arrival_s) / _MINUTE, 0.0)
    alpha, beta, tau = _GEORGIOU_SHAPE
    rounds = np.zeros_like(t)
    for n in range(int(t.max(initial=0.0) / tau) + 1):
        since = t - n * tau
        power = (n + 1) * alpha + n
        inside = since > 0
        logarithm = power * np.log(since[inside]) - since[inside] / beta
        rounds[inside] += np.exp(logarithm - (power + 1) * np.log(beta) - gammaln(power + 1))
    decay = np.sum([a * np.exp(-m * t) for a, m in _GEORGIOU], axis=0)
    curve: Array = decay * rounds
    return curve


POPULATIONS = {"parker": parker_blood, "georgiou": georgiou_blood}
_NAMES = {
    "parker": "the population's of Parker et al. 2006 (doi:10.1002/mrm.21066)",
    "georgiou": "the population's of Georgiou et al. 2019 (doi:10.1002/mrm.27524)",
}


def population_input(
    name: str, last_s: float, arrival_s: float = 0.0, haematocrit: float = HAEMATOCRIT
) -> ArterialInput:
    """A population's input as plasma concentration, finely sampled.

    Args:
        name: one of `POPULATIONS`.
        last_s: the last moment that is needed, seconds.
        arrival_s: when the bolus reaches the artery, seconds on the study's clock.
        haematocrit: plasma = blood / (1 - haematocrit).

    Raises:
        PharmacoError: the name is unknown, or the haematocrit is none.
    """
    if name not in POPULATIONS:
        raise PharmacoError(
            f"There is no population input “{name}”. Choose one of: {', '.join(sorted(POPULATIONS))}."
        )
    _check_haematocrit(haematocrit)
    span = max(last_s - arrival_s, 0.0) + _STEP_S
    times: Array = arrival_s + _STEP_S * np.arange(int(np.ceil(span / _STEP_S)) + 1, dtype=np.float64)
    blood = POPULATIONS[name](times, arrival_s)
    said = (
        f"The arterial input is {_NAMES[name]}, arriving at {arrival_s:.1f} s, as plasma with a haematocrit of "
        f"{haematocrit:g}; it is not this patient's."
    )
    return ArterialInput(times, blood / (1 - haematocrit), said)


def drawn_input(
    times_s: ArrayLike, blood_mM: ArrayLike, haematocrit: float = HAEMATOCRIT, of: str = "a drawn region"
) -> ArterialInput:
    """The input of a drawn region: the mean curve of its voxels.

    Args:
        times_s: of the phases, seconds.
        blood_mM: concentration in whole blood: a curve, or (phases, voxels), whose mean over voxels is taken.
        haematocrit: plasma = blood / (1 - haematocrit); 0 where the values are of plasma already.
        of: what the region is, for the sentence.

    Raises:
        PharmacoError: the region is empty or shows no agent, or the haematocrit is none.
    """
    _check_haematocrit(haematocrit)
    blood = np.asarray(blood_mM, np.float64)
    if blood.size == 0:
        raise PharmacoError("The region of the artery is empty. Draw it inside a vessel.")
    if blood.ndim == 2:
        blood = blood.mean(axis=1)
    said = (
        f"The arterial input is the mean curve of {of}, as plasma with a haematocrit of {haematocrit:g}."
        if haematocrit
        else f"The arterial input is {of}, taken as plasma concentration."
    )
    return ArterialInput(np.asarray(times_s, np.float64), blood / (1 - haematocrit), said)


def _check_haematocrit(value: float) -> None:
    if not 0 <= value < 1:
        raise PharmacoError(
            f"A haematocrit of {value:g} cannot be: give the share of cells in the blood, such as 0.42."
        )
