"""Take the documentation's pictures anew: `make screenshots`. All of them show synthetic studies."""

from __future__ import annotations

from pathlib import Path

from napari_breast_ai.inference import predict
from napari_breast_ai.models import load_bundle
from napari_breast_ai.phantom import PhantomSpec, make_phantom
from napari_breast_ai.viewer.launch import show

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
MODEL = "demo-attention-squeezenet"
PICTURES = {"review.png": ("nme", 6), "review-igm.png": ("igm", 13)}


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


if __name__ == "__main__":
    main()
