"""Pharmacokinetics of a session without a window: what a fit was made of, and when it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conftest import make_volume
from napari_breast_ai.core import Box, Cancelled
from napari_breast_ai.kinetics import area_of_voxel
from napari_breast_ai.kinetics.pharmaco import T1Map
from napari_breast_ai.viewer import kinetic_look as kind
from napari_breast_ai.viewer import notices
from napari_breast_ai.viewer.following import show_instead
from napari_breast_ai.viewer.kinetic_exchange import CHANGED, LESION, T1, VOLUME
from napari_breast_ai.viewer.kinetic_lesions import MEASURE
from napari_breast_ai.viewer.kinetics import KINETICS, Given
from napari_breast_ai.viewer.session import Session
from napari_breast_ai.viewer.widgets.kinetics_exchange import notes_of

KNOWN = {"t1_s": 1.4, "repetition_ms": 5.0, "flip_deg": 10.0, "relaxivity": 4.5}


class Jobs:
    """In place of threads: a job is done at once, or waits until it is told to go on."""

    def __init__(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits: set[str] = set()
        self.waiting: dict[str, Callable[[], None]] = {}
        self.late: list[Callable[[], None]] = []
        self._cancelled: set[str] = set()
        for name in ("start", "running", "cancel"):
            monkeypatch.setattr(session.workers, name, getattr(self, name))

    def start(
        self,
        what: str,
        name: str,
        work: Any,
        *,
        done: Any,
        failed: Any,
        cancelled: Any = lambda: None,
        **more: Any,
    ) -> None:
        if what not in (KINETICS, MEASURE, LESION, VOLUME, T1):
            return
        self._cancelled.discard(what)

        def go() -> None:
            try:
                if what in self._cancelled:
                    raise Cancelled
                found = work(lambda *told: None)
            except Cancelled:
                cancelled()
            except Exception as error:  # noqa: BLE001 - as in a thread
                failed(error)
            else:
                self.late.append(lambda: done(found))
                done(found)

        if what in self.waits:
            self.waiting[what] = go
        else:
            go()

    def running(self, what: str) -> bool:
        return what in self.waiting

    def cancel(self, what: str) -> None:
        self._cancelled.add(what)

    def go_on(self, what: str) -> None:
        self.waiting.pop(what)()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    for name in ("warn", "complain"):
        monkeypatch.setattr(notices, name, found.append)
    return found


@pytest.fixture
def jobs(session: Session, told: list[str], monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """A study with a boxed lesion and known settings; its maps are there, and the page is looked at."""
    jobs = Jobs(session, monkeypatch)
    session.show_study(make_volume())
    kinetics = session.kinetics
    kinetics.watch()
    kinetics.switch(True)
    assert session.journal is not None
    session.journal.add(Box(4, 12.5, 9.5, 26.5, 23.5, "IGM", "b1", "anna"))
    session.boxes_changed.emit()
    kinetics.exchange.watch(True)
    kinetics.exchange.tell(**KNOWN)
    measure(session)
    assert kinetics.exchange.lesion is not None
    return jobs


def measure(session: Session) -> None:
    """At once, whether a timer waits for a pause or there is none."""
    session.kinetics.lesions.measure()


def paint(session: Session, *rows: int) -> None:
    regions = session.kinetics.regions
    regions.paint(True)
    assert regions.layer is not None
    np.asarray(regions.layer.data)[4, list(rows), 14:18] = 1
    regions.paint(False)
    measure(session)


def take_artery(session: Session) -> None:
    (painted,) = [one for one in session.kinetics.lesions.found if one.number]
    session.kinetics.exchange.tell(artery="region", artery_key=painted.key, blood_t1_s=1.65)


def map_name(session: Session) -> str:
    """The layer of a parameter that is seen, or ""."""
    layer = session.kinetics.layers.layer(kind.EXCHANGE)
    return layer.name if layer is not None and layer.visible else ""


def gone(session: Session) -> bool:
    kinetics = session.kinetics
    seen = kinetics.layers.layer(kind.CLASSES)
    there = (
        kinetics.exchange.maps is not None or map_name(session) or kinetics.layers.view.map != kind.CLASSES
    )
    return not there and seen is not None and seen.visible


def told_times(session: Session) -> None:
    volume = session.volume
    assert volume is not None
    times = (0.0, 90.0, 180.0, 270.0)[: volume.n_phases]
    show_instead(session, replace(volume, times=replace(volume.times, start_s=times)))
    measure(session)


def measured_t1(session: Session) -> T1Map:
    assert session.volume is not None
    t1 = np.full(session.volume.geometry.shape, 1.1, np.float32)
    return T1Map(t1, t1, t1, np.ones(t1.shape, bool), "T1 is measured.")


def test_a_painted_artery_is_that_of_the_last_stroke(session: Session, jobs: Jobs) -> None:
    exchange, kinetics = session.kinetics.exchange, session.kinetics
    paint(session, 20)
    take_artery(session)
    assert "the mean curve of 4 voxels" in notes_of(exchange.lesion, None)
    exchange.fit_volume()
    assert "the mean curve of 4 voxels" in notes_of(None, exchange.maps) and map_name(session)
    # The screen without kinetics, other thresholds and a late phase by hand are no other artery.
    kinetics.switch(False)
    measure(session)
    assert not map_name(session)
    kinetics.switch(True)
    measure(session)
    jobs.waits.add(KINETICS)
    kinetics.give(early=1, late=2)
    measure(session)
    assert not kinetics.lesions.found
    jobs.go_on(KINETICS)
    jobs.waits.clear()
    measure(session)
    assert map_name(session) == "Ktrans (1/min)"
    paint(session, 19, 21)
    assert gone(session), "the map is of the artery before the stroke"
    assert "the mean curve of 12 voxels" in notes_of(exchange.lesion, None)
    exchange.fit_volume()
    assert "the mean curve of 12 voxels" in notes_of(None, exchange.maps)
    # While the maps are being made, too.
    jobs.waits.add(VOLUME)
    exchange.fit_volume()
    paint(session, 22)
    jobs.go_on(VOLUME)
    assert exchange.maps is None
    jobs.waits.clear()
    exchange.fit_volume()
    assert "the mean curve of 16 voxels" in notes_of(None, exchange.maps)
    # An artery that was taken away is none.
    assert kinetics.regions.layer is not None
    kinetics.regions.layer.data[:] = 0
    measure(session)
    assert gone(session) and "Paint a region in an artery" in exchange.problem


@pytest.mark.parametrize(
    "change",
    [
        lambda kinetics: kinetics.exchange.tell(t1_s=1.0),
        lambda kinetics: kinetics.exchange.tell(arrival_s=60.0),
        lambda kinetics: kinetics.exchange.tell(flip_deg=None),
        lambda kinetics: kinetics.give(pre=1),
    ],
    ids=["T1", "arrival", "no flip angle", "baseline"],
)
def test_maps_are_of_the_settings_and_phases_of_now(
    session: Session, jobs: Jobs, told: list[str], change: Callable[[Any], None]
) -> None:
    exchange, kinetics = session.kinetics.exchange, session.kinetics
    kinetics.set_thresholds(shown=20.0)
    exchange.fit_volume()
    assert map_name(session) == "Ktrans (1/min)"
    jobs.waits.add(VOLUME)
    exchange.fit_volume()
    made = exchange.maps
    told.clear()
    change(kinetics)
    measure(session)
    assert gone(session) and told == [CHANGED]
    # It stops at its next step; a result that was on its way is not taken either.
    jobs.go_on(VOLUME)
    jobs.late[-1]()
    assert gone(session) and exchange.maps is not made and told == [CHANGED]
    if not exchange.settings.missing():
        jobs.waits.clear()
        exchange.fit_volume()
        assert map_name(session) and exchange.maps is not None
        assert exchange.maps.facts["t1_s"] == exchange.settings.t1_s
        assert exchange.maps.facts["baseline_phases"] == list(range(kinetics.choice.pre + 1))


def test_a_result_that_comes_in_spite_of_the_stop_is_not_shown(
    session: Session, jobs: Jobs, told: list[str]
) -> None:
    exchange = session.kinetics.exchange
    exchange.fit_volume()
    done = jobs.late[-1]
    exchange.tell(t1_s=1.0)
    done()
    assert gone(session)
    jobs.waits.add(VOLUME)
    exchange.fit_volume()
    # Whatever changes without a word.
    exchange.settings = replace(exchange.settings, t1_s=0.8)
    told.clear()
    jobs.go_on(VOLUME)
    assert gone(session) and told == [CHANGED]


def test_what_has_no_part_in_a_fit_leaves_it(session: Session, jobs: Jobs, told: list[str]) -> None:
    exchange, kinetics = session.kinetics.exchange, session.kinetics
    exchange.fit_volume()
    first = exchange.maps
    # The same again, what belongs to another artery, an assumed T1 beside a measured one.
    exchange.tell(model="extended-tofts", artery="georgiou", artery_key="")
    exchange.tell(blood_t1_s=1.65)
    kinetics.give(early=1, late=2)
    kinetics.set_thresholds(fast=120.0)
    assert exchange.maps is first and map_name(session)
    jobs.waits.add(VOLUME)
    exchange.fit_volume()
    exchange.tell(where="tissue")
    jobs.go_on(VOLUME)
    assert exchange.maps is not first and map_name(session) and not told
    # Maps of more voxels take the place of those on the screen.
    jobs.waits.clear()
    exchange.fit_volume()
    layer = kinetics.layers.layer(kind.EXCHANGE)
    assert layer is not None and exchange.maps is not None
    np.testing.assert_array_equal(
        np.asarray(layer.data), np.asarray(kind.exchange_stack(exchange.maps, "ktrans"))
    )
    exchange.tell(t1_map=measured_t1(session))
    exchange.fit_volume()
    second = exchange.maps
    exchange.tell(t1_s=2.0)
    assert exchange.maps is second is not None


def test_a_file_that_is_chosen_again_is_read_again(session: Session, jobs: Jobs, tmp_path: Path) -> None:
    exchange = session.kinetics.exchange
    curve = tmp_path / "aif.csv"

    def write(top: float) -> None:
        lines = ["time_s,plasma_mM", "0,0", "60,0", "75,0.1", f"90,{top}", "300,1.0"]
        curve.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def ktrans() -> float:
        assert exchange.lesion is not None
        return float(exchange.lesion.fit.ktrans)

    write(6.0)
    exchange.tell(artery="file", artery_file=str(curve))
    exchange.fit_volume()
    before = ktrans()
    write(3.0)
    exchange.tell(artery="file", artery_key="", artery_file=str(curve))
    assert gone(session) and ktrans() != before


def test_a_populations_bolus_arrives_when_it_is_told_or_looked_for(session: Session, jobs: Jobs) -> None:
    exchange = session.kinetics.exchange
    assert "Its arrival was looked for" in notes_of(exchange.lesion, None)
    exchange.tell(arrival_s=60.0)
    late = notes_of(exchange.lesion, None)
    assert "arriving at 60.0 s" in late and "looked for" not in late
    exchange.fit_volume()
    assert "arriving at 60.0 s" in notes_of(None, exchange.maps)
    both = notes_of(exchange.lesion, exchange.maps)
    assert (
        both.count("arriving at 60.0 s") == 1 and "Lesion 1: Fitted: " in both and "The maps: Fitted" in both
    )
    exchange.tell(arrival_s=30.0)
    assert exchange.maps is None and "arriving at 30.0 s" in notes_of(exchange.lesion, exchange.maps)
    exchange.tell(artery="parker", arrival_s=None)
    assert "Parker" in notes_of(exchange.lesion, None)
    assert "Its arrival was looked for" in notes_of(exchange.lesion, None)


def test_another_study_has_neither_map_nor_settings(session: Session, jobs: Jobs, told: list[str]) -> None:
    exchange, kinetics = session.kinetics.exchange, session.kinetics
    exchange.tell(t1_map=measured_t1(session), artery="parker")
    exchange.fit_volume()
    kinetics.give(early=1, late=2)
    kinetics.layers.show(map="ve")
    kinetics.curves._kept.append(area_of_voxel((7, 30, 40), session.volume.geometry.shape))
    # Whoever draws curves while the study changes finds none that lie outside of it.
    drawn: list[int] = []
    kinetics.curves.changed.connect(lambda: drawn.append(len(kinetics.curves.drawn())))
    jobs.waits.add(VOLUME)
    exchange.fit_volume()
    told.clear()
    session.show_study(make_volume(4, 20, 24, n_phases=3, uid="9"))
    jobs.go_on(VOLUME)
    jobs.late[-1]()
    assert gone(session) and drawn and not told
    assert kinetics.curves.kept == 0 and kinetics.given == Given()
    settings = exchange.settings
    assert settings.t1_map is None and settings.t1_s is None and settings.artery == "georgiou"
    assert settings.relaxivity == KNOWN["relaxivity"]
    assert np.asarray(kinetics.layers.layer(kind.CLASSES).data[3]).shape == (20, 24)


def test_told_times_leave_what_was_told_of_the_same_images(
    session: Session, jobs: Jobs, told: list[str]
) -> None:
    exchange, kinetics = session.kinetics.exchange, session.kinetics
    t1 = measured_t1(session)
    paint(session, 20)
    take_artery(session)
    exchange.tell(t1_map=t1)
    exchange.fit_volume()
    before = exchange.lesion
    kinetics.give(early=1, late=2)
    kinetics.curves._kept.append(area_of_voxel((7, 30, 40), session.volume.geometry.shape))
    settings, kept = exchange.settings, kinetics.curves.drawn()[-1].curve
    jobs.waits.add(VOLUME)
    exchange.fit_volume()
    told.clear()
    told_times(session)
    jobs.go_on(VOLUME)
    assert exchange.settings is settings and settings.t1_map is t1 and settings.artery == "region"
    assert kinetics.given == Given(None, 1, 2) and kinetics.choice.late == 2
    assert kinetics.curves.kept == 1
    assert kinetics.curves.drawn()[-1].curve.middles_s != kept.middles_s
    assert gone(session) and told == [CHANGED]
    assert exchange.lesion is not None and exchange.lesion is not before
    assert "the mean curve of 4 voxels" in notes_of(exchange.lesion, None)
    # The numbers of the phases mean other images in another order.
    volume = session.volume
    assert volume is not None
    show_instead(session, replace(volume, frames=(volume.frames[1], volume.frames[0], *volume.frames[2:])))
    assert kinetics.given == Given() and exchange.settings is settings and kinetics.curves.kept == 1


@pytest.mark.parametrize("how", ["measured", "read"])
def test_t1_of_a_study_that_has_left_is_not_taken(
    session: Session, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    exchange = session.kinetics.exchange
    shape = session.volume.geometry.shape
    angles = SimpleNamespace(signal=None, flips_deg=(2, 10), repetition_s=0.005)
    t1 = measured_t1(session)
    monkeypatch.setattr("napari_breast_ai.study.read_flip_angles", lambda *_, **__: angles)
    monkeypatch.setattr("napari_breast_ai.kinetics.pharmaco.t1_nonlinear", lambda *_, **__: t1)
    monkeypatch.setattr("napari_breast_ai.study.read_on_slices", lambda *_: np.full(shape, 1.2))
    begin = exchange.measure_t1 if how == "measured" else exchange.read_t1
    jobs.waits.add(T1)
    # Told times are of the same images.
    begin("somewhere")
    told_times(session)
    jobs.go_on(T1)
    assert exchange.settings.t1_map is not None
    late = jobs.late[-1]
    session.show_study(make_volume(uid="9"))
    late()
    assert exchange.settings.t1_map is None, "its voxels are those of another study"
    begin("somewhere")
    session.show_study(make_volume(uid="10"))
    jobs.go_on(T1)
    assert exchange.settings.t1_map is None
    # Nothing to measure for.
    session.close_study()
    begin("somewhere")
    assert not jobs.running(T1)
