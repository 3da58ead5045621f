"""A second look for one group of labels: early features beside the last ones, and a small linear fit on them.

A network trained from scratch on few patients learns where lesions are long before it learns what they are, and its
last layer keeps little of their colour. Early features still hold it; a ridge-penalised linear fit on them, pooled
under the attention that was learnt, has few enough degrees of freedom for as many patients as there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..core import Progress, silent
from ..models import AttentionPooling, Composition, build
from ..models.heads import LinearHead
from .errors import TrainingError
from .examples import Examples
from .metrics import auc
from .scoring import score_slices

EARLY_LAYER = "features+fire3"
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01)


@dataclass(frozen=True)
class Refit:
    """How the fit was chosen.

    Attributes:
        penalty: the chosen weight of half the squared norm, beside the mean cross-entropy.
        choices: AUC per patient on the validation part for each penalty.
    """

    penalty: float
    choices: dict[float, float]


def widen(model: Composition) -> Composition:
    """The same model with early features behind the last ones; it says the same until its head is fitted anew.

    Raises:
        TrainingError: when the model has no such layer, or not this pooling and head.
    """
    old = model.spec.backbone
    if old.layer != "features" or not (
        isinstance(model.pooling, AttentionPooling) and isinstance(model.head, LinearHead)
    ):
        raise TrainingError("Only a SqueezeNet with attention pooling and a linear head can be widened.")
    wide = build(replace(model.spec, backbone=replace(old, layer=EARLY_LAYER)))
    wide.spec = replace(wide.spec, backbone=replace(wide.spec.backbone, origin=old.origin))
    wide.backbone.load_state_dict(model.backbone.state_dict())
    assert isinstance(wide.pooling, AttentionPooling) and isinstance(wide.head, LinearHead)
    channels = old.channels
    with torch.no_grad():
        for new, known in (
            (wide.pooling.attend, model.pooling.attend),
            (wide.head.output, model.head.output),
        ):
            new.weight.zero_()
            new.weight[:, :channels] = known.weight
            assert new.bias is not None and known.bias is not None
            new.bias.copy_(known.bias)
    return wide


def refit_pair(
    model: Composition,
    group: str,
    train: Examples,
    validation: Examples,
    progress: Progress = silent,
) -> Refit:
    """Fit the linear head of a group of two labels anew, in place, on slices that show one of them.

    Pooled features are standardised on the training part; logistic regression with a ridge penalty, full-batch
    L-BFGS in double precision; the penalty with the best AUC per patient on the validation part.

    Args:
        model: with a linear head; everything else of it stays as it is.
        group: name of a softmax group of two labels.
        train: fitted on.
        validation: other patients, to choose the penalty on.
        progress: told after every batch of slices.

    Raises:
        TrainingError: when a part lacks one of the labels, or the head is not linear.
    """
    labels = next(g.labels for g in model.groups if g.name == group)
    if len(labels) != 2 or not isinstance(model.head, LinearHead):
        raise TrainingError("Only a pair of labels with a linear head can be fitted anew.")
    vectors, second, _ = _pooled(model, labels, train, progress)
    other, truth, patients = _pooled(model, labels, validation, progress)
    mean, std = vectors.mean(0), vectors.std(0).clamp_min(1e-6)
    fits = {
        penalty: _logistic((vectors - mean) / std, torch.from_numpy(second).double(), penalty)
        for penalty in PENALTIES
    }
    choices = {}
    for penalty, (weight, bias) in fits.items():
        scores = (((other - mean) / std) @ weight + bias).numpy()
        choices[penalty] = _auc_per_patient(scores, truth, patients)
    best = max(PENALTIES, key=lambda penalty: (choices[penalty], penalty))
    weight, bias = fits[best]
    weight = weight / std
    bias = bias - mean @ weight
    rows = [model.spec.labels.index(label) for label in labels]
    with torch.no_grad():
        # Softmax of (−d/2, d/2) is the sigmoid of d.
        for row, sign in zip(rows, (-0.5, 0.5), strict=True):
            model.head.output.weight[row] = (sign * weight).float()
            model.head.output.bias[row] = (sign * bias).float()
    return Refit(best, choices)


def _pooled(
    model: Composition, labels: Sequence[str], examples: Examples, progress: Progress
) -> tuple[Tensor, NDArray[np.bool_], NDArray[np.str_]]:
    """Pooled vectors (n, C) of the slices that show one of the labels, whether it is the second, the patients."""
    chosen = [i for i, diagnosis in enumerate(examples.diagnoses) if diagnosis in labels]
    second = np.array([examples.diagnoses[i] == labels[1] for i in chosen], dtype=bool)
    if second.all() or not second.any():
        raise TrainingError(f"A part has slices of only one of {labels[0]} and {labels[1]}.")
    part = examples.subset(chosen)
    vectors = score_slices(model, part, keep_vectors=True, progress=progress).vectors
    assert vectors is not None
    return torch.from_numpy(vectors).double(), second, np.array(part.patients)


def _logistic(inputs: Tensor, targets: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights (C,) and bias of ridge logistic regression."""
    weight = torch.zeros(inputs.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=500, tolerance_grad=1e-8, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(inputs @ weight + bias, targets)
        loss = loss + 0.5 * penalty * (weight**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def _auc_per_patient(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], patients: NDArray[np.str_]
) -> float:
    names = np.unique(patients)
    means = [scores[patients == name].mean() for name in names]
    return auc(means, [truth[patients == name][0] for name in names])
