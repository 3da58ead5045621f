"""Splits by patient. No slice of a patient is ever on two sides, in the split or in the folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import LeakError, TrainingError

Patients = Sequence[Hashable]
"""One patient identifier per example (slice, image or case)."""


@dataclass(frozen=True)
class Split:
    """Indices of the examples in each part, rising; every example is in exactly one."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...] = ()

    def parts(self) -> dict[str, tuple[int, ...]]:
        """The parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def check_no_leak(
    patients: Patients,
    parts: Mapping[str, Sequence[int]],
    contents: Sequence[Hashable] | None = None,
) -> None:
    """Refuse a split in which a patient, or an image's content, is in more than one part.

    Args:
        patients: patient of each example.
        parts: name of each part to the indices of its examples.
        contents: optionally a hash of each example's image, so that one image under two patient identifiers
            is found as well.

    Raises:
        LeakError: naming the patients or the image, and the two parts.
    """
    where: dict[Hashable, str] = {}
    images: dict[Hashable, tuple[str, int]] = {}
    for name, indices in parts.items():
        for i in indices:
            other = where.setdefault(patients[i], name)
            if other != name:
                raise LeakError(
                    f"Patient {patients[i]} is in both {other} and {name}. "
                    "Put all images of a patient into one part; otherwise the result means nothing."
                )
            if contents is None:
                continue
            seen, first = images.setdefault(contents[i], (name, i))
            if seen != name:
                raise LeakError(
                    f"The same image is in {seen} (patient {patients[first]}) and in {name} (patient "
                    f"{patients[i]}). Give both the same patient, or remove one."
                )


def split_by_patient(
    patients: Patients,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    strata: Sequence[Hashable] | None = None,
) -> Split:
    """Draw training, validation and test patients at random.

    Args:
        patients: patient of each example.
        fractions: shares of the patients for training, validation and test; they add up to 1.
        seed: of the shuffle.
        strata: class of each example; patients are then drawn within each class (a patient's class is that of
            its first example), so that every part has every class where the numbers allow.

    Raises:
        TrainingError: when the fractions are not shares, or a part that was asked for would stay empty.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise TrainingError("The shares of training, validation and test must be 0 or more and add up to 1.")
    rng = np.random.default_rng(seed)
    part_of: dict[Hashable, int] = {}
    for members in _by_stratum(patients, strata):
        order = [members[i] for i in rng.permutation(len(members))]
        edges = np.rint(np.cumsum(fractions) * len(order)).astype(int)
        for place, patient in enumerate(order):
            part_of[patient] = int(np.searchsorted(edges, place, side="right"))
    split = Split(*(tuple(i for i, p in enumerate(patients) if part_of[p] == part) for part in range(3)))
    for share, (name, indices) in zip(fractions, split.parts().items(), strict=True):
        if share > 0 and not indices:
            raise TrainingError(
                f"There are too few patients ({len(part_of)}) for a {name} part of {share:.0%}. Add patients "
                "or change the shares."
            )
    check_no_leak(patients, split.parts())
    return split


def split_in_order(patients: Patients, fraction: float = 0.8) -> Split:
    """The first `fraction` of the patients, in the order of their first example, for training; the rest for
    the test.

    Source: protocol of Haseki Med Bull 2026;64(2):76-84 (first 80 %), here by patient instead of by image.

    Raises:
        TrainingError: when one side would be empty.
    """
    order = list(dict.fromkeys(patients))
    n = round(fraction * len(order))
    if not 0 < n < len(order):
        raise TrainingError(f"{len(order)} patients cannot be divided at {fraction:.0%}. Add patients.")
    first = set(order[:n])
    split = Split(
        train=tuple(i for i, p in enumerate(patients) if p in first),
        validation=(),
        test=tuple(i for i, p in enumerate(patients) if p not in first),
    )
    check_no_leak(patients, split.parts())
    return split


def grouped_folds(
    patients: Patients, k: int = 5, seed: int = 0, strata: Sequence[Hashable] | None = None
) -> tuple[Split, ...]:
    """k folds by patient: each fold's patients are the validation part once.

    Args:
        patients: patient of each example.
        k: number of folds, at least 2.
        seed: of the shuffle; another seed gives another shuffle (repeated k-fold).
        strata: class of each example; the patients of each class are then dealt out evenly.

    Raises:
        TrainingError: when there are fewer patients than folds.
    """
    if k < 2:
        raise TrainingError("Cross-validation needs at least two folds.")
    n_patients = len(set(patients))
    if n_patients < k:
        raise TrainingError(f"{n_patients} patients cannot be dealt out to {k} folds. Use fewer folds.")
    rng = np.random.default_rng(seed)
    fold_of: dict[Hashable, int] = {}
    for members in _by_stratum(patients, strata):
        # Dealing goes on where the class before stopped, so that the folds' sizes differ by one at most.
        for i in rng.permutation(len(members)):
            fold_of[members[i]] = len(fold_of) % k
    folds = tuple(
        Split(
            train=tuple(i for i, p in enumerate(patients) if fold_of[p] != fold),
            validation=tuple(i for i, p in enumerate(patients) if fold_of[p] == fold),
        )
        for fold in range(k)
    )
    for fold in folds:
        check_no_leak(patients, fold.parts())
    return folds


def _by_stratum(patients: Patients, strata: Sequence[Hashable] | None) -> list[list[Hashable]]:
    """Distinct patients in order of first use, one list per class in order of first use."""
    if strata is not None and len(strata) != len(patients):
        raise TrainingError("Every example needs a class when the split is stratified.")
    members: dict[Hashable, list[Hashable]] = defaultdict(list)
    seen: set[Hashable] = set()
    for i, patient in enumerate(patients):
        if patient not in seen:
            seen.add(patient)
            members[strata[i] if strata is not None else None].append(patient)
    return list(members.values())
