"""Questions that a person asks of a heat map, answered behind the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from psygnal import Signal

from ..core import BreastAIError, Progress
from .table_scoring import slice_model

if TYPE_CHECKING:
    from ..inference.case_report import Removal
    from ..inference.questions.ask import Which
    from ..inference.questions.course import Line
    from ..inference.questions.table import Answer
    from .session import Session

QUESTIONS = "questions"
MOST_SLICES = 5
"""Of a lesion, evenly spread: each takes seconds."""


class Questions:
    """What was asked of the session's model, and the answers.

    Attributes:
        answers: one for each question; () while nothing was asked.
        asked: what they are about, in words. label: whose score was asked for.
        stale: the boxes have changed since.
        changed: emitted when any of that changes.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.answers: tuple[Answer, ...] = ()
        self.asked = self.label = ""
        self.stale = False
        session.study_changed.connect(self._forget)
        session.bundle_changed.connect(self._forget)
        session.boxes_changed.connect(self._on_boxes)
        session.opinions.changed.connect(self._on_opinions)

    def lesion_slices(self) -> tuple[int, ...]:
        """At most `MOST_SLICES` slices with a lesion's box."""
        from ..inference import boxed_slices

        journal = self._session.journal
        boxed = boxed_slices(journal.boxes) if journal is not None else ()
        if len(boxed) <= MOST_SLICES:
            return boxed
        return tuple(boxed[round(i * (len(boxed) - 1) / (MOST_SLICES - 1))] for i in range(MOST_SLICES))

    def ask(self, slices: Sequence[int], which: Which, label: str) -> None:
        """Ask everything about one of the model's maps on some slices.

        Raises:
            BreastAIError: there is no study, no model or no slice, or the reader's own answer comes first.
        """
        session = self._session
        volume, bundle = session.volume, slice_model(session)
        if volume is None or bundle is None:
            raise BreastAIError("There is nothing to ask about. Open a study and choose a model first.")
        if not session.complete:
            raise BreastAIError("The study is still being read. Ask when all its slices are there.")
        if not slices:
            raise BreastAIError("No slice has a lesion's box. Draw one, or ask about the slice in view.")
        session.opinions.need()
        boxes = tuple(session.journal.boxes) if session.journal is not None else ()
        name = "Attention" if which == "attention" else "Grad-CAM"
        where = f"slice {slices[0]}" if len(slices) == 1 else f"slices {', '.join(map(str, slices))} (mean)"
        asked = f"{name}, score of {label}, {where}"

        def work(progress: Progress) -> tuple[Answer, ...]:
            from ..inference.questions.ask import Asker

            return Asker(volume, bundle, which, label).ask(slices, boxes, progress)

        def done(answers: tuple[Answer, ...]) -> None:
            if session.volume is volume and session.bundle is bundle:
                self.answers, self.asked, self.stale = answers, asked, False
                self.label = label
                self.changed.emit()

        session.workers.start(QUESTIONS, "Question the heat map", work, done=done, failed=session.fail)

    def in_words(self) -> list[tuple[str, str, bool]]:
        """Question, answer and verdict of what could be answered; none where the boxes have changed since."""
        if self.stale:
            return []
        found = []
        for one in self.answers:
            if one.value is not None:
                against = f" ({one.held_against})" if one.held_against else ""
                found.append((f"{one.question.name} ({self.asked})", f"{one.said}{against}", one.fails))
        return found

    def lines(self) -> tuple[Line, ...]:
        """The curves behind deletion and insertion, as far as they could be asked."""
        if not self.answers:
            return ()
        from ..inference.questions.course import lines_of

        return lines_of(self.answers)

    def removal(self) -> Removal | None:
        """The curves for the report; none where the boxes have changed since."""
        from ..inference.case_report import Removal

        lines = () if self.stale else self.lines()
        return Removal(self.asked, self.label, lines) if lines else None

    def _on_boxes(self) -> None:
        if self.answers and not self.stale:
            self.stale = True
            self.changed.emit()

    def _on_opinions(self) -> None:
        # What was asked tells of the model's answer, which is not to be seen any more.
        if self._session.opinions.asks_first:
            self._forget()

    def _forget(self) -> None:
        self._session.workers.cancel(QUESTIONS)
        if self.answers:
            self.answers, self.asked, self.label, self.stale = (), "", "", False
            self.changed.emit()
