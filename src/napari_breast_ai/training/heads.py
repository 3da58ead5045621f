"""Fitting pooling and head on frozen features, by the method that a recipe names."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core import Box, LabelGroup
from ..models import AttentionPooling, Composition, NarrowHead, probabilities
from ..models.heads import LinearHead
from .errors import TrainingError
from .examples import attention_targets, label_targets
from .losses import UNKNOWN, LossWeights, total_loss
from .metrics import auc
from .narrow import fit_narrow
from .recipe import Recipe
from .splits import grouped_folds, split_by_patient


def fit_head(
    model: Composition,
    features: Tensor,
    labels: Mapping[str, Sequence[str]],
    patients: Sequence[str],
    boxes: Sequence[Sequence[Box]],
    recipe: Recipe,
    seed: int,
) -> dict[str, Any]:
    """Fit pooling and head of a model in place.

    Args:
        model: to fit; its backbone is not looked at.
        features: float32 (n, C, h, w) of the training slices.
        labels: group to class of each slice, as in `Examples.labels`.
        patients: of each slice; parts inside the training are made by patient.
        boxes: of each slice, in pixels of the model's input.
        recipe: how.
        seed: of everything drawn.

    Returns:
        How it went, for the record.

    Raises:
        TrainingError: a class has no slice, or the loss is not finite.
    """
    targets = label_targets(model.groups, labels)
    method = recipe.fit.method
    if method == "sgd":
        return _sgd(model, features, targets, labels, patients, boxes, recipe, seed)
    vectors = features.mean(dim=(2, 3))
    if method == "narrow":
        assert isinstance(model.head, NarrowHead)
        fitted = fit_narrow(
            model.head,
            vectors,
            targets,
            model.groups,
            iterations=recipe.fit.iterations,
            tolerance=recipe.fit.tolerance,
            seed=seed,
        )
        return {"loss": fitted.loss, "evaluations": fitted.evaluations, "accuracy": fitted.training_accuracy}
    return _ridge(model, vectors.double(), targets, labels, patients, recipe, seed)


def mean_auc(
    scores: Mapping[str, Tensor], groups: Sequence[LabelGroup], targets: Mapping[str, Tensor]
) -> float:
    """Mean over all questions of the AUC on slices, where both answers occur; 0.5 without any."""
    found = []
    for group in groups:
        told = targets[group.name]
        for k, label in enumerate(group.labels):
            if group.activation == "softmax":
                known, positive = told != UNKNOWN, told == k
            else:
                known, positive = ~torch.isnan(told[:, k]), told[:, k] > 0.5
            truth = positive[known].numpy()
            if truth.any() and not truth.all():
                found.append(auc(scores[label][known].double().numpy(), truth))
    return float(np.mean(found)) if found else 0.5


def _ridge(
    model: Composition,
    vectors: Tensor,
    targets: dict[str, Tensor],
    labels: Mapping[str, Sequence[str]],
    patients: Sequence[str],
    recipe: Recipe,
    seed: int,
) -> dict[str, Any]:
    """Penalised logistic regression; the penalty with the best AUC in folds inside the training patients."""
    assert isinstance(model.head, LinearHead)
    strata = list(zip(*labels.values(), strict=True))
    folds = grouped_folds(patients, min(4, len(set(patients))), seed, strata)
    held_out = {
        penalty: vectors.new_zeros(len(vectors), len(model.spec.labels)) for penalty in recipe.fit.penalties
    }
    for fold in folds:
        train, other = list(fold.train), list(fold.validation)
        part = {name: told[train] for name, told in targets.items()}
        start = None
        for penalty in recipe.fit.penalties:
            start = _logistic(vectors[train], part, model.groups, penalty, recipe, start)
            held_out[penalty][other] = vectors[other] @ start[0].T + start[1]
    choices = {
        penalty: mean_auc(probabilities(logits, model.groups), model.groups, targets)
        for penalty, logits in held_out.items()
    }
    best = max(recipe.fit.penalties, key=lambda penalty: (choices[penalty], penalty))
    weight, bias = _logistic(vectors, targets, model.groups, best, recipe)
    with torch.no_grad():
        model.head.output.weight.copy_(weight)
        model.head.output.bias.copy_(bias)
    return {"penalty": best, "auc inside": {str(penalty): value for penalty, value in choices.items()}}


def _logistic(
    vectors: Tensor,
    targets: Mapping[str, Tensor],
    groups: Sequence[LabelGroup],
    penalty: float,
    recipe: Recipe,
    start: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Weights (labels, C) and biases, for features as they are; the penalty acts on standardised ones."""
    mean, std = vectors.mean(0), vectors.std(0)
    std = torch.where(std > 1e-6 * mean.abs(), std, torch.ones_like(std))
    inputs = (vectors - mean) / std
    count = sum(len(group.labels) for group in groups)
    weight = vectors.new_zeros(count, vectors.shape[1]) if start is None else start[0] * std
    bias = vectors.new_zeros(count) if start is None else start[1] + start[0] @ mean
    weight, bias = weight.clone().requires_grad_(True), bias.clone().requires_grad_(True)
    wishes = {name: told.double() if told.is_floating_point() else told for name, told in targets.items()}
    optimiser = torch.optim.LBFGS(
        [weight, bias],
        max_iter=recipe.fit.iterations,
        tolerance_grad=recipe.fit.tolerance,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss, _ = total_loss(inputs @ weight.T + bias, None, groups, wishes, None, LossWeights())
        loss = loss + 0.5 * penalty * (weight**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    found = weight.detach() / std
    return found, bias.detach() - found @ mean


def _sgd(
    model: Composition,
    features: Tensor,
    targets: dict[str, Tensor],
    labels: Mapping[str, Sequence[str]],
    patients: Sequence[str],
    boxes: Sequence[Sequence[Box]],
    recipe: Recipe,
    seed: int,
) -> dict[str, Any]:
    """SGD with Nesterov momentum on standardised maps; the epoch with the best AUC on patients kept apart."""
    fit = recipe.fit
    assert isinstance(model.head, LinearHead)
    strata = list(zip(*labels.values(), strict=True))
    split = split_by_patient(patients, (1 - fit.choose_on, fit.choose_on, 0.0), seed, strata)
    train, choice = torch.tensor(split.train), torch.tensor(split.validation)
    mean = features[train].mean(dim=(0, 2, 3), keepdim=True)
    # Spread over slices and cells: what one step of the learning rate means must not depend on the backbone.
    std = features[train].std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6)
    inputs = (features - mean) / std
    wanted = None
    if isinstance(model.pooling, AttentionPooling):
        shape = (int(features.shape[2]), int(features.shape[3]))
        wanted = attention_targets(boxes, model.spec.preparation.size, shape, fit.reduce)
    pooling, head = copy.deepcopy(model.pooling), copy.deepcopy(model.head)
    both = nn.ModuleList([pooling, head])
    for module in both.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.zeros_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    weights = LossWeights(fit.attention, fit.attention_positive)
    optimiser = torch.optim.SGD(
        both.parameters(), lr=fit.lr, momentum=0.9, nesterov=True, weight_decay=fit.weight_decay
    )
    rng = np.random.default_rng(seed)
    best, best_score, best_epoch = copy.deepcopy(both.state_dict()), -1.0, 0
    steps = math.ceil(len(train) / fit.batch)
    for epoch in range(1, fit.epochs + 1):
        order = train[torch.from_numpy(rng.permutation(len(train)))]
        for step in range(steps):
            rows = order[step * fit.batch : (step + 1) * fit.batch]
            done = ((epoch - 1) * steps + step) / (fit.epochs * steps)
            optimiser.param_groups[0]["lr"] = fit.lr * 0.5 * (1 + math.cos(math.pi * done))
            pooled = pooling(inputs[rows])
            loss, _ = total_loss(
                head(pooled.vector),
                pooled.attention_logits,
                model.groups,
                {name: told[rows] for name, told in targets.items()},
                None if wanted is None else wanted[rows],
                weights,
            )
            if not bool(torch.isfinite(loss)):
                raise TrainingError(
                    "The loss is no longer a finite number. Use a smaller learning rate (fit.lr)."
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            logits = head(pooling(inputs[choice]).vector)
            score = mean_auc(
                probabilities(logits, model.groups), model.groups, {n: t[choice] for n, t in targets.items()}
            )
        if score >= best_score:
            best, best_score, best_epoch = copy.deepcopy(both.state_dict()), score, epoch
    both.load_state_dict(best)
    with torch.no_grad():
        m, s = mean[0, :, 0, 0], std[0, :, 0, 0]
        dense = head.output
        model.head.output.weight.copy_(dense.weight / s)
        model.head.output.bias.copy_(dense.bias - (dense.weight / s) @ m)
        if isinstance(model.pooling, AttentionPooling) and isinstance(pooling, AttentionPooling):
            attend, own = pooling.attend, model.pooling.attend
            own.weight.copy_(attend.weight / std)
            assert own.bias is not None and attend.bias is not None
            own.bias.copy_(attend.bias - (attend.weight[0, :, 0, 0] / s) @ m)
    return {"kept epoch": best_epoch, "auc when kept": best_score}
