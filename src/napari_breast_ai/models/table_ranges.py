"""What a model of table rows has seen: where each number that it uses lay among its training cases. Needs no torch."""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from .errors import ModelError
from .ranges import FeatureSpace
from .table import Cases, TableModel, encode
from .table_spec import Column

VERSION = 1
PERCENTS = (1, 99)
LEAST = 10
"""Cases that tell a range; fewer tell none."""


@dataclass(frozen=True)
class Span:
    """Where one number lay over the training cases: 1st and 99th percentile, and the lowest and the highest."""

    low: float
    high: float
    least: float
    most: float


@dataclass(frozen=True, eq=False)
class CaseRanges:
    """The ranges of the cases that a model of table rows was fitted on.

    Attributes:
        cases: how many.
        spans: "block/name" of each number that the model uses to where it lay; deep features are not among them.
        deep: where the cases' deep vectors lie; None for a model without, or of too few patients.
    """

    cases: int
    spans: Mapping[str, Span]
    deep: FeatureSpace | None = None

    @classmethod
    def of(cls, model: TableModel, cases: Cases, patients: Sequence[str]) -> CaseRanges:
        """Of the model and its training cases; `patients` has one name a case."""
        columns = [column for column in used(model) if column.kind == "number" and column.block != "deep"]
        values = encode(columns, cases)
        spans = {}
        for column, line in zip(columns, values.T, strict=True):
            told = line[~np.isnan(line)]
            if len(told) >= LEAST:
                low, high = (float(one) for one in np.percentile(told, PERCENTS))
                spans[key(column)] = Span(low, high, float(told.min()), float(told.max()))
        deep = cases.numbers.get("deep")
        return cls(cases.count, spans, None if deep is None else FeatureSpace.of(deep, patients))

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "version": VERSION,
            "cases": self.cases,
            "percentiles": list(PERCENTS),
            "numbers": {name: [one.low, one.high, one.least, one.most] for name, one in self.spans.items()},
            "deep": None if self.deep is None else self.deep.to_json(),
        }

    @classmethod
    def from_json(cls, data: object) -> CaseRanges | None:
        """What `to_json` wrote; None for a bundle of before there were ranges, or of a later version of them.

        Raises:
            ModelError: the entry is damaged.
        """
        if data is None:
            return None
        try:
            assert isinstance(data, dict)
            if data.get("version", 0) > VERSION:
                return None
            spans = {str(name): Span(*map(float, ends)) for name, ends in data["numbers"].items()}
            if not all(isfinite(end) for one in spans.values() for end in vars(one).values()):
                raise ValueError("a range is not finite")
            deep = data.get("deep")
            return cls(int(data["cases"]), spans, None if deep is None else FeatureSpace.from_json(deep))
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError, binascii.Error) as error:
            raise ModelError(
                f"The model's training ranges are not readable ({type(error).__name__}). Get the bundle anew."
            ) from error


def key(column: Column) -> str:
    """What a column is called in the ranges."""
    return f"{column.block}/{column.name}"


def used(model: TableModel) -> tuple[Column, ...]:
    """The inputs that some member's classifier sees, in the model's order."""
    seen: set[Column] = set()
    for index, member in enumerate(model.spec.members):
        each = [column for column in model.columns_of(member) for _ in range(column.width)]
        seen |= {each[i] for i in model.arrays[f"{index}.chosen"].tolist()}
    return tuple(column for column in model.spec.columns if column in seen)
