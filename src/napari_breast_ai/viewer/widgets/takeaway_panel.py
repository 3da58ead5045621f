"""Pictures, reports and tables of the case, to take away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QLabel, QWidget

from ...core import BreastAIError
from .. import takeaway
from .choose import choose_output
from .section import Entry, Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session


class TakeawayPanel(Section):
    """Three buttons, the name that a report may bear, and where the last file went."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Take away", parent)
        self._session = session
        self.picture = button(
            "Picture…", "The view as it is, with maps, boxes and readout (PNG)", self._picture
        )
        self.report = button(
            "Report…",
            "One page on the case: key slices, probabilities, lesions, curves, the model (HTML or PDF)",
            self._report,
        )
        self.table = button("Scores…", "The scores of the case and of every slice (CSV)", self._table)
        self.body.addLayout(row(self.picture, self.report, self.table))
        self.subject = Entry()
        self.subject.setPlaceholderText("nobody is named")
        self.subject.setAccessibleName("Name in the report")
        self.subject.setToolTip(
            "What the report calls the case. Leave it empty, and nothing in it names the patient."
        )
        self.body.addLayout(row(QLabel("Name in the report"), self.subject, stretch=1))
        self.note = sentence(tone="faint")
        self.note.setTextFormat(Qt.TextFormat.RichText)
        self.note.linkActivated.connect(lambda place: QDesktopServices.openUrl(QUrl(place)))
        self.note.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.note.setVisible(False)
        self.body.addWidget(self.note)
        for signal in (session.study_changed, session.prediction_changed, session.workers.changed):
            links.connect(signal, self.refresh)
        links.connect(session.study_changed, self._forget)
        links.connect(session.saved, self._say)
        self.refresh()

    def refresh(self) -> None:
        """Offer what there is."""
        there = self._session.volume is not None
        self.picture.setEnabled(there)
        prediction = self._session.prediction
        pending = prediction is not None and prediction.pending > 0
        self.report.setEnabled(there and not pending and not self._session.workers.running(takeaway.KIND))
        self.table.setEnabled(prediction is not None and not pending)

    def _forget(self) -> None:
        # The next patient's report must not bear this one's name.
        self.subject.clear()
        self.note.setVisible(False)

    def _picture(self) -> None:
        self._save(
            "Save the picture of the view",
            "view.png",
            lambda path: takeaway.save_picture(self._session, path),
        )

    def _table(self) -> None:
        self._save("Save the scores", "scores.csv", lambda path: takeaway.save_table(self._session, path))

    def _report(self) -> None:
        subject = self.subject.text().strip()
        self._save(
            "Save the report (its ending says which kind: .html or .pdf)",
            "case-report.pdf",
            lambda path: takeaway.save_report(self._session, path, subject),
        )

    def _save(self, title: str, name: str, save: Callable[[Path], Path | None]) -> None:
        if not (place := choose_output(self, title, name)):
            return
        try:
            written = save(Path(place))
        except BreastAIError as error:
            self._session.fail(error)
            return
        if written is not None:
            self._say(str(written))

    def _say(self, place: str) -> None:
        path = Path(place)
        self.note.setText(f'Written: <a href="{path.absolute().as_uri()}">{path.name}</a>')
        self.note.setToolTip(place)
        self.note.setVisible(True)
