"""The guided tour's card, and the frame around what it speaks of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QRectF, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from ...core.colors import OKABE_ITO
from ..tour import STEPS
from .painting import painting
from .section import Links, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session

COLOUR = OKABE_ITO["orange"]


class TourPanel(QFrame):
    """What the present step asks for, whether it is done, and the way on."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tour = session.tour
        self.setObjectName("tour")
        self.setStyleSheet(f"#tour {{ border: 1px solid {COLOUR}; border-radius: 4px; }}")
        self.heading = QLabel()
        self.text = sentence()
        self.done = QLabel("✓ Done. Press Next.")
        self.end_button = button("End", "Leave the tour", session.tour.end)
        self.back_button = button("Back", "The step before", lambda: session.tour.move(-1))
        self.act_button = button("Do it for me", "The program does this step", session.tour.act)
        self.next_button = button(
            "Next", "The next step, whether this one is done or not", lambda: session.tour.move(1)
        )
        inner = QVBoxLayout(self)
        inner.setContentsMargins(8, 6, 8, 6)
        inner.setSpacing(4)
        inner.addLayout(row(self.heading, self.end_button, stretch=0))
        inner.addWidget(self.text)
        inner.addWidget(self.done)
        inner.addLayout(row(self.back_button, self.act_button, self.next_button, stretch=1))
        links.connect(session.tour.changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the present step, or nothing."""
        tour, step = self._tour, self._tour.step
        self.setVisible(step is not None)
        if step is None or tour.index is None:
            return
        last = tour.index + 1 == len(STEPS)
        self.heading.setText(f"<b>Tour, {tour.index + 1} of {len(STEPS)}: {step.title}</b>")
        self.text.setText(step.text)
        self.done.setVisible(tour.met)
        self.done.setText("✓ Done. That was the whole way." if last else "✓ Done. Press Next.")
        self.back_button.setEnabled(tour.index > 0)
        self.act_button.setEnabled(step.act is not None and not tour.met)
        self.next_button.setText("Finish" if last else "Next")


class Spotlight(QWidget):
    """A frame around a widget, which lets the mouse through.

    Attributes:
        moved: emitted when the widget has another place or size.
    """

    MARGIN = 3
    moved = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._target: QWidget | None = None
        self.hide()

    def show_on(self, target: QWidget | None) -> None:
        """Frame another widget of the same parent, or none."""
        if self._target is not None:
            self._target.removeEventFilter(self)
        self._target = target
        if target is None:
            self.hide()
            return
        target.installEventFilter(self)
        self._follow()
        self.show()
        self.raise_()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Go where the widget goes."""
        if watched is self._target and event.type() in (QEvent.Type.Move, QEvent.Type.Resize):
            self._follow()
            self.moved.emit()
        return super().eventFilter(watched, event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The frame."""
        with painting(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(QColor(COLOUR), 2))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)

    def _follow(self) -> None:
        if self._target is not None:
            m = self.MARGIN
            self.setGeometry(self._target.geometry().adjusted(-m, -m, m, m))
