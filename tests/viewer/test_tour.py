"""The guided tour: step by step in a real window, by hand and by the program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hand import Window
from qtpy.QtCore import Qt

from conftest import make_volume
from napari_breast_ai.models import load_bundle
from napari_breast_ai.viewer import tour
from napari_breast_ai.viewer.tour import STEPS

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]


@pytest.fixture
def window(open_window: Callable[..., Window], monkeypatch: pytest.MonkeyPatch) -> Window:
    monkeypatch.setattr(
        tour.tasks, "open_sample", lambda session, kind: session.show_study(make_volume(12, 96, 112))
    )
    return open_window(size=(1280, 800))


def framed(window: Window) -> Any:
    """The part that the frame lies around, which must be on the screen."""
    dock, light = window.dock, window.dock._spotlight
    window.wait(lambda: light.isVisible() and not light.visibleRegion().isEmpty())
    window.settle(120)
    assert not light.visibleRegion().isEmpty(), "it stays there"
    target = getattr(dock, window.session.tour.step.part)
    assert light.geometry().contains(target.geometry())
    return target


def test_the_program_can_go_the_whole_way(window: Window) -> None:
    session, card = window.session, window.dock.tour
    assert not card.isVisible()
    window.click(window.dock.study.tour_button)
    assert card.isVisible() and card.heading.text() == f"<b>Tour, 1 of {len(STEPS)}: {STEPS[0].title}</b>"
    assert not card.back_button.isEnabled()
    for number, step in enumerate(STEPS):
        assert session.tour.index == number
        assert framed(window) is getattr(window.dock, step.part)
        assert not session.tour.met and not card.done.isVisible(), step.title
        window.click(card.act_button)
        window.wait(lambda: session.tour.met)
        assert card.done.isVisible() and not card.act_button.isEnabled()
        window.click(card.next_button)
    assert session.tour.step is None and not card.isVisible() and not window.dock._spotlight.isVisible()
    (box,) = session.journal.boxes
    assert session.prediction is not None and session.live.fit.boxes == 1
    said = session.journal.path.read_text(encoding="utf-8")
    assert "model:demo-attention-squeezenet" in said, "the box says that it was a suggestion"
    assert box.author


def test_a_person_does_it_with_her_own_hands(window: Window) -> None:
    session, card = window.session, window.dock.tour
    session.show_study(make_volume(12, 96, 112))
    session.set_bundle(load_bundle("demo-attention-squeezenet"))
    session.go_to(6)
    window.click(window.dock.study.tour_button)
    assert session.tour.met, "a study is there already"
    window.click(card.next_button)
    window.press(Qt.Key.Key_Down)
    assert not session.tour.met
    window.press(Qt.Key.Key_Period)
    assert session.tour.met
    window.click(card.next_button)
    window.click(window.dock.model.volume_button)
    window.wait(lambda: session.tour.met)
    for _ in range(4):
        window.click(card.next_button)
    assert session.tour.step.title == "Draw a box" and not session.tour.met
    window.press(Qt.Key.Key_B)
    window.drag((24, 20), (72, 60))
    assert session.tour.met
    window.click(card.back_button)
    window.click(card.back_button)
    assert session.tour.step.title == "See where it looked" and not session.tour.met
    window.press(Qt.Key.Key_G)
    assert session.tour.met
    window.click(card.end_button)
    assert not card.isVisible() and len(session.journal.boxes) == 1
