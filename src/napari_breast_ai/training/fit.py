"""Fitting a whole model to boxed slices, from scratch or from given weights."""

from __future__ import annotations

import copy
import logging
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core import Box, Progress, silent
from ..inference import to_input
from ..models import LESION, AttentionPooling, Composition
from ..models.stages import stages
from .augment import augment
from .drawing import Drawer
from .errors import TrainingError
from .examples import Examples, attention_targets, group_targets, label_targets
from .fitspec import Epoch, FitSpec, History, Precision
from .fitting import Fitting, State
from .losses import UNKNOWN, total_loss
from .metrics import auc
from .scoring import look_at, score_slices
from .splits import check_no_leak

log = logging.getLogger(__name__)


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
    *,
    fitting: Fitting | None = None,
    device: torch.device | str = "cpu",
) -> History:
    """Fit the weights of the model in place; it ends with those of the best validation epoch, in evaluation
    mode, on the CPU.

    What the slices' classes are, the examples' labels say, or without labels their boxes. The same model, examples,
    spec and number of threads give the same weights on the same machine; a fit that was stopped after an epoch and is
    taken up again by `fitting.left` gives them too.

    Args:
        model: to fit.
        examples: slices of all patients.
        train: indices of the training slices.
        validation: indices of the slices that decide which epoch is best. Their patients must be others.
        spec: how.
        progress: told after every step; a `Cancelled` raised in it stops the fit and leaves the model as the
            last step left it.
        fitting: told after every epoch; may stop the fit there.
        device: where it is fitted.

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
    fitting = fitting or Fitting()
    loop = _Loop(model, examples, train, spec, torch.device(device))
    if fitting.left is not None:
        loop.take_up(fitting.left)
    checked = examples.subset(validation)

    def look() -> NDArray[np.float32] | None:
        return None if fitting.shown is None else look_at(model, examples.subset([fitting.shown]))

    while not loop.over:
        sums = loop.epoch(progress, fitting)
        aucs, loss = _validate(model, checked, spec)
        loop.judge(sums, aucs, loss)
        last = loop.epochs[-1]
        log.info("epoch %d: training %s; validation AUC %s", last.number, _short(sums), _short(aucs))
        fitting.epoch(
            last.number,
            spec.epochs,
            loss=sum(sums.values()),
            auc=float(np.mean(list(aucs.values()))) if aucs else None,
            kept=loop.best_epoch == last.number,
            state=loop.state,
            look=look,
        )
    model.load_state_dict(loop.best)
    model.to(device="cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    model.eval().requires_grad_(True)
    return History(tuple(loop.epochs), loop.best_epoch)


class _Loop:
    """The fit between two epochs: everything that has to be the same for it to go on as if it had not stopped."""

    def __init__(
        self,
        model: Composition,
        examples: Examples,
        train: Sequence[int],
        spec: FitSpec,
        device: torch.device,
    ) -> None:
        self.model, self._examples, self._spec, self._device = model, examples, spec, device
        self._changes = [source.kind == "change" for source in model.spec.preparation.sources]
        self._rng = np.random.default_rng(spec.seed)
        self._learnt = _learnt(model, spec)
        # On a CPU, convolutions with channels last are half as fast again.
        model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimiser, self._rates = _optimiser(model, spec)
        self._drawer = Drawer(examples, train, spec)
        count, batch = self._drawer.per_epoch, spec.batch
        # A lonely slice has no statistics of its own: it joins the batch before it.
        lonely = count % batch == 1 and count > batch and batch > 1 and _own_statistics(self._learnt)
        self._steps = math.ceil(count / batch) - lonely
        self._dtype = _dtype(spec.precision, device)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._dtype == torch.float16)
        self.epochs: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0
        self._cut = 1.0
        self._stale = 0

    @property
    def over(self) -> bool:
        """Whether all epochs are done, or no better one has come for as long as the patience is."""
        stale = self._spec.patience is not None and self._stale >= self._spec.patience
        return stale or len(self.epochs) >= self._spec.epochs

    def state(self) -> State:
        """For `take_up`."""
        return {
            "weights": self.model.state_dict(),
            "best": self.best,
            "best epoch": self.best_epoch,
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
            "rng": self._rng.bit_generator.state,
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "cut": self._cut,
            "stale": self._stale,
        }

    def take_up(self, state: State) -> None:
        """Go on where `state` was given."""
        self.model.load_state_dict(state["weights"])
        self.best, self.best_epoch = dict(state["best"]), state["best epoch"]
        self._optimiser.load_state_dict(state["optimiser"])
        # In the weights' own order in memory: sums over another one could end with another last digit.
        for weight, kept in self._optimiser.state.items():
            for name, value in kept.items():
                if isinstance(value, Tensor) and value.shape == weight.shape:
                    kept[name] = torch.empty_like(weight).copy_(value)
        self._scaler.load_state_dict(state["scaler"])
        self._rng.bit_generator.state = state["rng"]
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        self._cut, self._stale = state["cut"], state["stale"]

    def epoch(self, progress: Progress, fitting: Fitting) -> dict[str, float]:
        """All steps of an epoch; the mean of each part of the loss."""
        spec, steps, number = self._spec, self._steps, len(self.epochs) + 1
        self.model.eval()
        for module in self._learnt:
            module.training = True
        sums: dict[str, float] = defaultdict(float)
        order = self._drawer.draw(self._rng)
        for step in range(steps):
            stop = len(order) if step == steps - 1 else (step + 1) * spec.batch
            batch = order[step * spec.batch : stop]
            done = (number - 1) * steps + step
            share = _rate(spec, done, spec.warmup_epochs * steps, spec.epochs * steps) * self._cut
            for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
                group["lr"] = rate * share
            for name, value in self._step(batch).items():
                sums[name] += value * len(batch) / len(order)
            progress(done + 1, spec.epochs * steps, f"training, epoch {number}")
            fitting.step()
        self.model.eval()
        return dict(sums)

    def judge(self, sums: dict[str, float], aucs: dict[str, float], loss: float) -> None:
        """The epoch is over; keep its weights where they are the best."""
        spec = self._spec
        if spec.choose_by == "loss":
            score = -loss
        else:
            score = float(np.mean(list(aucs.values()))) if aucs else -sum(sums.values())
        known = max((epoch.score for epoch in self.epochs), default=-math.inf)
        self.epochs.append(
            Epoch(len(self.epochs) + 1, sums, aucs, score, loss, self._optimiser.param_groups[0]["lr"])
        )
        # Of equals the later one, but only a better one is worth waiting for another.
        if score >= known:
            self.best, self.best_epoch = copy.deepcopy(self.model.state_dict()), len(self.epochs)
        self._stale = 0 if score > known else self._stale + 1
        if spec.schedule == "plateau" and self._stale and self._stale % spec.plateau == 0:
            self._cut *= spec.factor

    def _step(self, batch: list[int]) -> dict[str, float]:
        """One step on one batch; the parts of its loss."""
        spec, model, examples = self._spec, self.model, self._examples
        grey, boxes = augment(
            examples.grey(batch),
            [examples.boxes[i] for i in batch],
            spec.augment,
            self._rng,
            self._changes,
        )
        # A box of which next to nothing is left in the picture says nothing about it.
        rows, columns = examples.image_shape
        boxes = [[b for b in per_slice if _visible(b, rows, columns)] for per_slice in boxes]
        images = to_input(grey, model.spec.preparation)
        images = images.to(device=self._device, memory_format=torch.channels_last)
        with (
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
            torch.autocast(self._device.type, dtype=self._dtype, enabled=self._dtype is not None),
        ):
            pooled = model.pooling(model.backbone(images))
            logits = model.head(pooled.vector)
        target = None
        if pooled.attention_logits is not None:
            h, w = (int(size) for size in pooled.attention_logits.shape[1:])
            target = attention_targets(boxes, (rows, columns), (h, w), spec.reduce).to(self._device)
        wanted = _targets(model, examples.subset(batch), boxes)
        loss, parts = total_loss(
            logits.float(),
            None if pooled.attention_logits is None else pooled.attention_logits.float(),
            model.groups,
            {name: told.to(self._device) for name, told in wanted.items()},
            target,
            spec.weights,
        )
        if not bool(torch.isfinite(loss)):
            raise TrainingError("The loss is no longer a finite number. Use a smaller learning rate.")
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimiser)
        nn.utils.clip_grad_norm_(model.parameters(), spec.clip)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return parts


def _targets(model: Composition, part: Examples, boxes: Sequence[Sequence[Box]]) -> Mapping[str, Tensor]:
    """The answers of a part: the table's, or what the boxes say where no table is."""
    return label_targets(model.groups, part.labels) if part.labels else group_targets(model.groups, boxes)


