"""Axes that a widget paints by itself, for plots that must keep up with a training or with the pointer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QPainter, QPen

from .theme import theme_color

if TYPE_CHECKING:
    from ..session import Session

LEFT, RIGHT, TOP, BOTTOM = 36, 12, 26, 30


@dataclass(frozen=True)
class Axes:
    """Where a plot stands and what its ends mean."""

    place: QRectF
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> QPointF:
        """The widget's point of a value."""
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return QPointF(
            self.place.left() + across * self.place.width(), self.place.bottom() - up * self.place.height()
        )


def paint_axes(
    painter: QPainter,
    session: Session,
    room: QRectF,
    x: tuple[float, float],
    y: tuple[float, float],
    title: str,
    below: str,
    first: float = 1,
) -> Axes:
    """Paint title, grid, numbers and the name of the x axis.

    Args:
        painter: of the widget, with its font.
        session: whose theme gives the colours.
        room: for all of it.
        x, y: the ends of the axes.
        title: over the plot, left.
        below: under the x axis.
        first: no number on the x axis below it.
    """
    axes = Axes(room.adjusted(LEFT, TOP, -RIGHT, -BOTTOM), x, y)
    text, grid = theme_color(session, "text"), theme_color(session, "text", 0.16)
    font = painter.font()
    painter.setPen(text)
    painter.drawText(
        QRectF(room.left() + 4, room.top(), room.width() - 4, TOP - 8),
        Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter,
        title,
    )
    small = painter.font()
    small.setPointSizeF(max(7.0, font.pointSizeF() * 0.85))
    painter.setFont(small)
    for value in ticks(*y):
        at = axes.at(x[0], value)
        painter.setPen(QPen(grid, 1))
        painter.drawLine(QPointF(axes.place.left(), at.y()), QPointF(axes.place.right(), at.y()))
        painter.setPen(text)
        painter.drawText(
            QRectF(room.left(), at.y() - 8, LEFT - 5, 16),
            Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
            f"{value:g}",
        )
    whole = [value for value in ticks(*x) if value == round(value) and value >= first]
    for value in whole:
        at = axes.at(value, y[0])
        painter.drawText(
            QRectF(at.x() - 20, axes.place.bottom() + 1, 40, 14),
            Qt.AlignmentFlag.AlignCenter,
            f"{value:g}",
        )
    painter.drawText(
        QRectF(axes.place.left(), axes.place.bottom() + 14, axes.place.width(), 14),
        Qt.AlignmentFlag.AlignCenter,
        below,
    )
    painter.setFont(font)
    return axes


def ticks(low: float, high: float) -> list[float]:
    """Round values inside a range, three to six of them."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    step = 10 ** math.floor(math.log10(span / 3))
    step *= next((k for k in (1, 2, 5, 10) if span / (k * step) <= 5), 10)
    first = math.ceil(low / step - 1e-9)
    return [round((first + i) * step, 10) for i in range(math.floor(high / step + 1e-9) - first + 1)]
