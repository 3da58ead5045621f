"""One table of shortcuts: it makes the bindings, the tooltips and the documentation's table.

The keys of the active layer beat those of the viewer in napari, so each is bound on the viewer, and on a layer of
ours where napari has another use for it there.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from napari.utils.key_bindings import coerce_keybinding

from ..annotations.protocol import MOST

if TYPE_CHECKING:
    from .session import Session


@dataclass(frozen=True)
class Shortcut:
    """A key and what it does.

    Attributes:
        name: by which widgets find it.
        key: in napari's spelling.
        text: what it does, as in a tooltip.
        action: what is called with the session.
        release: what is called when the key is let go, for keys that are held.
        part: under which heading it stands in the list of keys.
    """

    name: str
    key: str
    text: str
    action: Callable[[Session], None]
    release: Callable[[Session], None] | None = None
    part: str = ""


def _class(index: int) -> Callable[[Session], None]:
    def choose(session: Session) -> None:
        if index < len(session.protocol.labels):
            session.set_label(session.protocol.labels[index])

    return choose


def _relabel(index: int) -> Callable[[Session], None]:
    def relabel(session: Session) -> None:
        if index < len(session.protocol.labels):
            session.editing.relabel(session.protocol.labels[index])

    return relabel


def _flip(name: str) -> Callable[[Session], None]:
    def flip(session: Session) -> None:
        session.set_display(**{name: not getattr(session.display, name)})

    return flip


def _step(slices: int = 0, phases: int = 0) -> Callable[[Session], None]:
    return lambda session: session.go_to(session.slice_index + slices, session.phase_index + phases)


def _planes(session: Session) -> None:
    from .widgets.planes_dock import switch

    switch(session)


def _crosshair(session: Session) -> None:
    from .widgets.planes_dock import switch_crosshair

    switch_crosshair(session)


def _part(part: str, *shortcuts: tuple[Any, ...]) -> tuple[Shortcut, ...]:
    return tuple(replace(Shortcut(*one), part=part) for one in shortcuts)


SHORTCUTS: tuple[Shortcut, ...] = (
    *_part(
        "Boxes",
        ("draw", "B", "Draw boxes, or move the picture again", lambda s: s.boxes.draw(not s.boxes.drawing)),
        (
            "edit",
            "V",
            "Select, move and resize boxes, or draw again",
            lambda s: s.boxes.edit(not s.boxes.selecting),
        ),
        *(
            (
                f"class {i + 1}",
                str(i + 1),
                f"Class {i + 1} for the next box, and for those that are selected",
                _class(i),
            )
            for i in range(MOST)
        ),
        *(
            (
                f"relabel {i + 1}",
                f"Control-{i + 1}",
                f"Make the box under the pointer, or the last one, class {i + 1}",
                _relabel(i),
            )
            for i in range(MOST)
        ),
        (
            "delete",
            "Delete",
            "Delete the selected boxes, the one under the pointer, or the last one",
            lambda s: s.editing.delete(),
        ),
        (
            "undo",
            "Control-Z",
            "Undo the last change of a box, or the last stroke while a brush is in hand",
            lambda s: s.editing.undo(),
        ),
        ("redo", "Control-Shift-Z", "Redo it", lambda s: s.editing.redo()),
        ("copy next", "C", "Copy the box to the next slice and go there", lambda s: s.editing.copy(1)),
        (
            "copy previous",
            "Shift-C",
            "Copy the box to the previous slice and go there",
            lambda s: s.editing.copy(-1),
        ),
        (
            "interpolate",
            "I",
            "Fill the slices between this box and the nearest other one of its lesion or class",
            lambda s: s.editing.interpolate(),
        ),
        (
            "join",
            "L",
            "Make the selected boxes one lesion; a single box a lesion of its own",
            lambda s: s.editing.join(),
        ),
        ("next box", "J", "Go to the next box", lambda s: s.editing.jump(1)),
        ("previous box", "Shift-J", "Go to the box before", lambda s: s.editing.jump(-1)),
        (
            "hide",
            "H",
            "Hide boxes and suggestions while the key is held",
            lambda s: s.editing.hide(True),
            lambda s: s.editing.hide(False),
        ),
        (
            "empty slice",
            "X",
            "Say that the slice has no lesion, or take that back",
            lambda s: s.editing.say_empty_slice(),
        ),
        (
            "empty case",
            "Shift-X",
            "Say that the case has no lesion, or take that back",
            lambda s: s.editing.say_empty_case(),
        ),
    ),
    *_part(
        "Suggestions",
        (
            "suggest",
            "U",
            "Suggest boxes: from the model's attention, or from the enhancement",
            lambda s: s.editing.suggest(),
        ),
        (
            "accept",
            "Y",
            "Accept the suggestion under the pointer, or the first on the slice, as the class of the moment",
            lambda s: s.editing.accept(),
        ),
        ("accept all", "Shift-Y", "Accept it on all its slices", lambda s: s.editing.accept(whole=True)),
        ("reject", "N", "Reject it", lambda s: s.editing.reject()),
        ("reject all", "Shift-N", "Reject it on all its slices", lambda s: s.editing.reject(whole=True)),
        ("next suggestion", "O", "Go to the next slice with a suggestion", lambda s: s.editing.next_offer()),
    ),
    *_part(
        "Cases",
        ("done", "Enter", "The case is done: go to the next one that is not", lambda s: s.reading.done()),
        ("skip", "K", "Skip the case", lambda s: s.reading.skip()),
        ("next case", "PageDown", "Next case", lambda s: s.reading.next(1)),
        ("previous case", "PageUp", "Previous case", lambda s: s.reading.next(-1)),
    ),
    *_part(
        "View",
        ("previous slice", "Up", "Previous slice (or the wheel)", _step(slices=-1)),
        ("next slice", "Down", "Next slice (or the wheel)", _step(slices=1)),
        ("previous phase", ",", "Previous phase", _step(phases=-1)),
        ("next phase", ".", "Next phase", _step(phases=1)),
        (
            "flip phase",
            "Q",
            "Flip between the pre-contrast phase and this one",
            lambda s: s.editing.flip_phase(),
        ),
        ("subtraction", "S", "Show or hide the subtraction", lambda s: s.editing.flip_subtraction()),
        (
            "planes",
            "P",
            "Show or hide the other planes and the projection, with a crosshair through all",
            _planes,
        ),
        (
            "crosshair",
            "Shift-P",
            "Show or hide the planes' crosshair; without it the left button moves the pictures",
            _crosshair,
        ),
        (
            "turn left",
            "Shift-Left",
            "Turn the projection (MIP) that is set to turning to the left; by hand with the left button",
            lambda s: s.place.turned.emit(1),
        ),
        ("turn right", "Shift-Right", "Turn it to the right", lambda s: s.place.turned.emit(-1)),
        (
            "reset window",
            "R",
            "Brightness and contrast as at the opening (drag with the right button to change them)",
            lambda s: s.editing.reset_window(),
        ),
        (
            "present",
            "F5",
            "The picture alone with large lines, and nothing that names a patient; again to go back",
            lambda s: s.presenter.flip(),
        ),
    ),
    *_part(
        "Model",
        ("attention", "A", "Show or hide the attention", _flip("attention")),
        ("gradcam", "G", "Show or hide the Grad-CAM", _flip("gradcam")),
        (
            "live",
            "W",
            "Let boxes teach the attention, or show the model's own",
            lambda s: s.live.switch(not s.live.on),
        ),
        ("top slice", "T", "Go to the slice with the highest score", lambda s: s.go_to(s.top_slice())),
    ),
    *_part(
        "Kinetics",
        (
            "kinetics",
            "E",
            "Show or hide kinetics: the map over the image, and the curves",
            lambda s: s.kinetics.layers.flip_map(),
        ),
        ("keep curve", "M", "Keep the curve under the pointer", lambda s: s.kinetics.curves.keep()),
        (
            "flip motion",
            "F",
            "Flip between the phases before and after motion correction",
            lambda s: s.kinetics.motion.flip(),
        ),
    ),
)
_BY_NAME = {shortcut.name: shortcut for shortcut in SHORTCUTS}


def keys(shortcut: Shortcut) -> str:
    """The key as people write it: Ctrl+Shift+Z."""
    return shortcut.key.replace("-", "+").replace("Control", "Ctrl")


def tooltip(name: str) -> str:
    """What a shortcut does and its key, as for a button's tooltip."""
    shortcut = _BY_NAME[name]
    return f"{shortcut.text} ({keys(shortcut)})"


