"""The dock of the second view."""

from __future__ import annotations

from html import escape
from typing import Any

from napari.qt import QtViewer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QCloseEvent, QShowEvent
from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow, QVBoxLayout, QWidget

from ..beside import Beside

WIDTH = 520


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
        self.setMinimumWidth(320)
        # The canvas has its size only when the window has laid itself out.
        self._fit = QTimer(self)
        self._fit.setSingleShot(True)
        self._fit.timeout.connect(self._fit_view)
        beside.model.dims.events.current_step.connect(self._write)
        beside.model.layers[-1].events.data.connect(self._write)
        self._write()

    def showEvent(self, event: QShowEvent) -> None:
        """Show the whole slice at first."""
        super().showEvent(event)
        self._fit.start(100)

    def _fit_view(self) -> None:
        if self.beside.model.layers:
            self.beside.model.reset_view()

    def _write(self, event: Any = None) -> None:
        self.line.setText(
            f"<b>{escape(self.beside.volume.description or 'Beside')}</b><br>{self.beside.text}"
        )

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
    """Dock the second view at the left of the window's canvas."""
    widget = BesideDock(beside)
    dock: QDockWidget = viewer.window.add_dock_widget(
        widget, name=f"Beside: {beside.volume.description or 'series'}", area="left"
    )
    main = dock.window()
    if isinstance(main, QMainWindow):
        # A column of its own next to the canvas, not a row under the layer list.
        main.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, dock, Qt.Orientation.Horizontal)
        main.resizeDocks([dock], [WIDTH], Qt.Orientation.Horizontal)
    return widget
