"""What a whole model is: its parts and the questions that it answers.

Plain frozen dataclasses that go to JSON and back without loss. Nothing here needs torch.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from ..core import Activation, LabelGroup
from .errors import ModelError
from .spec_json import entries_of, group_from_json, make, plain, preparation_from_json, typed
from .spec_parts import (
    AggregationSpec,
    BackboneSpec,
    HeadSpec,
    PoolingSpec,
    PreparationSpec,
    check_choice,
)


@dataclass(frozen=True)
class ModelSpec:
    """A whole model.

    Attributes:
        name: of the model, usable as a folder's name.
        recipe: the name of the recipe that it follows.
        preparation, backbone, pooling, head, groups, aggregation: its parts, in the order in which they act.
        copies: names of label groups, task by task: each task is answered by a copy of pooling and head of its own,
            over the one backbone (M2). Empty: one pooling and one head answer everything.
    """

    name: str
    recipe: str
    preparation: PreparationSpec
    backbone: BackboneSpec
    pooling: PoolingSpec
    head: HeadSpec
    groups: tuple[LabelGroup, ...]
    aggregation: AggregationSpec = field(default_factory=AggregationSpec)
    copies: tuple[tuple[str, ...], ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels of all groups, in the order of the head's outputs."""
        return tuple(label for group in self.groups for label in group.labels)

    @property
    def gates(self) -> tuple[str, ...]:
        """The labels that say whether another group's question arises, in order of first use."""
        return tuple(dict.fromkeys(group.gate for group in self.groups if group.gate is not None))

    def problems(self) -> list[str]:
        """What is wrong with the model, in words; empty if nothing is."""
        found = []
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            found.append("A model's name consists of letters, digits, '.', '_' and '-'.")
        for part in (self.preparation, self.backbone, self.pooling, self.head, self.aggregation):
            found += part.problems()
        if self.copies and sorted(n for task in self.copies for n in task) != sorted(
            g.name for g in self.groups
        ):
            found.append(
                "Where tasks have copies of their own, each group of labels belongs to exactly one task."
            )
        if self.copies and not all(self.copies):
            found.append("A task needs at least one group of labels.")
        return found + group_problems(self.groups)

    def columns(self, task: int) -> tuple[int, ...]:
        """Places in `labels` of the labels that the copy of this task answers."""
        names = self.copies[task]
        told = [group.name for group in self.groups for _ in group.labels]
        return tuple(i for i, name in enumerate(told) if name in names)

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON values."""
        found = {key: plain(value) for key, value in asdict(self).items()}
        # Left out where nothing is cut, so that releases before this key read such a bundle too.
        if self.preparation.view == "whole":
            del found["preparation"]["view"]
        return found

    @classmethod
    def from_json(cls, data: object) -> ModelSpec:
        """The spec that `to_json` wrote.

        Raises:
            ModelError: an entry is missing, unknown, of the wrong type, or the model has problems.
        """
        top = entries_of(data, cls, "model", {"copies": []})
        groups, copies = top["groups"], top["copies"]
        if not isinstance(groups, list):
            raise ModelError("The model's description is not usable: 'groups' must be a list.")
        if not isinstance(copies, list) or not all(isinstance(task, list) for task in copies):
            raise ModelError(
                "The model's description is not usable: 'copies' must be a list of lists of names."
            )
        spec = cls(
            name=typed(top["name"], str, "name"),
            recipe=typed(top["recipe"], str, "recipe"),
            preparation=preparation_from_json(top["preparation"]),
            backbone=make(
                BackboneSpec,
                top["backbone"],
                "backbone",
                {"mirror": False},
                name=str,
                layer=str,
                origin=str,
                mirror=bool,
            ),
            pooling=make(PoolingSpec, top["pooling"], "pooling", kind=str),
            head=make(HeadSpec, top["head"], "head", kind=str, hidden=int),
            groups=tuple(group_from_json(group) for group in groups),
            aggregation=make(
                AggregationSpec,
                top["aggregation"],
                "aggregation",
                gate_threshold=float,
                gate_rule=str,
                top=int,
            ),
            copies=tuple(tuple(typed(name, str, "copies") for name in task) for task in copies),
        )
        problems = spec.problems()
        if problems:
            raise ModelError("The model's description is not usable: " + " ".join(problems))
        return spec


def group_problems(groups: tuple[LabelGroup, ...]) -> list[str]:
    """What is wrong with a model's label groups, in words."""
    found: list[str] = []
    labels = [label for group in groups for label in group.labels]
    if not groups:
        found.append("A model needs at least one group of labels.")
    if len(set(labels)) != len(labels):
        found.append("No label may occur twice in a model.")
    if len({group.name for group in groups}) != len(groups):
        found.append("No two groups of labels may have the same name.")
    for group in groups:
        check_choice(found, f"activation of {group.name!r}", group.activation, get_args(Activation))
        least = 2 if group.activation == "softmax" else 1
        if len(group.labels) < least:
            found.append(f"The group {group.name!r} needs at least {least} label(s).")
        if group.gate is None:
            continue
        holder = next((g for g in groups if group.gate in g.labels), None)
        if holder is None:
            found.append(f"The gate {group.gate!r} of {group.name!r} is no label of the model.")
        elif holder.gate is not None or holder is group:
            found.append(f"The gate {group.gate!r} of {group.name!r} must belong to a group without a gate.")
    return found
