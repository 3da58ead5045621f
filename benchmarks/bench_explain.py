"""What an explanation costs: our Grad-CAM of every class against the bare backbone and the public packages.

One interleaved run per recipe: every contender is called once per round, in turn, on the same batch with the same
threads, and the table gives the median over the rounds of each round's ratio to the bare forward. So a machine that
slows down slows all of them.

    python benchmarks/bench_explain.py [--rounds 9] [--batch 8] [--threads N] [--write]

`--write` puts the table into RESULTS.md, replacing the one before.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import results
import torch
from torch import nn

from napari_breast_ai.inference import Engine
from napari_breast_ai.models import RECIPES, Composition, build

RECIPE_NAMES = ("squeezenet-narrow", "attention-squeezenet", "attention-resnet50")
GOAL_BARE, GOAL_GRADCAM = 1.10, 3.0

BARE, FOLDED, OURS = "bare backbone", "backbone, batch norms folded", "napari-breast-ai"
PACKAGES = {"grad-cam": "grad-cam", "captum": "captum", "torchcam": "torchcam"}


class Logits(nn.Module):
    """The packages want a model that gives nothing but scores."""

    def __init__(self, model: Composition) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images).logits


def contenders(model: Composition, images: torch.Tensor) -> dict[str, Callable[[], object]]:
    """Name to a call that does the work on `images`, which are channels-last. All but the first two explain."""
    from captum.attr import LayerGradCam
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from torchcam.methods import GradCAM as TorchGradCAM

    labels = range(len(model.spec.labels))
    engine = Engine(model, torch.device("cpu"))
    # Every contender has its own copy, since the packages leave hooks behind. All are channels-last.
    bare, first, second, third = (
        copy.deepcopy(m).to(memory_format=torch.channels_last) for m in (model.backbone, *[Logits(model)] * 3)
    )
    grad_cam = GradCAM(model=first, target_layers=[first.model.backbone])
    captum = LayerGradCam(second, second.model.backbone)
    torchcam = TorchGradCAM(third, target_layer="model.backbone")

    def run_bare() -> object:
        with torch.inference_mode():
            return bare(images)

    def run_torchcam() -> object:
        scores = third(images)
        maps = [
            torchcam(label, scores, normalized=False, retain_graph=label < labels[-1]) for label in labels
        ]
        torchcam.reset_hooks()
        return maps

    def run_grad_cam() -> object:
        maps = [
            grad_cam(input_tensor=images, targets=[ClassifierOutputTarget(label)] * len(images))
            for label in labels
        ]
        # It keeps the last graph, which is gigabytes for a ResNet.
        grad_cam.outputs = None
        return maps

    return {
        BARE: run_bare,
        FOLDED: lambda: engine.features(images),
        OURS: lambda: engine.explain(engine.features(images)),
        "grad-cam": run_grad_cam,
        "captum": lambda: [
            captum.attribute(images, target=label, relu_attributions=True) for label in labels
        ],
        "torchcam": run_torchcam,
    }


def measure(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds per call, `rounds` times, every contender once in each round after one round of warming up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def ratio(seconds: dict[str, list[float]], above: str, below: str) -> float:
    """The median over the rounds of one contender's time over another's in the same round."""
    return statistics.median(a / b for a, b in zip(seconds[above], seconds[below], strict=True))


def check_equal(model: Composition, images: torch.Tensor) -> float:
    """How far our maps are from captum's, relative to their maximum: the contenders must do the same work."""
    from captum.attr import LayerGradCam

    engine = Engine(model, torch.device("cpu"))
    ours = engine.explain(engine.features(images)).gradcam
    wrapped = Logits(copy.deepcopy(model))
    captum = LayerGradCam(wrapped, wrapped.model.backbone)
    worst = 0.0
    for label in range(ours.shape[1]):
        theirs = captum.attribute(images, target=label, relu_attributions=True)[:, 0].detach()
        peak = max(float(theirs.max()), 1e-12)
        worst = max(worst, float((ours[:, label] - theirs).abs().max()) / peak)
    return worst


def report(rounds: int, batch: int) -> str:
    """Run everything and give the section of RESULTS.md."""
    lines = [
        "## Prediction with explanation",
        "",
        f"Batch of {batch}, {torch.get_num_threads()} thread(s), median of {rounds} interleaved rounds; "
        "ratios to the bare backbone forward (channels-last, inference mode) of the same round.",
        "Ours: features, scores, attention and Grad-CAM of every class. The packages: Grad-CAM of every class.",
        "",
        "| recipe | classes | bare forward, ms | "
        + " | ".join([FOLDED, OURS, *PACKAGES])
        + " | grad-cam / ours |",
        "| --- | ---: | ---: | " + "---: | " * (len(PACKAGES) + 2) + "---: |",
    ]
    verdicts = []
    for name in RECIPE_NAMES:
        torch.manual_seed(0)
        model = build(RECIPES[name])
        images = torch.rand(batch, 3, *model.spec.preparation.size).to(memory_format=torch.channels_last)
        off = check_equal(model, images[:1])
        seconds = measure(contenders(model, images), rounds)
        others = {package: ratio(seconds, package, BARE) for package in PACKAGES}
        ours, faster = ratio(seconds, OURS, BARE), ratio(seconds, "grad-cam", OURS)
        ahead = all(ratio(seconds, package, OURS) > 1 for package in PACKAGES)
        met = ours <= GOAL_BARE and faster >= GOAL_GRADCAM and ahead
        cells = [ratio(seconds, FOLDED, BARE), ours, *others.values()]
        lines.append(
            f"| {name} | {len(model.spec.labels)} | {1000 * statistics.median(seconds[BARE]):.1f} | "
            + " | ".join(f"{cell:.2f}" for cell in cells)
            + f" | {faster:.1f} |"
        )
        verdicts.append(f"{name}: {'met' if met else 'NOT met'} (maps within {off:.0e} of captum's, float32)")
    lines += [
        "",
        f"Goals: ours at most {GOAL_BARE:.2f}, at least {GOAL_GRADCAM:.0f} × faster than grad-cam, faster than the "
        "others. " + "; ".join(verdicts) + ".",
        "",
        f"Machine: {platform.machine()} {platform.system()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, "
        + ", ".join(
            f"{package} {version(package)}" for package in ("torch", "torchvision", *PACKAGES.values())
        )
        + ".",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="rounds that count (default 9)")
    parser.add_argument("--batch", type=int, default=8, help="slices at a time (default 8)")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch (default: its own choice)")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    section = report(given.rounds, given.batch)
    print(section)
    if given.write:
        results.write("bench_explain", section)


if __name__ == "__main__":
    main()
