"""The Review dock: from a study to explained probabilities."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from ..notices import RESEARCH_USE
from .boxes_panel import BoxesPanel
from .dock import Dock
from .model_panel import ModelPanel
from .overlay_panel import OverlayPanel
from .result_panel import ResultPanel
from .section import sentence
from .study_panel import StudyPanel

WIDTH = 380


class ReviewDock(Dock):
    """One column: study, boxes, model, result, explanation. It scrolls where the window is low.

    Attributes:
        session: the viewer's session.
        study, boxes, model, result, overlay: the parts.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        links = self.links
        self.study = StudyPanel(self.session, links)
        self.boxes = BoxesPanel(self.session, links)
        self.model = ModelPanel(self.session, links)
        self.result = ResultPanel(self.session, links)
        self.overlay = OverlayPanel(self.session, links)
        self.message = sentence(tone="warning")
        self.message.setVisible(False)
        column = QWidget()
        inner = QVBoxLayout(column)
        inner.setContentsMargins(8, 4, 8, 4)
        inner.setSpacing(7)
        for part in (self.study, self.message, self.boxes, self.model, self.result, self.overlay):
            inner.addWidget(part)
        inner.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(column)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.footer = sentence(RESEARCH_USE)
        self.footer.setAlignment(Qt.AlignmentFlag.AlignCenter)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 4)
        outer.addWidget(scroll, 1)
        outer.addWidget(self.footer)
        self.setMinimumWidth(WIDTH)
        links.connect(self.session.said, self._say)
        links.connect(self.session.study_changed, self._quiet)

    def _say(self, text: str) -> None:
        from ...study.told_times import is_about_times

        if is_about_times(text) and self.study.times.asking:
            return  # the form stands there
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def _quiet(self) -> None:
        self._say("")
