"""Lists to choose from that take no more room than the dock has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtWidgets import QComboBox


def combo(tip: str, letters: int, items: Mapping[Any, str] | None = None) -> QComboBox:
    """A list of texts by their values, at least so many letters wide; the widget around it may make it wider."""
    box = short_combo(tip, letters, items)
    # napari's style would have it at least half as wide again.
    box.setMinimumWidth(box.fontMetrics().horizontalAdvance("0") * letters + 34)
    return box


def short_combo(tip: str, letters: int, items: Mapping[Any, str] | None = None) -> QComboBox:
    """As `combo`, with the room that napari's style gives to so many letters, whatever the longest text is."""
    box = QComboBox()
    for value, text in (items or {}).items():
        box.addItem(text, value)
    box.setToolTip(tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(letters)
    return box
