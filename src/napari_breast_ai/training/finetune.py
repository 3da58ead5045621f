"""Rounds in which the whole model learns, from changed copies of the images; see `Ground`.

Nothing is cached: every round starts from the weights that were given, and makes its own backbone.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core import Progress, silent
from ..inference import FeatureCache, backbone_hash
from ..models import Composition, ModelSpec
from ..models.heads import make_head
from ..models.pooling import make_pooling
from .errors import TrainingError
from .examples import Examples
from .features import extract
from .fit import fit
from .fitting import Fitting
from .ground import Ground, Scores
from .heads import fit_head
from .packing import digest
from .recipe import Recipe
from .scoring import score_slices
from .splits import split_by_patient


@dataclass(frozen=True, eq=False)
class Images:
    """Whole models on prepared images.

    Attributes:
        model: with the weights that every round begins with.
        examples, recipe: what is learnt from, and how.
        choice: slices that choose the epoch in every round; none: each round keeps some of its training patients apart.
        maps: frozen feature maps of all slices, float32 (n, C, h, w), where pooling and head are fitted on them first.
        device: where the rounds run; None: on a CUDA device where the process has one, else on the processor.
    """

    model: Composition
    examples: Examples
    recipe: Recipe
    choice: tuple[int, ...] = ()
    maps: Tensor | None = None
    device: str | None = None
    # Protocols with fixed parts judge one fit on several of them.
    _last: dict[tuple[int, ...], tuple[dict[str, Tensor], dict[str, Any], list[dict[str, Any]]]] = field(
        default_factory=dict, repr=False
    )

    @property
    def spec(self) -> ModelSpec:
        """See `Ground`."""
        own = self.model.spec
        origin = f"{own.backbone.origin}, fine-tuned on the cohort"
        return replace(own, backbone=replace(own.backbone, origin=origin))

    @property
    def epochs(self) -> int:
        """See `Ground`."""
        return self.recipe.fit.epochs

    def fit(self, rows: Sequence[int], fitting: Fitting) -> tuple[Composition, dict[str, Any]]:
        """See `Ground`."""
        key = tuple(rows)
        if key in self._last:
            weights, how, course = self._last[key]
            fitting.course[:] = course
            return self.filled(weights), how | {"the same fit as": "the round before"}
        fresh = self._fresh()
        if self.maps is not None and fitting.left is None:
            self._fit_head(fresh, rows)
        train, choice = self._sides(rows)
        spec = self.recipe.tuned()
        history = fit(fresh, self.examples, train, choice, spec, fitting=fitting, device=self._where)
        kept = history.epochs[history.best - 1]
        how = {
            "kept epoch": history.best,
            "epochs": len(history.epochs),
            "auc when kept": float(np.mean(list(kept.validation.values()))) if kept.validation else None,
            "loss when kept": kept.loss,
            "rate at the end": history.epochs[-1].lr,
            "device": self._where,
        }
        self._last.clear()
        self._last[key] = (copy.deepcopy(fresh.state_dict()), how, [dict(one) for one in fitting.course])
        return fresh, how

    def judge(self, model: Composition, rows: Sequence[int]) -> tuple[Scores, NDArray[np.float32] | None]:
        """See `Ground`."""
        model.to(self._where)
        found = score_slices(model, self.examples.subset(rows), batch=self.recipe.fit.batch)
        model.to("cpu")
        scores: Scores = dict(found.probabilities)
        return scores, found.attention

    def fitted(self, model: Composition) -> dict[str, Tensor]:
        """See `Ground`."""
        return dict(model.state_dict())

    def filled(self, weights: dict[str, Tensor]) -> Composition:
        """See `Ground`."""
        fresh = self._fresh()
        fresh.load_state_dict(weights)
        return fresh

    def digest(self) -> str:
        """See `Ground`."""
        boxes = [[(b.y0, b.x0, b.y1, b.x1, b.label) for b in own] for own in self.examples.boxes]
        told = repr((self.examples.patients, sorted(self.examples.labels.items()), boxes, self.choice))
        maps = () if self.maps is None else (self.maps,)
        return digest(self.examples.images, *maps, backbone_hash(self.model), told)

    @property
    def keeps_folds(self) -> bool:
        """See `Ground`: each has a backbone of its own."""
        return False

    def light(self) -> Ground:
        """See `Ground`."""
        return replace(self, _last={})

    @property
    def _where(self) -> str:
        # Apple's device lacks some of the steps' backward functions.
        return self.device or ("cuda" if torch.cuda.is_available() else "cpu")

    def _sides(self, rows: Sequence[int]) -> tuple[list[int], list[int]]:
        """Who learns, and who chooses the epoch."""
        if self.choice:
            return list(rows), list(self.choice)
        part, share = self.examples.subset(rows), self.recipe.fit.choose_on
        strata = list(zip(*part.labels.values(), strict=True))
        split = split_by_patient(part.patients, (1 - share, share, 0.0), self.recipe.seed, strata)
        return [rows[i] for i in split.train], [rows[i] for i in split.validation]

    def _fit_head(self, model: Composition, rows: Sequence[int]) -> None:
        """Pooling and head on the frozen maps; the same patients as in the whole fit choose its epoch."""
        assert self.maps is not None
        part, own = self.examples.subset(rows), self.recipe.fit
        first = replace(own, method="sgd", epochs=own.tuning.head_epochs, lr=own.tuning.head_lr)
        recipe = replace(self.recipe, fit=replace(first, weight_decay=max(own.weight_decay, 0.01)))
        fit_head(
            model, self.maps[list(rows)], part.labels, part.patients, part.boxes, recipe, self.recipe.seed
        )

    def _fresh(self) -> Composition:
        """A backbone of its own with the given weights, and pooling and head drawn anew."""
        spec = self.spec
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            pooling = make_pooling(spec.pooling, spec.backbone.channels)
            head = make_head(spec.head, spec.backbone.channels, len(spec.labels))
        return Composition(spec, copy.deepcopy(self.model.backbone), pooling, head).eval()


def images_ground(
    model: Composition,
    examples: Examples,
    recipe: Recipe,
    choice: Sequence[int] = (),
    *,
    cache: FeatureCache | None = None,
    progress: Progress = silent,
) -> Images:
    """What rounds of the method "finetune" stand on.

    Args:
        model: as `build` makes it from the given weights.
        examples: all slices.
        recipe: whose fit's method is "finetune".
        choice: see `Images`.
        cache: of the frozen features that pooling and head are fitted on first.
        progress: told after every batch of these.
    """
    maps = None
    if recipe.fit.tuning.start == "fitted":
        maps = extract(model, examples.images, keep="maps", cache=cache, progress=progress)
    return Images(model, examples, recipe, tuple(choice), maps)


def refuse_bare_norms(model: Composition, recipe: Recipe) -> None:
    """Refuse to freeze batch norms that have nothing to keep.

    Raises:
        TrainingError: they are to keep the statistics that came with the weights, and none came.
    """
    norms = any(isinstance(module, nn.BatchNorm2d) for module in model.backbone.modules())
    if norms and recipe.fit.tuning.batch_norm == "frozen" and model.spec.backbone.origin == "random":
        raise TrainingError(
            "The recipe keeps the statistics of the backbone's batch norms, and random weights have none. Give ImageNet "
            "weights, or let each batch have its own (--set fit.tuning.batch_norm=batch)."
        )
