"""Inference that keeps up: the first explained slice, the whole volume, engines, and a case that is opened again.

    python benchmarks/bench_inference.py [--rounds 7] [--slices 48] [--side 320] [--models NAME ...] [--write]

One interleaved run per model: in each round everything is done once, in turn, with the same threads; the table gives
medians of each round's ratios. Random weights: only the time is looked at. What a window gets ready when study and
model are there (the plan, the check sums, the engine) is ready here too; preparing the images counts.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import results
import torch

from napari_breast_ai.core import DceVolume, ModelRef, Prediction
from napari_breast_ai.inference import (
    FeatureCache,
    KeptFeatures,
    choose_engine,
    engine_for,
    make_images,
    predict,
    probe,
)
from napari_breast_ai.inference.quantised import Int8Runner, quantise
from napari_breast_ai.inference.runners import installed
from napari_breast_ai.inference.threads import one_thread
from napari_breast_ai.models import RECIPES, Bundle, build
from napari_breast_ai.phantom import PhantomSpec, make_phantom

MODELS = ("attention-squeezenet", "attention-resnet50", "attention-mobilenet-v2", "attention-mobilenet-v3")
FASTER = {"attention-squeezenet": 1.3, "attention-resnet50": 1.5}
FASTER_OTHERS = 2.0
FASTER_INT8 = 4.0
GOAL_FIRST, GOAL_WHOLE, GOAL_AGAIN = 1.3, 1.10, 0.05
BATCH = 8
CPU = torch.device("cpu")


class Enough(Exception):
    """The first slice is there."""


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def first_slice(volume: DceVolume, bundle: Bundle, kept: KeptFeatures, engine: str) -> None:
    """Until the first explained slice could be drawn."""

    def stop(make: Callable[[], Prediction]) -> None:
        make()
        raise Enough

    try:
        predict(
            volume,
            bundle,
            kept=kept,
            start=volume.n_slices // 2,
            partial=stop,
            engine=engine,
            device="cpu",
        )
    except Enough:
        return
    raise AssertionError("the first slice was not told")


def measure(
    name: str, volume: DceVolume, rounds: int
) -> tuple[dict[str, dict[str, list[float]]], dict[str, float]]:
    """Seconds by engine and what was done; and how far each engine's features are from torch's."""
    torch.manual_seed(0)
    model = build(RECIPES[name])
    bundle = Bundle(ModelRef(name, "0" * 64), model.spec, model, "", {}, Path(name))
    eager = copy.deepcopy(model.backbone).to(memory_format=torch.channels_last)
    n, middle = volume.n_slices, volume.n_slices // 2
    plan = KeptFeatures(volume, bundle).plan
    parts = [make_images(volume, plan, range(i, min(i + BATCH, n))) for i in range(0, n, BATCH)]
    one = make_images(volume, plan, [middle])
    shown = make_images(volume, plan, probe(range(n)))
    engines = {"torch": engine_for(model, CPU)}
    off = {"torch": 0.0}
    wanted = engines["torch"].features(shown)
    for wish in installed():
        found, said = choose_engine(model, CPU, lambda: shown, wish)
        if said:
            print(said)
            continue
        engines[wish] = found
        off[wish] = float((found.features(shown) - wanted).abs().max() / wanted.abs().max())
    small: Int8Runner | None = None
    if find_spec("openvino") and find_spec("nncf"):
        small = Int8Runner(quantise(model, shown))
        off["int8"] = float((small.features(shown) - wanted).abs().max() / wanted.abs().max())
    taken: dict[str, dict[str, list[float]]] = {wish: {} for wish in ("eager", *off)}

    def note(wish: str, what: str, value: float, number: int) -> None:
        if number:  # the first round warms up
            taken[wish].setdefault(what, []).append(value)

    def bare() -> None:
        with torch.inference_mode():
            for images in parts:
                eager(images)

    with tempfile.TemporaryDirectory() as room:
        disk = FeatureCache(Path(room))
        written = KeptFeatures(volume, bundle, disk=disk)
        predict(volume, bundle, kept=written, device="cpu", engine="torch")
        written.write()
        for number in range(rounds + 1):
            note("eager", "whole", seconds(bare), number)
            for wish, engine in engines.items():
                kept = KeptFeatures(volume, bundle)
                kept.look()
                with one_thread(engine.runner.alone):  # as a run has it
                    note(wish, "bare one", seconds(lambda e=engine: e.features(one)), number)
                note(wish, "first", seconds(lambda w=wish, k=kept: first_slice(volume, bundle, k, w)), number)
                with one_thread(engine.runner.alone):
                    note(wish, "bare", seconds(lambda e=engine: [e.features(x) for x in parts]), number)
                kept = KeptFeatures(volume, bundle)
                kept.look()
                note(
                    wish,
                    "whole",
                    seconds(
                        lambda w=wish, k=kept: predict(
                            volume,
                            bundle,
                            kept=k,
                            start=middle,
                            partial=lambda make: None,
                            engine=w,
                            device="cpu",
                        )
                    ),
                    number,
                )
            if small is not None:
                with one_thread():
                    note("int8", "bare", seconds(lambda: [small.features(x) for x in parts]), number)
            again = KeptFeatures(replace(volume), bundle, disk=disk)
            note(
                "torch",
                "again",
                seconds(lambda k=again: predict(k.volume, bundle, kept=k, device="cpu")),
                number,
            )
            maps = KeptFeatures(replace(volume), bundle, disk=disk)
            note(
                "torch",
                "maps",
                seconds(lambda k=maps: predict(k.volume, bundle, kept=k, with_maps=True, device="cpu")),
                number,
            )
            assert maps.complete and not again.known.any()
    return taken, off


def ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def verdict(value: float, goal: float, most: bool = True) -> str:
    return "met" if (value <= goal if most else value >= goal) else "NOT met"


def report(names: tuple[str, ...], rounds: int, slices: int, side: int) -> str:
    """Run everything and give the section of RESULTS.md."""
    volume = make_phantom(PhantomSpec(kind="nme", seed=101, shape=(slices, side, side), n_phases=4)).volume
    lines = [
        "## Inference that keeps up",
        "",
        f"{slices} slices of {side} × {side}, batches of {BATCH}, {torch.get_num_threads()} thread(s), random weights, "
        f"medians of {rounds} interleaved rounds. First slice: from the call until the slice in view is explained, over "
        "one bare call of the backbone with one slice. Volume: all slices prepared and explained, over the backbone "
        "alone on images that are prepared already, in the same engine. Speed: eager channels-last torch over the "
        "backbone in this engine. Off: the largest difference of a feature from torch's, as a part of the largest.",
        "",
        "| model | engine | ms a slice | first slice | volume | speed | off |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    said = []
    for name in names:
        taken, off = measure(name, volume, rounds)
        best = 0.0
        for wish, found in taken.items():
            if wish == "eager":
                continue
            if wish == "int8":
                speed = ratio(taken["eager"]["whole"], found["bare"])
                lines.append(
                    f"| {name} | openvino, int8 | {1000 * statistics.median(found['bare']) / slices:.1f} | | | "
                    f"{speed:.2f} | {off[wish]:.0e} |"
                )
                said.append(
                    f"{name}: int8 {speed:.2f} × eager torch, at least {FASTER_INT8}: "
                    f"{verdict(speed, FASTER_INT8, most=False)}"
                )
                continue
            first, whole = ratio(found["first"], found["bare one"]), ratio(found["whole"], found["bare"])
            speed = ratio(taken["eager"]["whole"], found["bare"])
            best = max(best, speed)
            lines.append(
                f"| {name} | {wish} | {1000 * statistics.median(found['bare']) / slices:.1f} | {first:.2f} | "
                f"{whole:.2f} | {speed:.2f} | {off[wish]:.0e} |"
            )
            said.append(
                f"{name}, {wish}: first slice {verdict(first, GOAL_FIRST)}, volume {verdict(whole, GOAL_WHOLE)}"
            )
        again, maps = (ratio(taken["torch"][what], taken["torch"]["whole"]) for what in ("again", "maps"))
        goal = FASTER.get(name, FASTER_OTHERS)
        said.append(
            f"{name}: opened again {again:.1%} of computing: {verdict(again, GOAL_AGAIN)} (with the feature maps into "
            f"memory {maps:.1%}); the fastest engine {best:.2f} × eager torch, at least {goal}: "
            f"{verdict(best, goal, most=False)}"
        )
    load = " / ".join(f"{one:.1f}" for one in os.getloadavg())
    names_of = ", ".join(f"{one} {version(one)}" for one in ("torch", *installed()))
    lines += [
        "",
        f"Goals: first slice below {GOAL_FIRST}, volume below {GOAL_WHOLE:.2f}, opened again below {GOAL_AGAIN:.0%} of "
        "computing with torch.",
        "",
        *(f"- {one}." for one in said),
        "",
        f"Machine: {platform.machine()} {platform.system()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, {names_of}; load average at the end {load}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--slices", type=int, default=48)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        os.environ["NAPARI_BREAST_AI_CACHE"] = place
        section = report(tuple(given.models), given.rounds, given.slices, given.side)
    print(section)
    if given.write:
        results.write("bench_inference", section)


if __name__ == "__main__":
    main()
