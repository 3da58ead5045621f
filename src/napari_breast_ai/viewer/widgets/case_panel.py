"""Which case this is, how it stands, and the way to the next one."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QProgressBar, QWidget

from ..ahead import AHEAD
from ..shortcuts import tooltip
from ..tasks import PIXELS, STUDY
from .job_bar import show_progress
from .section import Entry, Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session

SAID = {"to do": "to do", "open": "in work", "done": "done", "skipped": "skipped"}


class CasePanel(Section):
    """Name and status of the case, the worklist's progress, and buttons for next, previous, done, skip."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Case", parent)
        self._session = session
        reading = session.reading
        self.text = sentence()
        self.body.addWidget(self.text)
        self.bar = QProgressBar()
        self.bar.setMaximumHeight(16)
        self.body.addWidget(self.bar)
        self.previous_button = button("Previous", tooltip("previous case"), lambda: reading.next(-1))
        self.next_button = button("Next", tooltip("next case"), lambda: reading.next(1))
        self.done_button = button("Done", tooltip("done"), self._done)
        self.skip_button = button("Skip", tooltip("skip"), self._skip)
        self.body.addLayout(row(self.previous_button, self.next_button, self.done_button, self.skip_button))
        self.reason = Entry()
        self.reason.setToolTip("Why the case is skipped; it is kept in its journal")
        self.reason.setPlaceholderText("Why it is skipped, if it is (Enter)")
        self.reason.returnPressed.connect(self._skip)
        self.body.addWidget(self.reason)
        for signal in (
            reading.changed,
            session.study_changed,
            session.boxes_changed,
            session.workers.changed,
        ):
            links.connect(signal, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Say which case this is and how far the list is."""
        session, reading = self._session, self._session.reading
        log, journal = reading.log, session.journal
        listed = log is not None and reading.turn is not None
        # A study that was opened by another door is no case of the list.
        turn = reading.turn if session.volume is None or reading.opening else reading.shown
        for one in (self.previous_button, self.next_button):
            one.setEnabled(listed)
        writable = journal is not None and not journal.read_only
        self.done_button.setEnabled(writable and not reading.opening)
        for two in (self.skip_button, self.reason):
            two.setEnabled((writable or (listed and reading.unreadable)) and not reading.opening)
        self.done_button.setText("Open again" if journal is not None and journal.status != "open" else "Done")
        self.reason.setVisible(listed)
        self.bar.setVisible(log is not None)
        lines = []
        if log is not None and turn is not None:
            standing = reading.standing(turn)
            place = log.turns.index(turn) + 1 if turn in log.turns else 0
            lines.append(f"<b>{escape(reading.title(turn))}</b>, {place} of {len(log.turns)}")
            status = SAID[standing.status] + (f": {escape(standing.reason)}" if standing.reason else "")
            lines.append(f"{status} · reader {escape(session.reader)}")
            counts = reading.counts()
            settled = counts["done"] + counts["skipped"]
            total = len(log.turns)
            show_progress(self.bar, settled, total, f"{settled} of {total} done or skipped")
        elif session.volume is not None:
            lines.append(f"<b>{escape(session.volume.description or 'This study')}</b>")
            status = SAID[journal.status] if journal is not None and journal.touched else "to do"
            lines.append(f"{status} · reader {escape(session.reader)}")
        else:
            lines.append("Open a worklist in the Cases dock, or a study.")
        if session.volume is not None and journal is not None and journal.hidden:
            lines.append(f"{journal.hidden} boxes of this case lie on images that are not shown.")
        workers = session.workers
        if workers.running(STUDY):
            lines.append("Opening…")
        elif workers.running(PIXELS):
            lines.append("Reading the other slices…")
        elif workers.running(AHEAD):
            lines.append("Reading the next case…")
        self.text.setText("<br>".join(lines))

    def _done(self) -> None:
        journal = self._session.journal
        if journal is not None and journal.status != "open":
            self._session.reading.reopen()
        else:
            self._session.reading.done()

    def _skip(self) -> None:
        reason = self.reason.text().strip()
        self.reason.clear()
        self._session.reading.skip(reason)
