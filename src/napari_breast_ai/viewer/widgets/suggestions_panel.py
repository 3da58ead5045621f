"""Suggestions: ask for them, accept or reject them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QSlider, QWidget

from ..editing import SUGGEST
from ..shortcuts import tooltip
from .section import Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session


class SuggestionsPanel(Section):
    """Where they come from, from which attention on, and what is to become of them."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Suggestions", parent)
        self._session = session
        self.source = QComboBox()
        self.source.addItem("Model's attention, else enhancement", "")
        self.source.addItem("Model's attention", "attention")
        self.source.addItem("Enhancement alone", "enhancement")
        self.source.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.source.setToolTip("What suggestions are made from. Vessels, heart and glands enhance too.")
        self.suggest_button = button("Suggest", tooltip("suggest"), self._suggest)
        self.body.addLayout(row(self.source, self.suggest_button, stretch=0))
        self.threshold = QSlider(Qt.Orientation.Horizontal)
        self.threshold.setRange(5, 95)
        self.threshold.setValue(round(100 * session.suggestion_threshold))
        self.threshold.setToolTip("Attention from which on a region is suggested")
        self.threshold.valueChanged.connect(self._on_threshold)
        self.number = QLabel()
        self.body.addLayout(row(QLabel("Attention from"), self.threshold, self.number, stretch=1))
        self.text = sentence()
        self.body.addWidget(self.text)
        editing = session.editing
        self.accept_button = button("Accept", tooltip("accept"), editing.accept)
        self.accept_all_button = button(
            "on all its slices", tooltip("accept all"), lambda: editing.accept(True)
        )
        self.reject_button = button("Reject", tooltip("reject"), editing.reject)
        self.reject_all_button = button(
            "on all its slices", tooltip("reject all"), lambda: editing.reject(True)
        )
        self.body.addLayout(
            row(self.accept_button, self.accept_all_button, self.reject_button, self.reject_all_button)
        )
        for signal in (
            session.boxes_changed,
            session.position_changed,
            session.prediction_changed,
            session.protocol_changed,
            session.workers.changed,
        ):
            links.connect(signal, self.refresh)
        self._on_threshold(self.threshold.value())
        self.refresh()

    def refresh(self) -> None:
        """Say what waits for an answer."""
        session = self._session
        allowed = session.protocol.suggests_to(session.reader)
        ready = allowed and session.journal is not None and not session.journal.read_only
        waiting = session.offers.shown
        here = bool(session.editing.offered())
        self.suggest_button.setEnabled(ready and not session.workers.running(SUGGEST))
        for one in (self.accept_button, self.accept_all_button, self.reject_button, self.reject_all_button):
            one.setEnabled(ready and here)
        if not allowed:
            self.text.setText("Switched off for this reader by the project's protocol.")
        elif session.workers.running(SUGGEST):
            self.text.setText("Looking…")
        elif waiting:
            slices = sorted({box.z for box in waiting})
            listed = ", ".join(map(str, slices[:12])) + (" …" if len(slices) > 12 else "")
            by = " and ".join(dict.fromkeys(box.origin.removeprefix("model:") for box in waiting))
            self.text.setText(
                f"{len(waiting)} dashed frames wait, from {by}; slices {listed}. They do not count."
            )
        else:
            self.text.setText("None wait. They are drawn dashed, and count only when you accept them.")

    def _suggest(self) -> None:
        self._session.editing.suggest(self.source.currentData())

    def _on_threshold(self, value: int) -> None:
        self._session.suggestion_threshold = value / 100
        self.number.setText(f"{value / 100:.2f}")
