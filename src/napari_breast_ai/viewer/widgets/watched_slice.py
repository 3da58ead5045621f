"""One slice that is not learnt from, and where the model looks on it while it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from ..heat_colors import heat_colormap
from .painting import painting

if TYPE_CHECKING:
    from ...training.watching import Shown

_BOX = "#ffffff"


class WatchedSlice(QWidget):
    """The picture, the attention over it in the colours of the heat-map layer, and the reader's boxes.

    Attributes:
        blended: uint8 (rows, columns, 3) as it is drawn, or None.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.blended: NDArray[np.uint8] | None = None
        self._shown: Shown | None = None
        self._attention: Any = None
        self._image: QImage | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Attention on a slice that is not learnt from")

    def show_slice(self, shown: Shown | None, attention: Any) -> None:
        """Show a slice and an attention map, float32 (h, w) in 0..1, or None."""
        if shown is self._shown and attention is self._attention:
            return
        self._shown, self._attention = shown, attention
        self._image = None
        self.blended = None if shown is None else blend(shown.picture, attention)
        if self.blended is not None:
            height, width = self.blended.shape[:2]
            # Without a copy Qt would look at memory that numpy may give away.
            self._image = QImage(
                self.blended.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888
            ).copy()
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Of the picture's form."""
        return QSize(340, 240)

    def minimumSizeHint(self) -> QSize:
        """Large enough to see a lesion."""
        return QSize(160, 200)

    def place(self) -> QRectF:
        """Where the picture lies in the widget: as large as there is room."""
        if self.blended is None:
            return QRectF()
        rows, columns = self.blended.shape[:2]
        scale = min(self.width() / columns, self.height() / rows)
        size = (columns * scale, rows * scale)
        return QRectF((self.width() - size[0]) / 2, (self.height() - size[1]) / 2, *size)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the picture and the boxes."""
        if self._image is None or self._shown is None:
            return
        with painting(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            place = self.place()
            painter.drawImage(place, self._image)
            rows, columns = self._shown.picture.shape[:2]
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(_BOX), 1.5, Qt.PenStyle.DashLine))
            for box in self._shown.boxes:
                # Boxes have their integers at pixel centres, a picture at edges.
                x0, x1 = ((x + 0.5) / columns * place.width() + place.left() for x in (box.x0, box.x1))
                y0, y1 = ((y + 0.5) / rows * place.height() + place.top() for y in (box.y0, box.y1))
                painter.drawRect(QRectF(x0, y0, x1 - x0, y1 - y0))


def blend(picture: NDArray[np.uint8], attention: Any) -> NDArray[np.uint8]:
    """A grey picture (rows, columns) with a map (h, w) in 0..1 over it: uint8 (rows, columns, 3)."""
    grey = np.repeat(np.asarray(picture, np.float32)[..., None], 3, axis=2)
    if attention is None:
        return grey.round().astype(np.uint8)
    rows, columns = picture.shape[:2]
    # Pillow's enlargement keeps cell centres where the heat-map layer has them (align_corners=False).
    large = Image.fromarray(np.ascontiguousarray(attention, np.float32)).resize(
        (columns, rows), Image.Resampling.BILINEAR
    )
    strength = np.clip(np.asarray(large, np.float32), 0, 1)
    colors = np.asarray(heat_colormap("viridis").colors, np.float32)
    found = colors[np.rint(strength * (len(colors) - 1)).astype(int)]
    alpha = 0.6 * found[..., 3:]
    mixed = grey * (1 - alpha) + 255 * found[..., :3] * alpha
    return np.asarray(mixed.round().clip(0, 255), np.uint8)
