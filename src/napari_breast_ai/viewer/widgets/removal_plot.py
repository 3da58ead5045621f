"""Curves of deletion and insertion, small, under the answers that are their areas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from .painting import painting
from .plot import Axes, paint_axes
from .theme import on_ground, theme_color

if TYPE_CHECKING:
    from ...inference.questions.course import Line
    from ..session import Session

PLOT, LINE, MARK = 150, 16, 2.6
"""Heights of the plot and of a line of the legend; half the size of a point."""


class RemovalPlot(QWidget):
    """The score over the part of the image that is taken away or put back, with the areas in the legend."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._lines: tuple[Line, ...] = ()
        self._label = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Score as the hottest is taken away and put back")

    def show_lines(self, lines: tuple[Line, ...], label: str) -> None:
        """Show the courses of a label's score; without any there is nothing to see."""
        self._lines, self._label = lines, label
        if lines:
            from ...inference.questions.course import MEANING

            self.setToolTip(f"<p>{MEANING}</p>")
        self.setVisible(bool(lines))
        self.setAccessibleDescription("; ".join(one.legend for one in lines))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Wide and low, with two lines of legend for each curve."""
        return QSize(300, PLOT + 2 * LINE * len(self._lines))

    def minimumSizeHint(self) -> QSize:
        """The same height."""
        return QSize(200, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint axes, curves and legend."""
        with painting(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            room = QRectF(0, 0, self.width(), PLOT)
            title, below = f"Score of {self._label}", "% of the image taken away, or put back"
            axes = paint_axes(painter, self._session, room, (0.0, 100.0), (0.0, 1.0), title, below, 0)
            for number, one in enumerate(self._lines):
                color = on_ground(self, one.color)
                self._curve(painter, axes, one.course.parts, one.course.by_chance, color)
                self._curve(painter, axes, one.course.parts, one.course.scores, color, one.marker)
                self._legend(painter, PLOT + 2 * LINE * number, one, color)

    def _curve(
        self,
        painter: QPainter,
        axes: Axes,
        parts: tuple[float, ...],
        scores: tuple[float, ...],
        color: QColor,
        marker: str = "",
    ) -> None:
        """A line with its points; without a marker the dotted one of the random orders."""
        points = [axes.at(100 * part, score) for part, score in zip(parts, scores, strict=True)]
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(color, 1.8) if marker else QPen(color, 1.2, Qt.PenStyle.DotLine))
        painter.drawPolyline(QPolygonF(points))
        if marker:
            for point in points:
                _mark(painter, point, color, marker)

    def _legend(self, painter: QPainter, top: float, one: Line, color: QColor) -> None:
        metrics = painter.fontMetrics()
        course = one.course
        for line, text in enumerate(
            (f"{one.name}: area {course.area:.2f}", f"random order (dotted): area {course.chance_area:.2f}")
        ):
            at = QPointF(12, top + (line + 0.5) * LINE)
            if line == 0:
                painter.setPen(QPen(color, 1.8))
                painter.drawLine(at - QPointF(9, 0), at + QPointF(9, 0))
                _mark(painter, at, color, one.marker)
            else:
                painter.setPen(QPen(color, 1.2, Qt.PenStyle.DotLine))
                painter.drawLine(at - QPointF(9, 0), at + QPointF(9, 0))
            painter.setPen(theme_color(self._session, "text"))
            room = QRectF(26, top + line * LINE, self.width() - 28, LINE)
            elided = metrics.elidedText(text, Qt.TextElideMode.ElideRight, int(room.width()))
            painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, elided)


def _mark(painter: QPainter, at: QPointF, color: QColor, marker: str) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    if marker == "o":
        painter.drawEllipse(at, MARK, MARK)
    else:
        painter.drawRect(QRectF(at.x() - MARK, at.y() - MARK, 2 * MARK, 2 * MARK))
