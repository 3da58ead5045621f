"""The case's probabilities as bars with numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from ..palette import label_color
from .theme import theme_color, wide

if TYPE_CHECKING:
    from ..session import Session

ROW, GAP, MARGIN = 18, 3, 4


class ProbabilityBars(QWidget):
    """One bar a class, 0 to 1, with its number; a dash where the question did not arise."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._rows: tuple[tuple[str, float | None], ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_probabilities(self, probabilities: dict[str, float | None]) -> None:
        """Show these, in their order."""
        self._rows = tuple(probabilities.items())
        words = [f"{label} {'not scored' if p is None else f'{p:.2f}'}" for label, p in self._rows]
        self.setAccessibleDescription(", ".join(words))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """As high as the rows."""
        return QSize(200, len(self._rows) * (ROW + GAP))

    def minimumSizeHint(self) -> QSize:
        """The same height."""
        return QSize(120, len(self._rows) * (ROW + GAP))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint names, tracks, bars and numbers."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = theme_color(self._session, "text")
        track = theme_color(self._session, "foreground")
        metrics = self.fontMetrics()
        left = wide(metrics, [label for label, _ in self._rows]) + 10 + MARGIN
        right = metrics.horizontalAdvance("0.00") + 8 + MARGIN
        length = max(10, self.width() - left - right)
        for row, (label, probability) in enumerate(self._rows):
            top = row * (ROW + GAP)
            painter.setPen(text)
            middle = Qt.AlignmentFlag.AlignVCenter
            painter.drawText(QRectF(MARGIN, top, left, ROW), middle | Qt.AlignmentFlag.AlignLeft, label)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(track)
            painter.drawRoundedRect(QRectF(left, top + 3, length, ROW - 6), 3, 3)
            if probability is not None:
                painter.setBrush(QColor(label_color(label)))
                painter.drawRoundedRect(QRectF(left, top + 3, max(2.0, length * probability), ROW - 6), 3, 3)
            painter.setPen(text)
            number = "–" if probability is None else f"{probability:.2f}"
            painter.drawText(
                QRectF(self.width() - right, top, right - MARGIN, ROW),
                middle | Qt.AlignmentFlag.AlignRight,
                number,
            )
        painter.end()
