"""One table: what it says is what the keys do."""

from typing import Any

import pytest
from app_model.types import KeyBinding
from napari.utils.key_bindings import KeymapHandler, coerce_keybinding

from conftest import make_prediction, make_volume
from napari_breast_ai.core import BOX_LABELS
from napari_breast_ai.viewer.session import Session
from napari_breast_ai.viewer.shortcuts import SHORTCUTS, markdown_table, tooltip
from napari_breast_ai.viewer.shortcuts import keys as keys_of


@pytest.fixture
def case(session: Session) -> Session:
    session.show_study(make_volume())
    session.set_prediction(make_prediction(make_volume()))
    return session


def press(session: Session, key: str, layer: str) -> None:
    """As napari resolves a key: the active layer's own bindings, its class's, then the viewer's."""
    handler = KeymapHandler()
    handler.keymap_providers = [session.viewer.layers[layer], session.viewer]
    assert handler.press_key(coerce_keybinding(key))


@pytest.mark.parametrize("layer", ["Dynamic", "Subtraction", "Attention", "Boxes"])
def test_every_key_works_on_every_layer(case: Session, layer: str) -> None:
    for number, label in enumerate(BOX_LABELS):
        press(case, str(number + 1), layer)
        assert case.current_label == label
    press(case, "Up", layer)
    assert case.slice_index == 3
    press(case, "Down", layer)
    press(case, "Down", layer)
    assert case.slice_index == 5
    press(case, ",", layer)
    assert case.phase_index == 1
    press(case, ".", layer)
    assert case.phase_index == 2
    press(case, "A", layer)
    assert not case.display.attention
    press(case, "G", layer)
    assert case.display.gradcam
    press(case, "S", layer)
    assert case.viewer.layers["Subtraction"].visible
    case.go_to(0)
    press(case, "T", layer)
    assert case.slice_index == 5
    press(case, "B", layer)
    assert case.boxes.drawing
    press(case, "B", layer)
    assert not case.boxes.drawing
    assert case.boxes.layer is not None
    case.boxes.layer.add_rectangles([[3, 5, 5], [3, 5, 9], [3, 9, 9], [3, 9, 5]])
    press(case, "Control-Z", layer)
    assert case.journal is not None and case.journal.boxes == ()
    press(case, "Control-Shift-Z", layer)
    assert len(case.journal.boxes) == 1


def test_the_table_is_whole() -> None:
    keys: list[Any] = [coerce_keybinding(shortcut.key) for shortcut in SHORTCUTS]
    assert len(set(keys)) == len(keys) and all(isinstance(key, KeyBinding) for key in keys)
    assert len({shortcut.name for shortcut in SHORTCUTS}) == len(SHORTCUTS)
    table = markdown_table()
    single = [one for one in SHORTCUTS if one.name.split()[0] not in ("class", "relabel")]
    assert all(f"| `{keys_of(one)}` | {one.text} |" in table for one in single)
    assert "| `1 … 9` |" in table and "| `Ctrl+1 … Ctrl+9` |" in table
    assert len(table.splitlines()) == len(single) + 2 + 2
    assert tooltip("undo").startswith("Undo the last change of a box") and tooltip("undo").endswith(
        "(Ctrl+Z)"
    )


def test_keys_do_nothing_without_a_study(session: Session) -> None:
    from napari_breast_ai.viewer.shortcuts import SHORTCUTS

    for shortcut in SHORTCUTS:
        handler = KeymapHandler()
        handler.keymap_providers = [session.viewer]
        handler.press_key(coerce_keybinding(shortcut.key))
    assert session.current_label == BOX_LABELS[0]
