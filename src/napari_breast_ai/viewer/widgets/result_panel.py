"""What the model said: of the case, and of every slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from ..shortcuts import tooltip
from .probability_bars import ProbabilityBars
from .section import Links, Section, button, sentence
from .slice_strip import SliceStrip

if TYPE_CHECKING:
    from ..session import Session


class ResultPanel(Section):
    """Case bars with the rule they come from, the strip along the slices, and the warnings."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        top = button("Top slice", tooltip("top slice"), lambda: session.go_to(session.top_slice()))
        super().__init__("Result", parent, beside=top)
        self.top_button = top
        self._session = session
        self.empty = sentence()
        self.bars = ProbabilityBars(session)
        self.bars.setAccessibleName("Case probabilities")
        self.rule = sentence(tone="faint")
        self.strip = SliceStrip(session)
        self.strip.setAccessibleName("Probabilities along the slices")
        self.strip.clicked.connect(lambda index: session.go_to(index))
        self.warnings = sentence(tone="warning")
        for widget in (self.empty, self.bars, self.rule, self.strip):
            self.body.addWidget(widget)
        self.body.addWidget(self.warnings)
        links.connect(session.prediction_changed, self.refresh)
        links.connect(session.study_changed, self.refresh)
        links.connect(session.boxes_changed, self._show_boxes)
        links.connect(session.position_changed, self._show_position)
        self.refresh()

    def refresh(self) -> None:
        """Show the prediction, or say how to get one."""
        volume, prediction = self._session.volume, self._session.prediction
        there = prediction is not None and volume is not None
        for widget in (self.bars, self.rule, self.warnings):
            widget.setVisible(there)
        self.top_button.setEnabled(there)
        self.strip.setVisible(volume is not None)
        self.empty.setVisible(not there)
        if volume is None:
            self.empty.setText("Probabilities appear here when a model has run on a study.")
        else:
            self.empty.setText("Run the model to see probabilities of the case and of every slice.")
        if prediction is not None and volume is not None:
            self.bars.set_probabilities(prediction.case.probabilities)
            self.rule.setText(prediction.case.rule)
            self.rule.setToolTip(prediction.input)
            self.strip.set_scores(prediction.slices, prediction.probabilities)
            # What is to be said of the study stands under it already.
            said = [text for text in prediction.warnings if text not in volume.warnings]
            self.warnings.setText("\n".join(said))
            self.warnings.setVisible(bool(said))
        else:
            self.strip.set_scores((), {})
        self._show_boxes()
        self._show_position()

    def _show_boxes(self) -> None:
        volume, journal = self._session.volume, self._session.journal
        boxed = sorted({box.z for box in journal.boxes}) if journal is not None else []
        self.strip.set_study(volume.n_slices if volume is not None else 0, boxed)

    def _show_position(self) -> None:
        self.strip.set_current(self._session.slice_index)
