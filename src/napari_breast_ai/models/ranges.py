"""What a model has seen: the ranges of its training studies, against which a new study can be held. Needs no torch."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError

VERSION = 1
Side = Literal["right", "left", "both", "unknown"]
BODY = (5, 25, 50, 75, 95)
"""Percentiles of the body's voxels that are kept."""

MOST_COMPONENTS = 16


@dataclass(frozen=True)
class StudyFacts:
    """Numbers of one study, as a model saw it.

    Attributes:
        kind: of the image that was seen: "phase", "subtraction" or "picture".
        orientation: "axial", "coronal" or "sagittal".
        side: which breast the field shows, by its place in the patient.
        spacing_mm: between (slices, rows, columns).
        shape: numbers of (slices, rows, columns).
        phases: how many.
        seen_after_s: from the start of the pre-contrast phase to that of the seen one; 0 for a picture.
        interval_s: median time between phases; 0 for a single one.
        grey: percentiles `BODY` of the seen phase in the body, as parts of its 99th percentile, so that the scanner's
            unit does not matter. Fat that is not suppressed raises the lower ones.
        enhancement: the same percentiles of 100 · (S - S0) / S0 in the body, per cent; () without a pre-contrast phase.
        synthetic: the study is a phantom.
    """

    kind: str
    orientation: str
    side: Side
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    phases: int
    seen_after_s: float
    interval_s: float
    grey: tuple[float, ...]
    enhancement: tuple[float, ...] = ()
    synthetic: bool = False

    def numbers(self) -> dict[str, float]:
        """By what they are called for people."""
        found: dict[str, float] = {}
        # A picture has no size in the patient.
        if self.kind != "picture":
            for axis, spacing, count in zip(
                ("slices", "rows", "columns"), self.spacing_mm, self.shape, strict=True
            ):
                found[f"distance of {axis}, mm"] = spacing
                found[f"field across {axis}, mm"] = spacing * count
            found["phases"] = float(self.phases)
            found["time of the seen phase after the pre-contrast one, s"] = self.seen_after_s
            found["time between phases, s"] = self.interval_s
        found["rows"], found["columns"] = float(self.shape[1]), float(self.shape[2])
        for name, values in (
            ("grey of the body, part of its 99th percentile", self.grey),
            ("enhancement of the body, %", self.enhancement),
        ):
            for percent, value in zip(BODY, values, strict=False):
                found[f"{name}: percentile {percent}"] = value
        return found

    def choices(self) -> dict[str, str]:
        """What is no number."""
        return {"image": self.kind, "orientation": self.orientation, "side": self.side}

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StudyFacts:
        """What `to_json` wrote."""
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in data.items()}
        return cls(**values)


