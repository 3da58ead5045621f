"""The worklist in the Cases dock: what is to be read, by whom, in which order, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QItemSelectionModel, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QLabel,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from .choose import choose_moved, choose_study, choose_table
from .combo import short_combo
from .section import Entry, Links, button, row, sentence
from .worklist_model import SAID, WorklistFilter, WorklistModel

if TYPE_CHECKING:
    from ..session import Session

ORDERS = {
    "given": "As given",
    "random": "Random",
    "repeated": "Random, some twice, names hidden",
}


class WorklistTable(QTableView):
    """Enter and a double click open a case."""

    def __init__(self, open_row: object, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._open_row = open_row

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens what is chosen."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self._open_row(self.currentIndex())  # type: ignore[operator]
        else:
            super().keyPressEvent(event)


class WorklistPanel(QWidget):
    """Buttons to open a list, reader and order, a filter, the table, the counts."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._links = session, links
        reading = session.reading
        self.folder_button = button("Folder of studies…", "Each study in the folder is a case", self._folder)
        self.table_button = button("Table…", "A CSV with the columns case_id and path", self._table)
        self.reader = Entry(session.reader)
        self.reader.setToolTip("Whose boxes these are. Each reader has a file of their own for each case.")
        self.reader.setMaximumWidth(130)
        self.reader.editingFinished.connect(self._on_reader)
        self.order = short_combo(
            "The order of reading. Some cases twice: they measure how well a reader agrees with themselves.",
            14,
            ORDERS,
        )
        self.order.activated.connect(self._on_order)
        self.search = Entry()
        self.search.setPlaceholderText("Search")
        self.search.setToolTip("Show the cases whose line has these words")
        self.search.setClearButtonEnabled(True)
        self.status = QComboBox()
        self.status.setToolTip("Show the cases that stand so")
        self.status.addItem("all", "")
        for text in SAID.values():
            self.status.addItem(text, text)
        self.model = WorklistModel(session, self)
        self.rows = WorklistFilter(self.model, self)
        self.table = WorklistTable(self._open)
        self.table.setModel(self.rows)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.setWordWrap(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(22)
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setStretchLastSection(True)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.table.doubleClicked.connect(self._open)
        self.counts = sentence()
        self.next_button = button(
            "Next to do", "The next case that is neither done nor skipped", reading.next_to_do
        )
        self.moved_button = button(
            "Find moved…",
            "Look in a folder for cases whose images have moved, by their UIDs",
            self._moved,
        )
        self.agreement_button = button(
            "Agreement…", "How far readers agree on these cases, and how fast they are", self._agreement
        )
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 4, 0, 0)
        outer.setSpacing(6)
        outer.addLayout(row(self.folder_button, self.table_button))
        outer.addLayout(row(QLabel("Reader"), self.reader, QLabel("Order"), self.order, stretch=3))
        outer.addLayout(row(self.search, self.status, stretch=0))
        outer.addWidget(self.table, 1)
        outer.addWidget(self.counts)
        outer.addLayout(row(self.next_button, self.moved_button, self.agreement_button))
        self.search.textChanged.connect(self._filter)
        self.status.currentIndexChanged.connect(self._filter)
        for signal in (reading.changed, session.study_changed):
            links.connect(signal, self.refresh)
        links.connect(session.boxes_changed, self._count)
        self._sized: object = None
        self.refresh()

    def refresh(self) -> None:
        """Show the list, and the case that is on the screen in it."""
        reading = self._session.reading
        self.model.refresh()
        listed = reading.log is not None
        for one in (
            self.order,
            self.next_button,
            self.moved_button,
            self.agreement_button,
            self.search,
            self.status,
        ):
            one.setEnabled(listed)
        if reading.log is not None:
            self.order.setCurrentIndex(self.order.findData(reading.log.order))
        if self._sized is not reading.worklist:
            self._sized = reading.worklist
            self.table.resizeColumnsToContents()
            self.table.setColumnWidth(1, min(max(self.table.columnWidth(1), 110), 220))
            # Wide enough for every status, also where it is bold.
            self.table.setColumnWidth(2, self.table.fontMetrics().horizontalAdvance("skipped") + 30)
        if reading.log is not None and reading.turn in reading.log.turns:
            index = self.rows.mapFromSource(self.model.index(reading.log.turns.index(reading.turn), 0))
            if index.isValid():
                self.table.selectionModel().setCurrentIndex(
                    index,
                    QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows,
                )
                self.table.scrollTo(index)
        self._count()

    def _count(self) -> None:
        reading = self._session.reading
        log = reading.log
        if log is None:
            self.counts.setText(
                "Open a folder of studies, or a table (CSV) that names them: they are read one after the other, each "
                "reader in a file of their own."
            )
            return
        self.model.refresh()
        listed = ", ".join(f"{number} {SAID[name]}" for name, number in reading.counts().items() if number)
        self.counts.setText(f"{len(log.turns)} cases: {listed}.")

    def _filter(self) -> None:
        self.rows.search(self.search.text(), str(self.status.currentData()))

    def _open(self, index: object) -> None:
        self._session.reading.go(self.rows.mapToSource(index).row())  # type: ignore[arg-type]

    def _folder(self) -> None:
        if folder := choose_study(self, "Open a folder of studies"):
            self._session.reading.open(folder)

    def _table(self) -> None:
        if table := choose_table(self):
            self._session.reading.open(table)

    def _moved(self) -> None:
        if folder := choose_moved(self):
            self._session.reading.find_moved(folder)

    def _agreement(self) -> None:
        from .agreement_dock import add_agreement

        add_agreement(self._session.viewer, self._session, self._links)

    def _on_reader(self) -> None:
        self._session.set_reader(self.reader.text())
        self.reader.setText(self._session.reader)

    def _on_order(self, index: int) -> None:
        order = str(self.order.itemData(index))
        log = self._session.reading.log
        if log is not None and order != log.order:
            self._session.reading.arrange(order, seed=len(log.turns))
