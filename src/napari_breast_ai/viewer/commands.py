"""What napari's menus call."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari

PLUGIN = "napari-breast-ai"
DOCK = "Review"
CASES = "Cases"
ANNOTATE = "Annotate"
TRAIN = "Train"


def open_study(viewer: napari.Viewer) -> None:
    """Ask for a folder, show the Review dock and open the study in it."""
    from . import tasks
    from .session import get_session
    from .widgets.choose import choose_study

    viewer.window.add_plugin_dock_widget(PLUGIN, DOCK)
    folder = choose_study(None)
    if folder:
        tasks.open_path(get_session(viewer), folder)


def show_planes(viewer: napari.Viewer) -> None:
    """Show the study's other planes and its projection beside it, or put them away."""
    from .session import get_session
    from .widgets.planes_dock import switch

    switch(get_session(viewer))


def tour(viewer: napari.Viewer) -> None:
    """Show the Review dock and begin the guided tour in it."""
    from .session import get_session

    viewer.window.add_plugin_dock_widget(PLUGIN, DOCK)
    get_session(viewer).tour.begin()
