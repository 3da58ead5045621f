"""Training recipes: YAML files that a person copies and changes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

import yaml

from ..core import LabelGroup
from ..inference.box_cells import ReduceRule
from ..models import RECIPES, HeadSpec, ImageSource, ModelSpec, PoolingSpec, PreparationSpec
from ..models.spec_parts import View
from .errors import TrainingError
from .fitspec import FitSpec, LossWeights
from .protocol import ProtocolSpec
from .tuning import Tuning

if TYPE_CHECKING:
    from .table_recipe import TableRecipe

Method = Literal["narrow", "ridge", "sgd", "finetune"]


@dataclass(frozen=True)
class Input:
    """What the model sees; see `PreparationSpec`."""

    source: ImageSource = field(default_factory=ImageSource)
    size: tuple[int, int] = (227, 227)
    window: tuple[float, float] = (1.0, 99.5)
    view: View = "whole"


@dataclass(frozen=True)
class HeadFit:
    """How pooling and head are fitted on frozen features, or the whole model is.

    Attributes:
        method: "narrow" (full-batch L-BFGS, see `fit_narrow`), "ridge" (penalised logistic regression), "sgd"
            (Nesterov momentum on feature maps, with the attention's loss where there is attention) or "finetune"
            (the backbone learns too, from changed copies of the images, see `Tuning`).
        iterations, tolerance: of L-BFGS.
        restarts: narrow networks that are fitted from different first weights; the head is their mean, which is one
            network with so many times the hidden units.
        calibrate: divide the logits of a narrow head, or of ridge, by the temperature that fits patients best who were
            kept out of the fit, in folds inside the training patients. It changes neither the order of cases nor the
            more probable class; without it, fits without a penalty say 0 or 1 to nearly everything.
        penalties: that ridge chooses from by cross-validation inside the training patients, strongest first.
        epochs, batch, lr, weight_decay: of SGD; the rate falls as half a cosine.
        attention, attention_positive, reduce: weight of the attention's loss, of a covered cell in it, and how boxes
            become its target.
        choose_on: share of the training patients that only choose the best epoch.
        tuning: of the method "finetune".
    """

    method: Method = "narrow"
    iterations: int = 1000
    tolerance: float = 1e-6
    restarts: int = 1
    calibrate: bool = False
    penalties: tuple[float, ...] = (1.0, 0.3, 0.1, 0.03, 0.01)
    epochs: int = 60
    batch: int = 16
    lr: float = 0.02
    weight_decay: float = 0.01
    attention: float = 1.0
    attention_positive: float = 3.0
    reduce: ReduceRule = "area"
    choose_on: float = 0.2
    tuning: Tuning = field(default_factory=Tuning)


@dataclass(frozen=True)
class Recipe:
    """A whole training, but for the table, its labels and the weights.

    Attributes:
        name: of the recipe.
        model: which of `models.RECIPES` gives the backbone and the rest.
        preparation: what the model sees.
        layer: of the backbone, where its features are taken.
        pooling, head, hidden: see `PoolingSpec` and `HeadSpec`.
        flips: learn from every slice's mirror image too.
        mirror: answer on the mean of the features of a slice and of its mirror image.
        copies: every question is answered by a copy of pooling and head of its own, kept at the epoch with the best
            AUC of that question (M2); for the fit "sgd".
        tasks: questions that share a copy, such as [[other benign, IDC, other malignant]]; the others have their own.
        fit: of pooling and head.
        protocol: who trains, who judges.
        seed: of everything that is drawn.
    """

    name: str
    model: str
    preparation: Input = field(default_factory=Input)
    layer: str = "conv10"
    pooling: Literal["average", "attention"] = "average"
    head: Literal["narrow", "linear"] = "narrow"
    hidden: int = 10
    flips: bool = False
    mirror: bool = False
    copies: bool = False
    tasks: tuple[tuple[str, ...], ...] = ()
    fit: HeadFit = field(default_factory=HeadFit)
    protocol: ProtocolSpec = field(default_factory=ProtocolSpec)
    seed: int = 0

    @property
    def needs_weights(self) -> bool:
        """Whether it looks through a backbone."""
        return True

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        if self.model not in RECIPES:
            return [f"The model “{self.model}” is unknown; use {', '.join(RECIPES)}."]
        found = self.spec((LabelGroup("any", ("a", "b"), "softmax"),)).problems() + self.protocol.problems()
        wanted = {
            "narrow": ("narrow", "average"),
            "ridge": ("linear", "average"),
            "sgd": ("linear", self.pooling),
            "finetune": ("linear", self.pooling),
        }
        if (self.head, self.pooling) != wanted[self.fit.method]:
            head, pooling = wanted[self.fit.method]
            found.append(f"The fit “{self.fit.method}” needs a {head} head and {pooling} pooling.")
        fit = self.fit
        if self.copies and fit.method != "sgd":
            found.append(
                "Copies for each question share one frozen backbone and need the fit “sgd”; else set copies to false."
            )
        named = [name for task in self.tasks for name in task]
        if len(set(named)) < len(named) or (named and not self.copies):
            found.append("Tasks need copies: true, and each question belongs to one task.")
        if (
            min(fit.iterations, fit.epochs, fit.batch, fit.restarts) < 1
            or min(fit.lr, fit.tolerance, *fit.penalties) <= 0
        ):
            found.append(
                "Iterations, restarts, epochs, batch, learning rate, tolerance and penalties must be positive."
            )
        if not 0 < fit.choose_on < 1 or min(fit.attention, fit.weight_decay, fit.attention_positive) < 0:
            found.append("choose_on must lie between 0 and 1, and weights of losses must not be negative.")
        if fit.method == "finetune":
            found += fit.tuning.problems() + self.tuned().problems()
            if self.flips:
                found.append("Fine-tuning mirrors by fit.tuning.augment.mirror; leave flips out.")
        return list(dict.fromkeys(found))

    def spec(self, groups: tuple[LabelGroup, ...]) -> ModelSpec:
        """The model that the recipe makes for these questions."""
        base = RECIPES[self.model]
        preparation = PreparationSpec(
            self.preparation.source,
            self.preparation.size,
            self.preparation.window,
            base.preparation.mode,
            view=self.preparation.view,
        )
        return replace(
            base,
            name=self.name,
            recipe=self.name,
            preparation=preparation,
            backbone=replace(base.backbone, layer=self.layer, mirror=self.mirror),
            pooling=PoolingSpec(self.pooling),
            head=HeadSpec(self.head, self.hidden * self.fit.restarts),
            groups=groups,
            copies=self._copies(groups),
        )

    def tuned(self) -> FitSpec:
        """How the method "finetune" fits the whole model."""
        fit, tuning = self.fit, self.fit.tuning
        return FitSpec(
            epochs=fit.epochs,
            batch=fit.batch,
            slices_per_patient=None,
            optimiser=tuning.optimiser,
            lr=fit.lr,
            weight_decay=fit.weight_decay,
            schedule=tuning.schedule,
            warmup_epochs=tuning.warmup_epochs,
            plateau=tuning.plateau,
            factor=tuning.factor,
            patience=tuning.patience or None,
            choose_by=tuning.choose_by,
            backbone_lr=tuning.backbone_lr,
            last_stages=tuning.last_stages,
            batch_norm=tuning.batch_norm,
            precision=tuning.precision,
            clip=tuning.clip,
            seed=self.seed,
            weights=LossWeights(fit.attention, fit.attention_positive, focal=tuning.focal),
            reduce=fit.reduce,
            augment=tuning.augment,
        )

    def _copies(self, groups: tuple[LabelGroup, ...]) -> tuple[tuple[str, ...], ...]:
        """The questions of each copy; with a single task there is nothing to keep apart."""
        if not self.copies:
            return ()
        asked = [group.name for group in groups]
        tasks = [tuple(name for name in task if name in asked) for task in self.tasks]
        named = [name for task in tasks for name in task]
        found = (*(task for task in tasks if task), *((name,) for name in asked if name not in named))
        return found if len(found) > 1 else ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


def recipe_names() -> tuple[str, ...]:
    """The recipes that come with the package."""
    return tuple(sorted(f.name[:-5] for f in _folder().iterdir() if f.name.endswith(".yaml")))


def recipe_text(name: str | Path) -> str:
    """The YAML of a recipe by its name, or of a file.

    Raises:
        TrainingError: there is neither.
    """
    if str(name) in recipe_names():
        return str((_folder() / f"{name}.yaml").read_text(encoding="utf-8"))
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(
            f"There is no recipe and no readable file “{name}”. Recipes are {', '.join(recipe_names())}."
        ) from error


def read_recipe(name: str | Path, changes: Sequence[str] = ()) -> Recipe | TableRecipe:
    """A recipe by its name or from a file, with changes such as "fit.iterations=500".

    Its `kind` says what it makes: "image" (a network; also where it says nothing) or "table".

    Raises:
        TrainingError: no YAML, an unknown key (the nearest known one is said), a value of the wrong kind, or the
            recipe has problems.
    """
    content = _yaml(recipe_text(name), str(name))
    if not isinstance(content, dict):
        raise TrainingError(f"The recipe “{name}” must be a list of keys and values, such as seed: 0.")
    for change in changes:
        path, equals, value = change.partition("=")
        if not equals:
            raise TrainingError(f"“{change}” is no change of a recipe; write key=value.")
        at = content
        *above, last = path.strip().split(".")
        for key in above:
            at = at.setdefault(key, {})
            if not isinstance(at, dict):
                raise TrainingError(f"“{path}” is no key of a recipe: “{key}” has no keys below it.")
        at[last] = _yaml(value, change)
    recipe: Recipe | TableRecipe = _fill(_kind(content), content, "")
    if problems := recipe.problems():
        raise TrainingError("The recipe cannot be used. " + " ".join(problems))
    return recipe


def _kind(content: dict[str, Any]) -> Any:
    """The class of a recipe, by its `kind`, which is taken out for networks."""
    kind = content.get("kind", "image")
    if kind == "table":
        from .table_recipe import TableRecipe

        return TableRecipe
    if kind != "image":
        raise TrainingError(f"“kind” in the recipe cannot be {kind!r}; use image, table.")
    content.pop("kind", None)
    return Recipe


def _folder() -> Any:
    return files(__package__) / "recipes"


def _yaml(text: str, what: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        first = str(error).splitlines()[0]
        raise TrainingError(f"“{what}” is not readable as YAML ({first}).") from error


def _fill(kind: Any, content: Any, path: str) -> Any:
    """A dataclass from a mapping of its own names."""
    if not isinstance(content, Mapping):
        raise TrainingError(f"“{path}” in the recipe must have keys of its own.")
    known = [one.name for one in fields(kind)]
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1, 0.5)
            hint = f"Did you mean “{near[0]}”?" if near else f"Known are {', '.join(known)}."
            raise TrainingError(f"The recipe has the unknown key “{path}{key}”. {hint}")
    hints = get_type_hints(kind)
    values = {key: _value(hints[key], value, f"{path}{key}") for key, value in content.items()}
    try:
        return kind(**values)
    except TypeError as error:
        missing = [key for key in ("name", "model", "blocks") if key in known and key not in content]
        raise TrainingError(f"The recipe lacks {' and '.join(missing)}.") from error


def _value(hint: Any, value: Any, path: str) -> Any:
    if is_dataclass(hint):
        return _fill(hint, value, path + ".")
    wrong = TrainingError(f"“{path}” in the recipe cannot be {value!r}.")
    choices = get_args(hint)
    if hint in (int, float, str, bool):
        if hint is float and isinstance(value, str):
            # YAML 1.1 reads 1e-6 as text.
            try:
                value = float(value)
            except ValueError:
                raise wrong from None
        fits = isinstance(value, int | float) if hint is float else isinstance(value, hint)
        if not fits or (isinstance(value, bool) and hint is not bool):
            raise wrong
        return hint(value)
    if choices and isinstance(choices[0], str):
        if value not in choices:
            raise TrainingError(f"“{path}” in the recipe cannot be {value!r}; use {', '.join(choices)}.")
        return value
    if not isinstance(value, list) or (Ellipsis not in choices and len(value) != len(choices)) or not value:
        raise wrong
    return tuple(_value(choices[0], one, path) for one in value)
