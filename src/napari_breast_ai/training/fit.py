"""Fitting a whole model to boxed slices, from scratch or from given weights."""

from __future__ import annotations

import copy
import logging
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from ..core import Box, Progress, silent
from ..inference import to_input
from ..models import LESION, AttentionPooling, Composition
from .augment import AugmentSpec, augment
from .errors import TrainingError
from .examples import Examples, attention_targets, group_targets
from .losses import UNKNOWN, LossWeights, total_loss
from .metrics import auc
from .scoring import score_slices
from .splits import check_no_leak
from .targets import ReduceRule

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitSpec:
    """How a model is fitted.

    Attributes:
        epochs: at most; the weights of the best one are kept.
        batch: slices per step.
        slices_per_patient: slices drawn anew from each patient in every epoch.
        lesion_share: share of these that show a lesion, where the patient has one.
        optimiser: "adamw", or "sgd" with Nesterov momentum 0.9.
        lr: highest learning rate; it rises linearly over the warm-up and then falls as a half cosine to zero.
        weight_decay: of the optimiser.
        warmup_epochs: length of the rise, in epochs.
        clip: largest norm of the gradient; larger ones are scaled down.
        seed: of drawing slices and changing them.
        weights: of the losses.
        reduce: how boxes become the attention's target.
        augment: how slices are changed.
    """

    epochs: int = 30
    batch: int = 16
    slices_per_patient: int = 8
    lesion_share: float = 0.5
    optimiser: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup_epochs: float = 1.0
    clip: float = 1.0
    seed: int = 0
    weights: LossWeights = field(default_factory=LossWeights)
    reduce: ReduceRule = "area"
    augment: AugmentSpec = field(default_factory=AugmentSpec)

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = []
        if min(self.epochs, self.batch, self.slices_per_patient) < 1:
            found.append("Epochs, batch size and slices per patient must be at least 1.")
        if not 0 <= self.lesion_share <= 1:
            found.append("The share of slices with a lesion must lie between 0 and 1.")
        if self.lr <= 0 or self.clip <= 0 or self.weight_decay < 0 or self.warmup_epochs < 0:
            found.append("Learning rate and gradient limit must be positive, decay and warm-up not negative.")
        if self.optimiser not in ("adamw", "sgd"):
            found.append(f'The optimiser "{self.optimiser}" is unknown; use "adamw" or "sgd".')
        return found + self.weights.problems() + self.augment.problems()

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    Attributes:
        number: from 1.
        train: mean of each part of the loss over the epoch.
        validation: AUC per question on the validation slices; empty where it could not be asked.
        score: mean of these, or minus the training loss where there are none; the highest is the best.
    """

    number: int
    train: dict[str, float]
    validation: dict[str, float]
    score: float


@dataclass(frozen=True)
class History:
    """All epochs and the number of the one whose weights were kept."""

    epochs: tuple[Epoch, ...]
    best: int


def initialise(model: Composition, seed: int, prior: float = 0.03) -> None:
    """Draw all convolutions anew for training from scratch, in place.

    SqueezeNet has no batch normalisation, so the weights' scale must carry the signal through all layers:
    Kaiming's normal initialisation (He et al., ICCV 2015). The attention starts out low everywhere, at
    `prior`, the usual covered share of a slice; else its first steps only learn that most cells are empty.

    Args:
        model: to change; its pooling and head keep their weights but for the attention's bias.
        seed: of the draws; torch's global generator is left as it was.
        prior: attention before training, between 0 and 1.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in model.backbone.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
    if isinstance(model.pooling, AttentionPooling) and model.pooling.attend.bias is not None:
        nn.init.constant_(model.pooling.attend.bias, math.log(prior / (1 - prior)))


def fit(
    model: Composition,
    examples: Examples,
    train: Sequence[int],
    validation: Sequence[int],
    spec: FitSpec,
    progress: Progress = silent,
) -> History:
    """Fit all weights of the model in place; it ends with those of the best validation epoch, in evaluation
    mode.

    The same model, examples, spec and number of threads give the same weights on the same machine.

    Args:
        model: to fit.
        examples: slices of all patients.
        train: indices of the training slices.
        validation: indices of the slices that decide which epoch is best. Their patients must be others.
        spec: how.
        progress: told after every step; a `Cancelled` raised in it stops the fit and leaves the model as the
            last step left it.

    Raises:
        TrainingError: when the spec has problems, a part is empty, or the loss is no longer a finite number.
        LeakError: when a patient is in both parts.
    """
    problems = spec.problems()
    if problems:
        raise TrainingError(" ".join(problems))
    check_no_leak(examples.patients, {"train": train, "validation": validation})
    if not train or not validation:
        raise TrainingError("Fitting needs slices for training and for validation.")
    rng = np.random.default_rng(spec.seed)
    optimiser = _optimiser(model, spec)
    drawer = _Drawer(examples, train, spec)
    steps = math.ceil(drawer.per_epoch / spec.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _rate(step, spec.warmup_epochs * steps, spec.epochs * steps)
    )
    checked = examples.subset(validation)
    # On a CPU, convolutions with channels last are half as fast again.
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    epochs: list[Epoch] = []
    best: dict[str, torch.Tensor] = {}
    for number in range(1, spec.epochs + 1):
        model.train()
        sums: dict[str, float] = defaultdict(float)
        order = drawer.draw(rng)
        for step in range(steps):
            batch = order[step * spec.batch : (step + 1) * spec.batch]
            for name, value in _step(model, examples, batch, spec, optimiser, rng).items():
                sums[name] += value * len(batch) / len(order)
            schedule.step()
            progress((number - 1) * steps + step + 1, spec.epochs * steps, f"training, epoch {number}")
        model.eval()
        aucs = _validate(model, checked)
        score = float(np.mean(list(aucs.values()))) if aucs else -sum(sums.values())
        epochs.append(Epoch(number, dict(sums), aucs, score))
        log.info("epoch %d: training %s; validation AUC %s", number, _short(sums), _short(aucs))
        if score >= max(epoch.score for epoch in epochs):
            best = copy.deepcopy(model.state_dict())
    model.load_state_dict(best)
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return History(tuple(epochs), max(epochs, key=lambda epoch: (epoch.score, epoch.number)).number)


