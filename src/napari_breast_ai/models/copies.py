"""One copy of pooling and head for each task, over one backbone: every question is answered by its own.

Source: M2 keeps the weights of the best epoch of each task, and answers each task by its own copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .heads import make_head
from .pooling import Pooled, Pooling, make_pooling
from .spec import ModelSpec


class PoolingCopies(Pooling):
    """T poolings side by side: their vectors stand one behind the other, (n, T C)."""

    def __init__(self, copies: Sequence[Pooling]) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copies)

    def forward(self, features: Tensor) -> Pooled:
        """Pool features (n, C, h, w)."""
        found = [cast(Pooled, one(features)) for one in self.copies]
        maps = [one.attention for one in found if one.attention is not None]
        return Pooled(
            torch.cat([one.vector for one in found], dim=1),
            found[0].attention_logits,
            found[0].attention,
            torch.stack(maps, dim=1) if maps else None,
        )

    def mean_gradient(self, features: Tensor, pooled: Pooled, gradient: Tensor) -> Tensor:
        """As in `Pooling`: the copies add up, and each has its own part of the vector."""
        parts = gradient.chunk(len(self.copies), dim=2)
        found = [
            cast(Pooling, one).mean_gradient(features, cast(Pooled, one(features)), part)
            for one, part in zip(self.copies, parts, strict=True)
        ]
        return torch.stack(found).sum(dim=0)


class HeadCopies(nn.Module):
    """T whole heads, each of which sees its own part of the vector and is asked for its own labels only.

    Args:
        copies: the heads, each with outputs for all labels.
        columns: of each head, which labels it answers; all together each label once.
    """

    def __init__(self, copies: Sequence[nn.Module], columns: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copies)
        self.columns = tuple(tuple(some) for some in columns)
        told = [column for some in self.columns for column in some]
        self._place = [told.index(column) for column in range(len(told))]

    def forward(self, vector: Tensor) -> Tensor:
        """Vectors (n, T C) of `PoolingCopies` to logits (n, labels)."""
        parts = vector.chunk(len(self.copies), dim=1)
        found = [
            head(part)[:, list(columns)]
            for head, part, columns in zip(self.copies, parts, self.columns, strict=True)
        ]
        return torch.cat(found, dim=1)[:, self._place]


def make_parts(spec: ModelSpec) -> tuple[Pooling, nn.Module]:
    """Pooling and head of the model, with a copy of both for each task where the spec says so."""

    def pair() -> tuple[Pooling, nn.Module]:
        channels = spec.backbone.channels
        return make_pooling(spec.pooling, channels), make_head(spec.head, channels, len(spec.labels))

    if not spec.copies:
        return pair()
    poolings, heads = zip(*(pair() for _ in spec.copies), strict=True)
    return (
        PoolingCopies(poolings),
        HeadCopies(heads, [spec.columns(task) for task in range(len(spec.copies))]),
    )


def pairs(pooling: Pooling, head: nn.Module) -> tuple[tuple[Pooling, nn.Module], ...]:
    """The copies one by one; a model without copies is its own only one."""
    if isinstance(pooling, PoolingCopies) and isinstance(head, HeadCopies):
        return tuple(
            (cast(Pooling, one), other) for one, other in zip(pooling.copies, head.copies, strict=True)
        )
    return ((pooling, head),)
