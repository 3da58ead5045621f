"""What training reaches on real ultrasound images, and how long the narrow head takes.

    python benchmarks/bench_train.py --data FOLDER [--write]

FOLDER holds `busi_odd` and `weights` (default: NBAI_DATA, else shared/data beside the checkout).
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import statistics
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.sparse.csgraph import connected_components

from napari_breast_ai.models import RECIPES, HeadSpec, NarrowHead
from napari_breast_ai.models.heads import make_head
from napari_breast_ai.training.features import FeatureCache
from napari_breast_ai.training.judge import averaged
from napari_breast_ai.training.metrics import delong_test
from napari_breast_ai.training.narrow import fit_narrow
from napari_breast_ai.training.recipe import read_recipe
from napari_breast_ai.training.table import ask, read_cohort
from napari_breast_ai.training.train import Features, Trained, train

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
BEGIN, END = "<!-- bench_train: begin -->", "<!-- bench_train: end -->"
WEIGHTS = "weights/squeezenet1_1_imagenet_caffe.fp16.safetensors"
ALIKE = 0.95
"""Two images whose 32 × 32 thumbnails correlate above this show the same lesion, or the same scan."""

PICTURE = "preparation.source.kind=picture"
RUNS = {
    "squeezenet-narrow (M1's head)": ("squeezenet-narrow", []),
    "squeezenet-ridge": ("squeezenet-ridge", []),
    "gap-squeezenet (SGD)": ("gap-squeezenet", []),
    "attention-squeezenet (SGD)": ("attention-squeezenet", []),
}
GOALS = {"squeezenet-narrow (M1's head)": 0.88, "squeezenet-ridge": 0.92}


def make_table(data: Path, out: Path) -> str:
    """Write the cohort table, one patient per cluster of alike images; what was found, in sentences."""
    with (data / "busi_odd" / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] != "normal"]
    thumbs = []
    for row in rows:
        with Image.open(data / "busi_odd" / "images" / row["file"]) as image:
            small = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BILINEAR), float).ravel()
        thumbs.append((small - small.mean()) / small.std())
    alike = np.array(thumbs) @ np.array(thumbs).T / len(thumbs[0])
    count, cluster = connected_components(alike > ALIKE)
    members = [np.flatnonzero(cluster == k) for k in range(count)]
    torn = {k for k in range(count) if len({rows[i]["label"] for i in members[k]}) > 1}
    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        boxes = ("box_y0", "box_x0", "box_y1", "box_x1")
        writer.writerow(["case_id", "patient_id", "path", "label", *boxes])
        for row, k in zip(rows, cluster, strict=True):
            if k not in torn:
                path = data / "busi_odd" / "images" / row["file"]
                writer.writerow(
                    [row["file"], f"p{k}", path.resolve(), row["label"], *(row[b] for b in boxes)]
                )
    pairs = int((np.triu(alike, 1) > ALIKE).sum())
    left_out = sum(len(members[k]) for k in torn)
    return (
        f"{len(rows)} images with a lesion; {pairs} pairs are near-duplicates (thumbnails correlate above {ALIKE}), so "
        f"each of {count} clusters of alike images is a patient. {len(torn)} clusters hold both benign and malignant "
        f"images, one pair of them equal in every pixel: their {left_out} images are left out. Left: "
        f"{len(rows) - left_out} images of {count - len(torn)} patients. The data tell no patients of their own."
    )


def image_scores(trained: Trained) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Held-out scores of every image, the truth, and the images, in one order."""
    rows = sorted(averaged(trained.slices), key=lambda row: row.case_id)
    return (
        np.array([row.scores["malignant"] for row in rows]),
        np.array([row.truth["label"] == "malignant" for row in rows]),
        [row.case_id for row in rows],
    )


def fold_ranks(trained: Trained) -> float:
    """Mean AUC of single folds: scores of different folds' heads need not be on one scale."""
    return statistics.mean(
        run["figures"]["malignant against benign/per slice/AUC"] for run in trained.evaluation["runs"]
    )


