"""T1 from spoiled gradient echoes of several flip angles.

Linear (DESPOT1, Deoni et al. 2003, doi:10.1002/mrm.10407): S / sin(a) = E S / tan(a) + S0 (1 - E), a straight line whose
slope is E = exp(-TR / T1). It weighs noise unequally. Non-linear: least squares of the signal itself. S0 enters as a
factor, so T1 is the only parameter to look for: the sum of squares is evaluated at T1 values in even steps of their
logarithm, and the root of its slope is found beside the best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...core import Progress, silent
from .errors import PharmacoError
from .roots import rising_roots

Array = NDArray[np.float64]
_Method = Callable[[Array, Array, float], tuple[Array, Array, NDArray[np.bool_]]]

T1_BOUNDS = (0.01, 10.0)
"""Lowest and highest T1 that counts as measured, seconds."""
_N_VALUES = 65
_CHUNK = 4096
_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class T1Map:
    """T1 of each voxel. A voxel that could not be fitted is 0.

    Attributes:
        t1_s: seconds.
        s0: signal of fully relaxed magnetisation, in the unit of the images.
        r2: coefficient of determination of the signal over the angles.
        fitted: bool: a T1 inside `T1_BOUNDS` was found.
        said: how it was made, in a sentence.
    """

    t1_s: NDArray[np.float32]
    s0: NDArray[np.float32]
    r2: NDArray[np.float32]
    fitted: NDArray[np.bool_]
    said: str


def t1_linear(
    signal: ArrayLike, flips_deg: ArrayLike, tr_s: float, b1: ArrayLike = 1.0, progress: Progress = silent
) -> T1Map:
    """T1 by the straight line of DESPOT1.

    Args:
        signal: shape (angles, ...).
        flips_deg: nominal flip angles, degrees, one per image.
        tr_s: repetition time, the same for all, seconds.
        b1: actual over nominal flip angle: one value, or one per voxel.
        progress: called per some thousand voxels; may raise `Cancelled`.

    Raises:
        PharmacoError: fewer than two angles, or they do not go with the images.
    """
    data, angles, scale = _checked(signal, flips_deg, tr_s, b1)
    return _map(
        data,
        angles,
        scale,
        tr_s,
        _line,
        f"T1 is measured, by a linear fit of {_said(angles, tr_s)}.",
        progress,
    )


def t1_nonlinear(
    signal: ArrayLike,
    flips_deg: ArrayLike,
    tr_s: float,
    b1: ArrayLike = 1.0,
    progress: Progress = silent,
) -> T1Map:
    """T1 by least squares of the signal.

    Args:
        signal, flips_deg, tr_s, b1, progress: as of `t1_linear`.

    Raises:
        PharmacoError: as `t1_linear`.
    """
    data, angles, scale = _checked(signal, flips_deg, tr_s, b1)
    said = f"T1 is measured, by a non-linear fit of {_said(angles, tr_s)}."
    return _map(data, angles, scale, tr_s, _least_squares, said, progress)


def told_t1(t1_s: NDArray[np.generic], of: str) -> T1Map:
    """A T1 map that was measured elsewhere, in seconds; values outside `T1_BOUNDS` count as not measured.

    Raises:
        PharmacoError: hardly a value lies inside, so that it must be in another unit.
    """
    values = np.asarray(t1_s, np.float32)
    given = np.isfinite(values) & (values > 0)
    fitted = given & (values >= T1_BOUNDS[0]) & (values <= T1_BOUNDS[1])
    if 2 * fitted.sum() <= given.sum():
        raise PharmacoError(
            f"Most values of the T1 map “{of}” are not between {T1_BOUNDS[0]:g} and {T1_BOUNDS[1]:g} s. Give it in "
            "seconds, not in milliseconds."
        )
    none = np.zeros(values.shape, np.float32)
    return T1Map(
        np.where(fitted, values, 0.0).astype(np.float32), none, none, fitted, f"T1 is that of the map “{of}”."
    )


def _line(s: Array, angle: Array, tr_s: float) -> tuple[Array, Array, NDArray[np.bool_]]:
    """As `_least_squares`, by the straight line."""
    y, x = s / np.sin(angle), s / np.tan(angle)
    dx = x - x.mean(axis=0)
    spread = (dx**2).sum(axis=0)
    slope = np.divide((dx * y).sum(axis=0), spread, out=np.zeros_like(spread), where=spread > 0)
    inside = np.asarray((slope > np.exp(-tr_s / T1_BOUNDS[0])) & (slope < np.exp(-tr_s / T1_BOUNDS[1])))
    decay = np.where(inside, slope, 0.5)
    return decay, (y - decay * x).mean(axis=0) / (1 - decay), inside


def _least_squares(s: Array, angle: Array, tr_s: float) -> tuple[Array, Array, NDArray[np.bool_]]:
    """exp(-TR / T1), S0, and whether the best T1 lies inside the bounds. Shapes (angles, voxels)."""
    sine, cosine = np.sin(angle), np.cos(angle)

    def gain(logarithm: Array) -> Array:
        """What the best S0 takes off the sum of squares, for one T1 or one per voxel."""
        decay = np.exp(-tr_s * np.exp(-logarithm))
        shape = sine * (1 - decay) / (1 - cosine * decay)
        taken: Array = np.maximum((s * shape).sum(axis=0), 0.0) ** 2 / (shape**2).sum(axis=0)
        return taken

    def slope(logarithm: Array, which: NDArray[np.intp]) -> Array:
        """Of the sum of squares with the best S0, by ln T1."""
        rate = np.exp(-logarithm)
        decay = np.exp(-tr_s * rate)
        si, co = sine[:, which], cosine[:, which]
        below = 1 - co * decay
        shape = si * (1 - decay) / below
        change = si * (co - 1) / below**2 * (decay * tr_s * rate)
        with_shape, with_change = (s[:, which] * shape).sum(axis=0), (s[:, which] * change).sum(axis=0)
        power, mixed = (shape**2).sum(axis=0), (shape * change).sum(axis=0)
        result: Array = -2 * with_shape * (with_change * power - with_shape * mixed) / power**2
        return result

    grid = np.linspace(np.log(T1_BOUNDS[0]), np.log(T1_BOUNDS[1]), _N_VALUES)
    node = np.stack([gain(np.array(one)) for one in grid]).argmax(axis=0)
    everyone = np.arange(node.size)
    at = slope(grid[node], everyone)
    low = np.clip(np.where(at > 0, node - 1, node), 0, _N_VALUES - 2)
    far = slope(grid[np.where(node == low, low + 1, low)], everyone)
    place = rising_roots(
        slope,
        grid[low],
        grid[low + 1],
        np.where(node == low, at, far),
        np.where(node == low, far, at),
        _TOLERANCE,
    )
    inside = ~(((node == 0) & (at >= 0)) | ((node == _N_VALUES - 1) & (at <= 0)))
    decay = np.exp(-tr_s * np.exp(-place))
    shape = sine * (1 - decay) / (1 - cosine * decay)
    return decay, (s * shape).sum(axis=0) / (shape**2).sum(axis=0), inside


def _checked(
    signal: ArrayLike, flips_deg: ArrayLike, tr_s: float, b1: ArrayLike
) -> tuple[NDArray[np.generic], Array, Array]:
    data = np.asarray(signal)
    flips = np.asarray(flips_deg, np.float64)
    if flips.ndim != 1 or data.shape[:1] != flips.shape:
        raise PharmacoError(
            f"There are {data.shape[0]} images for {flips.size} flip angles. Give one angle per image, in their order."
        )
    if np.unique(flips).size < 2:
        raise PharmacoError(
            "T1 needs images of at least two different flip angles. Add them, or give an assumed T1 in seconds."
        )
    if not ((flips > 0) & (flips < 90)).all():
        raise PharmacoError("Flip angles must be given in degrees, above 0 and below 90.")
    if not 0 < tr_s < 1:
        raise PharmacoError(
            f"A repetition time of {tr_s * 1000:g} ms is not that of a spoiled gradient echo. Check the unit: a breast "
            "series has 3 to 10 ms."
        )
    return data, np.deg2rad(flips), np.asarray(b1, np.float64)


def _map(
    data: NDArray[np.generic],
    angles: Array,
    b1: Array,
    tr_s: float,
    fit: _Method,
    said: str,
    progress: Progress,
) -> T1Map:
    """Fit in parts: what lies between needs many times the memory of the images."""
    cells = data.shape[1:]
    flat = data.reshape(angles.size, -1)
    scale = np.broadcast_to(b1, cells).reshape(-1)
    out = np.zeros((3, flat.shape[1]), np.float32)
    fitted = np.zeros(flat.shape[1], bool)
    for done in range(0, fitted.size, _CHUNK):
        progress(done, fitted.size, "Measuring T1")
        s = flat[:, done : done + _CHUNK].astype(np.float64)
        usable = np.asarray(np.isfinite(s).all(axis=0) & (s > 0).any(axis=0))
        where = done + np.flatnonzero(usable)
        s = s[:, usable]
        angle = angles[:, np.newaxis] * scale[where]
        decay, s0, inside = fit(s, angle, tr_s)
        inside &= s0 > 0
        own = s0 * np.sin(angle) * (1 - decay) / (1 - np.cos(angle) * decay)
        spread = ((s - s.mean(axis=0)) ** 2).sum(axis=0)
        rest = ((s - own) ** 2).sum(axis=0)
        r2 = 1 - np.divide(rest, spread, out=np.ones_like(spread), where=spread > 0)
        fitted[where] = inside
        out[:, where] = np.where(inside, [-tr_s / np.log(decay), s0, r2], 0.0)
    progress(fitted.size, fitted.size, "Measuring T1")
    t1, s0s, r2s = (one.reshape(cells) for one in out)
    return T1Map(t1, s0s, r2s, fitted.reshape(cells), said)


def _said(angles: Array, tr_s: float) -> str:
    degrees = ", ".join(f"{one:g}" for one in np.rad2deg(angles).round(6))
    return f"flip angles {degrees}° at a repetition time of {tr_s * 1000:g} ms"
