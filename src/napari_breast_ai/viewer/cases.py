"""What was found in a folder, what the person decided about it, and the group that is opened from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import BreastAIError, Progress
from . import tasks
from .following import follow

if TYPE_CHECKING:
    from ..study import Decision, Group, Overrules, StudyIndex
    from .session import Session

SCAN, BESIDE = "scan", "beside"


class Cases:
    """The index of one window. It changes by `scan`, `decide`, `undo`; `Session.index_changed` tells of it.

    Attributes:
        found: the index as the rules sort it, or None.
        index: with the person's decisions, or None.
        source: the path that was scanned, or None.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.found: StudyIndex | None = None
        self.index: StudyIndex | None = None
        self.source: str | None = None
        self._overrules: Overrules | None = None

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What is decided, in order."""
        return self._overrules.decisions if self._overrules is not None else ()

    def scan(self, path: str | Path | Sequence[str | Path]) -> None:
        """Look at every file in a thread, and show the index when it is done."""
        session = self._session
        first = str(path if isinstance(path, str | Path) else path[0])

        def work(progress: Progress) -> Any:
            from ..study import load, scan

            index = scan(path, progress)
            return index, *load(index)

        def done(result: Any) -> None:
            self.source = first
            self._show(*result)

        session.workers.start(SCAN, "Look at the files", work, done=done, failed=session.fail)

    def _show(self, found: StudyIndex, overrules: Overrules, warnings: Sequence[str] = ()) -> None:
        from ..study import apply

        self.found, self._overrules = found, overrules
        self.index = apply(found, overrules)
        for warning in (*warnings, *self.index.warnings):
            self._session.say(warning)
        self._session.index_changed.emit()

    def decide(self, decision: Decision) -> bool:
        """Keep one more decision and show what comes of it, in the study on the screen too.

        False, and a sentence, where that cannot be.
        """
        from ..study.overrules import check

        if self.found is None or self._overrules is None:
            return False
        try:
            check(self.found, self._overrules, decision)
        except BreastAIError as error:
            self._session.fail(error)
            return False
        return self._keep(self._overrules.added(decision))

    def undo(self) -> bool:
        """Take the last decision back."""
        return bool(self.decisions) and self._keep(self._overrules.without_last())  # type: ignore[union-attr]

    def undo_group(self, group: Group) -> bool:
        """Take back all that was decided about a group."""
        return bool(self.decisions) and self._keep(self._overrules.without(group))  # type: ignore[union-attr]

    def _keep(self, overrules: Overrules) -> bool:
        from ..study import apply, save

        assert self.found is not None
        try:
            save(self.found, overrules)
        except BreastAIError as error:
            self._session.fail(error)
            return False
        self._overrules = overrules
        self.index = apply(self.found, overrules)
        self._session.index_changed.emit()
        follow(self._session, self.index)
        return True

    def open(self, group: Group) -> None:
        """Show a group as the study, in place of the present one."""
        tasks.open_group(self._session, group, self.source)

    def load_beside(self, group: Group, done: Callable[[Any], None]) -> None:
        """Read a group for a second view; `done` gets the volume in the window's thread."""

        def work(progress: Progress) -> Any:
            from ..study import assemble

            return assemble(group, progress)

        self._session.workers.start(BESIDE, "Open beside", work, done=done, failed=self._session.fail)

    def likely(self) -> Group | None:
        """The group that opening the whole would show, or None."""
        if self.index is None:
            return None
        try:
            key = self.index.dce().key
        except BreastAIError:
            return None
        return next((group for group in self.index.groups if group.key == key), None)

    def is_shown(self, group: Group) -> bool:
        """Whether the group is the study on the screen."""
        volume = self._session.volume
        if volume is None or not volume.frames or volume.n_phases != group.n_phases:
            return False
        firsts = [phase.frames[0] for phase in group.phases]
        shown = {(refs[0].sop_instance_uid, refs[0].frame) for refs in volume.frames}
        return shown == {(first.source.sop_instance_uid, first.number) for first in firsts}
