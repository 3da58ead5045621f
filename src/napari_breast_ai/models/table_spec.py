"""What a model of lesion features and clinical values is, in words and numbers. Needs no torch.

It looks at a row of a table for each case: radiomics of its lesion, clinical columns, the mean of a frozen backbone's
vectors. See `TableModel` for the numbers that belong to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from ..core import LabelGroup
from .errors import ModelError
from .spec import ModelSpec, group_problems
from .spec_json import entries_of, group_from_json, make, plain, preparation_from_json, typed
from .spec_parts import AggregationSpec, PreparationSpec

Block = Literal["radiomics", "clinical", "deep"]
Region = Literal["boxes", "masks"]
Lesions = Literal["largest", "mean"]
Family = Literal["stat", "ih", "ivh", "morph", "glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm"]
Intensities = Literal["window", "stored"]
Classifier = Literal["logistic", "svm", "forest"]
ColumnKind = Literal["number", "category"]


@dataclass(frozen=True)
class RadiomicsSpec:
    """How features of a lesion are computed, in the terms of the Image Biomarker Standardisation Initiative.

    Attributes:
        region: within the lesion's "boxes", slices between two boxes filled in; or within the "masks" that the table
            names.
        lesions: of a case with several: those of the "largest", or the "mean" weighted by volume.
        families: of features, by mirp's names. Of a region made of boxes "morph" tells the size and no more.
        bins: grey levels between the region's lowest and highest value ("fixed bin number", IBSI K15C).
        resample_mm: edge of the cubic voxels that a volume is brought to first; 0 leaves the voxels as they are.
            Pictures are never resampled.
        intensities: "window": 0 and 100 are the preparation's window, nothing is cut off; "stored": as they are.
    """

    region: Region = "boxes"
    lesions: Lesions = "largest"
    families: tuple[Family, ...] = (
        "morph",
        "stat",
        "ih",
        "glcm",
        "glrlm",
        "glszm",
        "gldzm",
        "ngtdm",
        "ngldm",
    )
    bins: int = 32
    resample_mm: float = 1.0
    intensities: Intensities = "window"

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = []
        for what, value, choices in (
            ("region", self.region, get_args(Region)),
            ("choice of lesions", self.lesions, get_args(Lesions)),
            ("scale of intensities", self.intensities, get_args(Intensities)),
            *(("family of features", family, get_args(Family)) for family in self.families),
        ):
            if value not in choices:
                found.append(f"The {what} {value!r} is unknown; it can be {' or '.join(map(repr, choices))}.")
        if not self.families or len(set(self.families)) < len(self.families):
            found.append("Radiomics needs at least one family of features, and none twice.")
        if not 2 <= self.bins <= 1024:
            found.append("The number of grey levels must lie between 2 and 1024.")
        if not 0 <= self.resample_mm <= 20:
            found.append("Voxels can be resampled to an edge of at most 20 mm; 0 leaves them as they are.")
        return found


@dataclass(frozen=True)
class Column:
    """One input of a model.

    Attributes:
        block: whose it is.
        name: a feature's name, or a column of the table.
        kind: a number, or one of the `categories`; another category than those counts as none of them.
        categories: in order; none for a number.
    """

    block: Block
    name: str
    kind: ColumnKind = "number"
    categories: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Numbers that it becomes."""
        return len(self.categories) if self.kind == "category" else 1


@dataclass(frozen=True)
class Member:
    """One fitted chain of filling in, scaling, choosing and classifying.

    Attributes:
        group: the label group that it answers.
        blocks: whose columns it sees.
        classifier: which kind.
    """

    group: str
    blocks: tuple[Block, ...]
    classifier: Classifier