def listed() -> list[tuple[str, str, str]]:
    """Heading, key and text of each line of the list of keys; the keys of the classes are one line."""
    lines = []
    for one in SHORTCUTS:
        name, _, number = one.name.partition(" ")
        if name in ("class", "relabel") and number:
            if number == "1":
                text = one.text.replace("lass 1", "lass 1 to 9")
                lines.append((one.part, f"{keys(one)} … {keys(one)[:-1]}{MOST}", text))
            continue
        lines.append((one.part, keys(one), one.text))
    return lines


def markdown_table() -> str:
    """The table for the documentation."""
    rows = [f"| `{key}` | {text} |" for _, key, text in listed()]
    return "\n".join(["| key | what it does |", "| --- | --- |", *rows])


def bind_viewer(session: Session) -> None:
    """Bind all keys on the session's viewer."""
    _bind(session, session.viewer)


def bind_layer(session: Session, layer: Layer) -> None:
    """Bind keys on one layer of ours, or on a viewer beside the session's.

    Of a layer only those that napari's layers of its kind have another use for, which would come first otherwise: with
    every key that is pressed napari goes through all that are bound.
    """
    taken = None
    if isinstance(layer, Layer):
        taken = {key for kind in type(layer).__mro__ for key in getattr(kind, "class_keymap", ())}
    _bind(session, layer, taken)


def _bind(session: Session, target: Any, only: Container[Any] | None = None) -> None:
    for shortcut in SHORTCUTS:
        # Backspace is the key that a Mac has in place of Delete.
        for key in (shortcut.key, "Backspace") if shortcut.key == "Delete" else (shortcut.key,):
            if only is None or coerce_keybinding(key) in only:
                target.bind_key(key, _press(session, shortcut), overwrite=True)


def _press(session: Session, shortcut: Shortcut) -> Callable[[Any], Any]:
    """What napari calls for a key: a function, or for a key that is held a generator that goes on when it is let go."""

    def press(_: Any) -> None:
        if session.volume is not None or shortcut.part == "Cases":
            shortcut.action(session)

    def hold(_: Any) -> Iterator[None]:
        press(_)
        yield
        if shortcut.release is not None:
            shortcut.release(session)

    return press if shortcut.release is None else hold
