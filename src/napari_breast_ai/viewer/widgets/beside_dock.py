"""The dock of the second view."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from napari.qt import QtViewer
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from ..beside import Beside
from ..compare import Compare
from .side_canvas import SideCanvas

if TYPE_CHECKING:
    from ...core import DceVolume


class BesideDock(SideCanvas):
    """A line that says what and where, over a canvas with sliders.

    Attributes:
        beside: the link.
    """

    def __init__(self, beside: Beside | Compare, parent: QWidget | None = None) -> None:
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
        beside.model.dims.events.current_step.connect(self._write)
        beside.model.layers[-1].events.data.connect(self._write)
        self._write()

    def belongs(self, volume: DceVolume | None, study: DceVolume | None) -> bool:
        """Another series of the patient stays while her study does, also where its phases are put in another order."""
        if isinstance(self.beside, Beside):
            return self.beside.belongs(volume)
        return super().belongs(volume, study)

    def fit(self) -> None:
        """Show the whole slice, or what the first view shows of the same study."""
        if isinstance(self.beside, Compare):
            # Its camera is the first one's: a fit to this canvas would move both.
            self.beside.see_as_first()
        elif self.beside.model.layers:
            self.beside.model.reset_view()

    def _write(self, event: Any = None) -> None:
        told = [self.beside.text, self.beside.sides]
        name = escape(self.beside.title)
        if isinstance(self.beside, Compare) and self.beside.doubt:
            told.append(f"<b>{escape(self.beside.doubt)}</b>")
            self.line.setToolTip("<br>".join(escape(one) for one in self.beside.doubts))
        self.line.setText("<br>".join((f"<b>{name}</b>", *filter(None, told))))

    def let_go(self) -> None:
        """Cut the link and free the canvas."""
        model = self.beside.model
        self.beside.close()
        model.dims.events.current_step.disconnect(self._write)
        model.layers[-1].events.data.disconnect(self._write)
        self.canvas.close()
        model.layers.clear()


def add_beside(viewer: Any, beside: Beside | Compare) -> BesideDock:
    """Dock the second view at the left of the window's canvas."""
    widget = BesideDock(beside)
    widget.dock_in(viewer, f"Beside: {beside.title}")
    return widget
