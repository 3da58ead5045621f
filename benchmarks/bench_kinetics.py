"""What kinetic maps, projections and a moved threshold cost, against plain copies and reads of the same bytes.

One interleaved run: every contender is called once per round, in turn, on the same arrays; the table gives medians.
The copy moves as many bytes as the maps read and write together; the read is the highest value of the same phases.
Both are given as many threads as the maps have, and one; goals are held against the quicker of the two.

    python benchmarks/bench_kinetics.py [--rounds 7] [--phases 6] [--slices 120] [--size 448] [--beside TEXT] [--write]

`--write` puts the table into RESULTS.md, replacing the one before; `--beside` says what else ran meanwhile.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import results

from napari_breast_ai.core import Box, DceVolume, Geometry, Identity, PhaseTimes
from napari_breast_ai.kinetics import (
    RotatingMip,
    Thresholds,
    area_of_boxes,
    choose_phases,
    kinetic_maps,
    lesion_kinetics,
    project,
    subtraction,
)
from napari_breast_ai.kinetics.enhancement import enhancement
from napari_breast_ai.kinetics.fused import fused_kernel
from napari_breast_ai.kinetics.tiles import threads

COPY, COPY_ONE = "copy of the same traffic", "the same on one thread"
COPY_FRESH = "copy into new memory, one thread"
READ, READ_ONE = "one read of both phases", "the same on one thread (read)"
NUMPY, NUMBA, NAIVE = "maps, base install (numpy)", "maps, with numba", "maps, numpy on whole arrays"
WHOLE, FRESH = (
    "maps with phases, tissue, remarks, as installed",
    "maps into new memory, base install",
)
MIP = ("MIP of a subtraction along the slices", "along the rows", "along the columns")
TURN, SLICE, LESION = (
    "another view of the turning MIP",
    "classes of a slice, new thresholds",
    "summary of a lesion",
)
GOAL_NUMPY, GOAL_NUMBA, GOAL_MIP, GOAL_SLICE_MS = 8.0, 2.0, 3.0, 5.0


def make(phases: int, slices: int, size: int) -> DceVolume:
    """Two breasts in air, with noise, of which half enhance."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    tissue = sum(900 * np.exp(-18 * ((y - 0.45) ** 2 + (x - c) ** 2)) for c in (0.28, 0.72))
    tissue = np.where(np.asarray(tissue) > 120, tissue, 0)
    some = [rng.rayleigh(18, (size, size)) for _ in range(7)]
    strength = np.abs(np.sin(9 * x) * np.cos(7 * y))
    data = np.empty((phases, slices, size, size), np.uint16)
    for p in range(phases):
        rise = 1 + strength * (1 - np.exp(-p)) * np.exp(-0.05 * p)
        for z in range(slices):
            data[p, z] = tissue * rise + some[(3 * p + z) % 7]
    geometry = Geometry.from_dicom(
        (slices, size, size), (0.76, 0.76), 1.5, (-170, -170, 0), (1, 0, 0, 0, 1, 0)
    )
    starts = tuple(90.0 * p for p in range(phases))
    return DceVolume(data, geometry, PhaseTimes(starts, ("AcquisitionTime",) * phases), Identity("1.2.3"))


