"""Draw boxes and choose their class."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QWidget

from ..palette import label_color
from ..shortcuts import tooltip
from .classes_panel import swatch
from .section import Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session


class BoxesPanel(Section):
    """The class of the moment, the draw button, undo and redo, and a count of the boxes."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Boxes", parent)
        self._session = session
        self.label_box = QComboBox()
        self.label_box.setToolTip("Class of the next box, and of the selected ones (their keys in brackets)")
        self.label_box.activated.connect(lambda i: session.set_label(self.label_box.itemData(i)))
        self.draw_button = button("Draw", tooltip("draw"), self._draw)
        self.draw_button.setCheckable(True)
        self.undo_button = button("Undo", tooltip("undo"), session.boxes.undo)
        self.redo_button = button("Redo", tooltip("redo"), session.boxes.redo)
        self.body.addLayout(
            row(self.label_box, self.draw_button, self.undo_button, self.redo_button, stretch=0)
        )
        self.text = sentence()
        self.body.addWidget(self.text)
        links.connect(session.boxes_changed, self.refresh)
        links.connect(session.label_changed, self._show_label)
        links.connect(session.boxes.mode_changed, self._show_mode)
        links.connect(session.protocol_changed, self._make)
        links.connect(session.keeper.trouble_changed, self.refresh)
        self._make()
        self.refresh()

    def refresh(self) -> None:
        """Count the boxes and enable what can be done."""
        journal = self._session.journal
        ready = journal is not None and not journal.read_only
        self.draw_button.setEnabled(ready)
        self.label_box.setEnabled(ready)
        self.undo_button.setEnabled(ready and journal is not None and journal.can_undo)
        self.redo_button.setEnabled(ready and journal is not None and journal.can_redo)
        self._show_mode()
        count = 0 if journal is None else len(journal.boxes)
        self.summarise("1 box" if count == 1 else f"{count} boxes" if count else "none")
        if journal is None:
            self.text.setText("Boxes are drawn on an open study, and saved as they are drawn.")
            self.text.setToolTip("")
            return
        counts = Counter(box.label for box in journal.boxes)
        if journal.read_only:
            self.text.setText(journal.read_only)
        elif counts:
            listed = ", ".join(f"{number} {label}" for label, number in counts.items())
            self.text.setText(f"{listed}. {'Not saved yet.' if journal.unsaved else 'Saved.'}")
        else:
            self.text.setText("No boxes yet. Press Draw and drag over a lesion.")
        self.text.setToolTip(f"Boxes of {journal.reader}: {journal.path}")

    def _make(self) -> None:
        """Offer the classes of the protocol."""
        protocol = self._session.protocol
        self.label_box.clear()
        for index, label in enumerate(protocol.labels):
            self.label_box.addItem(swatch(label_color(label, protocol)), f"{label}  ({index + 1})", label)
        self._show_label(self._session.current_label)

    def _draw(self) -> None:
        self._session.boxes.draw(self.draw_button.isChecked())

    def _show_mode(self) -> None:
        self.draw_button.setChecked(self._session.boxes.drawing)

    def _show_label(self, label: str) -> None:
        index = self.label_box.findData(label)
        if index < 0:
            self.label_box.addItem(label, label)
            index = self.label_box.count() - 1
        self.label_box.setCurrentIndex(index)
