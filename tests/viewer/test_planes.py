"""The other planes and the projection: where everything lies, and that all of them are at one place."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from conftest import make_boxes, make_prediction, make_volume
from napari_breast_ai.core import Box, DceVolume, Geometry
from napari_breast_ai.kinetics import project, subtraction
from napari_breast_ai.kinetics.lazy import LazyStack
from napari_breast_ai.viewer import cut
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer.palette import label_color, rgba
from napari_breast_ai.viewer.plane_canvas import CROSS, FRAMES
from napari_breast_ai.viewer.plane_views import Plane
from napari_breast_ai.viewer.planes import MIP, Planes
from napari_breast_ai.viewer.session import Session, get_session

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def stack(orientation: tuple[float, ...], step: float = 3.0) -> Geometry:
    return Geometry.from_dicom((8, 40, 50), (0.8, 0.7), step, (0, 0, 0), orientation)  # type: ignore[arg-type]


@pytest.fixture
def opened(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Opens the planes of a study; work in the background is done at once."""

    def at_once(kind: str, name: str, work: Any, *, done: Any, told: Any = None, **more: Any) -> None:
        progress = lambda *_: None  # noqa: E731
        done(work(progress) if told is None else work(progress, told))

    monkeypatch.setattr(session.workers, "start", at_once)
    made: list[Planes] = []

    def of(volume: DceVolume | None = None, **more: Any) -> Planes:
        session.show_study(volume or make_volume(), **more)
        made.append(Planes(session))
        return made[-1]

    yield of
    for one in made:
        one.close()


def image(plane: Plane, name: str) -> Any:
    return plane.model.layers[name]


def seen(plane: Plane, name: str) -> np.ndarray:
    """The picture of a layer that the plane shows."""
    layer = image(plane, name)
    at = round(
        (plane.model.dims.point[0] - layer.translate[0]) / layer.scale[0],
    )
    return np.asarray(layer.data[at])


# ------------------------------------------------------------------- orientation


@pytest.mark.parametrize(
    ("orientation", "axis", "name", "order", "letters"),
    [
        (AXIAL, 1, "Coronal", (1, 0, 2), "HFRL"),
        (AXIAL, 2, "Sagittal", (2, 0, 1), "HFAP"),
        (SAGITTAL, 1, "Axial", (1, 2, 0), "APRL"),
        (SAGITTAL, 2, "Coronal", (2, 1, 0), "HFRL"),
        (CORONAL, 1, "Axial", (1, 0, 2), "APRL"),
        (CORONAL, 2, "Sagittal", (2, 1, 0), "HFAP"),
    ],
)
@pytest.mark.parametrize("step", [3.0, -3.0])
def test_planes_are_right_side_up(
    orientation: tuple[float, ...], step: float, axis: int, name: str, order: cut.Order, letters: str
) -> None:
    """In whatever way a study is stored: head or front above, the patient's right or front at the left."""
    geometry = stack(orientation, step)
    assert cut.plane_name(geometry, axis) == name
    assert cut.order_of(geometry, axis) == order
    vertical, horizontal = cut.upright(geometry, order)
    assert "".join(cut.edges(geometry, order, vertical, horizontal).values()) == letters
    # And it is so in the patient: the picture's first corner lies further to its top and left than its last.
    at = {"top": 2 if letters[0] == "H" else 1, "left": 0 if letters[2] == "R" else 1}
    first, last = np.zeros(3), np.zeros(3)
    for step_axis, way, forward in ((order[1], vertical, "down"), (order[2], horizontal, "right")):
        (first if way != forward else last)[step_axis] = geometry.shape[step_axis] - 1
    moved = geometry.to_patient(last) - geometry.to_patient(first)
    assert moved[at["left"]] > 0, "R to L, and A to P, grow in DICOM's millimetres"
    assert (moved[at["top"]] < 0) == (letters[0] == "H")


