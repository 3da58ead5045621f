"""The Review dock: from a study to explained probabilities."""

from __future__ import annotations

import weakref
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from ..notices import RESEARCH_USE
from ..session import get_session
from .boxes_panel import BoxesPanel
from .model_panel import ModelPanel
from .overlay_panel import OverlayPanel
from .result_panel import ResultPanel
from .section import Links, sentence
from .study_panel import StudyPanel

WIDTH = 380


class ReviewDock(QWidget):
    """One column: study, boxes, model, result, explanation. It scrolls where the window is low.

    Attributes:
        session: the viewer's session.
        study, boxes, model, result, overlay: the parts.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = get_session(napari_viewer)
        links = Links()
        self.study = StudyPanel(self.session, links)
        self.boxes = BoxesPanel(self.session, links)
        self.model = ModelPanel(self.session, links)
        self.result = ResultPanel(self.session, links)
        self.overlay = OverlayPanel(self.session, links)
        self.message = sentence()
        self.message.setStyleSheet("color: #f0c34e;")
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
        # Weak: this shell outlives the window by a moment when it closes, and must not hold it.
        self._window: weakref.ref[QWidget] | None = None
        links.connect(self.session.said, self._say)
        links.connect(self.session.study_changed, self._quiet)
        # Not a method of this widget: at that moment only its shell is left.
        self.destroyed.connect(lambda: links.cut())

    def showEvent(self, event: QShowEvent) -> None:
        """Watch the window, so that threads are stopped and joined when it closes."""
        super().showEvent(event)
        window = self.window()
        before = self._window() if self._window is not None else None
        if window is not before:
            if before is not None:
                before.removeEventFilter(self)
            self._window = weakref.ref(window)
            window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stop and join the threads when the window is about to close."""
        if event.type() == QEvent.Type.Close and self._window is not None and watched is self._window():
            self.session.workers.stop()
        return super().eventFilter(watched, event)

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def _quiet(self) -> None:
        self._say("")
