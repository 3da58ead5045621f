"""Kinetics of a session without a window."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conftest import make_volume
from napari_breast_ai.core import Geometry
from napari_breast_ai.kinetics import relative_enhancement
from napari_breast_ai.viewer import kinetic_look as kind
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer import mip, notices
from napari_breast_ai.viewer.session import Session


def test_nothing_is_computed_before_the_dock_is_there(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    for name in ("warn", "complain"):
        monkeypatch.setattr(notices, name, told.append)
    session.show_study(make_volume())
    kinetics = session.kinetics
    assert kinetics.choice is None and kinetics.maps is None and not kinetics.on
    kinetics.layers.flip_map()
    kinetics.motion.flip()
    kinetics.curves.keep()
    assert [text.split(".")[0] for text in told] == [
        "The kinetic map belongs to the Kinetics dock",
        "Motion has not been corrected",
        "Point at the image first: the curve under the pointer is the one that is kept",
    ]
    assert not any(look.info(layer)["role"] in look.KINETIC for layer in session.viewer.layers)


def test_phases_by_hand_that_no_longer_fit_go(session: Session) -> None:
    session.show_study(make_volume())
    kinetics = session.kinetics
    kinetics.watch()
    kinetics.give(early=1, late=2)
    assert (kinetics.choice.early, kinetics.choice.late) == (1, 2)
    kinetics.give(pre=1)
    assert kinetics.given.early is None and kinetics.given.late == 2
    kinetics.give(early=3)
    assert kinetics.given.late is None
    session.show_study(make_volume(uid="9"))
    assert kinetics.given == type(kinetics.given)()


@pytest.mark.parametrize("role", [kind.CLASSES, kind.SER])
def test_each_code_has_its_own_colour(role: str) -> None:
    from napari_breast_ai.kinetics import CLASS_COLORS, SER_COLORS

    colors = CLASS_COLORS if role == kind.CLASSES else SER_COLORS
    drawn = kind.map_colormap(role).map(np.arange(len(colors)) / (len(colors) - 1))
    wanted = np.array([[int(one[i : i + 2], 16) for i in (1, 3, 5)] for one in colors])
    np.testing.assert_allclose(255 * drawn[1:, :3], wanted[1:], atol=0.5)
    assert drawn[0, 3] == 0 and (drawn[1:, 3] == 1).all()


@pytest.mark.parametrize(
    ("orientation", "axes"),
    [
        ((1, 0, 0, 0, 1, 0), {"axial": 0, "coronal": 1, "sagittal": 2}),
        ((0, 1, 0, 0, 0, -1), {"axial": 1, "coronal": 2, "sagittal": 0}),
        ((1, 0, 0, 0, 0, -1), {"axial": 1, "coronal": 0, "sagittal": 2}),
    ],
)
def test_each_plane_is_seen_along_its_own_axis(
    orientation: tuple[float, float, float, float, float, float], axes: dict[str, int]
) -> None:
    geometry = Geometry.from_dicom((4, 5, 6), (1, 1), 2, (0, 0, 0), orientation)
    assert {plane: mip.axis_of(geometry, plane) for plane in axes} == axes


def test_regions_are_their_readers_own(session: Session) -> None:
    session.show_study(make_volume())
    regions = session.kinetics.regions
    regions.paint(True)
    assert regions.layer is not None
    regions.layer.data[4, 10:14, 10:14] = 1
    regions.paint(False)
    session.set_reader("ben")
    assert not np.asarray(regions.layer.data).any(), (
        "what another reader has painted says where they saw a lesion"
    )
    regions.layer.data[2, 3:5, 3:5] = 1
    session.set_reader("anna")
    assert int(np.asarray(regions.layer.data).sum()) == 16
    session.set_reader("ben")
    assert int(np.asarray(regions.layer.data)[2].sum()) == 4
    session.show_study(make_volume(uid="9"))
    session.set_reader("anna")
    assert regions.layer is None or not np.asarray(regions.layer.data).any()


def test_tissue_is_not_looked_for_in_half_a_study(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = make_volume()
    whole = volume.data.copy()
    volume.data[:, 4:] = 0
    session.show_study(volume)
    loader: Any = SimpleNamespace(
        volume=volume,
        complete=False,
        loaded=np.zeros(volume.data.shape[:2], bool),
        load=lambda *_, **__: None,
    )
    session.loader = loader

    def start(kind: str, name: str, work: Any, *, done: Any, **more: Any) -> None:
        if kind == "prepare image":
            done(work(lambda *_: None))

    monkeypatch.setattr(session.workers, "start", start)
    kinetics = session.kinetics
    kinetics.watch()
    kinetics.switch(True)
    kinetics.layers.show(difference=True, percent=True)
    assert not kinetics.layers.image().ready and kinetics.layers.layer(kind.DIFFERENCE) is None
    volume.data[:] = whole
    loader.complete = True
    session.workers.changed.emit()
    assert kinetics.layers.layer(kind.DIFFERENCE).visible
    assert kinetics.layers.image().floor == relative_enhancement(volume, 1).floor
    session.close_study()
    assert kinetics.layers._image is None and kinetics.lesions._watched is None


def test_half_a_study_is_not_projected(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = make_volume()
    whole = volume.data.copy()
    volume.data[:, 4:] = 0
    session.show_study(volume)
    loader: Any = SimpleNamespace(
        volume=volume,
        complete=False,
        loaded=np.zeros(volume.data.shape[:2], bool),
        load=lambda *_, **__: None,
    )
    session.loader = loader

    def start(kind: str, name: str, work: Any, *, done: Any, **more: Any) -> None:
        if kind == "projection":
            done(work(lambda *_: None))

    monkeypatch.setattr(session.workers, "start", start)
    kinetics = session.kinetics
    kinetics.watch()
    kinetics.switch(True)
    kinetics.layers.show(mip="whole")
    assert kinetics.layers.layer(kind.PROJECTION) is None
    volume.data[:] = whole
    loader.complete = True
    session.workers.changed.emit()
    early, pre = kinetics.choice.early, kinetics.choice.pre
    highest = (whole[early].astype(float) - whole[pre]).max(axis=0)
    np.testing.assert_allclose(np.asarray(kinetics.layers.layer(kind.PROJECTION).data[0]), highest)


def test_a_projection_is_not_begun_anew_by_a_slider(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.show_study(make_volume())
    kinetics = session.kinetics
    started: dict[str, Any] = {}
    begun: list[str] = []

    def start(kind: str, name: str, work: Any, **calls: Any) -> None:
        started[kind] = work, calls
        begun.append(kind)

    monkeypatch.setattr(session.workers, "start", start)
    monkeypatch.setattr(session.workers, "running", started.__contains__)
    kinetics.watch()
    kinetics.switch(True)
    kinetics.layers.show(mip="whole")
    kinetics.layers.show(opacity=0.5)
    assert begun.count("projection") == 1
    work, calls = started.pop("projection")
    calls["done"](work(lambda *told: None))
    layer = kinetics.layers.layer(kind.PROJECTION)
    assert layer is not None and layer.visible