def _learnt(model: Composition, spec: FitSpec) -> list[nn.Module]:
    """Let gradients reach what is to be learnt, and nothing else; the modules to put into training mode."""
    frozen: set[nn.Module] = set()
    if spec.last_stages:
        parts = stages(model.backbone)
        if spec.last_stages > len(parts):
            raise TrainingError(
                f"The backbone has {len(parts)} stages, and the recipe learns the last {spec.last_stages}. Use fewer."
            )
        frozen = {m for part in parts[: -spec.last_stages] for one in part for m in one.modules()}
    model.requires_grad_(True)
    for module in frozen:
        module.requires_grad_(False)
    return [
        module
        for module in model.modules()
        if module not in frozen and not (spec.batch_norm == "frozen" and _is_norm(module))
    ]


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm2d)


def _own_statistics(learnt: Sequence[nn.Module]) -> bool:
    """Whether a batch's own statistics enter."""
    return any(_is_norm(module) for module in learnt)


def _dtype(wish: Precision, device: torch.device) -> torch.dtype | None:
    """Of autocast; None without."""
    if wish == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[wish]


def _short(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())


def _visible(box: Box, rows: int, columns: int) -> bool:
    inside = box.clipped(rows, columns)
    whole = (box.y1 - box.y0) * (box.x1 - box.x0)
    return (inside.y1 - inside.y0) * (inside.x1 - inside.x0) > 0.2 * whole


