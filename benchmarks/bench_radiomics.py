"""What radiomics, a frozen backbone's vectors and both together reach on real ultrasound images.

    python benchmarks/bench_radiomics.py --data FOLDER [--cache FOLDER] [--write]

FOLDER holds `busi_odd` and `weights` (default: NBAI_DATA, else shared/data beside the checkout). The images come with
no clinical values: what those add cannot be measured here.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import results
import torch
from bench_train import PICTURE, WEIGHTS, image_scores, make_table

from napari_breast_ai.inference import FeatureCache
from napari_breast_ai.inference.radiomics import feature_names
from napari_breast_ai.training.metrics import auc, delong_test
from napari_breast_ai.training.recipe import read_recipe
from napari_breast_ai.training.table import Cohort, Question, ask, read_cohort
from napari_breast_ai.training.table_data import rows_from
from napari_breast_ai.training.table_recipe import TableRecipe
from napari_breast_ai.training.table_train import wanted_of
from napari_breast_ai.training.train import Trained, train

ROOT = Path(__file__).resolve().parents[1]

MASKS = "radiomics.region=masks"
RUNS = {
    "radiomics, boxes": ("radiomics", []),
    "radiomics, masks": ("radiomics", [MASKS]),
    "radiomics, masks, support vector machine": ("radiomics", [MASKS, "fit.classifier=svm"]),
    "radiomics, masks, random forest": ("radiomics", [MASKS, "fit.classifier=forest", "fit.keep=[0]"]),
    "radiomics, masks, without shape": (
        "radiomics",
        [MASKS, "radiomics.families=[stat, ih, glcm, glrlm, glszm, gldzm, ngtdm, ngldm]"],
    ),
    "deep features alone": ("deep-radiomics", ["blocks=[deep]"]),
    "deep and radiomics in boxes, scores averaged": ("deep-radiomics", []),
    "deep and radiomics in masks, scores averaged": ("deep-radiomics", [MASKS]),
    "deep and radiomics in masks, joined": ("deep-radiomics", [MASKS, "combine=early"]),
}
PAIRS = (
    ("radiomics, masks", "radiomics, boxes"),
    ("radiomics, masks, without shape", "radiomics, boxes"),
    ("deep and radiomics in boxes, scores averaged", "deep features alone"),
    ("deep and radiomics in masks, scores averaged", "deep features alone"),
    ("deep and radiomics in masks, scores averaged", "deep and radiomics in masks, joined"),
)


def add_masks(table: Path, data: Path) -> None:
    """Name each image's mask in the table."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "mask"])
        writer.writeheader()
        for row in rows:
            writer.writerow(row | {"mask": (data / "busi_odd" / "masks" / row["case_id"]).resolve()})


def report(data: Path, cache_folder: Path | None) -> str:
    """Run everything and give the section of RESULTS.md."""
    with tempfile.TemporaryDirectory() as room:
        table = Path(room) / "busi.csv"
        make_table(data, table)
        add_masks(table, data)
        cohort = read_cohort(table)
        questions = ask(cohort, ["label=malignant,benign"])
        cache = FeatureCache(cache_folder or Path(room) / "cache")
        done: dict[str, Trained] = {}
        lines = []
        for name, (recipe_name, changes) in RUNS.items():
            recipe = read_recipe(recipe_name, [PICTURE, "protocol.kind=kfold", "protocol.folds=5", *changes])
            begin = time.perf_counter()
            one = done[name] = train(cohort, questions, recipe, data / WEIGHTS, cache=cache)
            seconds = time.perf_counter() - begin
            figures = one.evaluation["figures"]["validation"]
            image, patient = (figures[f"malignant against benign/per {w}/AUC"] for w in ("slice", "patient"))
            chosen = " + ".join(str(part["inputs chosen"]) for part in one.evaluation["inputs"])
            lines.append(
                f"| {name} | {image['value']:.3f} ({image['low']:.3f}-{image['high']:.3f}) | "
                f"{patient['value']:.3f} ({patient['low']:.3f}-{patient['high']:.3f}) | {chosen} | {seconds:.0f} |"
            )
            print(lines[-1], flush=True)
        count = len(done["radiomics, boxes"].slices)
        outline = outline_alone(cohort, questions, cache)
        names = len(feature_names(read_recipe("radiomics").radiomics, True))  # type: ignore[union-attr]
    return "\n".join(
        [
            "## Radiomics on real images",
            "",
            f"The same {count} images, patients and folds as under “Training on real images”: malignant against benign, "
            f"5-fold cross-validation by patient, every choice inside the training patients (4 inner folds). {names} "
            f"radiomics features by mirp {version('mirp')}, within the box or the mask of the image's largest lesion; "
            "deep features are of ImageNet SqueezeNet 1.1, frozen, the whole image. No clinical values come with these "
            "images, so that what those add is not measured.",
            "",
            "| model | AUC per image | AUC per patient | inputs of the final model | seconds |",
            "| --- | --- | --- | ---: | ---: |",
            *lines,
            "",
            *(compare(done, *pair) for pair in PAIRS),
            "",
            "How much the convex hull of an outline adds to it, one number without any fit and without the image, tells "
            f"malignant from benign with an AUC of {outline:.3f}. Malignant lesions are ragged, but these outlines were "
            "drawn by hand, and what the hand knew of the diagnosis may be in them: figures of masks with shape must "
            "not be read as what can be told from images. Those of masks without shape, and of boxes (which lie tightly "
            "round the same masks), lean on the hand less.",
            "",
            "Seconds without those features that an earlier line, or an earlier run with the same cache, computed.",
            "",
            f"Machine: {platform.machine()} {platform.system()}, {os.cpu_count()} cores shared with other work, Python "
            f"{platform.python_version()}, "
            + ", ".join(f"{package} {version(package)}" for package in ("mirp", "scikit-learn", "torch"))
            + ".",
        ]
    )


def outline_alone(cohort: Cohort, questions: Sequence[Question], cache: FeatureCache) -> float:
    """AUC of the mask's convexity alone."""
    recipe = read_recipe("radiomics", [PICTURE, MASKS])
    assert isinstance(recipe, TableRecipe)
    rows, _ = rows_from(cohort, questions, wanted_of(recipe, None), cache=cache)
    at = rows.cases.names["radiomics"].index("morph_area_dens_conv_hull")
    return auc(-rows.cases.numbers["radiomics"][:, at], np.array(rows.labels["label"]) == "malignant")


def compare(done: dict[str, Trained], first: str, second: str) -> str:
    """DeLong's test on the same images."""
    (one, truth, cases), (other, same, others) = (image_scores(done[name]) for name in (first, second))
    assert cases == others and (truth == same).all()
    test = delong_test(one, other, truth)
    return (
        f"“{first}” against “{second}”: AUC {test.first:.3f} against {test.second:.3f}, difference "
        f"{test.first - test.second:+.3f}, DeLong's p = {test.p:.2g} (images taken as independent).  "
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(os.environ.get("NBAI_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--cache", type=Path, help="a folder for features (default: none are kept)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    section = report(given.data, given.cache)
    print(section)
    if given.write:
        results.write("bench_radiomics", section)


if __name__ == "__main__":
    main()
