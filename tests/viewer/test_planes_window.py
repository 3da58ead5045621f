"""The other planes in a real window: what is drawn, and what the hand does there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hand import CTRL, LEFT, RIGHT, SHIFT, Window
from napari.utils.colormaps import Colormap
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QImage
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from conftest import make_prediction, make_volume
from napari_breast_ai.core import Box, DceVolume
from napari_breast_ai.viewer import commands, tasks
from napari_breast_ai.viewer.plane_canvas import CROSS, FRAMES
from napari_breast_ai.viewer.widgets import planes_dock

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]


@pytest.fixture
def window(make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1500, 950)
    made = Window(viewer, qtbot)
    yield made
    made.session.shut_down()
    made.__dict__.clear()


class Pane(Window):
    """A hand over one of the other planes; places are indices (down, across) of its picture."""

    def __init__(self, window: Window, number: int) -> None:
        self.viewer, self.qtbot, self.session = window.viewer, window.qtbot, window.session
        self.planes = planes_dock.find(window.session)
        self.view = self.planes.planes.views[number]
        self.qt_viewer = self.planes.canvases[number]

    @property
    def canvas(self) -> QWidget:
        found = self.qt_viewer.findChildren(QWidget)
        (canvas,) = [one for one in found if type(one).__name__.startswith("CanvasBackend")]
        return canvas

    def at(self, down: float, across: float) -> QPoint:
        camera, size = self.view.model.scene.camera, self.canvas.size()
        place = np.array([down, across]) * self.view.spacing
        ways = [1 if way in ("down", "right") else -1 for way in camera.orientation2d]
        y, x = (place - camera.center[-2:]) * camera.zoom * ways
        return QPoint(round(size.width() / 2 + x), round(size.height() / 2 + y))


def open_planes(window: Window) -> tuple[Any, Pane, Pane, Pane]:
    """By the key, as a person does."""
    window.press(Qt.Key.Key_P)
    window.wait(lambda: planes_dock.find(window.session) is not None)
    dock = planes_dock.find(window.session)
    window.wait(lambda: dock.isVisible() and not window.session.workers.running("planes"))
    # The window gives the room in several steps.
    window.settle(500)
    return dock, Pane(window, 0), Pane(window, 1), Pane(window, 2)


def one_bright_cell() -> tuple[DceVolume, Any]:
    """A dark study of uneven spacing with one bright cell, and an attention that is one-hot there."""
    dark = make_volume(24, 60, 72)
    data = np.zeros_like(dark.data)
    data[:, 10:13, 24:36, 24:36] = 1000  # cell (2, 2) of 5 × 6 on slices 10 to 12
    volume = replace(dark, data=data)
    maps = np.zeros((24, 5, 6), np.float32)
    maps[10:13, 2, 2] = 1.0
    return volume, replace(make_prediction(volume), attention=maps)


def on_screen(canvas: QWidget) -> np.ndarray:
    """How red a canvas is on the screen, 0..1, (rows, columns)."""
    corner = canvas.mapToGlobal(QPoint(0, 0))
    size = canvas.size()
    grabbed = canvas.screen().grabWindow(0, corner.x(), corner.y(), size.width(), size.height()).toImage()
    image = grabbed.convertToFormat(QImage.Format.Format_RGBA8888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 4 * image.width() : 4] / 255


def linear(array: np.ndarray, places: list[np.ndarray]) -> np.ndarray:
    """Values of a volume at index coordinates along each axis (a grid), mixed linearly; beyond the rim as at it."""
    for axis, place in enumerate(places):
        at = np.clip(place, 0, array.shape[axis] - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, array.shape[axis] - 1)
        part = (at - low).reshape([-1 if k == axis else 1 for k in range(array.ndim)])
        array = array.take(low, axis) * (1 - part) + array.take(high, axis) * part
    return array


def test_heat_and_image_are_drawn_where_they_should_in_all_planes(window: Window) -> None:
    """Pixel by pixel: the screen against the map resized with align_corners=False, in world coordinates."""
    torch = pytest.importorskip("torch")
    session = window.session
    volume, prediction = one_bright_cell()
    session.show_study(volume)
    session.go_to(11)
    dock, *panes = open_planes(window)
    session.set_prediction(prediction)
    session.set_display(opacity=1.0, threshold=0.0)
    dock.planes.go((11, 29, 29))
    dock.planes.shared.show_crosshair(False)
    window.settle(500)
    # As many colours as the map had: with another number vispy links other shaders.
    ramp = np.linspace(0, 1, len(session.heat.layer("attention").colormap.colors))
    gray = Colormap(np.stack([ramp, ramp, ramp, np.ones_like(ramp)], axis=1), name="plain gray")
    heat = session.heat.layer("attention")
    heat.colormap = gray
    # Finer than the image: a screen has several pixels for one of the image's.
    finer = 5
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(prediction.attention)[:, None],
        (60 * finer, 72 * finer),
        mode="bilinear",
        align_corners=False,
    )[:, 0].numpy()
    spacing = np.array(volume.geometry.spacing)
    planes = [
        (session.viewer, None, (0, 1, 2)),
        *((pane.view.model, pane, pane.view.order) for pane in panes[:2]),
    ]
    shots: dict[str, list[np.ndarray]] = {"Attention": [], "Dynamic": []}
    for shown in shots:
        for model, *_ in planes:
            for name in ("breast_ai", *(f"breast_ai_{edge}" for edge in ("top", "bottom", "left", "right"))):
                if name in model.canvas.overlays:
                    model.canvas.overlays[name].visible = False
            model.canvas.overlays.scale_bar.visible = False
            model.layers[FRAMES].visible = False
            model.layers["Dynamic"].visible, model.layers["Attention"].visible = (
                shown == "Dynamic",
                shown == "Attention",
            )
        # The screen is taken: nothing of another test may lie over the window.
        dock.window().raise_()
        dock.window().activateWindow()
        window.settle(300)
        for model, pane, order in planes:
            shot = on_screen(window.canvas if pane is None else pane.canvas)
            camera = model.scene.camera
            ways = [1 if way in ("down", "right") else -1 for way in camera.orientation2d]
            world = [
                camera.center[-2 + k] + ways[k] * (np.arange(n) + 0.5 - n / 2) / camera.zoom
                for k, n in enumerate(shot.shape)
            ]
            places = [
                np.array([float(dock.planes.place[order[0]])]),
                *(world[k] / spacing[order[1 + k]] for k in (0, 1)),
            ]
            inside = np.ix_(
                *(
                    np.flatnonzero((place > 0) & (place < volume.geometry.shape[axis] - 1))
                    for place, axis in zip(places[1:], order[1:], strict=True)
                )
            )
            reference = volume.data[session.phase_index] / 1000
            if shown == "Attention":
                reference = resized
                places = [
                    at if axis == 0 else (at + 0.5) * finer - 0.5
                    for at, axis in zip(places, order, strict=True)
                ]
            wanted = linear(reference.transpose(order), places)[0]
            assert wanted[inside].max() > 0.9, "the cell is in the picture"
            off = np.abs(shot - wanted)[inside]
            if shown == "Attention":
                assert off.max() < 0.04, f"{shown} across {order}: off by {off.max():.3f}"
            # What is bright has its middle where it should, to a fraction of a screen pixel.
            for axis in (0, 1):
                ground = np.arange(shot[inside].shape[axis])
                drawn, right = (
                    np.average(ground, weights=picture[inside].sum(axis=1 - axis))
                    for picture in (shot, wanted)
                )
                assert abs(drawn - right) < 0.5, f"{shown} across {order}, axis {axis}"


def test_by_hand(window: Window) -> None:
    """Key, click, drag, wheel, right button, crosshair, projection, and the study's own canvas."""
    session = window.session
    session.show_study(make_volume(20, 60, 72))
    window.viewer.reset_view()
    before = len(window.viewer.window.dock_widgets)
    dock, rows, columns, projection = open_planes(window)
    planes = dock.planes
    assert len(window.viewer.window.dock_widgets) == before + 1
    active = window.viewer.layers.selection.active

    # Across the rows: (slice, column). One click, then a drag.
    rows.click(rows.canvas, rows.at(6, 50))
    assert planes.place == (6, 30, 50) and session.slice_index == 6
    rows.drag((6, 50), (15, 11))
    assert planes.place == (15, 30, 11)
    columns.drag((3, 8), (9, 41))
    assert planes.place == (9, 41, 11), "across the columns: (slice, row)"

    # The wheel goes through each plane, and with Ctrl zooms where the pointer is.
    rows.wheel((9, 30), -2)
    assert planes.place == (9, 43, 11)
    columns.wheel((9, 30), 3)
    assert planes.place == (9, 43, 8)
    zoom = rows.view.model.scene.camera.zoom
    rows.wheel((9, 30), 2, CTRL)
    assert rows.view.model.scene.camera.zoom > zoom * 1.2
    planes.go((9, 43, 70))
    at = rows.at(9, 70)
    assert 0 <= at.x() < rows.canvas.width(), "a place outside a zoomed picture comes into it"
    QTest.mouseDClick(rows.canvas, LEFT, pos=rows.canvas.rect().center())
    window.settle(50)
    assert rows.view.model.scene.camera.zoom == pytest.approx(zoom, rel=0.01)

    # The right button changes brightness and contrast of the study, everywhere.
    limits = tuple(window.viewer.layers["Dynamic"].contrast_limits)
    rows.drag((5, 20), (5, 50), RIGHT)
    changed = tuple(window.viewer.layers["Dynamic"].contrast_limits)
    assert changed != limits and tuple(columns.view.model.layers["Dynamic"].contrast_limits) == changed

    # The projection: at the middle of the enhancing ring the brightest voxel lies on one of its slices.
    projection.click(projection.canvas, projection.at(30, 24))
    rise = session.volume.subtraction(planes.mip.made.image.phase)[:, 30, 24]
    assert planes.place == (int(np.argmax(rise)), 30, 24) and rise.max() > 100

    # The study's own canvas: a press moves the place, while no box is being drawn.
    window.drag((20, 20), (33, 44))
    assert planes.place[1:] == (33, 44) and session.journal.boxes == ()
    window.press(Qt.Key.Key_B)
    window.drag((10, 10), (25, 30))
    assert planes.place[1:] == (33, 44) and len(session.journal.boxes) == 1
    planes.go((planes.place[0], 15, 20))
    window.settle(100)
    assert rows.view.model.layers[FRAMES].visible and columns.view.model.layers[FRAMES].visible
    window.press(Qt.Key.Key_B)

    # Without the crosshair the left button moves the pictures.
    window.viewer.layers.selection.active = active
    window.press(Qt.Key.Key_P, SHIFT)
    assert not dock.crosshair.isChecked() and CROSS not in window.viewer.layers
    place, center = planes.place, rows.view.model.scene.camera.center
    rows.drag((5, 20), (9, 40))
    assert planes.place == place and rows.view.model.scene.camera.center != center
    window.click(dock.crosshair, QPoint(8, dock.crosshair.height() // 2))
    assert planes.shared.crosshair and CROSS in window.viewer.layers
    # Our keys work where the mouse was last.
    rows.press(Qt.Key.Key_S)
    assert window.viewer.layers["Subtraction"].visible and columns.view.model.layers["Subtraction"].visible
    rows.press(Qt.Key.Key_Down)
    assert session.slice_index == place[0] + 1

    window.press(Qt.Key.Key_P)
    assert planes_dock.find(session) is None and CROSS not in window.viewer.layers
    assert len(window.viewer.window.dock_widgets) == before
    session.go_to(3)
    assert planes.place != (3, *planes.place[1:]), "closed, they follow nothing"


def test_button_menu_tab_and_the_docks_own_cross(window: Window) -> None:
    session, button = window.session, window.dock.study.planes_button
    assert not button.isEnabled()
    session.show_study(make_volume(1, uid="1"))
    assert not button.isEnabled()
    commands.show_planes(window.viewer)
    assert planes_dock.find(session) is None and "one slice" in window.said[-1]
    session.show_study(make_volume())
    window.click(button)
    window.settle(300)
    dock = planes_dock.find(session)
    assert dock.isVisible()
    # Hidden by napari's own button it costs nothing, and comes back as it was.
    dock.parentWidget().hide()
    window.settle(30)
    assert CROSS not in window.viewer.layers
    session.go_to(1)
    commands.show_planes(window.viewer)
    window.settle(100)
    assert planes_dock.find(session) is dock and dock.isVisible() and dock.planes.place[0] == 1
    # Another study, and none.
    session.show_study(make_volume(12, uid="2"))
    window.settle(100)
    assert dock.planes.place[0] == 6 and not dock.note.isVisible()
    session.close_study()
    window.settle(30)
    assert "Open a study" in dock.note.text() and dock.note.isVisible()
    # The cross at the title takes the widget out of the dock for good.
    planes = dock.planes
    window.viewer.window.remove_dock_widget(dock)
    window.settle(50)
    assert planes.closed and planes_dock.find(session) is None
    session.show_study(make_volume(uid="3"))
    assert not planes.across_rows.model.layers


def test_the_window_closes_over_them(make_napari_viewer: Any, qtbot: Any, monkeypatch: Any) -> None:
    """napari's own fixture then looks for viewers that are left."""
    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    viewer = make_napari_viewer(show=True)
    window = Window(viewer, qtbot)
    window.session.show_study(make_volume())
    window.session.journal.add(Box(4, 10, 10, 20, 20, "NME"), 1)
    dock, *_ = open_planes(window)
    planes = dock.planes
    del dock
    viewer.close()
    QTest.qWait(50)
    window.session.shut_down()
    assert planes.closed, "nothing follows a session whose window is gone"
    window.__dict__.clear()
