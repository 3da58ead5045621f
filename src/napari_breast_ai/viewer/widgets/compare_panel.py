"""See the study side by side: with another model's maps, or with boxes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QWidget

from ...core import BreastAIError
from ..compare import COMPARE, Compare, compare_with
from .combo import short_combo
from .probability_bars import Bar, ProbabilityBars
from .section import Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session
    from .beside_dock import BesideDock


class ComparePanel(Section):
    """The models of the window's list, and a button for a second view with one of them, or with none."""

    def __init__(
        self, session: Session, links: Links, models: QComboBox, parent: QWidget | None = None
    ) -> None:
        """`models`: the list of models that the window offers; the same ones are offered here."""
        super().__init__("Side by side", parent)
        self._session = session
        self._open: BesideDock | None = None
        self.box = short_combo("The model to see beside the one above", 6)
        self.box.setModel(models.model())
        self.model_button = button(
            "This model",
            "Run it on the whole volume, and show its maps beside, scrolled together",
            self._model,
        )
        self.boxes_button = button(
            "Boxes alone",
            "Show the image with your boxes and without heat maps beside, scrolled together",
            self._boxes,
        )
        self.close_button = button("Close", "Close the second view", self.close_view)
        self.body.addLayout(row(self.box, self.model_button, stretch=0))
        self.body.addLayout(row(self.boxes_button, self.close_button, stretch=0))
        self.text = sentence(tone="faint")
        self.bars = ProbabilityBars(session)
        self.bars.setAccessibleName("Case probabilities of the other model")
        self.doubt = sentence(tone="warning")
        self.notes = sentence(tone="faint")
        for widget in (self.text, self.bars, self.doubt, self.notes):
            self.body.addWidget(widget)
        for signal in (
            session.study_changed,
            session.workers.changed,
            session.opinions.changed,
            session.position_changed,
        ):
            links.connect(signal, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Say what is beside; take it away with its study, and where another reader must not see it."""
        session, shown = self._session, self._open
        if shown is not None:
            compare = shown.beside
            hidden = (
                isinstance(compare, Compare)
                and compare.prediction is not None
                and session.opinions.asks_first
            )
            if compare.volume is not session.volume or hidden:
                self.close_view()
                return
        ready = session.volume is not None
        running = session.workers.running(COMPARE)
        self.boxes_button.setEnabled(ready)
        self.model_button.setEnabled(ready and self.box.count() > 0 and not running)
        self.close_button.setEnabled(shown is not None)
        if running:
            text = "The other model looks at all slices; then it is shown beside."
        elif shown is not None:
            text = f"Beside: {shown.beside.title}. {shown.beside.text}."
        else:
            text = "A second view of the study, with the slice, phase, place and zoom of the first."
        self.text.setText(text)
        self._show_case(None if shown is None or not isinstance(shown.beside, Compare) else shown.beside)
        self.summarise("" if shown is None else shown.beside.title)

    def _show_case(self, compare: Compare | None) -> None:
        """The second model's probabilities of the case, and why they are not certain."""
        prediction = None if compare is None else compare.prediction
        self.bars.setVisible(prediction is not None)
        doubt = notes = ""
        if compare is not None and prediction is not None:
            case = prediction.case
            self.bars.doubtful = bool(compare.doubt)
            self.bars.set_rows(
                [Bar(label, value, case.intervals.get(label)) for label, value in case.probabilities.items()]
            )
            doubt = "\n".join([f"{compare.doubt}.", *(f"• {one}" for one in compare.doubts)])
            doubt = doubt if compare.doubt else ""
            notes = "\n".join(compare.notes)
        self.doubt.setText(doubt)
        self.doubt.setVisible(bool(doubt))
        self.notes.setText(notes)
        self.notes.setVisible(bool(notes))

    def close_view(self) -> None:
        """Close the second view."""
        shown, self._open = self._open, None
        if shown is not None:
            shown.take_away(self._session.viewer)
        self.refresh()

    def _boxes(self) -> None:
        self._try(lambda: self._show(Compare(self._session)))

    def _model(self) -> None:
        chosen = str(self.box.currentData() or "")
        self._try(lambda: compare_with(self._session, chosen, self._show))

    def _show(self, compare: Compare) -> None:
        from .beside_dock import add_beside

        self.close_view()
        self._open = add_beside(self._session.viewer, compare)
        self._open.goes_with_study(self._session)
        self._open.left.connect(self._gone)
        self.refresh()

    def _gone(self) -> None:
        """The person has closed it by its cross."""
        if self._open is not None:
            self._open = None
            self.refresh()

    def _try(self, act: object) -> None:
        assert callable(act)
        try:
            act()
        except BreastAIError as error:
            self._session.fail(error)
