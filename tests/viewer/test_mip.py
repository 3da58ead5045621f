"""Projections beside the slices: what they follow, what is made, and what the hand does there."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hand import LEFT, SHIFT, Window
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from conftest import make_volume
from napari_breast_ai.kinetics import project, subtraction
from napari_breast_ai.viewer.gestures import LEFT as LEFT_BUTTON
from napari_breast_ai.viewer.mip import VIEWS, Mip
from napari_breast_ai.viewer.mip_canvas import MipCanvas
from napari_breast_ai.viewer.plane_cross import CROSS
from napari_breast_ai.viewer.projected import TURNING, axis_of, letters
from napari_breast_ai.viewer.session import Session
from napari_breast_ai.viewer.widgets import mip_dock
from napari_breast_ai.viewer.widgets.planes_dock import switch_crosshair

Key = Qt.Key


class Held:
    """Jobs that are done when the test says so."""

    def __init__(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        self.jobs: list[tuple[Any, Any, Any]] = []
        self.cancelled = 0
        monkeypatch.setattr(session.workers, "start", self._start)
        monkeypatch.setattr(session.workers, "cancel", self._cancel)

    def _start(self, kind: str, name: str, work: Any, *, done: Any, told: Any = None, **more: Any) -> None:
        if kind == "mip":
            self.jobs.append((work, told, done))

    def _cancel(self, kind: str | None = None) -> None:
        self.cancelled += kind == "mip"

    def finish(self, number: int = 0) -> None:
        work, told, done = self.jobs.pop(number)
        done(work(lambda *_: None, told))


@pytest.fixture
def held(session: Session, monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(session, monkeypatch)


def awake(session: Session, image: Callable[[], Any], plane: str = "axial", slab_mm: float = 0.0) -> Mip:
    mip = Mip(session, "mip", image)
    mip.set(plane, slab_mm)
    session.place.watch(mip)
    mip.sleep(False)
    return mip


def test_nothing_is_made_while_nobody_sees_it(session: Session, held: Held) -> None:
    session.show_study(make_volume())
    mip = Mip(session, "mip", lambda: subtraction(session.volume, session.phase_index))
    mip.refresh()
    session.go_to(phase_index=3)
    assert not held.jobs and mip.made is None
    mip.sleep(False)
    held.finish()
    assert mip.made is not None and mip.made.image.phase == 3
    mip.close()


def test_the_newest_wish_wins_and_nothing_stale_is_shown(session: Session, held: Held) -> None:
    session.show_study(make_volume())
    volume = session.volume
    phase = 1
    mip = awake(session, lambda: subtraction(volume, phase))
    phase = 2
    mip.refresh()
    assert held.cancelled and len(held.jobs) == 2
    held.finish(0)
    assert mip.made is None, "another phase is wanted by now"
    held.finish()
    np.testing.assert_array_equal(mip.made.pixels, project(subtraction(volume, 2)).pixels)

    # A slab that moves: one job is under way, and what comes meanwhile is one wish, the last one.
    mip.set(slab_mm=6.0)
    for z in (1, 2, 6):
        session.place.go((z, 20, 25))
    assert len(held.jobs) == 1
    held.finish()
    first, stop = mip.made.where
    assert first <= 6 < stop and not held.jobs
    wanted = project(subtraction(volume, 2), first=first, stop=stop).pixels
    np.testing.assert_array_equal(mip.made.pixels, wanted)
    # While it is made another place is wanted: what comes first is not shown.
    session.place.go((1, 20, 25))
    work, told, done = held.jobs.pop()

    def moved(made: Any) -> None:
        if made.where[0] < 3:
            session.place.go((5, 20, 25))
            before = mip.made
            told(made)
            assert mip.made is before
        else:
            told(made)

    done(work(lambda *_: None, moved))
    assert mip.made.where[0] <= 5 < mip.made.where[1]
    mip.close()


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal", TURNING])
@pytest.mark.parametrize("slab_mm", [0.0, 7.0])
def test_a_pixel_is_its_voxel(session: Session, held: Held, plane: str, slab_mm: float) -> None:
    """Every plane, all or a slab around the place: a pixel has the value of the voxel that a click goes to."""
    session.show_study(make_volume())
    volume = session.volume
    mip = awake(session, lambda: subtraction(volume, 2), plane, slab_mm)
    session.place.go((4, 18, 20))
    mip.turn(4)
    while held.jobs:
        held.finish()
    made = mip.made
    rise = volume.subtraction(2)
    rng = np.random.default_rng(0)
    found = 0
    for down, across in zip(*(rng.integers(0, n, 200) for n in made.pixels.shape), strict=True):
        voxel = made.voxel(down, across)
        if voxel is None:
            continue
        found += 1
        assert rise[voxel] == made.pixels[down, across]
        np.testing.assert_allclose(made.seen_at(voxel), (down, across), atol=0.5 + 1e-6)
        if slab_mm and plane != TURNING:
            axis = axis_of(volume.geometry, plane)
            off = abs(voxel[axis] - session.place.at[axis]) * volume.geometry.spacing[axis]
            assert off <= slab_mm / 2 + volume.geometry.spacing[axis]
    assert found > 50 and made.voxel(-1, 0) is None
    assert made.whole == (not slab_mm)
    mip.close()


def test_sides_of_turned_views() -> None:
    assert letters(np.array([1.0, 0.0, 0.0])) == "L" and letters(np.array([0.0, 0.0, -1.0])) == "F"
    assert letters(np.array([0.8, 0.6, 0.0])) == "LP" and letters(np.array([0.3, -1.0, 0.0])) == "A"


def test_why_there_is_nothing_is_said(session: Session, held: Held) -> None:
    mip = awake(session, lambda: None)
    assert "Open a study" in mip.note
    session.show_study(make_volume(1, uid="1"))
    mip.refresh()
    assert "one slice" in mip.note and not held.jobs
    session.show_study(make_volume(uid="2"))
    mip.refresh()
    assert "one phase" in mip.note
    mip.close()


def test_of_another_study_on_the_same_grid_nothing_is_shown(session: Session, held: Held) -> None:
    """Neither its picture nor a click into it, and it is not held: not while the view is seen, nor asleep."""
    session.show_study(make_volume())
    mip = awake(session, session.kinetics.layers.projected)
    view = MipCanvas(session.place, mip)
    view.begin(session.volume)
    held.finish()
    shown = view.model.layers["Projection"]
    assert np.shares_memory(shown.data, mip.made.pixels)
    other = make_volume(uid="2")
    other.data[:] = other.data[:, :, ::-1]
    session.show_study(other)
    mip.refresh()
    view.begin(other)
    place = session.place.at
    view._pick((16.0, 11.9))
    assert mip.made is None and session.place.at == place
    assert not np.any(view.model.layers["Projection"].data)
    held.finish()
    assert mip.made.image.volume is other
    mip.sleep(True)
    session.close_study()
    mip.refresh()
    assert mip.made is None and mip._source is None and not mip._kept and not mip._what
    view.close()
    mip.close()


def test_what_fails_is_not_begun_again_by_every_step(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    said: list[BaseException] = []
    monkeypatch.setattr(session, "fail", said.append)

    def start(kind: str, *_: Any, failed: Any, **more: Any) -> None:
        if kind == "mip":
            begun.append(kind)
            failed(MemoryError())

    monkeypatch.setattr(session.workers, "start", start)
    session.show_study(make_volume())
    mip = awake(session, lambda: subtraction(session.volume, 1), slab_mm=6.0)
    for z in (1, 5, 2, 6):
        session.go_to(z)
    assert len(begun) == len(said) == 1 and "set the slab anew" in mip.note
    mip.set(slab_mm=6.0)
    assert len(begun) == 2
    mip.close()


def test_a_slab_does_not_walk_with_the_hand(session: Session, held: Held) -> None:
    session.show_study(make_volume())
    mip = awake(session, lambda: subtraction(session.volume, 2), slab_mm=9.0)
    view = MipCanvas(session.place, mip)
    view.begin(session.volume)
    held.finish()
    made = mip.made
    event = SimpleNamespace(button=LEFT_BUTTON, type="mouse_press", position=(16.0, 11.9), handled=False)
    drag = view._on_drag(view.model, event)
    next(drag)
    event.type = "mouse_move"
    for step in range(5):
        event.position = (4.0 + 5 * step, 10.0 + 4 * step)
        next(drag)
        assert made.where[0] <= session.place.at[0] < made.where[1]
    assert not held.jobs and mip.made is made
    event.type = "mouse_release"
    assert next(drag, None) is None
    assert session.place.at[0] == 4 or held.jobs, "it follows afterwards"
    view.close()
    mip.close()


def test_the_crosshair_goes_by_its_key_with_a_projection_alone(session: Session, held: Held) -> None:
    session.show_study(make_volume())
    mip = awake(session, lambda: subtraction(session.volume, 2))
    assert CROSS in session.viewer.layers
    switch_crosshair(session)
    assert CROSS not in session.viewer.layers
    switch_crosshair(session)
    assert CROSS in session.viewer.layers
    mip.close()


# ------------------------------------------------------------------------ window


class Pane(Window):
    """A hand over the projection; places are (down, across) of its picture."""

    def __init__(self, window: Window, dock: Any) -> None:
        self.viewer, self.qtbot, self.session, self.docked = (
            window.viewer,
            window.qtbot,
            window.session,
            dock,
        )

    @property
    def canvas(self) -> QWidget:
        found = self.docked.canvas.findChildren(QWidget)
        (canvas,) = [one for one in found if type(one).__name__.startswith("CanvasBackend")]
        return canvas

    def at(self, down: float, across: float) -> QPoint:
        view = self.docked.view
        camera, size = view.model.scene.camera, self.canvas.size()
        ways = [1 if way in ("down", "right") else -1 for way in camera.orientation2d]
        y, x = (np.array([down, across]) * view.spacing - camera.center[-2:]) * camera.zoom * ways
        return QPoint(round(size.width() / 2 + x), round(size.height() / 2 + y))


@pytest.mark.gui
@pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy")
def test_by_hand(open_window: Callable[..., Window], monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened by its button; phases, plane, slab, turn, click, hidden and shown, the next study."""
    window = open_window("Kinetics")
    session, panel = window.session, window.dock.images
    session.show_study(make_volume(20, 60, 72))
    window.dock.tabs.setCurrentIndex(2)
    window.wait(lambda: session.kinetics.maps is not None and panel.view_buttons["coronal"].isVisible())
    window.click(panel.view_buttons["coronal"])
    dock = mip_dock.find(session)
    mip, view = dock.mip, dock.view
    window.wait(lambda: mip.made is not None)
    window.settle(500)
    pane, volume = Pane(window, dock), session.volume

    def shown() -> np.ndarray:
        return np.asarray(view.model.layers["Projection"].data)

    early = session.kinetics.choice.early
    np.testing.assert_array_equal(shown(), project(subtraction(volume, early), 1).pixels)
    assert CROSS in window.viewer.layers and view.model.layers[CROSS].visible

    # The phases that are chosen in the dock.
    panel.phase.setFocus()
    QTest.keyClick(panel.phase, Key.Key_Home)
    QTest.keyClick(panel.phase, Key.Key_Down)
    window.wait(lambda: mip.made is not None and mip.made.image.phase == 1)
    np.testing.assert_array_equal(shown(), project(subtraction(volume, 1), 1).pixels)

    # A click goes to the brightest voxel behind it.
    peak = np.unravel_index(int(np.argmax(shown())), shown().shape)
    wanted = mip.made.voxel(*map(int, peak))
    pane.click(pane.canvas, pane.at(*peak))
    rise = volume.subtraction(1)
    assert session.place.at == wanted and session.slice_index == wanted[0]
    assert rise[wanted] == shown().max() == rise.max()

    # A slab around it, typed.
    dock.bar.slab.setFocus()
    dock.bar.slab.selectAll()
    QTest.keyClicks(dock.bar.slab, "8")
    QTest.keyClick(dock.bar.slab, Key.Key_Return)
    window.wait(lambda: not mip.made.whole)
    assert mip.made.where[0] <= wanted[1] < mip.made.where[1]
    first = mip.made.where
    pane.wheel(peak, -6)
    window.wait(lambda: mip.made.where != first)
    assert mip.made.where[0] <= session.place.at[1] < mip.made.where[1]

    # Turning: by key, by drag; a press that does not move is a click.
    mip.set(slab_mm=0.0)
    dock.bar.plane.setFocus()
    QTest.keyClick(dock.bar.plane, Key.Key_End)
    window.wait(lambda: mip.made is not None and mip.made.turning is not None)
    assert dock.bar.turn.isVisible()
    pane.press(Key.Key_Left, SHIFT)
    assert mip.view == 1
    pane.press(Key.Key_Right, SHIFT)
    window.wait(lambda: mip.view == 0 and mip.made.where[0] == 0)
    peak = np.unravel_index(int(np.argmax(shown())), shown().shape)
    session.place.go((0, 0, 0))
    pane.click(pane.canvas, pane.at(*peak))
    assert rise[session.place.at] == rise.max() and mip.view == 0
    middle = QPoint(pane.canvas.width() // 2, pane.canvas.height() // 2)
    QTest.mousePress(pane.canvas, LEFT, pos=middle)
    for step in (10, 30, 60):
        pane._move(middle + QPoint(step, 0), LEFT)
        window.settle(20)
    QTest.mouseRelease(pane.canvas, LEFT, pos=middle + QPoint(60, 0))
    turned = mip.view
    assert VIEWS / 2 < turned < VIEWS, "the near side goes along with the hand"
    window.wait(lambda: mip.made.where[0] == turned)
    window.click(dock.bar.play)
    window.wait(lambda: mip.view != turned)
    window.click(dock.bar.play)

    # Hidden it makes nothing; shown again it has caught up.
    dock.parentWidget().hide()
    window.settle(50)
    assert CROSS not in window.viewer.layers
    session.kinetics.layers.show(phase=2)
    window.settle(100)
    assert not session.workers.running("mip") and mip.made.image.phase == 1
    window.click(panel.view_buttons["axial"])
    window.wait(lambda: dock.isVisible() and mip.made is not None and mip.made.image.phase == 2)
    np.testing.assert_array_equal(shown(), project(subtraction(volume, 2)).pixels)
    assert mip_dock.find(session) is dock, "one at a time"

    # Another patient on the same grid: at no moment the last one's picture beside these slices.
    other = make_volume(20, 60, 72, uid="8")
    other.data[:] = other.data[:, :, ::-1]
    session.show_study(other)
    assert mip.made is None and not shown().any()
    window.wait(lambda: mip.made is not None and mip.made.image.volume is other)
    dock.parentWidget().hide()
    window.settle(50)
    session.show_study(volume)
    dock.parentWidget().show()
    assert mip.made is None and not shown().any()
    window.wait(lambda: mip.made is not None and mip.made.image.volume is volume)

    # The next study, and none.
    session.show_study(make_volume(12, 50, 50, uid="9"))
    window.wait(lambda: mip.made is not None and mip.made.image.volume is session.volume)
    assert shown().shape == (50, 50) and not dock.note.isVisible()
    session.close_study()
    window.settle(50)
    assert "Open a study" in dock.note.text() and dock.note.isVisible()
    window.viewer.window.remove_dock_widget(dock)
    window.settle(50)
    session.show_study(make_volume(uid="10"))
    window.settle(100)
    assert not session.workers.running("mip") and CROSS not in window.viewer.layers