# ------------------------------------------------------------------------ pixels


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL])
def test_planes_are_views_of_the_volume(
    orientation: tuple[float, ...], opened: Any, session: Session
) -> None:
    volume = replace(make_volume(), geometry=stack(orientation))
    planes = opened(volume)
    for plane in planes.views[:2]:
        layer = image(plane, "Dynamic")
        assert np.shares_memory(layer.data, volume.data), "no copy"
        np.testing.assert_allclose(layer.scale, [volume.geometry.spacing[axis] for axis in plane.order])
    planes.go((3, 11, 22))
    for phase in (0, 2, 3):
        session.go_to(phase_index=phase)
        for plane in planes.views[:2]:
            index = [3, 11, 22][plane.axis]
            wanted = volume.data[phase].take(index, plane.axis)
            flipped = plane.order[1] > plane.order[2]
            np.testing.assert_array_equal(seen(plane, "Dynamic"), wanted.T if flipped else wanted)
            wanted = volume.subtraction(phase).take(index, plane.axis)
            np.testing.assert_array_equal(seen(plane, "Subtraction"), wanted.T if flipped else wanted)


def test_a_turned_array_is_indexed_as_numpy_does() -> None:
    data = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)
    flat = LazyStack.each((4, 5, 6), np.float32, lambda where: data[1][where])
    for order in ((1, 0, 2), (2, 0, 1), (2, 1, 0), (1, 2, 0), (0, 1, 2)):
        wanted = data[1].transpose(order)
        np.testing.assert_array_equal(cut.Turned(flat, None, order)[2, 1:3], wanted[2, 1:3])
        lazy = cut.Turned(data, 1, order)
        assert lazy.shape == wanted.shape and len(lazy) == len(wanted) and lazy.size == wanted.size
        for key in (
            2,
            (0, slice(1, 3)),
            (slice(None), 1),
            (Ellipsis, 2),
            (slice(0, 3, 2), 1, slice(None)),
            (1, 2, 3),
        ):
            np.testing.assert_array_equal(lazy[key], wanted[key])
        np.testing.assert_array_equal(np.asarray(lazy), wanted)


def test_what_is_read_later_appears(session: Session, opened: Any) -> None:
    """The planes look at the loader's own array, and are drawn again when slices have come."""
    volume = make_volume()
    whole = volume.data.copy()
    volume.data[:, 4:] = 0
    loaded = np.ones(volume.data.shape[:2], bool)
    loaded[:, 4:] = False
    loader: Any = SimpleNamespace(volume=volume, loaded=loaded, complete=False, load=lambda *_, **__: None)
    planes = opened(volume, loader=loader)
    session.loader = loader
    drawn: list[int] = []
    image(planes.across_rows, "Dynamic").events.set_data.connect(lambda event: drawn.append(1))
    assert planes.mip.made is None, "half a study is not projected"
    volume.data[:] = whole
    loaded[:] = loader.complete = True
    session.workers.changed.emit()
    assert drawn and planes.mip.made is not None
    np.testing.assert_array_equal(seen(planes.across_rows, "Dynamic"), whole[session.phase_index, :, 20])


# --------------------------------------------------------------------- heat maps


def resized(maps: np.ndarray, shape: tuple[int, int], covered: tuple[int, int, int, int]) -> np.ndarray:
    """What `align_corners=False` makes of (slices, h, w) over the part of an image that was looked at."""
    torch = pytest.importorskip("torch")
    y0, x0, y1, x1 = covered
    large = torch.nn.functional.interpolate(
        torch.from_numpy(maps)[:, None], (y1 - y0, x1 - x0), mode="bilinear", align_corners=False
    )[:, 0].numpy()
    whole = np.zeros((len(maps), *shape), np.float32)
    whole[:, y0:y1, x0:x1] = large
    return whole


