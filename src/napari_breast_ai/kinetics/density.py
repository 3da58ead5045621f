"""Breast density and background parenchymal enhancement as figures, for each breast.

Sources: density as fibroglandular tissue over breast, by volume: Nie et al., Med Phys 2008;35:5253-5262. Background
parenchymal enhancement measured in that tissue: Klifa et al., J Magn Reson Imaging 2011;33:1229-1234; as what enhances
beyond a threshold: Wu et al., Breast Cancer Res 2015;17:67.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import Geometry, Progress, silent
from .areas import Area
from .breast import SIDES, BreastMasks
from .errors import KineticsError
from .maps import KineticMaps

BPE_THRESHOLD = 20.0
"""Per cent of initial enhancement from which tissue counts as enhancing; a choice of ours."""

COLUMNS = (
    "side", "breast (ml)", "fibroglandular tissue (ml)", "density (%)", "lesions left out (ml)",
    "BPE, mean enhancement (%)", "BPE, median enhancement (%)", "BPE, enhancing tissue (%)",
    "BPE, enhancing tissue (ml)", "BPE threshold (%)", "remarks",
)  # fmt: skip


@dataclass(frozen=True)
class BreastFigures:
    """Of one breast, or of both. What is undefined is None, and `remarks` say why.

    Attributes:
        side: "right", "left", "one breast" or "both".
        breast_ml: between skin and chest wall, with the skin.
        tissue_ml: fibroglandular tissue.
        density_percent: the second over the first.
        left_out_ml: tissue in lesions, which is no background.
        bpe_percent, bpe_median_percent: initial enhancement of the tissue without lesions, mean and median.
        bpe_part_percent: the part of that tissue that enhances by the threshold or more.
        bpe_ml: the same as a volume.
        threshold_percent: from which tissue counts as enhancing.
        remarks: sentences.
    """

    side: str
    breast_ml: float
    tissue_ml: float
    density_percent: float
    left_out_ml: float
    bpe_percent: float | None
    bpe_median_percent: float | None
    bpe_part_percent: float | None
    bpe_ml: float | None
    threshold_percent: float
    remarks: tuple[str, ...] = ()

    def row(self) -> dict[str, str]:
        """A row of the table: columns with units, values as text, "" where undefined."""
        values = (
            self.breast_ml, self.tissue_ml, self.density_percent, self.left_out_ml, self.bpe_percent,
            self.bpe_median_percent, self.bpe_part_percent, self.bpe_ml, self.threshold_percent,
        )  # fmt: skip
        told = ["" if one is None else f"{one:.1f}" for one in values]
        return dict(zip(COLUMNS, (self.side, *told, " ".join(self.remarks)), strict=True))


def breast_figures(
    masks: BreastMasks,
    maps: KineticMaps,
    lesions: Iterable[Area] = (),
    threshold: float = BPE_THRESHOLD,
    progress: Progress = silent,
) -> tuple[BreastFigures, ...]:
    """Density and background enhancement of each breast that is there, and of both where there are two.

    Args:
        masks: of the study's breasts.
        maps: of the same study.
        lesions: areas whose voxels are no background.
        threshold: per cent of initial enhancement from which tissue counts as enhancing.
        progress: may raise `Cancelled`.

    Raises:
        KineticsError: the masks do not belong to the study, hold no breast, or the threshold is no number above 0.
    """
    if not (math.isfinite(threshold) and threshold > 0):
        raise KineticsError("The threshold of background enhancement must be a number above 0 %.")
    inside = _sides(masks, maps.geometry)
    kept = np.ones(maps.geometry.shape, bool)
    none_named = True
    for area in lesions:
        none_named = False
        kept[area.place] &= ~area.mask
    said = _said(maps.geometry)
    if none_named:
        said += ("No lesions were named, so that a lesion's enhancement counts as background.",)
    tissue = maps.tissue()
    made = []
    for number, (side, mask) in enumerate(inside.items()):
        progress(number, len(inside), "Measuring")
        made.append(_figures(side, mask, masks, maps, kept, tissue, threshold, said))
    return tuple(made)


def density_figures(masks: BreastMasks, geometry: Geometry, why: str) -> tuple[BreastFigures, ...]:
    """Density alone, where the enhancement of the study is not known.

    Args:
        masks: of the study's breasts.
        geometry: of the study.
        why: the sentence that says so.

    Raises:
        KineticsError: the masks do not belong to the study, or hold no breast.
    """
    said = (*_said(geometry), why)
    return tuple(
        BreastFigures(
            side, *_volumes(mask, masks, geometry), 0.0, None, None, None, None, BPE_THRESHOLD, said
        )
        for side, mask in _sides(masks, geometry).items()
    )


def _sides(masks: BreastMasks, geometry: Geometry) -> dict[str, NDArray[np.bool_]]:
    """The mask of each breast that is there, and of both where there are two."""
    if masks.breast.shape != geometry.shape or masks.tissue.shape != geometry.shape:
        raise KineticsError(
            "The breast masks do not belong to this study: they have another size. Make them from the study itself."
        )
    found = {side: masks.breast == code for code, side in SIDES.items() if (masks.breast == code).any()}
    if not found:
        raise KineticsError("The masks hold no breast: outline the breasts by another method.")
    return found if len(found) == 1 else {**found, "both": masks.breast != 0}


def _said(geometry: Geometry) -> tuple[str, ...]:
    if geometry.shape[0] > 1:
        return ()
    return ("There is one slice: the figures are of that slice, not of the whole breast.",)


def _volumes(inside: NDArray[np.bool_], masks: BreastMasks, geometry: Geometry) -> tuple[float, float, float]:
    """Breast and tissue in ml, and the second in per cent of the first."""
    voxel_ml = float(np.prod(geometry.spacing)) / 1000
    breast, tissue = int(np.count_nonzero(inside)), int(np.count_nonzero(masks.tissue & inside))
    return breast * voxel_ml, tissue * voxel_ml, 100 * tissue / breast


def _figures(
    side: str,
    inside: NDArray[np.bool_],
    masks: BreastMasks,
    maps: KineticMaps,
    kept: NDArray[np.bool_],
    signal: NDArray[np.bool_],
    threshold: float,
    said: tuple[str, ...],
) -> BreastFigures:
    voxel_ml = float(np.prod(maps.geometry.spacing)) / 1000
    gland = masks.tissue & inside
    breast_ml, tissue_ml, density = _volumes(inside, masks, maps.geometry)
    background = maps.initial[gland & kept & signal]
    left_out = float(np.count_nonzero(gland & ~kept)) * voxel_ml
    if not background.size:
        none = "There is no tissue outside lesions whose enhancement could be read."
        return BreastFigures(
            side, breast_ml, tissue_ml, density, left_out, None, None, None, None, threshold, (*said, none)
        )
    part = float(np.mean(background >= threshold))
    return BreastFigures(
        side,
        breast_ml,
        tissue_ml,
        density,
        left_out,
        float(background.mean(dtype=np.float64)),
        float(np.median(background)),
        100 * part,
        part * background.size * voxel_ml,
        threshold,
        said,
    )


def breasts_csv(rows: Sequence[BreastFigures]) -> str:
    """A table with a row for each breast, and for both."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(one.row() for one in rows)
    return out.getvalue()


def breast_facts(masks: BreastMasks, rows: Sequence[BreastFigures]) -> tuple[tuple[str, str], ...]:
    """The figures of each breast in a line, name and value, and how they were made."""
    if not rows:
        return ()
    found = []
    for one in rows:
        bpe = "" if one.bpe_percent is None else f", background enhancement (BPE) {one.bpe_percent:.0f} %"
        found.append(
            (
                f"Breast, {one.side}",
                f"{one.breast_ml:.0f} ml, fibroglandular {one.tissue_ml:.0f} ml, density "
                f"{one.density_percent:.1f} %{bpe}",
            )
        )
    remarks = dict.fromkeys((*masks.warnings, *(said for one in rows for said in one.remarks)))
    return (*found, ("Breasts outlined by", " ".join((f"{masks.how}.", *remarks))))


def told(masks: BreastMasks, rows: Sequence[BreastFigures]) -> dict[str, Any]:
    """The figures and how they were made, as plain values for JSON."""
    return {
        "method": masks.how,
        "codes": SIDES,
        "figures": [{name: getattr(one, name) for name in BreastFigures.__annotations__} for one in rows],
        "warnings": list(masks.warnings),
    }
