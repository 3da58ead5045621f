"""Heat maps and boxes over a projection: where they lie in the patient, and that they follow the study's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hand import Window
from qtpy.QtCore import Qt

from conftest import make_prediction, make_volume
from napari_breast_ai.core import Box, DceVolume, Geometry, Prediction
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer.linked import Linked
from napari_breast_ai.viewer.mip import Mip
from napari_breast_ai.viewer.mip_canvas import MipCanvas
from napari_breast_ai.viewer.plane_canvas import FRAMES
from napari_breast_ai.viewer.projected import TURNING
from napari_breast_ai.viewer.session import Session
from napari_breast_ai.viewer.widgets import mip_dock

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
CELL = (5, 2, 1)
"""Slice, row and column of the hot cell of 5 × 6."""


class Shown:
    """A projection with what lies over it, made at once."""

    def __init__(self, session: Session, plane: str = "axial", slab_mm: float = 0.0) -> None:
        self.mip = Mip(session, "mip", session.kinetics.layers.projected)
        self.mip.set(plane, slab_mm)
        session.place.watch(self.mip)
        self.mip.sleep(False)
        self.view = MipCanvas(session.place, self.mip)
        self.linked = Linked(session, (self.view,))
        self.view.begin(session.volume)
        self.linked.begin(session.volume)

    def layer(self, name: str = "Attention") -> Any:
        return self.view.model.layers[name]

    def hottest(self, name: str = "Attention") -> np.ndarray:
        """Where the picture's heat has its middle: (down, across) in mm."""
        layer = self.layer(name)
        data = np.asarray(layer.data, np.float64)
        places = np.argwhere(data > data.max() / 2) * np.array(layer.scale) + np.array(layer.translate)
        weights = data[data > data.max() / 2]
        return np.average(places, axis=0, weights=weights)

    def close(self) -> None:
        self.linked.close()
        self.view.close()
        self.mip.close()


@pytest.fixture
def show(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Shown]]:
    def at_once(kind: str, name: str, work: Any, *, done: Any, told: Any = None, **more: Any) -> None:
        silent = lambda *_: None  # noqa: E731
        done(work(silent) if told is None else work(silent, told))

    monkeypatch.setattr(session.workers, "start", at_once)
    opened: list[Shown] = []

    def of(*args: Any) -> Shown:
        opened.append(Shown(session, *args))
        return opened[-1]

    yield of
    for one in opened:
        one.close()


def one_hot(volume: DceVolume, **more: Any) -> Prediction:
    maps = np.zeros((volume.n_slices, 5, 6), np.float32)
    maps[CELL] = 1.0
    return replace(make_prediction(volume), attention=maps, **more)


def cell_centre(volume: DceVolume, covered: tuple[int, int, int, int]) -> np.ndarray:
    """Index coordinates of the hot cell's centre, by align_corners=False."""
    y0, x0, y1, x1 = covered
    return np.array(
        [
            CELL[0],
            y0 + (CELL[1] + 0.5) * (y1 - y0) / 5 - 0.5,
            x0 + (CELL[2] + 0.5) * (x1 - x0) / 6 - 0.5,
        ]
    )


