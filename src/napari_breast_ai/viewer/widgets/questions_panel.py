"""Questions that one can ask of a heat map, with their answers; a red line where the map fails one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFrame, QGridLayout, QLabel, QWidget

from ...core import BreastAIError
from ..questions import QUESTIONS
from ..table_scoring import slice_model
from .combo import short_combo
from .removal_plot import RemovalPlot
from .section import Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ...inference.questions.table import Answer
    from ..session import Session

RED = "#e5484d"
WHICH = (("Attention", "attention"), ("Grad-CAM", "gradcam"))


class QuestionsPanel(Section):
    """What to ask about, two buttons, a row for each answer, and the curves behind two of them."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Question the heat map", parent)
        self._session = session
        self.which = QComboBox()
        for text, value in WHICH:
            self.which.addItem(text, value)
        self.which.setToolTip("The map that is asked about")
        self.label = short_combo("The class whose score is asked for", 10)
        self.body.addLayout(row(self.which, self.label, stretch=1))
        self.slice_button = button(
            "Ask about this slice", "Put every question to the map of the slice in view", self._slice
        )
        self.lesion_button = button(
            "Ask about my boxes", "Put every question to slices with a box, at most five; means", self._lesion
        )
        self.body.addLayout(row(self.slice_button, self.lesion_button, stretch=1))
        self.asked = sentence(tone="faint")
        self.body.addWidget(self.asked)
        self._holder = QWidget()
        self.grid = QGridLayout(self._holder)
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setHorizontalSpacing(8)
        self.grid.setVerticalSpacing(3)
        self.grid.setColumnStretch(1, 1)
        self.body.addWidget(self._holder)
        self.removal = RemovalPlot(session)
        self.body.addWidget(self.removal)
        links.connect(session.questions.changed, self.refresh)
        links.connect(session.bundle_changed, self._show_model)
        links.connect(session.study_changed, self._enable)
        links.connect(session.workers.changed, self._enable)
        links.connect(session.display_changed, self._follow)
        self._show_model()
        self.refresh()

    def refresh(self) -> None:
        """Show the answers, or say what the panel is for."""
        questions = self._session.questions
        while (item := self.grid.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.setParent(None)
                old.deleteLater()
        for line, answer in enumerate(questions.answers):
            self._add(line, answer)
        self._holder.setVisible(bool(questions.answers))
        self.removal.show_lines(questions.lines(), questions.label)
        if not questions.answers:
            text = "Is the map about this lesion? Would the score fall without it? Is it more than the image itself?"
        else:
            failed = sum(answer.fails for answer in questions.answers)
            told = f"It fails {failed} of {len(questions.answers)}." if failed else "It fails none."
            text = f"{questions.asked}. {told}"
            if questions.stale:
                text += " The boxes have changed since."
        self.asked.setText(text)
        self._enable()

    def _add(self, line: int, answer: Answer) -> None:
        tip = f"<p>{answer.question.meaning}</p>"
        mark = QFrame()
        mark.setFixedWidth(3)
        mark.setStyleSheet(f"background-color: {RED if answer.fails else 'transparent'};")
        words = [answer.question.name]
        if second := (answer.note if answer.value is None else answer.held_against):
            words.append(f"<span style='color: gray'>{second}</span>")
        name = QLabel("<br>".join(words))
        name.setWordWrap(True)
        value = QLabel(f"<b>{answer.said}</b>" + ("<br>fails" if answer.fails else ""))
        value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop)
        if answer.fails:
            value.setStyleSheet(f"color: {RED};")
        value.setAccessibleName(f"{answer.question.name}: {answer.said}{', fails' if answer.fails else ''}")
        for column, widget in enumerate((mark, name, value)):
            widget.setToolTip(tip)
            self.grid.addWidget(widget, line, column)

    def _show_model(self) -> None:
        bundle = slice_model(self._session)
        self.label.clear()
        if bundle is not None:
            self.label.addItems(bundle.spec.labels)
        attention = bundle is not None and bundle.spec.pooling.kind == "attention"
        self.which.setCurrentIndex(0 if attention else 1)
        self.which.setEnabled(attention)
        self._follow()
        self._enable()

    def _follow(self) -> None:
        """The class that the overlay shows is the one to ask about."""
        if (index := self.label.findText(self._session.display.label)) >= 0:
            self.label.setCurrentIndex(index)

    def _enable(self) -> None:
        session = self._session
        ready = session.volume is not None and slice_model(session) is not None and session.complete
        free = ready and not session.workers.running(QUESTIONS)
        self.slice_button.setEnabled(free)
        self.lesion_button.setEnabled(free)

    def _slice(self) -> None:
        self._ask((self._session.slice_index,))

    def _lesion(self) -> None:
        self._ask(self._session.questions.lesion_slices())

    def _ask(self, slices: tuple[int, ...]) -> None:
        try:
            self._session.questions.ask(slices, self.which.currentData(), self.label.currentText())
        except BreastAIError as error:
            self._session.fail(error)
