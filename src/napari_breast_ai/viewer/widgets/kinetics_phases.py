"""Which phases are compared, why, and what stands in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ..kinetics import KINETICS
from ..shortcuts import tooltip
from .combo import combo
from .job_bar import JobBar
from .section import Links, button, row, sentence
from .times_form import TimesForm

if TYPE_CHECKING:
    from ..session import Session

PARTS = ("pre", "early", "late")
_TIPS = (
    "The phase before contrast, which the others are compared with",
    "The early phase: initial enhancement says whether a voxel is coloured",
    "The late phase: the course from the early to the late phase says which colour",
)


class PhasesPanel(QWidget):
    """The switch, a list for each of the three phases, and sentences.

    Attributes:
        switch: whether maps and curves are shown.
        boxes: by "pre", "early", "late".
        by_time: takes the choice by hand back.
        why: unfolds the reasons. reasons, remarks, problem, state: sentences.
        times: asks for the times where the files do not tell them.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        kinetics = session.kinetics
        body = QVBoxLayout(self)
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(4)
        self.why = QPushButton("Why these phases?")
        self.why.setCheckable(True)
        self.why.setToolTip("The reason for each phase that is compared")
        self.switch = QCheckBox("Show kinetics")
        self.switch.setToolTip(tooltip("kinetics"))
        self.switch.toggled.connect(kinetics.switch)
        self.by_time = button("By time", "Let the phases' times decide again", self._by_time)
        body.addLayout(row(self.switch, self.by_time, self.why, stretch=0))
        self.boxes: dict[str, QComboBox] = {}
        grid = QGridLayout()
        grid.setVerticalSpacing(1)
        for column, (part, name, tip) in enumerate(
            zip(PARTS, ("Before contrast", "Early", "Late"), _TIPS, strict=True)
        ):
            box = combo(tip, 6)
            box.setPlaceholderText("choose")
            box.activated.connect(lambda _, part=part: self._give(part))
            self.boxes[part] = box
            grid.addWidget(QLabel(name), 0, column)
            grid.addWidget(box, 1, column)
            grid.setColumnStretch(column, 1)
        body.addLayout(grid)
        self.problem = sentence(tone="warning")
        self.times = TimesForm(session, links)
        self.remarks = sentence(tone="warning")
        self.reasons = sentence(tone="faint")
        self.state = sentence(tone="faint")
        self.job = JobBar(session, links, lambda workers: workers.job(KINETICS))
        for one in (self.problem, self.times, self.remarks, self.reasons, self.state, self.job):
            body.addWidget(one)
        self.why.toggled.connect(self.refresh)
        links.connect(kinetics.changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the choice without telling it back."""
        session, kinetics = self._session, self._session.kinetics
        volume, choice = session.volume, kinetics.choice
        with QSignalBlocker(self.switch):
            self.switch.setChecked(kinetics.on)
        given = kinetics.given
        self.by_time.setVisible(given != type(given)())
        chosen = dict.fromkeys(PARTS) if choice is None else {part: getattr(choice, part) for part in PARTS}
        for part, box in self.boxes.items():
            self._fill(box, part, chosen[part])
        self.problem.setText(kinetics.problem)
        remarks = (
            () if choice is None else choice.warnings if kinetics.maps is None else kinetics.maps.warnings
        )
        self.remarks.setText("\n".join(remarks))
        self.reasons.setText("" if choice is None else "\n".join(choice.reasons))
        if volume is None:
            state = "Open a study: Cases dock, or drop its folder on the canvas."
        elif kinetics.waiting:
            state = "The slices are still being read; the maps come when all are there."
        else:
            state = ""
        self.state.setText(state)
        self.problem.setVisible(bool(kinetics.problem))
        self.remarks.setVisible(bool(remarks))
        self.reasons.setVisible(choice is not None and self.why.isChecked())
        self.state.setVisible(bool(state))
        self.why.setEnabled(choice is not None)

    def _fill(self, box: QComboBox, part: str, phase: int | None) -> None:
        session, kinetics = self._session, self._session.kinetics
        volume = session.volume
        given = getattr(kinetics.given, part)
        with QSignalBlocker(box):
            box.clear()
            if volume is None:
                box.setEnabled(False)
                return
            box.setEnabled(volume.n_phases > 1)
            middles = None if kinetics.choice is None else kinetics.choice.middles_s
            first = 0 if part == "pre" else 1
            for number in range(first, volume.n_phases):
                when = "" if middles is None else f", {middles[number]:.0f} s"
                box.addItem(f"phase {number}{when}" if middles is None else f"{number}{when}", number)
            wanted = given if phase is None else phase
            box.setCurrentIndex(-1 if wanted is None else box.findData(wanted))
            none = kinetics.choice is not None and phase is None
            box.setPlaceholderText("none" if none else "choose")
            tip = _TIPS[PARTS.index(part)]
            if kinetics.choice is not None:
                tip += f".\n{kinetics.choice.reasons[PARTS.index(part)]}"
            box.setToolTip(tip)

    def _give(self, part: str) -> None:
        self._session.kinetics.give(**{part: self.boxes[part].currentData()})

    def _by_time(self) -> None:
        self._session.kinetics.give(pre=None, early=None, late=None)
