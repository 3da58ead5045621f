"""What came of a training: patients first, and what can be done with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from ...core import BreastAIError, Progress
from .. import tasks
from ..commands import DOCK, PLUGIN
from ..training import OUTCOME
from .section import Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ...training.outcome import Outcome
    from ..session import Session


class OutcomePanel(Section):
    """Who was judged, the figures, and the buttons.

    Attributes:
        who, table, folds, warnings: the result.
        report_button, use_button, again_button: what can be done.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Result", parent)
        self._session = session
        self._shown: Path | None = None
        self.who = sentence()
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["", "Per patient", "Per slice"])
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.setAccessibleName("Figures")
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        self.folds = sentence(tone="faint")
        self.warnings = sentence(tone="warning")
        self.where = sentence(tone="faint")
        self.report_button = button(
            "Open report", "Curves, calibration, failures and the small print, in the browser", self._report
        )
        self.use_button = button("Use in Review", "Make this the model of the Review dock", self._use)
        self.again_button = button("New training", "Back to the choices", session.training.choose_again)
        for widget in (self.who, self.table, self.folds, self.warnings):
            self.body.addWidget(widget)
        self.body.addLayout(row(self.report_button, self.use_button, self.again_button))
        self.body.addWidget(self.where)
        links.connect(session.training.changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Read the result of a run that is done, once."""
        training = self._session.training
        written = training.run.written if training.run is not None else None
        done = training.state == "done" and written is not None
        self.setVisible(done)
        if not done or written is None:
            self._shown = None
            return
        path = Path(written.evaluation)
        if path == self._shown:
            return
        self._shown = path
        self.report_button.setEnabled(bool(written.report))
        self.where.setText(f"All of it lies in {path.parent}.")

        def work(progress: Progress) -> Outcome:
            from ...training.outcome import read_outcome

            return read_outcome(path)

        self._session.workers.start(OUTCOME, "Read the result", work, done=self._fill, failed=self._failed)

    def _fill(self, outcome: Any) -> None:
        self.who.setText(f"<b>{outcome.sentence}</b>")
        several = len({one.question for one in outcome.rows}) > 1
        lines: list[tuple[str, str, str]] = []
        question = ""
        for one in outcome.rows:
            if one.question != question:
                question = one.question
                lines.append((question, "", ""))
            lines.append((f"   {one.figure}", one.patients or "–", one.slices or "–"))
        self.table.clearSpans()
        self.table.setRowCount(len(lines))
        for number, texts in enumerate(lines):
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                if not texts[1]:
                    font = item.font()
                    font.setBold(True)
                    item.setFont(font)
                elif column:
                    item.setToolTip("In brackets: the 95 % interval")
                self.table.setItem(number, column, item)
            if not texts[1]:
                self.table.setSpan(number, 0, 1, 3)
        shown = min(len(lines), 14)
        self.table.setFixedHeight(self.table.horizontalHeader().sizeHint().height() + 22 * shown + 6)
        self.folds.setText("\n".join(outcome.folds[: 3 if several else 1]))
        self.folds.setVisible(bool(outcome.folds))
        self.warnings.setText("\n".join(outcome.warnings[:4]))
        self.warnings.setVisible(bool(outcome.warnings))

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, BreastAIError):
            self.who.setText(str(error))
        else:
            self._session.fail(error)

    def _report(self) -> None:
        training = self._session.training
        if training.run is not None and training.run.written is not None:
            path = Path(training.run.written.report)
            if not path.is_file():
                self.warnings.setText(f"The report {path} is no longer there.")
                self.warnings.show()
            elif not QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))):
                self.warnings.setText(f"No browser could be opened. Open {path} yourself.")
                self.warnings.show()

    def _use(self) -> None:
        training = self._session.training
        if training.run is None or training.run.written is None:
            return
        tasks.use_model(self._session, training.run.written.bundle)
        window = getattr(self._session.viewer, "window", None)
        if window is not None:
            dock, _ = window.add_plugin_dock_widget(PLUGIN, DOCK, tabify=True)
            dock.raise_()
