"""In which order slices are computed, and what has come of them so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .explanation import Explained
from .preparation import ImagePlan
from .runners import Runner


def batches(slices: Sequence[int], batch: int, start: int | None = None) -> list[tuple[int, ...]]:
    """Slices in the order in which they are computed, some at a time.

    Args:
        slices: their indices.
        batch: how many at a time.
        start: the slice that a person looks at. It comes first and alone, then its neighbours, outwards. None: from
            the first to the last.
    """
    if start is None:
        order, parts = sorted(slices), []
    else:
        order = sorted(slices, key=lambda z: (abs(z - start), z))
        parts, order = [(order[0],)], order[1:]
    return parts + [tuple(order[i : i + batch]) for i in range(0, len(order), batch)]


@dataclass(frozen=True)
class Seen:
    """What is said of the images that a model saw, as `ImagePlan` has it."""

    description: str
    warnings: tuple[str, ...]
    phase: int
    subtracted: bool
    window: tuple[float, float]
    region: tuple[int, int, int, int] | None

    @classmethod
    def of(cls, plan: ImagePlan) -> Seen:
        """From the plan that the images were made by."""
        return cls(plan.description, plan.warnings, plan.phase, plan.subtracted, plan.window, plan.region)

    def by(self, runner: Runner, said: str) -> Seen:
        """The same, saying what computed the features, and a sentence about that."""
        computed = f"Features computed by {runner.name}, {runner.precision}."
        return replace(self, description=" ".join(filter(None, (self.description, computed, said))))


class Rows:
    """What a model says of some slices, filled in any order and read in rising order.

    Attributes:
        slices: of all that are to come, rising.
        known: bool (slices,), which are there.
    """

    def __init__(self, slices: Sequence[int]) -> None:
        self.slices = tuple(sorted(slices))
        self.known: NDArray[np.bool_] = np.zeros(len(self.slices), dtype=bool)
        self._place = {z: i for i, z in enumerate(self.slices)}
        self._parts: dict[str, Tensor] = {}

    @property
    def pending(self) -> int:
        """How many are still to come."""
        return int((~self.known).sum())

    def add(self, slices: Sequence[int], found: Explained) -> None:
        """Put what was found of some slices, in their order."""
        rows = [self._place[z] for z in slices]
        parts = {"logits": found.logits, "gradcam": found.gradcam}
        if found.attention is not None:
            parts["attention"] = found.attention
        if found.of_tasks is not None:
            parts["of_tasks"] = found.of_tasks
        if found.of_folds is not None:
            parts["of_folds"] = found.of_folds
        for name, values in parts.items():
            if name not in self._parts:
                self._parts[name] = torch.zeros(len(self.slices), *values.shape[1:])
            self._parts[name][rows] = values.float().cpu()
        self.known[rows] = True

    def so_far(self) -> tuple[tuple[int, ...], Explained]:
        """The slices that are there, rising, and what was found of them, on the CPU.

        Raises:
            LookupError: none is.
        """
        if not self.known.any():
            raise LookupError("No slice has been computed yet.")
        rows = np.flatnonzero(self.known)
        # Not by torch, which would wake its threads for it.
        part = {name: torch.from_numpy(values.numpy()[rows]) for name, values in self._parts.items()}
        found = Explained(
            part["logits"], part.get("attention"), part["gradcam"], part.get("of_tasks"), part.get("of_folds")
        )
        return tuple(self.slices[i] for i in rows), found
