"""Scores that learn with the attention: a correction to the model's own, fitted to the classes of a reader's boxes.

What is fitted is a linear term on the vector that the taught attention pools, added to the model's own logits and held
to zero by a penalty: multinomial logistic regression with an offset (Hosmer, Lemeshow and Sturdivant, Applied Logistic
Regression, 3rd ed., Wiley 2013, chapter 8). Without boxes it is the model's own answer, whatever head the model has.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..core import Box, CaseScores, LabelGroup, Prediction, Progress, silent
from ..core.words import counted
from ..inference.aggregation import aggregate, boxed_slices
from ..models import ModelSpec
from .lessons import Lesson, lesions
from .live import LiveFit

SMALLEST = 1e-6
"""A probability of the model below this, or above its complement, says no more than this."""

TAUGHT = ", scores taught live"
"""Behind the model's name in all that bears scores which boxes have changed."""


@dataclass(frozen=True)
class ScoreSpec:
    """How strongly the classes of boxes count.

    Attributes:
        penalty: of half the squared correction on standardised vectors, beside the mean loss of a case. Large: the
            scores hardly move.
        iterations: of L-BFGS, at most.
    """

    penalty: float = 0.1
    iterations: int = 100


@dataclass(frozen=True, eq=False)
class TaughtScores:
    """Scores after some boxes.

    Attributes:
        probabilities: label to float32 (n,), of all slices and labels; those of questions that were not taught are the
            model's own.
        groups: the questions that were taught, by name; empty where boxes do not tell two answers apart.
        boxes, cases: how many boxes and cases these answers came from.
    """

    probabilities: dict[str, NDArray[np.float32]]
    groups: tuple[str, ...]
    boxes: int
    cases: int


@dataclass(frozen=True, eq=False)
class _Answers:
    """Slices that answer a question: vectors (n, C), own logits (n, K), the answers, weights that sum to 1."""

    vectors: Tensor
    own: Tensor
    answers: Tensor
    weight: Tensor
    cases: int
    boxes: int


