"""Who trains and who judges: the protocols by which a cohort is divided. Always by patient, always checked."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from .errors import TrainingError
from .splits import Patients, check_no_leak, grouped_folds, split_by_patient, split_in_order

ProtocolKind = Literal["sequential", "kfold", "repeated", "column", "fractions"]
Part = Literal["validation", "test", "final"]
"""Whom a round is judged on; "final" fits the model that is kept, on `Plan.final`, and judges nobody."""


@dataclass(frozen=True)
class ProtocolSpec:
    """How a cohort is divided.

    Attributes:
        kind: "sequential": the first `fraction` of the patients in the table's order train, with cross-validation
            among them, the rest is the test (M1); "kfold": cross-validation of all; "repeated": the same with
            `repeats` shuffles (M2: 3 × 3); "column": the table's `split` column; "fractions": patients drawn once for
            training, validation and test in the given `parts` (M3: 7:1:2 and 8:1:1), where the validation part
            chooses the epoch too.
        folds, repeats, fraction, parts: see there.
        stratified: each class's patients are dealt out evenly.
    """

    kind: ProtocolKind = "kfold"
    folds: int = 5
    repeats: int = 3
    fraction: float = 0.8
    stratified: bool = True
    parts: tuple[float, float, float] = (7.0, 1.0, 2.0)

    @property
    def least_patients(self) -> int:
        """So many patients of each class it needs at least, where folds must be filled; else 0."""
        return 0 if self.kind in ("column", "fractions") else self.folds

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = []
        if self.kind not in get_args(ProtocolKind):
            found.append(f"The protocol “{self.kind}” is unknown; use {', '.join(get_args(ProtocolKind))}.")
        if self.folds < 2 or self.repeats < 1 or not 0 < self.fraction < 1:
            found.append("A protocol needs two folds, one repeat, and a fraction between 0 and 1.")
        if len(self.parts) != 3 or min(self.parts) <= 0:
            found.append("The parts of a protocol are three positive numbers: training, validation, test.")
        return found


@dataclass(frozen=True)
class Round:
    """One training: fitted on `train`, judged on `judged`, which is a validation or the test part.

    `repeat` and `fold` count from 1; the final fit has 0 for both, and judges nobody.
    """

    repeat: int
    fold: int
    part: Part
    train: tuple[int, ...]
    judged: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """All rounds, and the examples on which the final model is fitted.

    Attributes:
        choice: examples that choose the epoch in every round; none: each round keeps some of its training patients
            apart for that.
    """

    rounds: tuple[Round, ...]
    final: tuple[int, ...]
    choice: tuple[int, ...] = ()

    @property
    def everything(self) -> tuple[Round, ...]:
        """The rounds, and the final fit as the last one."""
        return (*self.rounds, Round(0, 0, "final", self.final, ()))


def divide(
    spec: ProtocolSpec,
    patients: Patients,
    strata: Sequence[Hashable],
    seed: int,
    *,
    contents: Sequence[Hashable] | None = None,
    column: Sequence[str] = (),
) -> Plan:
    """Divide examples by a protocol.

    Args:
        spec: how.
        patients: patient of each example.
        strata: class of each example.
        seed: of the shuffles.
        contents: hash of each example's image; the same one on two sides is a leak.
        column: each example's "train", "validation" or "test", for the protocol "column".

    Raises:
        TrainingError: too few patients, or a split that is not told.
        LeakError: a patient, or an image, is on two sides.
    """
    classes = strata if spec.stratified else None
    everybody = tuple(range(len(patients)))
    if spec.kind == "column":
        plan = _by_column(column)
    elif spec.kind == "fractions":
        plan = _drawn(spec.parts, patients, classes, seed)
    elif spec.kind == "sequential":
        split = split_in_order(patients, spec.fraction)
        plan = Plan(
            (
                *_folds(split.train, spec.folds, patients, classes, seed, 1),
                Round(1, spec.folds + 1, "test", split.train, split.test),
            ),
            split.train,
        )
    else:
        repeats = spec.repeats if spec.kind == "repeated" else 1
        found = [
            one
            for repeat in range(repeats)
            for one in _folds(everybody, spec.folds, patients, classes, seed + repeat, repeat + 1)
        ]
        plan = Plan(tuple(found), everybody)
    for one in plan.rounds:
        sides = {"training": one.train, "validation": plan.choice, one.part: one.judged}
        check_no_leak(patients, sides, contents)
        for index in (one.train, one.judged):
            if not index:
                raise TrainingError(
                    "A part of the division has no patients. Use fewer folds or add patients."
                )
    return plan


def _folds(
    inside: Sequence[int],
    k: int,
    patients: Patients,
    strata: Sequence[Hashable] | None,
    seed: int,
    repeat: int,
) -> list[Round]:
    folds = grouped_folds(
        [patients[i] for i in inside], k, seed, None if strata is None else [strata[i] for i in inside]
    )
    return [
        Round(
            repeat,
            number,
            "validation",
            tuple(inside[i] for i in fold.train),
            tuple(inside[i] for i in fold.validation),
        )
        for number, fold in enumerate(folds, 1)
    ]


def _drawn(
    parts: tuple[float, float, float], patients: Patients, strata: Sequence[Hashable] | None, seed: int
) -> Plan:
    shares = (parts[0] / sum(parts), parts[1] / sum(parts), parts[2] / sum(parts))
    split = split_by_patient(patients, shares, seed, strata)
    return Plan(
        (
            Round(1, 1, "validation", split.train, split.validation),
            Round(1, 2, "test", split.train, split.test),
        ),
        split.train,
        split.validation,
    )


def _by_column(column: Sequence[str]) -> Plan:
    told = [part.lower() for part in column]
    if not told or not all(told):
        raise TrainingError("The protocol “column” needs a column named split, filled in for every case.")
    parts = {name: tuple(i for i, part in enumerate(told) if part == name) for name in set(told)}
    train = parts.get("train", ())
    names: tuple[Part, ...] = ("validation", "test")
    rounds = tuple(
        Round(1, number, name, train, parts[name]) for number, name in enumerate(names, 1) if name in parts
    )
    if not rounds or not train:
        raise TrainingError("The column split needs patients for train, and for validation or test.")
    return Plan(rounds, train)
