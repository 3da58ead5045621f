"""Suggestions as dashed frames: seen, and no boxes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Vectors
from numpy.typing import NDArray

from ..core import Box
from . import layers as look

if TYPE_CHECKING:
    from .session import Session

COLOR = "#ffffff"
"""Suggestions have no class's colour: what it is, the person says."""

DASHES = 70
"""Dashes along the longer side of the image."""


class OffersLayer:
    """The suggestions of the study that wait for an answer, drawn where the reader may see them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._layer: Vectors | None = None
        session.study_changed.connect(self._pull)
        session.boxes_changed.connect(self._pull)
        session.protocol_changed.connect(self._pull)
        session.viewer.layers.events.removed.connect(self._on_removed)

    @property
    def layer(self) -> Vectors | None:
        """The layer, or None while nothing was ever suggested."""
        return self._layer

    @property
    def shown(self) -> tuple[Box, ...]:
        """The suggestions that the reader sees."""
        session = self._session
        if session.journal is None or not session.protocol.suggests_to(session.reader):
            return ()
        return session.journal.offers

    def _pull(self) -> None:
        volume, layers = self._session.volume, self._session.viewer.layers
        if volume is None:
            if self._layer is not None and self._layer in layers:
                layers.remove(self._layer)
            self._layer = None
            return
        boxes = self.shown
        drawn = dashes(boxes, max(volume.geometry.shape[1:]) / DASHES)
        if self._layer is None:
            if not boxes:
                return
            self._layer = Vectors(
                drawn,
                **look.shared_settings(volume),
                name="Suggestions",
                edge_color=COLOR,
                edge_width=look.edge_width(volume) * 0.6,
                vector_style="line",
                metadata=look.entry(look.OFFERS, volume),
            )
            self._session.boxes.put(self._layer)
            return
        layer = self._layer
        if look.info(layer).get("volume") is not volume:
            layer.metadata = look.entry(look.OFFERS, volume)
            layer.scale = volume.geometry.spacing
            layer.edge_width = look.edge_width(volume) * 0.6
        if layer.data.shape != drawn.shape or not np.array_equal(layer.data, drawn):
            layer.data = drawn
        # An empty layer that is shown costs as much with every slice as one with lines.
        layer.visible = bool(boxes)

    def _on_removed(self, event: Any) -> None:
        if self._layer is not None and event.value is self._layer:
            self._layer = None


def dashes(boxes: Iterable[Box], step: float) -> NDArray[np.float32]:
    """The frames of boxes as short lines, shape (n, 2, 3): where each begins and how far it goes, (slice, row, column).

    `step` is the length of a dash and the gap after it together, in pixels, made to fit each side.
    """
    lines = [np.empty((0, 2, 3), dtype=np.float32)]
    for box in boxes:
        corners = look.rectangle(box)
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            count = max(1, round(float(np.abs(end - start).max()) / step))
            way = (end - start) / count
            begins = start + np.arange(count)[:, None] * way
            lines.append(
                np.stack([begins, np.broadcast_to(0.55 * way, begins.shape)], axis=1).astype(np.float32)
            )
    return np.concatenate(lines)