def _step(
    model: Composition,
    examples: Examples,
    batch: list[int],
    spec: FitSpec,
    optimiser: torch.optim.Optimizer,
    rng: np.random.Generator,
) -> dict[str, float]:
    """One step on one batch; the parts of its loss."""
    changes = [source.kind == "change" for source in model.spec.preparation.sources]
    grey, boxes = augment(
        examples.grey(batch), [examples.boxes[i] for i in batch], spec.augment, rng, changes
    )
    # A box of which next to nothing is left in the picture says nothing about it.
    rows, columns = examples.image_shape
    boxes = [[b for b in per_slice if _visible(b, rows, columns)] for per_slice in boxes]
    images = to_input(grey, model.spec.preparation).contiguous(memory_format=torch.channels_last)
    features = model.backbone(images)
    pooled = model.pooling(features)
    target = None
    if pooled.attention_logits is not None:
        h, w = (int(size) for size in features.shape[2:])
        target = attention_targets(boxes, (rows, columns), (h, w), spec.reduce)
    loss, parts = total_loss(
        model.head(pooled.vector),
        pooled.attention_logits,
        model.groups,
        group_targets(model.groups, boxes),
        target,
        spec.weights,
    )
    if not bool(torch.isfinite(loss)):
        raise TrainingError("The loss is no longer a finite number. Use a smaller learning rate.")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), spec.clip)
    optimiser.step()
    return parts


def _short(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())


def _visible(box: Box, rows: int, columns: int) -> bool:
    inside = box.clipped(rows, columns)
    whole = (box.y1 - box.y0) * (box.x1 - box.x0)
    return (inside.y1 - inside.y0) * (inside.x1 - inside.x0) > 0.2 * whole


class _Drawer:
    """Draws each epoch's slices: equally many per patient, with and without a lesion."""

    def __init__(self, examples: Examples, train: Sequence[int], spec: FitSpec) -> None:
        lesions = examples.lesion_boxes
        self._pools: dict[str, tuple[list[int], list[int]]] = {}
        for i in train:
            pools = self._pools.setdefault(examples.patients[i], ([], []))
            pools[0 if lesions[i] else 1].append(i)
        self._counts = {}
        for patient, (with_lesion, without) in self._pools.items():
            n = min(spec.slices_per_patient, len(with_lesion) + len(without))
            wanted = min(round(n * spec.lesion_share), len(with_lesion))
            wanted = max(wanted, n - len(without))
            self._counts[patient] = (wanted, n - wanted)
        self.per_epoch = sum(sum(counts) for counts in self._counts.values())

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Indices of an epoch's slices in random order."""
        drawn: list[int] = []
        for patient, pools in self._pools.items():
            for pool, n in zip(pools, self._counts[patient], strict=True):
                drawn += [pool[i] for i in rng.choice(len(pool), n, replace=False)] if n else []
        return [drawn[i] for i in rng.permutation(len(drawn))]


def _optimiser(model: Composition, spec: FitSpec) -> torch.optim.Optimizer:
    # Biases are not pulled towards zero: decay is there against large weights, not against offsets.
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": spec.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if spec.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=spec.lr)
    return torch.optim.SGD(groups, lr=spec.lr, momentum=0.9, nesterov=True)


def _rate(step: int, warmup: float, total: int) -> float:
    """Share of the highest learning rate at a step."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(total - warmup, 1))))


def _validate(model: Composition, examples: Examples) -> dict[str, float]:
    """AUC of every question on the validation slices, where both answers occur."""
    scores = score_slices(model, examples)
    targets = group_targets(model.groups, examples.boxes)
    found: dict[str, float] = {}
    for group in model.groups:
        target = targets[group.name].numpy()
        for k, label in enumerate(group.labels):
            if group.activation == "softmax":
                if k == 0 and len(group.labels) == 2:
                    continue  # the other label's AUC is the same
                known = target != UNKNOWN
                truth = target[known] == k
            else:
                known = ~np.isnan(target[:, k])
                truth = target[known, k] > 0.5
            if truth.any() and not truth.all():
                found[label if label == LESION else f"{group.name}: {label}"] = auc(
                    scores.probabilities[label][known], truth
                )
    return found
