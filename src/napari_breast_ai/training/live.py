"""An attention that learns while a person draws: refitted on kept feature maps after every box.

The attention is one weight a channel and a bias (see `models.AttentionPooling`), so that fitting it to the boxes is
a logistic regression over the cells of the slices that somebody has looked at: convex, and a matter of milliseconds.
It begins at what the model has learnt, is held to it by a penalty, and goes on from the last solution. Boxes on other
cases teach along where a person wants it, from the feature maps of their boxed slices (`lessons`).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..core import Box, Progress, silent
from ..inference.box_cells import ReduceRule
from ..models.copies import PoolingCopies
from ..models.pooling import AttentionPooling, Pooling
from .lessons import Lesson, lesions, wanted_maps

MOST = 6 << 20
"""Bytes of cells that other cases teach with: of a case with more, covered and other cells are taken evenly over the
slices, and count for those that are not. So a box is answered as fast with a hundred cases as with ten."""

START = 0.02
"""Attention everywhere before the first box, for a model that has none."""


@dataclass(frozen=True)
class LiveSpec:
    """How strongly boxes count.

    Attributes:
        penalty: of half the squared distance from the model's own attention, on standardised features, beside the
            mean loss of a cell. Large: it hardly moves. Small: it knows nothing but the boxes.
        positive: weight of a covered cell against an uncovered one.
        reduce: how boxes become targets.
        iterations: of L-BFGS, at most.
    """

    penalty: float = 0.003
    positive: float = 3.0
    reduce: ReduceRule = "area"
    iterations: int = 60


@dataclass(frozen=True, eq=False)
class LiveFit:
    """An attention after some boxes.

    Attributes:
        attention: float32 (n, h, w) in 0..1, of all slices.
        weight, bias: float32 (C,) and a number, on features as the backbone gives them.
        taught: slices of this study that it learnt from, rising.
        boxes, cases: how many boxes of lesions that were, on all cases together, and how many cases.
        loss: mean over their cells, without the penalty.
        seconds: that fitting and looking at all slices took.
    """

    attention: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: float
    taught: tuple[int, ...]
    boxes: int
    loss: float
    seconds: float
    cases: int = 1


class Cells(NamedTuple):
    """Cells of feature maps that teach: standardised (N, C), what the attention should be there, and what they weigh."""

    inputs: Tensor
    wanted: Tensor
    weight: Tensor


class LiveAttention:
    """Fits the attention of one study again and again."""

    def __init__(
        self,
        features: Tensor,
        pooling: Pooling,
        covered: tuple[int, int, int, int],
        spec: LiveSpec | None = None,
        last: LiveFit | None = None,
    ) -> None:
        """Begin at a model's own attention.

        Args:
            features: float32 (n, C, h, w) of all slices; kept, not copied.
            pooling: of the model; one without attention begins at `START` everywhere, of several copies the first
                is taken.
            covered: (y0, x0, y1, x1), the pixels that the maps cover, see `Prediction.covered`.
            spec: how strongly boxes count.
            last: of another study under the same model: solving goes on from there.
        """
        self.spec = spec or LiveSpec()
        self._features, self._covered = features, covered
        self._mean = features.mean(dim=(0, 2, 3))
        std = features.std(dim=(0, 2, 3))
        self._std = torch.where(std > 1e-6, std, torch.ones_like(std))
        if isinstance(pooling, PoolingCopies):
            pooling = cast(Pooling, pooling.copies[0])
        if isinstance(pooling, AttentionPooling):
            weight = pooling.attend.weight.detach()[0, :, 0, 0].float().cpu()
            assert pooling.attend.bias is not None
            bias = float(pooling.attend.bias.detach())
        else:
            weight, bias = torch.zeros_like(self._mean), float(np.log(START / (1 - START)))
        # On standardised features; the bias takes up what the means do.
        self._begin = (weight * self._std, torch.tensor(bias) + weight @ self._mean)
        self._last = self._begin
        if last is not None:
            raw = torch.from_numpy(last.weight)
            self._last = (raw * self._std, torch.tensor(last.bias) + raw @ self._mean)
        self._others: tuple[tuple[Lesson, ...], list[Cells]] = ((), [])

    def fit(
        self,
        boxes: Collection[Box],
        looked_at: Collection[int] = (),
        others: Sequence[Lesson] = (),
        progress: Progress = silent,
    ) -> LiveFit:
        """The attention after these boxes.

        Args:
            boxes: of the study; those of normal tissue say that there is no lesion under them.
            looked_at: slices of which somebody has said that they show no lesion.
            others: what other cases teach under the same model.
            progress: told at every step; may cancel, and nothing is changed then.
        """
        start = time.perf_counter()
        marked = lesions(boxes)
        taught = sorted({box.z for box in boxes} | set(looked_at))
        loss = 0.0
        if taught or others:
            found, loss = self._solve(self._cells(taught, marked), self._cells_of(others), progress)
        else:
            found = self._begin
        # A fit to older boxes may still be under way in another thread: the result is of what was found here.
        self._last = found
        weight = found[0] / self._std
        bias = found[1] - weight @ self._mean
        logits = torch.einsum("nchw,c->nhw", self._features, weight) + bias
        return LiveFit(
            torch.sigmoid(logits).numpy(),
            weight.numpy(),
            float(bias),
            tuple(taught),
            len(marked) + sum(len(lesions(one.boxes)) for one in others),
            loss,
            time.perf_counter() - start,
            bool(taught) + len(others),
        )

    def reset(self) -> None:
        """Forget all boxes."""
        self._last = self._begin

    def _cells(self, taught: Sequence[int], marked: Sequence[Box]) -> Cells:
        """All cells of the slices of this study that teach."""
        rows = list(taught)
        cells = self._features[rows].permute(0, 2, 3, 1).flatten(0, 2)
        if not rows:
            return Cells(cells, cells.new_zeros(0), cells.new_zeros(0))
        shape = (int(self._features.shape[2]), int(self._features.shape[3]))
        maps = wanted_maps(marked, rows, self._covered, shape, self.spec.reduce)
        return Cells(
            (cells - self._mean) / self._std, torch.from_numpy(maps).flatten(), cells.new_ones(len(cells))
        )

    def _cells_of(self, others: Sequence[Lesson]) -> list[Cells]:
        """Those of the other cases; kept, as they stay the same from box to box."""
        if self._others[0] != tuple(others):
            room = MOST // 4 // int(self._features.shape[1]) // max(1, len(others))
            self._others = (tuple(others), [self._sampled(one, room) for one in others])
        return self._others[1]

    def _sampled(self, lesson: Lesson, room: int) -> Cells:
        """The cells of a case, at most about `room` of them."""
        shape = (int(lesson.maps.shape[2]), int(lesson.maps.shape[3]))
        maps = wanted_maps(lesions(lesson.boxes), lesson.slices, lesson.covered, shape, self.spec.reduce)
        wanted = maps.ravel()
        chosen: list[NDArray[np.intp]] = []
        weight: list[NDArray[np.float32]] = []
        for found in (np.flatnonzero(wanted > 0), np.flatnonzero(wanted == 0)):
            # One for each part at least, which the other part's share stands for.
            keep = min(len(found), max(1, room // 2 if not chosen else room - len(chosen[0])))
            some = found[np.linspace(0, len(found) - 1, keep).round().astype(int)]
            chosen.append(some)
            weight.append(np.full(len(some), len(found) / max(1, len(some)), np.float32))
        index = torch.from_numpy(np.concatenate(chosen))
        cells = lesson.maps.permute(0, 2, 3, 1).flatten(0, 2)[index]
        return Cells(
            (cells - self._mean) / self._std,
            torch.from_numpy(wanted)[index],
            torch.from_numpy(np.concatenate(weight)),
        )

    def _solve(
        self, own: Cells, others: Sequence[Cells], progress: Progress
    ) -> tuple[tuple[Tensor, Tensor], float]:
        inputs, wanted, share = (torch.cat(parts) for parts in zip(own, *others, strict=True))
        share = share / share.sum()
        weight, bias = (part.clone().requires_grad_(True) for part in self._last)
        anchor = self._begin[0]
        factor = torch.tensor(self.spec.positive)
        optimiser = torch.optim.LBFGS(
            [weight, bias], max_iter=self.spec.iterations, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
        )
        found, steps = 0.0, 0

        def closure() -> Tensor:
            nonlocal found, steps
            progress(min(steps, self.spec.iterations - 1), self.spec.iterations, "Teaching the attention")
            steps += 1
            optimiser.zero_grad()
            loss = functional.binary_cross_entropy_with_logits(
                inputs @ weight + bias, wanted, share, pos_weight=factor, reduction="sum"
            )
            found = float(loss.detach())
            total = loss + 0.5 * self.spec.penalty * ((weight - anchor) ** 2).sum()
            total.backward()  # type: ignore[no-untyped-call]
            return total

        optimiser.step(closure)  # type: ignore[no-untyped-call]
        return (weight.detach(), bias.detach()), found
