"""What a real window paints, and how often: with a slice step, another case, slices that arrive, and progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hand import Window
from qtpy.QtCore import QEvent, QObject, QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QProgressBar
from vispy.scene import SceneCanvas

from conftest import make_prediction, make_volume
from napari_breast_ai.core import Box
from napari_breast_ai.viewer.session import Session
from napari_breast_ai.viewer.widgets.job_bar import show_progress

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]

SLICES = 30


class Watch(QObject):
    """Counts what the widgets of a window are asked for, and keeps what the readout says with every picture."""

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window, self.canvas = window, window.canvas
        self.column = window.dock.result.parent()
        self.pictures = 0
        self.laid_out: list[str] = []
        self.seen: list[tuple[int, str]] = []
        QApplication.instance().installEventFilter(self)

    def eventFilter(self, who: Any, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint and who is self.canvas:
            self.pictures += 1
            self.seen.append((self.window.viewer.dims.current_step[1], self.window.session.readout.text))
        elif event.type() == QEvent.Type.LayoutRequest and self.column.isAncestorOf(who):
            self.laid_out.append(type(who).__name__)
        return False


@pytest.fixture
def review(open_window: Callable[..., Window]) -> Window:
    """A study in the Review dock with maps, and a box on each of its slices but the last ones."""
    window = open_window("Review", size=(1280, 800))
    session, volume = window.session, make_volume(SLICES)
    session.show_study(volume)
    session.set_prediction(make_prediction(volume))
    session.set_display(gradcam=True)
    for z in range(0, SLICES - 4, 2):
        session.journal.add(Box(z, 3 + z % 5, 3, 20, 20, "IGM"))
    session.go_to(4)
    window.settle(600)
    return window


def test_a_slice_step_is_one_picture_and_no_layout(review: Window) -> None:
    session = review.session
    QTest.keyClick(review.canvas, Qt.Key.Key_Down)  # the first one compiles shaders
    review.settle(600)
    watch = Watch(review)
    try:
        for step in range(5):
            captions = [row.caption for row in review.dock.result.lesions.bars.rows]
            watch.pictures = 0
            watch.laid_out.clear()
            watch.seen.clear()
            QTest.keyClick(review.canvas, Qt.Key.Key_Down)
            review.settle(500)
            z = 6 + step
            assert session.slice_index == z
            assert watch.pictures == 1, "the canvas is painted once for a step"
            assert watch.laid_out == [], "no part of the dock is laid out anew for a step"
            if z % 2 == 0:
                assert [row.caption for row in review.dock.result.lesions.bars.rows] != captions
            shown, text = watch.seen[0]
            assert shown == z and text.startswith(f"Slice {z} of 0–{SLICES - 1}"), (
                "no picture with another's text"
            )
            assert "lesion " in text and text.endswith("not a medical device")
    finally:
        QApplication.instance().removeEventFilter(watch)


def test_what_moves_in_the_strip_is_painted_wholly(review: Window) -> None:
    """Only a part of the strip is painted with a step: on the screen it must be as one that is painted anew."""
    session, strip = review.session, review.dock.result.strip

    def on_screen() -> Any:
        corner, size = strip.mapToGlobal(QPoint(0, 0)), strip.size()
        return strip.screen().grabWindow(0, corner.x(), corner.y(), size.width(), size.height()).toImage()

    review.dock.bring_up(review.dock.result)
    review.settle(600)
    before = on_screen()
    for z in (5, 6, 0, 1, 2, SLICES - 1, SLICES - 2, SLICES - 3, 14, 15):
        session.go_to(z)
        # That the line moves is seen here; how long the screen takes for it is not what this is about.
        review.wait(lambda before=before: on_screen() != before)
        review.settle(100)
        now = on_screen()
        strip.repaint()
        review.settle(100)
        assert on_screen() == now, f"slice {z}"
        before = now


def test_another_case_is_painted_when_it_is_all_there(
    open_window: Callable[..., Window], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a picture sliders come, and the canvas gets another size: nothing is painted in the middle of that."""
    window = open_window("Annotate", size=(1280, 800))
    session = window.session
    session.show_study(make_volume(1, n_phases=1, uid="1.2.4"))
    window.settle(600)
    before = window.canvas.size()
    drawn: list[bool] = []
    coming = [True]
    draw = SceneCanvas._draw_scene

    def count(canvas: Any, *args: Any, **more: Any) -> None:
        drawn.append(coming[0])
        draw(canvas, *args, **more)

    monkeypatch.setattr(SceneCanvas, "_draw_scene", count)
    session.show_study(make_volume(SLICES))
    coming[0] = False
    window.settle(600)
    assert window.canvas.size() != before, "else this test looks at nothing"
    assert not any(drawn) and 1 <= len(drawn) <= 2
    shown = window.viewer.canvas.size
    assert tuple(shown) == (window.canvas.height(), window.canvas.width())


def test_only_the_slice_in_view_is_drawn_when_slices_arrive(session: Session) -> None:
    volume = make_volume()
    session.show_study(volume)
    session.go_to(3, 2)
    drawn: list[int] = []
    session.showing.dynamic.events.set_data.connect(lambda event: drawn.append(1))
    arrived = np.zeros((volume.n_phases, volume.n_slices), bool)
    arrived[2, 4] = arrived[3, 3] = True
    session.show_arrived(arrived)
    assert not drawn
    for phase in (2, volume.pre_contrast):  # the subtraction needs that one too
        arrived[:] = False
        arrived[phase, 3] = True
        drawn.clear()
        session.show_arrived(arrived)
        assert drawn, phase
    arrived[:] = False
    arrived[1, 7] = True
    session.viewer.dims.thickness = (0.0, 40.0, 0.0, 0.0)
    drawn.clear()
    session.show_arrived(arrived)
    assert drawn, "a slab shows other slices as well"


def test_progress_waits_for_its_turn_to_be_painted(qtbot: Any) -> None:
    bar = QProgressBar()
    qtbot.addWidget(bar)
    bar.show()
    qtbot.waitExposed(bar)
    qtbot.wait(100)
    painted: list[int] = []

    class Spy(QObject):
        def eventFilter(self, who: Any, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Paint:
                painted.append(bar.value())
            return False

    spy = Spy()
    bar.installEventFilter(spy)
    show_progress(bar, 3, 7, "%v of %m")
    assert not painted and (bar.value(), bar.maximum(), bar.text()) == (3, 7, "3 of 7")
    qtbot.waitUntil(lambda: 3 in painted, timeout=10_000)
