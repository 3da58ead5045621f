"""Studies and predictions made by hand, and where a window cannot be opened, a reason."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QSettings

with warnings.catch_warnings():
    # napari's own models use a setting that pydantic 2 calls old; it is said once, at napari's import.
    warnings.filterwarnings("ignore", message=r"`json_encoders` is deprecated")
    import napari  # noqa: F401
    from napari.components import ViewerModel

from napari_breast_ai.core import (
    Box,
    CaseScores,
    DceVolume,
    FrameRef,
    Geometry,
    Identity,
    LabelGroup,
    ModelRef,
    PhaseTimes,
    Prediction,
)
from napari_breast_ai.viewer import notices, tasks
from napari_breast_ai.viewer.session import Session, get_session
from napari_breast_ai.viewer.widgets import choose, result_panel, section

if TYPE_CHECKING:
    from hand import Window


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a window where there is none: Qt's offscreen platform has no OpenGL."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    for item in items:
        if item.get_closest_marker("gui"):
            item.add_marker(pytest.mark.skip(reason="no screen: run under xvfb-run"))


@pytest.fixture(autouse=True, scope="module")
def _fewer_objects_to_search() -> None:
    """napari collects garbage with every layer that goes: let it not look at what all modules hold for good."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _vispy_remembers() -> Iterator[None]:
    from remembered import remember

    with pytest.MonkeyPatch.context() as patch:
        remember(patch)
        yield


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_BREAST_AI_DATA", str(tmp_path / "user-data"))
    monkeypatch.setattr(notices, "_checked", True)
    file = str(tmp_path / "remembered.ini")
    for module in (section, choose, result_panel):
        monkeypatch.setattr(module, "settings", lambda: QSettings(file, QSettings.Format.IniFormat))


def make_volume(
    n_slices: int = 8, rows: int = 40, columns: int = 50, n_phases: int = 4, uid: str = "1.2.3", **more: Any
) -> DceVolume:
    """A study with a ring that fills with contrast, spacing 3 × 0.8 × 0.7 mm, phases at uneven times."""
    z, y, x = np.mgrid[:n_slices, :rows, :columns]
    tissue = 100 + 20 * np.sin(x / 5) + 10 * np.cos(y / 3) + z
    lesion = (np.hypot(y - rows / 2, x - columns / 3) < 6) & (np.abs(z - n_slices // 2) <= 1)
    data = np.stack([tissue + 80 * lesion * min(phase, 2) for phase in range(n_phases)])
    geometry = Geometry.from_dicom((n_slices, rows, columns), (0.8, 0.7), 3.0, (0, 0, 0), (1, 0, 0, 0, 1, 0))
    frames = tuple(tuple(FrameRef(f"{uid}.{p}.{s}") for s in range(n_slices)) for p in range(n_phases))
    times = tuple([0.0, 75.0, 130.0, 190.0, 250.0, 310.0][:n_phases])
    return DceVolume(
        data.astype(np.uint16),
        geometry,
        PhaseTimes(times, ("AcquisitionTime",) * n_phases),
        Identity(uid),
        frames,
        "made by hand",
        **more,
    )


def make_prediction(
    volume: DceVolume, slices: tuple[int, ...] | None = None, attention: bool = True
) -> Prediction:
    """Scores with their peak at slice 5 and heat maps of 5 × 6 cells with one hot cell (2, 1)."""
    slices = slices if slices is not None else tuple(range(volume.n_slices))
    lesion = np.array([0.9 if s == 5 else 0.1 + 0.01 * s for s in slices], dtype=np.float32)
    igm = np.linspace(0.2, 0.8, len(slices), dtype=np.float32)
    maps = np.zeros((len(slices), 5, 6), dtype=np.float32)
    maps[:, 2, 1] = lesion
    return Prediction(
        ModelRef("by-hand", "0" * 64),
        (
            LabelGroup("lesion", ("lesion",), "sigmoid"),
            LabelGroup("kind", ("IGM", "NME"), "softmax", "lesion"),
        ),
        slices,
        {"lesion": lesion, "IGM": igm, "NME": 1 - igm},
        CaseScores({"lesion": 0.9, "IGM": 0.25, "NME": 0.75}, {"kind": (5,)}, "The rule, in a sentence."),
        maps if attention else None,
        {"lesion": 3 * maps, "IGM": 2 * maps, "NME": 0 * maps},
        (volume.geometry.shape[1], volume.geometry.shape[2]),
        "phase 1",
        ("Trained on synthetic data.",),
        phase=1,
    )


def make_boxes() -> tuple[Box, ...]:
    """Two true boxes."""
    return (
        Box(4, 9.5, 9.5, 20.5, 25.5, "IGM", "t1", "truth"),
        Box(5, 9.5, 9.5, 18.5, 25.5, "IGM", "t2", "truth"),
    )


@pytest.fixture
def open_window(
    make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Window]]:
    """Opens a real window with some of the docks: nobody looks for models, and no notification pops up."""
    from hand import Window

    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    for name in ("warn", "complain"):
        monkeypatch.setattr(notices, name, lambda sentence: None)
    opened: list[Window] = []

    def of(*docks: str, size: tuple[int, int] = (1280, 800)) -> Window:
        viewer = make_napari_viewer(show=True)
        viewer.window.resize(*size)
        opened.append(Window(viewer, qtbot, docks or ("Review",)))
        return opened[-1]

    yield of
    for one in opened:
        one.session.shut_down()
        one.__dict__.clear()


@pytest.fixture
def volume() -> DceVolume:
    return make_volume()


@pytest.fixture
def session() -> Iterator[Session]:
    viewer = ViewerModel()
    session = get_session(viewer, "anna")
    session.test_viewer = viewer  # type: ignore[attr-defined] # the session itself does not keep its viewer alive
    yield session
    session.shut_down()
