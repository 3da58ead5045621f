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
INSIDE_CASE = "The case's features and values are within what the model was trained on."
COMPARING = (
    "The study is being compared with what the model was trained on. Until that is known, bars of probabilities are "
    "hatched."
)
NOT_COMPARED = (
    "The study was not compared with what the model was trained on. Do not take its probabilities as certain: their "
    "bars are hatched."
)
NOT_YET = "Its slices are compared when the model has run."
NOW = "Its slices are being compared; until then bars of probabilities are hatched."
NO_MAPS = "Its slices were not compared: their feature maps are not in memory."
NO_LOOKS = "Its slices are not compared: the model does not tell how those of its training looked to it."
ANOTHERS = "This is said of “{}”, whose answer is on the screen, not of the model that is chosen now."


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
        links.connect(session.bundle_changed, self.refresh)
        links.connect(session.prediction_changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Say what was found, or that it is being looked for; nothing at all where there is nothing to compare."""
        watch, bundle = self._session.range, self._session.bundle
        report, about = watch.report, watch.about
        self.setVisible(about is not None)
        if about is None:
            return
        said = [] if bundle is None or bundle.ref == about else [ANOTHERS.format(about.name)]
        if report is None:
            self._show(
                [] if watch.at_work else [NOT_COMPARED], [], [COMPARING, *said] if watch.at_work else said
            )
            return
        grave = [one.text for one in report.findings if one.severity != "note"]
        notes = [one.text for one in report.findings if one.severity == "note"]
        unusable = any(one.severity == "unusable" for one in report.findings)
        verdict = [UNUSABLE if unusable else OUTSIDE] if grave else []
        if not grave and watch.broken:
            verdict = [NOT_COMPARED]
        elif not grave and report.known:
            prediction = self._session.prediction
            whole = prediction is not None and not prediction.slices
            notes.insert(0, INSIDE_CASE if whole else f"{INSIDE} {self._slices()}".rstrip())
        self._show(verdict, grave, [*said, *notes])

    def _slices(self) -> str:
        """What is to be said of its slices beside that."""
        watch, prediction = self._session.range, self._session.prediction
        if watch.report is not None and watch.report.features:
            return ""
        if not watch.looks:
            return NO_LOOKS
        if prediction is None or prediction.pending:
            return NOT_YET
        return NOW if watch.at_work else NO_MAPS

    def _show(self, verdict: list[str], reasons: list[str], fine: list[str]) -> None:
        self.verdict.setText("".join(f"<b>{text}</b>" for text in verdict))
        self.reasons.setText("\n".join(f"• {text}" for text in reasons))
        self.fine.setText("\n".join(fine))
        self.verdict.setVisible(bool(verdict))
        self.reasons.setVisible(bool(reasons))
        self.fine.setVisible(bool(fine))
