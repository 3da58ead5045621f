"""How far a piece of work is and how long the rest takes, with Cancel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QProgressBar, QSizePolicy, QWidget

from ...core.progress import in_words
from .section import Links, button, row

if TYPE_CHECKING:
    from ..session import Session
    from ..workers import Job, Workers

STOP = "Stop at the next step; nothing is changed"


def show_progress(bar: QProgressBar, done: int, total: int, text: str | None = None) -> None:
    """Set a bar: so much of so much, 0 for nobody knows, and what is written on it (None leaves that).

    Qt paints a bar at once for each of these, and with it the whole window and its canvas: here it waits for its turn.
    """
    bar.setUpdatesEnabled(False)
    try:
        bar.setRange(0, total)
        bar.setValue(done)
        if text is not None:
            bar.setFormat(text)
    finally:
        bar.setUpdatesEnabled(True)


class JobBar(QWidget):
    """Seen only while there is a job to tell of. Cancel stops the job that the bar names, and no other.

    Attributes:
        bar, cancel_button: its parts.
    """

    def __init__(
        self, session: Session, links: Links, which: Callable[[Workers], Job | None], tip: str = STOP
    ) -> None:
        """`which` of the jobs it tells of."""
        super().__init__()
        self._workers, self._which = session.workers, which
        self._named: Job | None = None
        self.bar = QProgressBar()
        self.bar.setAlignment(Qt.AlignmentFlag.AlignCenter)
        # What a step is called may be longer than the dock is wide.
        self.bar.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.cancel_button = button("Cancel", tip, self._cancel)
        line = row(self.bar, self.cancel_button, stretch=0)
        line.setContentsMargins(0, 0, 0, 0)
        self.setLayout(line)
        links.connect(session.workers.changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show how far it is."""
        job = self._named = self._which(self._workers)
        self.setVisible(job is not None)
        if job is not None:
            what = f"{job.what[:1].upper()}{job.what[1:]}"
            left = "" if job.left_s is None else f", {in_words(job.left_s)} left"
            text = "Stopping…" if job.cancelling else f"{what}, %p%{left}" if job.total else what
            show_progress(self.bar, job.done, job.total, text)
            self.cancel_button.setEnabled(not job.cancelling)

    def _cancel(self) -> None:
        if self._named is not None:
            self._workers.cancel_job(self._named)
