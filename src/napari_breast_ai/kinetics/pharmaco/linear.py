"""The two parameters that enter a model as factors: their best values inside their bounds, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SINGULAR = 1e-12


@dataclass(frozen=True, eq=False)
class Products:
    """Inner products of a curve c with a shape E and the plasma curve c_p; arrays broadcast against each other.

    Attributes:
        shape: E · c.
        plasma: c_p · c.
        power: E · E.
        mixed: E · c_p.
        plasma_power: c_p · c_p.
    """

    shape: Array
    plasma: Array
    power: Array
    mixed: Array
    plasma_power: float


def best_linear(held: Products, highest_k: Array, highest_v: float) -> tuple[Array, Array, Array]:
    """The least of |c - k E - v c_p|² for 0 <= k <= highest_k and 0 <= v <= highest_v.

    The sum is convex in (k, v): its least value is at the point where both slopes are 0 if that lies inside, and on
    one of the four sides otherwise.

    Returns:
        k, v and the sum less c · c.
    """
    a, b, p, q, r = held.shape, held.plasma, held.power, held.mixed, held.plasma_power
    if highest_v == 0:
        k = np.clip(a / p, 0.0, highest_k)
        return k, np.zeros_like(k), k * (k * p - 2 * a)
    span = p * r - q * q
    sound = span > _SINGULAR * p * r
    scale = 1.0 / np.where(sound, span, 1.0)
    k = (a * r - b * q) * scale
    v = (b * p - a * q) * scale
    outside = (k < 0) | (k > highest_k) | (v < 0) | (v > highest_v) | ~sound
    total = -(k * a + v * b)
    if outside.any():
        a, b, p, q, top = (np.broadcast_to(one, outside.shape)[outside] for one in (a, b, p, q, highest_k))
        k[outside], v[outside], total[outside] = _on_a_side(a, b, p, q, r, top, highest_v)
    return k, v, total


def _on_a_side(
    a: Array, b: Array, p: Array, q: Array, r: float, highest_k: Array, highest_v: float
) -> tuple[Array, Array, Array]:
    """The best point on the four sides of the box."""
    best_k = np.clip(a / p, 0.0, highest_k)
    best_v = np.zeros_like(best_k)
    best = best_k * (best_k * p - 2 * a)
    sides: list[tuple[Array, Array]] = [
        (np.zeros_like(a), np.clip(b / r, 0.0, highest_v)),
        (highest_k, np.clip((b - q * highest_k) / r, 0.0, highest_v)),
    ]
    if (q < 0).any() or (b > r * highest_v).any():  # else the best v is below b / r, whatever k is
        sides.append((np.clip((a - q * highest_v) / p, 0.0, highest_k), np.full_like(a, highest_v)))
    for k, v in sides:
        total = k * (k * p - 2 * a + 2 * v * q) + v * (v * r - 2 * b)
        better = total < best
        np.copyto(best_k, k, where=better)
        np.copyto(best_v, v, where=better)
        np.copyto(best, total, where=better)
    return best_k, best_v, best
