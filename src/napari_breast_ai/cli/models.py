"""Commands about models: run one on a study, list them."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..core import Progress
from .common import Commands, add_times, output_folder
from .console import say_prediction
from .values import count, slice_list


def register(commands: Commands) -> None:
    """Add `predict` and `models`."""
    predict = commands.add("predict", _predict, "score and explain a study without a window")
    predict.add_argument("path", type=Path)
    predict.add_argument("--model", required=True, help="a bundle's name (see `models`) or folder")
    predict.add_argument("--out", type=Path, required=True, metavar="DIR")
    predict.add_argument(
        "--boxes", type=Path, metavar="FILE", help="boxes of the case: a journal or a JSON list"
    )
    predict.add_argument("--slices", type=slice_list, metavar="LIST", help="such as 3,5,10-12; default: all")
    predict.add_argument("--device", choices=("cpu", "cuda", "mps"), help="default: the best that is present")
    predict.add_argument(
        "--engine",
        default="auto",
        metavar="NAME",
        help="auto (the fastest that is installed and agrees with torch; the default), torch, openvino, onnxruntime, or "
        "fast (8 bits, for bundles that say what this costs)",
    )
    predict.add_argument(
        "--top", type=count, default=3, metavar="N", help="overlays of the N top slices (default 3)"
    )
    predict.add_argument(
        "--report", action="store_true", help="write a report of the case too (case-report.html and .pdf)"
    )
    add_times(predict)

    commands.add("models", _models, "list the models and recipes")


def _predict(arguments: argparse.Namespace, progress: Progress) -> None:
    """Score and explain the slices of a study."""
    from ..annotations import read_boxes
    from ..inference import predict, write_prediction
    from ..inference.in_range import check_range
    from ..models import load_bundle
    from ..study import read_study

    boxes = read_boxes(arguments.boxes) if arguments.boxes else ()
    bundle = load_bundle(arguments.model)
    out = output_folder(arguments.out)
    volume = read_study(arguments.path, progress, arguments.times)
    prediction = predict(
        volume,
        bundle,
        slices=arguments.slices,
        boxes=boxes or None,
        device=arguments.device,
        engine=arguments.engine,
        progress=progress,
    )
    ranged = check_range(volume, bundle.spec.preparation, bundle.ranges)
    written = write_prediction(prediction, volume, out, top=arguments.top, boxes=boxes, ranged=ranged)
    if arguments.report:
        from ..inference.case_page import write_case_page
        from ..inference.case_report import case_report
        from ..inference.case_sheet import write_case_sheet

        report = case_report(volume, boxes, prediction, bundle, doubts=ranged.doubts)
        written += (
            write_case_page(report, out / "case-report.html"), write_case_sheet(report, out / "case-report.pdf"),
        )  # fmt: skip
    say_prediction(prediction, volume)
    if ranged.outside:
        print(
            "This study is outside what the model was trained on; do not take its probabilities as certain:"
        )
        for finding in ranged.findings:
            print(f"  {finding.text}")
    print(f"Wrote {', '.join(path.name for path in written)} to {arguments.out}.")


def _models(arguments: argparse.Namespace, progress: Progress) -> None:
    """List the models that can be named, and the recipes they are made by."""
    from ..models import RECIPES, list_bundles

    bundles = list_bundles()
    print("Bundles (predict --model NAME, or a bundle's folder):")
    for bundle in bundles:
        print(f"  {bundle.name}: {bundle.summary}")
    if not bundles:
        print("  none")
    print("Recipes:")
    for name in RECIPES:
        print(f"  {name}")
