"""The Train dock: from a table of cases to a model that can be judged and used."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from ..notices import RESEARCH_USE
from .dock import Dock
from .outcome_panel import OutcomePanel
from .run_panel import RunPanel
from .section import sentence
from .start_panel import StartPanel
from .train_form import CohortSection, HowSection

WIDTH = 400


class TrainDock(Dock):
    """One column: the choices and what is wrong with them, or the run, or what came of it.

    Attributes:
        cohort, how, start: the choices, the problems and the start.
        run, outcome: the run, its result.
        message: how the last run ended, where it did not end well.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        session, links = self.session, self.links
        self.message = sentence(tone="warning")
        self.cohort = CohortSection(session, links)
        self.how = HowSection(session, links)
        self.start = StartPanel(session, links)
        self.outcome = OutcomePanel(session, links)
        self.run = RunPanel(session, links)
        column = QWidget()
        inner = QVBoxLayout(column)
        inner.setContentsMargins(8, 4, 8, 4)
        inner.setSpacing(7)
        for part in (
            self.message,
            self.start.resume_row,
            self.cohort,
            self.how,
            self.start,
            self.outcome,
            self.run,
        ):
            inner.addWidget(part, 1000 if part is self.run else 0)
        inner.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(column)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area = scroll
        self.footer = sentence(RESEARCH_USE)
        self.footer.setAlignment(Qt.AlignmentFlag.AlignCenter)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 4)
        outer.addWidget(scroll, 1)
        # Below what scrolls: whoever looks for the way on need not search it.
        outer.addWidget(self.start.buttons)
        outer.addWidget(self.footer)
        self.setMinimumWidth(WIDTH)
        links.connect(session.training.changed, self.refresh)
        self.refresh()
        session.training.look_back()

    def sizeHint(self) -> QSize:
        """As wide as the curves want."""
        return QSize(430, super().sizeHint().height())

    def refresh(self) -> None:
        """Show the part that this moment is about."""
        training = self.session.training
        choosing = training.state in ("choosing", "checking")
        self.cohort.setVisible(choosing)
        self.how.setVisible(choosing and training.columns is not None)
        for part in (self.cohort, self.how):
            # What is being looked at must not change meanwhile.
            part.setEnabled(training.state == "choosing")
        self.run.setVisible(training.state not in ("choosing",))
        self.message.setText(training.message)
        self.message.setVisible(bool(training.message))
