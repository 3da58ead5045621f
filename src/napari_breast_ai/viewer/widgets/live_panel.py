"""The switch of the live attention, what it learns from, and what it has learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QMessageBox, QWidget

from ...core import BreastAIError
from ...core.words import counted
from ..commands import PLUGIN, TRAIN
from ..live_cases import LESSONS
from ..live_saving import SAVING, prepare, save_unjudged
from ..shortcuts import tooltip
from ..table_scoring import table_model
from ..tasks import RUN
from .choose import choose_output
from .combo import short_combo
from .section import Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session

FROM = ("Learn from this case", "Learn from all boxed cases of the worklist")
FROM_TIP = (
    "Whose boxes count: those of the case on the screen, or your boxes of all cases of the worklist. Other cases are "
    "looked at once, on their boxed slices"
)
NO_LIST_TIP = "Open a worklist in the Cases dock to learn from all its boxed cases"
SAVE_TIP = (
    "Fill the Train dock in for your boxes of the worklist: the bundle comes out of a training that is judged by "
    "patient, with its report"
)
SCORES_TIP = (
    "Let the classes of your boxes change the probabilities too. They are then marked as taught by your boxes, and are "
    "not calibrated"
)


class LivePanel(Section):
    """Boxes teach the heat map, or not, and from which cases; the scores too, or not; a way back; what it has seen."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Live attention", parent)
        self._session = session
        live = session.live
        self.switch = QCheckBox("My boxes teach the heat map")
        self.switch.setToolTip(tooltip("live"))
        self.switch.toggled.connect(live.switch)
        self.scores = QCheckBox("They teach the scores too")
        self.scores.setToolTip(SCORES_TIP)
        self.scores.toggled.connect(live.teach_scores)
        self.reset_button = button(
            "Begin again", "Back to the model's own attention, and learn from there", live.reset
        )
        self.body.addLayout(row(self.switch, self.reset_button, stretch=0))
        self.source = short_combo("", 14)
        self.source.addItems(FROM)
        self.source.activated.connect(lambda index: live.teach_from(index == 1))
        self.stop_button = button(
            "Stop", "Look at no further case; those that are done teach", live.others.stop
        )
        self.body.addLayout(row(self.source, self.stop_button, stretch=0))
        self.save_button = button("Save as bundle…", SAVE_TIP, self._save)
        self.body.addLayout(row(self.scores, self.save_button, stretch=0))
        self.note = sentence(tone="faint")
        self.body.addWidget(self.note)
        self.trouble = sentence(tone="warning")
        self.body.addWidget(self.trouble)
        for signal in (
            live.changed,
            session.workers.changed,
            session.bundle_changed,
            session.study_changed,
            session.reading.changed,
        ):
            links.connect(signal, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Say what the attention on the screen rests on."""
        session, live = self._session, self._session.live
        for widget, on in ((self.switch, live.on), (self.scores, live.with_scores)):
            widget.blockSignals(True)
            widget.setChecked(on)
            widget.blockSignals(False)
        there = session.reading.worklist is not None
        self.source.setCurrentIndex(int(live.all_cases))
        self.source.setEnabled(live.on and (there or live.all_cases))
        self.source.setToolTip(FROM_TIP if there else NO_LIST_TIP)
        self.scores.setEnabled(live.on)
        self.stop_button.setVisible(live.on and live.others.looking)
        self.reset_button.setEnabled(live.fit is not None)
        self.save_button.setEnabled(live.fit is not None and not session.workers.running(SAVING))
        self.note.setText(self._said())
        troubles = live.others.troubles if live.on and live.all_cases else ()
        more = f" … and {len(troubles) - 2} more." if len(troubles) > 2 else ""
        self.trouble.setText(" ".join(troubles[:2]) + more)
        self.trouble.setVisible(bool(troubles))
        self.summarise("on" if live.on else "off")

    def _save(self) -> None:
        try:
            prepare(self._session, self._show_training, self._offer_unjudged)
        except BreastAIError as error:
            self._session.fail(error)

    def _show_training(self) -> None:
        window = getattr(self._session.viewer, "window", None)
        if window is not None:
            dock, _ = window.add_plugin_dock_widget(PLUGIN, TRAIN, tabify=True)
            dock.raise_()

    def _offer_unjudged(self, why: str) -> None:
        fit = self._session.live.fit
        if fit is None:
            self._session.say(why)
            return
        if not asked_unjudged(self, why):
            return
        if place := choose_output(self, "Save the taught model as a folder", "taught-live"):
            try:
                save_unjudged(self._session, place, fit)
            except BreastAIError as error:
                self._session.fail(error)

    def _said(self) -> str:
        session, live = self._session, self._session.live
        if not live.on:
            return "Off: the attention is the model's own."
        if table_model(session) is not None:
            return "The chosen model has no attention that boxes could teach."
        if session.bundle is None or session.volume is None:
            return "It begins when a study and a model are there."
        return " ".join(text for text in (self._of_others(), self._of_fit()) if text)

    def _of_others(self) -> str:
        """How far the look at the other cases has come."""
        others = self._session.live.others
        if not self._session.live.all_cases:
            return ""
        if self._session.reading.worklist is None:
            return "No worklist is open: only this case teaches."
        if others.looking:
            job = self._session.workers.job(LESSONS)
            far = f" ({job.done} of {job.total})" if job is not None and job.total else ""
            return f"Looking at the boxed cases of the worklist{far}…"
        known = len(others.others())
        if others.stopped:
            teach = counted(known, "other case teaches", "other cases teach")
            return f"Stopped: {teach}. Choose the cases again to go on."
        return "" if known else "No other case of the worklist has your boxes yet."

    def _of_fit(self) -> str:
        session, live = self._session, self._session.live
        fit, scores = live.fit, live.scores
        if fit is None:
            if session.workers.running(RUN):
                return "The model looks at all slices once; then every box counts at once."
            if live.all_cases and live.others.others() and session.prediction is None:
                return "Run the model to see on this case what the others have taught, or draw a box."
            return "Draw a box on a lesion, and see the model look there."
        boxes = counted(fit.boxes, "box", "boxes")
        where = (
            f"of {counted(fit.cases, 'case', 'cases')}"
            if live.all_cases
            else f"on {counted(len(fit.taught), 'slice', 'slices')}"
        )
        text = f"The attention on all slices was taught by {boxes} {where}."
        if not live.with_scores or scores is None:
            return (
                f"{text} Scores and Grad-CAM are the model's own, and nothing says how good the taught attention is "
                "elsewhere."
            )
        if scores.groups:
            return (
                f"{text} So were the scores, by {counted(scores.boxes, 'box', 'boxes')} of "
                f"{counted(scores.cases, 'case', 'cases')}: they are not calibrated, and nobody has judged them. "
                "Grad-CAM is the model's own."
            )
        return (
            f"{text} Scores are the model's own: they need boxes of two classes that the model asks about, which mostly "
            "takes several cases."
        )


def asked_unjudged(parent: QWidget, why: str) -> bool:
    """Say why nothing can be judged, and ask whether the model is to be saved all the same."""
    box = QMessageBox(QMessageBox.Icon.Question, "Save as bundle", why, parent=parent)
    box.setInformativeText(
        "The model can be saved as it stands, with the attention that your boxes have taught. Its card, its evaluation "
        "and the Review dock then say that nobody has judged it."
    )
    save = box.addButton("Save unjudged…", QMessageBox.ButtonRole.AcceptRole)
    box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
    box.exec()
    return box.clickedButton() is save
