"""The Annotate dock: one case after the other, boxes with a drag and a key."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from ..notices import RESEARCH_USE
from .case_panel import CasePanel
from .classes_panel import ClassesPanel
from .dock import Dock
from .keys_panel import KeysPanel
from .lesions_panel import LesionsPanel
from .live_panel import LivePanel
from .section import sentence
from .suggestions_panel import SuggestionsPanel
from .targets_panel import TargetsPanel

WIDTH = 380


class AnnotateDock(Dock):
    """One column: the case, the classes, the lesions, suggestions, targets, the keys.

    Attributes:
        case, classes, lesions, suggestions, live, targets, keys: the parts.
        trouble: what is not saved, in a frame that cannot be overlooked.
        message: the last thing that was said.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        session, links = self.session, self.links
        self.trouble = sentence()
        self.trouble.setStyleSheet(
            "background: #8b1a1a; color: white; border-radius: 4px; padding: 6px; font-weight: bold;"
        )
        self.message = sentence(tone="warning")
        self.case = CasePanel(session, links)
        self.classes = ClassesPanel(session, links)
        self.lesions = LesionsPanel(session, links)
        self.suggestions = SuggestionsPanel(session, links)
        self.live = LivePanel(session, links)
        self.targets = TargetsPanel(session, links)
        self.keys = KeysPanel()
        column = QWidget()
        inner = QVBoxLayout(column)
        inner.setContentsMargins(8, 4, 8, 4)
        inner.setSpacing(7)
        parts = (
            self.case,
            self.message,
            self.classes,
            self.lesions,
            self.suggestions,
            self.live,
            self.targets,
            self.keys,
        )
        for part in parts:
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
        outer.addWidget(self.trouble)
        outer.addWidget(scroll, 1)
        outer.addWidget(self.footer)
        self.setMinimumWidth(WIDTH)
        links.connect(session.said, self._say)
        for signal in (session.study_changed, session.boxes_changed, session.reading.changed):
            links.connect(signal, self._quiet)
        links.connect(session.keeper.trouble_changed, self._show_trouble)
        self._quiet()
        self._show_trouble()

    def sizeHint(self) -> QSize:
        """As wide as the class buttons and the lesions' table want."""
        return QSize(420, super().sizeHint().height())

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def _quiet(self) -> None:
        self._say("")

    def _show_trouble(self) -> None:
        text = self.session.keeper.trouble
        self.trouble.setText(text)
        self.trouble.setVisible(bool(text))
