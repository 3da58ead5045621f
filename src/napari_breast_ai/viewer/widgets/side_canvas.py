"""Room beside the study's canvas for a dock that has canvases of its own."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QCloseEvent, QShowEvent
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

if TYPE_CHECKING:
    from ...core import DceVolume
    from ..session import Session

SETTLED_MS = 1000
MIN_WIDTH = 220
"""Beside the layer list, the study and a dock on a screen of 1280 pixels."""


class SideCanvas(QWidget):
    """A dock in a column of its own at the left of the study's canvas, which shows as much as before on less room.

    Attributes:
        wide, part: as many pixels it takes where there is room, and at most that part of what both have.
        left: emitted when it follows nothing more, whoever closed it.
    """

    left = Signal()

    wide, part = 520, 0.5

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # The canvas has its size only when the window has laid itself out.
        self._fit = QTimer(self)
        self._fit.setSingleShot(True)
        self._fit.timeout.connect(self._fit_all)
        # Docks can be resized only once they are laid out.
        self._widen = QTimer(self)
        self._widen.setSingleShot(True)
        self._widen.timeout.connect(self._take_room)
        # The window gives the room in several steps.
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.timeout.connect(self._let_go)
        self._main: weakref.ref[Any] | None = None
        self._room = 0
        self._shut = False
        self.setMinimumWidth(MIN_WIDTH)

    def dock_in(self, viewer: Any, name: str) -> QDockWidget:
        """Dock it in a viewer's window."""
        self._main = weakref.ref(getattr(viewer, "__wrapped__", viewer))
        self._room = min(viewer.canvas.size)
        viewer.canvas.events.size.connect(self._on_room)
        dock: QDockWidget = viewer.window.add_dock_widget(self, name=name, area="left")
        main = dock.window()
        if isinstance(main, QMainWindow):
            # A column of its own next to the canvas, not a row under the layer list.
            main.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, dock, Qt.Orientation.Horizontal)
        return dock

    def fit(self) -> None:
        """Show the whole of each picture."""
        raise NotImplementedError

    def let_go(self) -> None:
        """Follow nothing more, and free the canvases."""
        raise NotImplementedError

    def belongs(self, volume: DceVolume | None, study: DceVolume | None) -> bool:
        """Whether what is shown belongs to the volume that is on the screen now; `study` was when it was opened."""
        return volume is study

    def shut(self) -> None:
        """Follow nothing more, and free the canvases; once is enough."""
        if not self._shut:
            self._shut = True
            self.let_go()
            self.left.emit()

    def goes_with_study(self, session: Session) -> None:
        """Take it away when a study comes that it does not belong to, or none."""
        study = session.volume
        # Weak: what the session and Qt keep of this must not keep the canvas.
        held = weakref.ref(self)

        def changed() -> None:
            canvas = held()
            if canvas is not None and not canvas.belongs(session.volume, study):
                canvas.take_away(session.viewer)

        session.study_changed.connect(changed)
        self.left.connect(lambda: session.study_changed.disconnect(changed, missing_ok=True))

    def take_away(self, viewer: Any) -> None:
        """Close it; the room is the study's canvas's again, not that of the list of layers."""
        self.shut()
        window, own = self.window(), self.parentWidget()
        docks = [
            one
            for one in window.findChildren(QDockWidget)
            if isinstance(window, QMainWindow)
            and one is not own
            and one.isVisible()
            and window.dockWidgetArea(one) == Qt.DockWidgetArea.LeftDockWidgetArea
        ]
        widths = [one.width() for one in docks]
        with suppress(LookupError):  # the person has closed it
            viewer.window.remove_dock_widget(self)
        if isinstance(window, QMainWindow):
            window.resizeDocks(docks, widths, Qt.Orientation.Horizontal)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Follow nothing more."""
        self.shut()
        super().closeEvent(event)

    def event(self, event: QEvent) -> bool:
        """The cross at the dock's title takes the widget out of it, and keeps nothing of it."""
        done = super().event(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut()
        return done

    def showEvent(self, event: QShowEvent) -> None:
        """Show the whole slice at first."""
        super().showEvent(event)
        # Not at once: the first layout comes with the events that wait.
        self._widen.start(50)
        self._fit.start(150)

    def _take_room(self) -> None:
        dock, window = self.parentWidget(), self.window()
        if isinstance(dock, QDockWidget) and isinstance(window, QMainWindow) and not dock.isFloating():
            canvas = window.centralWidget()
            both = self.width() + (canvas.width() if canvas is not None else 0)
            window.resizeDocks([dock], [min(self.wide, round(both * self.part))], Qt.Orientation.Horizontal)

    def _fit_all(self) -> None:
        self.fit()
        self._settled.start(SETTLED_MS)

    def _on_room(self, event: Any = None) -> None:
        """The study's canvas has got smaller for this one: it goes on showing as much of the image."""
        main = self._main() if self._main is not None else None
        if main is not None and (room := min(main.canvas.size)) > 0 < self._room and room < self._room:
            main.scene.camera.zoom *= room / self._room
            self._room = room

    def _let_go(self) -> None:
        """From now on the person's own zoom counts."""
        main = self._main() if self._main is not None else None
        if main is not None:
            main.canvas.events.size.disconnect(self._on_room)
        self._main = None
