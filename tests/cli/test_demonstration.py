"""The demonstration, as a program of its own in a real window."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = [
    pytest.mark.gui,
    pytest.mark.skipif(
        sys.platform == "linux" and not os.environ.get("DISPLAY"), reason="no screen: run under xvfb-run"
    ),
]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "napari_breast_ai", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False)


def colours(path: Path) -> np.ndarray:
    picture = np.asarray(Image.open(path).convert("RGB"), dtype=int)
    assert picture.shape[0] >= 600
    assert picture.shape[1] >= 800
    return picture


def test_the_demonstration_leaves_picture_prediction_and_timing(study: Path, bundle: Path, tmp_path: Path):
    out = tmp_path / "demo-output"
    result = run("demo", study, "--out", out, "--model", bundle, "--no-wait", "--debug")
    assert result.returncode == 0, result.stderr
    names = {path.name for path in out.iterdir()}
    assert {"screenshot.png", "prediction.json", "probabilities.csv", "heatmaps.npz", "timing.json"} <= names
    timing = json.loads((out / "timing.json").read_text(encoding="utf-8"))
    assert timing["predict and explain every slice"] > 0
    assert "open the window and take the picture" in timing
    picture = colours(out / "screenshot.png")
    # Only the heat map has colours: greys have equal channels.
    canvas = picture[100:500, 400:900]
    spread = canvas.max(axis=2) - canvas.min(axis=2)
    assert (spread > 25).mean() > 0.02
    # And the anatomy is there: greys from dark to bright.
    greys = canvas[spread < 10].mean(axis=1)
    assert np.percentile(greys, 99) - np.percentile(greys, 5) > 60


def test_view_takes_a_picture_and_closes(study: Path, tmp_path: Path):
    picture = tmp_path / "view.png"
    result = run("view", study, "--screenshot", picture, "--no-wait", "--debug")
    assert result.returncode == 0, result.stderr
    assert colours(picture).std() > 20
