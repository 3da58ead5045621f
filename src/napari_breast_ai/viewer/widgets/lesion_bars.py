"""What the model says of each lesion that a person has boxed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from qtpy.QtWidgets import QVBoxLayout, QWidget

from .probability_bars import Bar, ProbabilityBars
from .section import Links, sentence

if TYPE_CHECKING:
    from ...inference import LesionScores
    from ...models import Bundle
    from ..session import Session

MOST = 2
"""So many lesions are shown at a time: those on the slice in view first."""


class LesionBars(QWidget):
    """Bars of the lesions on the slice in view, else of the first ones.

    Attributes:
        rule: how they are scored, in a sentence; "" where there are none.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._scores: tuple[LesionScores, ...] = ()
        self.bars = ProbabilityBars(session)
        self.bars.setAccessibleName("Probabilities of lesions")
        self.rule = ""
        self.more = sentence(tone="faint")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 2, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.bars)
        layout.addWidget(self.more)
        links.connect(session.prediction_changed, self.refresh)
        links.connect(session.boxes_changed, self.refresh)
        links.connect(session.position_changed, self._show)
        self.refresh()

    def refresh(self) -> None:
        """Score the lesions anew."""
        session = self._session
        prediction, journal = session.prediction, session.journal
        boxes = journal.boxes if journal is not None else ()
        if prediction is None or not prediction.slices or not boxes:
            self._scores = ()
        else:
            from ...inference import score_lesions

            # Another model may have been chosen since; what scores slices is no model of table rows.
            bundle = session.bundle if session.bundle and session.bundle.ref == prediction.model else None
            kept = session.live.keep() if bundle is not None else None
            self._scores = score_lesions(prediction, boxes, cast("Bundle | None", bundle), kept)
        self.rule = self._scores[0].scores.rule if self._scores else ""
        self._show()

    def _show(self) -> None:
        here = self._session.slice_index
        numbered = list(enumerate(self._scores, 1))
        # A stable order: sorting leaves those alone that do not differ.
        numbered.sort(key=lambda one: not any(box.z == here for box in one[1].lesion.boxes))
        rows = []
        for number, one in numbered[:MOST]:
            caption = f"Lesion {number}, boxed as {one.lesion.label}"
            for label, value in one.scores.probabilities.items():
                rows.append(Bar(label, value, one.scores.intervals.get(label), None, caption))
                caption = ""
        if tuple(rows) != self.bars.rows:
            self.bars.set_rows(rows)
        self.setVisible(bool(rows))
        self.more.setVisible(len(numbered) > MOST)
        self.more.setText(f"{len(numbered)} lesions are boxed; those on the slice in view come first.")
