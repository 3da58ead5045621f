"""A process of its own for work that would keep the window waiting: it is told and tells in lines of JSON.

Training holds Python's lock and all cores for long; in a thread of the window it would make every click wait. A
process of its own also takes nothing with it when it runs out of memory. It lives as long as its input is open: when
the window is gone, however it went, the child reads the end and stops at its next step.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QProcess, QProcessEnvironment

from ..training.wire import Told, from_line

MODULE = "napari_breast_ai.training.apart"
STOP_MS = 4000
"""How long a closing window waits for a child to write down where it is."""

_KEPT = 8000

Message = dict[str, Any]


class Child(QObject):
    """One piece of work in a process of its own.

    Attributes:
        over: it has ended, and `ended` was called.
    """

    def __init__(self, heard: Callable[[Told], None], ended: Callable[[str], None]) -> None:
        """Prepare it.

        Args:
            heard: called in the window's thread with each message of the child.
            ended: called once, when the process is gone; with "" where it went as it should, else with the end
                of what it wrote about its failure.
        """
        super().__init__()
        self.over = False
        self._heard, self._ended = heard, ended
        self._out, self._err = b"", b""
        self._process = QProcess(self)
        self._process.setProcessEnvironment(_environment())
        self._process.readyReadStandardOutput.connect(self._read)
        self._process.readyReadStandardError.connect(self._read_errors)
        self._process.finished.connect(self._on_finished)
        self._process.errorOccurred.connect(self._on_error)

    def start(self, message: Message) -> None:
        """Start the process and tell it what to do."""
        self._process.start(sys.executable, ["-m", MODULE])
        self.say(message)

    def say(self, message: Message) -> None:
        """Tell it something."""
        self._process.write(json.dumps(message).encode() + b"\n")

    @property
    def pid(self) -> int:
        """The process's number, 0 where it does not run."""
        return int(self._process.processId())

    def stop(self, wait_ms: int = STOP_MS) -> None:
        """Close its input, wait until it has stopped by itself, and end it if it has not."""
        self._heard = lambda event: None
        self._ended = lambda text: None
        if self._process.state() == QProcess.ProcessState.NotRunning:
            return
        self._process.closeWriteChannel()
        if not self._process.waitForFinished(wait_ms):
            self._process.kill()
            self._process.waitForFinished(wait_ms)

    def release(self) -> None:
        """It has told its last: let it go by itself, and hear no more of it; keep it until it is `over`."""
        self._heard = lambda event: None
        self._ended = lambda text: None
        if self._process.state() != QProcess.ProcessState.NotRunning:
            self._process.closeWriteChannel()

    def _read(self) -> None:
        self._out += bytes(self._process.readAllStandardOutput().data())
        *lines, self._out = self._out.split(b"\n")
        for line in lines:
            if (event := from_line(line)) is not None:
                self._heard(event)

    def _read_errors(self) -> None:
        self._err = (self._err + bytes(self._process.readAllStandardError().data()))[-_KEPT:]

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read()
        self._read_errors()
        good = code == 0 and status == QProcess.ExitStatus.NormalExit
        self._end("" if good else self._err.decode(errors="replace").strip() or f"It ended with {code}.")

    def _on_error(self, error: QProcess.ProcessError) -> None:
        # A crash is told by `finished` too.
        if error == QProcess.ProcessError.FailedToStart:
            self._end(f"{sys.executable}: {self._process.errorString()}")

    def _end(self, text: str) -> None:
        if not self.over:
            self.over = True
            self._ended(text)


def _environment() -> QProcessEnvironment:
    """This one's, with this package where the child finds it, however the window found it."""
    found = QProcessEnvironment.systemEnvironment()
    here = str(Path(__file__).resolve().parents[2])
    found.insert("PYTHONPATH", os.pathsep.join(filter(None, (here, found.value("PYTHONPATH")))))
    found.insert("PYTHONUNBUFFERED", "1")
    return found
