"""What all docks do: stop the window's threads when it closes."""

from __future__ import annotations

import weakref
from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QWidget

from ..session import get_session
from .section import KeepsEnter, Links


class Dock(KeepsEnter):
    """A dock of a viewer.

    Attributes:
        session: the viewer's session.
        links: connections to it, cut when the dock goes.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = get_session(napari_viewer)
        self.links = links = Links()
        # Weak: this shell outlives the window by a moment when it closes, and must not hold it.
        self._window: weakref.ref[QWidget] | None = None
        # Not a method of this widget: at that moment only its shell is left.
        self.destroyed.connect(lambda: links.cut())

    def showEvent(self, event: QShowEvent) -> None:
        """Watch the window, so that threads are stopped and joined when it closes."""
        super().showEvent(event)
        window = self.window()
        before = self._window() if self._window is not None else None
        if window is not before:
            if before is not None:
                before.removeEventFilter(self)
            self._window = weakref.ref(window)
            window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Save what can be, and stop threads and processes, when the window is about to close.

        Where boxes are in memory only, the first try is refused, and said.
        """
        if event.type() == QEvent.Type.Close and self._window is not None and watched is self._window():
            if not self.session.may_close():
                event.ignore()
                return True
            if self.session.presenter.on:
                # napari may remember which docks were there: all of them, not the presenter's none.
                self.session.presenter.flip()
            self.session.workers.stop()
            self.session.training.shut_down()
        return super().eventFilter(watched, event)
