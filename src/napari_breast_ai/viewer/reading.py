"""Going through a worklist: which case is on the screen, which comes next, and what became of each.

The next case is read while the person looks at this one, so that it stands on the screen at once.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import Signal

from ..annotations.log import ReadingLog, Standing, Turn
from ..annotations.protocol import read_protocol
from ..annotations.worklist import Case, Worklist, read_worklist
from ..core import BreastAIError, DceVolume, Progress
from . import tasks
from .ahead import AHEAD, Ahead, open_first
from .moved import FIND, find_moved, is_there, path_of

if TYPE_CHECKING:
    from ..study import Loader
    from .session import Session


class Reading:
    """A worklist, for one session.

    Attributes:
        worklist: the cases, or None.
        log: order, place and standings, or None.
        turn: whose study is on the screen, or is being opened; None before the first.
        changed: emitted when the list, the place in it or a standing changes.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.worklist: Worklist | None = None
        self.log: ReadingLog | None = None
        self.turn: Turn | None = None
        self._ahead = Ahead(session.workers, self._wanted)
        self._opening: Turn | None = None
        # Whose study is on the screen while the next one is being opened, and what it is known by.
        self._shown: Turn | None = None
        self._shown_uid = ""
        self._showing = False
        session.study_changed.connect(self._on_study)

    @property
    def opening(self) -> bool:
        """Whether a case is being opened: what is on the screen is still the one before."""
        return self._opening is not None

    # ---------------------------------------------------------------- the list

    def open(self, source: str | Path) -> None:
        """Take up a worklist, a table or a folder of studies, where the reader stopped."""
        session = self._session

        def work(progress: Progress) -> Any:
            worklist = read_worklist(source)
            warnings = list(worklist.warnings)
            protocol = None
            try:
                protocol = read_protocol(worklist.folder)
            except BreastAIError as error:
                warnings.append(str(error))
            return worklist, ReadingLog(worklist, session.reader), protocol, warnings

        def done(found: Any) -> None:
            self.settle()
            self.worklist, self.log, protocol, warnings = found
            self._ahead.forget()
            self.turn = self._shown = None
            if protocol is not None:
                session.set_protocol(protocol)
            for warning in warnings[:3]:
                session.say(warning)
            if len(warnings) > 3:
                session.say(f"… and {len(warnings) - 3} more remarks on {self.worklist.source.name}.")
            self.changed.emit()
            self.go(self.log.place)

        session.workers.start(FIND, "Read the worklist", work, done=done, failed=session.fail)

    def close(self) -> None:
        """Put the list away; the study on the screen stays."""
        self.settle()
        self.worklist = self.log = self.turn = self._shown = self._opening = None
        self._ahead.forget()
        self.changed.emit()

    def set_reader(self) -> None:
        """Take up the list where the session's new reader stopped in it."""
        if self.worklist is not None:
            self.log = ReadingLog(self.worklist, self._session.reader)
            self._shown = None
            self._ahead.forget()
            self.changed.emit()
            self.go(self.log.place)

    def arrange(self, order: str, seed: int = 0) -> None:
        """Put the cases in another order: "given", "random" or "repeated"."""
        if self.log is not None:
            self.settle()
            self.log.arrange(order, seed)
            self._ahead.forget()
            self.changed.emit()
            self.go(self.log.place)

    def title(self, turn: Turn) -> str:
        """What the case is called on the screen: its id, or a number where names are hidden."""
        if self.log is not None and self.log.blind:
            return f"Case {self.log.turns.index(turn) + 1}"
        return turn.case_id

    @property
    def hidden_name(self) -> str:
        """What to call the study on the screen where its name must not be known; "" where it may."""
        blind = self.log is not None and self.log.blind
        return self.title(self._shown) if blind and self._shown is not None else ""

    @property
    def shown(self) -> Turn | None:
        """The turn whose study is on the screen; None where a person opened another study."""
        return self._shown

    def case(self, turn: Turn) -> Case:
        """The line of the worklist."""
        assert self.worklist is not None
        return self.worklist.case(turn.case_id)

    def standing(self, turn: Turn) -> Standing:
        """What became of a turn, as the journal on the screen or else the log says."""
        journal = self._session.journal
        known = self.log.standing(turn) if self.log is not None else Standing()
        if turn != self._shown or journal is None or self._session.volume is None:
            return known
        status = journal.status if journal.status != "open" or journal.touched else "to do"
        return Standing(
            status,
            journal.reason,
            len(journal.boxes),
            self._session.volume.identity.study_uid,
            journal.path if journal.touched else None,
            known.path,
        )

    def counts(self) -> dict[str, int]:
        """How many turns are "to do", "open", "done", "skipped", the one on the screen as it stands now."""
        if self.log is None:
            return {}
        counts = self.log.counts()
        if (turn := self.shown) is not None and turn in self.log.turns:
            counts[self.log.standing(turn).status] -= 1
            counts[self.standing(turn).status] += 1
        return counts

    # ----------------------------------------------------------------- moving

    def go(self, place: int) -> None:
        """Show the case at a place of the order."""
        log, session = self.log, self._session
        if log is None or not log.turns:
            return
        self.settle()
        log.go(place)
        turn = log.turns[log.place]
        self._opening = turn
        self.turn = turn
        if (ready := self._ahead.take(turn)) is not None:
            # Where no study is on the screen, nothing else stops the one that is being opened.
            session.workers.cancel(tasks.STUDY)
            self._show(turn, ready.volume, ready.source)
            return
        self.changed.emit()
        session.workers.cancel(AHEAD)
        path = path_of(self, turn)
        if not is_there(path):
            self._opening = None
            session.workers.cancel(tasks.STUDY)
            session.close_study()
            self.changed.emit()
            session.say(
                f"There is nothing at {path} (case “{self.title(turn)}”). Bring the folder back, or press Find "
                "moved… and say where the images lie now."
            )
            return

        def work(progress: Progress) -> Any:
            return open_first(path, progress)

        def done(found: DceVolume | Loader) -> None:
            if self.turn == turn:
                if isinstance(found, DceVolume):
                    self._show(turn, found, str(path))
                else:
                    self._show(turn, found.volume, str(path), found)

        def failed(error: BaseException) -> None:
            if self._opening != turn:
                # The person has gone on meanwhile.
                return
            self._opening = None
            session.close_study()
            session.fail(error)
            self.changed.emit()

        def cancelled() -> None:
            if self._opening != turn:
                return
            # The case before is still on the screen: that is where the reader is.
            self._opening, self.turn = None, self._shown
            if self.turn in log.turns:
                log.go(log.turns.index(self.turn))
            self.changed.emit()

        session.workers.start(
            tasks.STUDY, "Open the case", work, done=done, failed=failed, cancelled=cancelled
        )

    def next(self, step: int = 1) -> None:
        """The next case, or with -1 the one before."""
        if self.log is not None and 0 <= self.log.place + step < len(self.log.turns):
            self.go(self.log.place + step)
        elif self.log is not None:
            self._session.say("This is the last case." if step > 0 else "This is the first case.")

    def next_to_do(self) -> None:
        """The next case that is neither done nor skipped; from the end on, the first such one."""
        log = self.log
        if log is None:
            return
        place = self._to_do()
        if place is not None:
            self.go(place)
            return
        self.settle()
        self.changed.emit()
        self._session.say("All cases of the worklist are done or skipped.")

    def done(self) -> None:
        """Say that the case on the screen is done, and go on. It needs a box, or “no lesion”."""
        journal = self._session.journal
        if journal is None or self._opening is not None:
            # What is on the screen is still the case before.
            return
        if not journal.boxes and not journal.empty_case and not journal.empty_slices:
            self._session.say(
                "There is no box yet. Draw one, say that the case has no lesion (Shift+X), or skip it (K)."
            )
            return
        if self._mark("done"):
            self.next_to_do()

    def skip(self, reason: str = "") -> None:
        """Leave the case out, with the reason, and go on."""
        if self._opening is not None:
            # What is on the screen is still the case before.
            return
        if self.unreadable and self.log is not None and self.turn is not None:
            # There is no study to keep a journal of.
            self.log.record(self.turn, replace(self.standing(self.turn), status="skipped", reason=reason))
            self.next_to_do()
        elif self._session.journal is not None and self._mark("skipped", reason):
            self.next_to_do()

    @property
    def unreadable(self) -> bool:
        """Whether the case whose turn it is could not be opened, or what was drawn on it could not be read."""
        there = self._session.volume is not None and self._session.journal is not None
        return self.turn is not None and self._opening is None and not there

    def reopen(self) -> None:
        """The case is to be worked on again."""
        if self._session.journal is not None and self._opening is None and self._mark("open"):
            self.changed.emit()

    def _mark(self, status: str, reason: str = "") -> bool:
        journal = self._session.journal
        assert journal is not None
        try:
            journal.mark(status, reason)
        except BreastAIError as error:
            self._session.fail(error)
            return False
        return True

    # ---------------------------------------------------------- moved and ahead

    def find_moved(self, folder: str | Path) -> None:
        """Look in a folder, at any depth, for the images of cases that are not where the list says, by their UIDs."""
        find_moved(self._session, self, folder)

    def read_ahead(self) -> None:
        """Read the cases that the keys bring next, once this one is all there."""
        self._ahead.go_on()

    def _wanted(self) -> list[tuple[Turn, Path | None]]:
        """The turns that the next key may bring, and where they lie: the next one to do, and the next in the order."""
        log = self.log
        if log is None or self._opening is not None or not self._session.complete:
            return []
        places = [self._to_do(), log.place + 1 if log.place + 1 < len(log.turns) else None]
        turns = dict.fromkeys(log.turns[place] for place in places if place is not None)
        return [(turn, path if is_there(path := path_of(self, turn)) else None) for turn in turns]

    def _to_do(self) -> int | None:
        """The place of the next case that is neither done nor skipped, from the end on of the first such one."""
        assert self.log is not None
        turns, place = self.log.turns, self.log.place
        order: list[int] = [*range(place + 1, len(turns)), *range(place)]
        for one in order:
            if self.standing(turns[one]).status in ("to do", "open"):
                return one
        return None

    def is_ready(self, turn: Turn) -> bool:
        """Whether the case is in memory already."""
        return self._ahead.has(turn)

    def _show(self, turn: Turn, volume: DceVolume, source: str, loader: Loader | None = None) -> None:
        # Boxes may have been drawn on the case before while this one was read.
        self.settle()
        self._opening = self._shown = None
        self._showing = True
        try:
            self._session.show_study(volume, source, loader=loader, reading=turn.reading)
        finally:
            self._showing = False
        self._shown, self._shown_uid = turn, volume.identity.study_uid
        self.changed.emit()
        self._warn_of_twins(turn)

    def _warn_of_twins(self, turn: Turn) -> None:
        """Boxes and status are kept by study: two cases of one study share them."""
        assert self.log is not None
        twin = next(
            (
                one
                for one in self.log.turns
                if one.case_id != turn.case_id and self.log.standing(one).study_uid == self._shown_uid
            ),
            None,
        )
        if twin is not None:
            self._session.say(
                f"“{self.title(turn)}” and “{self.title(twin)}” are images of one study: they share its boxes, “no "
                "lesion” and status. Look at all of them before you say that it is done, or list the study once.",
                once=True,
            )

    def settle(self) -> None:
        """Write down how the case on the screen stands before another takes its place."""
        if self.log is not None and self._shown is not None:
            self.log.record(self._shown, self.standing(self._shown))

    def _on_study(self) -> None:
        """A study that was opened by another door is no case of the list."""
        if self._showing:
            return
        volume, journal = self._session.volume, self._session.journal
        if self._opening is not None:
            # It came while a case was being opened, in place of that one.
            self._opening = self.turn = self._shown = None
        elif volume is None:
            self._shown = None
        elif self._shown is None or (
            (volume.identity.study_uid, journal.reading if journal is not None else self._shown.reading)
            != (self._shown_uid, self._shown.reading)
        ):
            self.turn = self._shown = None
        else:
            return
        self.changed.emit()
