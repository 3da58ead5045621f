"""From a cohort table to rows of features: every case is read once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core import Box, DceVolume, Progress, silent
from ..inference import FeatureCache
from ..inference.lesion_regions import Region, regions_of_boxes, regions_of_mask
from ..inference.radiomics import (
    crop,
    feature_names,
    lesion_image,
    library,
    radiomics,
    settings,
)
from ..inference.table_prediction import mean_of_lesions
from ..models import Composition, PreparationSpec
from ..models.table import Cases
from ..models.table_spec import Block, RadiomicsSpec
from ..study import read_study
from .cohort import prepare_case
from .errors import LeftOutError, TrainingError
from .features import extract
from .gather import asked_rows, go_through
from .table import Cohort, Problem, Question, Row
from .table_recipe import check_clinical

MASK_COLUMN = "mask"
"""A file with the lesion's mask: a picture, or a volume on the images' grid."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """What a row is made of.

    Attributes:
        blocks: in order.
        preparation: which image is looked at.
        radiomics: how its features are made.
        clinical: columns of the table.
        deep: the model whose backbone gives vectors, where "deep" is among the blocks.
    """

    blocks: tuple[Block, ...]
    preparation: PreparationSpec
    radiomics: RadiomicsSpec
    clinical: tuple[str, ...]
    deep: Composition | None

    @property
    def flat(self) -> bool:
        """Whether the cases are pictures."""
        return self.preparation.source.kind == "picture"

    @property
    def lesions(self) -> bool:
        """Whether a lesion must be known."""
        return bool({"radiomics", "deep"} & set(self.blocks))


@dataclass(frozen=True, eq=False)
class Rows:
    """n cases as rows.

    Attributes:
        cases: their features.
        ids, patients: of each.
        slices: the one with most of the lesion, 0 where none is looked at.
        labels: label group's name to the class of each case, "" where it is not known.
        contents: hash of each case's images.
        regions: sentences about the lesions, one for each kind of case that is there.
    """

    cases: Cases
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    slices: tuple[int, ...]
    labels: Mapping[str, tuple[str, ...]]
    contents: tuple[str, ...]
    regions: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, rows: Sequence[int]) -> Rows:
        """The cases at these places, in that order."""
        return Rows(
            self.cases.subset(rows),
            tuple(self.ids[i] for i in rows),
            tuple(self.patients[i] for i in rows),
            tuple(self.slices[i] for i in rows),
            {name: tuple(column[i] for i in rows) for name, column in self.labels.items()},
            tuple(self.contents[i] for i in rows),
            self.regions,
        )


def rows_from(
    cohort: Cohort,
    questions: Sequence[Question],
    wanted: Wanted,
    *,
    reader: str | None = None,
    cache: FeatureCache | None = None,
    progress: Progress = silent,
) -> tuple[Rows, tuple[Problem, ...]]:
    """Read every case that answers a question, and compute its row.

    Args:
        cohort: the table.
        questions: see `ask`.
        wanted: what a row is made of.
        reader: whose boxes; None takes the one reader who has any.
        cache: of features; None computes all.
        progress: told after every case, and every batch of slices.

    Returns:
        One row per case, and what was found wrong on the way. A case whose lesion is not known is left out. Where boxes
        tell the class, only lesions of the classes that are asked count, and the largest one's class is the case's.

    Raises:
        TrainingError: a clinical column is not there, or no case can be used.
        InferenceError: mirp is needed and not installed.
    """
    check_clinical(cohort, wanted.clinical, questions)
    names = feature_names(wanted.radiomics, wanted.flat) if "radiomics" in wanted.blocks else ()
    problems: list[Problem] = []
    kept: list[Row] = []
    features: list[NDArray[np.float64]] = []
    images: list[NDArray[np.uint8]] = []
    owner: list[int] = []
    slices: list[int] = []
    contents: list[str] = []
    said: list[dict[str, str]] = []
    several = 0
    of_boxes = {label for one in questions if one.of_boxes for label in one.group.labels}

    def look(row: Row, volume: DceVolume, boxes: tuple[Box, ...], content: str) -> None:
        nonlocal several
        if of_boxes:
            boxes = tuple(box for box in boxes if box.label in of_boxes)
        regions = lesions_of(row, cohort.source.parent, volume, boxes, wanted) if wanted.lesions else ()
        if wanted.lesions and not regions:
            what = "mask" if wanted.radiomics.region == "masks" else "box"
            raise LeftOutError(f"Case “{row.case_id}” has no lesion's {what} and is left out.")
        told = regions[0].boxes if regions and regions[0].boxes else boxes
        answers = {q.group.name: q.answer_of(row, told) for q in questions}
        if not any(answers.values()):
            raise LeftOutError(
                f"Case “{row.case_id}” has no box of the classes that were asked for and is left out."
            )
        used = regions[:1] if wanted.radiomics.lesions == "largest" else regions
        found = None
        if "radiomics" in wanted.blocks:
            found = _radiomics(volume, used, wanted, cache)
            if found is None:
                raise LeftOutError(
                    f"Case “{row.case_id}” is left out: no features can be computed within its lesion, which may be too "
                    "small, or of one value."
                )
        if wanted.deep is not None:
            shown = tuple(sorted({z for region in used for z in region.slices}))
            part = prepare_case(row.patient_id, volume, (), wanted.deep.spec.preparation, shown)
            images.append(part.images)
            owner.extend([len(kept)] * len(part))
        # Nothing is kept of a case before all of it is there.
        if found is not None:
            features.append(found)
        several += len(regions) > 1
        contents.append(content)
        slices.append(regions[0].middle if regions else 0)
        said.append(answers)
        kept.append(row)

    go_through(
        asked_rows(cohort, questions),
        look,
        problems.append,
        questions,
        reader,
        progress,
        boxes_wanted=wanted.lesions or bool(of_boxes),
    )
    if not kept:
        first = " ".join(str(problem) for problem in problems[:3])
        raise TrainingError(f"No case of {cohort.source.name} can be used. {first}")
    numbers: dict[Block, NDArray[np.float64]] = {}
    known: dict[Block, tuple[str, ...]] = {}
    if features:
        numbers["radiomics"], known["radiomics"] = np.stack(features), names
    if wanted.deep is not None:
        vectors = _deep(wanted.deep, np.concatenate(images), owner, len(kept), cache, progress)
        numbers["deep"] = vectors
        known["deep"] = tuple(f"feature {i}" for i in range(vectors.shape[1]))
    at = {name.lower(): name for name in cohort.columns}
    texts = {name: tuple(row.columns[at[name.lower()]].strip() for row in kept) for name in wanted.clinical}
    how = "the largest is looked at" if wanted.radiomics.lesions == "largest" else "their mean is taken"
    return (
        Rows(
            Cases(numbers, known, texts, len(kept)),
            tuple(row.case_id for row in kept),
            tuple(row.patient_id for row in kept),
            tuple(slices),
            {q.group.name: tuple(answers[q.group.name] for answers in said) for q in questions},
            tuple(contents),
            (f"{several} cases have more than one lesion; {how}.",) if several else (),
        ),
        tuple(problems),
    )


def lesions_of(
    row: Row, folder: Path, volume: DceVolume, boxes: Sequence[Box], wanted: Wanted
) -> tuple[Region, ...]:
    """The lesions of a case, the largest first; none where nothing tells them.

    Args:
        row: of the table; its column `mask` names a file, where masks are wanted.
        folder: that the name is relative to.
        volume: the case.
        boxes: of the case.
        wanted: boxes or masks.

    Raises:
        StudyError: the mask cannot be read.
        InferenceError: it lies on another grid.
    """
    if wanted.radiomics.region == "boxes":
        return regions_of_boxes(volume, boxes)
    names = {name.lower(): name for name in row.columns}
    told = row.columns[names[MASK_COLUMN]] if MASK_COLUMN in names else ""
    return regions_of_mask(volume, read_study(folder / told)) if told else ()


def described(wanted: Wanted) -> dict[str, object]:
    """What evaluation.json tells of how the radiomics were made, with the library's version."""
    if "radiomics" not in wanted.blocks:
        return {}
    return {
        "radiomics": {
            "library": library(),
            "settings": settings(wanted.radiomics, wanted.flat),
            "region": wanted.radiomics.region,
            "lesions": wanted.radiomics.lesions,
            "intensities": wanted.radiomics.intensities,
            "features": len(feature_names(wanted.radiomics, wanted.flat)),
        }
    }


