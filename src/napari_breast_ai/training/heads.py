"""Fitting pooling and head on frozen features, by the method that a recipe names."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core import Box, LabelGroup
from ..models import AttentionPooling, Composition, Pooling, pairs, probabilities
from ..models.heads import LinearHead
from .errors import TrainingError
from .examples import attention_targets, label_targets
from .fitting import Fitting, State
from .losses import UNKNOWN, LossWeights, total_loss
from .metrics import auc
from .narrow_head import fit_narrow_head, heat, temperatures
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
    fitting: Fitting | None = None,
    shown: Tensor | None = None,
    prior: LinearHead | None = None,
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
        fitting: told of every epoch; None tells nobody.
        shown: float32 (1, C, h, w) of the slice whose attention is told.
        prior: of the method "ridge": a head that the penalty draws to, in place of one that says nothing.

    Returns:
        How it went, for the record.

    Raises:
        TrainingError: a class has no slice, or the loss is not finite.
        Cancelled: from the fitting.
    """
    targets = label_targets(model.groups, labels)
    method = recipe.fit.method
    if method == "sgd":
        watched = fitting or Fitting()
        return _sgd(model, features, targets, labels, patients, boxes, recipe, seed, watched, shown)
    vectors = features.mean(dim=(2, 3))
    if method == "narrow":
        return fit_narrow_head(model, vectors, targets, labels, patients, recipe, seed)
    return _ridge(model, vectors.double(), targets, labels, patients, recipe, seed, prior)


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
    prior: LinearHead | None = None,
) -> dict[str, Any]:
    """Penalised logistic regression; the penalty with the best AUC in folds inside the training patients."""
    assert isinstance(model.head, LinearHead)
    strata = list(zip(*labels.values(), strict=True))
    folds = grouped_folds(patients, min(4, len(set(patients))), seed, strata)
    said = vectors.new_zeros(len(vectors), len(model.spec.labels))
    if prior is not None:
        with torch.no_grad():
            said = vectors @ prior.output.weight.double().T + prior.output.bias.double()
    held_out = {penalty: said.clone() for penalty in recipe.fit.penalties}
    for fold in folds:
        train, other = list(fold.train), list(fold.validation)
        part = {name: told[train] for name, told in targets.items()}
        start = None
        for penalty in recipe.fit.penalties:
            start = _logistic(vectors[train], part, model.groups, penalty, recipe, start, said[train])
            held_out[penalty][other] += vectors[other] @ start[0].T + start[1]
    asked = targets
    if recipe.flips and recipe.mirror:
        # The model will answer on the mean of both sides, which lie one behind the other here.
        half = len(vectors) // 2
        held_out = {penalty: (both[:half] + both[half:]) / 2 for penalty, both in held_out.items()}
        asked = {name: told[:half] for name, told in targets.items()}
    choices = {
        penalty: mean_auc(probabilities(logits, model.groups), model.groups, asked)
        for penalty, logits in held_out.items()
    }
    best = max(recipe.fit.penalties, key=lambda penalty: (choices[penalty], penalty))
    weight, bias = _logistic(vectors, targets, model.groups, best, recipe, said=said)
    with torch.no_grad():
        if prior is not None:
            weight, bias = weight + prior.output.weight, bias + prior.output.bias
        model.head.output.weight.copy_(weight)
        model.head.output.bias.copy_(bias)
    note = {"penalty": best, "auc inside": {str(penalty): value for penalty, value in choices.items()}}
    if not recipe.fit.calibrate:
        return note
    values = temperatures(held_out[best], asked, model.groups)
    heat(model.head, values, model.groups)
    return note | {"temperature": dict(zip((group.name for group in model.groups), values, strict=True))}


