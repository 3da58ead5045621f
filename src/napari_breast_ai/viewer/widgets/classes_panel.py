"""The classes as buttons, and the tools: draw, select, undo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QGridLayout, QPushButton, QSizePolicy, QWidget

from ..palette import label_color
from ..shortcuts import tooltip
from .classes_editor import ClassesEditor
from .section import Links, Section, button, row

if TYPE_CHECKING:
    from ..session import Session

COLUMNS = 2


class ClassesPanel(Section):
    """One button a class, with its colour and key; the pressed one is what the next box becomes."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        change = _tool("Change…", "Other classes, names or colours for this project")
        super().__init__("Class of the next box", parent, beside=change)
        self._session = session
        self.change_button = change
        self.editor = ClassesEditor(session, lambda: self.change_button.setChecked(False))
        self.editor.hide()
        self.change_button.toggled.connect(self._edit)
        self.body.addWidget(self.editor)
        self._grid = QGridLayout()
        self._grid.setSpacing(4)
        self.buttons: dict[str, QPushButton] = {}
        self.body.addLayout(self._grid)
        self.draw_button = _tool("Draw", tooltip("draw"))
        self.draw_button.clicked.connect(session.boxes.draw)
        self.edit_button = _tool("Select", tooltip("edit"))
        self.edit_button.clicked.connect(session.boxes.edit)
        self.undo_button = button("Undo", tooltip("undo"), session.boxes.undo)
        self.redo_button = button("Redo", tooltip("redo"), session.boxes.redo)
        self.body.addLayout(row(self.draw_button, self.edit_button, self.undo_button, self.redo_button))
        links.connect(session.protocol_changed, self._make)
        links.connect(session.label_changed, self._show)
        links.connect(session.boxes.mode_changed, self.refresh)
        links.connect(session.boxes_changed, self.refresh)
        self._make()
        self.refresh()

    def refresh(self) -> None:
        """Press the buttons that are on, enable those that can do something."""
        session = self._session
        journal = session.journal
        ready = journal is not None and not journal.read_only
        self.draw_button.setEnabled(ready)
        self.edit_button.setEnabled(ready)
        self.draw_button.setChecked(session.boxes.drawing)
        self.edit_button.setChecked(session.boxes.selecting)
        self.undo_button.setEnabled(journal is not None and ready and journal.can_undo)
        self.redo_button.setEnabled(journal is not None and ready and journal.can_redo)

    def _edit(self, on: bool) -> None:
        if on:
            self.editor.begin()
        self.editor.setVisible(on)

    def _make(self) -> None:
        for old in self.buttons.values():
            self._grid.removeWidget(old)
            old.deleteLater()
        self.buttons = {}
        for index, label in enumerate(self._session.protocol.labels):
            made = QPushButton(f"{label}  ({index + 1})")
            made.setIcon(swatch(label_color(label, self._session.protocol)))
            made.setStyleSheet("text-align: left; padding: 4px 6px;")
            made.setCheckable(True)
            made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            made.setToolTip(
                f"{label}: key {index + 1}; Ctrl+{index + 1} gives it to the box under the pointer, or the last one"
            )
            made.clicked.connect(lambda checked=False, label=label: self._session.set_label(label))
            self._grid.addWidget(made, index // COLUMNS, index % COLUMNS)
            self.buttons[label] = made
        self._show(self._session.current_label)

    def _show(self, current: str) -> None:
        for label, made in self.buttons.items():
            made.setChecked(label == current)


def _tool(text: str, tip: str) -> QPushButton:
    made = QPushButton(text)
    made.setCheckable(True)
    made.setToolTip(tip)
    return made


def swatch(color: str) -> QIcon:
    """A small square of a colour."""
    square = QPixmap(12, 12)
    square.fill(QColor(color))
    # A light grey is hardly seen on a light button.
    painter = QPainter(square)
    painter.setPen(QColor(128, 128, 128))
    painter.drawRect(0, 0, 11, 11)
    painter.end()
    return QIcon(square)