def along(picture: np.ndarray, layer: Any, places: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """A layer's picture at places in mm, mixed linearly between its pixels as the graphics card does."""
    for axis, place in enumerate(places):
        at = np.clip((place - layer.translate[1 + axis]) / layer.scale[1 + axis], 0, picture.shape[axis] - 1)
        low = np.minimum(at.astype(int), picture.shape[axis] - 1)
        part = (at - low).reshape(-1, *([1] * (1 - axis)))
        high = np.minimum(low + 1, picture.shape[axis] - 1)
        picture = picture.take(low, axis) * (1 - part) + picture.take(high, axis) * part
    return picture


@pytest.mark.parametrize("covered", [(0, 0, 40, 50), (4, 6, 36, 42)])
@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL])
def test_heat_maps_lie_where_they_should(
    orientation: tuple[float, ...], covered: tuple[int, int, int, int], session: Session, opened: Any
) -> None:
    volume = replace(make_volume(), geometry=stack(orientation))
    planes = opened(volume)
    maps = np.random.default_rng(1).uniform(0, 1, (8, 5, 6)).astype(np.float32)
    prediction = replace(make_prediction(volume), attention=maps, region=covered)
    session.set_prediction(prediction)
    assert prediction.covered == covered
    wanted = resized(maps, (40, 50), covered)
    y0, x0, y1, x1 = covered
    for row, column in ((y0, x0), (17, 23), (25, 31), (y1 - 1, x1 - 1)):
        planes.go((5, row, column))
        for plane, index in ((planes.across_rows, row), (planes.across_columns, column)):
            layer = image(plane, "Attention")
            reference = wanted.take(index, plane.axis)
            if plane.order[1] > plane.order[2]:
                reference = reference.T
            down, across = (
                np.arange(volume.geometry.shape[axis]) * volume.geometry.spacing[axis]
                for axis in plane.order[1:]
            )
            drawn = along(seen(plane, "Attention"), layer, (down, across))
            inside = np.zeros((40, 50), bool)
            inside[y0:y1, x0:x1] = True
            there = np.broadcast_to(inside, wanted.shape).take(index, plane.axis)
            there = there.T if plane.order[1] > plane.order[2] else there
            np.testing.assert_allclose(drawn[there], reference[there], atol=1e-5)
            # Not a pixel further than what was looked at.
            edges = [
                (layer.translate[1 + k] + (end - 0.5) * layer.scale[1 + k])
                for k in (0, 1)
                for end in (0, layer.data.shape[1 + k])
            ]
            for k, axis in enumerate(plane.order[1:]):
                low, high = {0: (0, 8), 1: (y0, y1), 2: (x0, x1)}[axis]
                spacing = volume.geometry.spacing[axis]
                np.testing.assert_allclose(
                    edges[2 * k : 2 * k + 2], [(low - 0.5) * spacing, (high - 0.5) * spacing]
                )
    if covered[0]:
        planes.go((5, covered[0] - 2, covered[1] - 2))
        assert not seen(planes.across_rows, "Attention").any(), "nothing was looked at there"
        assert not seen(planes.across_columns, "Attention").any()


def test_the_planes_look_as_the_study_does(session: Session, opened: Any) -> None:
    planes = opened()
    session.set_prediction(make_prediction(session.volume))
    for plane in planes.views[:2]:
        assert [layer.name for layer in plane.model.layers] == [
            "Dynamic",
            "Subtraction",
            "Attention",
            FRAMES,
            CROSS,
        ]
    session.viewer.layers["Dynamic"].contrast_limits = (7, 99)
    session.viewer.layers["Dynamic"].gamma = 0.7
    session.editing.flip_subtraction()
    session.set_display(opacity=0.3, threshold=0.5, gradcam=True)
    for plane in planes.views[:2]:
        assert tuple(image(plane, "Dynamic").contrast_limits) == (7, 99)
        assert image(plane, "Dynamic").gamma == 0.7
        assert image(plane, "Subtraction").visible
        heat = image(plane, "Attention")
        own = session.viewer.layers["Attention"]
        assert heat.opacity == 0.3 and tuple(heat.contrast_limits) == tuple(own.contrast_limits)
        np.testing.assert_array_equal(heat.colormap.colors, own.colormap.colors)
        np.testing.assert_array_equal(heat.colormap.map(np.array([0.4, 0.6]))[:, 3] > 0, [False, True])
        assert [layer.name for layer in plane.model.layers][2:4] == ["Attention", "Grad-CAM NME"]
    # Another model's answer comes, with other maps.
    other = make_prediction(session.volume)
    session.set_prediction(replace(other, attention=np.ones((8, 3, 3), np.float32)))
    assert (seen(planes.across_rows, "Attention") == 1).all()
    session.set_prediction(None)
    for plane in planes.views[:2]:
        assert [layer.name for layer in plane.model.layers] == ["Dynamic", "Subtraction", FRAMES, CROSS]


# ------------------------------------------------------------------------- place


