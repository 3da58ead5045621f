"""The one place that starts threads.

A job is a function of the core that takes a `core.Progress`. It runs in a thread and touches no layer,
viewer or widget; its result comes back in the window's thread. Cancelling raises `core.Cancelled` in the
job's next progress call. Stopping cancels and joins every job, and delivers nothing of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Any, ClassVar

from napari.qt.threading import FunctionWorker
from psygnal import Signal as Event
from qtpy.QtCore import QObject, Qt, Signal, Slot  # type: ignore[attr-defined]

from ..core import Cancelled, Progress

Work = Callable[[Progress], Any]

Tell = Callable[[Any], None]
"""Sends something to the window while the work goes on."""

REPORT_EVERY_S = 0.1
JOIN_S = 60.0
SURE_S = 2.0
"""Before that nobody can say how long the rest takes."""


class Job(QObject):
    """One piece of work in a thread.

    Attributes:
        name: what it is, in words for the person.
        quiet: it is over in a moment, so that no bar need tell of it.
        done, total, what: the last progress; `total` is 0 before the first.
        left_s: seconds that are left if the rest goes on as it has; None where it has not gone on for long.
        cancelling: the person asked for a stop.
    """

    _reported = Signal(int, int, str)
    _told = Signal(object)

    def __init__(
        self,
        name: str,
        work: Work,
        finished: Callable[[Job, Any, BaseException | None], None],
        progressed: Callable[[Job], None],
        told: Callable[[Job, Any], None],
        quiet: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.quiet = name, quiet
        self.done, self.total, self.what = 0, 0, name
        self._work = work
        self._finished = finished
        self._progressed = progressed
        self._on_told = told
        self._cancel = threading.Event()
        self._begun, self._over = threading.Event(), threading.Event()
        self._last = 0.0
        self.left_s: float | None = None
        self._first: tuple[int, float] | None = None
        self._reported.connect(self._on_reported, Qt.ConnectionType.QueuedConnection)
        self._told.connect(self._on_news, Qt.ConnectionType.QueuedConnection)
        self._worker = FunctionWorker(self._run)
        self._worker.returned.connect(self._on_returned)

    @property
    def cancelling(self) -> bool:
        """Whether a stop has been asked for."""
        return self._cancel.is_set()

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()

    def tell(self, news: Any) -> None:
        """From the thread: send something to the window. Nothing arrives after a stop was asked for."""
        if not self._cancel.is_set():
            self._told.emit(news)

    def cancel(self) -> None:
        """Ask the work to stop at its next step."""
        self._cancel.set()

    def join(self, seconds: float) -> bool:
        """Wait until the thread has left the work. False if it has not by then."""
        # One that still waits for a free thread would be waited for in vain: stopped before, it does no work.
        if self._cancel.is_set() and not self._begun.is_set():
            return True
        return self._over.wait(seconds)

    def _run(self) -> tuple[Any, BaseException | None]:
        """In the thread: work, and bring back the result or what was raised."""
        self._begun.set()
        try:
            if self._cancel.is_set():
                return None, Cancelled()
            result = self._work(self._report)
            # A job whose last step was over before the stop: the person said stop, so it is stopped.
            return (None, Cancelled()) if self._cancel.is_set() else (result, None)
        except BaseException as error:  # noqa: BLE001 - carried to the window's thread and shown there
            return None, error
        finally:
            self._over.set()

    def _report(self, done: int, total: int, what: str) -> None:
        if self._cancel.is_set():
            raise Cancelled
        now = time.monotonic()
        if done >= total or now - self._last >= REPORT_EVERY_S:
            self._last = now
            self._reported.emit(done, total, what)

    @Slot(int, int, str)  # type: ignore[untyped-decorator]
    def _on_reported(self, done: int, total: int, what: str) -> None:
        # Another step of the work goes at another pace.
        another = (total, what) != (self.total, self.what)
        self.done, self.total, self.what = done, total, what
        now = time.monotonic()
        if self._first is None or another or done < self._first[0]:
            self._first = done, now
        gone, took = done - self._first[0], now - self._first[1]
        self.left_s = took * (total - done) / gone if gone > 0 and took > SURE_S else None
        self._progressed(self)

    @Slot(object)  # type: ignore[untyped-decorator]
    def _on_news(self, news: Any) -> None:
        if not self._cancel.is_set():
            self._on_told(self, news)

    @Slot(object)  # type: ignore[untyped-decorator]
    def _on_returned(self, outcome: tuple[Any, BaseException | None]) -> None:
        self._finished(self, *outcome)


class Workers:
    """The jobs of one window, at most one of a kind at a time.

    Attributes:
        changed: emitted when a job starts, reports or ends; `busy` tells which.
    """

    changed: ClassVar[Event] = Event()

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._leaving: set[Job] = set()

    @property
    def busy(self) -> Job | None:
        """The job that was started last and still runs, of those that are not quiet; or None."""
        return self.last()

    def last(self, of: Collection[str] = (), but: Collection[str] = ()) -> Job | None:
        """As `busy`, of some kinds only (of all where none is named), and of none of the others."""
        for kind, job in reversed(self._jobs.items()):
            if not job.quiet and kind not in but and (not of or kind in of):
                return job
        return None

    def job(self, kind: str) -> Job | None:
        """The job of that kind that runs, or None."""
        return self._jobs.get(kind)

    def running(self, kind: str) -> bool:
        """Whether a job of that kind runs."""
        return kind in self._jobs

    def start(
        self,
        kind: str,
        name: str,
        work: Work | Callable[[Progress, Tell], Any],
        *,
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
        cancelled: Callable[[], None] = lambda: None,
        progressed: Callable[[], None] = lambda: None,
        told: Callable[[Any], None] | None = None,
        quiet: bool = False,
    ) -> None:
        """Run `work(progress)` in a thread; one of the callbacks follows in the window's thread.

        With `told`, it is `work(progress, tell)`, and what the work tells is brought to `told` in the window's thread.

        `progressed` is called there too, for each report that the thread sends (some ten a second).

        A job of the same kind that still runs is cancelled, and its callbacks never come.
        """
        self._drop(kind)

        def finished(job: Job, result: Any, error: BaseException | None) -> None:
            self._leaving.discard(job)
            if self._jobs.get(kind) is not job:
                return
            del self._jobs[kind]
            try:
                # A result, or a failure, may be on its way here already when the stop is asked for.
                if isinstance(error, Cancelled) or job.cancelling:
                    cancelled()
                elif error is not None:
                    failed(error)
                else:
                    done(result)
            finally:
                self.changed.emit()

        def reported(job: Job) -> None:
            if self._jobs.get(kind) is job:
                progressed()
                self.changed.emit()

        def news(job: Job, what: Any) -> None:
            if self._jobs.get(kind) is job and told is not None:
                told(what)

        def run(progress: Progress) -> Any:
            given: Any = work
            return given(progress) if told is None else given(progress, job.tell)

        job = Job(name, run, finished, reported, news, quiet)
        self._jobs[kind] = job
        job.start()
        self.changed.emit()

    def cancel(self, kind: str) -> None:
        """Ask the job of that kind to stop at the next step."""
        if job := self._jobs.get(kind):
            self.cancel_job(job)

    def cancel_job(self, job: Job) -> None:
        """Ask one job to stop at the next step; nothing happens where it is over."""
        if job in self._jobs.values():
            job.cancel()
            self.changed.emit()

    def stop(self, seconds: float = JOIN_S) -> bool:
        """Cancel and join everything. False if a thread is still at work after `seconds`."""
        jobs = [*self._jobs.values(), *self._leaving]
        for job in jobs:
            job.cancel()
        end = time.monotonic() + seconds
        joined = all(job.join(max(0.0, end - time.monotonic())) for job in jobs)
        self._jobs.clear()
        self._leaving.clear()
        self.changed.emit()
        return joined

    def _drop(self, kind: str) -> None:
        if job := self._jobs.pop(kind, None):
            job.cancel()
            self._leaving.add(job)