@dataclass(frozen=True)
class TableSpec:
    """A whole model of a table's rows.

    Attributes:
        name: of the model, usable as a folder's name.
        recipe: the name of the recipe that it follows.
        preparation: which image radiomics and backbone see.
        radiomics: how its features are made; None where it has none.
        deep: the model whose backbone gives vectors; None where there is none. Its head means nothing.
        columns: all inputs, in order.
        members: the scores of a group are the mean of its members' scores.
        groups: of labels.
        aggregation: from cases to patients.
    """

    name: str
    recipe: str
    preparation: PreparationSpec
    radiomics: RadiomicsSpec | None
    deep: ModelSpec | None
    columns: tuple[Column, ...]
    members: tuple[Member, ...]
    groups: tuple[LabelGroup, ...]
    aggregation: AggregationSpec = field(default_factory=AggregationSpec)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels of all groups, in order."""
        return tuple(label for group in self.groups for label in group.labels)

    @property
    def clinical(self) -> tuple[str, ...]:
        """The columns of a table that it needs."""
        return tuple(column.name for column in self.columns if column.block == "clinical")

    @property
    def needs(self) -> tuple[str, ...]:
        """What must be known of a case beside its images, in words."""
        found = []
        if self.radiomics is not None:
            found.append("a lesion's boxes" if self.radiomics.region == "boxes" else "a lesion's mask")
        elif self.deep is not None:
            found.append("a lesion's boxes")
        if self.clinical:
            found.append(f"the values {', '.join(self.clinical)}")
        return tuple(found)

    def problems(self) -> list[str]:
        """What is wrong with the model, in words; empty if nothing is."""
        found = group_problems(self.groups)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            found.append("A model's name consists of letters, digits, '.', '_' and '-'.")
        found += self.preparation.problems() + self.aggregation.problems()
        found += self.radiomics.problems() if self.radiomics is not None else []
        found += self.deep.problems() if self.deep is not None else []
        used = {column.block for column in self.columns}
        for column in self.columns:
            if column.block not in get_args(Block) or column.kind not in get_args(ColumnKind):
                found.append(f"The column {column.name!r} is of an unknown kind.")
            if (column.kind == "category") != bool(column.categories):
                found.append(f"The column {column.name!r} must have categories, or be a number.")
        if ("radiomics" in used) != (self.radiomics is not None) or ("deep" in used) != (
            self.deep is not None
        ):
            found.append("The model's columns and its radiomics or backbone do not go together.")
        answered = {member.group for member in self.members}
        if answered != {group.name for group in self.groups}:
            found.append("Every group of labels needs a member that answers it, and only those.")
        for member in self.members:
            if member.classifier not in get_args(Classifier) or not set(member.blocks) <= used:
                found.append("A member of the model is of an unknown kind, or sees what is not there.")
        if any(group.gate is not None for group in self.groups):
            found.append("A model of a table has no gates.")
        return found

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON values."""
        return {key: plain(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: object) -> TableSpec:
        """The spec that `to_json` wrote.

        Raises:
            ModelError: an entry is missing, unknown, of the wrong type, or the model has problems.
        """
        top = entries_of(data, cls, "model")
        radiomics = top["radiomics"]
        spec = cls(
            name=typed(top["name"], str, "name"),
            recipe=typed(top["recipe"], str, "recipe"),
            preparation=preparation_from_json(top["preparation"]),
            radiomics=None if radiomics is None else _radiomics(radiomics),
            deep=None if top["deep"] is None else ModelSpec.from_json(top["deep"]),
            columns=tuple(_column(one) for one in _list(top["columns"], "columns")),
            members=tuple(_member(one) for one in _list(top["members"], "members")),
            groups=tuple(group_from_json(one) for one in _list(top["groups"], "groups")),
            aggregation=make(
                AggregationSpec,
                top["aggregation"],
                "aggregation",
                gate_threshold=float,
                gate_rule=str,
                top=int,
            ),
        )
        if problems := spec.problems():
            raise ModelError("The model's description is not usable: " + " ".join(problems))
        return spec


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ModelError(f"The model's description is not usable: {what!r} must be a list.")
    return value


def _names(value: object, what: str) -> Any:
    return tuple(typed(one, str, what) for one in _list(value, what))


def _radiomics(data: object) -> RadiomicsSpec:
    entries: Mapping[str, Any] = entries_of(data, RadiomicsSpec, "radiomics")
    kinds = {"bins": int, "resample_mm": float}
    values = {
        one.name: _names(entries[one.name], one.name)
        if one.name == "families"
        else typed(entries[one.name], kinds.get(one.name, str), one.name)
        for one in fields(RadiomicsSpec)
    }
    return RadiomicsSpec(**values)


def _column(data: object) -> Column:
    entries = entries_of(data, Column, "columns")
    return Column(
        typed(entries["block"], str, "block"),
        typed(entries["name"], str, "name"),
        typed(entries["kind"], str, "kind"),
        _names(entries["categories"], "categories"),
    )


def _member(data: object) -> Member:
    entries = entries_of(data, Member, "members")
    return Member(
        typed(entries["group"], str, "group"),
        _names(entries["blocks"], "blocks"),
        typed(entries["classifier"], str, "classifier"),
    )
