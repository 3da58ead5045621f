"""Score a study by a model of its lesion's features, its deep features and clinical values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..core import Box, CaseScores, DceVolume, Prediction, Progress, silent
from ..models import Composition
from ..models.table import Cases, unknown_categories
from ..models.table_bundle import TableBundle
from ..models.table_spec import Block, RadiomicsSpec
from .device import choose_device
from .engine import engine_for
from .errors import InferenceError
from .images import make_images
from .lesion_regions import Region, regions_of_boxes
from .prediction import origin_warning
from .preparation import plan_images
from .radiomics import feature_names, lesion_image, library, radiomics

_BATCH = 8


def predict_table(
    volume: DceVolume,
    bundle: TableBundle,
    *,
    boxes: Collection[Box] = (),
    values: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Prediction:
    """Score a case; arguments and errors as for `score_table`, without what the score was made of."""
    return score_table(volume, bundle, boxes=boxes, values=values, progress=progress)[0]


def score_table(
    volume: DceVolume,
    bundle: TableBundle,
    *,
    boxes: Collection[Box] = (),
    values: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> tuple[Prediction, Cases]:
    """Score a case; there are no scores of slices and no heat maps.

    Args:
        volume: the study.
        bundle: the model.
        boxes: a person's; those of normal tissue do not count.
        values: clinical column to its cell; what is missing or "" is taken as the model was taught to fill it in.
        progress: told of each step; may cancel.

    Returns:
        The prediction, whose `slices` and `gradcam` are empty and whose rule says what the scores rest on; and the
        features and values of the case.

    Raises:
        InferenceError: a lesion is needed and no box marks one; the model wants masks; mirp is needed and not
            installed; the study lacks the phase.
        ModelError: the model's numbers and features do not go together.
        Cancelled: by `progress`.
    """
    spec, told = bundle.spec, dict(values or {})
    used, of = _lesions(volume, bundle, boxes)
    numbers: dict[Block, NDArray[np.float64]] = {}
    names: dict[Block, tuple[str, ...]] = {}
    warnings: list[str] = []
    steps = 1 + len(used) * (spec.radiomics is not None) + (bundle.deep is not None)
    progress(0, steps, "Looking at the lesion")
    seen = plan_images(volume, spec.preparation) if used else None
    image_text = ""
    if spec.radiomics is not None:
        flat = spec.preparation.source.kind == "picture"
        image, image_text = lesion_image(volume, spec.preparation, spec.radiomics)
        found = []
        for done, region in enumerate(used, 1):
            found.append(radiomics(image, region, volume.geometry.spacing, spec.radiomics, flat))
            progress(done, steps, "Looking at the lesion")
        mean = mean_of_lesions(found, [region.volume_mm3 for region in used])
        if mean is None:
            raise InferenceError(
                "No features can be computed within the lesion: its box may be too small, or all of one value. Draw "
                "it anew."
            )
        numbers["radiomics"], names["radiomics"] = mean[None], feature_names(spec.radiomics, flat)
        warnings += other_library(bundle)
    if bundle.deep is not None:
        slices = sorted({z for region in used for z in region.slices})
        vector = _deep(volume, bundle.deep, slices)
        numbers["deep"] = vector[None]
        names["deep"] = tuple(f"feature {i}" for i in range(len(vector)))
    cases = Cases(numbers, names, {name: (told.get(name, "").strip(),) for name in spec.clinical}, 1)
    scores = {label: float(one[0]) for label, one in bundle.model.probabilities(cases).items()}
    if not all(np.isfinite(score) for score in scores.values()):
        raise InferenceError(
            "The model's scores are not finite numbers. Its bundle is not usable; choose another."
        )
    progress(steps, steps, "Looking at the lesion")
    voting = tuple(sorted({z for region in used for z in region.slices}))
    case = CaseScores(
        {label: scores[label] for label in spec.labels},
        {group.name: voting for group in spec.groups},
        _rule(bundle, used, of, told),
    )
    if unknown := [name for name in spec.clinical if not told.get(name, "").strip()]:
        warnings.append(
            f"Not known of this case: {_listed(unknown)}. The model takes what was usual among the patients it learnt "
            "from."
        )
    prediction = Prediction(
        model=bundle.ref,
        groups=spec.groups,
        slices=(),
        probabilities={label: np.zeros(0, np.float32) for label in spec.labels},
        case=bundle.calibration.apply(case, spec.groups),
        attention=None,
        gradcam={},
        image_shape=volume.geometry.shape[1:],
        input=image_text or (seen.description if seen else "Clinical values alone; no image was looked at."),
        warnings=(
            *volume.warnings,
            *origin_warning(volume, bundle.evaluation),
            *(_one_case(text) for text in unknown_categories(spec.columns, cases)),
            *warnings,
        ),
        phase=seen.phase if seen else None,
        subtracted=bool(seen and seen.subtracted),
        window=seen.window if seen else None,
    )
    return prediction, cases


def mean_of_lesions(
    found: Sequence[NDArray[np.floating]], volumes: Sequence[float]
) -> NDArray[np.float64] | None:
    """Features of a case, float64 (features,), of those of its lesions: the mean weighted by their volumes.

    Undefined ones (NaN) do not count; None where nothing is known of any lesion.
    """
    table = np.stack(found).astype(np.float64)
    known = ~np.isnan(table)
    if not known.any():
        return None
    weight = np.asarray(volumes, np.float64)[:, None] * known
    total = weight.sum(axis=0)
    sums = (np.where(known, table, 0) * weight).sum(axis=0)
    mean: NDArray[np.float64] = np.where(total > 0, sums / np.where(total > 0, total, 1), np.nan)
    return mean


def other_library(bundle: TableBundle) -> list[str]:
    """A sentence where the model's radiomics were computed by another version than is here.

    Raises:
        InferenceError: mirp is not installed.
    """
    told = bundle.evaluation.get("radiomics")
    then = told.get("library") if isinstance(told, dict) else None
    now = library()
    if then is None or then == now:
        return []
    return [f"The model's radiomics were computed by {then}, and these by {now}: they may differ."]


def _lesions(
    volume: DceVolume, bundle: TableBundle, boxes: Collection[Box]
) -> tuple[tuple[Region, ...], int]:
    """The lesions that are looked at, and how many there are; none where the model looks at none."""
    spec = bundle.spec
    if spec.radiomics is None and spec.deep is None:
        return (), 0
    how = spec.radiomics or RadiomicsSpec()
    if how.region == "masks":
        raise InferenceError(
            f"The model {spec.name} looks within a lesion's mask, and boxes are no masks. Run it with “napari-breast-ai "
            "evaluate”, on a table whose column mask names them."
        )
    found = regions_of_boxes(volume, boxes)
    if not found:
        raise InferenceError(
            f"The model {spec.name} looks at a lesion, and no box marks one yet. Draw a box around it, then run the "
            "model."
        )
    return (found[:1] if how.lesions == "largest" else found), len(found)


def _deep(volume: DceVolume, model: Composition, slices: Sequence[int]) -> NDArray[np.float64]:
    """The mean of the backbone's vectors over the slices, float64 (channels,)."""
    plan, engine = plan_images(volume, model.spec.preparation), engine_for(model, choose_device(None))
    vectors = [
        engine.features(make_images(volume, plan, slices[start : start + _BATCH])).mean(dim=(2, 3)).cpu()
        for start in range(0, len(slices), _BATCH)
    ]
    mean: NDArray[np.float64] = torch.cat(vectors).numpy().astype(np.float64).mean(axis=0)
    return mean


def _rule(bundle: TableBundle, used: Sequence[Region], count: int, told: Mapping[str, str]) -> str:
    """What the scores rest on, in a sentence."""
    spec, parts = bundle.spec, []
    if used:
        slices = len({z for region in used for z in region.slices})
        one = "the lesion" if count == 1 else f"the largest of {count} lesions"
        which = one if len(used) == 1 else f"{count} lesions"
        size = sum(region.volume_mm3 for region in used) / 1000
        of = "1 slice" if slices == 1 else f"{slices} slices"
        where = f"{which} in your boxes ({of}{'' if spec.preparation.source.kind == 'picture' else f', {size:.1f} ml'})"
        kinds = [
            *(["radiomics"] if spec.radiomics is not None else []),
            *(["deep features"] if spec.deep is not None else []),
        ]
        parts.append(f"{' and '.join(kinds)} of {where}")
    if spec.clinical:
        known = [f"{name} {told[name].strip()}" for name in spec.clinical if told.get(name, "").strip()]
        parts.append(_listed(known) if known else "no clinical value")
    return f"The whole case is scored at once, from {' and '.join(parts)}."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _one_case(text: str) -> str:
    return text.replace(" (1 cases in all)", "")
