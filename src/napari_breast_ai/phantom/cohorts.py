"""Who is in a cohort of phantoms of a published study's size: which woman, which lesion, which labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from .fields import stream
from .spec import Kind, PhantomSpec

Design = Literal["m1", "m2"]
"""IGM against malignant NME on the slices of 63 patients; five labels on 335 single slices."""

FIVE = ("malignancy", "normal", "other benign", "IDC", "other malignant")
"""The label columns of the second design, 1 or 0."""

SIZES: dict[Design, tuple[int, int]] = {"m1": (63, 475), "m2": (335, 335)}
"""Patients and annotated slices as published."""

OVERLAPS: dict[Design, float] = {"m1": -0.9, "m2": -1.0}
"""Overlap of the classes at which the exact protocols neither guess nor know."""

MOTION_MM = 2.0
"""Typical displacement between the phases of the first design. Without any, a subtraction lays the lesion bare, and M1's
data set 2 would be far easier than data set 1; the published one was the harder."""

FIRST_SEED = 20_000_000
"""Seeds begin here, far from those of the phantoms that demonstration models were made from."""

MOST = 5000

TAIL = 0.2
"""A slice on which the lesion is smaller than this part of its largest slice shows its tail."""

# Four in ten slices show invasive carcinoma; normal gland, benign and other malignant lesions two each.
_FIVE_TURNS = (
    "IDC", "normal", "other benign", "other malignant", "IDC", "other benign", "normal", "IDC", "other malignant", "IDC"
)  # fmt: skip
_AGES = {"IGM": (36.0, 8.0), "NME": (48.0, 11.0)}
"""Mean and standard deviation in years: granulomatous mastitis is a disease of young mothers."""


@dataclass(frozen=True)
class Member:
    """One patient of the cohort.

    Attributes:
        case_id, patient_id: names in the table.
        spec: her phantom.
        columns: what the table says of her.
    """

    case_id: str
    patient_id: str
    spec: PhantomSpec
    columns: Mapping[str, str]


@dataclass(frozen=True)
class CohortDesign:
    """A cohort to make; equal designs give equal cohorts.

    Attributes:
        design: see `Design`.
        patients: how many, None for as many as published.
        slices: how many slices the reader annotates in all, None for as many a patient as published. A single
            slice a patient in the second design, whatever is said here.
        seed: another seed gives other women, none of them twice.
        overlap: how far the classes share their traits, as of `PhantomSpec`; None for the design's own, at which a
            model is neither perfect nor blind.
        shape: (slices, rows, columns) of each phantom, None for the design's own. Of each the quarter with the lesion's
            breast is kept, see `one_breast`.
    """

    design: Design = "m1"
    patients: int | None = None
    slices: int | None = None
    seed: int = 0
    overlap: float | None = None
    shape: tuple[int, int, int] | None = field(default=None)

    def problems(self) -> list[str]:
        """What is wrong with the design, in words; empty if nothing is."""
        if self.design not in get_args(Design):
            return [f"The design “{self.design}” is unknown; choose one of {', '.join(get_args(Design))}."]
        found = []
        if not 2 <= self.number <= MOST:
            found.append(f"A cohort has 2 to {MOST} patients.")
        elif self.design == "m1" and not self.number <= self.annotated <= 100 * self.number:
            found.append("The reader annotates 1 to 100 slices a patient.")
        if not 0 <= self.seed < 10_000:
            found.append("The cohort's seed must be 0 to 9999.")
        return found or self.members()[0].spec.problems()

    @property
    def number(self) -> int:
        """How many patients."""
        return SIZES[self.design][0] if self.patients is None else self.patients

    @property
    def annotated(self) -> int:
        """How many slices the reader is to annotate."""
        patients, slices = SIZES[self.design]
        if self.design == "m2":
            return self.number
        return round(slices * self.number / patients) if self.slices is None else self.slices

    @property
    def hard(self) -> float:
        """The overlap that is used."""
        return OVERLAPS[self.design] if self.overlap is None else self.overlap

    @property
    def labels(self) -> tuple[str, ...]:
        """What `train` is asked with `--label`."""
        return FIVE if self.design == "m2" else ("diagnosis=IGM,NME",)

    @property
    def bytes_on_disk(self) -> int:
        """About how many bytes the cohort takes; headers, table and boxes with a tenth on top."""
        slices, rows, columns = self.members()[0].spec.shape
        if self.design == "m2":
            return round(1.1 * self.number * slices * (rows * columns // 2 + 1000))
        # Three phases and, in one manner of four, a subtraction.
        return round(1.1 * self.number * 3.3 * slices * (rows * columns // 2 + 2000))

    def members(self) -> tuple[Member, ...]:
        """All patients, in the table's order: classes in turns, so that its end has them all."""
        return tuple(self._first(i) if self.design == "m1" else self._second(i) for i in range(self.number))

    def _first(self, i: int) -> Member:
        seed = self._seed(i)
        # In pairs of one each, in an order that is drawn: nobody guesses a class from its place.
        turned = int(stream(self._seed(i // 2), "turn").integers(2))
        label = ("IGM", "NME")[(i + turned) % 2]
        rng, clinic = stream(seed, "patient"), stream(seed, "clinic")
        kind: Kind = "igm" if label == "IGM" else "nme"
        other = "NME" if label == "IGM" else "IGM"
        mean, deviation = _AGES[other if rng.random() < self.hard / 2 else label]
        age = int(np.clip(rng.normal(mean, deviation), 20, 85))
        spec = PhantomSpec(
            kind,
            seed,
            self.shape or (14, 304, 304),
            n_phases=3,
            motion_mm=MOTION_MM,
            interval_s=round(float(rng.uniform(60, 80)), 1),
            overlap=self.hard,
            slice_mm=round(float(rng.uniform(3.2, 4.0)), 2),
            # So few patients teach nothing where gland and background differ as much as lesions do.
            density=("b", "c")[int(clinic.integers(2))],
            bpe=("minimal", "mild")[int(clinic.integers(2))],
        )
        return Member(
            f"m1-{i + 1:03d}",
            f"SYNTHETIC-{self.seed}-{i + 1:03d}",
            spec,
            {"diagnosis": label, "age": str(age)},
        )

    def _second(self, i: int) -> Member:
        seed = self._seed(i)
        rng, clinic = stream(seed, "patient"), stream(seed, "clinic")
        label = _FIVE_TURNS[i % len(_FIVE_TURNS)]
        benign: Kind = "igm" if rng.random() < 0.4 else "fibroadenoma"
        kinds: dict[str, Kind] = {
            "IDC": "idc", "normal": "normal", "other benign": benign, "other malignant": "nme"
        }  # fmt: skip
        held = {label} | ({"malignancy"} if label in ("IDC", "other malignant") else set())
        spec = PhantomSpec(
            kinds[label],
            seed,
            self.shape or (1, 480, 690),
            n_phases=2,
            interval_s=round(float(rng.uniform(75, 110)), 1),
            overlap=self.hard,
            slice_mm=3.0,
            density=("b", "c")[int(clinic.integers(2))],
            bpe=("minimal", "mild")[int(clinic.integers(2))],
        )
        columns = {name: str(int(name in held)) for name in FIVE}
        return Member(f"m2-{i + 1:03d}", f"SYNTHETIC-{self.seed}-{i + 1:03d}", spec, columns)

    def _seed(self, i: int) -> int:
        return FIRST_SEED + 10_000 * self.seed + i


def annotated_slices(
    design: CohortDesign, areas: Sequence[Mapping[int, float]]
) -> tuple[tuple[int, ...], ...]:
    """Which slices of each patient the reader annotates: those where the lesion is largest, shared out evenly.

    Args:
        design: of the cohort.
        areas: for each patient, her slices with a lesion and how large it is on each. Slices on which only its tail is
            seen are not annotated.

    Returns:
        The slices of each patient, rising. Together they are `design.annotated`, or all where there are fewer.
    """
    areas = [{z: area for z, area in found.items() if area >= TAIL * max(found.values())} for found in areas]
    wanted = [0] * len(areas)
    left = design.annotated
    # One more slice for everybody who has one, until none is left: nobody has many more than others.
    while left and any(n < len(a) for n, a in zip(wanted, areas, strict=True)):
        for i, found in enumerate(areas):
            if left and wanted[i] < len(found):
                wanted[i] += 1
                left -= 1
    return tuple(
        tuple(sorted(sorted(found, key=lambda z: (-found[z], z))[:n]))
        for n, found in zip(wanted, areas, strict=True)
    )
