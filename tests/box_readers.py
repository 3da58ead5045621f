"""Readers who box the same phantom-like cases, each in her own journal, with the clock under control."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from napari_breast_ai.annotations import Journal, Placing, journal_path
from napari_breast_ai.core import Box, FrameRef, Geometry, Identity

SHAPE = (20, 96, 80)
SPACING = (3.0, 0.8, 0.7)


def stack(flipped: bool = False, shape: tuple[int, int, int] = SHAPE) -> Geometry:
    """An axial stack from the feet up, or the same images sorted from the head down."""
    step = -SPACING[0] if flipped else SPACING[0]
    z = -20.0 + (SPACING[0] * (shape[0] - 1) if flipped else 0.0)
    return Geometry.from_dicom(shape, SPACING[1:], step, (-30.0, -40.0, z), (1, 0, 0, 0, 1, 0))


def placing(case: str, flipped: bool = False, shape: tuple[int, int, int] = SHAPE) -> Placing:
    frames = [FrameRef(f"1.2.{case}.{z}", None) for z in range(shape[0])]
    return Placing(stack(flipped, shape), f"1.9.{case}", [frames[::-1] if flipped else frames])


def journal(
    folder: Path, case: str, reader: str, reading: int = 1, flipped: bool = False, **more: Any
) -> Journal:
    uid = f"1.2.840.{case}"
    images = folder / f"case{case}"
    images.mkdir(parents=True, exist_ok=True)
    path = journal_path(images, Identity(uid), reader, reading)
    return Journal(
        path, reader, study_uid=uid, reading=reading, placing=more.get("placing", placing(case, flipped))
    )


def lesions(seed: int, count: int = 6, labels: tuple[str, ...] = ("IGM", "NME")) -> list[Box]:
    """Boxes that do not touch, as a phantom's truth has them, on slices 2 to 15."""
    dice = np.random.default_rng(seed)
    made = []
    for n in range(count):
        z, column = int(dice.integers(2, 16)), n % 3
        y, x = 8 + 40 * (n % 2) + dice.uniform(0, 8), 2 + 25 * column + dice.uniform(0, 5)
        height, width = dice.uniform(10, 20), dice.uniform(8, 16)
        made.append(Box(z, y, x, y + height, x + width, str(dice.choice(labels))))
    return made


def seen_by(
    boxes: list[Box], seed: int, miss: float = 0.2, other: float = 0.2, shift: float = 1.5
) -> list[Box]:
    """The boxes as a second person draws them: some missed, some of another class, edges not quite the same."""
    dice = np.random.default_rng(seed)
    made = []
    for box in boxes:
        if dice.random() < miss:
            continue
        dy0, dx0, dy1, dx1 = dice.uniform(-shift, shift, 4)
        label = {"IGM": "NME", "NME": "IGM"}.get(box.label, box.label) if dice.random() < other else box.label
        made.append(Box(box.z, box.y0 + dy0, box.x0 + dx0, box.y1 + dy1, box.x1 + dx1, label))
    return made


class Clock:
    """The journal's time, moved by hand."""

    def __init__(self, monkeypatch: Any) -> None:
        self.at = datetime(2024, 3, 5, 8, 0, tzinfo=UTC)
        monkeypatch.setattr("napari_breast_ai.annotations.ledger.now", self.now)

    def now(self) -> str:
        return self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
