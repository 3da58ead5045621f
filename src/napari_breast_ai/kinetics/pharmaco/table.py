"""What a tissue can look like for each rate of washout: computed once for a study, shared by all its voxels.

A voxel's model is K E(k) + v c_p with the exchange rate k = kep as its only non-linear parameter: all voxels of a study
share times and arterial input, so E(k) at a few dozen rates, with two derivatives by ln k, says it at every rate.
Between two rates E is the polynomial of fifth degree that has the values and both derivatives of its ends (Hermite).
With the rates below it differs from the exact convolution by less than 1e-9 of its size, which a test holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .convolution import Convolution
from .errors import PharmacoError
from .inputs import ArterialInput

Array = NDArray[np.float64]

N_RATES = 97
_MINUTE = 60.0
# Coefficients of 1, u, ..., u^5 (rows) from f, f', f'' at u = 0 and f, f', f'' at u = 1 (columns).
_HERMITE = np.array(
    [
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.5, 0.0, 0.0, 0.0],
        [-10.0, -6.0, -1.5, 10.0, -4.0, 0.5],
        [15.0, 8.0, 1.5, -15.0, 7.0, -1.0],
        [-6.0, -3.0, -0.5, 6.0, -3.0, 0.5],
    ]
)


@dataclass(frozen=True, eq=False)
class Table:
    """Convolutions of one input at the phases' times, for rates in even steps of their logarithm.

    Attributes:
        plasma: the input at the phases' times, shape (phases,), mM.
        logarithms: ln of the rates, ln(1/min), shape (rates,).
        shapes: the convolutions at the rates, shape (rates, phases), mM min.
        pieces: their polynomials between rates, by u from 0 to 1, shape (rates - 1, 6, phases).
        slopes: their slopes by u at the rates, shape (rates, phases).
        power, with_plasma: E · E and E · c_p at the rates, shape (rates,).
        power_slopes, with_plasma_slopes: the slopes of these.
        power_pieces, with_plasma_pieces: their polynomials, shapes (rates - 1, 11) and (rates - 1, 6).
        plasma_power: c_p · c_p.
    """

    plasma: Array
    logarithms: Array
    shapes: Array
    slopes: Array
    pieces: Array
    power: Array
    with_plasma: Array
    power_slopes: Array
    with_plasma_slopes: Array
    power_pieces: Array
    with_plasma_pieces: Array
    plasma_power: float

    @property
    def step(self) -> float:
        """Between the logarithms of two neighbouring rates."""
        return float(self.logarithms[1] - self.logarithms[0])


def make_table(
    times_s: ArrayLike, arterial: ArterialInput, kep: tuple[float, float], n_rates: int = N_RATES
) -> Table:
    """Compute the table of a study.

    Args:
        times_s: of the phases, rising, seconds.
        arterial: on the same clock.
        kep: lowest and highest rate, 1/min.
        n_rates: how many rates.

    Raises:
        PharmacoError: times do not rise, or the input does not reach the phases.
    """
    times = checked_times(times_s)
    arterial.check_reach(times)
    logarithms = np.linspace(np.log(kep[0]), np.log(kep[1]), n_rates)
    return table_at(times, arterial, logarithms, convolved(arterial, logarithms))


def convolved(arterial: ArterialInput, logarithms: Array) -> Convolution:
    """The input's convolutions for rates in 1/min, on its own clock in minutes: delays come later."""
    return Convolution(arterial.times_s / _MINUTE, arterial.plasma_mM, np.exp(logarithms))


def table_at(times_s: Array, arterial: ArterialInput, logarithms: Array, convolution: Convolution) -> Table:
    """The table of an input with its delay, from convolutions that know no delay: see `make_table`."""
    step = float(logarithms[1] - logarithms[0])
    value, slope, bend = convolution.at((times_s - arterial.delay_s) / _MINUTE)
    plasma = arterial.at(times_s)
    if not plasma.any():
        raise PharmacoError(
            "No contrast agent reaches the tissue before the last phase. Check the arrival time of the arterial input."
        )
    pieces = _pieces(value, slope, bend, step)
    return Table(
        plasma=plasma,
        logarithms=logarithms,
        shapes=value,
        slopes=step * slope,
        pieces=pieces,
        power=(value**2).sum(axis=1),
        with_plasma=value @ plasma,
        power_slopes=2 * step * (value * slope).sum(axis=1),
        with_plasma_slopes=step * (slope @ plasma),
        power_pieces=_squared(pieces),
        with_plasma_pieces=pieces @ plasma,
        plasma_power=float(plasma @ plasma),
    )


def checked_times(times_s: ArrayLike) -> Array:
    """The phases' times as an array, seconds.

    Raises:
        PharmacoError: they are unknown, do not rise, or are too few.
    """
    times = np.asarray(times_s, np.float64)
    if times.ndim != 1 or times.size < 3 or not np.isfinite(times).all():
        raise PharmacoError(
            f"Pharmacokinetics needs at least three phases with known times; this study has {times.size}. Use the "
            "kinetic maps instead, which need two."
        )
    if (np.diff(times) <= 0).any():
        raise PharmacoError(
            "The times of the phases are not known, or do not rise from phase to phase. Give them with --times, or in "
            "the Review dock."
        )
    return times


def _pieces(value: Array, slope: Array, bend: Array, step: float) -> Array:
    ends = np.stack(
        [value[:-1], step * slope[:-1], step**2 * bend[:-1], value[1:], step * slope[1:], step**2 * bend[1:]]
    )
    pieces: Array = np.einsum("cd,dip->icp", _HERMITE, ends)
    return pieces


def _squared(pieces: Array) -> Array:
    """The polynomials of E · E from those of E: of tenth degree, so that a sum of squares is one, to the last digit."""
    products = np.einsum("icp,idp->icd", pieces, pieces)
    degree = pieces.shape[1]
    squared = np.zeros((pieces.shape[0], 2 * degree - 1))
    for c in range(degree):
        squared[:, c : c + degree] += products[:, c]
    return squared


def polynomial(coefficients: Array, u: Array) -> tuple[Array, Array]:
    """Polynomials and their slopes by u.

    Args:
        coefficients: lowest power first, shape (powers, voxels).
        u: shape (voxels,).
    """
    value, slope = coefficients[-1], np.zeros_like(u)
    for coefficient in coefficients[-2::-1]:
        slope = slope * u + value
        value = value * u + coefficient
    return value, slope
