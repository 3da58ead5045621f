"""What the range check needs of a model's feature maps, without the maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..core import DceVolume
from ..models import Bundle
from .in_range import slice_vectors
from .kept import KeptFeatures


class Averages(KeptFeatures):
    """Takes feature maps as a run hands them over, and keeps each slice's average alone."""

    def __init__(self, volume: DceVolume, bundle: Bundle) -> None:
        super().__init__(volume, bundle)
        self._vectors: dict[int, NDArray[np.float32]] = {}

    def get(self, slices: Sequence[int]) -> Tensor | None:
        """No maps are kept."""
        return None

    def put(self, slices: Sequence[int], maps: Tensor) -> None:
        """Keep the averages of maps (n, C, h, w) of some slices."""
        self._vectors.update(zip(slices, slice_vectors(maps), strict=True))

    def vectors(self, slices: Sequence[int]) -> NDArray[np.float32] | None:
        """Features averaged over each slice, (n, C); None where one of them was not computed."""
        found = [self._vectors[z] for z in slices if z in self._vectors]
        return np.stack(found) if found and len(found) == len(slices) else None
