"""What a lesion's kinetics come to: one row of a table, with units."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .areas import Area
from .classes import CLASS_NAMES, COURSES, SER_NAMES, SPEEDS, Thresholds, ser_bins
from .curves import Curve, curve_of, phase_of_peak
from .errors import KineticsError
from .functional import FunctionalRule, functional_mask, volume_ml
from .maps import KineticMaps


@dataclass(frozen=True)
class LesionKinetics:
    """The kinetics of an area. What is undefined is None, and `remarks` say why.

    "Enhancing" are the area's voxels whose initial enhancement reaches `Thresholds.shown`.

    Attributes:
        name, label: of the area.
        voxels: in the area.
        volume_ml: of the area.
        tissue_ml: of its voxels that are tissue; the classes add up to it.
        enhancing_ml: of its enhancing voxels.
        peak_percent: the highest initial enhancement of a voxel.
        mean_percent: the mean initial enhancement of the enhancing voxels.
        class_ml: millilitres of each class, by name; slow ones include all that enhances less.
        course_percent: the enhancing voxels' parts that are persistent, plateau and washout, in per cent.
        worst: the worst curve of any enhancing voxel (or of `fewest` voxels), or "".
        variation_percent: heterogeneity as the standard deviation of the enhancing voxels' initial enhancement, in
            per cent of its mean.
        mixture: heterogeneity as the entropy of the three courses' parts over its largest value: 0 where all
            enhancing voxels take one course, 1 where the three are equal.
        time_to_peak_s: the middle of the phase with the enhancing voxels' highest mean signal, in seconds after the
            first post-contrast start.
        wash_in: per cent of S0 a minute, from the first post-contrast start to the peak.
        wash_out: per cent of S0 a minute, from the peak to the last phase; negative where the signal falls.
        ser_ml: millilitres of the enhancing voxels in each bin of SER.
        functional_ml: functional tumour volume.
        curve: of the enhancing voxels; of all where none enhances.
        remarks: sentences.
    """

    name: str
    label: str
    voxels: int
    volume_ml: float
    tissue_ml: float
    enhancing_ml: float
    peak_percent: float | None
    mean_percent: float | None
    class_ml: Mapping[str, float] | None
    course_percent: Mapping[str, float] | None
    worst: str
    variation_percent: float | None
    mixture: float | None
    time_to_peak_s: float | None
    wash_in: float | None
    wash_out: float | None
    ser_ml: Mapping[str, float] | None
    functional_ml: float | None
    curve: Curve = field(repr=False)
    remarks: tuple[str, ...] = ()

    def row(self) -> dict[str, str]:
        """A row of the table: columns with units, values as text, "" where undefined."""
        row = {
            "lesion": self.name, "class": self.label, "voxels": str(self.voxels),
            "volume (ml)": _text(self.volume_ml, 3), "tissue (ml)": _text(self.tissue_ml, 3),
            "enhancing (ml)": _text(self.enhancing_ml, 3),
            "peak initial enhancement (%)": _text(self.peak_percent, 1),
            "mean initial enhancement (%)": _text(self.mean_percent, 1),
        }  # fmt: skip
        for course in COURSES:
            row[f"{course} (% of enhancing)"] = _of(self.course_percent, course, 1)
        row["worst curve"] = self.worst
        row["variation of initial enhancement (%)"] = _text(self.variation_percent, 1)
        row["mixture of courses (0-1)"] = _text(self.mixture, 3)
        row["time to peak (s)"] = _text(self.time_to_peak_s, 1)
        row["wash-in (%/min)"] = _text(self.wash_in, 2)
        row["wash-out (%/min)"] = _text(self.wash_out, 2)
        row["functional volume (ml)"] = _text(self.functional_ml, 3)
        for name in CLASS_NAMES[1:10]:
            row[f"{name} (ml)"] = _of(self.class_ml, name, 3)
        for name in SER_NAMES[1:]:
            row[f"SER {name} (ml)"] = _of(self.ser_ml, name, 3)
        row["remarks"] = " ".join(self.remarks)
        return row


def lesion_kinetics(
    maps: KineticMaps,
    area: Area,
    thresholds: Thresholds | None = None,
    rule: FunctionalRule | None = None,
    fewest: int = 1,
) -> LesionKinetics:
    """Sum up the kinetics of an area.

    Args:
        maps: of the study.
        area: a box, boxes on several slices, a mask or a grown region.
        thresholds: of the classes.
        rule: of the functional tumour volume.
        fewest: a course counts as the worst curve from so many enhancing voxels on. One, as defined, believes the
            noise of a single voxel.

    Raises:
        KineticsError: thresholds or rule make no sense.
    """
    t = (Thresholds() if thresholds is None else thresholds).checked()
    spacing = maps.geometry.spacing
    unit = float(np.prod(spacing)) / 1000.0
    remarks: list[str] = []
    tissue = maps.tissue(area.place) & area.mask
    initial = maps.initial[area.place]
    enhancing = tissue & (initial >= t.shown)
    codes = maps.classes(area.place, t, every=True)
    values = initial[enhancing].astype(np.float64)
    if not tissue.any():
        remarks.append("No voxel holds enough signal before contrast to be tissue.")
    elif not values.size:
        remarks.append(f"No voxel enhances by {t.shown:g} % or more.")
    late = maps.choice.late is not None
    counts = np.bincount(codes[tissue], minlength=len(CLASS_NAMES))
    parts = np.bincount(codes[enhancing], minlength=len(CLASS_NAMES))[1:10].reshape(3, len(SPEEDS)).sum(1)
    if not late:
        remarks.append("Without a late phase there are no courses, no SER and no functional volume.")
    course_percent = (
        {course: 100.0 * float(n) / values.size for course, n in zip(COURSES, parts, strict=True)}
        if late and values.size
        else None
    )
    worst = ""
    if late:
        for course, n in zip(COURSES, parts, strict=True):
            worst = course if n >= max(fewest, 1) else worst
    curve = curve_of(
        maps.volume,
        maps.choice,
        Area(area.place, enhancing if values.size else area.mask, area.name, area.label),
    )
    time, wash_in, wash_out = _slopes(curve, remarks)
    if maps.full is not None and (held := _saturated(maps, area)):
        remarks.append(f"{held} voxels are saturated: their enhancement and course are not to be relied on.")
    mean = float(values.mean()) if values.size else None
    return LesionKinetics(
        area.name, area.label, area.voxels, area.voxels * unit, volume_ml(tissue, spacing),
        volume_ml(enhancing, spacing),
        float(initial[tissue].max()) if tissue.any() else None,
        mean,
        {name: float(n) * unit for name, n in zip(CLASS_NAMES[1:10], counts[1:10], strict=True)} if late else None,
        course_percent,
        worst,
        100 * float(values.std()) / mean if mean and values.size > 1 else None,
        _mixture(parts) if course_percent else None,
        time, wash_in, wash_out,
        _ser_ml(maps, area, enhancing, t, unit) if late else None,
        volume_ml(functional_mask(maps, area, rule), spacing) if late else None,
        curve,
        tuple(remarks),
    )  # fmt: skip


def lesions_csv(rows: Sequence[LesionKinetics]) -> str:
    """Lesions as a table, one a row; the head names the units."""
    return rows_csv([one.row() for one in rows])


def rows_csv(rows: Sequence[Mapping[str, str]], delimiter: str = ",") -> str:
    """Rows of the same columns as a table; `delimiter` is a tab for what is pasted into a spreadsheet.

    Raises:
        KineticsError: there is no row.
    """
    if not rows:
        raise KineticsError("There is no lesion to make a table of. Draw a box or a region first.")
    out = io.StringIO()
    table = csv.DictWriter(out, list(rows[0]), lineterminator="\n", delimiter=delimiter)
    table.writeheader()
    table.writerows(rows)
    return out.getvalue()


def _slopes(curve: Curve, remarks: list[str]) -> tuple[float | None, float | None, float | None]:
    """Time to peak in s, wash-in and wash-out in per cent of S0 a minute."""
    if curve.middles_s is None:
        remarks.append("Without the phases' times there are no slopes and no time to peak.")
        return None, None, None
    peak, last = phase_of_peak(curve), len(curve.signal) - 1
    time = curve.middles_s[peak]
    if curve.percent is None:
        return time, None, None
    wash_in = curve.percent[peak] / (time / 60) if time > 0 else None
    if peak == last:
        remarks.append("The signal is highest in the last phase: no wash-out can be given.")
        return time, wash_in, None
    minutes = (curve.middles_s[last] - time) / 60
    return time, wash_in, (curve.percent[last] - curve.percent[peak]) / minutes


def _mixture(parts: Any) -> float:
    shares = np.asarray(parts, np.float64) / max(float(np.sum(parts)), 1.0)
    shares = shares[shares > 0]
    return max(0.0, -float((shares * np.log(shares)).sum()) / math.log(len(COURSES)))


def _ser_ml(maps: KineticMaps, area: Area, enhancing: Any, t: Thresholds, unit: float) -> dict[str, float]:
    bins = ser_bins(maps.ser(area.place), maps.initial[area.place], t.shown)
    counts = np.bincount(bins[enhancing], minlength=len(SER_NAMES))
    return {name: float(n) * unit for name, n in zip(SER_NAMES[1:], counts[1:], strict=True)}


def _saturated(maps: KineticMaps, area: Area) -> int:
    choice = maps.choice
    held = np.zeros(area.mask.shape, bool)
    for phase in (choice.pre, choice.early, choice.late):
        if phase is not None:
            held |= maps.volume.data[phase][area.place] == maps.full
    return int(np.count_nonzero(held & area.mask))


def _text(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _of(values: Mapping[str, float] | None, name: str, digits: int) -> str:
    return "" if values is None else _text(values[name], digits)
