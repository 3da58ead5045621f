"""Loss and AUC over the epochs, drawn as they come.

Painted by the widget itself: a picture by a plotting library takes the window's thread longer than an epoch does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from ...core.colors import OKABE_ITO
from .painting import painting
from .plot import Axes, paint_axes
from .theme import on_ground, theme_color

if TYPE_CHECKING:
    from ..session import Session
    from ..training_run import Run

_COLORS = {"loss": OKABE_ITO["vermilion"], "auc": OKABE_ITO["sky blue"]}


class CoursePlot(QWidget):
    """Two plots side by side. The round of the moment is a strong line, rounds before it are faint.

    Where a fit has no epochs, one plot shows each round's AUC on its held-out patients.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._run: Run | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Course of the training")

    def show_run(self, run: Run | None) -> None:
        """Show a run as far as it has come; it is looked at anew with each call."""
        self._run = run
        self.setAccessibleDescription(self.describe())
        self.update()

    def sizeHint(self) -> QSize:
        """Wide and low."""
        return QSize(340, 160)

    def minimumSizeHint(self) -> QSize:
        """The same height."""
        return QSize(240, 160)

    def describe(self) -> str:
        """What the curves say, in a line."""
        course = None if self._run is None else self._run.current
        if course is None or not course.epochs:
            return ""
        last = course.epochs[-1]
        auc = "" if last.auc is None else f", AUC {last.auc:.3f}"
        return f"Round {last.round}, epoch {last.epoch}: loss {last.loss:.3f}{auc}"

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint axes and lines."""
        run = self._run
        if run is None:
            return
        with painting(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            if run.started is not None and run.started.epochs == 0:
                self._paint_rounds(painter, run)
            else:
                half = self.width() / 2
                self._paint_epochs(painter, run, "loss", QRectF(0, 0, half, self.height()))
                self._paint_epochs(painter, run, "auc", QRectF(half, 0, half, self.height()))

    def _paint_epochs(self, painter: QPainter, run: Run, what: str, room: QRectF) -> None:
        lines = [
            [
                (float(one.epoch), float(value))
                for one in course.epochs
                if (value := getattr(one, what)) is not None and math.isfinite(value)
            ]
            for course in run.rounds.values()
        ]
        values = [y for line in lines for _, y in line]
        last = max([one.epochs for course in run.rounds.values() for one in course.epochs], default=1)
        if run.started is not None:
            last = max(last, run.started.epochs)
        if what == "auc":
            low = min(0.5, math.floor(min(values, default=0.5) * 10) / 10)
            y = (low, 1.0)
            title = "AUC, choosing patients"
        else:
            y = (0.0, max(values, default=1.0) * 1.05 or 1.0)
            title = "Loss"
        axes = paint_axes(painter, self._session, room, (1.0, float(max(2, last))), y, title, "epoch")
        color = on_ground(self, _COLORS[what])
        for line in lines[:-1]:
            faint = QColor(color)
            faint.setAlphaF(0.28)
            self._line(painter, axes, line, faint, 1.2)
        if lines:
            self._line(painter, axes, lines[-1], color, 2.0)
            course = run.current
            kept = next((one for one in reversed(course.epochs) if one.kept), None) if course else None
            value = None if kept is None else getattr(kept, what)
            if kept is not None and value is not None and math.isfinite(value):
                painter.setPen(QPen(color, 1.5))
                painter.setBrush(theme_color(self._session, "background"))
                painter.drawEllipse(axes.at(float(kept.epoch), float(value)), 3.5, 3.5)

    def _paint_rounds(self, painter: QPainter, run: Run) -> None:
        assert run.started is not None
        found = []
        for number, course in run.rounds.items():
            values = [] if course.done is None else patient_aucs(course.done.aucs)
            if values:
                found.append((float(number), sum(values) / len(values)))
        low = min(0.5, math.floor(min([y for _, y in found], default=0.5) * 10) / 10)
        judged = max(2, run.started.rounds - 1)
        room = QRectF(0, 0, self.width(), self.height())
        axes = paint_axes(
            painter,
            self._session,
            room,
            (0.5, judged + 0.5),
            (low, 1.0),
            "AUC per patient, held-out patients of each round",
            "round",
        )
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(on_ground(self, _COLORS["auc"]))
        for x, y in found:
            painter.drawEllipse(axes.at(x, y), 4.5, 4.5)

    def _line(
        self,
        painter: QPainter,
        axes: Axes,
        line: Sequence[tuple[float, float]],
        color: QColor,
        width: float,
    ) -> None:
        points = [axes.at(x, y) for x, y in line]
        painter.setPen(QPen(color, width))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if len(points) == 1:
            painter.drawEllipse(points[0], 2, 2)
        elif points:
            painter.drawPolyline(QPolygonF(points))


def patient_aucs(figures: object) -> list[float]:
    """The AUCs per patient among a round's figures."""
    assert hasattr(figures, "items")
    return [float(value) for name, value in figures.items() if name.endswith("per patient/AUC")]
