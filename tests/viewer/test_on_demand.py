"""A study by napari's own door: one slice at once for a window, all of it for a script, and no hole unsaid."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtTest import QTest

from napari_breast_ai.core import BreastAIError
from napari_breast_ai.phantom import write_dicom
from napari_breast_ai.study import Loader, read_study
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer import notices
from napari_breast_ai.viewer.layers import first_look
from napari_breast_ai.viewer.on_demand import OnDemand, UnreadWarning
from napari_breast_ai.viewer.reader import read
from napari_breast_ai.viewer.session import get_session

window = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]


@pytest.fixture
def folder(tmp_path: Path, phantom_factory: Callable[..., Any]) -> Path:
    write_dicom(phantom_factory("igm", shape=(12, 64, 64)), tmp_path / "study", "ge")
    return tmp_path / "study"


@pytest.fixture
def truth(folder: Path) -> Any:
    return read_study(folder).data


def opened(folder: Path) -> tuple[Any, Any, Loader]:
    """Both layers' arrays and the loader behind them."""
    (data, settings, _), (subtraction, *_) = read(str(folder))
    return data, subtraction, settings["metadata"][look.KEY]["loader"]


def test_a_slice_costs_a_slice(folder: Path, truth: Any) -> None:
    data, subtraction, loader = opened(folder)
    assert isinstance(data, OnDemand) and data.shape == truth.shape and data.dtype == truth.dtype
    phase, z = first_look(loader.volume)
    assert np.argwhere(loader.loaded).tolist() == [[0, z], [phase, z]]
    for key in ((3, 2), (3, -1, slice(2, 9), 5), (slice(1, 2), 4), (-1, ..., 7), (4, [0, 3])):
        np.testing.assert_array_equal(data[key], truth[key])
    assert loader.loaded[4].sum() == 2 and not loader.complete
    np.testing.assert_array_equal(subtraction[4, 7], truth[4, 7].astype(np.float32) - truth[0, 7])
    with pytest.raises(IndexError):
        data[99]


@pytest.mark.parametrize(
    "use",
    [
        np.asarray,
        lambda data: data[:],
        lambda data: data[None][0],
        lambda data: data.copy(),
        lambda data: (data + 1) - 1,
        lambda data: np.stack([data[p] for p in range(len(data))]),
    ],
)
def test_the_whole_is_whole(folder: Path, truth: Any, use: Callable[[Any], Any]) -> None:
    data, _, loader = opened(folder)
    np.testing.assert_array_equal(use(data), truth)
    assert loader.complete


def test_numbers_of_the_whole(folder: Path, truth: Any) -> None:
    assert opened(folder)[0].mean() == truth.mean()
    assert np.percentile(opened(folder)[0], 99) == np.percentile(truth, 99)
    data, _, loader = opened(folder)
    assert not hasattr(data, "compute") and not hasattr(data, "chunks")
    assert loader.loaded.sum() == 2, "a question reads nothing"
    np.testing.assert_array_equal(np.asarray(opened(folder)[1]), truth.astype(np.float32) - truth[0])


def test_what_other_programs_read(folder: Path, truth: Any) -> None:
    """A process of its own, without a window: napari's tests hide plugins from this one."""
    code = (
        "import sys, npe2, numpy\n"
        "npe2.PluginManager.instance().discover()\n"
        "(dynamic, *_) = npe2.read([sys.argv[1]], stack=False, plugin_name='napari-breast-ai')\n"
        "numpy.save(sys.argv[2], dynamic[0])"
    )
    saved = folder.parent / "saved.npy"
    subprocess.run([sys.executable, "-c", code, str(folder), str(saved)], check=True, timeout=120)
    np.testing.assert_array_equal(np.load(saved), truth)


def test_a_hole_is_said_and_the_whole_refused(folder: Path, truth: Any) -> None:
    data, _, loader = opened(folder)
    victim = loader._frames[3][2].source.path
    victim.write_bytes(victim.read_bytes()[:-100])
    with pytest.warns(UnreadWarning, match=f"{victim.name}.*slices are empty"):
        assert not data[3, 2].any()
    np.testing.assert_array_equal(data[3, 3], truth[3, 3])  # and is not said again
    with pytest.raises(BreastAIError, match=victim.name):
        data.mean()
    assert loader.loaded.sum() == loader.loaded.size - 1


class TestInAWindow:
    """By `viewer.open`, as napari does for what is dropped on its canvas."""

    pytestmark = window

    def test_without_a_dock(self, folder: Path, truth: Any, make_napari_viewer: Any) -> None:
        viewer = make_napari_viewer(show=True)
        dynamic, _ = viewer.open(str(folder), plugin="napari-breast-ai")
        loader = look.info(dynamic)["loader"]
        assert loader.loaded.sum() < 8, "the study is on the screen long before it is read"
        for phase, z in ((0, 0), (2, 11), (4, 3)):
            viewer.dims.set_point((0, 1), (phase, z * loader.volume.geometry.spacing[0]))
            QTest.qWait(20)
            np.testing.assert_array_equal(dynamic._slice.image.raw, truth[phase, z])
        assert not loader.complete

    def test_a_dock_that_comes_later_reads_the_rest(
        self, folder: Path, truth: Any, make_napari_viewer: Any, qtbot: Any
    ) -> None:
        viewer = make_napari_viewer(show=True)
        viewer.open(str(folder), plugin="napari-breast-ai")
        session = get_session(viewer, "anna")
        assert session.loader is not None
        qtbot.waitUntil(lambda: session.complete and session.workers.busy is None, timeout=60_000)
        np.testing.assert_array_equal(session.volume.data, truth)
        session.shut_down()

    def test_with_a_session(
        self,
        folder: Path,
        truth: Any,
        make_napari_viewer: Any,
        qtbot: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        said: list[str] = []
        monkeypatch.setattr(notices, "warn", said.append)
        viewer = make_napari_viewer(show=True)
        session = get_session(viewer, "anna")
        dynamic, subtraction = viewer.open(str(folder), plugin="napari-breast-ai")
        assert (session.phase_index, session.slice_index) == first_look(session.volume)
        np.testing.assert_array_equal(dynamic.data[5, 1], truth[5, 1])
        qtbot.waitUntil(lambda: session.complete and session.workers.busy is None, timeout=60_000)
        np.testing.assert_array_equal(session.volume.data, truth)
        np.testing.assert_array_equal(np.asarray(dynamic.data), truth)
        np.testing.assert_array_equal(subtraction.data[2, 3], truth[2, 3].astype(np.float32) - truth[0, 3])
        session.shut_down()
