"""The Kinetics dock: enhancement over time, from the phases to the figures of a lesion."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import QFrame, QScrollArea, QTabWidget, QVBoxLayout, QWidget

from ..notices import RESEARCH_USE
from .dock import Dock
from .kinetics_breast import BreastPanel
from .kinetics_curves import CurvesPanel
from .kinetics_exchange import ExchangePanel
from .kinetics_images import ImagesPanel
from .kinetics_lesions import LesionsPanel
from .kinetics_map import MapPanel
from .kinetics_motion import MotionPanel
from .kinetics_phases import PhasesPanel
from .section import sentence

WIDTH = 380


class KineticsDock(Dock):
    """Phases and curves above, pages for map, lesions, images, motion and exchange below, and the breasts.

    Attributes:
        session: the viewer's session.
        phases, curves, map, lesions, images, motion, exchange, breasts: the parts. tabs: the pages.
        message: the last thing that was said.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        session, links = self.session, self.links
        self.phases = PhasesPanel(session, links)
        self.message = sentence(tone="warning")
        self.message.setVisible(False)
        self.curves = CurvesPanel(session, links)
        self.map = MapPanel(session, links)
        self.lesions = LesionsPanel(session, links)
        self.images = ImagesPanel(session, links)
        self.motion = MotionPanel(session, links)
        self.exchange = ExchangePanel(session, links)
        self.breasts = BreastPanel(session, links)
        self.breasts.let_fold("kinetics/breasts", folded=True)
        self.tabs = QTabWidget()
        for page, name, tip in (
            (self.map, "Map", "The map over the image, and its thresholds"),
            (self.lesions, "Lesions", "Figures of every lesion, and regions"),
            (self.images, "Images", "Subtractions and projections (MIP)"),
            (self.motion, "Motion", "Motion between the phases"),
            (self.exchange, "Exchange", "Pharmacokinetics: Ktrans, kep, ve, vp"),
        ):
            self.tabs.addTab(_scrolled(page), name)
            self.tabs.setTabToolTip(self.tabs.count() - 1, tip)
        self.tabs.setMinimumHeight(250)
        column = QWidget()
        inner = QVBoxLayout(column)
        inner.setContentsMargins(8, 4, 8, 4)
        inner.setSpacing(6)
        for part in (self.phases, self.message, self.curves):
            inner.addWidget(part)
        inner.addWidget(self.tabs, 1)
        inner.addWidget(self.breasts)
        self.footer = sentence(RESEARCH_USE)
        self.footer.setAlignment(Qt.AlignmentFlag.AlignCenter)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 4)
        scroll = _scrolled(column)
        # What unfolds or grows below the window's edge comes into view; it has its height with the events that wait.
        self._to_end = QTimer(self)
        self._to_end.setSingleShot(True)
        self._to_end.timeout.connect(lambda: scroll.ensureWidgetVisible(self.breasts))
        self.breasts.grown.connect(lambda: self._to_end.start(150))
        outer.addWidget(scroll, 1)
        outer.addWidget(self.footer)
        self.setMinimumWidth(WIDTH)
        links.connect(session.said, self._say)
        links.connect(session.study_changed, self._quiet)
        session.kinetics.watch()
        session.kinetics.switch(True)

    def sizeHint(self) -> QSize:
        """As wide as the table of two lesions wants."""
        return QSize(420, super().sizeHint().height())

    def _say(self, text: str) -> None:
        from ...study.told_times import is_about_times

        if is_about_times(text) and self.phases.times.asking:
            return  # the form stands there
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def _quiet(self) -> None:
        self._say("")


def _scrolled(widget: QWidget) -> QScrollArea:
    scroll = QScrollArea()
    scroll.setWidget(widget)
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return scroll
