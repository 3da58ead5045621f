"""A small study and a model for the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_breast_ai.cli import main


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic study with its true boxes beside it."""
    folder = tmp_path_factory.mktemp("cli")
    status = main(
        [
            "phantom",
            str(folder / "study"),
            "--kind=nme",
            "--vendor=siemens",
            "--seed=3",
            "--size=10x96x96",
            f"--truth={folder / 'truth.json'}",
        ]
    )
    assert status == 0
    return folder / "study"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with random weights: what it says means nothing, but it goes the whole way."""
    import torch

    from napari_breast_ai.models import RECIPES, build, save_bundle

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bundles") / "random-weights"
    save_bundle(
        folder, build(RECIPES["attention-squeezenet"], "random"), card="Random weights.", evaluation={}
    )
    return folder
