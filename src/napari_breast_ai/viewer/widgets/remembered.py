"""What the windows remember for a user from one time to the next."""

from __future__ import annotations

from qtpy.QtCore import QSettings


def settings() -> QSettings:
    """The user's settings: last folders, folded sections."""
    return QSettings("napari-breast-ai", "napari-breast-ai")
