"""Colours of heat maps: perceptually uniform, told apart by readers with any common form of colour blindness.

A colour stands for one number whatever the threshold is: a threshold leaves colours out, and does not move them.
"""

from __future__ import annotations

import numpy as np
from cmap import Colormap as CatalogColormap
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

COLORS = {"viridis": "bids:viridis", "inferno": "bids:inferno", "cividis": "cividis:cividis"}
"""What a person can choose for one map; each gets lighter with the number."""

TARGETS = "bids:plasma"

DIFFERENCE = "crameri:managua"
"""Light at both ends and dark in the middle, as the ground is. Source: Crameri, Shephard and Heron, Nat Commun
2020;11:5444."""

STEPS = 256
_SOFT = 0.12
"""Over this part of the range a map fades in above the threshold, so that its edge has no steps."""


def heat_colormap(name: str, threshold: float = 0.0) -> Colormap:
    """Colours of a map whose numbers run from 0 to 1, clear below the threshold.

    Args:
        name: of `COLORS`, or `TARGETS`.
        threshold: a part of the range, 0..1.
    """
    steps = np.linspace(0.0, 1.0, STEPS)
    # The darkest part of these maps would only dim the anatomy: start where there is colour to see.
    colors = np.array(CatalogColormap(COLORS.get(name, name))(0.25 + 0.75 * steps), dtype=np.float32)
    colors[:, 3] = _alpha(steps, threshold)
    return Colormap(colors, name=f"breast-ai {name}")


def difference_colormap(threshold: float = 0.0) -> Colormap:
    """Colours of a map whose numbers run from -1 to 1, clear where their size is below the threshold."""
    steps = np.linspace(-1.0, 1.0, STEPS + 1)
    # Turned round: what speaks for the class that is asked for is the warm colour.
    colors = np.array(CatalogColormap(DIFFERENCE)(0.5 - 0.5 * steps), dtype=np.float32)
    colors[:, 3] = _alpha(np.abs(steps), threshold)
    return Colormap(colors, name="breast-ai difference")


def levels(threshold: float) -> tuple[float, ...]:
    """Where lines are drawn: at the threshold, and at a quarter, a half and three quarters of the range above it."""
    least = threshold if threshold > 0 else 0.25
    return (least, *(level for level in (0.25, 0.5, 0.75) if level > least + 0.1))


def _alpha(steps: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Opacity of each step: weak numbers cover the anatomy less."""
    strength = np.minimum(1.0, 1.6 * steps) ** 0.8
    if threshold > 0:
        strength = strength * np.clip((steps - threshold) / _SOFT, 0, 1)
    return np.asarray(strength, np.float64)
