"""The other boxed cases of the worklist, as live attention learns from them: looked at once, behind the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from psygnal import Signal

from ..core import Progress

if TYPE_CHECKING:
    from ..models import Bundle
    from ..training.lessons import Lesson
    from .session import Session

LESSONS = "live cases"


class LiveCases:
    """What the boxed cases of the worklist teach under the session's model.

    Attributes:
        lessons: of the cases that have been looked at, that on the screen among them.
        troubles: which cases cannot teach, in sentences.
        stopped: whether the person has stopped the look at them.
        changed: emitted when any of these changes.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.lessons: tuple[Lesson, ...] = ()
        self.troubles: tuple[str, ...] = ()
        self.stopped = False
        self._model: Bundle | None = None
        # By study; a thread fills it while it looks.
        self._known: dict[str, Lesson] = {}

    @property
    def looking(self) -> bool:
        """Whether cases are being looked at."""
        return self._session.workers.running(LESSONS)

    def others(self) -> tuple[Lesson, ...]:
        """The lessons of all cases but that on the screen."""
        volume = self._session.volume
        here = "" if volume is None else volume.identity.study_uid
        return tuple(one for one in self.lessons if one.study_uid != here)

    def put(self, lesson: Lesson, bundle: Bundle) -> None:
        """Keep what a case taught that leaves the screen, so that it need not be looked at again."""
        self._belong(bundle)
        self._known[lesson.study_uid] = lesson

    def look(self, bundle: Bundle) -> None:
        """Look at the boxed cases of the worklist, in a thread: only at what is not known yet."""
        session = self._session
        log, reader = session.reading.log, session.reader
        self._belong(bundle)
        if log is None:
            self.forget()
            return
        known, self.stopped = self._known, False
        here = "" if session.volume is None else session.volume.identity.study_uid

        def work(progress: Progress) -> tuple[str, ...]:
            from ..annotations.boxed import boxed_cases
            from ..training.lessons import gather_lessons

            return gather_lessons(boxed_cases(log, reader), bundle, known, here, progress=progress)

        def done(troubles: tuple[str, ...]) -> None:
            self.troubles, self.stopped = troubles, False
            self._take(known)

        def cancelled() -> None:
            self.stopped = True
            self._take(known)

        session.workers.start(
            LESSONS, "Look at the boxed cases", work, done=done, failed=session.fail, cancelled=cancelled
        )

    def stop(self) -> None:
        """Look at no further case; those that are known teach."""
        self._session.workers.cancel(LESSONS)

    def forget(self) -> None:
        """Let go of everything."""
        self.stop()
        self._model, self._known = None, {}
        self.troubles, self.stopped = (), False
        self._take(self._known)

    def _belong(self, bundle: Bundle) -> None:
        if self._model is None or self._model.ref != bundle.ref:
            self._known, self.lessons, self.troubles = {}, (), ()
        self._model = bundle

    def _take(self, known: dict[str, Lesson]) -> None:
        if known is self._known:
            self.lessons = tuple(known.values())
            self.changed.emit()
