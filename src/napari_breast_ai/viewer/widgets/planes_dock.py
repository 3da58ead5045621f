"""The dock of the other planes and the projection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.qt import QtViewer
from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QCheckBox, QDockWidget, QSplitter, QVBoxLayout, QWidget

from ..planes import Planes
from ..shortcuts import tooltip
from .mip_bar import MipBar
from .section import sentence
from .side_canvas import SideCanvas

if TYPE_CHECKING:
    from ..session import Session

NAME = "Planes"
LATER_MS = 30


class PlanesDock(SideCanvas):
    """Three canvases over each other, with a switch for the crosshair.

    Attributes:
        planes: what they show.
        canvases: across the rows, across the columns, the projection.
        crosshair: the switch. mip_bar: how the projection is seen.
    """

    wide, part = 400, 0.4

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.planes = planes = Planes(session)
        self._session = session
        self.crosshair = QCheckBox("Crosshair")
        self.crosshair.setToolTip(tooltip("crosshair"))
        self.crosshair.setChecked(planes.shared.crosshair)
        self.crosshair.toggled.connect(planes.shared.show_crosshair)
        planes.shared.changed.connect(self._mark)
        self.mip_bar = MipBar(planes.mip)
        self.note = sentence(tone="faint")
        self.note.setMinimumWidth(0)
        self.note.setContentsMargins(6, 0, 6, 0)
        # The study's own slice is drawn first, and what its slider passes over quickly is not drawn here.
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(LATER_MS)
        self._later.timeout.connect(planes.show)
        planes.later = self._put_off
        self.canvases = tuple(QtViewer(view.model) for view in planes.views)
        column = QSplitter(Qt.Orientation.Vertical)
        column.setChildrenCollapsible(False)
        for canvas in self.canvases:
            canvas.setMinimumHeight(80)
            # The wheel, the crosshair and the line in the picture do what the slider would, in less room.
            canvas.dims.hide()
            part: QWidget = canvas
            if canvas is self.canvases[-1]:
                part = QWidget()
                under = QVBoxLayout(part)
                under.setContentsMargins(0, 0, 0, 0)
                under.setSpacing(0)
                under.addWidget(self.mip_bar)
                under.addWidget(canvas, 1)
            column.addWidget(part)
        # All alike, whatever the canvases ask for.
        column.setSizes([1000] * len(self.canvases))
        self._column = column
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.crosshair)
        layout.addWidget(self.note)
        layout.addWidget(column, 1)
        session.study_changed.connect(self._on_study)
        # Not a method of this widget: at that moment only its shell is left.
        self.destroyed.connect(lambda: planes.close())
        self._on_study()

    def fit(self) -> None:
        """Show the whole of each picture."""
        for view in self.planes.views:
            view.fit()

    def _mark(self) -> None:
        with QSignalBlocker(self.crosshair):
            self.crosshair.setChecked(self.planes.shared.crosshair)

    def _put_off(self) -> None:
        if not self._later.isActive():
            self._later.start()

    def showEvent(self, event: QShowEvent) -> None:
        """Follow the study again."""
        super().showEvent(event)
        self.planes.sleep(False)

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody sees it: it costs nothing."""
        super().hideEvent(event)
        self.planes.sleep(True)

    def _on_study(self) -> None:
        note = self.planes.note
        self.note.setText(note)
        self.note.setVisible(bool(note))
        self._column.setVisible(not note)
        self._fit.start(150)

    def let_go(self) -> None:
        """Follow no more and free the canvases."""
        self._session.study_changed.disconnect(self._on_study, missing_ok=True)
        self.planes.shared.changed.disconnect(self._mark, missing_ok=True)
        self.mip_bar.let_go()
        self.planes.close()
        for canvas in self.canvases:
            canvas.close()


def find(session: Session) -> PlanesDock | None:
    """The dock in a session's window, or None where there is none."""
    window = getattr(session.viewer, "window", None)
    found = window.dock_widgets.get(NAME) if window is not None else None
    return found if isinstance(found, PlanesDock) else None


def switch(session: Session) -> None:
    """Show the planes beside the study, or put them away."""
    window = getattr(session.viewer, "window", None)
    if window is None or session.volume is None:
        return
    known = find(session)
    if known is None:
        if session.volume.n_slices < 2:
            session.say("The study has one slice: there are no other planes to show.")
            return
        PlanesDock(session).dock_in(session.viewer, NAME)
    elif known.isVisible():
        window.remove_dock_widget(known)
        known.close()
    else:
        dock = known.parentWidget()
        if isinstance(dock, QDockWidget):
            dock.show()
            dock.raise_()


def switch_crosshair(session: Session) -> None:
    """Show the crosshair of the planes and projections, or hide it."""
    if session.place.volume is not None:
        session.place.show_crosshair(not session.place.crosshair)
