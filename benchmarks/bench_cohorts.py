"""M1 and M2 on phantom cohorts of the published sizes, through the command line to the report.

    python benchmarks/bench_cohorts.py --data FOLDER --out DIR [--write]

FOLDER holds `weights` (default: NBAI_DATA, else shared/data beside the checkout); DIR keeps cohorts, runs and
reports, and what is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import results

from napari_breast_ai.cli import main as command
from napari_breast_ai.phantom.cohorts import FIVE, MOTION_MM, CohortDesign
from napari_breast_ai.training.comparison import compare
from napari_breast_ai.training.metrics import CHALLENGE_WEIGHTS, challenge_score
from napari_breast_ai.training.records import read_run

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = "weights/squeezenet1_1_imagenet_caffe.fp16.safetensors"
LOW, HIGH = 0.75, 0.95

PICTURE = ("--set", "preparation.source.kind=picture")
PUBLISHED = {
    "D1": ("data set 1, second post-contrast phase", "phase", (0.997, 0.984), (0.870, 0.811)),
    "D2": ("data set 2, subtraction", "subtraction", (0.998, 0.978), (0.807, 0.704)),
}
CHALLENGE = {
    "malignancy": 0.869,
    "normal": 0.728,
    "other benign": 0.659,
    "IDC": 0.805,
    "other malignant": 0.761,
}


def run(words: list[str]) -> None:
    """Run a command as a person does."""
    if code := command([*words, "--quiet"]):
        raise SystemExit(code)


def cohort(kind: str, out: Path, workers: int) -> tuple[Path, dict[str, Any]]:
    """The cohort's table and what is written about it; made where it is not there."""
    folder = out / kind
    if not (folder / "cohort.json").is_file():
        run(["phantom-cohort", str(folder), "--kind", kind, "--workers", str(workers)])
    about: dict[str, Any] = json.loads((folder / "cohort.json").read_text(encoding="utf-8"))
    about["megabytes"] = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
    return folder / "cohort.csv", about


def trained(
    table: Path, kind: str, recipe: str, weights: Path | str, out: Path, threads: int, more: tuple[str, ...]
) -> tuple[dict[str, Any], float]:
    """The run's evaluation, and how long it took."""
    begin = time.perf_counter()
    if not (out / "bundle" / "config.json").is_file():
        labels = [word for label in CohortDesign(kind).labels for word in ("--label", label)]  # type: ignore[arg-type]
        words = ["train", str(table), *labels, "--recipe", recipe, "--weights", str(weights), *more]
        run([*words, "--threads", str(threads), "--out", str(out), "--cache", str(out.parent / "cache")])
    log = json.loads((out / "run.json").read_text(encoding="utf-8"))
    evaluation: dict[str, Any] = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    return evaluation, float(log.get("seconds", time.perf_counter() - begin))


def shown(one: dict[str, Any]) -> str:
    """A figure with its interval."""
    return f"{one['value']:.3f} ({one['low']:.3f}-{one['high']:.3f})"


def outside(figures: dict[str, float]) -> str:
    """Which AUCs miss the range that the phantoms are meant for."""
    missed = [f"{name} {value:.3f}" for name, value in figures.items() if not LOW <= value <= HIGH]
    return f"Outside {LOW} to {HIGH}: {', '.join(missed) or 'none'}."


def first(out: Path, weights: Path, given: argparse.Namespace) -> list[str]:
    """M1."""
    areas = {}
    table, about = cohort("m1", out, given.threads)
    lines = [
        f"**M1** (`squeezenet-narrow`, IGM against NME; first 80 % of the patients with 5-fold cross-validation, last "
        f"20 % for the test): {about['design']['patients'] or 63} phantoms, {about['annotated slices']} annotated "
        f"slices, overlap {about['design']['overlap']:g}, {MOTION_MM:g} mm between the phases, "
        f"{about['megabytes']:.0f} MB.",
        "",
        "| | validation AUC per slice | per patient | test AUC per slice | per patient | test accuracy per slice | s |",
        "| --- | --- | --- | --- | --- | --- | ---: |",
    ]
    for name, (what, kind, *_) in PUBLISHED.items():
        evaluation, seconds = trained(
            table, "m1", "squeezenet-narrow", weights, out / f"m1-{name}", given.threads,
            ("--set", f"preparation.source.kind={kind}"),
        )  # fmt: skip
        cells = []
        for part in ("validation", "test"):
            for level in ("slice", "patient"):
                area = evaluation["figures"][part][f"IGM against NME/per {level}/AUC"]
                cells.append(shown(area))
                areas[f"{name} {part} per {level}"] = float(area["value"])
        accuracy = shown(evaluation["figures"]["test"]["IGM against NME/per slice/accuracy"])
        lines.append(f"| {name}: {what} | {' | '.join(cells)} | {accuracy} | {seconds:.0f} |")
    files = [str(out / f"m1-{name}" / "evaluation.json") for name in PUBLISHED]
    run(["report", *files, "--out", str(out / "m1.html")])
    lines += [
        "",
        "IGM has more slices than NME here (its lesions span more of them); the published counts were equal. "
        "13 patients are a small test, and one fit of this head depends on its first weights.",
    ]
    return [*lines, "", outside(areas)]


