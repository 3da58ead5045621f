"""Small models, built once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from napari_breast_ai.models import RECIPES, Composition, ModelSpec, build, save_bundle


@pytest.fixture(scope="session")
def small_spec() -> ModelSpec:
    """The attention-squeezenet recipe for small images."""
    spec = RECIPES["attention-squeezenet"]
    return replace(spec, name="small", preparation=replace(spec.preparation, size=(64, 96)))


@pytest.fixture(scope="session")
def small_model(small_spec: ModelSpec) -> Composition:
    torch.manual_seed(0)
    return build(small_spec)


@pytest.fixture
def bundle_folder(small_model: Composition, tmp_path: Path) -> Path:
    return save_bundle(tmp_path / "small", small_model, card="# Small\n", evaluation={"auc": 0.5})
