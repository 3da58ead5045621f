"""The dock of a projection beside the slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.qt import QtViewer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QDockWidget, QVBoxLayout, QWidget

from ..linked import Linked
from ..mip import MIP, Mip
from ..mip_canvas import MipCanvas
from ..shortcuts import bind_layer
from .mip_bar import MipBar
from .section import sentence
from .side_canvas import SideCanvas

if TYPE_CHECKING:
    from ..session import Session

NAME = "MIP"


class MipDock(SideCanvas):
    """The projection of what the Kinetics dock's page “Images” names, case after case, with heat maps and boxes.

    Attributes:
        mip, view, canvas: what is made, and where it is drawn. linked: what lies over it.
        bar: how it is seen. note: why there is nothing.
    """

    def __init__(self, session: Session, plane: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.mip = Mip(session, MIP, session.kinetics.layers.projected)
        self.mip.set(plane=plane)
        self.view = MipCanvas(session.place, self.mip)
        self.view.tells = False  # the line above the picture does
        self.linked = Linked(session, (self.view,))
        self.linked.awake = False
        bind_layer(session, self.view.model)
        self.bar = MipBar(self.mip)
        self.note = sentence(tone="faint")
        self.note.setMinimumWidth(0)
        self.note.setContentsMargins(6, 0, 6, 0)
        self.canvas = QtViewer(self.view.model)
        self.canvas.dims.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for one in (self.bar, self.note):
            layout.addWidget(one)
        layout.addWidget(self.canvas, 1)
        self._links = (
            (session.study_changed, self._on_study),
            (session.kinetics.layers.changed, self.mip.refresh),
            (session.position_changed, self._mark),
            (session.place.changed, self._mark),
            (self.mip.changed, self._tell),
            (self.mip.changed, self.linked.draw_boxes),
        )
        for signal, slot in self._links:
            signal.connect(slot)
        # Not a method of this widget: at that moment only its shell is left.
        mip, view, place, linked = self.mip, self.view, session.place, self.linked

        def gone() -> None:
            linked.close()
            view.close()
            mip.close()
            place.leave(mip)

        self.destroyed.connect(gone)
        self._on_study()

    def fit(self) -> None:
        """Show the whole of the picture."""
        self.view.fit()

    def showEvent(self, event: QShowEvent) -> None:
        """Somebody sees it: it is made."""
        super().showEvent(event)
        self._session.place.watch(self.mip)
        self.mip.sleep(False)
        self.linked.awake = True
        self.linked.catch_up()
        self._mark()

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody sees it: it costs nothing."""
        super().hideEvent(event)
        self.mip.sleep(True)
        self.linked.awake = False
        self._session.place.leave(self.mip)

    def _on_study(self) -> None:
        self.mip.refresh()  # before the view looks what is there already
        volume = self._session.volume
        if volume is not self.view.volume:
            self.linked.clear()
            self.view.clear()
            if volume is not None and volume.n_slices > 1:
                self.view.begin(volume)
                self.linked.begin(volume)
                self.linked.draw_boxes()
        self._tell()

    def _mark(self) -> None:
        place = self._session.place
        if place.volume is not None:
            self.view.show(place.at, place.crosshair)

    def _tell(self) -> None:
        self.note.setText(self.mip.note)
        self.note.setVisible(bool(self.mip.note))

    def let_go(self) -> None:
        """Follow no more and free the canvas."""
        for signal, slot in self._links:
            signal.disconnect(slot, missing_ok=True)
        self.linked.close()
        self.bar.let_go()
        self.view.close()
        self.mip.close()
        self._session.place.leave(self.mip)
        self.canvas.close()


def find(session: Session) -> MipDock | None:
    """The dock in a session's window, or None where there is none."""
    window = getattr(session.viewer, "window", None)
    found = window.dock_widgets.get(NAME) if window is not None else None
    return found if isinstance(found, MipDock) else None


def show_mip(session: Session, plane: str) -> None:
    """Dock a projection beside the canvas, or see the one that is there from elsewhere."""
    if (known := find(session)) is None:
        MipDock(session, plane).dock_in(session.viewer, NAME)
        return
    known.mip.set(plane=plane)
    dock = known.parentWidget()
    if isinstance(dock, QDockWidget):
        dock.show()
        dock.raise_()
