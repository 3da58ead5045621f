"""A figure that may be undefined, with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Figure:
    """A figure, its 95 % interval and what it rests on; what is undefined says why.

    Attributes:
        value: None where it is undefined.
        low, high: limits of the interval, or None.
        n: how many boxes, slices, patients or cases it rests on.
        method: how the interval was made, such as "Wilson 95%", or "".
        reason: why the figure, or its interval, is undefined, in a sentence, or "".
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    method: str = ""
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "interval": self.method,
            "reason": self.reason,
        }

    def __str__(self) -> str:
        if self.value is None:
            return "undefined"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    """Quotients, NaN where the denominator is 0."""
    above, below = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    out: NDArray[np.float64] = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    np.divide(above, below, out=out, where=below != 0)
    return out
