"""napari's theme for widgets that paint themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from qtpy.QtGui import QColor, QFontMetrics, QPalette
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from ..session import Session


def theme_color(session: Session, name: str, alpha: float = 1.0) -> QColor:
    """A colour of the window's theme: "text", "background", "foreground", "highlight", ..."""
    red, green, blue = getattr(get_theme(session.viewer.theme), name).as_rgb_tuple()[:3]
    color = QColor(int(red), int(green), int(blue))
    color.setAlphaF(alpha)
    return color


def on_ground(widget: QWidget, color: str) -> QColor:
    """A colour for lines and hatching on a widget: light ones, such as yellow, are darker where the ground is light."""
    found = QColor(color)
    return found if is_dark(widget) or found.lightness() < 110 else found.darker(150)


def is_dark(widget: QWidget) -> bool:
    """Whether a widget that is shown has a dark ground, as napari's style makes it."""
    return widget.palette().color(QPalette.ColorRole.Window).lightness() < 128


def wide(metrics: QFontMetrics, texts: Any) -> int:
    """The width in pixels of the widest text."""
    return max((metrics.horizontalAdvance(text) for text in texts), default=0)
