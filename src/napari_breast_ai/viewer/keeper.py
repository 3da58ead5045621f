"""The journal of the study on the screen: opened with it, tried again while it cannot be saved, left with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from psygnal import Signal
from qtpy.QtCore import QCoreApplication, QTimer

from ..annotations import AnnotationError, Journal, Placing, journal_path, remember, rescue_path

if TYPE_CHECKING:
    from ..core import DceVolume
    from .session import Session

RETRY_MS = 3000


class Keeper:
    """Keeps the journal of the study on the screen, and of those before it what is on no disk yet.

    Attributes:
        trouble_changed: emitted when saving begins to fail or works again; `trouble` says which.
    """

    trouble_changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._timer: QTimer | None = None
        self._remembered = False
        self._warned = False
        # Left with their studies before they could be saved or rescued: only here are their last lines.
        self._left: list[Journal] = []

    @property
    def trouble(self) -> str:
        """Why boxes are not saved at this moment, in a sentence, or ""."""
        present = self._session.journal
        journals = (*self._left, *(() if present is None else (present,)))
        return next((text for one in reversed(journals) if (text := one.trouble)), "")

    def open(self, volume: DceVolume, source: str | None, reading: int = 1) -> Journal | None:
        """The reader's journal of a study; None, and a sentence, where it cannot be read."""
        session = self._session
        folder = None
        if source is not None:
            path = Path(source)
            folder = path if path.is_dir() else path.parent
        try:
            place = journal_path(folder, volume.identity, session.reader, reading)
            left = self._left_at(place)
            journal = Journal(
                place,
                session.reader,
                study_uid=volume.identity.study_uid,
                reading=reading,
                placing=Placing.of(volume),
                rescue=rescue_path(place),
                unsaved=left.unsaved_lines if left is not None else (),
            )
        except AnnotationError as error:
            session.fail(error)
            return None
        if left is not None:
            self._left.remove(left)
        self._remembered = False
        journal.enter()
        journal.changed.connect(self._on_changed)
        journal.trouble_changed.connect(self._on_trouble)
        # What was rescued the last time may still have no place to go to.
        self._watch(bool(journal.trouble or self._left))
        return journal

    def _left_at(self, place: Path) -> Journal | None:
        """The journal of this case that is still to be saved; one that never reached the disk may go elsewhere now."""
        return next(
            (
                one
                for one in self._left
                if one.path == place or (one.path.name == place.name and not one.begun)
            ),
            None,
        )

    def close(self, journal: Journal) -> None:
        """The study leaves the screen: what could not be saved is tried once more."""
        journal.changed.disconnect(self._on_changed)
        journal.leave()
        journal.save()
        journal.trouble_changed.disconnect(self._on_trouble)
        if journal.trouble:
            self._session.say(journal.trouble)
        if journal.in_memory_only:
            self._left.append(journal)
            self._warned = False
        self._watch(bool(self._left))

    def retry(self) -> None:
        """Try to save what could not be saved."""
        if (journal := self._session.journal) is not None:
            journal.save()
        waiting = len(self._left)
        for journal in list(self._left):
            journal.save()
            if not journal.in_memory_only:
                self._left.remove(journal)
        if len(self._left) != waiting:
            self._on_trouble()

    def may_close(self) -> bool:
        """Whether nothing would be lost; of what would, the person is told, and the second time it is theirs to lose."""
        self.retry()
        present = self._session.journal
        kept = next((one for one in (present, *self._left) if one is not None and one.in_memory_only), None)
        if kept is None or self._warned:
            return True
        self._warned = True
        self._session.say(
            f"The window stays open: {kept.trouble} Close it again to lose what was done since."
        )
        return False

    def _on_changed(self) -> None:
        self._warned = False
        journal = self._session.journal
        if journal is not None and not self._remembered and journal.path.exists():
            self._remembered = True
            remember(journal.path)
        self._session.boxes_changed.emit()

    def _on_trouble(self) -> None:
        trouble = self.trouble
        self._watch(bool(trouble))
        self.trouble_changed.emit()
        if trouble:
            self._session.say(trouble)

    def _watch(self, on: bool) -> None:
        if on and QCoreApplication.instance() is not None:
            if self._timer is None:
                self._timer = QTimer()
                self._timer.setInterval(RETRY_MS)
                self._timer.timeout.connect(self.retry)
            self._timer.start()
        elif self._timer is not None:
            self._timer.stop()

    def shut_down(self) -> None:
        """Try once more, and stop trying."""
        for left in self._left:
            left.save()
        if (journal := self._session.journal) is not None:
            self.close(journal)
        self._watch(False)
