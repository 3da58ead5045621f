"""How a number looks that is not to be taken as certain: hatched, not filled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QWidget

from .theme import on_ground

if TYPE_CHECKING:
    from ..session import Session


def bar_brush(session: Session, widget: QWidget, color: str, doubtful: bool | None = None) -> QBrush:
    """What a probability's bar on a widget is filled with: its colour, or hatched where it is not certain.

    `doubtful` None: as the session's own answer is.
    """
    if bool(session.range.doubt) if doubtful is None else doubtful:
        return QBrush(on_ground(widget, color), Qt.BrushStyle.BDiagPattern)
    return QBrush(QColor(color))