def _optimiser(model: Composition, spec: FitSpec) -> tuple[torch.optim.Optimizer, list[float]]:
    """The optimiser, and the highest rate of each of its groups."""
    # Biases are not pulled towards zero: decay is there against large weights, not against offsets.
    parts = [([model.pooling, model.head], spec.lr), ([model.backbone], spec.lr * spec.backbone_lr)]
    if spec.backbone_lr == 1:
        parts = [([model], spec.lr)]
    groups: list[dict[str, Any]] = []
    rates = []
    for modules, rate in parts:
        found = [p for module in modules for p in module.parameters() if p.requires_grad]
        for chosen, decay in (
            ([p for p in found if p.ndim > 1], spec.weight_decay),
            ([p for p in found if p.ndim <= 1], 0.0),
        ):
            groups.append({"params": chosen, "weight_decay": decay})
            rates.append(rate)
    if spec.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=spec.lr), rates
    if spec.optimiser == "adam":
        return torch.optim.Adam(groups, lr=spec.lr), rates
    return torch.optim.SGD(groups, lr=spec.lr, momentum=0.9, nesterov=True), rates


def _rate(spec: FitSpec, step: int, warmup: float, total: int) -> float:
    """Share of the highest learning rate at a step."""
    if step < warmup:
        return (step + 1) / warmup
    if spec.schedule != "cosine":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(total - warmup, 1))))


def _validate(model: Composition, examples: Examples, spec: FitSpec) -> tuple[dict[str, float], float]:
    """AUC of every question on the validation slices, where both answers occur; and the loss."""
    scores = score_slices(model, examples)
    targets = _targets(model, examples, examples.boxes)
    assert scores.logits is not None
    wanted = None
    if scores.attention_logits is not None:
        h, w = (int(size) for size in scores.attention_logits.shape[1:])
        wanted = attention_targets(examples.boxes, examples.image_shape, (h, w), spec.reduce)
    with torch.inference_mode():
        loss, _ = total_loss(
            scores.logits, scores.attention_logits, model.groups, targets, wanted, spec.weights
        )
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
    return found, float(loss)
