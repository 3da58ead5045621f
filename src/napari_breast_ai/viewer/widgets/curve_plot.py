"""Time-intensity curves, drawn as fast as the pointer moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from .painting import painting
from .plot import BOTTOM, LEFT, RIGHT, TOP, Axes, paint_axes
from .theme import on_ground, theme_color

if TYPE_CHECKING:
    from ...kinetics import PhaseChoice, Thresholds
    from ..kinetic_curves import Drawn, Unit
    from ..session import Session

TITLES = {
    "percent": "Enhancement over the signal before contrast (%)",
    "signal": "Signal (scanner's units)",
    "concentration": "Concentration of the agent (mM)",
}
PLOT, LINE, RULE = 156, 15, 30
"""Heights: of the plot, of a line of the legend, of the rule below it."""
MOST_LINES = 4


class CurvePlot(QWidget):
    """Curves over the phases' real times, their types, and the rule that the last one's follows from.

    Attributes:
        clicked: emitted with the phase whose place on the time axis was clicked.
    """

    clicked = Signal(int)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._drawn: list[Drawn] = []
        self._unit: Unit = "percent"
        self._choice: PhaseChoice | None = None
        self._thresholds: Thresholds | None = None
        self._hint = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName("Time-intensity curves")

    def show_curves(
        self,
        drawn: list[Drawn],
        unit: Unit,
        choice: PhaseChoice | None,
        thresholds: Thresholds | None,
        hint: str = "",
    ) -> None:
        """Show curves; `hint` says what to do where there are none."""
        self._drawn, self._unit, self._choice, self._thresholds = drawn, unit, choice, thresholds
        self._hint = hint
        self.setAccessibleDescription("; ".join(self.lines()))
        self.update()

    def sizeHint(self) -> QSize:
        """Wide and low, always as high: a dock that moves with the pointer cannot be read."""
        return QSize(360, PLOT + MOST_LINES * LINE + RULE)

    def minimumSizeHint(self) -> QSize:
        """The same height."""
        return QSize(260, self.sizeHint().height())

    def lines(self) -> list[str]:
        """The legend: each curve's name and type, in two columns where there are many; the rest are counted."""
        kinds = [one.curve.kind(self._thresholds) for one in self._drawn]
        if len(self._drawn) <= MOST_LINES:
            return [f"{one.curve.name}: {kind.title}" for one, kind in zip(self._drawn, kinds, strict=True)]
        found = [f"{one.curve.name}: {kind.short}" for one, kind in zip(self._drawn, kinds, strict=True)]
        if len(found) > 2 * MOST_LINES:
            # The pointer's own is the last, and the one that is looked at.
            left = len(found) - 2 * MOST_LINES + 1
            return [*found[: 2 * MOST_LINES - 2], f"… and {left} more", found[-1]]
        return found

    def _shown(self) -> list[Drawn | None]:
        """The curve of each line of the legend; None of the line that counts the rest."""
        if len(self._drawn) <= 2 * MOST_LINES:
            return [*self._drawn]
        return [*self._drawn[: 2 * MOST_LINES - 2], None, self._drawn[-1]]

    def _cell(self, number: int) -> QRectF:
        """Where a line of the legend stands."""
        columns = 1 if len(self._drawn) <= MOST_LINES else 2
        width = self.width() / columns
        return QRectF(width * (number // MOST_LINES), PLOT + LINE * (number % MOST_LINES), width, LINE)

    def rule(self) -> str:
        """Why the pointer's curve, or the last one, is called what it is."""
        return self._drawn[-1].curve.kind(self._thresholds).rule if self._drawn else self._hint

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint axes, phases, curves, legend and rule."""
        with painting(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            axes = self._axes(painter)
            if axes is not None:
                self._paint_phases(painter, axes)
                for one in self._drawn:
                    self._paint_curve(painter, axes, one)
            self._paint_words(painter)

    def times(self) -> tuple[float, ...]:
        """Where the phases lie on the axis: seconds after contrast, or their numbers where times are unknown."""
        volume = self._session.volume
        if self._choice is not None and self._choice.middles_s is not None:
            return self._choice.middles_s
        return tuple(float(phase) for phase in range(volume.n_phases if volume is not None else 0))

    # ------------------------------------------------------------------- mouse

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go to the phase that is nearest."""
        times = self.times()
        if event.button() == Qt.MouseButton.LeftButton and times and event.position().y() < PLOT:
            axes = self._place()
            clicked = event.position().x()
            self.clicked.emit(
                min(range(len(times)), key=lambda phase: abs(axes.at(times[phase], 0).x() - clicked))
            )

    def event(self, event: QEvent) -> bool:
        """Say the rule of the curve whose line of the legend is pointed at."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            text = "Click a phase to go there" if event.pos().y() < PLOT else ""
            for number, one in enumerate(self._shown()):
                if one is not None and self._cell(number).contains(QPointF(event.pos())):
                    text = f"{one.curve.name}: {one.curve.kind(self._thresholds).rule}"
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    # ---------------------------------------------------------------- painting

    def _ends(self) -> tuple[tuple[float, float], tuple[float, float]]:
        times = self.times()
        x = (min(times, default=0.0), max(times, default=1.0))
        values = [v for one in self._drawn for v in one.values(self._unit) or ()]
        low, high = min([0.0, *values]), max(values, default=100.0 if self._unit == "percent" else 1.0)
        if self._unit == "signal" and values:
            low = 0.0 if min(values) >= 0 else min(values)
        return x, (low, high + 0.08 * ((high - low) or 1))

    def _place(self) -> Axes:
        room = QRectF(0, 0, self.width(), PLOT)
        return Axes(room.adjusted(LEFT, TOP, -RIGHT, -BOTTOM), *self._ends())

    def _axes(self, painter: QPainter) -> Axes | None:
        if not self.times():
            return None
        timed = self._choice is not None and self._choice.middles_s is not None
        below = "seconds after contrast (middle of each phase)" if timed else "phase (times unknown)"
        x, y = self._ends()
        room = QRectF(0, 0, self.width(), PLOT)
        return paint_axes(painter, self._session, room, x, y, TITLES[self._unit], below, x[0])

    def _paint_phases(self, painter: QPainter, axes: Axes) -> None:
        """Where the phases that are compared lie, and which one is on the screen."""
        times = self.times()
        faint = theme_color(self._session, "text", 0.45)
        small = painter.font()
        small.setPointSizeF(max(7.0, small.pointSizeF() * 0.8))
        font = painter.font()
        painter.setFont(small)
        choice = self._choice
        if choice is not None:
            named = [(choice.pre, "before"), (choice.early, "early"), (choice.late, "late")]
            for phase, name in named:
                if phase is None or phase >= len(times):
                    continue
                top = axes.at(times[phase], axes.y[1])
                painter.setPen(QPen(faint, 1, Qt.PenStyle.DotLine))
                painter.drawLine(top, axes.at(times[phase], axes.y[0]))
                painter.setPen(faint)
                # At an end of the axis the name goes inwards.
                wide = painter.fontMetrics().horizontalAdvance(name)
                left = min(max(top.x() - wide / 2, axes.place.left()), axes.place.right() - wide)
                painter.drawText(QPointF(left, top.y() - 1), name)
        painter.setFont(font)
        if self._session.phase_index < len(times):
            at = axes.at(times[self._session.phase_index], axes.y[0])
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme_color(self._session, "text"))
            painter.drawPolygon(QPolygonF([at, at + QPointF(-4, -6), at + QPointF(4, -6)]))

    def _paint_curve(self, painter: QPainter, axes: Axes, one: Drawn) -> None:
        values = one.values(self._unit)
        if values is None:
            return
        color = self._color(one)
        if not one.strong and one is not self._drawn[-1]:
            color.setAlphaF(0.5)
        points = [axes.at(t, v) for t, v in zip(self.times(), values, strict=True)]
        pen = self._pen(one, 2.2 if one.strong else 1.4)
        pen.setColor(color)
        painter.setPen(pen)
        painter.drawPolyline(QPolygonF(points))
        painter.setBrush(color)
        painter.setPen(Qt.PenStyle.NoPen)
        if len(points) <= 12:
            for point in points:
                painter.drawEllipse(point, 2.6, 2.6)

    def _pen(self, one: Drawn, width: float) -> QPen:
        pen = QPen(self._color(one), width)
        if one.dashed:
            pen.setDashPattern([3.0, 2.0])
        return pen

    def _color(self, one: Drawn) -> QColor:
        return on_ground(self, one.color)

    def _paint_words(self, painter: QPainter) -> None:
        metrics = painter.fontMetrics()
        used = min(len(self._drawn), MOST_LINES)
        text = theme_color(self._session, "text")
        for number, (line, one) in enumerate(zip(self.lines(), self._shown(), strict=True)):
            cell = self._cell(number)
            if one is not None:
                painter.setPen(self._pen(one, 2.2))
                middle = cell.top() + LINE / 2
                painter.drawLine(QPointF(cell.left() + 3, middle), QPointF(cell.left() + 16, middle))
            painter.setPen(text)
            room = cell.adjusted(20, 0, -2, 0)
            painter.drawText(
                room,
                Qt.AlignmentFlag.AlignVCenter,
                metrics.elidedText(line, Qt.TextElideMode.ElideMiddle, int(room.width())),
            )
        painter.setPen(theme_color(self._session, "text", 0.7))
        small = painter.font()
        small.setPointSizeF(max(7.0, small.pointSizeF() * 0.9))
        painter.setFont(small)
        painter.drawText(
            QRectF(4, PLOT + used * LINE, self.width() - 8, RULE + (MOST_LINES - used) * LINE),
            Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap,
            self.rule(),
        )
