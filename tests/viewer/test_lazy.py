"""A study comes to the screen slice by slice: the first at once, the rest while one looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qtpy.QtTest import QTest

from napari_breast_ai.core import BreastAIError
from napari_breast_ai.phantom import write_dicom
from napari_breast_ai.study import Loader, read_study
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer import notices, tasks
from napari_breast_ai.viewer.layers import first_look
from napari_breast_ai.viewer.recall import Recall
from napari_breast_ai.viewer.session import Session, get_session

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]


class Gate:
    """Holds back every slice but the first ones until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.begun = threading.Event()
        self.left = threading.Event()
        self.pause_s = 0.0
        read, load = Loader._read, Loader.load
        gate = self

        def slow(loader: Loader, part: Any) -> None:
            if loader.loaded.sum() >= 2:  # the first look and its slice before contrast
                gate.open.wait(30)
                # Not so fast that all is read before the thread that was stopped gets its turn.
                time.sleep(gate.pause_s)
            read(loader, part)

        def noted(loader: Loader, *args: Any, **kwargs: Any) -> None:
            if "only" not in kwargs:
                gate.begun.set()
            try:
                load(loader, *args, **kwargs)
            finally:
                if "only" not in kwargs:
                    gate.left.set()

        monkeypatch.setattr(Loader, "_read", slow)
        monkeypatch.setattr(Loader, "load", noted)


@pytest.fixture(autouse=True)
def _nothing_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in a model's place cannot be got ready."""
    monkeypatch.setattr(Recall, "look", lambda recall: None)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(notices, "warn", said.append)
    monkeypatch.setattr(notices, "complain", said.append)
    return said


@pytest.fixture
def folder(tmp_path: Path, phantom_factory: Any) -> Path:
    write_dicom(phantom_factory("igm", shape=(8, 64, 64)), tmp_path / "study", "ge")
    return tmp_path / "study"


@pytest.fixture
def session(make_napari_viewer: Any) -> Session:
    return get_session(make_napari_viewer(show=True), "anna")


def start(session: Session, folder: Path, qtbot: Any) -> None:
    tasks.open_path(session, folder)
    qtbot.waitUntil(lambda: session.volume is not None, timeout=60_000)


def test_the_first_slice_is_shown_before_the_rest_is_read(
    session: Session, folder: Path, gate: Gate, told: list[str], qtbot: Any
) -> None:
    start(session, folder, qtbot)
    truth = gate_free(folder, gate)
    assert session.loader is not None and not session.complete
    phase, z = first_look(session.volume)
    assert (session.phase_index, session.slice_index) == (phase, z)
    assert session.loader.loaded[phase, z]
    np.testing.assert_array_equal(session.showing.dynamic.data[phase, z], truth[phase, z])
    assert truth[phase, z].any()
    limits = tuple(session.showing.dynamic.contrast_limits)
    assert limits[1] > limits[0] + 10, "the contrast is that of the slice, not of the empty ones"
    with pytest.raises(BreastAIError, match="still being read"):
        session.set_bundle(SimpleNamespace(spec=None, ranges=None, evaluation={}, ref=None))
        tasks.run_model(session)
    gate.open.set()
    qtbot.waitUntil(lambda: not session.workers.running(tasks.PIXELS), timeout=60_000)
    assert session.complete
    np.testing.assert_array_equal(session.volume.data, truth)
    assert tuple(session.showing.dynamic.contrast_limits) == limits


def gate_free(folder: Path, gate: Gate) -> Any:
    """The whole study, read past the gate."""
    from napari_breast_ai.study import pixels, scan

    index = scan(folder).dce()
    loader = Loader(index)
    for p, phase in enumerate(index.phases):
        for z, frame in enumerate(phase.frames):
            pixels.fill([frame], [loader.volume.data[p, z]])
    return loader.volume.data


def test_the_slice_on_the_screen_is_drawn_when_it_comes(
    session: Session, folder: Path, gate: Gate, told: list[str], qtbot: Any
) -> None:
    start(session, folder, qtbot)
    session.go_to(0, 0)
    layer = session.showing.dynamic
    drawn: list[Any] = []
    layer.events.set_data.connect(lambda event: drawn.append(layer.get_value((0, 0, 20.0, 20.0), world=True)))
    gate.open.set()
    qtbot.waitUntil(lambda: session.complete and not session.workers.running(tasks.PIXELS), timeout=60_000)
    assert drawn, "the layer is refreshed when slices have come"
    subtraction = next(one for one in session.viewer.layers if look.info(one)["role"] == look.SUBTRACTION)
    np.testing.assert_array_equal(
        subtraction.data[2, 3], session.volume.data[2, 3].astype(np.float32) - session.volume.data[0, 3]
    )


def test_stopped_half_way(session: Session, folder: Path, gate: Gate, told: list[str], qtbot: Any) -> None:
    start(session, folder, qtbot)
    session.workers.cancel(tasks.PIXELS)
    gate.pause_s = 0.05
    gate.open.set()
    qtbot.waitUntil(lambda: not session.workers.running(tasks.PIXELS), timeout=60_000)
    gate.pause_s = 0.0
    assert session.volume is not None and not session.complete
    assert any("slices are empty" in sentence for sentence in told)
    assert not session.volume.data[~session.loader.loaded].any()
    session.set_bundle(SimpleNamespace(spec=None, ranges=None, evaluation={}, ref=None))
    with pytest.raises(BreastAIError, match="not been read completely"):
        tasks.run_model(session)
    told.clear()
    tasks.open_path(session, folder)
    qtbot.waitUntil(lambda: session.complete and not session.workers.running(tasks.STUDY), timeout=60_000)
    qtbot.waitUntil(lambda: not session.workers.running(tasks.PIXELS), timeout=60_000)
    np.testing.assert_array_equal(session.volume.data, read_study(folder).data)


def test_a_file_that_breaks_meanwhile_leaves_a_hole_that_is_said(
    session: Session, folder: Path, gate: Gate, told: list[str], qtbot: Any
) -> None:
    start(session, folder, qtbot)
    p, z = map(int, np.argwhere(~session.loader.loaded)[-1])
    victim = session.loader._frames[p][z].source.path
    victim.write_bytes(victim.read_bytes()[:-100])
    gate.open.set()
    qtbot.waitUntil(lambda: not session.workers.running(tasks.PIXELS), timeout=60_000)
    assert any(victim.name in sentence for sentence in told)
    assert np.argwhere(~session.loader.loaded).tolist() == [[p, z]]


def test_closing_the_window_joins_the_reading(
    session: Session, folder: Path, gate: Gate, told: list[str], qtbot: Any
) -> None:
    start(session, folder, qtbot)
    assert session.workers.running(tasks.PIXELS)
    qtbot.waitUntil(gate.begun.is_set, timeout=30_000)
    assert not gate.left.is_set()
    threading.Timer(0.3, gate.open.set).start()
    session.shut_down()
    assert gate.left.is_set(), "joined before the window goes"
    QTest.qWait(50)
    assert told == []


def test_another_study_takes_its_place(
    session: Session, folder: Path, gate: Gate, told: list[str], qtbot: Any, volume: Any
) -> None:
    start(session, folder, qtbot)
    # A job that is cancelled before its thread has begun never reads at all.
    qtbot.waitUntil(gate.begun.is_set, timeout=30_000)
    session.show_study(volume)
    assert session.loader is None and session.complete
    gate.open.set()
    assert gate.left.wait(30)
    QTest.qWait(50)
    assert session.volume is volume
    assert told == []
