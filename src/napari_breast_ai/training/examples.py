"""Prepared slices with their boxes and patients: what training and evaluation work on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core import Box, LabelGroup
from ..inference.box_cells import ReduceRule
from ..models import LESION
from ..models.ranges import StudyFacts
from .errors import TrainingError
from .losses import UNKNOWN
from .targets import NOT_A_LESION, attention_maps


@dataclass(frozen=True, eq=False)
class Examples:
    """n slices of some patients, prepared but for the mode of the weights.

    Attributes:
        images: uint8 (n, 1 or 3, rows, columns), the model's window scaled to 0..255, at the model's input size.
        boxes: per slice, in pixels of these images.
        patients: patient of each slice.
        slices: index of each slice in its volume.
        cases: case of each slice; a patient may have several. Not given, every patient is one case.
        labels: label group's name to the class of each slice that the cohort's table tells, "" where it does not.
        facts: case to the numbers of its study; a case may be missing.
        contents: case to the hash of its images as they were read; a case may be missing.
    """

    images: NDArray[np.uint8]
    boxes: tuple[tuple[Box, ...], ...]
    patients: tuple[str, ...]
    slices: tuple[int, ...]
    cases: tuple[str, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facts: Mapping[str, StudyFacts] = field(default_factory=dict)
    contents: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.cases:
            object.__setattr__(self, "cases", self.patients)
        if any(len(column) != len(self.images) for column in (self.cases, *self.labels.values())):
            raise ValueError("Every slice needs its case and its labels.")
        if self.images.ndim != 4 or self.images.shape[1] not in (1, 3) or self.images.dtype != np.uint8:
            raise ValueError("Images must be uint8 (slice, channel, row, column) with one or three channels.")
        if not len(self.images) == len(self.boxes) == len(self.patients) == len(self.slices):
            raise ValueError("Every slice needs its boxes, its patient and its index.")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return int(self.images.shape[2]), int(self.images.shape[3])

    @property
    def lesion_boxes(self) -> tuple[tuple[Box, ...], ...]:
        """Per slice, the boxes that mark a lesion."""
        return tuple(tuple(b for b in boxes if b.label not in NOT_A_LESION) for boxes in self.boxes)

    @property
    def diagnoses(self) -> tuple[str | None, ...]:
        """Per slice, the class of its lesions; None without a lesion, or where lesions of two classes
        meet.
        """
        found = [{box.label for box in boxes} for boxes in self.lesion_boxes]
        return tuple(next(iter(labels)) if len(labels) == 1 else None for labels in found)

    @property
    def case_diagnoses(self) -> dict[str, str | None]:
        """Per patient in order, the class of all lesions on the slices; None without any or with several."""
        labels: dict[str, set[str]] = {patient: set() for patient in self.patients}
        for patient, boxes in zip(self.patients, self.lesion_boxes, strict=True):
            labels[patient] |= {box.label for box in boxes}
        return {p: next(iter(found)) if len(found) == 1 else None for p, found in labels.items()}

    def subset(self, indices: Sequence[int]) -> Examples:
        """The slices at the indices, in that order."""
        return Examples(
            self.images[list(indices)],
            tuple(self.boxes[i] for i in indices),
            tuple(self.patients[i] for i in indices),
            tuple(self.slices[i] for i in indices),
            tuple(self.cases[i] for i in indices),
            {name: tuple(column[i] for i in indices) for name, column in self.labels.items()},
            {case: self.facts[case] for i in indices if (case := self.cases[i]) in self.facts},
            {case: self.contents[case] for i in indices if (case := self.cases[i]) in self.contents},
        )

    def grey(self, indices: Sequence[int]) -> Tensor:
        """The images at the indices as float32 (n, 1 or 3, rows, columns) in 0..1."""
        return torch.from_numpy(self.images[list(indices)]).float() / 255


def join(parts: Sequence[Examples]) -> Examples:
    """All slices of several sets in one.

    Raises:
        TrainingError: when there is nothing to join.
    """
    if not parts:
        raise TrainingError("There are no cases. Add some.")
    return Examples(
        np.concatenate([part.images for part in parts]),
        tuple(boxes for part in parts for boxes in part.boxes),
        tuple(patient for part in parts for patient in part.patients),
        tuple(z for part in parts for z in part.slices),
        tuple(case for part in parts for case in part.cases),
        {name: tuple(v for part in parts for v in part.labels[name]) for name in parts[0].labels},
        {case: facts for part in parts for case, facts in part.facts.items()},
        {case: content for part in parts for case, content in part.contents.items()},
    )


def group_targets(groups: Sequence[LabelGroup], boxes: Sequence[Sequence[Box]]) -> Mapping[str, Tensor]:
    """What the boxes of n slices say about each label group, as `losses.group_loss` wants it.

    A sigmoid label is 1 on slices with a box of that class ("lesion": of any class), else 0. A softmax group
    counts only on slices whose lesions are all of one of its classes, so that slices without a lesion teach
    it nothing.
    """
    lesions = [{b.label for b in per_slice if b.label not in NOT_A_LESION} for per_slice in boxes]
    targets: dict[str, Tensor] = {}
    for group in groups:
        if group.activation == "sigmoid":
            rows = [[float(bool(s) if n == LESION else n in s) for n in group.labels] for s in lesions]
            targets[group.name] = torch.tensor(rows)
        else:
            index = [
                group.labels.index(next(iter(s))) if len(s) == 1 and s <= set(group.labels) else UNKNOWN
                for s in lesions
            ]
            targets[group.name] = torch.tensor(index, dtype=torch.int64)
    return targets


def label_targets(groups: Sequence[LabelGroup], labels: Mapping[str, Sequence[str]]) -> dict[str, Tensor]:
    """What the table says about each label group, as `losses.group_loss` wants it.

    A group with one sigmoid label has the classes "1" and "0". A class that is none of the group's is not known.
    """
    targets: dict[str, Tensor] = {}
    for group in groups:
        told = labels[group.name]
        if group.activation == "sigmoid":
            known = {"1": 1.0, "0": 0.0}
            targets[group.name] = torch.tensor([[known.get(v, float("nan"))] for v in told])
        else:
            index = [group.labels.index(v) if v in group.labels else UNKNOWN for v in told]
            targets[group.name] = torch.tensor(index, dtype=torch.int64)
    return targets


def attention_targets(
    boxes: Sequence[Sequence[Box]], image_shape: tuple[int, int], map_shape: tuple[int, int], rule: ReduceRule
) -> Tensor:
    """The lesion boxes of n slices reduced to the attention map's size: float32 (n, h, w)."""
    return torch.from_numpy(attention_maps(boxes, image_shape, map_shape, rule))