def _radiomics(
    volume: DceVolume, regions: Sequence[Region], wanted: Wanted, cache: FeatureCache | None
) -> NDArray[np.float64] | None:
    """Features of a case, float64 (features,): of one lesion, or the mean weighted by volume; None without any."""
    image, _ = lesion_image(volume, wanted.preparation, wanted.radiomics)
    spec, spacing = wanted.radiomics, volume.geometry.spacing
    found, weights = [], []
    for region in regions:
        cropped, inside = crop(image, region, spacing)
        told = json.dumps([library(), settings(spec, wanted.flat), asdict(spec), spacing], sort_keys=True)
        key = hashlib.sha256(
            told.encode() + repr(inside.shape).encode() + cropped.tobytes() + inside.tobytes()
        )
        values = cache.get(key.hexdigest()) if cache else None
        if values is None:
            values = radiomics(image, region, spacing, spec, wanted.flat)[:, None, None]
            if cache:
                cache.put(key.hexdigest(), values)
        found.append(values[:, 0, 0].astype(np.float64))
        weights.append(region.volume_mm3)
    return mean_of_lesions(found, weights)


def _deep(
    model: Composition,
    images: NDArray[np.uint8],
    owner: Sequence[int],
    count: int,
    cache: FeatureCache | None,
    progress: Progress,
) -> NDArray[np.float64]:
    """The mean over the slices of each case, float64 (count, channels)."""
    vectors = extract(model, images, keep="vectors", cache=cache, progress=progress)[:, :, 0, 0].numpy()
    sums = np.zeros((count, vectors.shape[1]))
    np.add.at(sums, np.asarray(owner), vectors.astype(np.float64))
    return sums / np.bincount(np.asarray(owner), minlength=count)[:, None]
