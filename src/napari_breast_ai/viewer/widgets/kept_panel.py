"""What models have left on this computer's disk: how much, whether, and a way to be rid of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QWidget

from .section import Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session


class KeptPanel(Section):
    """A switch, a button, and the size."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Kept on this computer", parent)
        self._recall = session.recall
        self.switch = QCheckBox("Open cases with their maps")
        self.switch.setToolTip(
            "What a model computes is kept on this computer, so that a case that is opened again shows its maps at "
            "once. It holds no image and no name, but it is made of patients' images"
        )
        self.switch.toggled.connect(self._recall.switch)
        self.empty_button = button(
            "Empty", "Delete all that models have left on this computer", self._recall.empty
        )
        self.body.addLayout(row(self.switch, self.empty_button, stretch=0))
        self.note = sentence(tone="faint")
        self.body.addWidget(self.note)
        links.connect(self._recall.changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Say what there is."""
        recall = self._recall
        self.switch.blockSignals(True)
        self.switch.setChecked(not recall.off)
        self.switch.setEnabled(recall.may_keep)
        self.switch.blockSignals(False)
        self.empty_button.setEnabled(bool(recall.size))
        self.note.setText(recall.words)
        self.note.setToolTip(recall.where)