@pytest.mark.parametrize("covered", [None, (4, 6, 36, 42)])
@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL])
def test_a_hot_cell_lies_where_it_should(
    orientation: tuple[float, ...],
    covered: tuple[int, int, int, int] | None,
    session: Session,
    show: Callable[..., Shown],
) -> None:
    """In all three planes and all around, in the patient's millimetres, with voxels of 3 × 0.8 × 0.7 mm."""
    geometry = Geometry.from_dicom((8, 40, 50), (0.8, 0.7), 3.0, (-11, 23, 5), orientation)  # type: ignore[arg-type]
    volume = replace(make_volume(), geometry=geometry)
    session.show_study(volume)
    session.set_prediction(one_hot(volume, region=covered))
    shown = show()
    centre = cell_centre(volume, covered or (0, 0, 40, 50))
    patient = geometry.to_patient(centre)
    for plane in ("axial", "coronal", "sagittal"):
        shown.mip.set(plane)
        made, layer = shown.mip.made, shown.layer()
        order = made.order
        # Cells have 6 rows and columns at least: the nearest to the middle is half of one away at most.
        assert np.max(layer.data) == pytest.approx(1.0, abs=0.5 / 6 if order[0] else 1e-6)
        found = centre.copy()
        for k, axis in enumerate(order[1:]):
            found[axis] = shown.hottest()[k] / geometry.spacing[axis]
        # Through the picture the place is not told: it is the cell's own.
        np.testing.assert_allclose(geometry.to_patient(found), patient, atol=1e-3)
        # As far as the part that was looked at, and no further.
        y0, x0, y1, x1 = covered or (0, 0, 40, 50)
        for k, axis in enumerate(order[1:]):
            ends = [layer.translate[k] + (n - 0.5) * layer.scale[k] for n in (0, layer.data.shape[k])]
            low, high = {0: (0, 8), 1: (y0, y1), 2: (x0, x1)}[axis]
            wanted = [(low - 0.5) * geometry.spacing[axis], (high - 0.5) * geometry.spacing[axis]]
            np.testing.assert_allclose(ends, wanted, atol=1e-6)
    shown.mip.set(TURNING)
    # A picture of strips: no finer than they are, nor than a quarter of a cell.
    for view in (0, 5, 9, 22):
        shown.mip.turn(view)
        made, layer = shown.mip.made, shown.layer()
        down, across = np.array(made.seen_at(centre)) * made.spacing
        off = np.abs(shown.hottest() - (down, across))
        assert off[0] < 1e-3
        assert off[1] <= layer.scale[1], f"view {view}: off by {off}"
        assert np.max(layer.data) == 1.0


def test_a_slab_leaves_out_what_lies_beside_it(session: Session, show: Callable[..., Shown]) -> None:
    volume = make_volume()
    session.show_study(volume)
    session.set_prediction(one_hot(volume))
    shown = show("axial", 6.0)
    session.place.go((CELL[0], 20, 25))
    assert np.max(shown.layer().data) == 1.0
    session.place.go((1, 20, 25))
    assert not np.any(shown.layer().data)
    shown.mip.set("coronal")
    session.place.go((1, 19, 25))
    assert np.max(shown.layer().data) > 0.9, "rows 16 to 23 are the cell's"
    session.place.go((1, 39, 25))
    assert not np.any(shown.layer().data)
    # Seen from all around: in front of the cell and behind it there is nothing.
    shown.mip.set(TURNING)
    session.place.go((CELL[0], 19, 8))
    assert np.max(shown.layer().data) > 0.8
    session.place.go((CELL[0], 39, 8))
    assert np.max(shown.layer().data) < 0.01