def naive(s0: np.ndarray, s1: np.ndarray, sd: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore", invalid="ignore"):
        initial = 100 * (s1.astype(float) - s0) / s0
        delayed = 100 * (sd.astype(float) - s1) / s1
    inside = s0 > floor
    return np.where(inside, initial, 0), np.where(inside & (s1 > 0), delayed, 0)


def measure(
    calls: dict[str, Callable[[], object]], rounds: int, rare: set[str]
) -> tuple[dict[str, float], ...]:
    """Median seconds of each call, by the clock and of all threads' work, after one call that does not count.

    `rare` ones are called in two rounds only.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    worked: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            if name in rare and number > 2:
                continue
            start, began = time.perf_counter(), time.process_time()
            call()
            if number:
                seconds[name].append(time.perf_counter() - start)
                worked[name].append(time.process_time() - began)
    return tuple({name: statistics.median(one) for name, one in of.items()} for of in (seconds, worked))


def report(rounds: int, phases: int, slices: int, size: int, beside: str) -> str:
    volume = make(phases, slices, size)
    choice = choose_phases(volume)
    maps = kinetic_maps(volume, choice)
    assert choice.late is not None and maps.delayed is not None
    s0, s1, sd = volume.data[choice.pre], volume.data[choice.early], volume.data[choice.late]
    out = np.zeros(s0.shape, np.float32), np.zeros(s0.shape, np.float32)
    traffic = s0.nbytes + s1.nbytes + sd.nbytes + out[0].nbytes + out[1].nbytes
    source, target = np.ones(traffic // 2, np.uint8), np.zeros(traffic // 2, np.uint8)
    pool, number = ThreadPoolExecutor(threads()), threads()
    parts = [slice(k * len(source) // number, (k + 1) * len(source) // number) for k in range(number)]
    blocks = [slice(k * slices // number, (k + 1) * slices // number) for k in range(number)]
    turning = RotatingMip(subtraction(volume, choice.early, choice.pre))
    turning.at(0)
    views = iter(range(10**9))
    middle = slices // 2
    steps = iter(range(10**9))
    box = [Box(z, 150, 100, 210, 160, "NME", "b") for z in range(middle - 8, middle + 8)]
    area = area_of_boxes(box, volume.geometry.shape)
    image = subtraction(volume, choice.early, choice.pre)
    calls: dict[str, Callable[[], object]] = {
        COPY: lambda: list(pool.map(lambda part: np.copyto(target[part], source[part]), parts)),
        COPY_ONE: lambda: np.copyto(target, source),
        NUMPY: lambda: enhancement(s0, s1, sd, maps.floor, out=out, fused=False),
        WHOLE: lambda: kinetic_maps(volume, choice, out=out),
        COPY_FRESH: lambda: source.copy(),
        FRESH: lambda: enhancement(s0, s1, sd, maps.floor, fused=False),
        NAIVE: lambda: naive(s0, s1, sd, maps.floor),
        READ: lambda: list(pool.map(lambda one: (s0[one].max(), s1[one].max()), blocks)),
        READ_ONE: lambda: (s0.max(), s1.max()),
        MIP[0]: lambda: project(image, 0),
        MIP[1]: lambda: project(image, 1),
        MIP[2]: lambda: project(image, 2),
        TURN: lambda: turning.at(next(views) % len(turning)),
        SLICE: lambda: maps.classes(middle, Thresholds(shown=20 + next(steps) % 50)),
        LESION: lambda: lesion_kinetics(maps, area),
    }
    if fused_kernel() is not None:
        calls[NUMBA] = lambda: enhancement(s0, s1, sd, maps.floor, out=out, fused=True)
    first, second = naive(s0, s1, sd, maps.floor)
    for one, other in ((maps.initial, first), (maps.delayed, second)):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(project(image, 0).pixels, (s1.astype(np.int32) - s0).max(0))
    taken, work = measure(calls, rounds, {NAIVE, TURN})
    copy, read = min(taken[COPY], taken[COPY_ONE]), min(taken[READ], taken[READ_ONE])
    of = dict.fromkeys((COPY, COPY_ONE, COPY_FRESH, NUMPY, WHOLE, FRESH, NAIVE, NUMBA), copy)
    of |= dict.fromkeys((READ, READ_ONE, *MIP), read)
    lines = [
        "## Kinetics",
        "",
        f"{phases} × {slices} × {size} × {size} uint16; the maps read three phases and write two float32 arrays, "
        f"{traffic / 1e6:.0f} MB together; {number} threads; median of {rounds} interleaved rounds.",
        "",
        "| | ms | in copies or reads | ms of work, all threads |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {name.replace(' (read)', '')} | {1000 * taken[name]:.1f} | "
            + (f"{taken[name] / of[name]:.1f} | " if name in of else "| ")
            + f"{1000 * work[name]:.1f} |"
            for name in taken
        ),
        "",
    ]
    # By the clock, and by the work of all threads, which other programs on the machine disturb less.
    met = []
    for seconds in (taken, work):
        unit = min(seconds[COPY], seconds[COPY_ONE])
        look = min(seconds[READ], seconds[READ_ONE])
        goals = {
            f"maps at most {GOAL_NUMPY:.0f} copies with the base install": seconds[NUMPY]
            <= GOAL_NUMPY * unit,
            f"MIP of a subtraction at most {GOAL_MIP:.0f} reads": seconds[MIP[0]] <= GOAL_MIP * look,
            f"classes of a slice in less than {GOAL_SLICE_MS:.0f} ms": 1000 * seconds[SLICE] < GOAL_SLICE_MS,
        }
        if NUMBA in taken:
            goals[f"maps at most {GOAL_NUMBA:.0f} copies with numba"] = seconds[NUMBA] <= GOAL_NUMBA * unit
        met.append(goals)
    words = {
        (True, True): "met", (False, False): "NOT met", (False, True): "NOT met by the clock, met by work",
        (True, False): "met by the clock, NOT met by work",
    }  # fmt: skip
    lines += [
        "Goals: " + "; ".join(f"{what}: {words[done, met[1][what]]}" for what, done in met[0].items()) + ".",
        "",
        f"Machine: {platform.machine()} {platform.system()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, numpy {_version('numpy')}, numba {_version('numba')}."
        + (f" {beside}" if beside else ""),
    ]
    return "\n".join(lines)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count (default 7)")
    parser.add_argument("--phases", type=int, default=6)
    parser.add_argument("--slices", type=int, default=120)
    parser.add_argument("--size", type=int, default=448, help="rows and columns (default 448)")
    parser.add_argument("--beside", default="", help="a sentence about what else ran on the machine")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = parser.parse_args()
    section = report(given.rounds, given.phases, given.slices, given.size, given.beside)
    print(section)
    if given.write:
        results.write("bench_kinetics", section)


if __name__ == "__main__":
    main()
