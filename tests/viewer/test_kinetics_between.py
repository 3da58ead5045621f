"""What must not go from one study, reader or choice of phases to the next; in a session without a window."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conftest import make_volume
from napari_breast_ai.core import Box, DceVolume, PhaseTimes
from napari_breast_ai.kinetics import area_of_voxel
from napari_breast_ai.viewer import kinetic_look as kind
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer.kinetic_curves import POINTER_COLOR, Drawn
from napari_breast_ai.viewer.session import Session


@pytest.fixture
def at_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """What would run in a thread is done when it is started."""

    def start(name: str, text: str, work: Any, *, done: Any, **more: Any) -> None:
        done(work(lambda *_: None))

    monkeypatch.setattr(session.workers, "start", start)
    yield session


def watched(session: Session, volume: DceVolume) -> Any:
    session.show_study(volume)
    kinetics = session.kinetics
    kinetics.watch()
    kinetics.switch(True)
    return kinetics


def half_read(session: Session, volume: DceVolume) -> Any:
    """The study while the pixels of its slices from 4 on are still zeros."""
    loaded = np.ones(volume.data.shape[:2], bool)
    loaded[2:, 4:] = False
    loader = SimpleNamespace(volume=volume, complete=False, loaded=loaded, load=lambda *_, **__: None)
    session.loader = loader  # type: ignore[assignment]
    return loader


def test_a_kept_curve_does_not_stop_the_next_study(at_once: Session) -> None:
    kinetics = watched(at_once, make_volume(8))
    curves = kinetics.curves
    seen: list[int] = []
    curves.changed.connect(lambda: seen.append(len(curves.drawn())))
    area = area_of_voxel((7, 30, 40), (8, 40, 50), 1)
    curves.pointer = Drawn(curves._curve(area), POINTER_COLOR, False, area)
    curves.keep()
    at_once.go_to(7)
    assert seen[-1] == 1
    at_once.show_study(make_volume(4, 20, 24, uid="9"))
    assert at_once.journal is not None and at_once.volume.n_slices == 4
    assert curves.drawn() == [] and curves.kept == 0 and kinetics.choice is not None


def test_a_slice_that_is_half_read_has_no_curve(at_once: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    kinetics = watched(at_once, make_volume())
    loader = half_read(at_once, at_once.volume)
    monkeypatch.setattr(at_once.editing, "pointer", lambda: (10.0, 12.0))
    for z, there in ((5, False), (1, True)):
        at_once.go_to(z)
        kinetics.curves._on_move(None, None)
        assert (kinetics.curves.pointer is not None) is there
    at_once.go_to(5)
    loader.loaded[:] = True
    kinetics.curves._on_move(None, None)
    assert kinetics.curves.pointer is not None


def test_a_subtraction_takes_its_contrast_from_the_whole_study(at_once: Session) -> None:
    volume = make_volume()
    whole = volume.data.copy()
    volume.data[:, 4:] = 0
    volume.data[:, :4] = volume.data[:1, :4]
    kinetics = watched(at_once, volume)
    loader = half_read(at_once, volume)
    for shown, role in (({"difference": True}, kind.DIFFERENCE), ({"mip": "slab"}, kind.PROJECTION)):
        kinetics.layers.show(**shown)
        layer = kinetics.layers.layer(role)
        assert layer is None or not layer.visible
    volume.data[:] = whole
    loader.complete = True
    at_once.workers.changed.emit()
    for role in (kind.DIFFERENCE, kind.PROJECTION):
        assert kinetics.layers.layer(role).visible
        assert kinetics.layers.layer(role).contrast_limits[1] > 50


def test_the_first_phase_alone_is_projected(at_once: Session) -> None:
    volume = make_volume()
    kinetics = watched(at_once, volume)
    kinetics.layers.show(mip="whole", mip_of="phase", phase=0)
    shown = kinetics.layers.layer(kind.PROJECTION)
    np.testing.assert_allclose(np.asarray(shown.data[0]), volume.data[0].max(axis=0))


def test_numbers_of_phases_are_those_of_their_study(at_once: Session) -> None:
    kinetics = watched(at_once, make_volume())
    kinetics.layers.show(difference=True, phase=3, base=1)
    at_once.show_study(replace(at_once.volume, times=replace(at_once.volume.times)))
    assert (kinetics.layers.view.phase, kinetics.layers.view.base) == (3, 1)
    at_once.show_study(make_volume(uid="9"))
    assert (kinetics.layers.view.phase, kinetics.layers.view.base) == (None, None)
    assert kinetics.layers.view.difference


def test_undo_brings_no_other_readers_strokes(session: Session) -> None:
    session.show_study(make_volume())
    regions = session.kinetics.regions
    regions.paint(True)
    regions.layer.paint((4, 12, 12), 1)
    assert np.asarray(regions.layer.data).any()
    session.set_reader("ben")
    regions.layer.undo()
    regions.layer.redo()
    assert not np.asarray(regions.layer.data).any()
    session.set_reader("anna")
    assert np.asarray(regions.layer.data).any()


def test_a_region_that_is_grown_anew_leaves_no_stroke_and_says_of_what_it_is(at_once: Session) -> None:
    kinetics = watched(at_once, make_volume())
    box = at_once.journal.add(Box(4, 10, 8, 30, 26, "IGM"))
    kinetics.lesions.measure()
    regions, lesion = kinetics.regions, kinetics.lesions.lesion
    regions.grow(lesion)
    grown = regions.grown[box.id]
    data = np.asarray(regions.layer.data)
    data[0, 35:38, 40:45] = grown.number
    regions.grow(lesion)
    assert int((np.asarray(regions.layer.data) == grown.number).sum()) == grown.area.voxels
    assert regions.follows(regions.grown[box.id])
    kinetics.give(early=3)
    assert not regions.follows(regions.grown[box.id])
    regions.grow(lesion)
    assert regions.follows(regions.grown[box.id])


def test_a_hidden_region_stays_hidden_when_times_are_told(at_once: Session) -> None:
    kinetics = watched(at_once, make_volume())
    box = at_once.journal.add(Box(4, 10, 8, 30, 26, "IGM"))
    kinetics.regions.grow(kinetics.lesions.lesion)
    before = np.array(kinetics.regions.layer.data)
    assert before.any()
    kinetics.regions.layer.visible = False
    at_once.show_study(replace(at_once.volume, times=replace(at_once.volume.times)))
    assert look.info(kinetics.regions.layer)["volume"] is at_once.volume
    assert not kinetics.regions.layer.visible and box.id in kinetics.regions.grown
    np.testing.assert_array_equal(kinetics.regions.layer.data, before)


def test_motion_asks_for_the_phase_before_contrast(at_once: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    at_once.said.connect(told.append)
    volume = make_volume()
    unknown = replace(volume, times=PhaseTimes((0.0, 1.0, 2.0, 3.0), ("unknown",) * 4))
    kinetics = watched(at_once, unknown)
    assert kinetics.choice is None
    monkeypatch.setattr("napari_breast_ai.kinetics.motion.correct_motion", pytest.fail)
    kinetics.motion.correct()
    assert "choose it under Phases first" in told[-1] and kinetics.motion.corrected is None


def test_a_correction_that_leaves_with_its_study_chooses_no_phases(
    at_once: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_breast_ai.kinetics.motion import Corrected

    volume = make_volume()
    moved = replace(volume, data=volume.data + 1)
    kinetics = watched(at_once, volume)
    monkeypatch.setattr(
        "napari_breast_ai.kinetics.correct_motion",
        lambda *_: Corrected(moved, volume, 0, (0.0,) * 4, (0.0,) * 4),
    )
    kinetics.motion.correct()
    assert kinetics.motion.used and kinetics.volume is moved
    chosen: list[DceVolume | None] = []
    choose = kinetics.choose
    monkeypatch.setattr(kinetics, "choose", lambda: (chosen.append(kinetics.volume), choose()))
    following = make_volume(uid="9")
    at_once.show_study(following)
    assert len(chosen) == 1 and chosen[0] is following and kinetics.motion.corrected is None


@pytest.mark.parametrize("same", [True, False])
def test_a_correction_goes_on_when_times_are_told(
    session: Session, qtbot: Any, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    """It depends on the pixels only. With other pixels it ends, and nothing of it comes."""
    from napari_breast_ai.kinetics.motion import Corrected

    begun, go_on = threading.Event(), threading.Event()
    volume = make_volume()
    moved = replace(volume, data=volume.data + 1)

    def slow(volume: DceVolume, pre: Any, settings: Any, progress: Any) -> Corrected:
        progress(0, 2, "motion")
        begun.set()
        go_on.wait(20)
        progress(1, 2, "motion")
        return Corrected(moved, volume, 0, (0.0,) * 4, (0.0,) * 4)

    monkeypatch.setattr("napari_breast_ai.kinetics.correct_motion", slow)
    kinetics = watched(session, volume)
    kinetics.motion.correct()
    qtbot.waitUntil(begun.is_set)
    times = replace(volume.times, start_s=(0.0, 100.0, 200.0, 300.0))
    told = replace(volume, times=times, data=volume.data if same else volume.data.copy())
    session.show_study(told)
    assert session.workers.job("motion").cancelling is not same
    go_on.set()
    qtbot.waitUntil(lambda: not session.workers.running("motion"))
    corrected = kinetics.motion.corrected
    if same:
        assert corrected.original is told and corrected.volume.data is moved.data and kinetics.motion.used
        assert corrected.volume.times == times and kinetics.choice.middles_s is not None
        assert kinetics.motion.layer.visible and look.info(kinetics.motion.layer)["volume"] is told
        qtbot.waitUntil(lambda: kinetics.maps is not None)
        assert kinetics.maps.volume is corrected.volume
    else:
        qtbot.wait(50)
        assert corrected is None and kinetics.motion.layer is None
