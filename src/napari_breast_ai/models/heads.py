"""From a vector to the scores of the labels, before softmax or sigmoid."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .errors import ModelError
from .spec_parts import HeadSpec


def _dense(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class LinearHead(nn.Module):
    """One dense layer."""

    def __init__(self, channels: int, labels: int) -> None:
        super().__init__()
        self.output = _dense(channels, labels)

    def forward(self, vector: Tensor) -> Tensor:
        """Vectors (n, C) to logits (n, labels)."""
        return cast(Tensor, self.output(vector))


class NarrowHead(nn.Module):
    """Standardised features, one hidden layer of a few ReLU units, one dense layer. Source: M1.

    The mean and the standard deviation belong to the training part and are set by `set_standardisation`;
    until then the features pass as they are.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, labels: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.hidden = _dense(channels, hidden)
        self.output = _dense(hidden, labels)

    def set_standardisation(self, vectors: Tensor) -> None:
        """Take mean and standard deviation from the vectors (n, C) of the training part.

        A feature that is constant there is only shifted, not scaled.
        """
        exact = vectors.detach().cpu().double()
        mean = exact.mean(dim=0)
        std = exact.std(dim=0, unbiased=True) if len(exact) > 1 else torch.zeros_like(mean)
        # What rounding leaves of a constant must not be blown up to size one.
        self.std.copy_(torch.where(std > 1e-6 * mean.abs(), std, torch.ones_like(std)))
        self.mean.copy_(mean)

    def forward(self, vector: Tensor) -> Tensor:
        """Vectors (n, C) to logits (n, labels)."""
        hidden = torch.relu(self.hidden((vector - self.mean) / self.std))
        return cast(Tensor, self.output(hidden))


def make_head(spec: HeadSpec, channels: int, labels: int) -> nn.Module:
    """The head that the spec describes."""
    if spec.kind == "linear":
        return LinearHead(channels, labels)
    if spec.kind == "narrow":
        return NarrowHead(channels, labels, spec.hidden)
    raise ModelError(" ".join(spec.problems()))
