"""Which slices a model was most sure and wrong about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .appraisal import Answers

WORST = 6
"""How many failures are shown of a question."""


@dataclass(frozen=True)
class Failure:
    """A slice on which a model was sure and wrong: its position among the answers, and how wrong, 0.5 to 1."""

    at: int
    wrong: float


def worst(said: Answers, most: int = WORST) -> list[Failure]:
    """The slices that were scored furthest on the wrong side of 0.5, one a patient, the worst first."""
    wrong = np.where(said.positive, 1 - said.scores, said.scores)
    found: dict[str, Failure] = {}
    for i in np.argsort(-wrong, kind="stable").tolist():
        if wrong[i] <= 0.5 or len(found) == most:
            break
        found.setdefault(said.patients[i], Failure(i, float(wrong[i])))
    return list(found.values())
