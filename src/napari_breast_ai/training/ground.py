"""What all rounds of a run stand on: slices, their features, and how a model is fitted and asked on some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core import Box, Progress
from ..inference import FeatureCache
from ..models import Composition, ModelSpec, probabilities
from ..models.backbones import Backbone
from ..models.copies import make_parts
from .examples import Examples
from .features import Kept, extract
from .fitting import Fitting
from .heads import fit_head
from .packing import digest
from .recipe import Recipe

Scores = dict[str, NDArray[np.floating[Any]]]


class Ground(Protocol):
    """What the rounds need of a way to train. It can be pickled, to be sent to other machines."""

    @property
    def examples(self) -> Examples:
        """All slices."""

    @property
    def spec(self) -> ModelSpec:
        """Of the model: its questions, and how the slices of a case are put together."""

    @property
    def epochs(self) -> int:
        """Of a fit at most; 0 where it has none."""

    def fit(self, rows: Sequence[int], fitting: Fitting) -> tuple[Composition, dict[str, Any]]:
        """A model fitted on these slices, and how that went, for the record."""

    def judge(self, model: Composition, rows: Sequence[int]) -> tuple[Scores, NDArray[np.float32] | None]:
        """Each label's scores (n,) on these slices, and the attention (n, h, w) where there is one."""

    def fitted(self, model: Composition) -> dict[str, Tensor]:
        """The weights that the fit has changed."""

    def filled(self, weights: dict[str, Tensor]) -> Composition:
        """The model with these weights, which `fitted` gave, in place of its own."""

    def digest(self) -> str:
        """SHA-256 of all that is learnt from; another one would give other weights."""

    @property
    def keeps_folds(self) -> bool:
        """Whether what the rounds of a cross-validation fit is small, and is kept beside the final model."""

    def light(self) -> Ground:
        """The same without what only the final model needs: for sending."""


@dataclass(frozen=True, eq=False)
class Features:
    """Frozen features of all slices and, where the recipe learns from them, of their mirror images.

    Attributes:
        plain: of the slices, as the model sees them when it is asked.
        mirrored: of their mirror images, or None.
        boxes, mirrored_boxes: in the pixels of both.
        own: of the slices without their mirror images, where `plain` is the mean of both and the recipe learns from
            each; else None. `mirrored` is then turned back, and so are its boxes.
    """

    plain: Tensor
    mirrored: Tensor | None
    boxes: tuple[tuple[Box, ...], ...]
    mirrored_boxes: tuple[tuple[Box, ...], ...]
    own: Tensor | None = None

    @classmethod
    def of(
        cls,
        model: Composition,
        examples: Examples,
        recipe: Recipe,
        cache: FeatureCache | None,
        progress: Progress,
    ) -> Features:
        """Compute, or take from the cache."""
        keep: Kept = "maps" if recipe.fit.method == "sgd" else "vectors"
        if recipe.flips and model.spec.backbone.mirror:
            return cls._both_sides(model, examples, keep, cache, progress)
        plain = extract(model, examples.images, keep=keep, cache=cache, progress=progress)
        mirrored = None
        if recipe.flips:
            turned = np.ascontiguousarray(examples.images[..., ::-1])
            mirrored = extract(model, turned, keep=keep, cache=cache, progress=progress)
        last = examples.image_shape[1] - 1
        boxes = tuple(
            tuple(replace(b, x0=last - b.x1, x1=last - b.x0) for b in one) for one in examples.boxes
        )
        return cls(plain, mirrored, examples.boxes, boxes)

    @classmethod
    def _both_sides(
        cls,
        model: Composition,
        examples: Examples,
        keep: Kept,
        cache: FeatureCache | None,
        progress: Progress,
    ) -> Features:
        """Each side is learnt from, and the mean of both is asked."""
        assert isinstance(model.backbone, Backbone)
        one = model.backbone.one_sided()
        sided = Composition(replace(model.spec, backbone=one.spec), one, model.pooling, model.head)
        own = extract(sided, examples.images, keep=keep, cache=cache, progress=progress)
        turned = np.ascontiguousarray(examples.images[..., ::-1])
        other = extract(sided, turned, keep=keep, cache=cache, progress=progress).flip(3)
        return cls((own + other) / 2, other, examples.boxes, examples.boxes, own)

    def fit(
        self,
        model: Composition,
        examples: Examples,
        rows: Sequence[int],
        recipe: Recipe,
        seed: int,
        fitting: Fitting | None = None,
    ) -> dict[str, Any]:
        """Fit the head on these slices."""
        fitting = fitting or Fitting()
        chosen, part = list(rows), examples.subset(rows)
        features, boxes = (self.plain if self.own is None else self.own)[chosen], part.boxes
        labels, patients = dict(part.labels), part.patients
        if self.mirrored is not None:
            features = torch.cat([features, self.mirrored[chosen]])
            boxes += tuple(self.mirrored_boxes[i] for i in chosen)
            labels, patients = {n: v + v for n, v in labels.items()}, patients + patients
        shown = None if fitting.shown is None else self.plain[[fitting.shown]]
        return fit_head(model, features, labels, patients, boxes, recipe, seed, fitting, shown)