def test_it_follows_what_is_chosen_in_the_review_dock(session: Session, show: Callable[..., Shown]) -> None:
    volume = make_volume()
    session.show_study(volume)
    shown = show()
    own = session.viewer.layers
    assert [layer.name for layer in shown.view.model.layers][:2] == ["Projection", FRAMES]
    session.set_prediction(one_hot(volume))
    session.set_display(opacity=0.3, threshold=0.5)
    layer = shown.layer()
    assert layer.visible and layer.opacity == 0.3
    np.testing.assert_array_equal(layer.colormap.colors, own["Attention"].colormap.colors)
    assert "Highest: Attention" in shown.view.model.canvas.overlays["breast_ai"].text
    # Another answer, and maps that boxes have taught: the layer gets other numbers.
    moved = one_hot(volume)
    session.set_prediction(replace(moved, attention=np.roll(moved.attention, 2, axis=2)))
    assert np.argmax(shown.layer().data.max(axis=0)) == CELL[2] + 2
    session.set_prediction(replace(moved, attention=np.ones((8, 3, 3), np.float32)))
    assert shown.layer().data.shape == (3, 3) and np.all(shown.layer().data == 1)
    # Boxes: seen through the stack, and in a turned view none.
    frames = shown.view.model.layers[FRAMES]
    session.journal.add(Box(5, 9.5, 10.5, 20.5, 30.5, "NME"), 1)
    session.boxes_changed.emit()
    assert frames.visible and len(frames.data) == 4
    shown.mip.set(TURNING)
    shown.linked.draw_boxes()
    assert not frames.visible
    shown.mip.set("axial")
    # A difference of two classes: what is furthest from 0, on either side.
    up, down = np.zeros((2, 8, 5, 6), np.float32)
    up[2, 1, 1], up[2, 3, 3], down[6, 3, 3] = 1.0, 0.2, 0.8
    session.set_prediction(replace(moved, gradcam={"lesion": up, "IGM": up, "NME": down}))
    session.set_display(attention=False, gradcam=True, label="IGM")
    twin = shown.layer("Grad-CAM IGM")
    np.testing.assert_allclose(twin.data[[1, 3], [1, 3]], [1.0, 0.2])
    session.set_display(against="NME")
    assert not shown.layer().visible and twin.visible
    np.testing.assert_allclose(twin.data[[1, 3, 4], [1, 3, 4]], [1.0, -0.8, 0.0])
    assert "Highest: Grad-CAM IGM minus NME" in shown.view.model.canvas.overlays["breast_ai"].text
    # As lines: those of the projected map, where the study's own are.
    session.set_display(style="lines")
    lines = next(one for one in shown.view.model.layers if one.name.endswith(", lines"))
    assert lines.visible and np.any(lines.data) and lines.data.ndim == 2
    source = session.heat.layer(look.GRADCAM_LINES)
    np.testing.assert_allclose(
        [lines.translate[k] + (n - 0.5) * lines.scale[k] for k in (0, 1) for n in (0, lines.data.shape[k])],
        [
            source.translate[1 + k] + (n - 0.5) * source.scale[1 + k]
            for k in (0, 1)
            for n in (0, source.data.shape[1 + k])
        ],
    )
    session.set_prediction(None)
    assert [layer.name for layer in shown.view.model.layers][:2] == ["Projection", FRAMES]
    session.set_prediction(one_hot(volume))
    session.show_study(make_volume(uid="2"))
    assert "Attention" not in shown.view.model.layers


@pytest.mark.gui
@pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy")
def test_in_the_dock(open_window: Callable[..., Window]) -> None:
    """Hidden with its key or in the list, asleep and awake again, boxes, another study: on the screen."""
    window = open_window("Review")
    session = window.session
    volume = make_volume(20, 60, 72)
    session.show_study(volume)
    mip_dock.show_mip(session, "coronal")
    dock = mip_dock.find(session)
    window.wait(lambda: dock.mip.made is not None)
    session.set_prediction(one_hot(volume))
    session.set_display(opacity=1.0)
    window.settle(300)
    layers = dock.view.model.layers
    assert layers["Attention"].visible and np.max(layers["Attention"].data) > 0.9
    heat = dock.canvas.grab().toImage()
    window.press(Qt.Key.Key_A)
    window.settle(200)
    assert not layers["Attention"].visible and dock.canvas.grab().toImage() != heat
    # Boxes by hand: seen through all rows.
    assert not layers[FRAMES].visible
    session.journal.add(Box(9, 9.5, 10.5, 20.5, 30.5, "NME"), 1)
    session.boxes_changed.emit()
    assert layers[FRAMES].visible and len(layers[FRAMES].data) == 4
    # What changes while nobody sees it is there when it is seen again.
    dock.parentWidget().hide()
    window.settle(50)
    session.set_prediction(None)
    session.set_prediction(replace(one_hot(volume), attention=np.full((20, 4, 4), 0.5, np.float32)))
    window.press(Qt.Key.Key_A)
    session.set_display(opacity=0.4)
    session.journal.add(Box(12, 9.5, 50.5, 20.5, 60.5, "IGM"), 1)
    session.boxes_changed.emit()
    dock.parentWidget().show()
    window.wait(lambda: dock.mip.made is not None and bool(layers["Attention"].visible))
    assert np.all(layers["Attention"].data == 0.5) and layers["Attention"].opacity == 0.4
    assert len(layers[FRAMES].data) == 8
    session.show_study(make_volume(12, 50, 50, uid="9"))
    assert "Attention" not in layers and not layers[FRAMES].visible
    window.wait(lambda: dock.mip.made is not None)
    session.close_study()
    assert not layers
