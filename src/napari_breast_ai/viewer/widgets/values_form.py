"""The clinical values that the chosen model asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QWidget

from .section import Entry, Links, sentence

if TYPE_CHECKING:
    from ...models.table_spec import Column
    from ..session import Session

UNKNOWN = "not known"


class ValuesForm(QWidget):
    """A line for each value: a number to type, or one of the categories that the model knows.

    Attributes:
        entries: column to its widget.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.entries: dict[str, Entry | QComboBox] = {}
        self._asked: tuple[Column, ...] = ()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(1, 1)
        self.problem = sentence(tone="warning")
        for signal in (session.bundle_changed, session.study_changed, session.reading.changed):
            links.connect(signal, self.refresh)
        links.connect(session.values.changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Ask for what the model wants, with what is known filled in."""
        asked = self._session.values.asked
        if asked != self._asked:
            self._build(asked)
        self.setVisible(bool(asked) and self._session.volume is not None)
        known = self._session.values.known()
        for name, entry in self.entries.items():
            cell = known.get(name, "")
            entry.blockSignals(True)
            if isinstance(entry, QComboBox):
                # A category that the model has never met counts as none of its own; it must be seen all the same.
                if entry.findData(cell) < 0:
                    entry.addItem(f"{cell} (unknown to the model)", cell)
                entry.setCurrentIndex(entry.findData(cell))
            elif entry.text().strip() != cell:
                entry.setText(cell)
            entry.blockSignals(False)
        self._complain(known)

    def _build(self, asked: tuple[Column, ...]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None and widget is not self.problem:
                widget.deleteLater()
        self.entries.clear()
        self._asked = asked
        for line, column in enumerate(asked):
            entry: Entry | QComboBox
            if column.kind == "category":
                entry = QComboBox()
                entry.addItem(UNKNOWN, "")
                for category in column.categories:
                    if category:
                        entry.addItem(category, category)
                entry.activated.connect(lambda _, name=column.name: self._chosen(name))
            else:
                entry = Entry()
                entry.setPlaceholderText(UNKNOWN)
                entry.editingFinished.connect(lambda name=column.name: self._written(name))
            entry.setToolTip(f"{column.name} of this patient; the model asks for it")
            entry.setAccessibleName(column.name)
            self.entries[column.name] = entry
            self._grid.addWidget(QLabel(column.name), line, 0)
            self._grid.addWidget(entry, line, 1)
        self._grid.addWidget(self.problem, len(asked), 0, 1, 2)

    def _chosen(self, name: str) -> None:
        entry = self.entries[name]
        assert isinstance(entry, QComboBox)
        self._session.values.tell(name, str(entry.currentData()))

    def _written(self, name: str) -> None:
        # A line that goes with its model says, as it loses the keys, that it is done.
        if isinstance(entry := self.entries.get(name), Entry):
            self._session.values.tell(name, entry.text())

    def _complain(self, known: dict[str, str]) -> None:
        from ...models.table import is_number

        wrong = [
            f"“{known[column.name]}” is no number: {column.name} is taken as not known."
            for column in self._asked
            if column.kind == "number" and known.get(column.name) and not is_number(known[column.name])
        ]
        self.problem.setText(" ".join(wrong))
        self.problem.setVisible(bool(wrong))
