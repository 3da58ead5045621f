"""The files of a prediction: complete, anonymous, all or nothing."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_breast_ai.core import Box, DceVolume, Prediction
from napari_breast_ai.inference import InferenceError, draw_overlay, predict, rank_slices, write_prediction
from napari_breast_ai.inference import write as writing
from napari_breast_ai.inference.write import REMARKS
from napari_breast_ai.models.bundle import Bundle

BOXES = (Box(3, 9.5, 19.5, 29.5, 39.5, "NME", author="reader"),)


@pytest.fixture(scope="module")
def prediction(volume: DceVolume, bundles: Callable[[str], Bundle]) -> Prediction:
    return predict(volume, bundles("gated"), device="cpu")


class _Index:
    def to_json(self) -> dict[str, Any]:
        return {
            "files": 21,
            "groups": [{"role": "dce", "n_slices": 5, "files": 20, "description": "DOE JANE"}],
            "unused": [{"file": "DOE_JANE.txt", "reason": "no DICOM"}],
        }


def test_everything_is_written(prediction: Prediction, volume: DceVolume, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    files = write_prediction(prediction, volume, out, top=2, boxes=BOXES, index=_Index())
    assert sorted(files) == sorted(out.iterdir())
    assert [file.name for file in files[:3]] == ["prediction.json", "probabilities.csv", "heatmaps.npz"]
    assert len(files) == 5
    assert [path.name for path in out.parent.iterdir()] == ["out"]

    text = files[0].read_text(encoding="utf-8")
    assert "DOE" not in text
    content = json.loads(text)
    assert (content["schema"], content["version"]) == ("napari-breast-ai/prediction", 1)
    assert content["research_use_only"] is True
    assert content["model"] == {"name": "gated", "sha256": prediction.model.sha256}
    assert content["input"]["identity"]["study_uid"] == "1.2.3"
    assert content["input"]["files"] == {
        "total": 21,
        "unused": 1,
        "groups": [{"role": "dce", "files": 20, "slices": 5}],
    }
    assert content["case"]["rule"] == prediction.case.rule
    assert content["case"]["probabilities"] == prediction.case.probabilities
    assert content["warnings"] == list(prediction.warnings)
    assert content["files"] == [file.name for file in files]
    for i, entry in enumerate(content["slices"]):
        assert entry["slice"] == prediction.slices[i]
        assert entry["probabilities"]["IGM"] == pytest.approx(float(prediction.probabilities["IGM"][i]))

    with files[1].open(newline="") as opened:
        rows = list(csv.reader(opened))
    assert rows[0] == ["slice", "lesion", "IGM", "NME", *REMARKS]
    assert {tuple(row[4:]) for row in rows[1:]} == {("gated", "", "not compared", "")}
    assert [row[0] for row in rows[1:]] == ["0", "1", "2", "3", "4", "case"]
    assert float(rows[3][2]) == pytest.approx(float(prediction.probabilities["IGM"][2]), abs=1e-6)

    with np.load(files[2], allow_pickle=False) as maps:
        assert maps["slices"].tolist() == [0, 1, 2, 3, 4]
        assert maps["labels"].tolist() == ["lesion", "IGM", "NME"]
        for i, label in enumerate(prediction.labels):
            assert np.array_equal(maps["gradcam"][i], prediction.gradcam[label])
        assert np.array_equal(maps["attention"], prediction.attention)
        np.testing.assert_allclose(maps["cell_to_patient"], content["heatmaps"]["cell_to_patient"])


def test_an_open_case_is_null_and_empty(prediction: Prediction, volume: DceVolume, tmp_path: Path) -> None:
    none = replace(prediction.case, probabilities={"lesion": 0.1, "IGM": None, "NME": None})
    files = write_prediction(replace(prediction, case=none), volume, tmp_path / "out", top=0)
    assert json.loads(files[0].read_text())["case"]["probabilities"]["IGM"] is None
    assert files[1].read_text().splitlines()[-1].startswith("case,0.100000,,,")
    assert len(files) == 3


def test_an_earlier_result_is_replaced_and_nothing_else(
    prediction: Prediction, volume: DceVolume, tmp_path: Path
) -> None:
    first = write_prediction(prediction, volume, tmp_path, top=5)
    (tmp_path / "overlay-mine.png").write_text("keep")
    (tmp_path / "notes.txt").write_text("keep")
    second = write_prediction(prediction, volume, tmp_path, top=1)
    assert {file.name for file in tmp_path.iterdir()} == {
        "overlay-mine.png",
        "notes.txt",
        *(file.name for file in second),
    }
    assert len(first) == 8


def test_what_fails_half_way_leaves_nothing(
    prediction: Prediction, volume: DceVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "draw_overlay", fail)
    with pytest.raises(InferenceError, match="No space left on device"):
        write_prediction(prediction, volume, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_can_not_be_written_is_said(
    prediction: Prediction, volume: DceVolume, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InferenceError, match=r"it is a file\. Choose a folder"):
        write_prediction(prediction, volume, tmp_path / "file")
    with pytest.raises(InferenceError, match=r"can't be written into .* Choose another folder\."):
        write_prediction(prediction, volume, tmp_path / "file" / "out")


def test_the_most_telling_slices_come_first(prediction: Prediction) -> None:
    scores = np.array([0.1, 0.9, 0.3, 0.8, 0.2], dtype=np.float32)
    gated = replace(prediction, probabilities={**prediction.probabilities, "lesion": scores})
    assert rank_slices(gated, BOXES) == (1, 3, 2, 4, 0)
    free = replace(
        prediction,
        groups=(replace(prediction.groups[1], gate=None),),
        probabilities={"IGM": scores, "NME": 1 - scores},
    )
    assert rank_slices(free, BOXES)[0] == 3
    assert rank_slices(free)[0] in (0, 1)


def _plain(prediction: Prediction, spot: tuple[int, int] | None) -> Prediction:
    """Heat in one cell, or nowhere."""
    heat = np.zeros_like(prediction.attention)
    if spot is not None:
        heat[:, spot[0], spot[1]] = 1
    return replace(prediction, attention=heat)


def test_the_overlay_shows_slice_heat_and_box_at_their_places(
    prediction: Prediction, volume: DceVolume
) -> None:
    """40 × 64 pixels of 1.2 × 0.8 mm are 48 × 51.2 mm: 512 pixels high."""
    cold = draw_overlay(_plain(prediction, None), 3, volume)
    hot = draw_overlay(_plain(prediction, (0, 4)), 3, volume)
    assert cold.size[0] == round(512 * 51.2 / 48)
    assert cold.size[1] > 512
    change = np.abs(np.asarray(hot, dtype=int) - np.asarray(cold, dtype=int))[:512].sum(axis=2)
    rows, columns = np.nonzero(change > 30)
    width = cold.size[0]
    assert rows.max() < 512 / 3 * 1.5
    assert columns.min() > width * (4 / 5 - 0.1)
    boxed = draw_overlay(_plain(prediction, None), 3, volume, BOXES)
    other = draw_overlay(_plain(prediction, None), 2, volume, BOXES)
    assert np.array_equal(np.asarray(other), np.asarray(draw_overlay(_plain(prediction, None), 2, volume)))
    change = np.abs(np.asarray(boxed, dtype=int) - np.asarray(cold, dtype=int))[:512].sum(axis=2)
    rows, columns = np.nonzero(change > 60)
    np.testing.assert_allclose((columns.min(), columns.max()), (20 / 64 * width, 40 / 64 * width), atol=4)
    assert rows.max() == pytest.approx(30 / 40 * 512, abs=4)


def test_the_overlay_carries_its_caption(prediction: Prediction, volume: DceVolume, tmp_path: Path) -> None:
    files = write_prediction(prediction, volume, tmp_path / "out", top=1)
    picture = np.asarray(Image.open(files[3]))
    assert picture[512:].max() == 255
    assert (picture[512:] > 128).any(axis=2).mean() > 0.01


def test_without_attention_the_highest_label_is_shown(
    volume: DceVolume, bundles: Callable[[str], Bundle]
) -> None:
    plain = predict(volume, bundles("plain"), device="cpu")
    blank = replace(plain, gradcam={label: np.zeros_like(maps) for label, maps in plain.gradcam.items()})
    shown = draw_overlay(plain, 1, volume)
    top = max(plain.labels, key=lambda label: plain.probabilities[label][1])
    assert plain.gradcam[top][1].max() > 0
    assert not np.array_equal(np.asarray(shown), np.asarray(draw_overlay(blank, 1, volume)))