def test_one_place_in_all_of_them(session: Session, opened: Any) -> None:
    planes = opened()
    spacing = np.array(session.volume.geometry.spacing)

    def everywhere(place: tuple[int, int, int]) -> None:
        assert planes.place == place and session.slice_index == place[0]
        for plane in planes.views[:2]:
            assert plane.model.dims.point[0] == pytest.approx(place[plane.axis] * spacing[plane.axis])
            assert str(place[plane.axis]) in plane.model.canvas.overlays["breast_ai"].text
        for view in (*planes.views, None):
            axes, model = ((1, 2), session.viewer) if view is None else (view.order[1:], view.model)
            lines = model.layers[CROSS].data
            lines = lines[lines[:, 1].any(axis=1)]  # at the rim the gap leaves no room for one
            upright, level = lines[lines[:, 1, 1] == 0], lines[lines[:, 1, 0] == 0]
            assert len(upright) and len(level)
            np.testing.assert_allclose(
                upright[:, 0, 1], place[axes[1]] * spacing[axes[1]], err_msg="vertical line"
            )
            np.testing.assert_allclose(
                level[:, 0, 0], place[axes[0]] * spacing[axes[0]], err_msg="level line"
            )

    everywhere((4, 20, 25))
    planes.go((2, 7, 33))
    everywhere((2, 7, 33))
    session.go_to(6)
    everywhere((6, 7, 33))
    planes.across_rows.model.dims.set_point(0, 12 * 0.8)
    everywhere((6, 12, 33))
    planes.shared.step(2, -3)
    everywhere((6, 12, 30))
    planes.go((99, -5, 1000))
    everywhere((7, 0, 49))


def test_the_crosshair_hides_and_comes_back(session: Session, opened: Any) -> None:
    planes = opened()
    planes.shared.show_crosshair(False)
    assert CROSS not in session.viewer.layers
    assert not any(view.model.layers[CROSS].visible for view in planes.views)
    planes.go((1, 2, 3))
    planes.shared.show_crosshair(True)
    assert all(view.model.layers[CROSS].visible for view in planes.views)
    # A person may take the layer away; the planes go on.
    session.viewer.layers.remove(CROSS)
    planes.go((2, 3, 4))
    assert planes.place == (2, 3, 4)


def test_the_projection_and_the_brightest_voxel_behind_it(session: Session, opened: Any) -> None:
    planes = opened()
    volume = session.volume
    session.go_to(phase_index=2)
    wanted = project(subtraction(volume, 2))
    np.testing.assert_array_equal(planes.projection.model.layers["Projection"].data, wanted.pixels)
    assert "Phase 2 − 0" in planes.projection.model.canvas.overlays["breast_ai"].text
    rng = np.random.default_rng(3)
    for row, column in rng.integers(0, (40, 50), (20, 2)):
        wanted_slice = int(np.argmax(volume.subtraction(2)[:, row, column]))
        assert planes.mip.made.voxel(row, column) == (wanted_slice, row, column)
    # Before contrast there is nothing to subtract: the phase that is shown first stays projected.
    session.go_to(phase_index=0)
    first, _ = look.first_look(volume)
    np.testing.assert_array_equal(
        planes.projection.model.layers["Projection"].data, project(subtraction(volume, first)).pixels
    )
    single = replace(make_volume(n_phases=1), identity=replace(volume.identity, study_uid="7"))
    session.show_study(single)
    np.testing.assert_array_equal(
        planes.projection.model.layers["Projection"].data, single.data[0].max(axis=0)
    )


# ------------------------------------------------------------------------- boxes


Ends = tuple[tuple[float, ...], ...]


def line(*both: tuple[float, float]) -> Ends:
    """A line by its two ends, in whatever order."""
    return tuple(sorted(tuple(round(float(one), 6) for one in end) for end in both))


def ends(lines: np.ndarray) -> set[Ends]:
    return {line(tuple(start), tuple(start + way)) for start, way in lines}


