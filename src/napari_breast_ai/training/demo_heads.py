"""The head of a demo model: fitted and judged by every training's own code, on phantoms that are new to its backbone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch

from ..core import LabelGroup, Progress
from ..inference import backbone_hash
from ..models import AttentionPooling, Composition
from ..models.heads import LinearHead
from .examples import Examples, join
from .features import extract
from .fitting import Fitting
from .ground import Features, Frozen
from .heads import fit_head
from .protocol import ProtocolSpec, divide
from .ready import Ready, strata_of
from .recipe import Recipe
from .rounds import Rounds
from .runfolder import circumstances
from .table import Question, foremost
from .train import conclude
from .watching import Control, unwatched
from .written import Trained


@dataclass(frozen=True, eq=False)
class Attended(Frozen):
    """The head alone, on frozen features pooled by the model's own attention, which stays as it is.

    The fit goes on from the model's head, to which its penalty draws.
    """

    def fit(self, rows: Sequence[int], fitting: Fitting) -> tuple[Composition, dict[str, Any]]:
        """See `Ground`."""
        fresh, part = self._fresh(), self.examples.subset(rows)
        with torch.no_grad():
            vectors = fresh.pooling(self.features.plain[list(rows)]).vector
        # One cell, which is its own mean under any pooling.
        cells = vectors[:, :, None, None]
        how = fit_head(
            fresh,
            cells,
            part.labels,
            part.patients,
            part.boxes,
            self.recipe,
            self.recipe.seed,
            fitting,
            prior=cast(LinearHead, self.model.head),
        )
        return fresh, how

    def _fresh(self) -> Composition:
        found = super()._fresh()
        found.pooling.load_state_dict(self.model.pooling.state_dict())
        return found


def train_heads(
    model: Composition,
    to_learn: Examples,
    held_out: Examples,
    recipe: Recipe,
    data: str,
    progress: Progress,
) -> Trained:
    """Cross-fit the head on some phantoms, fit it on all of these, and judge it on others.

    Args:
        model: whose backbone and attention stay as they are.
        to_learn: phantoms that the backbone has not seen. Each is judged once by a fold that has not seen it either,
            from which calibration and operating points come.
        held_out: phantoms that decide nothing: the test.
        recipe: how, but for its protocol's kind and share.
        data: a sentence on the phantoms.
        progress: told after every batch and round.

    Raises:
        TrainingError: there are too few phantoms.
    """
    questions = [Question(group.name, group) for group in model.groups]
    examples = join([labelled(part, model.groups) for part in (to_learn, held_out)])
    count = len(set(to_learn.patients))
    share = count / (count + len(set(held_out.patients)))
    recipe = replace(recipe, protocol=ProtocolSpec("sequential", recipe.protocol.folds, fraction=share))
    plan = divide(
        recipe.protocol,
        examples.patients,
        strata_of(model.groups, examples.patients, examples.labels),
        recipe.seed,
        contents=[hashlib.sha256(image.tobytes()).hexdigest() for image in examples.images],
    )
    ground: Frozen
    if isinstance(model.pooling, AttentionPooling):
        maps = extract(model, examples.images, keep="maps", progress=progress)
        ground = Attended(model, examples, Features(maps, None, examples.boxes, examples.boxes), recipe)
    else:
        ground = Frozen(model, examples, Features.of(model, examples, recipe, None, progress), recipe)
    ready = Ready(ground, plan, model.spec, backbone_hash(model), ())
    rounds = Rounds(ground, plan.everything, watch=unwatched, control=Control(), progress=progress)
    made = circumstances() | {
        "backbone_sha256": ready.backbone_sha256,
        "table_sha256": "",
        "seed": recipe.seed,
    }
    return conclude(ready, questions, recipe, rounds.run(data, ()), data, (), made, {})


def labelled(examples: Examples, groups: Sequence[LabelGroup]) -> Examples:
    """The slices that answer a question, with their classes as the true boxes tell them.

    A yes-or-no question asks for a box of any class, and so every slice answers it.
    """
    labels: dict[str, tuple[str, ...]] = {}
    for group in groups:
        own = [{box.label for box in boxes} for boxes in examples.lesion_boxes]
        if group.activation == "sigmoid":
            labels[group.name] = tuple("1" if found else "0" for found in own)
        else:
            known = [found & set(group.labels) for found in own]
            labels[group.name] = tuple(foremost(group, found) if found else "" for found in known)
    telling = [i for i in range(len(examples)) if any(told[i] for told in labels.values())]
    return replace(examples, labels=labels).subset(telling)
