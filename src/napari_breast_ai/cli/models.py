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
        "--top", type=count, default=3, metavar="N", help="overlays of the N top slices (default 3)"
    )
    add_times(predict)

    commands.add("models", _models, "list the models and recipes")


def _predict(arguments: argparse.Namespace, progress: Progress) -> None:
    """Score and explain the slices of a study."""
    from ..annotations import read_boxes
    from ..inference import predict, write_prediction
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
        progress=progress,
    )
    written = write_prediction(prediction, volume, out, top=arguments.top, boxes=boxes)
    say_prediction(prediction, volume)
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
