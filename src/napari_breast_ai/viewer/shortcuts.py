"""One table of shortcuts: it makes the bindings, the tooltips and the documentation's table.

The keys of the active layer beat those of the viewer in napari, so each is bound on the viewer and on every
layer of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core import BOX_LABELS

if TYPE_CHECKING:
    from napari.layers import Layer

    from .session import Session


@dataclass(frozen=True)
class Shortcut:
    """A key and what it does.

    Attributes:
        name: by which widgets find it.
        key: in napari's spelling.
        text: what it does, as in a tooltip.
        action: what is called with the session.
    """

    name: str
    key: str
    text: str
    action: Callable[[Session], None]


def _class(index: int) -> Callable[[Session], None]:
    return lambda session: session.set_label(BOX_LABELS[index])


def _flip(name: str) -> Callable[[Session], None]:
    def flip(session: Session) -> None:
        session.set_display(**{name: not getattr(session.display, name)})

    return flip


def _step(slices: int = 0, phases: int = 0) -> Callable[[Session], None]:
    return lambda session: session.go_to(session.slice_index + slices, session.phase_index + phases)


def _subtraction(session: Session) -> None:
    from . import layers as look

    for layer in session.viewer.layers:
        if look.info(layer).get("role") == look.SUBTRACTION:
            layer.visible = not layer.visible


SHORTCUTS: tuple[Shortcut, ...] = (
    Shortcut(
        "draw", "B", "Draw boxes, or move the picture again", lambda s: s.boxes.draw(not s.boxes.drawing)
    ),
    *(
        Shortcut(
            f"class {i + 1}",
            str(i + 1),
            f"Class of the next box, or of the selected ones: {label}",
            _class(i),
        )
        for i, label in enumerate(BOX_LABELS)
    ),
    Shortcut("undo", "Control-Z", "Undo the last change of a box", lambda s: s.boxes.undo()),
    Shortcut("redo", "Control-Shift-Z", "Redo it", lambda s: s.boxes.redo()),
    Shortcut("previous slice", "Up", "Previous slice", _step(slices=-1)),
    Shortcut("next slice", "Down", "Next slice", _step(slices=1)),
    Shortcut("previous phase", ",", "Previous phase", _step(phases=-1)),
    Shortcut("next phase", ".", "Next phase", _step(phases=1)),
    Shortcut("subtraction", "S", "Show or hide the subtraction", _subtraction),
    Shortcut("attention", "A", "Show or hide the attention", _flip("attention")),
    Shortcut("gradcam", "G", "Show or hide the Grad-CAM", _flip("gradcam")),
    Shortcut("top slice", "T", "Go to the slice with the highest score", lambda s: s.go_to(s.top_slice())),
)
_BY_NAME = {shortcut.name: shortcut for shortcut in SHORTCUTS}


def tooltip(name: str) -> str:
    """What a shortcut does and its key, as for a button's tooltip."""
    shortcut = _BY_NAME[name]
    return f"{shortcut.text} ({shortcut.key.replace('-', '+').replace('Control', 'Ctrl')})"


def markdown_table() -> str:
    """The table for the documentation."""
    rows = [f"| `{one.key.replace('-', '+').replace('Control', 'Ctrl')}` | {one.text} |" for one in SHORTCUTS]
    return "\n".join(["| key | what it does |", "| --- | --- |", *rows])


def bind_viewer(session: Session) -> None:
    """Bind all keys on the session's viewer."""
    _bind(session, session.viewer)


def bind_layer(session: Session, layer: Layer) -> None:
    """Bind all keys on one layer of ours, whose own keys would come first otherwise."""
    _bind(session, layer)


def _bind(session: Session, target: Any) -> None:
    for shortcut in SHORTCUTS:

        def press(_: Any, action: Callable[[Session], None] = shortcut.action) -> None:
            if session.volume is not None:
                action(session)

        target.bind_key(shortcut.key, press, overwrite=True)