def second(out: Path, weights: Path, given: argparse.Namespace) -> list[str]:
    """M2."""
    table, about = cohort("m2", out, given.threads)
    lines = [
        f"**M2** (five scores, 3 shuffles × 3-fold): {about['design']['patients'] or 335} pictures of as many phantoms, "
        f"{about['annotated slices']} with a box, overlap {about['design']['overlap']:g}, {about['megabytes']:.0f} MB. "
        "Mean (SD) of the nine runs' AUCs per slice.",
        "",
        f"| | {' | '.join(FIVE)} | weighted score | peak in box | s |",
        f"| --- |{' --- |' * len(FIVE)} --- | --- | ---: |",
    ]
    size = ("--set", "preparation.size=[240, 345]")
    untaught = ("--set", "fit.attention=0", "--set", "name=attention-without-boxes")
    runs: list[tuple[str, str, Path | str, tuple[str, ...]]] = [
        ("attention-squeezenet", "attention-squeezenet", weights, (*PICTURE, *size)),
        ("gap-squeezenet", "gap-squeezenet", weights, (*PICTURE, *size)),
        ("attention-without-boxes", "attention-squeezenet", weights, (*PICTURE, *size, *untaught)),
    ]
    areas = {}
    backbone = "random" if given.resnet is None else given.resnet
    runs += [(name, name, backbone, PICTURE) for name in ("attention-resnet50", "gap-resnet50")]
    runs = [one for one in runs if one[0] not in given.leave_out]
    compared: dict[bool, list[Path]] = {False: [], True: []}
    for name, recipe, file, more in runs:
        evaluation, seconds = trained(table, "m2", recipe, file, out / f"m2-{name}", given.threads, more)
        aucs = {label: [r["figures"][f"{label}/per slice/AUC"] for r in evaluation["runs"]] for label in FIVE}
        scores = [
            challenge_score({x: aucs[x][i] for x in CHALLENGE_WEIGHTS})
            for i in range(len(evaluation["runs"]))
        ]
        cells = [f"{statistics.mean(v):.3f} ({statistics.stdev(v):.3f})" for v in (*aucs.values(), scores)]
        looked = evaluation.get("attention") or {}
        peak = looked.get("peak inside true box")
        shown_name = f"{name}, *random weights*" if file == "random" else name
        where = "" if peak is None else f"{shown(peak)}, by chance {peak['chance']:.3f}"
        lines.append(f"| {shown_name} | {' | '.join(cells)} | {where} | {seconds:.0f} |")
        areas |= {f"{name}, {label}": statistics.mean(found) for label, found in aucs.items()}
        compared["resnet50" in name].append(out / f"m2-{name}" / "evaluation.json")
    own = [f"{CHALLENGE[label]:.3f}" for label in FIVE]
    lines += [f"| *published, on patients* | {' | '.join(own)} | 0.817 | | |", ""]
    for resnet, files in compared.items():
        run(["report", *map(str, files), "--out", str(out / ("m2-resnet50.html" if resnet else "m2.html"))])
    lines += [outside(areas), ""]
    if given.resnet is None:
        lines += [
            "M2's own recipes are `attention-resnet50` and `gap-resnet50`, each question answered by the weights of its "
            "own best epoch. There were no ImageNet weights of ResNet-50 here: its backbone is **random** (seeded) and "
            "frozen, so that those two lines show that the protocol runs as a whole, and not what M2 can do. The others "
            "are the same protocol on frozen ImageNet features of SqueezeNet 1.1, with one set of weights for all "
            "questions.",
            "",
        ]
    for files in compared.values():
        one, two = (json.loads(path.read_text(encoding="utf-8"))["recipe"]["name"] for path in files[:2])
        lines.append(
            f"{one} minus {two}, mean scores of the three shuffles, DeLong's test: {_differences(files[:2])}."
        )
        lines.append("")
    return lines[:-1]


def _differences(files: list[Path]) -> str:
    """Each question's difference of two runs with its p."""
    tests = {one.question: one for one in compare([read_run(path) for path in files]) if one.level == "slice"}
    return ", ".join(
        f"{label} {tests[label].difference.value:+.3f} (p = {test.p:.2g})"
        for label in FIVE
        if (test := tests[label].test) is not None
    )


def report(given: argparse.Namespace) -> str:
    """Run everything and give the section of RESULTS.md."""
    out, weights = given.out, given.data / WEIGHTS
    out.mkdir(parents=True, exist_ok=True)
    return "\n".join(
        [
            "## The published protocols on phantoms",
            "",
            "**Phantoms, not patients: these figures show that the protocols run from cohort to report. They say "
            "nothing about patients, and nothing about how hard the published questions are.** The phantoms' "
            f"overlap and motion were set so that the AUC lies between {LOW} and {HIGH} and not at 1; "
            "where it does not, that is said.",
            "",
            *first(out, weights, given),
            "",
            *second(out, weights, given),
            "",
            f"Machine: {platform.machine()} {platform.system()}, {os.cpu_count()} cores shared with other work, Python "
            f"{platform.python_version()}, torch {version('torch')}.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(os.environ.get("NBAI_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "cohorts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--resnet", type=Path, metavar="FILE", help="ImageNet weights of ResNet-50; without them random ones"
    )
    parser.add_argument(
        "--leave-out",
        nargs="*",
        default=[],
        metavar="RUN",
        choices=["attention-without-boxes"],
        help="of M2's runs",
    )
    parser.add_argument("--write", action="store_true", help="put the section into RESULTS.md")
    given = parser.parse_args()
    section = report(given)
    print(section)
    if given.write:
        results.write("bench_cohorts", section)


if __name__ == "__main__":
    main()
