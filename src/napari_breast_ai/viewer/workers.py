"""The one place that starts threads.

A job is a function of the core that takes a `core.Progress`. It runs in a thread and touches no layer,
viewer or widget; its result comes back in the window's thread. Cancelling raises `core.Cancelled` in the
job's next progress call. Stopping cancels and joins every job, and delivers nothing of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from napari.qt.threading import FunctionWorker
from psygnal import Signal as Event
from qtpy.QtCore import QObject, Qt, Signal, Slot  # type: ignore[attr-defined]

from ..core import Cancelled, Progress

Work = Callable[[Progress], Any]

REPORT_EVERY_S = 0.05
JOIN_S = 60.0


class Job(QObject):
    """One piece of work in a thread.

    Attributes:
        name: what it is, in words for the person.
        done, total, what: the last progress; `total` is 0 before the first.
        cancelling: the person asked for a stop.
    """

    _reported = Signal(int, int, str)

    def __init__(
        self,
        name: str,
        work: Work,
        finished: Callable[[Job, Any, BaseException | None], None],
        progressed: Callable[[Job], None],
    ) -> None:
        super().__init__()
        self.name = name
        self.done, self.total, self.what = 0, 0, name
        self._work = work
        self._finished = finished
        self._progressed = progressed
        self._cancel = threading.Event()
        self._over = threading.Event()
        self._last = 0.0
        self._reported.connect(self._on_reported, Qt.ConnectionType.QueuedConnection)
        self._worker = FunctionWorker(self._run)
        self._worker.returned.connect(self._on_returned)

    @property
    def cancelling(self) -> bool:
        """Whether a stop has been asked for."""
        return self._cancel.is_set()

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()

    def cancel(self) -> None:
        """Ask the work to stop at its next step."""
        self._cancel.set()

    def join(self, seconds: float) -> bool:
        """Wait until the thread has left the work. False if it has not by then."""
        return self._over.wait(seconds)

    def _run(self) -> tuple[Any, BaseException | None]:
        """In the thread: work, and bring back the result or what was raised."""
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
        self.done, self.total, self.what = done, total, what
        self._progressed(self)

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
        """The job that was started last and still runs, or None."""
        return next(reversed(self._jobs.values()), None)

    def running(self, kind: str) -> bool:
        """Whether a job of that kind runs."""
        return kind in self._jobs

    def start(
        self,
        kind: str,
        name: str,
        work: Work,
        *,
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
        cancelled: Callable[[], None] = lambda: None,
        progressed: Callable[[], None] = lambda: None,
    ) -> None:
        """Run `work(progress)` in a thread; one of the callbacks follows in the window's thread.

        `progressed` is called there too, for each report that the thread sends (some twenty a second).

        A job of the same kind that still runs is cancelled, and its callbacks never come.
        """
        self._drop(kind)

        def finished(job: Job, result: Any, error: BaseException | None) -> None:
            self._leaving.discard(job)
            if self._jobs.get(kind) is not job:
                return
            del self._jobs[kind]
            try:
                if isinstance(error, Cancelled):
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

        job = Job(name, work, finished, reported)
        self._jobs[kind] = job
        job.start()
        self.changed.emit()

    def cancel(self, kind: str | None = None) -> None:
        """Ask the job of that kind, or all jobs, to stop at the next step."""
        jobs = [job for key, job in self._jobs.items() if kind is None or key == kind]
        for job in jobs:
            job.cancel()
        if jobs:
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
