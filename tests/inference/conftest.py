"""A small study and small models, built once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_breast_ai.core import DceVolume, Geometry, Identity, PhaseTimes
from napari_breast_ai.models import RECIPES, BackboneSpec, build, load_bundle, save_bundle
from napari_breast_ai.models.bundle import Bundle

INTERVAL_S = 60.0


def make_volume(slices: int = 5, rows: int = 40, columns: int = 64, phases: int = 4) -> DceVolume:
    """An ellipse of tissue in noisy air, with a bright spot that takes up contrast after phase 0."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:rows, :columns]
    body = ((y - rows / 2) / (0.4 * rows)) ** 2 + ((x - columns / 2) / (0.4 * columns)) ** 2 < 1
    data = rng.normal(6, 2, (phases, slices, rows, columns)) + 300 * body
    for z in range(slices):
        spot = (y - rows / 2) ** 2 + (x - columns / 2 + z) ** 2 < 16
        data[1:, z] += 500 * spot
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 0.8], [0, 1.2, 0], [3.0, 0, 0]])
    affine[:3, 3] = (-20, 5, 40)
    return DceVolume(
        data.clip(0, 4000).astype(np.uint16),
        Geometry((slices, rows, columns), (3.0, 1.2, 0.8), affine),
        PhaseTimes(tuple(INTERVAL_S * i for i in range(phases)), ("AcquisitionTime",) * phases),
        Identity("1.2.3", ("1.2.3.4",), "1.2.9", synthetic=True),
        warnings=("A warning of the study.",),
    )


@pytest.fixture(scope="session")
def volume() -> DceVolume:
    return make_volume()


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """`bundles("gated")` has attention and a gate; `bundles("plain")` has neither."""
    made: dict[str, Bundle] = {}
    folder: Path = tmp_path_factory.mktemp("bundles")

    def get(name: str) -> Bundle:
        if name not in made:
            spec = RECIPES["attention-squeezenet" if name == "gated" else "squeezenet-narrow"]
            spec = replace(
                spec,
                name=name,
                preparation=replace(spec.preparation, size=(64, 96), mode="plain"),
                backbone=BackboneSpec("squeezenet1_1", "features"),
            )
            torch.manual_seed(4)
            made[name] = load_bundle(save_bundle(folder / name, build(spec), card=name, evaluation={}))
        return made[name]

    return get