def _logistic(
    vectors: Tensor,
    targets: Mapping[str, Tensor],
    groups: Sequence[LabelGroup],
    penalty: float,
    recipe: Recipe,
    start: tuple[Tensor, Tensor] | None = None,
    said: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Weights (labels, C) and biases, for features as they are; the penalty acts on standardised ones.

    They come on top of what is `said` already, logits (n, labels).
    """
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
        logits = inputs @ weight.T + bias
        logits = logits if said is None else logits + said
        loss, _ = total_loss(logits, None, groups, wishes, None, LossWeights())
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
    fitting: Fitting,
    shown: Tensor | None,
) -> dict[str, Any]:
    """SGD with Nesterov momentum on standardised maps; the epoch with the best AUC on patients kept apart.

    Where tasks have copies, one network learns all of them, and each copy is that of its own task's best epoch.
    """
    fit = recipe.fit
    copies = pairs(model.pooling, model.head)
    tasks = [
        [group for group in model.groups if not model.spec.copies or group.name in model.spec.copies[task]]
        for task in range(len(copies))
    ]
    names = [", ".join(group.name for group in groups) for groups in tasks]
    strata = list(zip(*labels.values(), strict=True))
    split = split_by_patient(patients, (1 - fit.choose_on, fit.choose_on, 0.0), seed, strata)
    train, choice = torch.tensor(split.train), torch.tensor(split.validation)
    mean = features[train].mean(dim=(0, 2, 3), keepdim=True)
    # Spread over slices and cells: what one step of the learning rate means must not depend on the backbone.
    std = features[train].std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6)
    inputs = (features - mean) / std
    wanted = None
    if isinstance(copies[0][0], AttentionPooling):
        shape = (int(features.shape[2]), int(features.shape[3]))
        wanted = attention_targets(boxes, model.spec.preparation.size, shape, fit.reduce)
    pooling, head = copy.deepcopy(copies[0])
    assert isinstance(head, LinearHead)
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
    best = [copy.deepcopy(both.state_dict()) for _ in tasks]
    scores, epochs, done_before = [-1.0] * len(tasks), [0] * len(tasks), 0
    if (left := fitting.left) is not None:
        both.load_state_dict(left["weights"])
        optimiser.load_state_dict(left["optimiser"])
        rng.bit_generator.state = left["rng"]
        best, scores, epochs, done_before = (left[name] for name in ("best", "scores", "kept", "epoch"))

    def state() -> State:
        return {
            "weights": both.state_dict(),
            "optimiser": optimiser.state_dict(),
            "rng": rng.bit_generator.state,
            "best": best,
            "scores": scores,
            "kept": epochs,
            "epoch": epoch,
        }

    def look() -> NDArray[np.float32] | None:
        return None if shown is None else _look(pooling, head, (shown - mean) / std)

    steps = math.ceil(len(train) / fit.batch)
    for epoch in range(done_before + 1, fit.epochs + 1):
        total = 0.0
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
            total += float(loss.detach()) * len(rows)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            said = probabilities(head(pooling(inputs[choice]).vector), model.groups)
        told = {n: t[choice] for n, t in targets.items()}
        now = [mean_auc(said, groups, told) for groups in tasks]
        for task, score in enumerate(now):
            if score >= scores[task]:
                best[task], scores[task], epochs[task] = copy.deepcopy(both.state_dict()), score, epoch
        fitting.epoch(
            epoch,
            fit.epochs,
            loss=total / len(train),
            auc=mean_auc(said, model.groups, told),
            kept=epoch in epochs,
            tasks=dict(zip(names, now, strict=True)) if len(tasks) > 1 else None,
            state=state,
            look=look,
        )
    for (own_pooling, own_head), weights_of_task in zip(copies, best, strict=True):
        both.load_state_dict(weights_of_task)
        assert isinstance(own_head, LinearHead)
        _unstandardised(own_pooling, own_head, pooling, head, mean, std)
    if len(tasks) == 1:
        return {"kept epoch": epochs[0], "auc when kept": scores[0]}
    return {
        "kept epoch": dict(zip(names, epochs, strict=True)),
        "auc when kept": dict(zip(names, scores, strict=True)),
    }


def _unstandardised(
    pooling: Pooling, head: LinearHead, fitted: Pooling, dense: LinearHead, mean: Tensor, std: Tensor
) -> None:
    """Fill pooling and head so that they say of features as they are what the fitted ones say of standardised ones."""
    with torch.no_grad():
        m, s = mean[0, :, 0, 0], std[0, :, 0, 0]
        weight, bias = dense.output.weight, dense.output.bias
        head.output.weight.copy_(weight / s)
        head.output.bias.copy_(bias - (weight / s) @ m)
        if isinstance(pooling, AttentionPooling) and isinstance(fitted, AttentionPooling):
            attend, own = fitted.attend, pooling.attend
            own.weight.copy_(attend.weight / std)
            assert own.bias is not None and attend.bias is not None
            own.bias.copy_(attend.bias - (attend.weight[0, :, 0, 0] / s) @ m)


def _look(pooling: nn.Module, head: LinearHead, features: Tensor) -> NDArray[np.float32] | None:
    """Where the model looks on one slice (1, C, h, w): its attention, or the activation of its first label (CAM)."""
    if features.shape[2:] == (1, 1):
        return None
    with torch.no_grad():
        attention = pooling(features).attention
        if attention is None:
            active = (head.output.weight[0][:, None, None] * features[0]).sum(0).clamp_min(0)
            attention = (active / active.max().clamp_min(1e-12))[None]
    return np.asarray(attention[0].numpy(), np.float32)
