"""What a recipe says on fine-tuning a whole model, beside what it says on every fit. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .fitspec import AugmentSpec, BatchNorm, ChooseBy, Optimiser, Precision, Schedule


@dataclass(frozen=True)
class Tuning:
    """How backbone, pooling and head are fitted together.

    Attributes:
        start: "fitted": pooling and head are fitted on the frozen backbone first (by the method "sgd", `head_epochs`
            with the rate `head_lr`), so that a head that knows nothing does not spoil the backbone (Kumar et al.,
            ICLR 2022); "drawn": they begin at random.
        head_epochs, head_lr: see there.
        optimiser, schedule, warmup_epochs, plateau, factor, choose_by, backbone_lr, last_stages, batch_norm,
            precision, clip: see `FitSpec`.
        patience: stop after this many epochs without a better choice part; 0 never.
        focal: γ of the focal loss; 0 is cross-entropy.
        augment: how slices are changed.
    """

    start: Literal["fitted", "drawn"] = "fitted"
    head_epochs: int = 30
    head_lr: float = 0.02
    optimiser: Optimiser = "sgd"
    schedule: Schedule = "cosine"
    warmup_epochs: float = 1.0
    plateau: int = 5
    factor: float = 0.1
    patience: int = 0
    choose_by: ChooseBy = "auc"
    backbone_lr: float = 0.1
    last_stages: int = 0
    batch_norm: BatchNorm = "frozen"
    precision: Precision = "auto"
    clip: float = 1.0
    focal: float = 0.0
    augment: AugmentSpec = field(default_factory=AugmentSpec)

    def problems(self) -> list[str]:
        """What is wrong, in words; see `FitSpec.problems` for the rest."""
        if self.head_epochs < 1 or self.head_lr <= 0 or self.patience < 0:
            return ["Epochs and rate of the head must be positive, and the patience not negative."]
        return []
