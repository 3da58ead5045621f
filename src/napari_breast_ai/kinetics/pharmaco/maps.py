"""Pharmacokinetic maps of a study: signal to concentration to parameters, slice by slice, with all that was assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...core import Progress, silent
from .errors import PharmacoError
from .fit import Bounds, Fit, Fitter, Real
from .inputs import ArterialInput
from .signal import MOST_MM, SpoiledGradientEcho, checked_baseline, concentration
from .t1 import T1Map

OUTSIDE, FITTED, NO_BASELINE, SATURATED, NOT_FINITE = range(5)
STATUS = {
    OUTSIDE: "outside the region, or background",
    FITTED: "fitted",
    NO_BASELINE: "no signal before contrast, or no T1",
    SATURATED: f"the signal is that of more than {MOST_MM:g} mM in some phase: no concentration belongs to it",
    NOT_FINITE: "a value is no number",
}
"""What each value of `Maps.status` means."""
UNITS = {"ktrans": "1/min", "kep": "1/min", "ve": "1", "vp": "1", "r2": "1", "rmse": "mM", "aicc": "1"}
BACKGROUND = 0.1
"""A voxel counts as background below this share of the baseline's 95th percentile."""
_FINE_S = 10.0
_NAMES = tuple(UNITS)


@dataclass(frozen=True, eq=False)
class Maps:
    """Parameters of each voxel of a volume, and how they came about.

    Attributes:
        fit: the maps, float32, shape (slices, rows, columns); 0 where `status` is not `FITTED`.
        status: uint8, one of the keys of `STATUS` per voxel.
        t1_s: T1 before contrast: one number, or a map in seconds.
        notes: what was assumed and what to beware of, in sentences.
        facts: the same in plain values, for a file.
    """

    fit: Fit
    status: NDArray[np.uint8]
    t1_s: float | Real
    notes: tuple[str, ...]
    facts: dict[str, Any]

    def map(self, name: str) -> Real:
        """One of `UNITS` by its name."""
        values: Real = getattr(self.fit, name)
        return values

    def summary(self, region: ArrayLike | None = None) -> dict[str, dict[str, float]]:
        """Median, quartiles and mean of each parameter over the fitted voxels of a region; empty without any."""
        inside = self.status == FITTED
        if region is not None:
            inside &= np.asarray(region, bool)
        if not inside.any():
            return {}
        found = {}
        for name in _NAMES:
            values = self.map(name)[inside]
            low, middle, high = np.percentile(values, (25, 50, 75))
            found[name] = {
                "median": float(middle),
                "low_quartile": float(low),
                "high_quartile": float(high),
                "mean": float(values.mean()),
            }
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values: what was assumed, how many voxels became what, units and the summary."""
        counts = {text: int((self.status == code).sum()) for code, text in STATUS.items()}
        return {
            **self.facts,
            "units": UNITS,
            "voxels": counts,
            "at_a_bound": int(self.fit.at_bound.sum()),
            "summary": self.summary(),
            "notes": list(self.notes),
        }


def pharmacokinetic_maps(
    data: NDArray[np.generic],
    times_s: ArrayLike,
    sequence: SpoiledGradientEcho,
    t1: float | T1Map,
    arterial: ArterialInput,
    model: str = "extended-tofts",
    baseline: Sequence[int] = (0,),
    region: ArrayLike | None = None,
    b1: ArrayLike = 1.0,
    background: float = BACKGROUND,
    bounds: Bounds | None = None,
    progress: Progress = silent,
) -> Maps:
    """Maps of a volume, or of a region in it.

    Args:
        data: signal, shape (phases, slices, rows, columns), in the scanner's units.
        times_s: of the phases, rising, seconds.
        sequence: how it was measured, with the agent's relaxivity.
        t1: before contrast: an assumed value for all tissue, seconds, or a measured map of the volume's shape.
        arterial: plasma input on the study's clock.
        model: one of `MODELS`.
        baseline: phases before contrast.
        region: bool, shape (slices, rows, columns): fit here only. Everything above the background where None.
        b1: actual over nominal flip angle: one value, or a map.
        background: share of the baseline's 95th percentile below which a voxel is left out; not used with a region.
        bounds: of the parameters.
        progress: called per slice; may raise `Cancelled`.

    Raises:
        PharmacoError: something is missing or does not fit; the sentence says what to give.
    """
    if data.ndim != 4:
        raise PharmacoError("Maps need a volume of phases, slices, rows and columns. Read the study again.")
    fitter = Fitter(times_s, arterial, model, bounds)
    if data.shape[0] != fitter.times_s.size:
        raise PharmacoError(
            f"The study has {data.shape[0]} phases but {fitter.times_s.size} times. Give one time per phase."
        )
    cells = data.shape[1:]
    measured = t1.t1_s if isinstance(t1, T1Map) else None
    if measured is not None and measured.shape != cells:
        raise PharmacoError(
            f"The T1 map has the shape {_shape(measured.shape)} and the study {_shape(cells)}. Measure or "
            "resample T1 on the study's own slices."
        )
    if measured is None and not 0.05 <= float(t1 if not isinstance(t1, T1Map) else 0) <= 10:
        raise PharmacoError(
            f"A T1 of {t1} s cannot be that of tissue. Give it in seconds, such as 1.4 for a breast lesion at 3 T."
        )
    checked_baseline(baseline, data.shape[0])
    inside = _inside(data, baseline, region, background)
    scale = np.broadcast_to(np.asarray(b1, np.float64), cells)
    status = np.zeros(cells, np.uint8)
    out = {name: np.zeros(cells, np.float32) for name in _NAMES}
    at_bound = np.zeros(cells, bool)
    negative = 0
    for z in range(cells[0]):
        progress(z, cells[0], "Fitting")
        here = inside[z]
        if not here.any():
            continue
        before = measured[z][here] if measured is not None else float(t1)  # type: ignore[arg-type]
        found = concentration(data[:, z][:, here], before, sequence, baseline, scale[z][here])
        fit = fitter.fit(found.mM, found.valid)
        for name in _NAMES:
            out[name][z][here] = getattr(fit, name)
        at_bound[z][here] = fit.at_bound
        what = np.full(found.valid.shape, NOT_FINITE, np.uint8)
        what[found.saturated] = SATURATED
        what[found.no_baseline] = NO_BASELINE
        what[found.valid] = FITTED
        status[z][here] = what
        negative += int((found.negative & found.valid).sum())
    progress(cells[0], cells[0], "Fitting")
    whole = Fit(model, **out, fitted=status == FITTED, at_bound=at_bound)
    facts = _facts(fitter, sequence, t1, arterial, baseline, background if region is None else None)
    said = (_t1_said(t1), arterial.said, *_warnings(fitter, arterial, status, at_bound, negative))
    return Maps(whole, status, measured if measured is not None else float(t1), said, facts)  # type: ignore[arg-type]


def _inside(
    data: NDArray[np.generic], baseline: Sequence[int], region: ArrayLike | None, background: float
) -> NDArray[np.bool_]:
    cells = data.shape[1:]
    if region is not None:
        chosen = np.asarray(region, bool)
        if chosen.shape != cells:
            raise PharmacoError(
                f"The region has the shape {_shape(chosen.shape)} and the study {_shape(cells)}. Draw it on this study."
            )
        if not chosen.any():
            raise PharmacoError("The region is empty. Draw it, or leave it out to fit the whole breast.")
        return chosen
    before = data[list(baseline)].mean(axis=0, dtype=np.float32)
    if not (np.isfinite(before) & (before > 0)).any():
        return np.ones(cells, bool)  # each voxel then says that it has no baseline
    typical = float(np.percentile(before[np.isfinite(before) & (before > 0)], 95))
    inside: NDArray[np.bool_] = before >= background * typical
    return inside


def _t1_said(t1: float | T1Map) -> str:
    if isinstance(t1, T1Map):
        return t1.said
    return (
        f"T1 before contrast is assumed to be {t1:g} s in all tissue; it was not measured, and "
        "concentrations are off by at least as much as it is."
    )


def _warnings(
    fitter: Fitter,
    arterial: ArterialInput,
    status: NDArray[np.uint8],
    at_bound: NDArray[np.bool_],
    negative: int,
) -> list[str]:
    found = []
    apart = float(np.median(np.diff(fitter.times_s)))
    if apart > _FINE_S:
        found.append(
            f"The phases are {apart:.0f} s apart. Ktrans and vp are taken to be reliable up to about "
            f"{_FINE_S:g} s; compare these values with others of the same protocol only."
        )
    if arterial.delay_s:
        found.append(
            f"The arterial input reaches the tissue {arterial.delay_s:+.1f} s later than its own times say."
        )
    counts = {code: int((status == code).sum()) for code in STATUS}
    tried = sum(counts.values()) - counts[OUTSIDE]
    left = [
        f"{counts[code]} ({STATUS[code]})" for code in (NO_BASELINE, SATURATED, NOT_FINITE) if counts[code]
    ]
    found.append(
        f"Fitted: {counts[FITTED]} of {tried} voxels." + (f" Not fitted: {'; '.join(left)}." if left else "")
    )
    if at_bound.any():
        found.append(
            f"In {int(at_bound.sum())} fitted voxels a parameter stands at a bound: the model does not describe them."
        )
    if negative:
        found.append(f"In {negative} fitted voxels a signal is below 0; it was taken as 0.")
    return found


def _facts(
    fitter: Fitter,
    sequence: SpoiledGradientEcho,
    t1: float | T1Map,
    arterial: ArterialInput,
    baseline: Sequence[int],
    background: float | None,
) -> dict[str, Any]:
    limits = fitter.bounds
    return {
        "model": fitter.model,
        "bounds": {
            "ktrans": [0.0, limits.ktrans],
            "ve": [0.0, limits.ve],
            "vp": [0.0, limits.vp],
            "kep": list(limits.kep),
        },
        "phase_times_s": [float(one) for one in fitter.times_s],
        "baseline_phases": [int(one) for one in baseline],
        "repetition_time_s": sequence.tr_s,
        "flip_angle_deg": sequence.flip_deg,
        "relaxivity_per_s_mM": sequence.relaxivity,
        "t1_s": None if isinstance(t1, T1Map) else float(t1),
        "t1_measured": isinstance(t1, T1Map),
        "arterial_delay_s": arterial.delay_s,
        "background_share": background,
    }


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(str(n) for n in shape)