@dataclass(frozen=True, eq=False)
class Frozen:
    """Pooling and head on frozen features."""

    model: Composition
    examples: Examples
    features: Features
    recipe: Recipe

    @property
    def spec(self) -> ModelSpec:
        """See `Ground`."""
        return self.model.spec

    @property
    def epochs(self) -> int:
        """See `Ground`."""
        return self.recipe.fit.epochs if self.recipe.fit.method == "sgd" else 0

    def fit(self, rows: Sequence[int], fitting: Fitting) -> tuple[Composition, dict[str, Any]]:
        """See `Ground`."""
        fresh = self._fresh()
        how = self.features.fit(fresh, self.examples, rows, self.recipe, self.recipe.seed, fitting)
        return fresh, how

    def judge(self, model: Composition, rows: Sequence[int]) -> tuple[Scores, NDArray[np.float32] | None]:
        """See `Ground`."""
        with torch.no_grad():
            output = model.from_features(self.features.plain[list(rows)])
        scores: Scores = {k: v.numpy() for k, v in probabilities(output.logits, model.groups).items()}
        return scores, None if output.attention is None else output.attention.numpy()

    def fitted(self, model: Composition) -> dict[str, Tensor]:
        """See `Ground`."""
        return {k: v for k, v in model.state_dict().items() if not k.startswith("backbone.")}

    def filled(self, weights: dict[str, Tensor]) -> Composition:
        """See `Ground`."""
        fresh = self._fresh()
        own = {k: v for k, v in fresh.state_dict().items() if k.startswith("backbone.")}
        fresh.load_state_dict(own | weights)
        return fresh

    def digest(self) -> str:
        """See `Ground`."""
        known = self.features
        mirrored = [one for one in (known.mirrored, known.own) if one is not None]
        # Of a box only what is learnt from: its name is another one each time that a table is read.
        boxes = [[(b.y0, b.x0, b.y1, b.x1, b.label) for b in own] for own in self.examples.boxes]
        told = repr((self.examples.patients, sorted(self.examples.labels.items()), boxes))
        return digest(self.features.plain, *mirrored, told)

    @property
    def keeps_folds(self) -> bool:
        """See `Ground`."""
        return True

    def light(self) -> Frozen:
        """See `Ground`."""
        spec = self.model.spec
        bare = Composition(spec, nn.Identity(), self.model.pooling, self.model.head)
        return replace(self, model=bare)

    def _fresh(self) -> Composition:
        """Pooling and head drawn anew, on the same backbone."""
        spec = self.model.spec
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            pooling, head = make_parts(spec)
        return Composition(spec, self.model.backbone, pooling, head).eval()