@dataclass(frozen=True)
class Range:
    """Of one number over the training studies."""

    low: float
    p5: float
    median: float
    p95: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Range:
        """Of at least one value."""
        low, p5, median, p95, high = (float(v) for v in np.percentile(values, (0, 5, 50, 95, 100)))
        return cls(low, p5, median, p95, high)


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """Where the training slices lie in the space of the backbone's features, averaged over each slice.

    A Gaussian in few directions, all others alike (probabilistic principal components; Tipping and Bishop, J R Stat Soc
    B 1999;61:611-622).

    Attributes:
        mean: (C,).
        components: (k, C), orthonormal.
        variances: (k,) along them.
        rest: mean squared length of what they leave.
        distances: percentiles 50, 95 and 99 of slices of training patients who were left out while the rest was
            measured: what is usual for a new patient of the same kind.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    variances: NDArray[np.float32]
    rest: float
    distances: tuple[float, float, float]

    def distance(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """How far features (n, C) lie from the training slices, (n,); to be held against `distances`."""
        return self.apart(self.mean, vectors)

    def apart(self, one: NDArray[np.floating[Any]], others: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """How far others (n, C) lie from one (C,) in the same measure, (n,)."""
        off = np.asarray(others, np.float64) - np.asarray(one, np.float64)
        along = off @ self.components.T.astype(np.float64)
        left = np.maximum((off**2).sum(1) - (along**2).sum(1), 0)
        return np.asarray(np.sqrt((along**2 / self.variances).sum(1) + left / self.rest), np.float64)

    @classmethod
    def of(cls, vectors: NDArray[np.floating[Any]], patients: Sequence[str]) -> FeatureSpace | None:
        """Of training slices (n, C) and their patients; None where there are too few to tell."""
        values = np.asarray(vectors, np.float64)
        names = list(dict.fromkeys(patients))
        if len(names) < 5 or len(values) < 10:
            return None
        k = min(MOST_COMPONENTS, len(names) // 3)
        group = np.array([names.index(p) % 5 for p in patients])
        distances = np.concatenate(
            [_gaussian(values[group != g], k).distance(values[group == g]) for g in range(5)]
        )
        p50, p95, p99 = (float(v) for v in np.percentile(distances, (50, 95, 99)))
        whole = _gaussian(values, k)
        return cls(whole.mean, whole.components, whole.variances, whole.rest, (p50, p95, p99))

    def to_json(self) -> dict[str, Any]:
        """JSON values; arrays as base64 of float32."""
        return {
            "mean": _packed(self.mean),
            "components": _packed(self.components),
            "variances": _packed(self.variances),
            "rest": self.rest,
            "distances": list(self.distances),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FeatureSpace:
        """What `to_json` wrote."""
        variances, mean = _unpacked(data["variances"]), _unpacked(data["mean"])
        components = _unpacked(data["components"]).reshape(len(variances), len(mean))
        p50, p95, p99 = (float(value) for value in data["distances"])
        return cls(mean, components, variances, float(data["rest"]), (p50, p95, p99))


@dataclass(frozen=True, eq=False)
class TrainingRanges:
    """The ranges of the studies that a model was made from.

    Attributes:
        studies: how many.
        numbers: name (see `StudyFacts.numbers`) to its range.
        choices: name (see `StudyFacts.choices`) to how often each value came.
        features: where their slices lie for the backbone; None where that is not known.
    """

    studies: int
    numbers: Mapping[str, Range]
    choices: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    features: FeatureSpace | None = None

    @classmethod
    def of(cls, facts: Sequence[StudyFacts], features: FeatureSpace | None = None) -> TrainingRanges:
        """Of the training studies. A number that some of them lack is of the others."""
        names = dict.fromkeys(name for one in facts for name in one.numbers())
        told = [(one.numbers(), one.choices()) for one in facts]
        return cls(
            len(facts),
            {name: Range.of([numbers[name] for numbers, _ in told if name in numbers]) for name in names},
            {
                name: dict(sorted(Counter(choices[name] for _, choices in told).items()))
                for name in (told[0][1] if told else ())
            },
            features,
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "version": VERSION,
            "studies": self.studies,
            "numbers": {name: dict(vars(one)) for name, one in self.numbers.items()},
            "choices": {name: dict(counts) for name, counts in self.choices.items()},
            "features": None if self.features is None else self.features.to_json(),
        }

    @classmethod
    def from_json(cls, data: object) -> TrainingRanges | None:
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
            numbers = {str(name): Range(**one) for name, one in data["numbers"].items()}
            if not all(isfinite(float(v)) for one in numbers.values() for v in vars(one).values()):
                raise ValueError("a range is not finite")
            features = data.get("features")
            return cls(
                int(data["studies"]),
                numbers,
                {
                    str(n): {str(v): int(c) for v, c in counts.items()}
                    for n, counts in data["choices"].items()
                },
                None if features is None else FeatureSpace.from_json(features),
            )
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError, binascii.Error) as error:
            raise ModelError(
                f"The model's training ranges are not readable ({type(error).__name__}). Get the bundle anew."
            ) from error


def _gaussian(values: NDArray[np.float64], k: int) -> FeatureSpace:
    mean = values.mean(0)
    off = values - mean
    _, singular, rows = np.linalg.svd(off, full_matrices=False)
    n = max(len(values) - 1, 1)
    total = max(float((singular**2).sum()) / n, 1e-12)
    # No direction may count as known exactly: a new patient would be infinitely far away.
    variances = np.maximum(singular[:k] ** 2 / n, 1e-6 * total)
    rest = max(float((singular[k:] ** 2).sum()) / n, 1e-6 * total)
    return FeatureSpace(
        mean.astype(np.float32), rows[:k].astype(np.float32), variances.astype(np.float32), rest, (0, 0, 0)
    )


def _packed(values: NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def _unpacked(text: str) -> NDArray[np.float32]:
    values = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("a number is not finite")
    return values
