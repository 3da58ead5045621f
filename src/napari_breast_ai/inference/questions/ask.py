"""Ask a model about its heat map on a slice: every question of the table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...core import Box, DceVolume, Progress, silent
from ...models import probabilities
from ...models.bundle import Bundle
from ...models.pooling import Pooling
from ..aggregation import NO_LESION
from ..device import choose_device
from ..engine import engine_for
from ..errors import InferenceError
from ..explanation import Explained, explain
from ..images import make_images
from ..preparation import plan_images
from . import table
from .alike import (
    TOP,
    max_sensitivity,
    noisy,
    rank_correlation,
    sanity,
    shifted,
    top_overlap,
    without_knowledge,
)
from .course import Course
from .place import place
from .removal import BATCH, baseline_of, deletion, faithfulness, insertion, patches, ranked
from .table import Answer, answered, mean_answers

Which = Literal["attention", "gradcam"]

_DRAWS = 3
"""Models without knowledge for each stage."""

_NO_BOX = "There is no lesion's box on this slice."
_FLAT = "The map is the same everywhere."
_DULL = "The model gives the slice nearly the same score as an empty image, so there is nothing to take away."
_AGAINST = "What the slice shows speaks against this class: an empty image has the higher score. Ask about another one."


class Asker:
    """A model, a study, and one of its heat maps.

    Args:
        volume: the study.
        bundle: the model.
        which: the attention, or the Grad-CAM of the label.
        label: whose score is asked for, and whose map it is.
        device: as in `predict`.

    Raises:
        InferenceError: the model has no such map or label, or cannot run on the study.
    """

    def __init__(
        self,
        volume: DceVolume,
        bundle: Bundle,
        which: Which,
        label: str,
        device: str | torch.device | None = None,
    ) -> None:
        spec = bundle.spec
        if label not in spec.labels:
            raise InferenceError(
                f"The model has no class “{label}”; it has {', '.join(spec.labels)}. Choose one of them."
            )
        if which == "attention" and spec.pooling.kind != "attention":
            raise InferenceError("The model has no attention. Ask about its Grad-CAM.")
        self.volume, self.bundle, self.which, self.label = volume, bundle, which, label
        self.plan = plan_images(volume, spec.preparation)
        self._engine = engine_for(bundle.model, choose_device(device))
        group = next(one for one in spec.groups if label in one.labels)
        self._task = next((k for k, names in enumerate(spec.copies) if group.name in names), 0)

    # ------------------------------------------------------------------------------------------------ of the model

    def _explained(self, images: Tensor) -> Explained:
        """Of images (n, 3, H, W), a few at a time."""
        parts = [
            self._engine.explain(self._engine.features(images[start : start + BATCH]))
            for start in range(0, len(images), BATCH)
        ]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _pick(self, found: Explained, which: Which) -> NDArray[np.float32]:
        """The heat maps (n, h, w)."""
        if which == "gradcam":
            maps = found.gradcam[:, self.bundle.spec.labels.index(self.label)]
        elif found.of_tasks is not None:
            maps = found.of_tasks[:, self._task]
        else:
            assert found.attention is not None
            maps = found.attention
        return np.asarray(maps.cpu().numpy(), np.float32)

    def heat(self, images: Tensor) -> NDArray[np.float32]:
        """The heat map asked about, of images (n, 3, H, W): (n, h, w)."""
        return self._pick(self._explained(images), self.which)

    def probability(self, images: Tensor) -> NDArray[np.float64]:
        """The label's probability of images (n, 3, H, W): (n,)."""
        found = []
        with torch.no_grad():
            # No map is asked for: what lies behind the features is run alone.
            for start in range(0, len(images), BATCH):
                features = self._engine.features(images[start : start + BATCH]).cpu()
                found.append(self.bundle.model.from_features(features).logits.double())
        scores = probabilities(torch.cat(found), self.bundle.spec.groups)[self.label]
        return np.asarray(scores.numpy(), np.float64)

    def log_odds(self, images: Tensor) -> NDArray[np.float64]:
        """The same as log(p / (1 - p)), which does not stop at 0 and 1."""
        p = np.clip(self.probability(images), 1e-12, 1 - 1e-12)
        return np.asarray(np.log(p / (1 - p)), np.float64)

    def _ignorant(self, image: Tensor, backbone: bool, seed: int) -> NDArray[np.float32]:
        """The map of a model whose end, or all of it, is random."""
        model = self.bundle.model
        with torch.no_grad():
            if backbone:
                features = without_knowledge(model.backbone, seed).eval()(image[None])
            else:
                features = self._engine.features(image[None]).cpu()
        pooling = without_knowledge(model.pooling, seed + 1)
        assert isinstance(pooling, Pooling)
        head: nn.Module = without_knowledge(model.head, seed + 2)
        maps = self._pick(explain(features, pooling.eval(), head.eval()), self.which)
        return np.asarray(maps[0], np.float32)

    # ----------------------------------------------------------------------------------------------- the questions

    def ask(
        self, slices: Sequence[int], boxes: Collection[Box] = (), progress: Progress = silent
    ) -> tuple[Answer, ...]:
        """Every question, of some slices; the means over them.

        Args:
            slices: their indices.
            boxes: a person's boxes on any slices, in pixels of the whole image.
            progress: told after every few images; may cancel.

        Raises:
            InferenceError: no slice, or one that the study lacks.
            Cancelled: by `progress`.
        """
        if not slices:
            raise InferenceError("No slice was chosen. Choose at least one.")
        steps = _Steps(progress, len(slices))
        found = []
        for index in slices:
            found.append(self._ask_one(index, boxes, steps))
            steps.slice_done()
        return mean_answers(found)

    def _ask_one(self, index: int, boxes: Collection[Box], steps: _Steps) -> list[Answer]:
        image = make_images(self.volume, self.plan, [index])[0]
        own = self._explained(image[None])
        heat = self._pick(own, self.which)[0]
        answers = self._about_boxes(heat, [box for box in boxes if box.z == index])
        answers += self._about_removal(image, heat, steps)
        answers += self._about_agreement(own)
        answers += self._about_stability(image, steps)
        answers += self._about_knowledge(image, heat, steps)
        return answers

    def _about_boxes(self, heat: NDArray[np.float32], boxes: Sequence[Box]) -> list[Answer]:
        y0, x0, y1, x1 = self.plan.region or (0, 0, *self.volume.geometry.shape[1:])
        own = [box.shifted(-y0, -x0) for box in boxes if box.label != NO_LESION]
        found = place(heat, own, (y1 - y0, x1 - x0)) if own else None
        if found is None:
            note = _NO_BOX if not own or heat.any() else _FLAT
            return [answered(key, None, note=note) for key in ("mass", "peak", "iou")]
        hardly = found.chance + 0.1 * (found.best_iou - found.chance)
        return [
            answered("mass", found.mass, found.chance, "by chance"),
            answered("peak", float(found.peak_inside), found.chance, "by chance"),
            answered("iou", found.iou, hardly, "more than"),
        ]

    def _about_removal(self, image: Tensor, heat: NDArray[np.float32], steps: _Steps) -> list[Answer]:
        keys = ("deletion", "insertion", "faithfulness")
        if np.ptp(heat) < 1e-12:
            return [answered(key, None, note=_FLAT) for key in keys]
        shape = (heat.shape[0], heat.shape[1])
        mean, blur = baseline_of(image, "mean"), baseline_of(image, "blur")
        with_, without, blurred = self.probability(torch.stack([image, mean, blur]))
        rng = np.random.default_rng(0)
        orders = [ranked(heat), *(rng.permutation(heat.size) for _ in range(table.RANDOM_ORDERS))]
        answers = []
        for key, curve, empty, score in (
            ("deletion", deletion, mean, without),
            ("insertion", insertion, blur, blurred),
        ):
            if note := self._nothing_to_take(with_, score):
                answers.append(answered(key, None, note=note))
                continue
            own, *others = (
                curve(self.probability, image, empty, order, shape, table.STEPS, steps) for order in orders
            )
            chance = np.mean([one.scores for one in others], axis=0)
            course = Course(*(tuple(map(float, one)) for one in (own.parts, own.scores, chance)))
            answers.append(answered(key, course.area, course.chance_area, "in random order", course))
        if self._nothing_to_take(with_, without) == _AGAINST:
            return [*answers, answered("faithfulness", None, note=_AGAINST)]
        parts = patches(shape, table.FAITHFUL_PATCHES)
        r = faithfulness(self.log_odds, image, mean, heat, parts, steps)
        chance = 1.96 / np.sqrt(len(parts) - 1)
        return [
            *answers,
            answered("faithfulness", r, chance, "by chance up to")
            if r is not None
            else answered("faithfulness", None, note="The score does not depend on any patch."),
        ]

    def _nothing_to_take(self, with_: float, empty: float) -> str:
        """Why the score cannot be taken away, in a sentence, or "".

        Attention shows what matters, for the class or against it: where it speaks against it, the score rises as it is
        taken away, and a good map would look bad. A Grad-CAM shows what speaks for the class alone.
        """
        if abs(with_ - empty) < table.NO_DIFFERENCE:
            return _DULL
        return _AGAINST if self.which == "attention" and empty > with_ else ""

    def _about_agreement(self, own: Explained) -> list[Answer]:
        if own.attention is None:
            note = "The model has no attention to compare with."
            return [answered(key, None, note=note) for key in ("agreement", "top")]
        attention, cam = self._pick(own, "attention")[0], self._pick(own, "gradcam")[0]
        rank, shared = rank_correlation(attention, cam), top_overlap(attention, cam)
        return [
            answered("agreement", rank, note="" if rank is not None else _FLAT),
            answered(
                "top",
                shared,
                TOP if shared is not None else None,
                "by chance" if shared is not None else _FLAT,
            ),
        ]

    def _about_stability(self, image: Tensor, steps: _Steps) -> list[Answer]:
        steps(0, 1, "Asking")
        radius = table.NOISE * float(image.max() - image.min())
        found = []
        for key, others in (
            ("noise", noisy(image, radius, table.NOISES)),
            ("shift", shifted(image, table.SHIFT)),
        ):
            value = max_sensitivity(self.heat, image, others)
            found.append(answered(key, value, note="" if value is not None else _FLAT))
            steps(1, 1, "Asking")
        return found

    def _about_knowledge(self, image: Tensor, heat: NDArray[np.float32], steps: _Steps) -> list[Answer]:
        def draws(backbone: bool) -> list[NDArray[np.float32]]:
            made = []
            for seed in range(_DRAWS):
                steps(seed, _DRAWS, "Asking models without knowledge")
                made.append(self._ignorant(image, backbone, 100 * seed))
            return made

        found = sanity(heat, [draws(False), draws(True)])
        keys = ("random_head", "random_model")
        return [
            answered(key, value, note="" if value is not None else _FLAT)
            for key, value in zip(keys, found, strict=True)
        ]


class _Steps:
    """Progress of slices and the questions of each as one; a question's own steps only let it be stopped."""

    def __init__(self, progress: Progress, slices: int) -> None:
        self._progress, self._slices = progress, slices
        self._done = self._within = 0

    def __call__(self, done: int, total: int, what: str) -> None:
        self._within = min(self._within + 1, 99)
        self._progress(100 * self._done + self._within, 100 * self._slices, what)

    def slice_done(self) -> None:
        """The next slice begins."""
        self._done, self._within = self._done + 1, 0
        self._progress(100 * self._done, 100 * self._slices, "Asking")


def _joined(parts: Sequence[Explained]) -> Explained:
    def cat(name: str) -> Tensor | None:
        return None if getattr(parts[0], name) is None else torch.cat([getattr(part, name) for part in parts])

    logits, gradcam = cat("logits"), cat("gradcam")
    assert logits is not None and gradcam is not None
    return Explained(logits, cat("attention"), gradcam, cat("of_tasks"))
