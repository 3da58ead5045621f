"""Whether the study is like those of the model's training, above what the model says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from .section import Links, Section, sentence

if TYPE_CHECKING:
    from ..session import Session

OUTSIDE = (
    "This study is outside what the model was trained on. Do not take its probabilities as certain: their bars are "
    "hatched."
)
UNUSABLE = "The model cannot run on this study."
INSIDE = "The study is within what the model was trained on."
NOT_YET = " Its slices are compared when the model has run."


class RangePanel(Section):
    """A plain warning with its reasons, or a line that says that nothing was found."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Is this study in range?", parent)
        self._session = session
        self.verdict = sentence(tone="warning")
        self.verdict.setToolTip(
            "Spacing, phase times, brightness, fat suppression, contrast agent, side, and how the slices look to the "
            "model, held against the studies that the model was trained on"
        )
        self.reasons = sentence(tone="warning")
        self.fine = sentence(tone="faint")
        for widget in (self.verdict, self.reasons, self.fine):
            self.body.addWidget(widget)
        links.connect(session.range.changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Say what was found; nothing at all while nothing is known."""
        report = self._session.range.report
        self.setVisible(report is not None)
        if report is None:
            return
        grave = [one.text for one in report.findings if one.severity != "note"]
        notes = [one.text for one in report.findings if one.severity == "note"]
        unusable = any(one.severity == "unusable" for one in report.findings)
        self.verdict.setText(f"<b>{UNUSABLE if unusable else OUTSIDE}</b>")
        self.reasons.setText("\n".join(f"• {text}" for text in grave))
        self.verdict.setVisible(bool(grave))
        self.reasons.setVisible(bool(grave))
        if not grave and report.known:
            notes.insert(0, INSIDE + ("" if report.features else NOT_YET))
        self.fine.setText("\n".join(notes))
        self.fine.setVisible(bool(notes))
