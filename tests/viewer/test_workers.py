"""Jobs of a window: how they end, and the time that they still take."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from napari_breast_ai.core import Cancelled, Progress
from napari_breast_ai.viewer import workers as module
from napari_breast_ai.viewer.workers import Job, Workers


def test_a_job_that_fails_after_its_stop_is_a_stopped_one(qtbot: Any) -> None:
    workers, heard, begun, stopped = Workers(), [], threading.Event(), threading.Event()

    def work(progress: Progress) -> None:
        begun.set()
        stopped.wait(30)
        raise ValueError("of a study that is gone")

    workers.start(
        "a",
        "Work",
        work,
        done=lambda _: heard.append("done"),
        failed=lambda _: heard.append("failed"),
        cancelled=lambda: heard.append("cancelled"),
    )
    assert begun.wait(30)
    workers.cancel("a")
    stopped.set()
    qtbot.waitUntil(lambda: bool(heard), timeout=30_000)
    assert heard == ["cancelled"] and not workers.running("a")


def test_a_job_that_was_stopped_before_it_began_is_not_waited_for(qtbot: Any) -> None:
    worked: list[bool] = []
    job = Job("Work", lambda _: worked.append(True), lambda *_: None, lambda _: None, lambda *_: None, False)
    assert not job.join(0.01), "it may still begin"
    job.cancel()
    begin = time.monotonic()
    assert job.join(30) and time.monotonic() - begin < 5
    _, error = job._run()
    assert isinstance(error, Cancelled) and not worked


def test_each_step_tells_its_own_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    job = Job("Work", lambda progress: None, lambda *_: None, lambda _: None, lambda *_: None, False)

    def report(at: float, done: int, total: int, what: str) -> float | None:
        now[0] = at
        job._on_reported(done, total, what)
        return job.left_s

    assert report(0.0, 0, 1, "slow to begin") is None
    assert report(100.0, 0, 100, "quick") is None
    assert report(110.0, 50, 100, "quick") == pytest.approx(10.0), "the slow step does not count"
