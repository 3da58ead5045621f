"""Work that waits until a person has paused."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QCoreApplication, QTimer


class Soon:
    """A call that comes once, a moment after it was last asked for; at once where there is no window."""

    def __init__(self, call: Callable[[], None], wait_ms: int) -> None:
        self._call, self._wait = call, wait_ms
        self._timer: QTimer | None = None

    @property
    def waiting(self) -> bool:
        """Whether it will come."""
        return self._timer is not None and self._timer.isActive()

    def ask(self) -> None:
        """Let it come; the moment begins anew."""
        if QCoreApplication.instance() is None:
            self._call()
            return
        if self._timer is None:
            self._timer = QTimer()
            self._timer.setSingleShot(True)
            self._timer.setInterval(self._wait)
            self._timer.timeout.connect(self._call)
        self._timer.start()

    def stop(self) -> None:
        """Let it not come."""
        if self._timer is not None:
            self._timer.stop()
