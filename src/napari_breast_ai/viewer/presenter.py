"""The presenter's view: the picture and large lines, and nothing that could name a patient."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, ClassVar

from psygnal import Signal
from qtpy.QtWidgets import QDockWidget, QWidget

from .one_picture import main_window

if TYPE_CHECKING:
    from .session import Session

ATTENTION = "Something needs your attention: leave the presentation (F5) to read it."
"""Said in place of sentences that could hold a folder's or a patient's name."""

TITLE = "napari-breast-ai"


class Presenter:
    """Hides docks, menus and the status line of a window, and brings them back as they were.

    Attributes:
        on: whether the window presents.
        changed: emitted when that changes.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.on = False
        self._hidden: list[weakref.ref[QWidget]] = []
        self._title = ""
        session.study_changed.connect(self._cover)

    def flip(self) -> None:
        """Begin to present, or end it."""
        window = main_window(self._session.viewer)
        if window is None:
            return
        self.on = not self.on
        if self.on:
            self._title = window.windowTitle()
            window.setWindowTitle(TITLE)
            bars = [window.menuBar(), window.statusBar()]
            docks = [one for one in window.findChildren(QDockWidget) if one.isVisible()]
            # Of docks that share a place only the one in front has a part of the screen; it comes last, to be in
            # front again.
            docks.sort(key=lambda one: not one.visibleRegion().isEmpty())
            self._hidden = [
                weakref.ref(one) for one in (*docks, *bars) if one is not None and one.isVisible()
            ]
            for one in self._hidden:
                if (widget := one()) is not None:
                    widget.hide()
        else:
            window.setWindowTitle(self._title)
            for one in self._hidden:
                if (widget := one()) is not None:
                    widget.show()
                    widget.raise_()
            self._hidden.clear()
        self.changed.emit()

    def _cover(self) -> None:
        # napari writes the layer's name, which the files chose, into the title of a window that shows it.
        window = main_window(self._session.viewer) if self.on else None
        if window is not None:
            window.setWindowTitle(TITLE)