def head_times(vectors: torch.Tensor, malignant: np.ndarray, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of our narrow fit and of scikit-learn's network of the same size, on the same features."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    ours, theirs = [], []
    classes = torch.from_numpy(malignant.astype(np.int64))
    inputs = vectors.numpy().astype(np.float64)
    inputs = (inputs - inputs.mean(0)) / np.where(inputs.std(0) > 1e-6, inputs.std(0), 1)
    groups = RECIPES["squeezenet-narrow"].groups
    for number in range(rounds + 1):
        head = make_head(HeadSpec("narrow", 10), vectors.shape[1], 2)
        assert isinstance(head, NarrowHead)
        begin = time.perf_counter()
        fit_narrow(head, vectors, {groups[0].name: classes}, groups, seed=number)
        middle = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            MLPClassifier((10,), solver="lbfgs", alpha=0, max_iter=1000, tol=1e-6, random_state=number).fit(
                inputs, malignant
            )
        if number:
            ours.append(middle - begin)
            theirs.append(time.perf_counter() - middle)
    return ours, theirs


def report(data: Path, rounds: int) -> str:
    """Run everything and give the section of RESULTS.md."""
    with tempfile.TemporaryDirectory() as room:
        table = Path(room) / "busi.csv"
        found = make_table(data, table)
        cohort = read_cohort(table)
        questions = ask(cohort, ["label=malignant,benign"])
        cache = FeatureCache(Path(room) / "cache")
        lines = [
            "## Training on real images",
            "",
            f"Breast ultrasound (BUSI, odd numbers), malignant against benign. {found}",
            "",
            "5-fold cross-validation by patient, stratified, seed 0; ImageNet SqueezeNet 1.1, frozen. AUC per image "
            "with DeLong's interval where each image is a patient, else a bootstrap over patients.",
            "",
            "| recipe | AUC per image | mean of the folds | AUC per patient | seconds | goal |",
            "| --- | --- | ---: | --- | ---: | --- |",
        ]
        done: dict[str, Trained] = {}
        for name, (recipe_name, changes) in RUNS.items():
            recipe = read_recipe(
                recipe_name,
                [PICTURE, "preparation.size=[227, 227]", "protocol.kind=kfold", "protocol.folds=5", *changes],
            )
            begin = time.perf_counter()
            one = done[name] = train(cohort, questions, recipe, data / WEIGHTS, cache=cache)
            seconds = time.perf_counter() - begin
            figures = one.evaluation["figures"]["validation"]
            image, patient = (figures[f"malignant against benign/per {w}/AUC"] for w in ("slice", "patient"))
            goal = GOALS.get(name)
            verdict = "" if goal is None else f"{goal}: {'met' if image['value'] >= goal else 'NOT met'}"
            lines.append(
                f"| {name} | {image['value']:.3f} ({image['low']:.3f}-{image['high']:.3f}) | {fold_ranks(one):.3f} | "
                f"{patient['value']:.3f} ({patient['low']:.3f}-{patient['high']:.3f}) | {seconds:.0f} | {verdict} |"
            )
        lines += ["", *compare(done), "", head_lines(cohort, questions, data, cache, rounds)]
    lines += [
        "",
        f"Machine: {platform.machine()} {platform.system()}, {os.cpu_count()} cores shared with other work, Python "
        f"{platform.python_version()}, "
        + ", ".join(f"{package} {version(package)}" for package in ("torch", "scikit-learn"))
        + ".",
    ]
    return "\n".join(lines)


def compare(done: dict[str, Trained]) -> list[str]:
    """Attention against plain pooling on the same folds, and where the attention looked."""
    gap, attention = done["gap-squeezenet (SGD)"], done["attention-squeezenet (SGD)"]
    plain, truth, cases = image_scores(gap)
    taught, same, others = image_scores(attention)
    assert cases == others and (truth == same).all()
    test = delong_test(taught, plain, truth)
    looked = attention.evaluation["attention"]
    peak, cell = looked["peak inside true box"], looked["largest cell touches true box"]
    return [
        f"Attention against plain pooling, same folds: AUC {test.first:.3f} against {test.second:.3f}, difference "
        f"{test.first - test.second:+.3f}, DeLong's p = {test.p:.2g} (images taken as independent).",
        f"The attention's peak lies inside the lesion's box on {peak['value']:.1%} ({peak['low']:.1%}-"
        f"{peak['high']:.1%}) of {peak['n']} held-out images, by chance on {peak['chance']:.1%}; its largest cell "
        f"touches the box on {cell['value']:.1%}, by chance on {cell['chance']:.1%}.",
    ]


def head_lines(cohort, questions, data: Path, cache: FeatureCache, rounds: int) -> str:  # type: ignore[no-untyped-def]
    """The narrow head's time against scikit-learn's."""
    from napari_breast_ai.core import silent
    from napari_breast_ai.models import build, for_weights
    from napari_breast_ai.training.gather import examples_from

    recipe = read_recipe("squeezenet-narrow", [PICTURE])
    spec = for_weights(recipe.spec(tuple(q.group for q in questions)), data / WEIGHTS)
    examples, _ = examples_from(cohort, questions, spec.preparation)
    features = Features.of(build(spec, data / WEIGHTS), examples, recipe, cache, silent)
    malignant = np.array([label == "malignant" for label in examples.labels["label"]])
    ours, theirs = head_times(features.plain[:, :, 0, 0], malignant, rounds)
    return (
        f"Narrow head, 1000 features, {len(malignant)} images, 10 units, L-BFGS in double precision: ours "
        f"{statistics.median(ours):.2f} s, scikit-learn's MLPClassifier {statistics.median(theirs):.2f} s (median of "
        f"{rounds}, interleaved; {statistics.median(t / o for o, t in zip(ours, theirs, strict=True)):.1f} × ours)."
    )


def write(section: str) -> None:
    """Put the section between its marks in RESULTS.md."""
    text = RESULTS.read_text(encoding="utf-8")
    block = f"{BEGIN}\n{section}\n{END}"
    if BEGIN in text and END in text:
        text = text[: text.index(BEGIN)] + block + text[text.index(END) + len(END) :]
    else:
        text = f"{text.rstrip()}\n\n{block}\n"
    RESULTS.write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(os.environ.get("NBAI_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--rounds", type=int, default=5, help="timings of the narrow head (default 5)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    section = report(given.data, given.rounds)
    print(section)
    if given.write:
        write(section)


if __name__ == "__main__":
    main()
