"""Tofts fits per second, against `scipy.optimize.curve_fit` and `dcmri`'s voxel fit, with the optimum compared.

One interleaved run on one thread: in each round every contender fits its share of the same curves, in turn; the table
gives medians. `curve_fit` gets the fastest plain model there is on an even grid (the exact recursion in C, by
`scipy.signal.lfilter`). `dcmri` fits signals, so our fit of signals (conversion included) stands beside it.

    python benchmarks/bench_pharmaco.py [--rounds 3] [--write] [--beside TEXT]
"""

# ruff: noqa: E402
from __future__ import annotations

import os

import results

for _one in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_one] = "1"  # before numpy: one thread for everybody

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.signal import lfilter

from napari_breast_ai.kinetics.pharmaco import (
    ArterialInput,
    Fitter,
    SpoiledGradientEcho,
    concentration,
    model_curves,
    pharmacokinetic_maps,
    population_input,
    signal_of,
)

GOAL_SCIPY, GOAL_PEER = 50.0, 10.0
STEP, PHASES, NOISE, H = 10.0, 36, 0.02, 0.42
T10, SEQUENCE = 1.4, SpoiledGradientEcho(0.006, 12.0, 4.5)
OURS, BOUNDED, FREE = "napari-breast-ai", "curve_fit, bounds (trf)", "curve_fit, no bounds (lm)"
OURS_SIGNAL, PEER = "napari-breast-ai, from signals", "dcmri TissueArray, from signals"
N_OURS, N_SCIPY, N_PEER = 40_000, 150, 40
KINETICS = {"tofts": "WV", "extended-tofts": "HF"}


class Task:
    """Curves of random tissues with noise, and what each contender makes of some of them."""

    def __init__(self, model: str) -> None:
        rng = np.random.default_rng(0)
        self.model = model
        self.times = STEP * np.arange(PHASES)
        self.arterial = ArterialInput(
            self.times, population_input("parker", 400, 45.0, H).at(self.times), "Parker, on the phases"
        )
        self.ktrans = rng.uniform(0.05, 0.6, N_OURS)
        self.ve = rng.uniform(0.1, 0.6, N_OURS)
        self.vp = rng.uniform(0.01, 0.12, N_OURS) * (model == "extended-tofts")
        clean = model_curves(self.times, self.arterial, self.ktrans, self.ktrans / self.ve, self.vp)
        self.curves = clean + rng.normal(0, NOISE, clean.shape)
        self.signals = signal_of(
            1 / T10 + SEQUENCE.relaxivity * clean, 1000, SEQUENCE.tr_s, SEQUENCE.flip_deg
        )
        self.found: dict[str, NDArray[np.float64]] = {}

    def ours(self) -> int:
        fit = Fitter(self.times, self.arterial, self.model).fit(self.curves)
        self.found[OURS] = np.stack([fit.ktrans, fit.ve, fit.vp, fit.rmse**2 * PHASES])
        return N_OURS

    def ours_from_signals(self) -> int:
        tissue = concentration(self.signals, T10, SEQUENCE, range(4))
        fit = Fitter(self.times, self.arterial, self.model).fit(tissue.mM, tissue.valid)
        self.found[OURS_SIGNAL] = np.stack([fit.ktrans, fit.ve, fit.vp])
        return N_OURS

    def scipy(self, bounded: bool) -> int:
        plasma = self.arterial.plasma_mM
        n = 3 if self.model == "extended-tofts" else 2
        more = {"bounds": ([0, 1e-6, 0][:n], [5, 1, 1][:n])} if bounded else {"method": "lm"}
        rows = []
        for i in range(N_SCIPY):
            try:
                best, _ = curve_fit(
                    _plain(plasma), self.times, self.curves[:, i], p0=(0.2, 0.3, 0.03)[:n], **more
                )
                rest = ((_plain(plasma)(None, *best) - self.curves[:, i]) ** 2).sum()
                rows.append([*best, *([0.0] * (3 - n)), rest])
            except RuntimeError:  # did not converge
                rows.append([np.nan] * 4)
        self.found[BOUNDED if bounded else FREE] = np.array(rows).T
        return N_SCIPY

    def peer(self) -> int:
        import dcmri

        array = dcmri.TissueArray(
            (N_PEER,), kinetics=KINETICS[self.model], water_exchange="FF", sequence="SS",
            ca=self.arterial.plasma_mM * (1 - H), t=self.times, H=H, r1=SEQUENCE.relaxivity,
            R10=np.full(N_PEER, 1 / T10), TR=SEQUENCE.tr_s, FA=SEQUENCE.flip_deg, n0=4,
        )  # fmt: skip
        array.train(self.times, self.signals[:, :N_PEER].T)
        if self.model == "tofts":
            self.found[PEER] = np.stack([60 * array.Ktrans, array.vi, 0 * array.vi])
        else:
            self.found[PEER] = np.stack([60 * array.PS, array.vi, (1 - H) * array.vb])
        return N_PEER


