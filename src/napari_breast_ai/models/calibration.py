"""Probabilities from scores: the temperatures that a model brings with it. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core import CaseScores, LabelGroup
from .errors import ModelError

CLIP = 1e-7
"""A yes-or-no score of 0 or 1 is brought this far inside before its logarithm is taken, as single precision rounds."""

_TINY = float(np.finfo(np.float32).tiny)
"""The same for one of several classes, whose small scores single precision keeps."""
_LEAST_INVERSE = 1e-3


@dataclass(frozen=True)
class GroupTemperature:
    """Of one question.

    Attributes:
        value: logarithms of the scores are divided by it; above 1 the model was too bold.
        n: how many patients it was fitted on.
        chosen_on: who they were, in words.
        error: standard error of 1 / `value`; None where it was not kept, in bundles of version 2 and before.
    """

    value: float
    n: int
    chosen_on: str
    error: float | None = None

    def moved(self, errors: float) -> GroupTemperature:
        """The temperature so many standard errors further on; the same where the error is not known."""
        inverse = 1 / self.value + errors * (self.error or 0.0)
        # An inverse of 0 makes every answer a guess, and below it the scores would be turned round.
        return replace(self, value=1 / max(inverse, _LEAST_INVERSE))


@dataclass(frozen=True)
class CaseCalibration:
    """Temperatures for the scores of a case.

    Attributes:
        temperatures: by group for exclusive classes, else by label; what is missing stays as it is.
    """

    temperatures: Mapping[str, GroupTemperature] = field(default_factory=dict)

    def apply(self, case: CaseScores, groups: Sequence[LabelGroup]) -> CaseScores:
        """The case with probabilities in place of scores, and its rule with a sentence on that; order stays."""
        found, said = dict(case.probabilities), []
        for group in groups:
            sets = [group.labels] if group.activation == "softmax" else [(label,) for label in group.labels]
            for labels in sets:
                one = self.temperatures.get(group.name if len(labels) > 1 else labels[0])
                values = [case.probabilities[label] for label in labels]
                known = [value for value in values if value is not None]
                if one is None or len(known) < len(values):
                    continue
                # A lone label is a yes-or-no question; exclusive classes are one row.
                scaled = rescale([known] if len(labels) > 1 else known, one.value).reshape(-1)
                found |= {label: float(value) for label, value in zip(labels, scaled, strict=True)}
                name = group.name if len(labels) > 1 else labels[0]
                said.append(f"{name} calibrated at temperature {one.value:.2f} ({one.chosen_on})")
        if not said:
            return case
        return replace(case, probabilities=found, rule=f"{case.rule.removesuffix('.')}; {'; '.join(said)}.")

    def moved(self, errors: float) -> CaseCalibration:
        """All temperatures so many standard errors further on."""
        return CaseCalibration({name: one.moved(errors) for name, one in self.temperatures.items()})

    @property
    def has_error(self) -> bool:
        """Whether it is known of any temperature how uncertain it is."""
        return any(one.error is not None for one in self.temperatures.values())

    def threshold(self, label: str, value: float, group: LabelGroup) -> float:
        """Where an operating point on scores lies among the probabilities; of yes-or-no questions only."""
        one = self.temperatures.get(label if group.activation == "sigmoid" else group.name)
        if one is None or len(group.labels) > 2:
            return value
        return float(rescale([value], one.value)[0])

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            name: {"temperature": one.value, "n": one.n, "level": "patient", "chosen_on": one.chosen_on}
            | ({} if one.error is None else {"error": one.error})
            for name, one in self.temperatures.items()
        }

    @classmethod
    def from_json(cls, data: object) -> CaseCalibration:
        """What `to_json` wrote; without temperatures for a bundle of before there were any.

        Raises:
            ModelError: the entry is damaged.
        """
        if data is None:
            return cls()
        try:
            assert isinstance(data, dict)
            found = {
                str(name): GroupTemperature(
                    float(one["temperature"]),
                    int(one["n"]),
                    str(one["chosen_on"]),
                    None if one.get("error") is None else float(one["error"]),
                )
                for name, one in data.items()
            }
            if not all(isfinite(one.value) and one.value > 0 for one in found.values()):
                raise ValueError("a temperature is not above 0")
            if not all(one.error is None or 0 <= one.error < inf for one in found.values()):
                raise ValueError("an error is not a number from 0 on")
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"The model's calibration is not readable ({type(error).__name__}). Get the bundle anew."
            ) from error
        return cls(found)


def rescale(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Probabilities at another temperature: p ** (1 / T), made to add up to 1 again.

    Args:
        probabilities: (n,), of a yes-or-no question; or (n, k) of k exclusive classes.
        temperature: above 0.

    Source: Guo, Pleiss, Sun and Weinberger, ICML 2017;70:1321-1330.
    """
    logs = logs_of(probabilities) / temperature
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    out = raised / raised.sum(axis=1, keepdims=True)
    return np.asarray(out[:, 1] if np.ndim(probabilities) == 1 else out, np.float64)


def logs_of(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Logarithms of the classes' scores, (n, k); of a yes-or-no question k is 2 and yes is 1."""
    values = np.asarray(probabilities, np.float64)
    if values.ndim == 1:
        inside = np.clip(values, CLIP, 1 - CLIP)
        return np.asarray(np.stack([np.log1p(-inside), np.log(inside)], axis=1), np.float64)
    return np.asarray(np.log(np.clip(values, _TINY, 1)), np.float64)
