"""The presenter's view: the picture and large lines, and the window as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hand import Window
from qtpy.QtCore import Qt
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QDockWidget

from conftest import make_volume
from napari_breast_ai.viewer import notices, presenter, readout, tasks

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What notifications say."""
    found: list[str] = []
    for name in ("warn", "complain"):
        monkeypatch.setattr(notices, name, found.append)
    return found


@pytest.fixture
def window(
    make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> Iterator[Window]:
    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1600, 1000)
    made = Window(viewer, qtbot, ("Annotate", "Review"))
    yield made
    made.session.shut_down()
    made.__dict__.clear()


def test_the_picture_alone_and_back(window: Window, told: list[str]) -> None:
    session = window.session
    session.show_study(replace(make_volume(12, 96, 112), description="DOE JANE"), "/data/DOE_JANE")
    window.raise_dock("Annotate")
    main = window.dock.window()
    main.setWindowTitle("DOE JANE - napari")

    def seen() -> list[str]:
        docks = main.findChildren(QDockWidget)
        return sorted(one.windowTitle() for one in docks if not one.visibleRegion().isEmpty())

    before = seen()
    assert any("Annotate" in one for one in before) and not any("Review" in one for one in before)
    canvas = window.canvas.size()
    window.press(Qt.Key.Key_F5)
    window.settle(300)
    assert session.presenter.on and seen() == []
    assert not main.menuBar().isVisible() and not main.statusBar().isVisible()
    assert "DOE" not in main.windowTitle()
    assert window.canvas.width() > canvas.width()
    overlay = session.viewer.canvas.overlays[readout.NAME]
    assert overlay.font_size == readout.LARGE and "Research use only" in overlay.text

    session.say("/data/DOE_JANE cannot be written.")
    assert told[-1] == presenter.ATTENTION
    tiling = session.viewer.canvas.overlay_tiling
    tiled = tiling.model_dump()
    placed: list[str] = []
    tiling.events.connect(lambda event: placed.append(event.type))
    session.go_to(3)
    assert "Slice 3" in overlay.text
    assert placed and tiling.model_dump() == tiled, "napari was told, and nothing is left of it"

    window.press(Qt.Key.Key_F5)
    window.settle(300)
    assert not session.presenter.on and seen() == before
    assert main.menuBar().isVisible() and main.statusBar().isVisible()
    assert main.windowTitle() == "DOE JANE - napari"
    assert overlay.font_size == readout.SIZE
    session.say("/data/DOE_JANE cannot be written.")
    assert "DOE_JANE" in told[-1]


def test_what_the_model_says_of_the_case_is_written_large(window: Window) -> None:
    session = window.session
    session.show_study(make_volume(12, 96, 112))
    assert readout.said_of_case(session) == []
    from napari_breast_ai.models import load_bundle

    session.set_bundle(load_bundle("demo-attention-squeezenet"))
    tasks.run_model(session, slices=[5])
    window.wait(lambda: session.prediction is not None)
    window.press(Qt.Key.Key_F5)
    lesion = session.prediction.case.probabilities["lesion"]
    assert session.readout.text.startswith(f"Case:   lesion {lesion:.2f}")
    window.press(Qt.Key.Key_F5)
    assert not session.readout.text.startswith("Case")


def test_a_window_that_is_closed_in_the_presentation_has_its_docks(window: Window) -> None:
    main = window.dock.window()
    window.session.show_study(make_volume())
    window.press(Qt.Key.Key_F5)
    window.settle(100)
    assert window.session.presenter.on and not main.menuBar().isVisible()
    QApplication.sendEvent(main, QCloseEvent())
    assert not window.session.presenter.on
