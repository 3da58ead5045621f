"""Motion correction: run it, see what it did, take it or leave it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QLabel, QVBoxLayout, QWidget

from ..kinetic_motion import MOTION
from ..shortcuts import tooltip
from .combo import combo
from .job_bar import JobBar
from .section import Links, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session


class MotionPanel(QWidget):
    """A button with progress, figures, and the switch between before and after.

    Attributes:
        correct_button, method, job: run and stop. result: what is left of the movement.
        used, flip_button: whether it counts, and which is on the screen.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        motion = session.kinetics.motion
        body = QVBoxLayout(self)
        body.setContentsMargins(4, 6, 4, 4)
        body.setSpacing(6)
        self.about = sentence(
            "A patient who moves between phases makes false enhancement at the skin and at edges. Every phase is "
            "brought to where the one before contrast lies. The study itself stays as it is.",
            tone="faint",
        )
        self.correct_button = button(
            "Correct motion", "Register every phase to the one before contrast; a minute or more for a full study",
            motion.correct,
        )  # fmt: skip
        from ...kinetics.motion import METHODS, methods

        there = methods()
        missing = "" if "elastix" in there else '; elastix with pip install "napari-breast-ai[elastix]"'
        self.method = combo(
            f"How the elastic part of the movement is found, after the rigid one{missing}", 18,
            {one: METHODS[one] for one in there},
        )  # fmt: skip
        self.method.currentIndexChanged.connect(self._choose)
        self.job = JobBar(session, links, lambda workers: workers.job(MOTION))
        self.result = sentence()
        self.used = QCheckBox("Use the corrected phases for maps, curves and figures")
        self.used.setToolTip("Off: they are of the phases as they were taken")
        self.used.toggled.connect(motion.use)
        self.flip_button = button("Flip before / after", tooltip("flip motion"), motion.flip)
        self.seen = QLabel()
        body.addWidget(self.about)
        body.addLayout(row(self.correct_button, self.method, stretch=1))
        for one in (self.job, self.result, self.used):
            body.addWidget(one)
        body.addLayout(row(self.flip_button, self.seen, stretch=1))
        body.addStretch(1)
        links.connect(motion.changed, self.refresh)
        links.connect(session.study_changed, self.refresh)
        self.refresh()

    def _choose(self) -> None:
        self._session.kinetics.motion.method = self.method.currentData()

    def refresh(self) -> None:
        """Show what there is."""
        session, motion = self._session, self._session.kinetics.motion
        volume = session.volume
        self.correct_button.setEnabled(volume is not None and volume.n_phases > 1 and not motion.busy)
        self.method.setEnabled(not motion.busy)
        residual, corrected = motion.residual, motion.corrected
        there = residual is not None and corrected is not None
        for one in (self.result, self.used, self.flip_button, self.seen):
            one.setVisible(there)
        if residual is None or corrected is None:
            return
        before, after = residual
        less = f", {100 * (1 - after / before):.0f} % less" if before > after > 0 else ""
        self.result.setText(
            f"Movement in tissue, median over the phases: {before:.2f} mm before, {after:.2f} mm after{less}."
        )
        self.result.setToolTip(
            "\n".join(
                f"Phase {phase}: {a:.2f} mm before, {b:.2f} mm after"
                for phase, (a, b) in enumerate(zip(corrected.before_mm, corrected.after_mm, strict=True))
                if phase != corrected.pre
            )
        )
        with QSignalBlocker(self.used):
            self.used.setChecked(motion.used)
        layer = motion.layer
        self.seen.setText(
            "On the screen: after" if layer is not None and layer.visible else "On the screen: before"
        )
