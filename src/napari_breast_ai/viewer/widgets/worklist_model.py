"""A worklist as a table for Qt: number, case, status, boxes, and the list's own columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtGui import QColor, QFont
from qtpy.QtWidgets import QWidget

from ...annotations.log import Standing, Turn
from .theme import is_dark

if TYPE_CHECKING:
    from ..session import Session

FIXED = ("#", "Case", "Status", "Boxes")
SAID = {"to do": "to do", "open": "in work", "done": "done", "skipped": "skipped"}
COLORS = {
    "done": ("#2fb58e", "#0a6b4f"),
    "skipped": ("#b8b8b8", "#5e5e62"),
    "open": ("#e69f00", "#8a4b00"),
}
"""Of the statuses, on dark and on light ground."""

Index = QModelIndex | QPersistentModelIndex


class WorklistModel(QAbstractTableModel):
    """Shows `Session.reading`. Names and columns are hidden where a case must not be known by them."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session = session
        self._table = parent
        self._turns: tuple[Turn, ...] = ()
        self._columns: tuple[str, ...] = ()
        self._current: Turn | None = None
        self._shown: tuple[Any, ...] = ()

    def refresh(self) -> None:
        """Show what has changed: all of another list or order, else the rows of the last and the present case."""
        reading = self._session.reading
        log, worklist = reading.log, reading.worklist
        turns = log.turns if log is not None else ()
        key = (worklist, log, turns, log.blind if log is not None else False)
        if key != self._shown:
            self.beginResetModel()
            self._shown, self._turns = key, turns
            names = [name for case in worklist.cases for name in case.columns] if worklist else []
            self._columns = () if log is None or log.blind else tuple(dict.fromkeys(names))
            self.endResetModel()
        for turn in {self._current, reading.turn} - {None}:
            if turn in self._turns:
                row = self._turns.index(turn)
                self.dataChanged.emit(self.index(row, 0), self.index(row, self.columnCount() - 1))
        self._current = reading.turn

    def turn(self, row: int) -> Turn:
        """The turn of a row."""
        return self._turns[row]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """One row a turn."""
        return 0 if parent.isValid() else len(self._turns)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """The fixed columns and the list's own."""
        return len(FIXED) + len(self._columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        """Names of the columns."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return (*FIXED, *self._columns)[section]
        return None

    def data(self, index: Index, role: int = 0) -> Any:
        """What stands in a cell, and how."""
        if not index.isValid():
            return None
        reading = self._session.reading
        turn = self._turns[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(turn, index.row(), index.column(), reading.standing(turn))
        if role == Qt.ItemDataRole.FontRole and turn == reading.turn:
            font = QFont()
            font.setBold(True)
            return font
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == 2:
            colors = COLORS.get(reading.standing(turn).status)
            return QColor(colors[0 if is_dark(self._table) else 1]) if colors else None
        if role == Qt.ItemDataRole.ToolTipRole:
            standing = reading.standing(turn)
            lines = [standing.reason] if standing.reason else []
            if reading.log is not None and not reading.log.blind:
                lines.append(str(standing.path or reading.case(turn).path))
            return "\n".join(lines) or None
        return None

    def _text(self, turn: Turn, row: int, column: int, standing: Standing) -> str:
        reading = self._session.reading
        if column == 0:
            return str(row + 1)
        if column == 1:
            return reading.title(turn)
        if column == 2:
            return SAID[standing.status]
        if column == 3:
            return str(standing.boxes) if standing.boxes else ""
        return reading.case(turn).columns.get(self._columns[column - len(FIXED)], "")


class WorklistFilter(QSortFilterProxyModel):
    """The rows of one status that hold all words of a search."""

    def __init__(self, model: WorklistModel, parent: Any = None) -> None:
        super().__init__(parent)
        self.setSourceModel(model)
        self._words: tuple[str, ...] = ()
        self._status = ""

    def search(self, text: str, status: str) -> None:
        """Show rows that hold every word, and have the status; "" for any."""
        self._words, self._status = tuple(text.lower().split()), status
        self.invalidate()

    def filterAcceptsRow(self, row: int, parent: Index) -> bool:
        """Whether a row is shown."""
        model = self.sourceModel()
        cells = [str(model.data(model.index(row, c)) or "") for c in range(model.columnCount())]
        if self._status and cells[2] != self._status:
            return False
        text = " ".join(cells).lower()
        return all(word in text for word in self._words)
