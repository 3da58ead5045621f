"""What the person thinks, and a model's answer that waits until they have said it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from psygnal import Signal

from ..annotations.opinions import Opinion
from ..core import BreastAIError, DceVolume, Prediction

if TYPE_CHECKING:
    from .session import Session

FIRST = "In this project you say first what you think yourself; then models' answers are shown."


class Opinions:
    """Of one session.

    Where the protocol wants the reader's own answer first, the session has no prediction until it is there: nothing
    that shows one has to know of this.

    Attributes:
        held: an answer that waits, or None.
        changed: emitted when one begins or ceases to wait, and when something was said.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.held: Prediction | None = None
        self._of: DceVolume | None = None
        session.study_changed.connect(self._settle)
        session.protocol_changed.connect(self._settle)

    @property
    def asks_first(self) -> bool:
        """Whether the reader must say what they think before they see what a model says of this case."""
        session = self._session
        journal = session.journal
        return (
            session.protocol.opinion == "before"
            and journal is not None
            and not journal.read_only
            and journal.opinion(seen=False) is None
        )

    def need(self) -> None:
        """Raise BreastAIError where the reader's own answer is still to come."""
        if self.asks_first:
            raise BreastAIError(FIRST)

    def admit(self, prediction: Prediction | None) -> Prediction | None:
        """What of an answer may be shown: it, or None where it waits."""
        held = prediction if prediction is not None and self.asks_first else None
        if held is None and prediction is not None and self._session.journal is not None:
            self._session.journal.answer_shown(prediction.model.name, prediction.model.sha256)
        if held is not None or self.held is not None:
            self.held, self._of = held, self._session.volume
        self.changed.emit()
        return prediction if held is None else None

    def say(self, answer: str, note: str = "") -> None:
        """Keep an opinion in the journal; what waited for it is shown."""
        session = self._session
        journal, prediction = session.journal, session.prediction
        if journal is None:
            return
        about = None
        if prediction is not None:
            said = {
                label: None if value is None else round(value, 4)
                for label, value in prediction.case.probabilities.items()
            }
            about = Opinion(answer, True, note, prediction.model.name, prediction.model.sha256, said)
        try:
            journal.say_opinion(answer, note, about)
        except BreastAIError as error:
            session.fail(error)
            return
        self._settle()

    def _settle(self) -> None:
        """Bring what is shown in line with study, reader, protocol and what was said."""
        session, held = self._session, self.held
        if held is not None and self._of is not session.volume:
            self.held = held = None
        found = held or session.prediction
        # Another reader may have sat down: the answer on the screen is not theirs to see, or is new to their journal.
        if found is not None and (held is None or not self.asks_first):
            waited, self.held = held is not None, None
            if waited or self.asks_first:
                session.set_prediction(found)
            elif session.journal is not None:
                session.journal.answer_shown(found.model.name, found.model.sha256)
        self.changed.emit()
