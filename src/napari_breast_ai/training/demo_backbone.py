"""The backbones of the demo models: trained from scratch on phantoms, which nothing else of the models learns from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from ..core import Progress, silent
from ..models import RECIPES, Composition, HeadSpec, ImageSource, ModelSpec, PoolingSpec, build, load_bundle
from .beyond import training_ranges
from .errors import TrainingError
from .examples import Examples
from .features import extract
from .fit import fit, initialise
from .fitspec import Epoch, FitSpec, History
from .losses import LossWeights
from .refit import refit_pair, widen

ATTENTION, NARROW = "demo-attention-squeezenet", "demo-squeezenet-narrow"
FIRST_HEAD = "first-head.safetensors"
"""Beside a demo model: the head that was trained with its backbone, from which the model's own goes on."""
EPOCH_PART = "epoch of the backbone"
"""The part of the phantoms on which the epoch is chosen."""
ORIGIN = "trained from scratch on synthetic phantoms"


@dataclass(frozen=True, eq=False)
class Start:
    """A backbone with the attention and the head that it was trained with, and what the bundle tells of it.

    Attributes:
        model: in half precision, as it is written.
        notes: how it was fitted, JSON values.
        ranges: of the phantoms' studies, as evaluation.json holds them.
        kept: it was not trained now, but taken from a bundle.
    """

    model: Composition
    notes: Mapping[str, Any]
    ranges: Mapping[str, Any]
    kept: bool = False

    def first_head(self) -> bytes:
        """The content of `FIRST_HEAD`, in half precision."""
        return bytes(save({name: value.half() for name, value in self.model.head.state_dict().items()}))


def attention_spec() -> ModelSpec:
    """The attention model: is there a lesion; if so, IGM or NME; where to look."""
    return replace(RECIPES["attention-squeezenet"], name=ATTENTION)


def narrow_spec() -> ModelSpec:
    """M1's model on subtracted slices (its data set 2), of a late phase, in the mode of the attention model."""
    preparation = RECIPES["attention-squeezenet"].preparation
    late = ImageSource("subtraction", "nearest_time", 300.0)
    return replace(
        RECIPES["squeezenet-narrow"],
        name=NARROW,
        preparation=replace(preparation, source=late, channels=None),
    )


def attention_fit(epochs: int, seed: int) -> FitSpec:
    """How the attention model's backbone is fitted, with an attention and a head of its own."""
    return FitSpec(
        epochs=epochs,
        seed=seed,
        lr=7e-4,
        lesion_share=0.75,
        weights=LossWeights(attention=2.0, attention_positive=5.0, groups={"diagnosis": 1.5}),
    )


def train_attention(
    examples: Examples,
    train: Sequence[int],
    validation: Sequence[int],
    how: FitSpec,
    progress: Progress = silent,
) -> Start:
    """The attention model's backbone and attention; its features are early ones beside the last ones.

    Args:
        examples: slices of all phantoms that something is learnt from; of them are the ranges.
        train, validation: which of them the backbone is fitted on, and which choose the epoch and the penalty of the
            pair of classes.
        how: it is fitted.
        progress: told after every step and batch.

    Raises:
        TrainingError: it cannot be fitted.
    """
    model = _fresh(attention_spec(), how.seed)
    history = fit(model, examples, train, _thinned(examples, validation), how, progress)
    wide = widen(model)
    refit = refit_pair(wide, "diagnosis", examples.subset(train), examples.subset(validation), progress)
    return _start(
        wide, examples, how, history, progress, {"penalty": refit.penalty, "penalty chosen on": EPOCH_PART}
    )


