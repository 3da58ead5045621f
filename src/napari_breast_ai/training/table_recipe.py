"""Recipes of models that look at a row of lesion features and clinical values: `kind: table` in the YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from ..core import LabelGroup
from ..models import RECIPES, HeadSpec, ModelSpec, PoolingSpec, PreparationSpec
from ..models.table_spec import Block, Classifier, RadiomicsSpec
from .errors import TrainingError
from .protocol import ProtocolSpec
from .recipe import Input
from .table import Cohort, Question


@dataclass(frozen=True)
class Clinical:
    """Which columns of the table are clinical values.

    Attributes:
        columns: their names. None is taken unless it is named: a column may give the answer away.
        categories: those of them whose cells are names even where they look like numbers. A column is one of numbers
            when every cell of the training patients is a number or empty.
    """

    columns: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableFit:
    """How a chain is fitted: missing values filled in, scaled, inputs chosen, classified.

    Every choice among several values is made by cross-validation inside the training patients, by the AUC.

    Attributes:
        classifier: "logistic" (penalised logistic regression), "svm" (Gaussian kernel) or "forest".
        penalties: strengths of the logistic penalty, or of the machine's slackness, as scikit-learn's 1 / C.
        l1: share of the L1 norm in the logistic penalty: 0 is ridge, 1 is the lasso.
        keep: how many inputs the classifier may see, the strongest by the F test first; 0 is all.
        correlation: an input that correlates so much with a stronger one is left out; 1 leaves none out.
        trees, leaves: of a forest: how many, and the fewest patients of a leaf to choose from.
        folds: of that cross-validation.
    """

    classifier: Classifier = "logistic"
    penalties: tuple[float, ...] = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3)
    l1: float = 0.0
    keep: tuple[int, ...] = (5, 10, 20, 40)
    correlation: float = 0.95
    trees: int = 300
    leaves: tuple[int, ...] = (2, 5)
    folds: int = 4

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = []
        if self.classifier not in get_args(Classifier):
            found.append(f"The classifier {self.classifier!r} is unknown.")
        if min(self.penalties) <= 0 or not 0 <= self.l1 <= 1 or not 0 < self.correlation <= 1:
            found.append(
                "Penalties must be positive, l1 between 0 and 1, and correlation above 0 and at most 1."
            )
        if min(self.keep) < 0 or self.trees < 1 or min(self.leaves) < 1 or self.folds < 2:
            found.append(
                "keep must not be negative, trees and leaves must be positive, and folds at least 2."
            )
        return found


@dataclass(frozen=True)
class TableRecipe:
    """A whole training of a model of table rows, but for the table, its labels and the weights.

    Attributes:
        name: of the recipe.
        blocks: what a row is made of: "radiomics" of the lesion, "clinical" columns, "deep": vectors of a frozen
            backbone, mean over the lesion's slices.
        combine: of several blocks: "early" joins them in one row; "late" fits each alone and averages the scores.
        preparation: which image radiomics and backbone see.
        radiomics, clinical: see there.
        model: which of `models.RECIPES` gives the backbone of "deep".
        layer: where its features are taken.
        fit: how a chain is fitted.
        protocol: who trains, who judges.
        seed: of everything that is drawn.
        kind: "table".
    """

    name: str
    blocks: tuple[Block, ...]
    combine: Literal["early", "late"] = "early"
    preparation: Input = field(default_factory=Input)
    radiomics: RadiomicsSpec = field(default_factory=RadiomicsSpec)
    clinical: Clinical = field(default_factory=Clinical)
    model: str = "squeezenet-narrow"
    layer: str = "features"
    fit: TableFit = field(default_factory=TableFit)
    protocol: ProtocolSpec = field(default_factory=ProtocolSpec)
    seed: int = 0
    kind: Literal["table"] = "table"

    @property
    def needs_weights(self) -> bool:
        """Whether it looks through a backbone."""
        return "deep" in self.blocks

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = self.protocol.problems() + self.fit.problems()
        if not self.blocks or len(set(self.blocks)) < len(self.blocks):
            found.append("blocks must name what a row is made of, and nothing twice.")
        if set(self.clinical.categories) - set(self.clinical.columns):
            found.append("clinical.categories may only name some of clinical.columns.")
        if "radiomics" in self.blocks:
            found += self.radiomics.problems()
        if "deep" in self.blocks:
            if self.model not in RECIPES:
                return [*found, f"The model “{self.model}” is unknown; use {', '.join(RECIPES)}."]
            found += self.backbone().problems()
        return found + self.image().problems()

    def image(self) -> PreparationSpec:
        """Which image is looked at."""
        given = self.preparation
        mode = RECIPES[self.model].preparation.mode if self.model in RECIPES else "torchvision"
        return PreparationSpec(given.source, given.size, given.window, mode)

    def backbone(self) -> ModelSpec:
        """The model whose backbone gives vectors. Its head is never asked."""
        base = RECIPES[self.model]
        return replace(
            base,
            name=self.name,
            recipe=self.name,
            preparation=self.image(),
            backbone=replace(base.backbone, layer=self.layer),
            pooling=PoolingSpec("average"),
            head=HeadSpec("linear"),
            groups=(LabelGroup("none", ("none",), "sigmoid"),),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


def check_columns(cohort: Cohort, questions: Sequence[Question], recipe: TableRecipe) -> None:
    """Refuse a recipe whose clinical columns are not named, not there, or what is asked.

    Raises:
        TrainingError: saying which, and what there is.
    """
    if "clinical" not in recipe.blocks:
        return
    if not recipe.clinical.columns:
        raise TrainingError(
            "The recipe looks at clinical values, and does not say which. Name columns of the table: "
            f"clinical.columns=[age]; it has {', '.join(cohort.columns) or 'none'}."
        )
    check_clinical(cohort, recipe.clinical.columns, questions)


def check_clinical(cohort: Cohort, columns: Sequence[str], questions: Sequence[Question] = ()) -> None:
    """Refuse clinical columns that are not there, or that are what is asked.

    Raises:
        TrainingError: saying which, and what there is.
    """
    asked = {question.column.lower() for question in questions}
    known = {name.lower() for name in cohort.columns}
    for name in columns:
        if name.lower() not in known:
            raise TrainingError(
                f"The table has no column “{name}” for the clinical values. Its columns are "
                f"{', '.join(cohort.columns) or 'none'}."
            )
        if name.lower() in asked:
            raise TrainingError(
                f"The column “{name}” is what is asked; it cannot be a clinical value as well."
            )
