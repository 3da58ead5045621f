"""What the model said: of the case, and of every slice."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, cast

from qtpy.QtWidgets import QWidget

from ..shortcuts import tooltip
from .lesion_bars import LesionBars
from .probability_bars import Bar, ProbabilityBars
from .remembered import settings
from .section import Links, Section, button, fold_button, sentence
from .slice_strip import SliceStrip

if TYPE_CHECKING:
    from ...core import Box
    from ...models import Bundle
    from ..session import Session


MORE = "result/more"


class ResultPanel(Section):
    """Case bars with the rule they come from, the strip along the slices, the lesions, and the warnings."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        top = button("Top slice", tooltip("top slice"), lambda: session.go_to(session.top_slice()))
        super().__init__("Result", parent, beside=top)
        self.top_button = top
        self._session = session
        self.empty = sentence()
        self.bars = ProbabilityBars(session)
        self.bars.setAccessibleName("Case probabilities")
        self.rule = sentence(tone="faint")
        self.outdated = sentence(tone="warning")
        self.strip = SliceStrip(session)
        self.strip.setAccessibleName("Probabilities along the slices")
        self.strip.clicked.connect(lambda index: session.go_to(index))
        self.warnings = sentence(tone="warning")
        self.lesions = LesionBars(session, links)
        self.more = fold_button(
            "More on these numbers", "What intervals and notches are, and how lesions are scored"
        )
        self.more.setChecked(str(settings().value(MORE, False)).lower() == "true")
        self.more.toggled.connect(self._show_details)
        self.more.clicked.connect(lambda: settings().setValue(MORE, self.more.isChecked()))
        self.details = sentence(tone="faint")
        self._marked = False
        parts: tuple[QWidget, ...] = (
            self.empty, self.bars, self.rule, self.outdated, self.strip, self.lesions, self.more, self.details,
        )  # fmt: skip
        for widget in parts:
            self.body.addWidget(widget)
        self.body.addWidget(self.warnings)
        links.connect(session.range.changed, self._doubt)
        links.connect(session.prediction_changed, self.refresh)
        links.connect(session.study_changed, self.refresh)
        links.connect(session.bundle_changed, self.refresh)
        links.connect(session.boxes_changed, self._show_boxes)
        links.connect(session.position_changed, self._show_position)
        self.refresh()

    def refresh(self) -> None:
        """Show the prediction, or say how to get one."""
        volume, prediction = self._session.volume, self._session.prediction
        there = prediction is not None and volume is not None
        for widget in (self.bars, self.rule, self.more, self.warnings):
            widget.setVisible(there)
        self.top_button.setEnabled(prediction is not None and bool(prediction.slices))
        self.strip.setVisible(volume is not None)
        self.empty.setVisible(not there)
        if volume is None:
            self.empty.setText("Probabilities appear here when a model has run on a study.")
        elif self._session.opinions.held is not None:
            self.empty.setText(
                "The model has answered. Say under “What you think” what you think yourself; then it is shown."
            )
        else:
            self.empty.setText("Run the model to see probabilities of the case and of every slice.")
        if prediction is not None and volume is not None:
            case, bundle = prediction.case, self._session.bundle
            # Another model may have been chosen since; one of table rows, which sees no slices, has no such points.
            told = (
                bundle
                if bundle is not None and prediction.slices and bundle.ref == prediction.model
                else None
            )
            rows = [
                Bar(
                    label,
                    value,
                    case.intervals.get(label),
                    cast("Bundle", told).operating_point(label) if told is not None else None,
                )
                for label, value in case.probabilities.items()
            ]
            self.bars.set_rows(rows)
            self.rule.setText(case.rule)
            self._marked = any(row.point is not None for row in rows)
            self.rule.setToolTip(prediction.input)
            self.summarise(", ".join(f"{row.label} {row.number.partition(' ')[0]}" for row in rows))
            self.strip.set_scores(prediction.slices, prediction.probabilities if prediction.slices else {})
            # What is to be said of the study stands under it already.
            said = [text for text in prediction.warnings if text not in volume.warnings]
            # Scores that boxes have taught are still the model's that they were taught from.
            answered = (self._session.live.own or prediction).model
            if bundle is not None and bundle.ref != answered:
                said.insert(
                    0, f"These are answers of “{answered.name}”, not of the model that is chosen now."
                )
            self.warnings.setText("\n".join(said))
            self.warnings.setVisible(bool(said))
        else:
            self.strip.set_scores((), {})
            self.summarise("none yet")
        self._show_boxes()
        self._show_position()

    def _doubt(self) -> None:
        # Bars of an answer that is not certain are hatched.
        for bars in (self.bars, self.strip, self.lesions.bars):
            bars.update()

    def _show_boxes(self) -> None:
        volume, journal = self._session.volume, self._session.journal
        boxes = journal.boxes if journal is not None else ()
        self.strip.set_study(volume.n_slices if volume is not None else 0, boxes)
        self._show_outdated(boxes)
        self._show_details()

    def _show_outdated(self, boxes: Collection[Box]) -> None:
        """Where no gate tells which slices show a lesion, boxes do, and a run takes those that are there then."""
        prediction = self._session.prediction
        groups: tuple[str, ...] = ()
        live = self._session.live
        # With live attention that teaches scores they change by themselves.
        if prediction is not None and not prediction.pending and not (live.on and live.with_scores):
            from ...inference.aggregation import outdated

            groups = outdated(prediction.case, prediction.slices, prediction.groups, boxes)
        names = " and ".join(groups)
        self.outdated.setText(
            f"The slices with a lesion's box decide the case's score of {names}, and these have changed since: it "
            "changes at the next Run."
        )
        self.outdated.setVisible(bool(groups))

    def _show_details(self) -> None:
        prediction = self._session.prediction
        said = [] if prediction is None else [prediction.case.interval_rule]
        if prediction is not None and self._marked:
            said.append("Notches are the operating points of the model's own evaluation.")
        if prediction is not None:
            said.append(self.lesions.rule)
        text = " ".join(filter(None, said))
        self.details.setText(text)
        self.details.setVisible(bool(text) and self.more.isChecked())

    def _show_position(self) -> None:
        self.strip.set_current(self._session.slice_index)
