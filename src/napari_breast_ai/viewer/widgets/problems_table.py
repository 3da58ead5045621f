"""What is wrong with a cohort, line by line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from .choose import choose_output
from .section import TONES, button, row, sentence
from .theme import is_dark

if TYPE_CHECKING:
    from ...training.table import Problem

MOST = 300
"""Rows that are shown; the list that is saved holds all."""

_LOW, _HIGH = 60, 230


class ProblemsTable(QWidget):
    """A line of the file and a sentence each; what must be put right stands first and in colour."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._problems: tuple[Problem, ...] = ()
        self.heading = QLabel()
        self.table = QTableWidget(0, 2)
        self.table.setHorizontalHeaderLabels(["Line", "What is wrong"])
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setWordWrap(True)
        self.table.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setAccessibleName("Problems")
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.save_button = button(
            "Save list…", "The whole list as CSV, for whoever keeps the table", self._save
        )
        self.trouble = sentence(tone="warning")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(4)
        outer.addLayout(row(self.heading, self.save_button, stretch=0))
        outer.addWidget(self.table)
        outer.addWidget(self.trouble)
        self.trouble.hide()
        self.hide()

    def show_problems(self, problems: Sequence[Problem]) -> None:
        """Show these; nothing is seen of the table where there are none."""
        problems = tuple(problems)
        self.setVisible(bool(problems))
        if problems == self._problems:
            return
        self._problems = problems
        fatal = sum(one.fatal for one in problems)
        notes = len(problems) - fatal
        parts = []
        if fatal:
            parts.append(f"<b>{fatal}</b> to put right before a start")
        if notes:
            parts.append(f"{notes} to know")
        more = "" if len(problems) <= MOST else f" (the first {MOST} are shown)"
        self.heading.setText(", ".join(parts) + more)
        self.table.setRowCount(min(len(problems), MOST))
        strong = QColor(TONES["warning"][0 if is_dark(self) else 1])
        for number, one in enumerate(problems[:MOST]):
            line = QTableWidgetItem(str(one.line) if one.line else "all")
            line.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop)
            text = QTableWidgetItem(one.text if one.fatal else f"Note: {one.text}")
            text.setToolTip(one.text)
            for column, item in enumerate((line, text)):
                if one.fatal:
                    item.setForeground(strong)
                self.table.setItem(number, column, item)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Break the sentences anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.table.resizeRowsToContents()
        high = sum(self.table.rowHeight(i) for i in range(self.table.rowCount()))
        head = self.table.horizontalHeader().sizeHint().height() + 4
        self.table.setFixedHeight(head + min(max(high, _LOW - head), _HIGH))

    def _save(self) -> None:
        if not (place := choose_output(self, "Save the list of problems", "problems.csv")):
            return
        stream = io.StringIO(newline="")
        writer = csv.writer(stream)
        writer.writerow(["line", "must be put right", "problem"])
        writer.writerows([one.line or "", "yes" if one.fatal else "no", one.text] for one in self._problems)
        try:
            Path(place).write_text(stream.getvalue(), encoding="utf-8")
            self.trouble.hide()
        except OSError as error:
            self.trouble.setText(
                f"{place} cannot be written ({error.strerror or error}). Choose another place."
            )
            self.trouble.show()
