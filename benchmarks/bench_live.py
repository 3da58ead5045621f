"""Live attention: what two boxes teach, and how long a box takes to reach the heat map.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/bench_live.py [--data FOLDER] [--write]

FOLDER holds `weights` (default: NBAI_DATA, else shared/data beside the checkout). Phantoms that no model was trained
on; two slices of each lesion are boxed, the others judge. The times are those of a window: from the moment the journal
has the box until the picture with the new heat map has come on the screen; 120 slices, features of SqueezeNet and of
ResNet-50 (random weights: only the time is looked at), alone and with forty other boxed cases in memory.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import warnings
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import results

os.environ.setdefault("NAPARI_ASYNC", "0")

import numpy as np
import torch

from napari_breast_ai.core import ModelRef
from napari_breast_ai.inference import KeptFeatures, predict
from napari_breast_ai.models import RECIPES, Bundle, build, for_weights, load_bundle
from napari_breast_ai.phantom import PhantomSpec, make_phantom
from napari_breast_ai.training.lessons import Lesson, lesson_of
from napari_breast_ai.training.live import LiveAttention
from napari_breast_ai.training.localisation import pointing_game

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = "weights/squeezenet1_1_imagenet_caffe.fp16.safetensors"
SEEDS = range(101, 117)
SHAPE = (120, 256, 256)
GOAL_S = 1.0


def bundle_of(recipe: str, weights: str | Path) -> Bundle:
    """A bundle in memory, with a random pooling and head."""
    torch.manual_seed(0)
    spec = for_weights(RECIPES[recipe], weights)
    model = build(spec, weights)
    return Bundle(ModelRef(recipe, "0" * 64), model.spec, model, "", {}, Path(recipe))


def taught(bundle: Bundle, own: bool) -> tuple[str, float, float, float, int]:
    """Peaks in the box on slices without one, before and after two boxes, and by chance."""
    from napari_breast_ai.models.pooling import AveragePooling

    pooling = bundle.model.pooling if own else AveragePooling()
    before = after = chance = 0.0
    total = 0
    for seed in SEEDS:
        phantom = make_phantom(PhantomSpec(kind=("igm", "nme")[seed % 2], seed=seed))
        kept = KeptFeatures(phantom.volume, bundle)
        found = predict(phantom.volume, bundle, kept=kept)
        boxes = phantom.truth.boxes
        slices = sorted({box.z for box in boxes})
        if len(slices) < 4:
            continue
        shown = {slices[len(slices) // 3], slices[2 * len(slices) // 3]}
        rest = [z for z in slices if z not in shown]
        truth = [[box for box in boxes if box.z == z] for z in rest]
        image = phantom.volume.geometry.shape[1:]
        live = LiveAttention(kept.maps, pooling, found.covered)
        for given in (False, True):
            maps = live.fit([box for box in boxes if box.z in shown] if given else ()).attention
            game = pointing_game(maps[rest], truth, image)
            hits = game.hits.value * len(rest)
            before, after = (before, after + hits) if given else (before + hits, after)
        chance += game.chance * len(rest)
        total += len(rest)
    return bundle.ref.name, before / total, after / total, chance / total, total


def lessons_of(bundle: Bundle, cases: int) -> tuple[Lesson, ...]:
    """So many boxed cases of up to ten slices: eight phantoms, each as five cases."""
    found = []
    for seed in range(8):
        phantom = make_phantom(PhantomSpec(kind=("igm", "nme")[seed % 2], seed=500 + seed))
        chosen = sorted({box.z for box in phantom.truth.boxes})[:10]
        boxes = [box for box in phantom.truth.boxes if box.z in chosen]
        found.append(lesson_of(phantom.volume, bundle, boxes, ()))
    return tuple(replace(found[number % 8], study_uid=f"9.{number}") for number in range(cases))


def times(bundle: Bundle, rounds: int, others: int = 0) -> list[float]:
    """Seconds from a box in the journal to its heat map on the screen, in a window of 1600 × 1000; with so many other
    boxed cases that teach along."""
    import napari
    from hand import Hand

    from napari_breast_ai.core import Box
    from napari_breast_ai.viewer import tasks
    from napari_breast_ai.viewer.session import get_session

    viewer = napari.Viewer(title=f"bench live {bundle.ref.name}")
    viewer.window.resize(1600, 1000)
    session = get_session(viewer, "bench")
    viewer.window.add_plugin_dock_widget("napari-breast-ai", "Annotate")
    hand = Hand(viewer)
    # A woman of its own for each model: the boxes of a window before must not teach this one.
    seed = 101 + others + bundle.spec.backbone.channels
    phantom = make_phantom(PhantomSpec(kind="nme", seed=seed, shape=SHAPE, n_phases=3))
    session.show_study(phantom.volume)
    session.set_bundle(bundle)
    tasks.run_model(session)
    while session.workers.busy is not None:  # ResNet-50 takes its time for 120 slices
        hand.wait(0.1)
    assert session.prediction is not None
    session.live.switch(True)
    if others:
        session.live.all_cases = True
        session.live.others.lessons = lessons_of(bundle, others)
    dice = np.random.default_rng(0)
    found: list[float] = []
    assert session.journal is not None
    session.go_to(60)
    for number in range(rounds + 1):
        y, x = dice.uniform(40, 160, 2)
        box = Box(60 + number, y, x, y + 40, x + 40, "NME")
        journal = session.journal
        wanted = len(journal.boxes) + 1

        def there(wanted: int = wanted) -> bool:
            return session.live.fit is not None and len(session.live.fit.taught) == wanted

        session.go_to(60 + number)
        hand.wait(0.2)
        _, taken = hand.timed(lambda box=box, journal=journal: journal.add(box), there, "the new heat map")
        # The first one makes the learner.
        if number:
            found.append(taken)
    session.shut_down()
    viewer.close()
    return found


def report(data: Path, rounds: int) -> str:
    """Run everything and give the section of RESULTS.md."""
    squeeze = bundle_of("attention-squeezenet", data / WEIGHTS)
    resnet = bundle_of("attention-resnet50", "random")
    demo = load_bundle("demo-attention-squeezenet")
    lines = [
        "## Live attention",
        "",
        f"Phantoms with the seeds {SEEDS.start} to {SEEDS.stop - 1}, which no model was trained on. Two slices of each "
        "lesion are boxed; the peak of the attention on the lesion's other slices lies in the true box:",
        "",
        "| model | before | after two boxes | by chance | slices |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for what, bundle, own in (
        ("demonstration model", demo, True),
        ("ImageNet's SqueezeNet without an attention of its own", squeeze, False),
    ):
        _, before, after, chance, total = taught(bundle, own)
        lines.append(f"| {what} | {before:.1%} | {after:.1%} | {chance:.1%} | {total} |")
    lines += [
        "",
        f"From a box in the journal to the new heat map on the screen, {SHAPE[0]} slices, {rounds} boxes one after the "
        "other, median / longest:",
        "",
        "| features | cells × channels | seconds | goal |",
        "| --- | --- | ---: | --- |",
    ]
    for name, bundle, size, others in (
        ("SqueezeNet 1.1", squeeze, "14 × 14 × 512", 0),
        ("ResNet-50 (random weights)", resnet, "8 × 11 × 2048", 0),
        ("SqueezeNet 1.1, with 40 other cases", squeeze, "14 × 14 × 512", 40),
        ("ResNet-50, with 40 other cases", resnet, "8 × 11 × 2048", 40),
    ):
        taken = times(bundle, rounds, others)
        verdict = "met" if statistics.median(taken) < GOAL_S else "NOT met"
        lines.append(
            f"| {name} | {size} | {statistics.median(taken):.2f} / {max(taken):.2f} | below {GOAL_S:.0f} s: {verdict} |"
        )
    load = " / ".join(f"{one:.1f}" for one in os.getloadavg())
    lines += [
        "",
        f"Machine: {platform.machine()} {platform.system()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, torch {version('torch')}, napari {version('napari')}, drawn in software; load "
        f"average at the end {load}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(os.environ.get("NBAI_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        os.environ["NAPARI_BREAST_AI_CACHE"] = "off"
        os.environ["NAPARI_BREAST_AI_DATA"] = place
        section = report(given.data, given.rounds)
    print(section)
    if given.write:
        results.write("bench_live", section)


if __name__ == "__main__":
    main()
