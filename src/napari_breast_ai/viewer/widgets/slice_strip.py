"""The strip along the slices: what the model said of each, where boxes are, where we are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from ..palette import label_color
from .theme import theme_color, wide

if TYPE_CHECKING:
    from ..session import Session

ROW, GAP, BOXES, AXIS = 24, 3, 14, 16
MARGIN = 4


class SliceStrip(QWidget):
    """A row of bars a class, one bar a slice, 0 to 1; a mark at slices with boxes; a line at the current one.

    Attributes:
        clicked: emitted with the index of the slice that was clicked, or reached by arrow keys.
    """

    clicked = Signal(int)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._n = 0
        self._current = 0
        self._slices: tuple[int, ...] = ()
        self._scores: dict[str, NDArray[np.float32]] = {}
        self._boxed: frozenset[int] = frozenset()
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_study(self, n_slices: int, boxed: Sequence[int]) -> None:
        """Tell the number of slices, and which of them have boxes."""
        self._n, self._boxed = n_slices, frozenset(boxed)
        self.update()

    def set_scores(self, slices: Sequence[int], scores: dict[str, NDArray[np.float32]]) -> None:
        """Tell the scores, label to (n,), of the n slices; empty for none."""
        self._slices, self._scores = tuple(slices), dict(scores)
        self.updateGeometry()
        self.update()

    def set_current(self, index: int) -> None:
        """Move the line."""
        self._current = index
        self.update()

    def x_of(self, index: int) -> float:
        """The horizontal middle of a slice's bars, in the widget's pixels."""
        left, width = self._span()
        return left + (index + 0.5) * width / max(1, self._n)

    def slice_at(self, x: float) -> int | None:
        """The slice under a horizontal position; the nearest one beside the ends, None without a study."""
        if not self._n:
            return None
        left, width = self._span()
        return min(max(int((x - left) * self._n / width), 0), self._n - 1)

    def sizeHint(self) -> QSize:
        """As high as the rows."""
        return QSize(240, len(self._scores) * (ROW + GAP) + BOXES + AXIS)

    def minimumSizeHint(self) -> QSize:
        """The same height."""
        return QSize(160, self.sizeHint().height())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Jump."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._go(self.slice_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say what is under the mouse; with the button down, go through the slices."""
        index = self.slice_at(event.position().x())
        if index is None:
            return
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._go(index)
        QToolTip.showText(event.globalPosition().toPoint(), self.describe(index), self)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right go from slice to slice."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        if step is None or not self._n:
            super().keyPressEvent(event)
            return
        self._go(min(max(self._current + step, 0), self._n - 1))

    def describe(self, index: int) -> str:
        """What is known of a slice, in a line."""
        parts = [f"Slice {index}"]
        if index in self._slices:
            at = self._slices.index(index)
            parts += [f"{label} {scores[at]:.2f}" for label, scores in self._scores.items()]
        elif self._scores:
            parts.append("not scored")
        if index in self._boxed:
            parts.append("boxed")
        return ", ".join(parts)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint rows, marks, axis and line."""
        if not self._n:
            return
        painter = QPainter(self)
        text = theme_color(self._session, "text")
        left, width = self._span()
        step = width / self._n
        for row, (label, scores) in enumerate(self._scores.items()):
            self._paint_row(painter, row * (ROW + GAP), label, scores, step)
        bottom = len(self._scores) * (ROW + GAP)
        painter.setPen(text)
        middle = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.drawText(QRectF(MARGIN, bottom, left, BOXES), middle, "boxes")
        painter.setBrush(text)
        painter.setPen(Qt.PenStyle.NoPen)
        side = min(max(step, 4.0), 8.0)
        for index in self._boxed:
            painter.drawRect(QRectF(self.x_of(index) - side / 2, bottom + (BOXES - side) / 2, side, side))
        line = QPen(theme_color(self._session, "text"), 1.5)
        painter.setPen(line)
        x = self.x_of(self._current)
        painter.drawLine(QPointF(x, 0), QPointF(x, bottom + BOXES))
        self._paint_axis(painter, bottom + BOXES, x)
        painter.end()

    def _paint_row(
        self, painter: QPainter, top: float, label: str, scores: NDArray[np.float32], step: float
    ) -> None:
        left, width = self._span()
        painter.setPen(theme_color(self._session, "text"))
        middle = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.drawText(QRectF(MARGIN, top, left, ROW), middle, label)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme_color(self._session, "foreground", 0.6))
        painter.drawRect(QRectF(left, top, width, ROW))
        painter.setBrush(QColor(label_color(label)))
        # A gap between bars only where there is room for one.
        bar = step - 1 if step >= 4 else step
        for index, score in zip(self._slices, scores, strict=True):
            height = ROW * float(score)
            painter.drawRect(QRectF(left + index * step, top + ROW - height, max(1.0, bar), height))

    def _paint_axis(self, painter: QPainter, top: float, x: float) -> None:
        """The first, the last and the current slice's numbers; no two on top of each other."""
        left, width = self._span()
        metrics = self.fontMetrics()
        here = str(self._current)
        half = metrics.horizontalAdvance(here) / 2 + 6
        center = min(max(x, left + half), left + width - half)
        painter.drawText(QRectF(center - half, top, 2 * half, AXIS), Qt.AlignmentFlag.AlignCenter, here)
        painter.setPen(theme_color(self._session, "text", 0.6))
        last = str(self._n - 1)
        if center - half > left + metrics.horizontalAdvance("0") + 2:
            painter.drawText(QRectF(left, top, 30, AXIS), Qt.AlignmentFlag.AlignVCenter, "0")
        if center + half < left + width - metrics.horizontalAdvance(last) - 2:
            right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
            painter.drawText(QRectF(left + width - 60, top, 60, AXIS), right, last)

    def _span(self) -> tuple[float, float]:
        """Where the bars begin, and how wide they are together."""
        left = wide(self.fontMetrics(), ["boxes", *self._scores]) + 10 + MARGIN
        return float(left), float(max(20, self.width() - left - MARGIN))

    def _go(self, index: int | None) -> None:
        if index is not None and index != self._current:
            self.set_current(index)
            self.clicked.emit(index)