def test_boxes_have_the_extent_of_their_slices(opened: Any, session: Session) -> None:
    geometry = stack(AXIAL)
    boxes = [Box(2, 9.5, 10.5, 20.5, 30.5, "NME", "a"), Box(3, 11.5, 10.5, 18.5, 25.5, "NME", "b")]
    frames = cut.frames(boxes, geometry, (1, 0, 2), 10)
    z, x = (1.5 * 3.0, 2.5 * 3.0), (10.5 * 0.7, 30.5 * 0.7)
    assert ends(frames["NME"]) == {
        line((z[0], x[0]), (z[0], x[1])),
        line((z[1], x[0]), (z[1], x[1])),
        line((z[0], x[0]), (z[1], x[0])),
        line((z[0], x[1]), (z[1], x[1])),
    }, "row 10 cuts the first box only"
    both = ends(cut.frames(boxes, geometry, (1, 0, 2), 15)["NME"])
    step = line((2.5 * 3.0, 25.5 * 0.7), (2.5 * 3.0, 30.5 * 0.7))
    assert step in both, "only where one is wider than the other"
    assert len(both) == 7, "no line between two slices of one lesion"
    assert cut.frames(boxes, geometry, (1, 0, 2), 25) == {}
    # The other way round on the screen: across and down are changed.
    turned = cut.frames(boxes, geometry, (1, 2, 0), 10)["NME"]
    assert ends(turned) == ends(frames["NME"][..., ::-1])
    side = ends(cut.frames(boxes, geometry, (2, 0, 1), 28)["NME"])
    assert side == ends(cut.frames(boxes[:1], geometry, (2, 0, 1), 20)["NME"]), (
        "column 28 leaves the second out"
    )
    # From above both are one.
    (top,) = cut.seen_through(boxes, geometry, (0, 1, 2), 0, 8).values()
    assert len(top) == 4 and np.allclose(top[0, 0], (9.5 * 0.8, 10.5 * 0.7))
    # A slab shows those in it, with their own slices, the other way round too.
    (front,) = cut.seen_through(boxes, geometry, (1, 0, 2), 20, 30).values()
    assert np.allclose(front[0, 0], (1.5 * 3.0, 10.5 * 0.7)) and len(front) == 4
    (side,) = cut.seen_through(boxes, geometry, (1, 2, 0), 20, 30).values()
    assert np.allclose(side[0, 0], (10.5 * 0.7, 1.5 * 3.0))
    assert cut.seen_through(boxes, geometry, (1, 0, 2), 22, 30) == {}


def test_boxes_are_drawn_in_their_classs_colour(session: Session, opened: Any) -> None:
    planes = opened(make_volume(), boxes=make_boxes())
    plane = planes.across_rows
    planes.go((4, 15, 15))
    given = plane.model.layers[FRAMES]
    assert given.visible and (given.edge_color == 1).all(), "a phantom's truth is white"
    mine = session.journal.add(Box(2, 10.5, 30.5, 20.5, 40.5, "NME"), 1)
    session.boxes_changed.emit()
    assert np.isclose(given.edge_color, rgba(label_color("NME"))).all(axis=1).sum() == 4
    planes.go((4, 25, 15))
    assert not given.visible, "this row cuts none"
    planes.go((4, 15, 15))
    session.editing.hide(True)
    assert (given.edge_color == 1).all(), "hidden with the layer while H is held"
    session.editing.hide(False)
    assert not (given.edge_color == 1).all()
    session.journal.relabel(mine.id, "IGM")
    session.boxes_changed.emit()
    assert np.isclose(given.edge_color, rgba(label_color("IGM"))).all(axis=1).sum() == 4
    session.journal.delete([mine.id])
    session.boxes_changed.emit()
    assert (given.edge_color == 1).all()


# ------------------------------------------------------------- studies and closing


def test_another_study_takes_its_place(session: Session, opened: Any) -> None:
    planes = opened()
    planes.go((1, 2, 3))
    other = replace(
        make_volume(12, 30, 44, uid="9.9"),
        geometry=Geometry.from_dicom((12, 30, 44), (1, 1), 2, (0, 0, 0), SAGITTAL),
    )
    session.show_study(other)
    assert planes.place == (6, 15, 22) and planes.across_rows.order == (1, 2, 0)
    assert np.shares_memory(image(planes.across_rows, "Dynamic").data, other.data)
    assert [layer.name for layer in session.viewer.layers].count(CROSS) == 1
    session.show_study(make_volume(1, uid="5"))
    assert "one slice" in planes.note and not planes.across_rows.model.layers
    assert CROSS not in session.viewer.layers
    session.close_study()
    assert "Open a study" in planes.note
    session.show_study(other)
    assert planes.note == "" and planes.across_rows.model.layers


