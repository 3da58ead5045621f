"""The convolution of an arterial input with an exponential, exact where the input is straight between its points.

With rate k, E(t) = integral from 0 to t of c(s) exp(-k (t - s)) ds. Between two points h apart, with z = k h, it obeys

    E(t + h) = exp(-z) E(t) + h ((phi1(z) - phi2(z)) c(t) + phi2(z) c(t + h)),
    phi1(z) = (1 - exp(-z)) / z,   phi2(z) = (z - 1 + exp(-z)) / z²,

which follows from integrating the straight line by parts; Flouri et al. 2016 (doi:10.1002/mrm.25991) give the same
recursion. Nothing is approximated, however far apart the points are, so a phase may last a minute.
"""

from __future__ import annotations

from functools import cache
from math import factorial

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_SERIES_BELOW = 0.5
_TERMS = 16


class Convolution:
    """An input convolved with exp(-rate t) for several rates, at any moments.

    Before its first point the input is 0, between points it is straight, after the last it keeps its value.
    """

    def __init__(self, times: ArrayLike, values: ArrayLike, rates: ArrayLike) -> None:
        """Go through the input once.

        Args:
            times: of the input's points, rising, in any unit.
            values: of the input, one per time.
            rates: shape (rates,), per unit of time, 0 or more.
        """
        self._times = np.asarray(times, np.float64)
        self._values = np.asarray(values, np.float64)
        self._rates = np.asarray(rates, np.float64)
        sizes, which = np.unique(np.diff(self._times), return_inverse=True)
        decays, before, after = _steps(sizes, self._rates)
        self._states = np.empty((self._times.size, 3, self._rates.size))
        self._states[0] = state = np.zeros((3, self._rates.size))
        for i, size in enumerate(which):
            fresh = before[size] * self._values[i]
            fresh += after[size] * self._values[i + 1]
            _carry(fresh, decays[size], state)
            self._states[i + 1] = state = fresh

    def at(self, moments: ArrayLike) -> Array:
        """The convolution E, dE/dx and d²E/dx² with x = ln(rate), shape (3, rates, moments).

        In the unit of the values times that of time.
        """
        wanted = np.asarray(moments, np.float64)
        point = np.searchsorted(self._times, wanted, side="right") - 1
        known = np.maximum(point, 0)
        decays, before, after = _steps(np.maximum(wanted - self._times[known], 0.0), self._rates)
        here = self._values[known][:, np.newaxis, np.newaxis]
        there = at_times(self._times, self._values, wanted)[:, np.newaxis, np.newaxis]
        fresh = before * here + after * there
        _carry(fresh, decays, self._states[known])
        fresh[point < 0] = 0.0
        moved: Array = np.ascontiguousarray(np.moveaxis(fresh, 0, -1))
        return moved


def exponential_convolution(times: ArrayLike, values: ArrayLike, rates: ArrayLike, at: ArrayLike) -> Array:
    """An input convolved with exp(-rate t), shape (rates, moments): see `Convolution`."""
    found: Array = Convolution(times, values, rates).at(at)[0]
    return found


def at_times(times: ArrayLike, values: ArrayLike, at: ArrayLike) -> Array:
    """The input itself at moments: 0 before its first point, straight between points, constant after the last."""
    points, curve = np.asarray(times, np.float64), np.asarray(values, np.float64)
    result: Array = np.interp(np.asarray(at, np.float64), points, curve, left=0.0)
    return result


def _steps(sizes: Array, rates: Array) -> tuple[Array, Array, Array]:
    """What steps do, each of shape (steps, 3, rates): to what was there, and with the input at their two ends."""
    z = sizes[:, np.newaxis] * rates
    decay = np.exp(-z)
    decays: Array = np.stack([decay, -z * decay, (z * z - z) * decay], axis=1)
    one, two = _logarithmic(z, *_phi(z, 1)), _logarithmic(z, *_phi(z, 2))
    scale: Array = sizes[:, np.newaxis, np.newaxis]
    before: Array = scale * (one - two)
    after: Array = scale * two
    return decays, before, after


def _carry(fresh: Array, decays: Array, state: Array) -> None:
    """Add what is left of an earlier state, by the product rule; arrays (..., 3, rates)."""
    fresh += decays[..., :1, :] * state
    fresh[..., 1, :] += decays[..., 1, :] * state[..., 0, :]
    fresh[..., 2, :] += 2 * decays[..., 1, :] * state[..., 1, :] + decays[..., 2, :] * state[..., 0, :]


@cache
def _coefficients(order: int) -> tuple[Array, Array, Array]:
    """Taylor coefficients of phi of an order, of its first and of its second derivative, lowest power first."""
    powers = np.arange(1, _TERMS, dtype=np.float64)
    plain: Array = np.array([(-1.0) ** j / factorial(j + order) for j in range(_TERMS)], np.float64)
    slope: Array = plain[1:] * powers
    bend: Array = slope[1:] * powers[:-1]
    return plain, slope, bend


def _phi(z: Array, order: int) -> tuple[Array, Array, Array]:
    """phi1 or phi2 with two derivatives by z; near 0 by its series, where the closed form would cancel."""
    safe = np.maximum(z, _SERIES_BELOW)
    decay = np.exp(-safe)
    one = -np.expm1(-safe) / safe
    one1 = (decay - one) / safe
    one2 = -(decay + 2 * one1) / safe
    closed = (one, one1, one2)
    if order == 2:
        two = (1 - one) / safe
        two1 = -(one1 + two) / safe
        closed = (two, two1, -(one2 + 2 * two1) / safe)
    small = z < _SERIES_BELOW
    series = (np.polynomial.polynomial.polyval(np.where(small, z, 0.0), c) for c in _coefficients(order))
    plain, slope, bend = (np.where(small, s, c) for s, c in zip(series, closed, strict=True))
    return plain, slope, bend


def _logarithmic(z: Array, plain: Array, slope: Array, bend: Array) -> Array:
    """Derivatives by z as derivatives by ln z, stacked along the second axis."""
    return np.stack([plain, z * slope, z * slope + z * z * bend], axis=1)
