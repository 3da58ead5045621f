"""Probabilities as bars with numbers and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from ..palette import label_color
from .doubt import bar_brush
from .painting import painting
from .theme import theme_color, wide

if TYPE_CHECKING:
    from ..session import Session

ROW, GAP, MARGIN = 18, 3, 4
TICK = 4
"""Half the width of the operating point's mark."""


@dataclass(frozen=True)
class Bar:
    """One row.

    Attributes:
        label: the class.
        value: its probability; None where the question did not arise.
        interval: the two ends of its 95 % interval, or None.
        point: the model's operating point, or None.
        caption: a line over the row that says what it and those below it are of; "" for none.
    """

    label: str
    value: float | None
    interval: tuple[float, float] | None = None
    point: float | None = None
    caption: str = ""

    @property
    def number(self) -> str:
        """The number as it is written beside the bar."""
        if self.value is None:
            return "–"
        if self.interval is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} ({self.interval[0]:.2f}–{self.interval[1]:.2f})"

    @property
    def words(self) -> str:
        """All of it in a line."""
        if self.value is None:
            return f"{self.label} not scored: no slice shows a lesion to the model"
        parts = [f"{self.label} {self.value:.3f}"]
        if self.interval is not None:
            parts.append(f"95 % interval {self.interval[0]:.3f} to {self.interval[1]:.3f}")
        if self.point is not None:
            side = "at or above" if self.value >= self.point else "below"
            parts.append(f"{side} the model's operating point {self.point:.3f}")
        return ", ".join(parts)


class ProbabilityBars(QWidget):
    """One bar a class, 0 to 1, with its number; a dash where the question did not arise.

    A line with two ends is the interval, a notch the operating point; under the mouse the numbers are told in full.

    Attributes:
        doubtful: whether the numbers are not to be taken as certain; None: as the session's own answer.
    """

    doubtful: bool | None = None

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._rows: tuple[Bar, ...] = ()
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def rows(self) -> tuple[Bar, ...]:
        """What is shown."""
        return self._rows

    def set_rows(self, rows: Sequence[Bar]) -> None:
        """Show these."""
        height = self.sizeHint()
        self._rows = tuple(rows)
        said = [f"{row.caption}: {row.words}" if row.caption else row.words for row in self._rows]
        self.setAccessibleDescription("; ".join(said))
        if self.sizeHint() != height:
            # Else the whole dock would be laid out and painted again with every slice that has other lesions.
            self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """As high as the rows."""
        return QSize(200, self._tops()[-1])

    def minimumSizeHint(self) -> QSize:
        """The same height."""
        return QSize(120, self._tops()[-1])

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say the row's numbers in full."""
        if (row := self.row_at(event.position().y())) is not None:
            QToolTip.showText(event.globalPosition().toPoint(), row.words, self)

    def row_at(self, y: float) -> Bar | None:
        """The row at a height, in the widget's pixels."""
        tops = self._tops()
        below = [row for row, top in zip(self._rows, tops, strict=False) if top <= y < top + ROW + GAP]
        return below[0] if below else None

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint captions, names, tracks, bars, intervals and numbers."""
        with painting(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            text = theme_color(self._session, "text")
            metrics = self.fontMetrics()
            left = wide(metrics, [row.label for row in self._rows]) + 10 + MARGIN
            right = wide(metrics, [row.number for row in self._rows]) + 8 + MARGIN
            length = max(10, self.width() - left - right)
            middle = Qt.AlignmentFlag.AlignVCenter
            for row, top in zip(self._rows, self._tops(), strict=False):
                painter.setPen(text)
                if row.caption:
                    box = QRectF(MARGIN, top - ROW, self.width() - 2 * MARGIN, ROW)
                    cut = metrics.elidedText(row.caption, Qt.TextElideMode.ElideRight, int(box.width()))
                    painter.drawText(box, middle | Qt.AlignmentFlag.AlignLeft, cut)
                painter.drawText(
                    QRectF(MARGIN, top, left, ROW), middle | Qt.AlignmentFlag.AlignLeft, row.label
                )
                self._paint_bar(painter, QRectF(left, top + 3, length, ROW - 6), row)
                painter.setPen(text)
                painter.drawText(
                    QRectF(self.width() - right, top, right - MARGIN, ROW),
                    middle | Qt.AlignmentFlag.AlignRight,
                    row.number,
                )

    def _paint_bar(self, painter: QPainter, track: QRectF, row: Bar) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme_color(self._session, "foreground"))
        painter.drawRoundedRect(track, 3, 3)
        if row.value is not None:
            painter.setBrush(bar_brush(self._session, self, label_color(row.label), self.doubtful))
            filled = QRectF(track)
            filled.setWidth(max(2.0, track.width() * row.value))
            painter.drawRoundedRect(filled, 3, 3)
        text, ground = (theme_color(self._session, name) for name in ("text", "background"))
        if row.interval is not None:
            low, high = (track.left() + end * track.width() for end in row.interval)
            y, half = track.center().y(), track.height() / 2 - 2
            # Lined with the ground's colour: it crosses the bar's end.
            for pen in (QPen(ground, 4.0), QPen(text, 1.6)):
                painter.setPen(pen)
                painter.drawLine(QPointF(low, y), QPointF(high, y))
                for x in (low, high):
                    painter.drawLine(QPointF(x, y - half), QPointF(x, y + half))
        if row.point is not None:
            x = track.left() + row.point * track.width()
            painter.setPen(QPen(ground, 1.0))
            painter.setBrush(text)
            for tip, base in (
                (track.top() + TICK - 1, track.top() - 3),
                (track.bottom() - TICK + 1, track.bottom() + 3),
            ):
                mark = [QPointF(x, tip), QPointF(x - TICK, base), QPointF(x + TICK, base)]
                painter.drawPolygon(QPolygonF(mark))

    def _tops(self) -> list[int]:
        """Where each row begins, and where the last one ends."""
        tops, y = [], 0
        for row in self._rows:
            y += ROW if row.caption else 0
            tops.append(y)
            y += ROW + GAP
        return [*tops, y]
