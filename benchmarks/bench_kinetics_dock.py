"""The Kinetics dock: from a threshold slider, and from the pointer, to the screen.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/bench_kinetics_dock.py [--slices 120] [--write]

A study of 6 phases of 448 × 448 pixels in a window of 1600 × 1000. The times run from the slider's new value, or the
pointer's new place, until a picture begun after it has come on the screen and the window has nothing more to do. Plain
napari beside it: the same time for an image layer whose stack of classes is computed anew as a whole.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
import warnings
from importlib.metadata import version

import results

os.environ.setdefault("NAPARI_ASYNC", "0")

import numpy as np

from napari_breast_ai.core import Box, DceVolume, Geometry, Identity, PhaseTimes

PHASES, SIZE = 6, 448
GOAL_S = 0.1


def study(slices: int) -> DceVolume:
    """Tissue with noise, a third of which enhances and then takes one of three courses."""
    dice = np.random.default_rng(0)
    shape = (slices, SIZE, SIZE)
    before = dice.integers(200, 400, shape, np.uint16)
    rise = dice.integers(0, 3, shape, np.uint16) * dice.integers(0, 300, shape, np.uint16)
    data = np.empty((PHASES, *shape), np.uint16)
    for phase in range(PHASES):
        data[phase] = before + (rise * min(phase, 2) // 2)
    data[4:] -= (rise // 4) * dice.integers(0, 2, shape, np.uint16)
    geometry = Geometry.from_dicom(shape, (0.8, 0.8), 1.5, (0, 0, 0), (1, 0, 0, 0, 1, 0))
    times = PhaseTimes(tuple(90.0 * p for p in range(PHASES)), ("AcquisitionTime",) * PHASES)
    return DceVolume(data, geometry, times, Identity("1.2.3"))


def measure(slices: int, rounds: int) -> dict[str, list[float]]:
    """Seconds by what was done."""
    import napari
    from hand import Hand
    from qtpy.QtCore import QPoint
    from qtpy.QtTest import QTest

    from napari_breast_ai.viewer.session import get_session

    viewer = napari.Viewer(title="bench kinetics dock")
    viewer.window.resize(1600, 1000)
    session = get_session(viewer, "bench")
    _, dock = viewer.window.add_plugin_dock_widget("napari-breast-ai", "Kinetics")
    hand = Hand(viewer)
    volume = study(slices)
    session.show_study(volume)
    kinetics = session.kinetics
    while kinetics.maps is None:
        QTest.qWait(20)
    assert session.journal is not None
    session.journal.add(Box(slices // 2, 100, 100, 160, 160, "NME"))
    found: dict[str, list[float]] = {"slider": [], "processor": [], "pointer": [], "whole stack": []}
    QTest.qWait(1000)
    slider = dock.map.sliders["shown"]
    plot = dock.curves.plot
    for number in range(rounds + 1):
        value = 40 + 5 * (number % 12)
        spent = time.process_time()
        _, taken = hand.timed(lambda value=value: slider.setValue(value), lambda: True, "the map")
        spent = time.process_time() - spent
        hand.wait(0.3)
        if number:
            found["slider"].append(taken)
            found["processor"].append(spent)
    spacing = volume.geometry.spacing[1:]
    for number in range(rounds + 1):
        at = hand.at((50.0 + 7 * number, 80.0 + 11 * number), spacing)

        def point(at: QPoint = at) -> None:
            hand.point(at)
            plot.repaint()

        seconds = hand.served(point)
        hand.wait(0.1)
        if number:
            found["pointer"].append(seconds)
    layer = kinetics.layers.layer("classes")
    assert layer is not None
    for number in range(3):
        t = kinetics.thresholds

        def whole(t: object = t) -> None:
            assert kinetics.maps is not None
            layer.data = kinetics.maps.classes(..., t)

        _, taken = hand.timed(whole, lambda: True, "the whole map")
        if number:
            found["whole stack"].append(taken)
    session.shut_down()
    viewer.close()
    return found


def report(slices: int, rounds: int) -> str:
    """Run everything and give the section of RESULTS.md."""
    found = measure(slices, rounds)
    median, most = statistics.median(found["slider"]), max(found["slider"])
    verdict = "met" if median < GOAL_S else "NOT met"
    load = " / ".join(f"{one:.1f}" for one in os.getloadavg())
    rows = [
        f"| a threshold slider, until the map is on the screen | {1000 * median:.0f} / {1000 * most:.0f} | below "
        f"{1000 * GOAL_S:.0f} ms: {verdict} |",
        f"| the same in time of the processor, which other programs do not lengthen | "
        f"{1000 * statistics.median(found['processor']):.0f} / {1000 * max(found['processor']):.0f} | |",
        f"| the pointer, until its curve is drawn | {1000 * statistics.median(found['pointer']):.0f} / "
        f"{1000 * max(found['pointer']):.0f} | |",
        f"| the same map, all slices at once | {1000 * statistics.median(found['whole stack']):.0f} / "
        f"{1000 * max(found['whole stack']):.0f} | |",
    ]
    return "\n".join(
        [
            "## The Kinetics dock",
            "",
            f"{PHASES} × {slices} × {SIZE} × {SIZE}, {rounds} times, one after the other; median / longest:",
            "",
            "| what | ms | goal |",
            "| --- | ---: | --- |",
            *rows,
            "",
            f"Machine: {platform.machine()} {platform.system()}, {os.cpu_count()} cores, Python "
            f"{platform.python_version()}, napari {version('napari')}, drawn in software; load average at the end "
            f"{load}.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        os.environ["NAPARI_BREAST_AI_DATA"] = place
        section = report(given.slices, given.rounds)
    print(section)
    if given.write:
        results.write("bench_kinetics_dock", section)


if __name__ == "__main__":
    main()