class LiveScores:
    """Fits the scores of one study again and again."""

    def __init__(
        self,
        features: Tensor,
        groups: Sequence[LabelGroup],
        own: Mapping[str, NDArray[np.float32]],
        spec: ScoreSpec | None = None,
    ) -> None:
        """Begin at a model's own scores.

        Args:
            features: float32 (n, C, h, w) of all slices of the study; kept, not copied.
            groups: the model's questions.
            own: label to (n,), what the model says of these slices.
            spec: how strongly boxes count.
        """
        self.spec = spec or ScoreSpec()
        self._features, self._groups, self._own = features, tuple(groups), own
        std = features.std(dim=(0, 2, 3))
        self._mean, self._std = (
            features.mean(dim=(0, 2, 3)),
            torch.where(std > 1e-6, std, torch.ones_like(std)),
        )
        self._last: dict[str, tuple[Tensor, Tensor]] = {}

    def fit(
        self,
        attention: LiveFit,
        boxes: Collection[Box],
        looked_at: Collection[int] = (),
        others: Sequence[Lesson] = (),
        progress: Progress = silent,
    ) -> TaughtScores:
        """The scores after these boxes.

        A question whose answers are classes of boxes is taught by the slices with a box of such a class; the question
        whether there is a lesion, by slices with a lesion's box and slices said to show none. Every case counts the
        same.

        Args:
            attention: where the taught attention looks.
            boxes, looked_at, others: as for `LiveAttention.fit`.
            progress: may cancel.
        """
        pooled = self._pooled(self._features, torch.from_numpy(attention.attention))
        found = dict(self._own)
        taught: list[_Answers] = []
        names = []
        last = {}
        for group in self._groups:
            answers = self._answers(group, pooled, attention, tuple(boxes), tuple(looked_at), others)
            if answers is None:
                continue
            last[group.name] = self._solve(answers, self._last.get(group.name), progress)
            weight, bias = last[group.name]
            logits = _logits(group, self._own) + pooled @ weight.T + bias
            # Of a yes-or-no question the last one is the label's.
            scores = torch.softmax(logits, 1)[:, -len(group.labels) :]
            found.update({label: scores[:, k].numpy() for k, label in enumerate(group.labels)})
            taught.append(answers)
            names.append(group.name)
        self._last = last
        return TaughtScores(
            found,
            tuple(names),
            max((one.boxes for one in taught), default=0),
            max((one.cases for one in taught), default=0),
        )

    def _pooled(self, features: Tensor, attention: Tensor) -> Tensor:
        """Standardised vectors (n, C): the cells' mean, weighted by attention (n, h, w)."""
        share = attention / attention.sum(dim=(1, 2), keepdim=True).clamp_min(1e-12)
        return (torch.einsum("nchw,nhw->nc", features, share) - self._mean) / self._std

    def _answers(
        self,
        group: LabelGroup,
        pooled: Tensor,
        attention: LiveFit,
        boxes: tuple[Box, ...],
        looked_at: tuple[int, ...],
        others: Sequence[Lesson],
    ) -> _Answers | None:
        """None where boxes do not tell two answers apart."""
        gates = {one.gate for one in self._groups}
        gate = group.activation == "sigmoid" and len(group.labels) == 1 and group.labels[0] in gates
        if not gate and (group.activation != "softmax" or len(group.labels) < 2):
            return None
        weight, bias = torch.from_numpy(attention.weight), attention.bias
        parts: list[tuple[Tensor, Tensor, list[int]]] = []
        counted = 0
        told = _answers_of(group, gate, boxes, looked_at)
        if told:
            rows = list(told)
            parts.append((pooled[rows], _logits(group, self._own)[rows], list(told.values())))
            counted += _teaching(group, gate, boxes)
        for lesson in others:
            told = _answers_of(group, gate, lesson.boxes, lesson.empty)
            rows = [lesson.slices.index(z) for z in told]
            if rows:
                maps = lesson.maps[rows]
                looks = torch.sigmoid(torch.einsum("nchw,c->nhw", maps, weight) + bias)
                parts.append(
                    (self._pooled(maps, looks), _logits(group, lesson.scores)[rows], list(told.values()))
                )
                counted += _teaching(group, gate, lesson.boxes)
        if len({answer for part in parts for answer in part[2]}) < 2:
            return None
        shares = [torch.full((len(part[2]),), 1 / len(part[2]) / len(parts)) for part in parts]
        return _Answers(
            torch.cat([part[0] for part in parts]),
            torch.cat([part[1] for part in parts]),
            torch.tensor([answer for part in parts for answer in part[2]]),
            torch.cat(shares),
            len(parts),
            counted,
        )

    def _solve(
        self, answers: _Answers, last: tuple[Tensor, Tensor] | None, progress: Progress
    ) -> tuple[Tensor, Tensor]:
        labels = answers.own.shape[1]
        start = last or (torch.zeros(labels, answers.vectors.shape[1]), torch.zeros(labels))
        weight, bias = (part.clone().requires_grad_(True) for part in start)
        optimiser = torch.optim.LBFGS(
            [weight, bias], max_iter=self.spec.iterations, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            progress(0, 0, "Teaching the scores")
            optimiser.zero_grad()
            logits = answers.own + answers.vectors @ weight.T + bias
            each = functional.cross_entropy(logits, answers.answers, reduction="none")
            size = (weight**2).sum() + (bias**2).sum()
            total = (each * answers.weight).sum() + 0.5 * self.spec.penalty * size
            total.backward()  # type: ignore[no-untyped-call]
            return total

        optimiser.step(closure)  # type: ignore[no-untyped-call]
        return weight.detach(), bias.detach()


def as_taught(
    own: Prediction,
    fit: LiveFit,
    scores: TaughtScores | None,
    spec: ModelSpec,
    boxes: Collection[Box],
) -> Prediction:
    """What a model said, with the attention (and the scores, where there are any) that boxes have made of it.

    Taught scores are never calibrated, and everything that shows them says what they are.

    Args:
        own: what the model said itself.
        fit: the taught attention.
        scores: the taught scores; None leaves the model's own.
        spec: of the model.
        boxes: of the study on the screen, which may decide who votes on the case.
    """
    found = replace(own, attention=fit.attention, task_attention={})
    if scores is None or not scores.groups:
        return found
    case, _ = aggregate(
        scores.probabilities, own.slices, own.groups, spec.aggregation, boxed_slices(boxes) if boxes else None
    )
    said = sentence(scores)
    return replace(
        found,
        model=replace(own.model, name=own.model.name + TAUGHT),
        probabilities=scores.probabilities,
        case=CaseScores(case.probabilities, case.voting_slices, f"{said} {case.rule}"),
        warnings=(said, *own.warnings),
    )


def sentence(scores: TaughtScores) -> str:
    """What taught scores are, for whoever reads them."""
    return (
        f"Scores taught live by {counted(scores.boxes, 'box', 'boxes')} of {counted(scores.cases, 'case', 'cases')}: "
        "not calibrated, and judged by nobody."
    )


def _teaching(group: LabelGroup, gate: bool, boxes: Collection[Box]) -> int:
    """How many of the boxes answer the question."""
    return len(lesions(boxes)) if gate else sum(box.label in group.labels for box in boxes)


def _answers_of(
    group: LabelGroup, gate: bool, boxes: Collection[Box], empty: Collection[int]
) -> dict[int, int]:
    """Slice to the number of its answer. Slices whose boxes differ do not answer."""
    if gate:
        marked = {box.z for box in lesions(boxes)}
        clear = ({box.z for box in boxes} | set(empty)) - marked
        return dict.fromkeys(sorted(marked), 1) | dict.fromkeys(sorted(clear), 0)
    labels: dict[int, set[str]] = {}
    for box in boxes:
        if box.label in group.labels:
            labels.setdefault(box.z, set()).add(box.label)
    return {z: group.labels.index(next(iter(told))) for z, told in sorted(labels.items()) if len(told) == 1}


def _logits(group: LabelGroup, scores: Mapping[str, NDArray[np.float32]]) -> Tensor:
    """The model's own logits (n, K), up to a constant; of a yes-or-no question those of no and yes."""
    columns = [torch.from_numpy(np.asarray(scores[label], np.float32)) for label in group.labels]
    if group.activation == "sigmoid":
        columns = [1 - columns[0], columns[0]]
    return torch.stack(columns, 1).clamp(SMALLEST, 1 - SMALLEST).log()
