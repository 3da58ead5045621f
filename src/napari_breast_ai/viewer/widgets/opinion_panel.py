"""What the person thinks, before and after they have seen the model's answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QLabel, QPushButton, QWidget

from ...annotations.opinions import AFTER, AGREE, DISAGREE, NO_LESION, UNSURE, Opinion
from .section import Entry, Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session

TEXTS = {AGREE: "Agree", DISAGREE: "Disagree", UNSURE: "Unsure"}


class OpinionPanel(Section):
    """The reader's own answer while no model's has been seen, then agree, disagree or unsure; a note to either."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("What you think", parent)
        self._session = session
        self._of: object = None
        self.own_box = QComboBox()
        self.own_box.setToolTip("Your own answer for this case, before you see a model's")
        self.own_button = button("Say it", "Keep your own answer in the journal", self._say_own)
        self._own = QWidget()
        line = row(QLabel("Your own answer"), self.own_box, self.own_button, stretch=1)
        line.setContentsMargins(0, 0, 0, 0)
        self._own.setLayout(line)
        self.buttons: dict[str, QPushButton] = {}
        for answer in AFTER:
            made = button(TEXTS[answer], "What you think of the model's answer", partial(self._say, answer))
            made.setCheckable(True)
            self.buttons[answer] = made
        self._after = QWidget()
        line = row(*self.buttons.values())
        line.setContentsMargins(0, 0, 0, 0)
        self._after.setLayout(line)
        self.note = Entry()
        self.note.setPlaceholderText("Why? A note, kept with what you say")
        self.note.setToolTip("Why you think so; it is kept in the journal with what you say")
        self.note.setAccessibleName("Note to what you think")
        self.note.editingFinished.connect(self._say_note)
        self.text = sentence(tone="faint")
        for widget in (self._own, self._after, self.note, self.text):
            self.body.addWidget(widget)
        for signal in (
            session.opinions.changed,
            session.prediction_changed,
            session.study_changed,
            session.protocol_changed,
        ):
            links.connect(signal, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what was said, and what can be."""
        session = self._session
        journal = session.journal
        ready = journal is not None and not journal.read_only
        seen = journal is not None and journal.answer_seen
        before = journal.opinion(False) if journal is not None else None
        after = journal.opinion(True) if journal is not None else None
        self._own.setVisible(not seen)
        self._after.setVisible(seen)
        answers = [
            *session.protocol.labels,
            *(one for one in (NO_LESION, UNSURE) if one not in session.protocol.labels),
        ]
        if [self.own_box.itemText(i) for i in range(self.own_box.count())] != answers:
            self.own_box.clear()
            self.own_box.addItems(answers)
            self.own_box.setCurrentText(UNSURE)
        for answer, made in self.buttons.items():
            made.setChecked(after is not None and after.answer == answer)
            # Of what: the answer must be on the screen to be judged.
            made.setEnabled(ready and session.prediction is not None)
        for widget in (self.own_box, self.own_button, self.note):
            widget.setEnabled(ready)
        now = after if seen else before
        of = (journal, seen)
        if self._of != of:
            # Another case: what was typed for the one before stays there.
            self._of = of
            if not seen and before is not None:
                self.own_box.setCurrentText(before.answer)
            self.note.setText(now.note if now is not None else "")
        self.text.setText(self._told(ready, seen, before, after))
        self.summarise(
            TEXTS[after.answer] if after is not None else before.answer if before is not None else "not said"
        )

    def _told(self, ready: bool, seen: bool, before: Opinion | None, after: Opinion | None) -> str:
        if not ready:
            return "It is kept with the boxes of an open study."
        said = []
        if before is not None:
            said.append(f"You said “{before.answer}” before you saw a model's answer.")
        if after is not None:
            words = {AGREE: "You agree", DISAGREE: "You disagree", UNSURE: "You are unsure"}[after.answer]
            said.append(f"{words}{f' with {after.model}' if after.answer != UNSURE and after.model else ''}.")
        if self._session.opinions.held is not None:
            said.append("The model has answered. It is shown when you have said what you think yourself.")
        elif self._session.opinions.asks_first:
            said.append("In this project you say this first; then the model's answer is shown.")
        return (
            " ".join(said) or "Kept in the journal of this case, with whether a model's answer had been seen."
        )

    def _say_own(self) -> None:
        self._session.opinions.say(self.own_box.currentText(), self.note.text().strip())

    def _say(self, answer: str) -> None:
        self._session.opinions.say(answer, self.note.text().strip())
        self.refresh()

    def _say_note(self) -> None:
        """A note that was changed goes with what was said already; without that it waits."""
        journal = self._session.journal
        if journal is None or journal.read_only:
            return
        known = journal.opinion(journal.answer_seen)
        judged = not journal.answer_seen or self._session.prediction is not None
        if known is not None and judged and known.note != self.note.text().strip():
            self._session.opinions.say(known.answer, self.note.text().strip())
