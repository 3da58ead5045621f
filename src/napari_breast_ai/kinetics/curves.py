"""Time-intensity curves: of a voxel, a 3 × 3, a box, a lesion, a mask; and the most suspicious 3 × 3 of a box."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core import Box, DceVolume
from .areas import Area, area_of_boxes
from .classes import Thresholds
from .errors import KineticsError
from .maps import KineticMaps
from .phases import PhaseChoice, phase_middles
from .signals import as_float

TYPES = {"persistent": "I", "plateau": "II", "washout": "III"}
"""The types of curve by their usual numbers (Kuhl et al., Radiology 1999;211:101-110)."""


@dataclass(frozen=True)
class CurveType:
    """What a curve is called, and the rule that says so.

    Attributes:
        speed: "slow", "medium", "fast" or "" where the initial enhancement is undefined.
        course: "persistent", "plateau", "washout" or "" where it is undefined.
        rule: a sentence with the figures and the thresholds.
        initial, delayed: per cent, None where undefined.
    """

    speed: str
    course: str
    rule: str
    initial: float | None
    delayed: float | None

    @property
    def title(self) -> str:
        """Such as "fast, washout (type III)"."""
        course = f"{self.course} (type {TYPES[self.course]})" if self.course else "no delayed course"
        return f"{self.speed}, {course}" if self.speed else "no enhancement can be given"

    @property
    def short(self) -> str:
        """The same where there is little room, such as "fast, III"."""
        return ", ".join(part for part in (self.speed, TYPES.get(self.course, "")) if part) or "none"


@dataclass(frozen=True)
class Curve:
    """The mean signal of some voxels in every phase.

    Attributes:
        name: what it is of.
        signal: mean signal of each phase, in the scanner's units.
        percent: 100 · (S - S0) / S0 of that mean; None where S0 is not positive.
        starts_s: when each phase began, seconds after the first one's start; None where unknown.
        middles_s: the middle of each phase, seconds after the first post-contrast start; None where unknown.
        choice: the phases that are compared.
        voxels: how many the mean is of.
        label: the lesion's class, or "".
        mM: mean concentration of the agent in each phase, where somebody has worked it out; None else.
    """

    name: str
    signal: tuple[float, ...]
    percent: tuple[float, ...] | None
    starts_s: tuple[float, ...] | None
    middles_s: tuple[float, ...] | None
    choice: PhaseChoice
    voxels: int
    label: str = ""
    mM: tuple[float, ...] | None = None

    def kind(self, thresholds: Thresholds | None = None) -> CurveType:
        """The type of the curve, by the thresholds of the kinetic classes."""
        return curve_type(self.signal, self.choice, thresholds)


def curve_type(
    signal: Sequence[float], choice: PhaseChoice, thresholds: Thresholds | None = None
) -> CurveType:
    """The type of a curve of signals, one a phase.

    Raises:
        KineticsError: the thresholds make no sense.
    """
    t = (Thresholds() if thresholds is None else thresholds).checked()
    s0, s1 = signal[choice.pre], signal[choice.early]
    if not s0 > 0:
        return CurveType("", "", "There is no signal before contrast to compare with.", None, None)
    initial = 100 * (s1 - s0) / s0
    speed = "slow" if initial < t.medium else "fast" if initial > t.fast else "medium"
    bounds = {
        "slow": f"below {t.medium:g} %", "medium": f"{t.medium:g} to {t.fast:g} %", "fast": f"above {t.fast:g} %",
    }[speed]  # fmt: skip
    said = f"Initial enhancement {initial:+.0f} % ({speed}: {bounds})"
    if choice.late is None or not s1 > 0:
        why = "no late phase" if choice.late is None else "no early signal to compare with"
        return CurveType(speed, "", f"{said}; {why}, so no delayed course.", initial, None)
    delayed = 100 * (signal[choice.late] - s1) / s1
    course = "persistent" if delayed > t.course else "washout" if delayed < -t.course else "plateau"
    bounds = {
        "persistent": f"above +{t.course:g} %", "plateau": f"within ±{t.course:g} %",
        "washout": f"below -{t.course:g} %",
    }[course]  # fmt: skip
    when = ""
    if choice.middles_s is not None:
        when = f" from {choice.middles_s[choice.early]:.0f} s to {choice.middles_s[choice.late]:.0f} s"
    rule = f"{said}; then {delayed:+.0f} %{when} ({course}: {bounds})."
    return CurveType(speed, course, rule, initial, delayed)


def curve_of(volume: DceVolume, choice: PhaseChoice, area: Area) -> Curve:
    """The curve of an area; values that are no numbers count as no signal."""
    block = volume.data[(slice(None), *area.place)]
    values = as_float(block[:, area.mask]).astype(np.float64)
    signal = tuple(float(one) for one in values.mean(axis=1))
    s0 = signal[choice.pre]
    percent = tuple(100 * (one - s0) / s0 for one in signal) if s0 > 0 else None
    middles = choice.middles_s or phase_middles(volume, choice.pre + 1)
    starts = None if "unknown" in volume.times.source else volume.times.start_s
    return Curve(area.name, signal, percent, starts, middles, choice, area.voxels, area.label)


def most_suspicious(maps: KineticMaps, box: Box, thresholds: Thresholds | None = None) -> Area:
    """The 3 × 3 pixels in a box whose mean curve looks worst.

    The rule: of all 3 × 3 squares that lie in the box and are tissue throughout, those whose mean curve enhances by
    at least `thresholds.shown` come first; among these the worst course (washout, plateau, persistent) wins; among
    equals the highest initial enhancement. Where no square enhances so much, the highest initial enhancement alone
    decides.

    Args:
        maps: of the study.
        box: at least 3 × 3 pixels in the image.
        thresholds: of the classes.

    Raises:
        KineticsError: no square of tissue fits in the box, or the thresholds make no sense.
    """
    t = (Thresholds() if thresholds is None else thresholds).checked()
    shape = maps.geometry.shape
    whole = area_of_boxes([box], shape)
    z, rows, columns = whole.place
    height, width = rows.stop - rows.start, columns.stop - columns.start
    tissue = maps.tissue((z.start, rows, columns))
    if min(height, width) < 3 or not (fits := _sums(tissue.astype(np.float64)) > 8.5).any():
        raise KineticsError(
            "No 3 × 3 pixels of tissue fit into the box. Draw a larger one, or take the curve of the whole box."
        )
    phases = [maps.choice.pre, maps.choice.early, *([] if maps.choice.late is None else [maps.choice.late])]
    means = [
        _sums(as_float(maps.volume.data[p, z.start, rows, columns]).astype(np.float64)) / 9 for p in phases
    ]
    initial = np.full(fits.shape, -np.inf)
    np.divide(100 * (means[1] - means[0]), means[0], out=initial, where=fits)
    rank = np.zeros(fits.shape)
    if maps.choice.late is not None:
        delayed = np.zeros(fits.shape)
        np.divide(100 * (means[2] - means[1]), means[1], out=delayed, where=fits & (means[1] > 0))
        rank = np.where(delayed < -t.course, 2.0, np.where(delayed <= t.course, 1.0, 0.0))
    enhances = fits & (initial >= t.shown)
    rank = np.where(enhances, rank, -1.0)
    best = np.where(fits, rank, -np.inf).max()
    score = np.where(fits & (rank == best), initial, -np.inf)
    y, x = (int(i) for i in np.unravel_index(int(np.argmax(score)), score.shape))
    top, left = rows.start + y, columns.start + x
    return Area(
        (slice(z.start, z.start + 1), slice(top, top + 3), slice(left, left + 3)),
        np.ones((1, 3, 3), bool),
        f"most suspicious 3 × 3 of {whole.name}" if whole.name else "most suspicious 3 × 3",
        box.label,
    )


def curves_csv(curves: Sequence[Curve], thresholds: Thresholds | None = None) -> str:
    """Curves as a table, a row for each curve and phase; what is undefined is an empty cell.

    There is a column of concentrations where any curve has them.
    """
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    agent = any(curve.mM is not None for curve in curves)
    table.writerow(
        ["curve", "class", "voxels", "phase", "start_s", "middle_after_contrast_s", "signal", "percent",
         *(["concentration_mM"] if agent else []), "type", "rule"]
    )  # fmt: skip
    for curve in curves:
        kind = curve.kind(thresholds)
        for phase, signal in enumerate(curve.signal):
            table.writerow(
                [
                    curve.name, curve.label, curve.voxels, phase,
                    "" if curve.starts_s is None else f"{curve.starts_s[phase]:g}",
                    "" if curve.middles_s is None else f"{curve.middles_s[phase]:g}",
                    f"{signal:.6g}",
                    "" if curve.percent is None else f"{curve.percent[phase]:.4f}",
                    *(["" if curve.mM is None else f"{curve.mM[phase]:.6g}"] if agent else []),
                    kind.title, kind.rule,
                ]
            )  # fmt: skip
    return out.getvalue()


def _sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over every 3 × 3 that lies inside, shape (rows - 2, columns - 2)."""
    down = values[:-2] + values[1:-1] + values[2:]
    return np.asarray(down[:, :-2] + down[:, 1:-1] + down[:, 2:])


def phase_of_peak(curve: Curve) -> int:
    """The post-contrast phase with the highest mean signal; of equals the first.

    Raises:
        KineticsError: there is no phase after contrast.
    """
    after = curve.signal[curve.choice.pre + 1 :]
    if not after:
        raise KineticsError("There is no phase after contrast.")
    return curve.choice.pre + 1 + int(np.argmax(after))
