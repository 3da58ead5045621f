"""Take the documentation's pictures anew: `make screenshots`. All of them show synthetic studies."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from napari_breast_ai.annotations import Journal, Placing, journal_path
from napari_breast_ai.annotations.lesions import lesion_of
from napari_breast_ai.annotations.suggest import ENHANCEMENT, from_enhancement, unlike
from napari_breast_ai.inference import predict
from napari_breast_ai.models import load_bundle
from napari_breast_ai.phantom import Phantom, PhantomSpec, make_phantom
from napari_breast_ai.viewer.commands import ANNOTATE
from napari_breast_ai.viewer.launch import show

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
MODEL = "demo-attention-squeezenet"
PICTURES = {"review.png": ("nme", 6), "review-igm.png": ("igm", 13)}
ANNOTATED = ("annotate.png", "igm", 13)


def annotate(phantom: Phantom) -> None:
    """The Annotate dock with the true boxes as a reader's own, one lesion without its last slices, and suggestions."""
    with TemporaryDirectory() as folder:
        os.environ["NAPARI_BREAST_AI_DATA"] = folder
        volume = phantom.volume
        drawn = [replace(box, id="", author="", lesion="") for box in phantom.truth.boxes]
        middle = sorted(box.z for box in drawn)[len(drawn) // 2]
        journal = Journal(
            journal_path(None, volume.identity, "reader-1"), "reader-1", placing=Placing.of(volume)
        )
        for box in drawn:
            if box.z <= middle:
                journal.add(replace(box, lesion=lesion_of(box, journal.boxes)))
        journal.offer(unlike(from_enhancement(volume, drawn[0].label), journal.boxes), ENHANCEMENT)
        show(
            volume,
            reader="reader-1",
            front=ANNOTATE,
            place=middle,
            screenshot=IMAGES / ANNOTATED[0],
            block=False,
        )
    print(f"{ANNOTATED[0]}: {len(journal.boxes)} boxes, {len(journal.offers)} suggestions")


def main() -> None:
    bundle = load_bundle(MODEL)
    for name, (kind, seed) in PICTURES.items():
        phantom = make_phantom(PhantomSpec(kind=kind, seed=seed))
        prediction = predict(phantom.volume, bundle)
        show(
            phantom.volume,
            boxes=phantom.truth.boxes,
            bundle=bundle,
            prediction=prediction,
            screenshot=IMAGES / name,
            block=False,
        )
        print(f"{name}: {kind} {seed}, {prediction.case.probabilities}")
    _, kind, seed = ANNOTATED
    annotate(make_phantom(PhantomSpec(kind=kind, seed=seed)))


if __name__ == "__main__":
    main()