def _plain(plasma: NDArray[np.float64]) -> Callable[..., NDArray[np.float64]]:
    """Extended Tofts on an even grid, exactly: the recursion of a straight input, in C."""
    step = STEP / 60

    def curve(_: object, ktrans: float, ve: float, vp: float = 0.0) -> NDArray[np.float64]:
        z = max(ktrans / ve * step, 1e-9) if ve else 1e-9
        decay = np.exp(-z)
        one = (1 - decay) / z
        two = (1 - one) / z if z > 1e-4 else 0.5 - z / 6
        shape = lfilter([two * step, (one - two) * step], [1.0, -decay], plasma)
        return ktrans * (shape - two * step * plasma[0] * decay ** np.arange(plasma.size)) + vp * plasma

    return curve


def measure(calls: dict[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """Fits per second of each call in each round, after one call each that does not count."""
    rates: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            done = call()
            if number:
                rates[name].append(done / (time.perf_counter() - start))
    return rates


def compare(task: Task) -> list[str]:
    """How the optima differ, in sentences."""
    said = []
    ours = task.found[OURS]
    for name in (BOUNDED, FREE):
        theirs = task.found[name]
        mine = ours[:, : theirs.shape[1]]
        better = theirs[3] / mine[3] - 1
        low = float(np.nanmin(better))
        inside = (theirs[0] >= 0) & (theirs[0] <= 5) & (theirs[1] <= 1) & (theirs[1] >= 0) & (theirs[2] >= 0)
        same = inside & (better < 1e-6)
        off = float(np.nanmax(np.abs(theirs[0, same] / mine[0, same] - 1))) if same.any() else 0.0
        outside = int((np.isfinite(theirs[0]) & ~inside).sum())
        failed = int(np.isnan(theirs[0]).sum())
        said.append(
            f"{name}: lowest sum of squares relative to ours {1 + low:.6f}"
            + (" (outside the bounds)" if low < -1e-6 and outside else "")
            + f"; same optimum in {int(same.sum())} of {N_SCIPY} (Ktrans within {off:.1e}), worse in "
            f"{int((better >= 1e-6).sum())}, outside the bounds {outside}, not converged {failed}"
        )
    if PEER in task.found:
        theirs = task.found[PEER]
        mine = task.found[OURS_SIGNAL][:, :N_PEER]
        truth = np.stack([task.ktrans, task.ve, task.vp])[:, :N_PEER]
        worst = [np.abs(one - truth).max(axis=1) for one in (mine, theirs)]
        said.append(
            "from noise-free signals, largest error of Ktrans, ve, vp: ours "
            + ", ".join(f"{e:.1e}" for e in worst[0])
            + "; dcmri "
            + ", ".join(f"{e:.1e}" for e in worst[1])
        )
    return said


def whole(slices: int = 2, size: int = 448) -> tuple[float, float]:
    """Seconds for a lesion of 4,000 voxels and for a slice of a full study (6 phases), from signals to maps."""
    rng = np.random.default_rng(1)
    times = np.array([0.0, 70, 140, 210, 280, 350])
    arterial = population_input("parker", 350, 70.0)
    shape = (slices, size, size)
    ktrans, kep = rng.uniform(0.02, 0.6, shape), rng.uniform(0.1, 2, shape)
    tissue = model_curves(times, arterial, ktrans, np.round(kep, 2), 0.0)
    data = signal_of(1 / T10 + SEQUENCE.relaxivity * tissue, 1000, SEQUENCE.tr_s, SEQUENCE.flip_deg)
    data = (data + rng.normal(0, 1, data.shape)).astype(np.float32)
    lesion = np.zeros(shape, bool)
    lesion[0, 100:163, 100:163] = True
    taken = []
    for region in (lesion, None):
        start = time.perf_counter()
        maps = pharmacokinetic_maps(data, times, SEQUENCE, T10, arterial, "tofts", region=region)
        taken.append(time.perf_counter() - start)
        assert maps.fit.fitted.any()
    return taken[0], taken[1] / slices


def report(rounds: int, beside: str) -> str:
    lines = [
        "## Pharmacokinetic fits",
        "",
        f"Curves of {PHASES} phases, {STEP:g} s apart, noise {NOISE} mM, one thread; fits per second, "
        f"median of {rounds} interleaved rounds.",
        "",
        "| model | "
        + " | ".join((OURS, BOUNDED, FREE, OURS_SIGNAL, PEER))
        + " | ours / curve_fit | ours / dcmri |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    notes, goals = [], []
    for model in KINETICS:
        task = Task(model)
        calls: dict[str, Callable[[], int]] = {
            OURS: task.ours,
            BOUNDED: lambda: task.scipy(True),  # noqa: B023
            FREE: lambda: task.scipy(False),  # noqa: B023
            OURS_SIGNAL: task.ours_from_signals,
        }
        if _version("dcmri") != "absent":
            calls[PEER] = task.peer
        rate = {name: statistics.median(rates) for name, rates in measure(calls, rounds).items()}
        best = max(rate[BOUNDED], rate[FREE])
        peer = rate[OURS_SIGNAL] / rate[PEER] if PEER in rate else None
        cells = [
            f"{rate[name]:,.0f}" if name in rate else "absent"
            for name in (OURS, BOUNDED, FREE, OURS_SIGNAL, PEER)
        ]
        lines.append(
            f"| {model} | {' | '.join(cells)} | {rate[OURS] / best:.0f} (the faster of both) | "
            f"{'' if peer is None else f'{peer:.0f}'} |"
        )
        notes.append(f"{model}: " + "; ".join(compare(task)) + ".")
        goals.append(
            f"{model} at least {GOAL_SCIPY:.0f} × curve_fit: {_met(rate[OURS] / best >= GOAL_SCIPY)}"
        )
        if peer is not None:
            goals.append(f"{model} at least {GOAL_PEER:.0f} × dcmri: {_met(peer >= GOAL_PEER)}")
    lesion, per_slice = whole()
    packages = ("numpy", "scipy", "dcmri")
    lines += [
        "",
        *(one for note in notes for one in (note, "")),
        f"From signals to maps (Tofts, 6 phases, a population's input): a lesion of 3,969 voxels "
        f"{lesion * 1000:.0f} ms; a slice of 448 × 448 {per_slice:.2f} s, so 120 of them about "
        f"{120 * per_slice / 60:.1f} minutes, in the background.",
        "",
        "Goals: " + "; ".join(goals) + ".",
        "",
        f"Machine: {platform.machine()} {platform.system()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, "
        + ", ".join(f"{one} {_version(one)}" for one in packages)
        + "."
        + (f" {beside}" if beside else ""),
    ]
    return "\n".join(lines)


def _met(met: bool) -> str:
    return "met" if met else "NOT met"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (default 3)")
    parser.add_argument("--beside", default="", help="a sentence about what else ran on the machine")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    section = report(given.rounds, given.beside)
    print(section)
    if given.write:
        results.write("bench_pharmaco", section)


if __name__ == "__main__":
    main()
