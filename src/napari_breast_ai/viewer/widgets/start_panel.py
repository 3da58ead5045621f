"""What a training would do and what is wrong with it, and the button that begins it."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QScrollArea, QVBoxLayout, QWidget

from ...core.progress import in_words
from .problems_table import ProblemsTable
from .section import Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session


class StartPanel(Section):
    """The plan, what is missing, the problems line by line, and Start.

    Attributes:
        plan, missing: sentences.
        problems: the table.
        resume_row, buttons: for the dock to place: an unfinished run; look at all images, begin.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Before the start", parent)
        self._session = session
        training = session.training
        self.plan = sentence()
        self.missing = sentence(tone="faint")
        self.problems = ProblemsTable()
        self.check_button = button(
            "Look at all images",
            "Open every case: unreadable or equal images, boxes beside the image, and how long the training takes",
            training.check,
        )
        self.start_button = button("Start", "Train, in the background", training.start)
        self.waiting = sentence()
        self.resume_button = button(
            "Go on with it", "Take the run up again where it stopped: the result is the same", training.resume
        )
        self.leave_out = QCheckBox("Leave out the cases that cannot be used")
        self.leave_out.setToolTip("Train on the cases that can be used, without those above")
        self.leave_out.toggled.connect(lambda on: training.choose(leave_out=on))
        self.resume_row = QWidget()
        stack = QVBoxLayout(self.resume_row)
        stack.setContentsMargins(0, 0, 0, 6)
        stack.setSpacing(4)
        stack.addWidget(self.waiting)
        stack.addWidget(self.resume_button)
        for widget in (self.plan, self.problems, self.leave_out, self.missing):
            self.body.addWidget(widget)
        self.show_button = button("", "Show what must be put right first", self.show_problems)
        self.buttons = _line(self.check_button, self.show_button, self.start_button, stretch=2)
        links.connect(training.changed, self.refresh)
        links.connect(training.told, self.refresh)
        self.refresh()

    def show_problems(self) -> None:
        """Bring the table of problems into view."""
        place: QWidget | None = self.problems
        while place is not None and not isinstance(place, QScrollArea):
            place = place.parentWidget()
        if isinstance(place, QScrollArea):
            place.ensureWidgetVisible(self.problems)

    def refresh(self) -> None:
        """Show how things stand before a start."""
        training = self._session.training
        order, plan = training.order, training.prospect
        self.problems.show_problems(training.problems)
        text = plan.sentence
        checked = training.checked
        if checked is not None:
            text += f" {checked.slices} slices to learn from."
            if checked.seconds is None:
                text += " How long the training takes is said when it has begun."
            else:
                text += f" The training takes {in_words(checked.seconds)}."
            if not any(one.fatal for one in training.problems):
                text += " All images have been looked at."
        self.plan.setText(text)
        self.plan.setVisible(bool(text))
        missing = ", ".join(plan.missing) if order.table else ""
        self.missing.setText(f"Still to be chosen: {missing}." if missing else "")
        self.missing.setVisible(bool(missing))
        found = training.unfinished
        choosing = training.state == "choosing"
        self.resume_row.setVisible(found is not None and choosing)
        if found is not None:
            asked, done = found
            self.waiting.setText(
                f"A training in <b>{escape(asked.out)}</b> is not finished: {escape(Path(asked.recipe).stem)} on "
                f"{escape(Path(asked.table).name)}, {done} round{'' if done == 1 else 's'} done."
            )
        here = found is not None and bool(order.table) and found[0].out == order.out
        self.start_button.setText("Start anew" if here else "Start")
        self.start_button.setToolTip(
            "Train from the beginning; what the unfinished run has done is removed"
            if here
            else "Train, in the background"
        )
        of_case = any(one.of_case and (one.fatal or order.leave_out) for one in training.problems)
        self.leave_out.setVisible(of_case)
        with QSignalBlocker(self.leave_out):
            self.leave_out.setChecked(order.leave_out)
        self.buttons.setVisible(bool(order.table) and choosing)
        fatal = sum(one.fatal for one in training.problems)
        self.show_button.setVisible(fatal > 0)
        self.show_button.setText(f"{fatal} problem{'' if fatal == 1 else 's'}…")
        self.setVisible(bool(order.table) and training.state in ("choosing", "checking"))
        self.check_button.setEnabled(bool(order.labels) and not training.busy)
        self.start_button.setEnabled(training.ready)


def _line(*widgets: QWidget, stretch: int = 0) -> QWidget:
    """Widgets side by side, as one."""
    made = QWidget()
    line = row(*widgets, stretch=stretch)
    line.setContentsMargins(8, 0, 8, 0)
    made.setLayout(line)
    return made
