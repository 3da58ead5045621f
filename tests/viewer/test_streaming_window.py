"""A run shows what it has while it goes on, and leaves no trace when it is stopped: in a real window."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hand import Window
from qtpy.QtCore import QPoint

from conftest import make_volume
from napari_breast_ai.annotations.protocol import Protocol
from napari_breast_ai.core import BreastAIError
from napari_breast_ai.inference import Engine, engine, predict, quantised
from napari_breast_ai.inference.cache import in_words
from napari_breast_ai.models import load_bundle
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer import takeaway, tasks
from napari_breast_ai.viewer.display import default_label
from napari_breast_ai.viewer.recall import READY

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]


class Gate:
    """Lets the backbone run batch by batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passes = threading.Semaphore(0)
        self.seen: list[int] = []
        self.broken = False
        plain = Engine.features

        def held(engine: Engine, images: Any) -> Any:
            assert self.passes.acquire(timeout=60)
            if self.broken:
                raise RuntimeError("no more")
            self.seen.append(len(images))
            return plain(engine, images)

        monkeypatch.setattr(Engine, "features", held)

    def let(self, batches: int = 1) -> None:
        self.passes.release(batches)


@pytest.fixture
def window(open_window: Callable[..., Window], monkeypatch: pytest.MonkeyPatch) -> Window:
    monkeypatch.setattr(tasks.News, "EVERY_S", 0.0)
    made = open_window()
    made.session.show_study(make_volume(20, 96, 112))
    made.session.set_bundle(load_bundle("demo-attention-squeezenet"))
    made.session.go_to(6)
    made.settle(100)
    return made


