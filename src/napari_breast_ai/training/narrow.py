"""Fitting the narrow head on frozen features: standardisation and full-batch L-BFGS."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import LabelGroup
from ..models import NarrowHead
from .errors import TrainingError
from .losses import UNKNOWN, LossWeights, total_loss


@dataclass(frozen=True)
class NarrowFit:
    """What the fit ended with: training loss, evaluations of the loss, share of right answers in training."""

    loss: float
    evaluations: int
    training_accuracy: float


def fit_narrow(
    head: NarrowHead,
    vectors: Tensor,
    targets: Mapping[str, Tensor],
    groups: Sequence[LabelGroup],
    *,
    iterations: int = 1000,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> NarrowFit:
    """Fit a narrow head in place on the features of the training part, and only on those.

    Features are standardised with the training part's mean and deviation, which the head keeps. Weights begin
    Glorot-uniform, biases at zero; cross-entropy, no weight decay, full-batch L-BFGS with a strong Wolfe line
    search, in double precision. It stops after `iterations`, or when the largest gradient, or the change of
    the loss or of the weights, falls below `tolerance`.

    Args:
        head: to fit.
        vectors: float (n, C), pooled features of the training slices.
        targets: of each label group by its name, as in `losses.group_loss`.
        groups: the model's label groups.
        iterations: at most.
        tolerance: for gradient, loss and step.
        seed: of the first weights; torch's global generator is left as it was.

    Raises:
        TrainingError: when the classes are not all there, or the loss is not a finite number.

    Source: M1, Haseki Med Bull 2026;64(2):76-84.
    """
    for group in groups:
        told = targets[group.name]
        wanted = set(range(len(group.labels))) if group.activation == "softmax" else {0, 1}
        if wanted - set(told[~torch.isnan(told)].int().flatten().tolist()):
            raise TrainingError("Each class needs at least one slice in the training part; one has none.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in (head.hidden, head.output):
            torch.nn.init.xavier_uniform_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    head.set_standardisation(vectors)
    exact = copy.deepcopy(head).double().train()
    inputs, plain = vectors.double(), LossWeights()
    wishes = {name: told.double() if told.is_floating_point() else told for name, told in targets.items()}
    optimiser = torch.optim.LBFGS(
        exact.parameters(),
        lr=1.0,
        max_iter=iterations,
        max_eval=iterations * 5,
        tolerance_grad=tolerance,
        tolerance_change=tolerance,
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    evaluations = 0

    def closure() -> Tensor:
        nonlocal evaluations
        evaluations += 1
        optimiser.zero_grad()
        loss = total_loss(exact(inputs), None, groups, wishes, None, plain)[0]
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        logits = exact(inputs)
        loss = float(total_loss(logits, None, groups, wishes, None, plain)[0])
        right = _right(logits, groups, wishes)
    if not torch.isfinite(torch.tensor(loss)):
        raise TrainingError("The head's loss is not a finite number. Look for features that are not.")
    head.load_state_dict({name: value.float() for name, value in exact.state_dict().items()})
    return NarrowFit(loss, evaluations, right)


def _right(logits: Tensor, groups: Sequence[LabelGroup], targets: Mapping[str, Tensor]) -> float:
    """Share of right answers among those that are known."""
    right = []
    start = 0
    for group in groups:
        part, told = logits[:, start : start + len(group.labels)], targets[group.name]
        start += len(group.labels)
        if group.activation == "softmax":
            right.append((part.argmax(1) == told)[told != UNKNOWN])
        else:
            right.append(((part > 0) == (told > 0.5))[~torch.isnan(told)])
    return float(torch.cat(right).double().mean())
