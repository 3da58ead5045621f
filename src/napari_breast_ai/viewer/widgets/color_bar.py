"""What the colours of a heat map mean, with numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from .. import layers as look
from ..contours import contour_colormap
from ..heat_colors import difference_colormap, heat_colormap, levels
from .painting import painting
from .theme import theme_color

if TYPE_CHECKING:
    from ..heat import Heat
    from ..session import Session

NAME, BAR, AXIS, MARGIN = 17, 12, 15, 12
GROUND = 70
"""The grey that stands for anatomy under the colours."""


class ColorBar(QWidget):
    """The colours of one map as they lie on the image, from its least to its greatest number, with ticks."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._heat: Heat | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def heat(self) -> Heat | None:
        """The map whose colours are shown."""
        return self._heat

    def set_heat(self, heat: Heat | None) -> None:
        """Show the colours of this map as the session draws it."""
        self._heat = heat
        self.setVisible(heat is not None)
        if heat is not None:
            self.setAccessibleName(f"Colours of {heat.name}")
            self.setAccessibleDescription(meaning(heat))
            self.setToolTip(meaning(heat))
        self.update()

    def ticks(self) -> tuple[float, ...]:
        """The numbers at which there are ticks."""
        if self._heat is not None and self._heat.sides is not None:
            return (-1.0, -0.5, 0.0, 0.5, 1.0)
        return (0.0, 0.25, 0.5, 0.75, 1.0)

    def sizeHint(self) -> QSize:
        """A line of text, the bar, and its numbers."""
        return QSize(240, NAME + BAR + AXIS)

    def minimumSizeHint(self) -> QSize:
        """The same height."""
        return QSize(160, NAME + BAR + AXIS)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint name, colours and numbers."""
        heat = self._heat
        if heat is None:
            return
        with painting(self) as painter:
            text = theme_color(self._session, "text")
            painter.setPen(text)
            line = QRectF(MARGIN - 8, 0, self.width() - 2 * MARGIN + 16, NAME)
            middle = Qt.AlignmentFlag.AlignVCenter
            if heat.sides is None:
                painter.drawText(line, middle | Qt.AlignmentFlag.AlignLeft, heat.name)
            else:
                more, less = heat.sides
                painter.drawText(line, middle | Qt.AlignmentFlag.AlignLeft, f"for {less}")
                painter.drawText(line, middle | Qt.AlignmentFlag.AlignRight, f"for {more}")
                kind = "Grad-CAM" if heat.role == look.GRADCAM else "Attention"
                painter.drawText(line, Qt.AlignmentFlag.AlignCenter, kind)
            bar = QRectF(MARGIN, NAME, self.width() - 2 * MARGIN, BAR)
            painter.drawImage(bar, self._colors(heat))
            painter.setPen(QPen(theme_color(self._session, "text", 0.6), 1.0))
            low, high = self.ticks()[0], self.ticks()[-1]
            for tick in self.ticks():
                x = bar.left() + (tick - low) / (high - low) * bar.width()
                painter.drawLine(QPointF(x, bar.bottom()), QPointF(x, bar.bottom() + 3))
                number = f"{tick:+g}" if heat.sides is not None and tick else f"{tick:g}"
                painter.drawText(
                    QRectF(x - 24, bar.bottom() + 2, 48, AXIS - 2), Qt.AlignmentFlag.AlignCenter, number
                )

    def _colors(self, heat: Heat) -> QImage:
        """One row of pixels: the map's colours over grey, or its lines."""
        display, sided = self._session.display, heat.sides is not None
        count = 512
        at = np.linspace(-1 if sided else 0, 1, count)
        row = np.full((count, 3), GROUND / 255)
        if display.style != "lines":
            colors = (
                difference_colormap(display.threshold)
                if sided
                else heat_colormap(heat.colors, display.threshold)
            )
            found = np.asarray(colors.map((at + 1) / 2 if sided else at))
            alpha = display.opacity * found[:, 3:]
            row = row * (1 - alpha) + found[:, :3] * alpha
        if display.style != "wash":
            colors = contour_colormap(heat.colors, sided)
            heights = levels(display.threshold)
            for height in (*heights, *((-one for one in heights) if sided else ())):
                near = np.abs(at - height) < 0.006 * (2 if sided else 1)
                row[near] = np.asarray(colors.map((128 + 127 * height) / 255))[0, :3]
        image = QImage(count, 1, QImage.Format.Format_RGB32)
        for i, (red, green, blue) in enumerate((row * 255).round().clip(0, 255).astype(int)):
            image.setPixelColor(i, 0, QColor(int(red), int(green), int(blue)))
        return image


def meaning(heat: Heat) -> str:
    """What a number of the map says, in a sentence."""
    if heat.sides is None:
        if heat.role == look.ATTENTION:
            return "Attention 0.5: half of the place is lesion to the model, as boxes have taught it."
        return f"{heat.name} 0.5: half the evidence of the strongest place on any slice."
    more, less = heat.sides
    if heat.role == look.ATTENTION:
        return (
            f"Attention +0.5: half a place more is lesion to the question of {more} than to that of {less}."
        )
    return f"Grad-CAM +0.5: more for {more} than for {less}, by half the largest difference on any slice."
