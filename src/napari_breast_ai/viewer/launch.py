"""The window on a study, for the command line and for scripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from qtpy.QtCore import QCoreApplication, QEventLoop
from qtpy.QtGui import QGuiApplication

from ..core import Box, BreastAIError, DceVolume, Prediction
from .commands import ANNOTATE, CASES, DOCK, PLUGIN
from .session import get_session

if TYPE_CHECKING:
    from ..models import Bundle

SIZE = (1600, 1000)


class ViewerError(BreastAIError):
    """The window cannot do what was asked."""


def show(
    volume: DceVolume,
    *,
    source: str | Path | None = None,
    boxes: Iterable[Box] = (),
    bundle: Bundle | None = None,
    prediction: Prediction | None = None,
    screenshot: Path | None = None,
    block: bool = True,
    front: str = DOCK,
    reader: str | None = None,
    place: int | None = None,
    on_ready: Callable[[], None] | None = None,
) -> napari.Viewer | None:
    """Open a window on a study, with boxes, a model and what it said.

    Args:
        volume: the study.
        source: where it was read from; its boxes are kept beside it.
        boxes: given boxes (a phantom's truth), shown apart from the reader's own.
        bundle: a model to have ready.
        prediction: what it said; the window opens at its top slice.
        screenshot: where to leave a picture of the whole window.
        block: wait until the person closes the window.
        front: the dock whose tab is in front: "Review", "Annotate" or "Cases".
        reader: whose boxes are shown and drawn; None for the person at the keyboard.
        place: the slice to open at; None for the top slice, or the middle.
        on_ready: called when the window stands and its picture is taken, before waiting.

    Returns:
        The viewer when `block` is false and no screenshot was asked for; the caller closes it. Else None.

    Raises:
        ViewerError: the picture cannot be written.
    """
    viewer = napari.Viewer(title="napari-breast-ai")
    keep = False
    try:
        _fit_screen(viewer)
        session = get_session(viewer, reader)
        docks = {
            name: viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=name != CASES)[0]
            for name in (CASES, ANNOTATE, DOCK)
        }
        session.show_study(volume, None if source is None else str(source), boxes)
        session.set_bundle(bundle)
        if prediction is not None:
            session.set_prediction(prediction)
            session.go_to(session.top_slice(), prediction.phase)
        if place is not None:
            session.go_to(place)
        docks[front].raise_()
        _settle(1.0)
        # The canvas has its final size only now.
        viewer.reset_view()
        if screenshot is not None:
            _settle(0.5)
            _picture(viewer, screenshot)
        if on_ready is not None:
            on_ready()
        if block:
            napari.run()
        keep = not block and screenshot is None
    finally:
        if not keep and not block:
            session_of = get_session(viewer)
            viewer.close()
            session_of.shut_down()
    return viewer if keep else None


def _fit_screen(viewer: napari.Viewer) -> None:
    """A window as large as the design's, or as the screen."""
    free = QGuiApplication.primaryScreen().availableGeometry()
    viewer.window.resize(min(SIZE[0], free.width()), min(SIZE[1], free.height()))


def _settle(seconds: float) -> None:
    """Let the window lay itself out and paint."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 50)
        time.sleep(0.01)


def _picture(viewer: napari.Viewer, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        viewer.screenshot(str(path), canvas_only=False, flash=False)
    except OSError as error:
        raise ViewerError(
            f"The picture {path} cannot be written ({error.strerror or error}). Choose another place."
        ) from error
