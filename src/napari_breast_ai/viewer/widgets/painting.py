"""Painting that ends, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qtpy.QtGui import QPainter
from qtpy.QtWidgets import QWidget


@contextmanager
def painting(widget: QWidget) -> Iterator[QPainter]:
    """A painter on a widget, for its `paintEvent`.

    Qt takes the whole program down where a painter is still at work after a `paintEvent` that failed.
    """
    painter = QPainter(widget)
    try:
        yield painter
    finally:
        painter.end()
