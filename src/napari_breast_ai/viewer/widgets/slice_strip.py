"""The strip along the slices: what the model said of each, where boxes are, where we are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRect, QRectF, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from ...core import Box
from ..palette import label_color
from .doubt import bar_brush
from .painting import painting
from .theme import theme_color, wide

if TYPE_CHECKING:
    from ..session import Session

ROW, GAP, BOXES, AXIS = 24, 3, 14, 16
MARGIN = 4
PAGE = 10


class SliceStrip(QWidget):
    """A row of bars a class, one bar a slice, 0 to 1; marks of the boxes' classes; a line at the current slice.

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
        self._boxed: dict[int, list[str]] = {}
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_study(self, n_slices: int, boxes: Iterable[Box]) -> None:
        """Tell the number of slices, and the boxes on them."""
        self._n = n_slices
        self._boxed = {}
        for box in boxes:
            self._boxed.setdefault(box.z, []).append(box.label)
        self.update()

    def set_scores(self, slices: Sequence[int], scores: dict[str, NDArray[np.float32]]) -> None:
        """Tell the scores, label to (n,), of the n slices; empty for none."""
        self._slices, self._scores = tuple(slices), dict(scores)
        self.updateGeometry()
        self.update()

    def set_current(self, index: int) -> None:
        """Move the line."""
        before, self._current = self._current, index
        for one in {before, index}:
            self.update(self._reach(one))

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
        """Left and right go from slice to slice, Page up and down by ten, Home and End to the ends."""
        here, last = self._current, self._n - 1
        goals = {
            Qt.Key.Key_Left: here - 1,
            Qt.Key.Key_Right: here + 1,
            Qt.Key.Key_PageUp: here - PAGE,
            Qt.Key.Key_PageDown: here + PAGE,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: last,
        }
        goal = goals.get(Qt.Key(event.key()))
        if goal is None or not self._n:
            super().keyPressEvent(event)
            return
        self._go(min(max(goal, 0), last))

    def describe(self, index: int) -> str:
        """What is known of a slice, in a line."""
        parts = [f"Slice {index}"]
        if index in self._slices:
            at = self._slices.index(index)
            parts += [f"{label} {scores[at]:.2f}" for label, scores in self._scores.items()]
        elif self._scores:
            parts.append("not scored")
        if index in self._boxed:
            counts = Counter(self._boxed[index])
            told = [label if number == 1 else f"{number} × {label}" for label, number in counts.items()]
            parts.append(f"boxed as {' and '.join(told)}")
        return ", ".join(parts)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint rows, marks, axis and line."""
        if not self._n:
            return
        with painting(self) as painter:
            text = theme_color(self._session, "text")
            left, width = self._span()
            step = width / self._n
            for row, (label, scores) in enumerate(self._scores.items()):
                self._paint_row(painter, row * (ROW + GAP), label, scores, step, event.rect())
            bottom = len(self._scores) * (ROW + GAP)
            painter.setPen(text)
            middle = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
            painter.drawText(QRectF(MARGIN, bottom, left, BOXES), middle, "boxes")
            painter.setPen(Qt.PenStyle.NoPen)
            side = min(max(step, 4.0), 8.0)
            for index, labels in self._boxed.items():
                # A mark for each class, in its colour, the commonest first.
                kinds = [label for label, _ in Counter(labels).most_common()]
                height = side / len(kinds)
                for place, label in enumerate(kinds):
                    painter.setBrush(QColor(label_color(label, self._session.protocol)))
                    top = bottom + (BOXES - side) / 2 + place * height
                    painter.drawRect(QRectF(self.x_of(index) - side / 2, top, side, height).toRect())
            line = QPen(theme_color(self._session, "text"), 1.5)
            painter.setPen(line)
            x = self.x_of(self._current)
            painter.drawLine(QPointF(x, 0), QPointF(x, bottom + BOXES))
            if self.hasFocus():
                # Where the arrow keys go.
                painter.setPen(QPen(theme_color(self._session, "highlight"), 1.0))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(QRectF(left, 0, width, bottom + BOXES - 1))
            self._paint_axis(painter, bottom + BOXES)

    def _paint_row(
        self,
        painter: QPainter,
        top: float,
        label: str,
        scores: NDArray[np.float32],
        step: float,
        seen: QRect,
    ) -> None:
        left, width = self._span()
        painter.setPen(theme_color(self._session, "text"))
        middle = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.drawText(QRectF(MARGIN, top, left, ROW), middle, label)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme_color(self._session, "foreground", 0.6))
        painter.drawRect(QRectF(left, top, width, ROW))
        painter.setBrush(bar_brush(self._session, self, label_color(label)))
        # A gap between bars only where there is room for one.
        gap = 1 if step >= 4 else 0
        for index, score in zip(self._slices, scores, strict=True):
            # On whole pixels: a part of the strip that is painted anew must look as before.
            start, end = round(left + index * step), round(left + (index + 1) * step) - gap
            if start <= seen.right() and end >= seen.left():
                height = round(ROW * float(score))
                painter.drawRect(QRect(start, round(top) + ROW - height, max(1, end - start), height))

    def _paint_axis(self, painter: QPainter, top: float) -> None:
        """The first, the last and the current slice's numbers; no two on top of each other."""
        left, width = self._span()
        metrics = self.fontMetrics()
        here = str(self._current)
        center, half = self._number(self._current)
        painter.drawText(QRectF(center - half, top, 2 * half, AXIS), Qt.AlignmentFlag.AlignCenter, here)
        painter.setPen(theme_color(self._session, "text", 0.6))
        last = str(self._n - 1)
        if center - half > left + metrics.horizontalAdvance("0") + 2:
            painter.drawText(QRectF(left, top, 30, AXIS), Qt.AlignmentFlag.AlignVCenter, "0")
        if center + half < left + width - metrics.horizontalAdvance(last) - 2:
            right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
            painter.drawText(QRectF(left + width - 60, top, 60, AXIS), right, last)

    def _number(self, index: int) -> tuple[float, float]:
        """The middle of a slice's number under the strip, and half of its width."""
        left, width = self._span()
        half = self.fontMetrics().horizontalAdvance(str(index)) / 2 + 6
        return min(max(self.x_of(index), left + half), left + width - half), half

    def _reach(self, index: int) -> QRect:
        """What changes where a slice becomes the current one: line, number, and the numbers it takes the room of."""
        center, half = self._number(index)
        half += self.fontMetrics().horizontalAdvance(str(self._n)) + 6
        return QRectF(center - half, 0, 2 * half, self.height()).toAlignedRect()

    def _span(self) -> tuple[float, float]:
        """Where the bars begin, and how wide they are together."""
        left = wide(self.fontMetrics(), ["boxes", *self._scores]) + 10 + MARGIN
        return float(left), float(max(20, self.width() - left - MARGIN))

    def _go(self, index: int | None) -> None:
        if index is not None and index != self._current:
            self.set_current(index)
            self.clicked.emit(index)
