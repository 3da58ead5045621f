"""How a projection is seen: the plane, the slab, and the turn."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtGui import QHideEvent
from qtpy.QtWidgets import QDoubleSpinBox, QLabel, QSlider, QToolButton, QVBoxLayout, QWidget

from ..mip import VIEWS, Mip
from ..projected import PLANES, TURNING
from .combo import combo
from .section import row

PLAY_MS = 120


class MipBar(QWidget):
    """A line of controls over a projection; for one that turns a second one.

    Attributes:
        plane, slab: which, and how thick. turn, play: of a turning one.
    """

    def __init__(self, mip: Mip, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._mip = mip
        names = {plane: text for plane, (text, _) in PLANES.items()}
        self.plane = combo("From where the projection is seen", 8, names)
        self.plane.activated.connect(lambda: mip.set(plane=self.plane.currentData()))
        self.slab = QDoubleSpinBox()
        self.slab.setRange(0.0, 300.0)
        self.slab.setDecimals(0)
        self.slab.setSingleStep(5.0)
        self.slab.setSuffix(" mm")
        self.slab.setSpecialValueText("all")
        self.slab.setKeyboardTracking(False)
        # The dock may be narrow: the wheel and the arrow keys change it too.
        self.slab.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.slab.setToolTip(
            "How thick the slab around the crosshair is that is projected; all: the whole study"
        )
        self.slab.valueChanged.connect(lambda value: mip.set(slab_mm=float(value)))
        self.turn = QSlider(Qt.Orientation.Horizontal)
        self.turn.setRange(0, VIEWS - 1)
        self.turn.setToolTip("Turn it: 0° is from the front, 90° from her left")
        self.turn.valueChanged.connect(mip.turn)
        self.degrees = QLabel()
        self.degrees.setMinimumWidth(self.degrees.fontMetrics().horizontalAdvance("350°") + 4)
        self.play = QToolButton()
        self.play.setText("▶")
        self.play.setCheckable(True)
        self.play.setToolTip("Let it turn by itself, or stop it")
        self._timer = QTimer(self)
        self._timer.setInterval(PLAY_MS)
        self._timer.timeout.connect(self._on)
        self.play.toggled.connect(lambda on: self._timer.start() if on else self._timer.stop())
        self._turns = QWidget()
        self._turns.setLayout(row(self.play, self.turn, self.degrees, stretch=1))
        body = QVBoxLayout(self)
        body.setContentsMargins(4, 2, 4, 2)
        body.setSpacing(2)
        body.addLayout(row(self.plane, QLabel("slab"), self.slab, stretch=0))
        body.addWidget(self._turns)
        mip.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what is set."""
        mip = self._mip
        with QSignalBlocker(self.plane), QSignalBlocker(self.slab), QSignalBlocker(self.turn):
            self.plane.setCurrentIndex(self.plane.findData(mip.plane))
            self.slab.setValue(mip.slab_mm)
            self.turn.setValue(mip.view)
        self.degrees.setText(f"{360 * mip.view // VIEWS}°")
        self._turns.setVisible(mip.plane == TURNING)
        if mip.plane != TURNING:
            self.play.setChecked(False)

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody sees it turn."""
        super().hideEvent(event)
        self.play.setChecked(False)

    def let_go(self) -> None:
        """Follow no more."""
        self._timer.stop()
        self._mip.changed.disconnect(self.refresh, missing_ok=True)

    def _on(self) -> None:
        """One view on, as soon as the last one has come."""
        mip = self._mip
        if mip.made is not None and mip.made.where[0] == mip.view:
            mip.turn(mip.view + 1)
