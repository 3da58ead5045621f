"""Hours of reading in minutes: slice steps with overlays on, boxes drawn and deleted, studies opened and closed.

A real window, the real session, the real journal. It fails (exit status 1) on a crash, on memory that grows by more
than the limit after a warm-up, and on a falling count of references to None, by which a broken pair of
PySide6 and Python shows itself long before it dies.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/soak.py
    python benchmarks/soak.py --steps 2000 --boxes 50 --studies 3      # the short form
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("NAPARI_ASYNC", "0")

import napari
import numpy as np
import psutil
from qtpy.QtCore import QCoreApplication, QEvent, QObject

from napari_breast_ai.core import (
    CaseScores,
    DceVolume,
    Geometry,
    Identity,
    LabelGroup,
    ModelRef,
    PhaseTimes,
    Prediction,
)
from napari_breast_ai.viewer.session import Session, get_session

PROBE_CALLS = 10_000


def study(seed: int, shape: tuple[int, int, int]) -> DceVolume:
    """Six phases of noise with structure: what matters here is only that every study is another array."""
    rng = np.random.default_rng(seed)
    data = rng.integers(50, 400, (6, *shape), dtype=np.uint16)
    geometry = Geometry.from_dicom(shape, (1.3, 1.3), 3.0, (0, 0, 0), (1, 0, 0, 0, 1, 0))
    times = PhaseTimes(tuple(60.0 * i for i in range(6)), ("AcquisitionTime",) * 6)
    return DceVolume(data, geometry, times, Identity(f"1.2.3.{seed}", synthetic=True), description="soak")


def prediction(volume: DceVolume, seed: int) -> Prediction:
    """Random scores and heat maps of 14 × 14 cells for every slice."""
    rng = np.random.default_rng(seed)
    n = volume.n_slices
    scores = rng.random((3, n), dtype=np.float32)
    labels = ("lesion", "IGM", "NME")
    return Prediction(
        ModelRef("soak", "0" * 64),
        (
            LabelGroup("lesion", ("lesion",), "sigmoid"),
            LabelGroup("kind", ("IGM", "NME"), "softmax", "lesion"),
        ),
        tuple(range(n)),
        dict(zip(labels, scores, strict=True)),
        CaseScores({"lesion": 0.9, "IGM": 0.5, "NME": 0.5}, {}, "Random."),
        rng.random((n, 14, 14), dtype=np.float32),
        {label: rng.random((n, 14, 14), dtype=np.float32) for label in labels},
        (volume.geometry.shape[1], volume.geometry.shape[2]),
    )


def lost_nones() -> int:
    """References to None lost by `PROBE_CALLS` calls into Qt that return nothing: about 0, or one a call."""
    probe = QObject()
    before = sys.getrefcount(None)
    for _ in range(PROBE_CALLS):
        probe.setObjectName("probe")
    return before - sys.getrefcount(None)


def settle() -> None:
    """Let Qt paint and let deleted things go."""
    QCoreApplication.processEvents()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def step_slices(session: Session, steps: int) -> None:
    """Walk through slices and phases, painting every one."""
    assert session.volume is not None
    n, phases = session.volume.n_slices, session.volume.n_phases
    for step in range(steps):
        turn = step // n
        index = step % n if turn % 2 == 0 else n - 1 - step % n
        session.go_to(index, turn % phases)
        QCoreApplication.processEvents()


def draw_and_delete(session: Session, boxes: int) -> None:
    """Draw boxes over the slices, ten on the screen at a time, and delete them, as a person does."""
    layer, volume = session.boxes.layer, session.volume
    assert layer is not None and volume is not None and session.journal is not None
    for number in range(boxes):
        z = number % volume.n_slices
        session.go_to(z)
        y, x = 10 + number % 90, 10 + number * 7 % 90
        layer.add_rectangles(
            np.array([[z, y, x], [z, y, x + 30], [z, y + 20, x + 30], [z, y + 20, x]], float)
        )
        QCoreApplication.processEvents()
        if len(layer.data) >= 10:
            layer.selected_data = set(range(len(layer.data)))
            layer.remove_selected()
    if len(layer.data):
        layer.selected_data = set(range(len(layer.data)))
        layer.remove_selected()
    if session.journal.boxes:
        raise AssertionError("Boxes that were deleted are still in the journal.")


def open_and_close(session: Session, folder: Path, studies: int, shape: tuple[int, int, int]) -> None:
    """Open one study after the other, each with a prediction and both overlays."""
    for seed in range(studies):
        volume = study(seed, shape)
        session.show_study(volume, str(folder))
        session.set_prediction(prediction(volume, seed))
        settle()
        step_slices(session, 10)
        session.close_study()
        settle()
        gc.collect()


def soak(
    steps: int = 20_000,
    boxes: int = 500,
    studies: int = 20,
    shape: tuple[int, int, int] = (48, 256, 256),
    limit_mb: float = 50.0,
    viewer: Any = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Do it all and return the figures, with `problems`: what failed, in sentences.

    Args:
        steps, boxes, studies: how much.
        shape: (slices, rows, columns) of the studies.
        limit_mb: how much the resident memory may grow after the warm-up.
        viewer: napari's viewer to use; one is made, and closed, where none is given.
        say: told of each part.
    """
    process = psutil.Process()
    own = viewer is None
    viewer = viewer if viewer is not None else napari.Viewer(title="soak")

    def measure() -> tuple[float, int]:
        """Resident memory in MB and references to None, each time in the same state: a study open, all done."""
        settle()
        gc.collect()
        return process.memory_info().rss / 2**20, sys.getrefcount(None)

    start = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        # A small canvas: without a graphics card the painting would be most of the time.
        viewer.window.resize(900, 650)
        viewer.window.add_plugin_dock_widget("napari-breast-ai", "Review")
        session = get_session(viewer, "soak")

        def work(part_steps: int, part_boxes: int, part_studies: int) -> None:
            open_and_close(session, folder, part_studies, shape)
            volume = study(99, shape)
            session.show_study(volume, str(folder))
            session.set_prediction(prediction(volume, 99))
            session.set_display(attention=True, gradcam=True)
            draw_and_delete(session, part_boxes)
            step_slices(session, part_steps)

        say("warm-up")
        work(min(500, steps // 4), min(60, boxes), min(3, studies))
        before, nones = measure()
        say(f"after the warm-up: {before:.0f} MB")
        work(steps, boxes, studies)
        after, nones_after = measure()
        drift = nones_after - nones
        lost = lost_nones()
        session.close_study()
        session.shut_down()
        if own:
            viewer.close()
            settle()
    problems = []
    if after - before > limit_mb:
        problems.append(f"Memory grew by {after - before:.1f} MB; the limit is {limit_mb:.0f} MB.")
    # Every picture drawn leaves a few references to None more in napari 0.9.2 with vispy 0.17, the plain window with
    # one image too (3 a step): that harms nothing. Losing them kills the process, so losing is what fails here.
    if lost > PROBE_CALLS // 10 or drift < -steps:
        problems.append(
            f"References to None are lost ({lost} in {PROBE_CALLS} calls, {-drift} in the soak): "
            "this PySide6 and Python are a broken pair."
        )
    return {
        "steps": steps,
        "boxes": boxes,
        "studies": studies,
        "seconds": round(time.monotonic() - start, 1),
        "memory_after_warm_up_mb": round(before, 1),
        "memory_growth_mb": round(after - before, 1),
        "none_references_gained": drift,
        "none_references_lost_by_calls": lost,
        "problems": problems,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--boxes", type=int, default=500)
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--limit-mb", type=float, default=50.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = soak(
        arguments.steps, arguments.boxes, arguments.studies, limit_mb=arguments.limit_mb, say=print
    )
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if figures["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
