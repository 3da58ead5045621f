"""The dock of the second view."""

from __future__ import annotations

import weakref
from html import escape
from typing import Any

from napari.qt import QtViewer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QCloseEvent, QShowEvent
from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow, QVBoxLayout, QWidget

from ..beside import Beside

WIDTH = 520
MIN_WIDTH = 220
"""Beside the layer list, the study and a dock on a screen of 1280 pixels."""


class BesideDock(QWidget):
    """A line that says what and where, over a canvas with sliders.

    Attributes:
        beside: the link.
    """

    def __init__(self, beside: Beside, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.beside = beside
        self.line = QLabel()
        self.line.setContentsMargins(6, 2, 6, 2)
        self.line.setWordWrap(True)
        self.canvas = QtViewer(beside.model)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line)
        layout.addWidget(self.canvas, 1)
        self.setMinimumWidth(MIN_WIDTH)
        # The canvas has its size only when the window has laid itself out.
        self._fit = QTimer(self)
        self._fit.setSingleShot(True)
        self._fit.timeout.connect(self._fit_view)
        # Docks can be resized only once they are laid out.
        self._widen = QTimer(self)
        self._widen.setSingleShot(True)
        self._widen.timeout.connect(self._take_room)
        self._main: weakref.ref[Any] | None = None
        self._room = 0
        beside.model.dims.events.current_step.connect(self._write)
        beside.model.layers[-1].events.data.connect(self._write)
        self._write()

    def showEvent(self, event: QShowEvent) -> None:
        """Show the whole slice at first."""
        super().showEvent(event)
        # Not at once: the first layout comes with the events that wait.
        self._widen.start(50)
        self._fit.start(150)

    def watch(self, viewer: Any) -> None:
        """Let the study's canvas, which gets smaller for this one, go on showing as much of the image as now."""
        self._main = weakref.ref(getattr(viewer, "__wrapped__", viewer))
        self._room = min(viewer.canvas.size)

    def _take_room(self) -> None:
        """As wide as the study's canvas where there is room, up to `WIDTH`."""
        dock, window = self.parentWidget(), self.window()
        if isinstance(dock, QDockWidget) and isinstance(window, QMainWindow) and not dock.isFloating():
            canvas = window.centralWidget()
            both = self.width() + (canvas.width() if canvas is not None else 0)
            window.resizeDocks([dock], [min(WIDTH, both // 2)], Qt.Orientation.Horizontal)

    def _fit_view(self) -> None:
        if self.beside.model.layers:
            self.beside.model.reset_view()
            self._zoom_with_room()

    def _zoom_with_room(self) -> None:
        main = self._main() if self._main is not None else None
        if main is not None and (room := min(main.canvas.size)) > 0 < self._room:
            main.scene.camera.zoom *= room / self._room
            self._room = room

    def _write(self, event: Any = None) -> None:
        told = (self.beside.text, self.beside.sides)
        name = escape(self.beside.volume.description or "Beside")
        self.line.setText("<br>".join((f"<b>{name}</b>", *filter(None, told))))

    def closeEvent(self, event: QCloseEvent) -> None:
        """Cut the link and free the canvas."""
        self.shut()
        super().closeEvent(event)

    def shut(self) -> None:
        """Cut the link and free the canvas; once is enough."""
        model = self.beside.model
        if not model.layers:
            return
        self.beside.close()
        model.dims.events.current_step.disconnect(self._write)
        model.layers[-1].events.data.disconnect(self._write)
        self.canvas.close()
        model.layers.clear()


def add_beside(viewer: Any, beside: Beside) -> BesideDock:
    """Dock the second view at the left of the window's canvas, which shows as much as before on less room."""
    widget = BesideDock(beside)
    widget.watch(viewer)
    dock: QDockWidget = viewer.window.add_dock_widget(
        widget, name=f"Beside: {beside.volume.description or 'series'}", area="left"
    )
    main = dock.window()
    if isinstance(main, QMainWindow):
        # A column of its own next to the canvas, not a row under the layer list.
        main.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, dock, Qt.Orientation.Horizontal)
    return widget
