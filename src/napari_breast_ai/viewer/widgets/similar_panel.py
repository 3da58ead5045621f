"""The labelled cases that look most alike to the model, with their pictures; a click opens one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QInputDialog, QListView, QListWidget, QListWidgetItem, QWidget

from ...core import BreastAIError
from ..similar import INDEX
from ..table_scoring import slice_model
from .choose import choose_cohort, choose_index
from .section import Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session


class SimilarPanel(Section):
    """Buttons for the index, and the nearest cases."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Similar cases", parent)
        self._session = session
        self.open_button = button(
            "Open index…", "Use an index that was made of a table of labelled cases", self._open
        )
        self.make_button = button(
            "Make index…",
            "Index the labelled cases of a table with this model. No names are kept, but the paths of the studies are",
            self._make,
        )
        self.body.addLayout(row(self.open_button, self.make_button, stretch=1))
        self.note = sentence(tone="faint")
        self.body.addWidget(self.note)
        self.list = QListWidget()
        self.list.setViewMode(QListView.ViewMode.IconMode)
        self.list.setIconSize(QSize(96, 96))
        self.list.setGridSize(QSize(112, 142))
        self.list.setMovement(QListView.Movement.Static)
        self.list.setResizeMode(QListView.ResizeMode.Adjust)
        self.list.setWordWrap(True)
        self.list.setFixedHeight(292)
        self.list.setAccessibleName("Similar cases, the nearest first")
        self.list.itemActivated.connect(self._open_case)
        self.list.itemClicked.connect(self._open_case)
        self.body.addWidget(self.list)
        links.connect(session.similar.changed, self.refresh)
        links.connect(session.workers.changed, self._enable)
        links.connect(session.bundle_changed, self._enable)
        self.refresh()

    def refresh(self) -> None:
        """Show the neighbours, or say how to get some."""
        similar = self._session.similar
        self.list.clear()
        for number, one in enumerate(similar.neighbours):
            assert similar.index is not None
            picture = similar.index.folder / "pictures" / one.entry.picture
            item = QListWidgetItem(QIcon(str(picture)), f"{one.entry.label}\ndistance {one.distance:.2f}")
            item.setData(Qt.ItemDataRole.UserRole, number)
            item.setToolTip("Click to open this case. A distance of 1 is that of two cases as they come.")
            self.list.addItem(item)
        self.list.setVisible(bool(similar.neighbours))
        if similar.index is None:
            text = "Labelled cases whose lesions look alike to the model, from an index of your own cases."
        elif similar.neighbours:
            text = (
                f"The nearest of {len(similar.index.entries)} cases, none of the same patient. That they look alike to "
                "the model does not make them the same disease."
            )
        else:
            text = similar.told or "Run the model to find similar cases."
        self.note.setText(text)
        self._enable()

    def _enable(self) -> None:
        free = not self._session.workers.running(INDEX)
        self.open_button.setEnabled(free)
        self.make_button.setEnabled(free and slice_model(self._session) is not None)

    def _open_case(self, item: QListWidgetItem) -> None:
        self._session.similar.open_case(int(item.data(Qt.ItemDataRole.UserRole)))

    def _open(self) -> None:
        if folder := choose_index(self, "Open an index of similar cases"):
            self._session.similar.open_index(folder)

    def _make(self) -> None:
        if not (table := choose_cohort(self)):
            return
        column, agreed = QInputDialog.getText(self, "Make an index", "The column of the labels:")
        if not agreed or not column.strip():
            return
        if folder := choose_index(self, "Where the index goes: an empty folder"):
            try:
                self._session.similar.make_index(table, column.strip(), folder)
            except BreastAIError as error:
                self._session.fail(error)
