"""The columns of a cohort table that could be learnt, to be ticked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QModelIndex, QPersistentModelIndex, QSignalBlocker, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QPainter
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

if TYPE_CHECKING:
    from ...training.columns import LabelColumn

_ROW, _MOST_ROWS = 24, 9
_TICKED, _OPEN = Qt.CheckState.Checked, Qt.CheckState.Unchecked


class FramedBoxes(QStyledItemDelegate):
    """Rows whose boxes have a frame: on napari's dark ground one that is not ticked cannot be seen otherwise."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """Paint the row, then the frame."""
        super().paint(painter, option, index)
        tree = self.parent()
        if index.data(Qt.ItemDataRole.CheckStateRole) is None or not isinstance(tree, QWidget):
            return
        own = QStyleOptionViewItem(option)
        self.initStyleOption(own, index)
        box = tree.style().subElementRect(QStyle.SubElement.SE_ItemViewItemCheckIndicator, own, tree)
        color = tree.palette().color(tree.foregroundRole())
        color.setAlphaF(0.55)
        painter.save()
        painter.setPen(color)
        painter.drawRect(box.adjusted(0, 0, -1, -1))
        painter.restore()


class LabelTree(QTreeWidget):
    """A row a column, below it its classes with their patients; ticked is what is learnt.

    Attributes:
        chosen: emitted when the person ticked something, or changed which class is the positive one.
    """

    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns: tuple[LabelColumn, ...] = ()
        self.setItemDelegate(FramedBoxes(self))
        self.setColumnCount(2)
        self.setHeaderLabels(["Learn", "Patients"])
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setIndentation(16)
        self.setAccessibleName("Label columns")
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.itemChanged.connect(self._on_changed)
        self.itemExpanded.connect(lambda _: self.updateGeometry())
        self.itemCollapsed.connect(lambda _: self.updateGeometry())

    def set_columns(self, columns: Sequence[LabelColumn], labels: Sequence[str]) -> None:
        """Offer these; those that `labels` names are ticked, as in an order."""
        told = {name: listed for name, _, listed in (one.partition("=") for one in labels)}
        with QSignalBlocker(self):
            self.clear()
            self._columns = tuple(columns)
            for column in columns:
                top = QTreeWidgetItem(self, [column.name, str(sum(n for _, n in column.classes))])
                top.setSizeHint(0, QSize(0, _ROW - 4))
                top.setFlags(top.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                top.setCheckState(0, _TICKED if column.name in told else _OPEN)
                top.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                wanted = [word for word in told.get(column.name, "").split(",") if word]
                for word, patients in column.classes:
                    below = QTreeWidgetItem(top, [word, str(patients)])
                    below.setSizeHint(0, QSize(0, _ROW - 4))
                    below.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                    if column.yes_or_no:
                        below.setFlags(below.flags() & ~Qt.ItemFlag.ItemIsUserCheckable)
                    else:
                        below.setFlags(below.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                        below.setCheckState(0, _TICKED if not wanted or word in wanted else _OPEN)
                top.setExpanded(column.name in told or len(columns) == 1)
                self._offer_positive(top, column, wanted)
        self.updateGeometry()

    def labels(self) -> tuple[str, ...]:
        """What is ticked, as an order wants it."""
        from ...training.columns import label_argument

        found = []
        for index, column in enumerate(self._columns):
            top = self.topLevelItem(index)
            if top is not None and top.checkState(0) == _TICKED:
                found.append(label_argument(column, self._classes(top, column)))
        return tuple(found)

    def sizeHint(self) -> QSize:
        """As high as the rows, within reason."""
        rows = 0
        for index in range(self.topLevelItemCount()):
            top = self.topLevelItem(index)
            assert top is not None
            rows += 1 + (top.childCount() if top.isExpanded() else 0)
        high = self.header().sizeHint().height() + _ROW * min(max(rows, 2), _MOST_ROWS) + 4
        return QSize(240, high)

    def minimumSizeHint(self) -> QSize:
        """The same height."""
        return QSize(160, self.sizeHint().height())

    def positive_box(self, index: int) -> QComboBox | None:
        """The list that says which class of a column is the positive one; None where there is no such choice."""
        top = self.topLevelItem(index)
        line = None if top is None else self._line(top)
        box = None if line is None else self.itemWidget(line, 0)
        return box if isinstance(box, QComboBox) else None

    @staticmethod
    def _line(top: QTreeWidgetItem) -> QTreeWidgetItem | None:
        last = top.child(top.childCount() - 1)
        return last if last is not None and last.data(0, Qt.ItemDataRole.UserRole) == "positive" else None

    def _classes(self, top: QTreeWidgetItem, column: LabelColumn) -> tuple[str, ...]:
        ticked = self._ticked(top, column)
        box = self.positive_box(self.indexOfTopLevelItem(top))
        if box is not None and box.currentIndex() == 1:
            ticked = ticked[::-1]
        return tuple(ticked)

    @staticmethod
    def _ticked(top: QTreeWidgetItem, column: LabelColumn) -> list[str]:
        return [
            word
            for (word, _), child in zip(
                column.classes, (top.child(i) for i in range(len(column.classes))), strict=True
            )
            if child is not None and child.checkState(0) == _TICKED
        ]

    def _offer_positive(self, top: QTreeWidgetItem, column: LabelColumn, wanted: Sequence[str] = ()) -> None:
        """A line below the classes: which of two is the positive one."""
        ticked = [] if column.yes_or_no else self._ticked(top, column)
        line = self._line(top)
        if line is not None:
            top.removeChild(line)
        if len(ticked) != 2:
            return
        line = QTreeWidgetItem(top)
        line.setData(0, Qt.ItemDataRole.UserRole, "positive")
        line.setFlags(Qt.ItemFlag.ItemIsEnabled)
        line.setFirstColumnSpanned(True)
        box = QComboBox()
        box.addItems([f"{a} against {b}" for a, b in (ticked, ticked[::-1])])
        box.setToolTip("The first is the positive one: sensitivity is its share that is found")
        if list(wanted) == ticked[::-1]:
            box.setCurrentIndex(1)
        box.activated.connect(lambda _: self.chosen.emit())
        self.setItemWidget(line, 0, box)

    def _on_changed(self, item: QTreeWidgetItem) -> None:
        with QSignalBlocker(self):
            top = item.parent() or item
            column = self._columns[self.indexOfTopLevelItem(top)]
            if item.parent() is None and item.checkState(0) == _TICKED:
                top.setExpanded(True)
            if item.parent() is not None:
                # Whoever chooses among the classes wants the column.
                top.setCheckState(0, _TICKED)
                self._offer_positive(top, column)
        self.updateGeometry()
        self.chosen.emit()
