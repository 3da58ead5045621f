"""The project's classes, changed in the dock: names and colours in the order of their keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtGui import QColor
from qtpy.QtWidgets import QCheckBox, QColorDialog, QPushButton, QVBoxLayout, QWidget

from ...annotations.protocol import MOST, BoxClass, write_protocol
from ...core import BreastAIError
from ..palette import label_color
from .section import Entry, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session


class ClassesEditor(QWidget):
    """A line a class: its colour, its name, up, away. Saved beside the worklist, else kept for this window.

    Attributes:
        names, colors: a field and a button a class, in the order of their keys.
        closed: called when it has done its work or is left.
    """

    def __init__(self, session: Session, closed: Callable[[], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._closed = session, closed
        self.names: list[Entry] = []
        self.colors: list[QPushButton] = []
        self._classes: list[BoxClass] = []
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._lines = QVBoxLayout()
        column.addLayout(self._lines)
        self.first = QCheckBox("The reader's own answer first, then the model's")
        self.first.setToolTip(
            "What a model says stays hidden until the reader has said in the Review dock what they think themselves"
        )
        column.addWidget(self.first)
        self.add_button = button("Add a class", "One more class, with the next free key", self._add)
        self.save_button = button("Save", "Use these classes from now on", self._save)
        self.leave_button = button("Leave", "Keep the classes as they were", closed)
        column.addLayout(row(self.add_button, self.save_button, self.leave_button))
        column.addWidget(
            sentence(
                "Boxes that are drawn keep the class they have, whatever it is called here.", tone="faint"
            )
        )
        self.complaint = sentence(tone="warning")
        self.complaint.hide()
        column.addWidget(self.complaint)

    def begin(self) -> None:
        """Show the classes as they are now."""
        self._fill(list(self._session.protocol.classes))
        self.first.setChecked(self._session.protocol.opinion == "before")
        self._complain("")

    def _fill(self, classes: list[BoxClass]) -> None:
        self._classes = classes
        while (item := self._lines.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                # Out of sight at once: it is deleted when the window has time.
                old.hide()
                old.deleteLater()
        self.names, self.colors = [], []
        for number, one in enumerate(classes):
            line = QWidget()
            name = Entry(one.name)
            name.setPlaceholderText(f"Name of class {number + 1}")
            color = button("", "The colour of its boxes", partial(self._choose, number))
            self._paint(color, one)
            up = button("↑", "The key before", partial(self._up, number))
            up.setEnabled(number > 0)
            away = button("✕", "Offer this class no more", partial(self._remove, number))
            away.setEnabled(len(classes) > 1)
            for small in (color, up, away):
                small.setFixedWidth(30)
            inner = row(color, name, up, away, stretch=1)
            inner.setContentsMargins(0, 0, 0, 0)
            line.setLayout(inner)
            self._lines.addWidget(line)
            self.names.append(name)
            self.colors.append(color)
        self.add_button.setEnabled(len(classes) < MOST)

    def _now(self) -> list[BoxClass]:
        """The classes as the fields have them."""
        return [
            replace(one, name=name.text().strip())
            for one, name in zip(self._classes, self.names, strict=True)
        ]

    def _paint(self, made: QPushButton, one: BoxClass) -> None:
        shown = one.color or label_color(one.name)
        made.setStyleSheet(f"background-color: {shown}; border: 1px solid gray;")

    def _choose(self, number: int) -> None:
        one = self._now()[number]
        dialog = QColorDialog(QColor(one.color or label_color(one.name)), self)
        dialog.setWindowTitle(f"Colour of {one.name or 'the class'}")
        dialog.colorSelected.connect(lambda color: self.set_color(number, color.name()))
        dialog.open()

    def set_color(self, number: int, color: str) -> None:
        """Give a line a colour, "#rrggbb"."""
        classes = self._now()
        classes[number] = replace(classes[number], color=color)
        self._fill(classes)

    def _add(self) -> None:
        self._fill([*self._now(), BoxClass("")])
        self.names[-1].setFocus()

    def _remove(self, number: int) -> None:
        classes = self._now()
        del classes[number]
        self._fill(classes)

    def _up(self, number: int) -> None:
        classes = self._now()
        classes[number - 1 : number + 1] = [classes[number], classes[number - 1]]
        self._fill(classes)

    def _save(self) -> None:
        session = self._session
        protocol = replace(
            session.protocol,
            classes=tuple(self._now()),
            opinion="before" if self.first.isChecked() else "after",
        )
        if found := protocol.problems():
            self._complain(" ".join(found))
            return
        worklist = session.reading.worklist
        try:
            kept = "" if worklist is None else str(write_protocol(worklist.folder, protocol))
        except BreastAIError as error:
            self._complain(f"{error} The classes hold for this window only.")
            session.set_protocol(protocol)
            return
        session.set_protocol(protocol)
        self._closed()
        session.said.emit(
            f"The classes are kept in {kept}."
            if kept
            else "The classes hold for this window: open a worklist, and they can be kept beside it."
        )

    def _complain(self, text: str) -> None:
        self.complaint.setText(text)
        self.complaint.setVisible(bool(text))
