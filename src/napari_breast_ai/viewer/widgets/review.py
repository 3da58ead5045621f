"""The Review dock: from a study to explained probabilities."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from ..notices import RESEARCH_USE
from .boxes_panel import BoxesPanel
from .compare_panel import ComparePanel
from .dock import Dock
from .kept_panel import KeptPanel
from .live_panel import LivePanel
from .model_panel import ModelPanel
from .opinion_panel import OpinionPanel
from .overlay_panel import OverlayPanel
from .questions_panel import QuestionsPanel
from .range_panel import RangePanel
from .result_panel import ResultPanel
from .section import Section, sentence
from .similar_panel import SimilarPanel
from .study_panel import StudyPanel
from .takeaway_panel import TakeawayPanel
from .tour_panel import Spotlight, TourPanel

WIDTH = 380


class ReviewDock(Dock):
    """One column in the order of the work. It scrolls where the window is low, and parts can be folded up.

    Attributes:
        session: the viewer's session.
        study, boxes, model, range, result, overlay, opinion, compare, questions, live, similar, takeaway, kept: the
            parts. tour: the card of the guided tour, above them.
        column: all parts by the names under which their folding is remembered, from the top to the bottom.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        links = self.links
        self.study = StudyPanel(self.session, links)
        self.boxes = BoxesPanel(self.session, links)
        self.model = ModelPanel(self.session, links)
        self.range = RangePanel(self.session, links)
        self.result = ResultPanel(self.session, links)
        self.overlay = OverlayPanel(self.session, links)
        self.opinion = OpinionPanel(self.session, links)
        self.compare = ComparePanel(self.session, links, self.model.bundle_box)
        self.live = LivePanel(self.session, links)
        self.questions = QuestionsPanel(self.session, links)
        self.similar = SimilarPanel(self.session, links)
        self.takeaway = TakeawayPanel(self.session, links)
        self.kept = KeptPanel(self.session, links)
        self.message = sentence(tone="warning")
        self.message.setVisible(False)
        # In the order of the work: another part takes one line here.
        self.column: dict[str, Section] = {
            "study": self.study,
            "boxes": self.boxes,
            "model": self.model,
            "range": self.range,
            "result": self.result,
            "explanation": self.overlay,
            "opinion": self.opinion,
            "compare": self.compare,
            "questions": self.questions,
            "live": self.live,
            "similar": self.similar,
            "takeaway": self.takeaway,
            "kept": self.kept,
        }
        column = QWidget()
        inner = QVBoxLayout(column)
        inner.setContentsMargins(8, 4, 8, 4)
        inner.setSpacing(7)
        for name, part in self.column.items():
            part.let_fold(f"review/{name}")
            inner.addWidget(part)
        inner.addStretch(1)
        self._scroll = QScrollArea()
        self._scroll.setWidget(column)
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.footer = sentence(RESEARCH_USE)
        self.footer.setAlignment(Qt.AlignmentFlag.AlignCenter)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 4)
        self.tour = TourPanel(self.session, links)
        # A part gets its height with the events that wait.
        self._to_goal = QTimer(self)
        self._to_goal.setSingleShot(True)
        self._to_goal.timeout.connect(self._arrive)
        self._spotlight = Spotlight(column)
        # What comes above the part, or in it, pushes it away.
        self._spotlight.moved.connect(lambda: self._to_goal.start(50))
        links.connect(self.session.tour.changed, self._point)
        card = QVBoxLayout()
        card.setContentsMargins(8, 4, 8, 4)
        card.addWidget(self.tour)
        # Above what is scrolled: what needs attention must be seen.
        card.addWidget(self.message)
        outer.addLayout(card)
        outer.addWidget(self._scroll, 1)
        outer.addWidget(self.footer)
        self.setMinimumWidth(WIDTH)
        links.connect(self.session.said, self._say)
        links.connect(self.session.study_changed, self._on_study)
        links.connect(self.session.prediction_changed, self._on_prediction)
        self._answered = self._held = False
        self._goal: Section = self.result

    def bring_up(self, part: Section) -> None:
        """Scroll so that a part stands at the top, or as far up as there is something below it."""
        column = self._scroll.widget()
        bar = self._scroll.verticalScrollBar()
        if column is not None and bar is not None:
            bar.setValue(part.mapTo(column, QPoint(0, 0)).y())

    def _on_prediction(self) -> None:
        """The first answer on a study, or the question that comes before it, comes into view by itself."""
        answered, held = self._stand()
        if held != self._held or (answered and not self._answered):
            self._goal = self.opinion if held else self.result
            self._to_goal.start(50)
        self._answered, self._held = answered, held

    def _stand(self) -> tuple[bool, bool]:
        """Whether there is an answer, and whether it waits."""
        held = self.session.opinions.held is not None
        return held or self.session.prediction is not None, held

    def _say(self, text: str) -> None:
        from ...study.told_times import is_about_times

        if is_about_times(text) and self.study.times.asking:
            return  # the form stands there
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def _point(self) -> None:
        """Frame the part that the tour speaks of, and bring it into view."""
        target = self._toured()
        if isinstance(target, Section):
            target.fold(False)
        self._spotlight.show_on(target)
        if target is not None:
            self._scroll.ensureWidgetVisible(target)
            self._to_goal.start(50)  # again, when what was unfolded has its height

    def _toured(self) -> QWidget | None:
        """The part that the tour speaks of."""
        step = self.session.tour.step
        return None if step is None else getattr(self, step.part)

    def _arrive(self) -> None:
        """Where the eye belongs: on what the tour speaks of, else on what has just come."""
        toured = self._toured()
        if toured is not None:
            self._scroll.ensureWidgetVisible(toured)
        else:
            self.bring_up(self._goal)

    def _on_study(self) -> None:
        self._say("")
        # The next study's first answer is to come into view again.
        self._answered, self._held = self._stand()
