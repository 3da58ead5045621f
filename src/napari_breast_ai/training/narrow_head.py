"""The narrow head of a recipe: one fit or the mean of several, at the temperature that its held-out patients want."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from ..core import LabelGroup
from ..models import Composition, HeadSpec, NarrowHead
from ..models.heads import LinearHead, make_head
from .losses import UNKNOWN, group_loss
from .narrow import NarrowFit, fit_narrow
from .recipe import Recipe
from .splits import grouped_folds

INNER_FOLDS = 4
_WIDEST = 1e4


def fit_narrow_head(
    model: Composition,
    vectors: Tensor,
    targets: Mapping[str, Tensor],
    labels: Mapping[str, Sequence[str]],
    patients: Sequence[str],
    recipe: Recipe,
    seed: int,
) -> dict[str, Any]:
    """Fit a model's narrow head in place, as the recipe says.

    Args:
        model: its head has `recipe.hidden` units for each restart.
        vectors: float (n, C), pooled features of the training slices.
        targets: of each label group by its name, as in `losses.group_loss`.
        labels: group to class of each slice, for the folds inside.
        patients: of each slice; folds inside are made by patient.
        recipe: how.
        seed: of the first restart; the next ones count on.

    Raises:
        TrainingError: a class has no slice, or the loss is not finite.
    """
    assert isinstance(model.head, NarrowHead)
    fits = fit_mean(model.head, vectors, targets, model.groups, recipe, seed)
    note: dict[str, Any] = {
        "loss": sum(fit.loss for fit in fits) / len(fits),
        "evaluations": sum(fit.evaluations for fit in fits),
        "accuracy": sum(fit.training_accuracy for fit in fits) / len(fits),
    }
    if not recipe.fit.calibrate:
        return note
    logits, known = _held_out(model, vectors, targets, labels, patients, recipe, seed)
    values = [1.0] * len(model.groups)
    if known:
        values = temperatures(logits[known], {k: told[known] for k, told in targets.items()}, model.groups)
    heat(model.head, values, model.groups)
    names = (group.name for group in model.groups)
    return note | {"temperature": dict(zip(names, values, strict=True))}


def fit_mean(
    head: NarrowHead,
    vectors: Tensor,
    targets: Mapping[str, Tensor],
    groups: Sequence[LabelGroup],
    recipe: Recipe,
    seed: int,
) -> list[NarrowFit]:
    """Fit narrow networks from different first weights, and fill the head with the mean of their logits.

    K networks of h units whose outputs are averaged are one network of K h units, its last layer divided by K.

    Raises:
        TrainingError: see `fit_narrow`.
    """
    fit = recipe.fit
    parts, fits = [], []
    for restart in range(fit.restarts):
        part = make_head(HeadSpec("narrow", recipe.hidden), head.hidden.in_features, head.output.out_features)
        assert isinstance(part, NarrowHead)
        fits.append(
            fit_narrow(
                part,
                vectors,
                targets,
                groups,
                iterations=fit.iterations,
                tolerance=fit.tolerance,
                seed=seed + restart,
            )
        )
        parts.append(part)
    with torch.no_grad():
        head.mean.copy_(parts[0].mean)
        head.std.copy_(parts[0].std)
        head.hidden.weight.copy_(torch.cat([part.hidden.weight for part in parts]))
        head.hidden.bias.copy_(torch.cat([part.hidden.bias for part in parts]))
        head.output.weight.copy_(torch.cat([part.output.weight for part in parts], dim=1) / len(parts))
        head.output.bias.copy_(torch.stack([part.output.bias for part in parts]).mean(0))
    return fits


def temperatures(logits: Tensor, targets: Mapping[str, Tensor], groups: Sequence[LabelGroup]) -> list[float]:
    """Of each group, the number that held-out logits (n, labels) are best divided by: highest likelihood, at least 1.

    Below 1 would make a head surer than its fit made it, on the word of few patients.
    Source: Guo et al., On calibration of modern neural networks, ICML 2017.
    """
    found, start = [], 0
    for group in groups:
        part = logits[:, start : start + len(group.labels)].double()
        told = targets[group.name]
        start += len(group.labels)

        def loss(log: float, part: Tensor = part, told: Tensor = told, group: LabelGroup = group) -> float:
            wanted = told.double() if told.is_floating_point() else told
            return float(group_loss(part / math.exp(log), wanted, group))

        best = minimize_scalar(loss, bounds=(0.0, math.log(_WIDEST)), method="bounded")
        found.append(math.exp(float(best.x)))
    return found


def heat(head: NarrowHead | LinearHead, values: Sequence[float], groups: Sequence[LabelGroup]) -> None:
    """Divide the logits of each group by its temperature, in place."""
    each = torch.tensor([t for t, group in zip(values, groups, strict=True) for _ in group.labels])
    with torch.no_grad():
        head.output.weight.div_(each[:, None])
        head.output.bias.div_(each)


def _held_out(
    model: Composition,
    vectors: Tensor,
    targets: Mapping[str, Tensor],
    labels: Mapping[str, Sequence[str]],
    patients: Sequence[str],
    recipe: Recipe,
    seed: int,
) -> tuple[Tensor, list[int]]:
    """Logits (n, labels) on patients kept out of the fit, and the slices that have one."""
    head = model.head
    assert isinstance(head, NarrowHead)
    strata = list(zip(*labels.values(), strict=True))
    logits = vectors.new_zeros(len(vectors), head.output.out_features)
    known: list[int] = []
    for fold in grouped_folds(patients, min(INNER_FOLDS, len(set(patients))), seed, strata):
        train, other = list(fold.train), list(fold.validation)
        part = {name: told[train] for name, told in targets.items()}
        # A rare class may have all its patients in this fold: nothing could be fitted without them.
        if any(len(_answers(part[name])) < len(_answers(told)) for name, told in targets.items()):
            continue
        twin = make_head(
            HeadSpec("narrow", head.hidden.out_features), head.hidden.in_features, head.output.out_features
        )
        assert isinstance(twin, NarrowHead)
        fit_mean(twin, vectors[train], part, model.groups, recipe, seed)
        with torch.no_grad():
            logits[other] = twin(vectors[other])
        known += other
    return logits, sorted(known)


def _answers(told: Tensor) -> set[int]:
    """The classes that occur among targets."""
    return set(told[~torch.isnan(told)].int().flatten().tolist()) - {UNKNOWN}
