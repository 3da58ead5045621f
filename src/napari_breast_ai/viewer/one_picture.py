"""Changes of many layers that the window paints once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QMainWindow, QWidget

_TAKEN: list[Any] = []


@contextmanager
def one_picture(viewer: Any) -> Iterator[Callable[[], None]]:
    """Have the canvas painted after a change, and not in the middle of it.

    Sliders that come or go give the canvas another size, and Qt paints one that has another size at once, each time.

    Yields:
        What gives sliders and docks their places: call it before what depends on the size of the canvas.
    """
    canvas = _middle(viewer)
    if canvas is None or not canvas.updatesEnabled():
        yield _nothing
        return
    canvas.setUpdatesEnabled(False)
    try:
        yield _lay_out
        _lay_out()
    finally:
        canvas.setUpdatesEnabled(True)


@contextmanager
def taken_at_once(layers: Any) -> Iterator[None]:
    """Take several layers away with one search for what is left of them, which napari makes after each otherwise.

    The search goes through everything that Python holds: with torch loaded it takes some 0.2 s.

    Args:
        layers: napari's list of them.
    """
    if any(one is layers for one in _TAKEN):
        yield  # the outer one ends it
        return
    _TAKEN.append(layers)
    try:
        with layers.batched_update():
            yield
    finally:
        _TAKEN.pop()


def main_window(viewer: Any) -> QMainWindow | None:
    """The window, found by one of its docks; None where a viewer has no window, or no dock of ours."""
    holder: Any = getattr(viewer, "window", None)
    docks = [] if holder is None else list(holder.dock_widgets.values())
    # A dock that floats is a window of its own.
    windows = (dock.window() for dock in docks)
    return next((window for window in windows if isinstance(window, QMainWindow)), None)


def _middle(viewer: Any) -> QWidget | None:
    window = main_window(viewer)
    return None if window is None or not window.isVisible() else window.centralWidget()


def _lay_out() -> None:
    # Of one kind of event only: nothing of the person's comes in between.
    QCoreApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)


def _nothing() -> None:
    """There is no window to lay out."""
