"""Run a model on a study: scores, attention and Grad-CAM per slice, scores of the case."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial as bind
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core import Box, CaseScores, DceVolume, Prediction, Progress, silent
from ..models import probabilities
from ..models.bundle import Bundle
from .aggregation import aggregate, boxed_slices
from .aside import made_aside
from .device import choose_device
from .engine import AUTO, BATCH, MAKING, WORTHWHILE, Engine, Engines, choose_engine, engines_of
from .ensemble import FoldHeads, with_folds
from .errors import InferenceError
from .explanation import Explained
from .images import ImageMaker, make_images
from .kept import KeptFeatures
from .preparation import ImagePlan, plan_images
from .quantised import FAST, fast_engine
from .streaming import Rows, Seen, batches
from .threads import one_thread

Partial = Callable[[Callable[[], Prediction]], None]
"""Told after a batch: a function that gives the prediction as far as it has come. Not calling it costs nothing."""


def predict(
    volume: DceVolume,
    bundle: Bundle,
    *,
    slices: Sequence[int] | None = None,
    boxes: Collection[Box] | None = None,
    device: str | torch.device | None = None,
    engine: str = AUTO,
    batch: int = BATCH,
    kept: KeptFeatures | None = None,
    start: int | None = None,
    partial: Partial | None = None,
    with_maps: bool = False,
    progress: Progress = silent,
) -> Prediction:
    """Run a model on slices of a study. The backbone sees every slice once.

    Args:
        volume: the study.
        bundle: the model.
        slices: their indices; None for all.
        boxes: a person's boxes. Where the model can't tell which slices show a lesion, only slices with a
            lesion's box vote on the case's scores.
        device: "cpu", "cuda", "mps"; None for the best one there is.
        engine: what the backbone runs on: "auto", the fastest that is installed and agrees with torch; "torch"; one of
            `runners.FAST`; or "fast", in 8 bits, for bundles that say what this costs.
        batch: slices at a time, which is also how often `progress` is called and can cancel.
        kept: what is kept of this study and model: what is there is not computed again, what is not is added.
        start: the slice that a person looks at: it is computed first and alone, then its neighbours, outwards. None:
            from the first to the last. The result is the same.
        partial: told after every batch but the last what there is so far (`Prediction.pending`).
        with_maps: the feature maps themselves are wanted in `kept`, and not only what the model said.
        progress: told the number of slices that are done.

    Returns:
        The prediction, on the CPU, slices in rising order.

    Raises:
        InferenceError: the study lacks the phase or the slices, or the device or the engine isn't there.
        Cancelled: by `progress`.
    """
    chosen = (
        tuple(range(volume.n_slices)) if slices is None else tuple(sorted({int(index) for index in slices}))
    )
    if not chosen:
        raise InferenceError("No slice was chosen. Choose at least one.")
    if kept is not None and not kept.belongs_to(volume, bundle):
        raise InferenceError("The kept feature maps belong to another study or model. Run the model anew.")
    if kept is not None and (kept.precision == "int8") != (engine == FAST):
        raise InferenceError("The kept feature maps are of another precision. Run the model anew.")
    if batch < 1:
        raise InferenceError("The number of slices at a time must be at least 1.")
    whole = len(chosen) == volume.n_slices
    if kept is not None and whole and not with_maps and (told := kept.recall()) is not None:
        return conclude(volume, bundle, chosen, *told, boxes)
    plan = plan_images(volume, bundle.spec.preparation) if kept is None else kept.plan
    progress(0, len(chosen), "Predicting")
    place = choose_device(device)
    known = engines_of(bundle.model, place, progress)
    plain = known.torch
    rows, seen = Rows(chosen), Seen.of(plan)
    folds = FoldHeads(bundle, place)
    fast: Engine | None = None
    maker: ImageMaker | None = None
    with ExitStack() as threads:
        for part in batches(chosen, batch, start):
            features = None if kept is None else kept.get(part)
            if features is None:
                if fast is None or maker is None:
                    fast, said = _engine(
                        volume, bundle, plan, chosen, known, engine, rows, start, partial, progress
                    )
                    seen = seen.by(fast.runner, said)
                    maker = ImageMaker(volume, plan) if kept is None else kept.maker
                    threads.enter_context(one_thread(fast.runner.alone))
                features = fast.features(maker(part, fast.runner.layout))
                if kept is not None:
                    kept.put(part, features)
            features = features.to(place)
            rows.add(part, replace(plain.explain(features), of_folds=folds.logits(features)))
            if partial is not None and rows.pending:
                partial(bind(_so_far, volume, bundle, rows, seen))
            progress(len(chosen) - rows.pending, len(chosen), "Predicting")
        found = conclude(volume, bundle, *rows.so_far(), seen, boxes)
    if kept is not None:
        kept.conclude(rows, seen)
    return found


def _engine(
    volume: DceVolume,
    bundle: Bundle,
    plan: ImagePlan,
    slices: tuple[int, ...],
    known: Engines,
    wish: str,
    rows: Rows,
    start: int | None,
    partial: Partial | None,
    progress: Progress,
) -> tuple[Engine, str]:
    """The engine for the backbone, and a sentence about it. Where it must be made first, torch shows the slice in view
    meanwhile.
    """
    if wish == FAST:
        return made_aside(lambda: fast_engine(bundle), progress, MAKING)
    if wish == AUTO and len(slices) < WORTHWHILE:
        return known.chosen(wish) or (known.torch, "")
    found = known.chosen(wish)
    if found is not None:
        return found
    if partial is not None and start is not None and not rows.known.any():
        first, plain = batches(slices, 1, start)[0], known.torch
        glance = Rows(slices)
        glance.add(first, plain.explain(plain.features(make_images(volume, plan, first))))
        partial(bind(_so_far, volume, bundle, glance, Seen.of(plan)))

    def probes() -> torch.Tensor:
        return make_images(volume, plan, probe(slices, start))

    return choose_engine(bundle.model, known.torch.device, probes, wish, progress)


def probe(slices: Sequence[int], start: int | None = None) -> tuple[int, ...]:
    """The slices on which a faster engine must agree with torch: that in view, and some from the middle."""
    count = len(slices)
    found = {slices[count // 3], slices[count // 2], slices[2 * count // 3]}
    return tuple(sorted(found if start is None or start not in slices else {*found, start}))


def conclude(
    volume: DceVolume,
    bundle: Bundle,
    slices: tuple[int, ...],
    found: Explained,
    seen: Seen,
    boxes: Collection[Box] | None,
) -> Prediction:
    """What a model found on slices, with the case's scores.

    Raises:
        InferenceError: the scores are not finite.
    """
    if not bool(torch.isfinite(found.logits).all()):
        raise InferenceError(
            "The model's scores are not finite numbers. Its bundle is not usable; choose another."
        )
    groups = bundle.spec.groups
    scores = {label: _array(values) for label, values in probabilities(found.logits, groups).items()}
    boxed = None if not boxes else boxed_slices(boxes)
    case, warnings = aggregate(scores, slices, groups, bundle.spec.aggregation, boxed)
    case = with_folds(case, found.of_folds, slices, boxed, bundle)
    return _prediction(volume, bundle, slices, found, seen, case, warnings, scores)


def _so_far(volume: DceVolume, bundle: Bundle, rows: Rows, seen: Seen) -> Prediction:
    """As far as a run has come: the case has no scores, since the slices to come may change them."""
    slices, found = rows.so_far()
    scores = {
        label: _array(values) for label, values in probabilities(found.logits, bundle.spec.groups).items()
    }
    case = CaseScores(
        dict.fromkeys(bundle.spec.labels),
        {},
        f"So far {len(slices)} of {len(rows.slices)} slices. The case’s probabilities come when all are scored.",
    )
    return _prediction(volume, bundle, slices, found, seen, case, (), scores, rows.pending)


def _prediction(
    volume: DceVolume,
    bundle: Bundle,
    slices: tuple[int, ...],
    found: Explained,
    seen: Seen,
    case: CaseScores,
    warnings: tuple[str, ...],
    scores: dict[str, NDArray[np.float32]],
    pending: int = 0,
) -> Prediction:
    spec = bundle.spec
    return Prediction(
        model=bundle.ref,
        groups=spec.groups,
        slices=slices,
        probabilities=scores,
        case=case,
        attention=None if found.attention is None else _array(found.attention),
        gradcam={label: _array(found.gradcam[:, i]) for i, label in enumerate(spec.labels)},
        image_shape=volume.geometry.shape[1:],
        input=seen.description,
        warnings=volume.warnings + origin_warning(volume, bundle.evaluation) + seen.warnings + warnings,
        phase=seen.phase,
        subtracted=seen.subtracted,
        window=seen.window,
        region=seen.region,
        task_attention={} if found.of_tasks is None else _by_group(found.of_tasks, spec.copies),
        pending=pending,
    )


def _by_group(maps: torch.Tensor, copies: Sequence[Sequence[str]]) -> dict[str, NDArray[np.float32]]:
    """Attention (n, tasks, h, w) to each label group's own."""
    return {name: _array(maps[:, task]) for task, names in enumerate(copies) for name in names}


NOT_JUDGED = "not judged"
"""Part of what evaluation.json tells of a model's data where there are no figures."""


def origin_warning(volume: DceVolume, evaluation: Mapping[str, Any]) -> tuple[str, ...]:
    """Warnings where a model that knows phantoms only is asked about a person, and where nobody has judged a model."""
    data = str(evaluation.get("data", ""))
    found = []
    if NOT_JUDGED in data:
        found.append(
            f"This model was {data.partition(';')[0]}: nobody knows how good its scores and heat maps are."
        )
    if "synthetic" in data and not volume.identity.synthetic:
        found.append(
            "This model was trained on synthetic phantoms only: it shows how the program works, and its scores "
            "say nothing about this patient."
        )
    return tuple(found)


def _array(values: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.ascontiguousarray(values.numpy(), dtype=np.float32)
    return array