def test_of_another_study_on_the_same_grid_nothing_is_projected(
    session: Session, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = opened()
    assert planes.mip.made is not None
    monkeypatch.setattr(session.workers, "start", lambda *_, **__: None)  # it takes its time
    session.show_study(make_volume(uid="2"))
    assert planes.mip.made is None and not image(planes.projection, "Projection").data.any()


def test_asleep_it_holds_no_study_that_is_closed(session: Session, opened: Any) -> None:
    planes = opened()
    planes.sleep(True)
    session.close_study()
    assert planes.volume is None and planes.mip.made is None and planes.mip._source is None
    assert not any(view.model.layers for view in planes.views)
    session.show_study(make_volume(uid="2"))
    planes.sleep(False)
    assert planes.mip.made.image.volume is session.volume


def test_asleep_it_does_nothing_and_then_catches_up(session: Session, opened: Any) -> None:
    planes = opened()
    planes.sleep(True)
    assert CROSS not in session.viewer.layers
    before = planes.place
    session.go_to(1, 3)
    assert planes.place == before
    session.show_study(make_volume(uid="9.9"))
    planes.sleep(False)
    assert planes.place[0] == session.slice_index
    assert np.shares_memory(image(planes.across_rows, "Dynamic").data, session.volume.data)


def test_nothing_is_left_when_it_closes(session: Session, opened: Any) -> None:
    session.show_study(make_volume())
    session.set_prediction(make_prediction(session.volume))

    def listeners() -> list[int]:
        layers = session.viewer.layers
        emitters = [emitter for layer in layers for emitter in layer.events.emitters.values()]
        signals = (
            session.study_changed,
            session.position_changed,
            session.boxes_changed,
            session.workers.changed,
        )
        return [
            *(len(one.callbacks) for one in emitters),
            *(len(one) for one in signals),
            len(layers.events.inserted.callbacks),
            len(layers.events.removed.callbacks),
            len(session.viewer.mouse_drag_callbacks),
        ]

    before, names = listeners(), [layer.name for layer in session.viewer.layers]
    planes = opened(session.volume)
    session.set_prediction(make_prediction(session.volume))
    assert sum(listeners()) > sum(before), "this counts what it should"
    planes.close()
    planes.close()
    assert [layer.name for layer in session.viewer.layers] == names
    assert listeners() == before


def test_planes_and_session_go_together() -> None:
    """Nothing outside holds them when a window is gone."""
    viewer = ViewerModel()
    session = get_session(viewer, "anna")
    session.show_study(make_volume())
    session.workers.start = lambda *_, **__: None  # type: ignore[method-assign]
    planes = Planes(session)
    model, gone = weakref.ref(planes.across_rows.model), weakref.ref(planes)
    planes.close()
    session.shut_down()
    del planes, session, viewer
    gc.collect()
    assert gone() is None and model() is None


def test_the_name_of_the_work_is_its_own() -> None:
    assert MIP not in ("study", "pixels", "model", "list", "run", "beside", "scan")


@pytest.mark.parametrize("axis", [1, 2])
def test_maps_that_are_computed_slice_by_slice_are_cut_too(axis: int) -> None:
    """As those of kinetics are, where the planes are opened over them."""
    volume = make_volume()
    maps = np.random.default_rng(0).random(volume.geometry.shape).astype(np.float32)
    lazy = LazyStack(volume.geometry.shape, np.float32, lambda first, stop: maps[first:stop])
    order = cut.order_of(volume.geometry, axis)
    found, where = cut.cut_maps(lazy, volume.geometry, order, volume.geometry.spacing, (0.0, 0.0, 0.0))
    wanted = maps.transpose(order)
    assert found.shape == wanted.shape and where["scale"] == tuple(
        volume.geometry.spacing[one] for one in order
    )
    np.testing.assert_array_equal(found[3], wanted[3])
    np.testing.assert_array_equal(np.asarray(found), wanted)