def train_narrow(
    attention: Start,
    examples: Examples,
    train: Sequence[int],
    validation: Sequence[int],
    how: FitSpec,
    progress: Progress = silent,
) -> Start:
    """The narrow model's backbone, which goes on from the attention model's and learns conv10; see `train_attention`."""
    final, seed = narrow_spec(), how.seed
    groups = attention.model.spec.groups
    task = replace(final, groups=groups, head=HeadSpec("linear"), pooling=PoolingSpec("average"))
    teacher = _fresh(task, seed)
    teacher.backbone.load_state_dict(attention.model.backbone.state_dict(), strict=False)
    history = fit(teacher, examples, train, _thinned(examples, validation), how, progress)
    model = _fresh(final, seed)
    model.backbone.load_state_dict(teacher.backbone.state_dict())
    return _start(model, examples, how, history, progress)


def kept_backbone(folder: Path, phantoms: Mapping[str, Any], how: FitSpec) -> Start:
    """The backbone of a demo bundle.

    Args:
        folder: of the bundle.
        phantoms: that are used now, as evaluation.json tells them.
        how: a backbone would be fitted now.

    Raises:
        BundleError: it cannot be read.
        TrainingError: it does not tell how it was made, or was made from another cohort or split: some phantoms that
            judge now would be among those that it learnt from.
    """
    bundle = load_bundle(folder)
    notes, ranges = bundle.evaluation.get("backbone"), bundle.evaluation.get("ranges")
    head = folder / FIRST_HEAD
    if not isinstance(notes, dict) or not isinstance(ranges, dict) or not head.is_file():
        raise TrainingError(
            f"{folder} does not tell how its backbone was made. Make it anew, without --keep-backbone."
        )
    had = _deciding(bundle.evaluation.get("phantoms") or {}, notes.get("fit") or {})
    if had != _deciding(phantoms, how.to_json()):
        raise TrainingError(
            f"The backbone of {folder} was made with other --patients, --seed or --epochs, and may have learnt from "
            "phantoms that are to judge now. Give those of the command on its card, or make it anew, without "
            "--keep-backbone."
        )
    bundle.model.head.load_state_dict(load_file(head))
    return Start(bundle.model, notes, ranges, kept=True)


def _deciding(phantoms: Mapping[str, Any], fitted: Mapping[str, Any]) -> Any:
    """What decides who is in which part, and how long is fitted; phantoms of the test have a seed of their own."""
    parts = {name: one for name, one in (phantoms.get("patients") or {}).items() if name != "test"}
    told = [phantoms.get("cohort"), parts, fitted.get("seed"), fitted.get("epochs")]
    return json.loads(json.dumps(told))


def _start(
    model: Composition,
    examples: Examples,
    how: FitSpec,
    history: History,
    progress: Progress,
    more: Mapping[str, Any] | None = None,
) -> Start:
    # What stands on a backbone is fitted on the features that its written weights give.
    model.load_state_dict({name: _rounded(value) for name, value in model.state_dict().items()})
    features = extract(model, examples.images, progress=progress)
    notes = {"fit": how.to_json(), "history": _curves(history), **(more or {})}
    return Start(model, notes, training_ranges(examples, range(len(examples)), features).to_json())


def _rounded(value: torch.Tensor) -> torch.Tensor:
    return value.half().float() if value.is_floating_point() else value


def _fresh(model_spec: ModelSpec, seed: int) -> Composition:
    """A model with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(model_spec)
    initialise(model, seed)
    model.spec = replace(model.spec, backbone=replace(model.spec.backbone, origin=ORIGIN))
    return model


def _thinned(examples: Examples, rows: Sequence[int]) -> list[int]:
    """Validation slices: all with a lesion and every third without; more would only take longer."""
    lesions = examples.lesion_boxes
    return [i for i in rows if lesions[i] or examples.slices[i] % 3 == 0]


def _curves(history: History) -> dict[str, Any]:
    def plain(epoch: Epoch) -> dict[str, Any]:
        return {"epoch": epoch.number, "training loss": epoch.train, "validation auc": epoch.validation}

    return {"kept epoch": history.best, "epochs": [plain(epoch) for epoch in history.epochs]}
