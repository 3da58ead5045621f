from dataclasses import replace

import numpy as np
import pytest

from napari_breast_ai.core import Box
from napari_breast_ai.models import RECIPES
from napari_breast_ai.training.examples import Examples


def make_examples(patients: int = 6, slices: int = 8, size: int = 64, seed: int = 0) -> Examples:
    """Noise with, on half of the slices of two patients in three, a bright square (IGM) or a bright cross (NME)."""
    rng = np.random.default_rng(seed)
    images, boxes, names, zs = [], [], [], []
    for p in range(patients):
        label = ("IGM", "NME", None)[p % 3]
        for z in range(slices):
            image = rng.integers(0, 60, (size, size))
            found = ()
            if label and z % 2:
                y, x = (int(v) for v in rng.integers(4, size - 24, 2))
                if label == "IGM":
                    image[y : y + 20, x : x + 20] = 240
                else:
                    image[y + 8 : y + 12, x : x + 20] = 240
                    image[y : y + 20, x + 8 : x + 12] = 240
                found = (Box(z, y - 0.5, x - 0.5, y + 19.5, x + 19.5, label),)
            images.append(image)
            boxes.append(found)
            names.append(f"p{p}")
            zs.append(z)
    return Examples(np.array(images, np.uint8)[:, None], tuple(boxes), tuple(names), tuple(zs))


@pytest.fixture(scope="session")
def blobs() -> Examples:
    return make_examples()


@pytest.fixture(scope="session")
def many_blobs() -> Examples:
    """Sixteen patients with a lesion on four slices each."""
    return make_examples(patients=24, seed=2)


@pytest.fixture
def small_spec():
    recipe = RECIPES["attention-squeezenet"]
    return replace(recipe, preparation=replace(recipe.preparation, size=(64, 64), channels=None))
