"""How a whole model is fitted, and what came of it. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from ..inference.box_cells import ReduceRule

Optimiser = Literal["adamw", "adam", "sgd"]
Schedule = Literal["cosine", "plateau", "constant"]
ChooseBy = Literal["auc", "loss"]
BatchNorm = Literal["frozen", "batch"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class AugmentSpec:
    """How much training slices are changed, drawn anew for each slice and epoch.

    Attributes:
        mirror: chance of a left-right mirror image.
        shift: largest shift, as a share of the image, along rows and columns.
        scale: smallest and largest magnification.
        gamma: largest change of the exponent of the brightness, as a factor and its inverse; 1 is none.
        gain: largest change of the brightness, as a factor and its inverse; 1 is none.
        noise: largest standard deviation of added noise, in units of the window (0..1).
    """

    mirror: float = 0.5
    shift: float = 0.06
    scale: tuple[float, float] = (0.85, 1.2)
    gamma: float = 1.25
    gain: float = 1.15
    noise: float = 0.02

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = []
        if not 0 <= self.mirror <= 1:
            found.append("The chance of a mirror image must lie between 0 and 1.")
        if not 0 <= self.shift < 0.5:
            found.append("The largest shift must be less than half the image.")
        if not 0 < self.scale[0] <= self.scale[1]:
            found.append("The magnification needs a positive smallest and a largest value, in this order.")
        if self.gamma < 1 or self.gain < 1 or self.noise < 0:
            found.append("Gamma and gain are factors of at least 1, and noise is not negative.")
        return found


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts.

    Attributes:
        attention: weight of the attention's loss.
        attention_positive: weight of a covered cell against an uncovered one inside it; lesions cover few
            cells.
        groups: weight per label group's name; 1 where none is given.
        focal: γ of the tasks' focal loss; 0 is cross-entropy.
    """

    attention: float = 1.0
    attention_positive: float = 1.0
    groups: Mapping[str, float] = field(default_factory=dict)
    focal: float = 0.0

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        numbers = [self.attention, self.attention_positive, self.focal, *self.groups.values()]
        return ["The weights of the losses must not be negative."] if min(numbers) < 0 else []


@dataclass(frozen=True)
class FitSpec:
    """How a model is fitted.

    Attributes:
        epochs: at most; the weights of the best one are kept.
        batch: slices per step.
        slices_per_patient: slices drawn anew from each patient in every epoch; None takes all slices.
        lesion_share: share of these that show a lesion, where the patient has one.
        optimiser: "adamw", "adam" (decay as a part of the gradient), or "sgd" with Nesterov momentum 0.9.
        lr: highest learning rate; it rises linearly over the warm-up.
        weight_decay: of the optimiser; biases and batch norms have none.
        schedule: after the warm-up: "cosine" falls as half a cosine to zero, "plateau" is multiplied by `factor` after
            every `plateau` epochs without a better validation part, "constant" stays.
        warmup_epochs: length of the rise, in epochs.
        plateau, factor: see `schedule`.
        patience: stop after this many epochs without a better validation part; None never.
        choose_by: what is better: a higher mean AUC, or a lower loss, on the validation part.
        backbone_lr: the backbone's share of the learning rate.
        last_stages: learn so many of the backbone's last stages (see `models.stages`); 0 learns all of it.
        batch_norm: "batch" takes each batch's own statistics and keeps a running mean of them for predicting; "frozen"
            keeps the statistics that came with the weights, and learns scale and shift.
        precision: of the backbone: "auto" is bfloat16 on a GPU that has it, else float16 there, and float32 elsewhere.
        clip: largest norm of the gradient; larger ones are scaled down.
        seed: of drawing slices and changing them.
        weights: of the losses.
        reduce: how boxes become the attention's target.
        augment: how slices are changed.
    """

    epochs: int = 30
    batch: int = 16
    slices_per_patient: int | None = 8
    lesion_share: float = 0.5
    optimiser: Optimiser = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    schedule: Schedule = "cosine"
    warmup_epochs: float = 1.0
    plateau: int = 5
    factor: float = 0.1
    patience: int | None = None
    choose_by: ChooseBy = "auc"
    backbone_lr: float = 1.0
    last_stages: int = 0
    batch_norm: BatchNorm = "batch"
    precision: Precision = "auto"
    clip: float = 1.0
    seed: int = 0
    weights: LossWeights = field(default_factory=LossWeights)
    reduce: ReduceRule = "area"
    augment: AugmentSpec = field(default_factory=AugmentSpec)

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = []
        if min(self.epochs, self.batch, self.slices_per_patient or 1) < 1:
            found.append("Epochs, batch size and slices per patient must be at least 1.")
        if not 0 <= self.lesion_share <= 1:
            found.append("The share of slices with a lesion must lie between 0 and 1.")
        if self.lr <= 0 or self.clip <= 0 or self.weight_decay < 0 or self.warmup_epochs < 0:
            found.append("Learning rate and gradient limit must be positive, decay and warm-up not negative.")
        if self.plateau < 1 or not 0 < self.factor < 1 or (self.patience is not None and self.patience < 1):
            found.append("Plateau and patience are at least one epoch, and the factor lies between 0 and 1.")
        if self.backbone_lr < 0 or self.last_stages < 0:
            found.append("The backbone's share of the rate and its last stages must not be negative.")
        for what, value, choices in (
            ("optimiser", self.optimiser, get_args(Optimiser)),
            ("schedule", self.schedule, get_args(Schedule)),
            ("choice", self.choose_by, get_args(ChooseBy)),
            ("batch norm", self.batch_norm, get_args(BatchNorm)),
            ("precision", self.precision, get_args(Precision)),
        ):
            if value not in choices:
                found.append(f"The {what} “{value}” is unknown; use {', '.join(choices)}.")
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
        score: mean of these, or minus the training loss where there are none; minus the validation loss where that
            chooses. The highest is the best.
        loss: on the validation slices.
        lr: the learning rate at the epoch's end.
    """

    number: int
    train: dict[str, float]
    validation: dict[str, float]
    score: float
    loss: float = 0.0
    lr: float = 0.0


@dataclass(frozen=True)
class History:
    """All epochs and the number of the one whose weights were kept."""

    epochs: tuple[Epoch, ...]
    best: int
