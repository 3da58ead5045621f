"""Fitting the narrow head on frozen features: standardisation and full-batch L-BFGS."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..models import NarrowHead
from .errors import TrainingError


@dataclass(frozen=True)
class NarrowFit:
    """What the fit ended with: training loss, evaluations of the loss, share of right answers in training."""

    loss: float
    evaluations: int
    training_accuracy: float


def fit_narrow(
    head: NarrowHead,
    vectors: Tensor,
    classes: Tensor,
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
        classes: int64 (n,), class index of each.
        iterations: at most.
        tolerance: for gradient, loss and step.
        seed: of the first weights; torch's global generator is left as it was.

    Raises:
        TrainingError: when the classes are not all there, or the loss is not a finite number.

    Source: M1, Haseki Med Bull 2026;64(2):76-84.
    """
    labels = head.output.out_features
    missing = set(range(labels)) - set(classes.tolist())
    if missing:
        raise TrainingError("Each class needs at least one slice in the training part; one has none.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in (head.hidden, head.output):
            torch.nn.init.xavier_uniform_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    head.set_standardisation(vectors)
    exact = copy.deepcopy(head).double().train()
    inputs = vectors.double()
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
        loss = functional.cross_entropy(exact(inputs), classes)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        logits = exact(inputs)
        loss = float(functional.cross_entropy(logits, classes))
        right = float((logits.argmax(1) == classes).double().mean())
    if not torch.isfinite(torch.tensor(loss)):
        raise TrainingError("The head's loss is not a finite number. Look for features that are not.")
    head.load_state_dict({name: value.float() for name, value in exact.state_dict().items()})
    return NarrowFit(loss, evaluations, right)
