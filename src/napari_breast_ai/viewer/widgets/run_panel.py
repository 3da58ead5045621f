"""A training that runs: how far it is, how it learns, and the buttons that steer it."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QProgressBar, QWidget

from ...core.progress import in_words
from .course_plot import CoursePlot, patient_aucs
from .job_bar import show_progress
from .section import Links, Section, button, row, sentence
from .watched_slice import WatchedSlice

if TYPE_CHECKING:
    from ..session import Session
    from ..training_run import Run

_STEPS = 1000
PICTURES = "preparation.source.kind=picture"
"""The change of a recipe with which it sees single pictures."""


class RunPanel(Section):
    """Progress with the time left, pause and cancel, the curves, the watched slice.

    Attributes:
        bar, left, where: progress, the time left, and which round this is.
        pause_button, cancel_button: they steer.
        plot, slice, caption: what is learnt.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Training", parent)
        self._session = session
        training = session.training
        self.about = sentence(tone="faint")
        self.bar = QProgressBar()
        self.bar.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.where = sentence()
        self.pause_button = button("Pause", "Wait at the next step; memory is kept", self._pause)
        self.cancel_button = button(
            "Cancel",
            "Stop at the next step; what is finished is kept, and can be taken up again",
            training.cancel,
        )
        self._steer = QWidget()
        line = row(self.bar, self.pause_button, self.cancel_button, stretch=0)
        line.setContentsMargins(0, 0, 0, 0)
        self._steer.setLayout(line)
        self.plot = CoursePlot(session)
        self.plot.setToolTip(
            "Strong: the round that learns now. Faint: the rounds before it. The ring is the epoch that is kept (the "
            "last of them, where each question keeps its own). The AUC is of those training patients who only choose "
            "the epoch, not of the held-out ones."
        )
        self.slice = WatchedSlice()
        self.caption = sentence(tone="faint")
        for widget in (self.about, self._steer, self.where, self.plot, self.slice, self.caption):
            self.body.addWidget(widget, 1000 if widget is self.slice else 0)
        self.body.addStretch(1)
        links.connect(training.changed, self.refresh)
        links.connect(training.told, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the run as far as it is."""
        training = self._session.training
        run = training.run
        self._steer.setVisible(training.busy)
        fitting = training.state != "checking"
        self.pause_button.setVisible(fitting)
        self.cancel_button.setEnabled(training.state != "stopping")
        self.pause_button.setEnabled(training.state in ("running", "paused") and run is not None)
        self.pause_button.setText("Go on" if training.state in ("paused", "pausing") else "Pause")
        if run is None:
            return
        order = run.order
        name = Path(order.recipe).stem
        table = Path(order.table).name
        self.about.setText(
            f"{name} on {table}, result in {order.out}" if fitting else f"Every case of {table} is opened."
        )
        self._show_progress(run)
        self._show_where(run)
        started = run.started is not None
        self.plot.setVisible(started)
        self.plot.show_run(run)
        self.slice.setVisible(started and run.shown is not None and run.attention is not None)
        self.slice.show_slice(run.shown, run.attention)
        self.caption.setVisible(self.slice.isVisibleTo(self))
        self.caption.setText(_caption(run))

    def _show_progress(self, run: Run) -> None:
        state = self._session.training.state
        share = run.share
        if share is None:
            show_progress(self.bar, run.step.done, run.step.total)
            text = run.step.what
            if run.step.total:
                text += f", {run.step.done} of {run.step.total}"
        elif share == 1.0:
            self.bar.setRange(0, 0)
            text = run.step.what if not run.step.total else "judging"
        else:
            show_progress(self.bar, round(share * _STEPS), _STEPS)
            text = f"{share:.0%}"
        if share != 1.0 and run.seconds_left is not None:
            text += f", {in_words(run.seconds_left)} left"
        self.bar.setFormat(
            {"paused": "Paused", "pausing": "Pausing…", "stopping": "Stopping…"}.get(
                state, text[:1].upper() + text[1:]
            )
        )

    def _show_where(self, run: Run) -> None:
        lines = []
        if run.started is None:
            if self._session.training.state == "running":
                lines.append("Every case is opened and its features are computed; fitting begins then.")
        else:
            lines.append(escape(run.started.what))
            course = run.current
            if course is not None and course.done is None and self._session.training.busy:
                one = course.started
                what = (
                    "the final model, from all training patients"
                    if one.part == "final"
                    else f"learns from {one.patients} patients; the other ones judge"
                )
                epoch = (
                    f", epoch {course.epochs[-1].epoch} of {course.epochs[-1].epochs}"
                    if course.epochs
                    else ""
                )
                lines.append(f"<b>Round {one.round} of {one.rounds}</b>{epoch}: {what}.")
            done = [one.done for one in run.rounds.values() if one.done is not None and one.done.so_far]
            if done:
                aucs = patient_aucs(done[-1].so_far)
                same = sum(one.part == done[-1].part for one in done)
                if aucs:
                    mean = sum(aucs) / len(aucs)
                    so_far = " so far" if self._session.training.busy else ""
                    lines.append(
                        f"Held-out patients{so_far} ({same} round{'s' if same > 1 else ''}): AUC per patient "
                        f"<b>{mean:.2f}</b>{', mean over the questions' if len(aucs) > 1 else ''}."
                    )
            lines += [escape(text) for text in run.started.warnings[:3]]
        self.where.setText("<br>".join(lines))
        self.where.setVisible(bool(lines))

    def _pause(self) -> None:
        training = self._session.training
        if training.state == "running":
            training.pause()
        else:
            training.go_on()


def _caption(run: Run) -> str:
    shown, looked = run.shown, run.looked
    if shown is None or looked is None:
        return ""
    box = " Dashed: the reader's box." if shown.boxes else ""
    # A single picture has no slices to be told apart.
    where = shown.case_id if PICTURES in run.order.changes else f"{shown.case_id}, slice {shown.slice}"
    return (
        f"Where the model of round {looked.round} looks after epoch {looked.epoch}, on {where}: of a patient it does "
        f"not learn from.{box}"
    )
