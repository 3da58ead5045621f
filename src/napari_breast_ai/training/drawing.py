"""Which slices an epoch learns from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .examples import Examples
from .fitspec import FitSpec


class Drawer:
    """Draws each epoch's slices: equally many per patient, with and without a lesion."""

    def __init__(self, examples: Examples, train: Sequence[int], spec: FitSpec) -> None:
        lesions = examples.lesion_boxes
        self._pools: dict[str, tuple[list[int], list[int]]] = {}
        for i in train:
            pools = self._pools.setdefault(examples.patients[i], ([], []))
            pools[0 if lesions[i] else 1].append(i)
        self._counts = {}
        for patient, (with_lesion, without) in self._pools.items():
            every = len(with_lesion) + len(without)
            n = min(spec.slices_per_patient or every, every)
            wanted = min(round(n * spec.lesion_share), len(with_lesion))
            wanted = max(wanted, n - len(without))
            self._counts[patient] = (wanted, n - wanted)
        self.per_epoch = sum(sum(counts) for counts in self._counts.values())

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Indices of an epoch's slices in random order."""
        drawn: list[int] = []
        for patient, pools in self._pools.items():
            for pool, n in zip(pools, self._counts[patient], strict=True):
                drawn += [pool[i] for i in rng.choice(len(pool), n, replace=False)] if n else []
        return [drawn[i] for i in rng.permutation(len(drawn))]