def test_the_slice_in_view_comes_first(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    session, dock = window.session, window.dock
    whole = predict(session.volume, session.bundle)
    gate = Gate(monkeypatch)
    window.click(dock.model.volume_button)
    gate.let()
    window.wait(lambda: session.prediction is not None)
    assert gate.seen == [1] and session.prediction.slices == (6,)
    layer = session.heat.layer(look.ATTENTION)
    assert layer is not None and layer.visible
    np.testing.assert_allclose(layer.data[6], whole.attention[6], atol=1e-6)
    assert not layer.data[[*range(6), *range(7, 20)]].any()
    assert "not scored" in dock.result.bars.accessibleDescription()
    assert "1 of 20 slices" in dock.result.rule.text()
    assert dock.result.strip.describe(6).startswith(
        "Slice 6, "
    ) and "not scored" in dock.result.strip.describe(7)

    takes = dock.takeaway
    assert not takes.report.isEnabled() and not takes.table.isEnabled(), "nothing half is taken away"
    with pytest.raises(BreastAIError, match="still at work"):
        takeaway.save_report(session, Path("nowhere"))
    with pytest.raises(BreastAIError, match="still at work"):
        takeaway.save_table(session, Path("nowhere"))

    gate.let()
    window.wait(lambda: session.prediction.pending == 11)
    assert gate.seen == [1, 8] and session.prediction.slices == tuple(range(2, 11))
    assert session.heat.layer(look.ATTENTION) is layer, "the layer is reused"
    np.testing.assert_allclose(layer.data[2:11], whole.attention[2:11], atol=1e-6)
    session.go_to(9)
    gate.let(8)
    window.wait(lambda: session.prediction.pending == 0)
    assert session.slice_index == 9, "who has gone elsewhere stays there"
    found = session.prediction
    assert found.slices == tuple(range(20))
    assert session.display.label == default_label(found), "as if nothing had been shown before"
    for label in whole.labels:
        np.testing.assert_allclose(found.probabilities[label], whole.probabilities[label], rtol=1e-4)
    assert found.case.rule == whole.case.rule == dock.result.rule.text()


def test_a_stop_leaves_what_was_there(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    session, dock = window.session, window.dock
    gate = Gate(monkeypatch)
    window.click(dock.model.volume_button)
    gate.let()
    window.wait(lambda: session.prediction is not None)
    window.click(dock.model.cancel_button)
    gate.let(9)
    window.wait(lambda: not session.workers.running(tasks.RUN))
    assert session.prediction is None and session.heat.layer(look.ATTENTION) is None
    assert len(gate.seen) <= 2, "stopped at the next batch"

    gate.let(20)
    window.click(dock.model.slice_button)
    window.wait(lambda: session.prediction is not None and session.prediction.pending == 0)
    before = session.prediction
    window.wait(lambda: not session.workers.running(tasks.RUN))
    session.live.keep().known[:] = False
    while gate.passes.acquire(blocking=False):
        pass
    window.click(dock.model.volume_button)
    gate.let()
    window.wait(lambda: session.prediction is not before)
    gate.broken = True
    gate.let()
    window.wait(lambda: not session.workers.running(tasks.RUN))
    assert session.prediction is before and before.slices == (6,)
    assert "no more" in window.said[-1]


def test_a_stop_does_not_wait_for_an_engine(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancel while an engine is being made acts at once; it is made to its end all the same, and once."""
    session, panel = window.session, window.dock.model
    made = threading.Event()
    asked: list[Any] = []

    def slowly(model: Any, plain: Any, images: Any, names: Any, measure: bool) -> Any:
        asked.append(model)
        assert made.wait(60)
        return plain, "Made slowly."

    monkeypatch.setattr(engine, "installed", lambda: ("slow",))
    monkeypatch.setattr(engine, "_choose", slowly)
    session.set_bundle(load_bundle("demo-attention-squeezenet"))
    window.wait(lambda: bool(asked))  # it is got ready by itself, behind the screen
    window.click(panel.volume_button)
    window.wait(lambda: session.prediction is not None)
    assert session.prediction.slices == (6,), "torch shows the slice in view meanwhile"
    window.wait(lambda: "engine" in session.workers.job(tasks.RUN).what)
    begin = time.monotonic()
    window.click(panel.cancel_button)
    window.wait(lambda: not session.workers.running(tasks.RUN))
    assert time.monotonic() - begin < 5 and not made.is_set()
    window.settle()
    assert (
        session.prediction is None and panel.volume_button.isEnabled() and not panel.cancel_button.isVisible()
    )
    # What was begun is there for the next run.
    made.set()
    window.wait(lambda: not session.workers.running(READY))
    window.click(panel.volume_button)
    window.wait(lambda: session.prediction is not None and not session.prediction.pending)
    assert len(asked) == 1 and "Made slowly." in session.prediction.input


def test_another_study_stops_the_run(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    session = window.session
    gate = Gate(monkeypatch)
    window.click(window.dock.model.volume_button)
    gate.let()
    window.wait(lambda: session.prediction is not None)
    session.show_study(make_volume(8, 64, 80, uid="9.9"))
    gate.let(9)
    window.wait(lambda: not session.workers.running(tasks.RUN))
    window.settle(50)
    assert session.prediction is None and len(gate.seen) <= 2


def test_a_case_that_is_opened_again_shows_its_maps(
    window: Window, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NAPARI_BREAST_AI_CACHE", str(tmp_path / "cache"))
    session, dock = window.session, window.dock
    session.show_study(make_volume(12, 64, 80, uid="5.5"))
    session.go_to(4)
    window.click(dock.model.volume_button)
    window.wait(lambda: session.prediction is not None and session.prediction.pending == 0)
    first = session.prediction
    window.wait(lambda: session.workers.busy is None)
    assert len(list(tmp_path.rglob("*.f32"))) == 13
    # What that takes, in memory and on the disk, and how much it may.
    maps, size = session.live.keep(), sum(file.stat().st_size for file in tmp_path.rglob("*.f32"))
    assert dock.model.bounds.isVisible() and 0 < maps.taken == maps.needs
    said = (
        f"{in_words(maps.taken)} of at most 2.0 GB of memory. On the disk those of all cases take "
        f"{in_words(size)} of at most 8.0 GB."
    )
    assert said in dock.model.bounds.text()
    assert f"{in_words(size)} of at most 8.0 GB are taken" in dock.kept.note.text()

    session.show_study(make_volume(8, 64, 80, uid="9.9"))
    window.wait(lambda: session.workers.busy is None)
    assert session.prediction is None
    gate = Gate(monkeypatch)
    session.show_study(make_volume(12, 64, 80, uid="5.5"))
    window.wait(lambda: session.prediction is not None)
    assert not gate.seen
    for label in first.labels:
        np.testing.assert_array_equal(session.prediction.gradcam[label], first.gradcam[label])
    assert session.prediction.case == first.case
    assert session.heat.layer(look.ATTENTION).visible

    session.set_protocol(Protocol(no_suggestions_for=("anna",)))
    session.show_study(make_volume(12, 64, 80, uid="5.5"))
    window.wait(lambda: session.workers.busy is None)
    assert session.prediction is None, "nobody is shown an answer that the protocol keeps from them"
    window.click(dock.model.volume_button)
    window.wait(lambda: session.prediction is not None)
    assert not gate.seen and session.prediction.case == first.case

    # Switched off and emptied by hand: it is said, nothing is left and nothing comes.
    window.wait(lambda: session.workers.busy is None)
    if dock.kept.folded:
        window.click(dock.kept.heading)
    window.click(dock.kept.switch, QPoint(8, dock.kept.switch.height() // 2))
    assert session.recall.off and "Nothing more is kept" in dock.kept.note.text()
    assert "None are kept on the disk" in dock.model.bounds.text()
    window.click(dock.kept.empty_button)
    window.wait(lambda: session.recall.size == 0)
    window.settle()
    assert not list(tmp_path.rglob("*.f32")) and not dock.kept.empty_button.isEnabled()
    assert session.prediction is not None, "what is on the screen stays"
    gate.let(99)
    session.show_study(make_volume(12, 64, 80, uid="7.7"))
    window.click(dock.model.volume_button)
    window.wait(lambda: session.prediction is not None and not session.prediction.pending)
    window.wait(lambda: session.workers.busy is None)
    assert not list(tmp_path.rglob("*.f32"))
    window.click(dock.kept.switch, QPoint(8, dock.kept.switch.height() // 2))
    assert not session.recall.off and "Nothing yet" in dock.kept.note.text()
    # More than may be kept is said, not done.
    session.show_study(make_volume(4, 64, 80, uid="8.8"))
    session.live.keep().limit = 1000
    window.click(dock.model.volume_button)
    window.wait(lambda: session.prediction is not None and not session.prediction.pending)
    window.settle()
    assert "they are not kept there" in dock.model.bounds.text() and session.live.keep().taken == 0


def test_fast_is_offered_where_the_bundle_says_what_it_costs(
    window: Window, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session, panel = window.session, window.dock.model
    assert not panel.fast.isVisible()
    with pytest.raises(BreastAIError, match="nothing says what 8 bits cost"):
        session.set_fast(True)
    parts = {quantised.XML: b"a graph", quantised.WEIGHTS: b"its weights"}
    for name, raw in parts.items():
        (tmp_path / name).write_bytes(raw)
    plain = session.bundle

    class Small:
        name, precision = "Small", "int8"
        layout, alone = torch.contiguous_format, True

        def __init__(self, given: dict[str, bytes]) -> None:
            assert given == parts

        def features(self, images: Any) -> Any:
            with torch.no_grad():
                return plain.model.backbone(images)

    monkeypatch.setattr(quantised, "Int8Runner", Small)
    monkeypatch.setattr(quantised, "find_spec", lambda name: object())
    told = {"auc_loss": 0.001, "sha256": quantised.hashes(parts), "patients": 40}
    session.set_bundle(replace(plain, folder=tmp_path, evaluation=plain.evaluation | {"int8": told}))
    window.settle()
    assert (
        panel.fast.isVisible() and not panel.fast.isChecked() and "0.0010 of the AUC" in panel.fast.toolTip()
    )
    window.click(panel.fast, QPoint(8, panel.fast.height() // 2))
    assert session.fast
    window.click(panel.slice_button)
    window.wait(lambda: session.prediction is not None)
    assert "by Small, int8. In 8 bits" in session.prediction.input
    session.set_bundle(plain)
    assert not session.fast and not panel.fast.isVisible()
