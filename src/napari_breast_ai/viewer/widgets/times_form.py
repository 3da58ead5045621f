"""When were the phases taken? Asked where no file says it, in the dock, without stopping anything."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QDoubleSpinBox, QLabel, QVBoxLayout, QWidget

from ...core import BreastAIError
from ..following import show_instead
from .section import Entry, Links, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session

USUAL_S = 90.0
"""What the spacing starts from: one to two minutes a phase is what breast protocols take."""


class TimesForm(QWidget):
    """An even spacing that fills a line of seconds, the line itself, and a button that takes it.

    It stands open while the times are unknown; told times can be changed.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.question = sentence()
        self.spacing = QDoubleSpinBox()
        self.spacing.setRange(1.0, 3600.0)
        self.spacing.setDecimals(1)
        self.spacing.setValue(USUAL_S)
        self.spacing.setSuffix(" s")
        self.spacing.setToolTip("The same time from each phase to the next: fills the line below")
        self.seconds = Entry()
        self.seconds.setToolTip("Seconds from the start of the first phase to the start of each, with commas")
        self.seconds.returnPressed.connect(self._use)
        self.use_button = button("Use these times", "Keep them beside the case", self._use)
        self.change_button = button("Change times…", "The times were typed in: type others", self._change)
        self.problem = sentence(tone="warning")
        self.form = QWidget()
        inner = QVBoxLayout(self.form)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(4)
        inner.addWidget(self.question)
        inner.addLayout(row(QLabel("A phase every"), self.spacing, QLabel("or, in seconds:"), stretch=2))
        inner.addLayout(row(self.seconds, self.use_button, stretch=0))
        inner.addWidget(self.problem)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.form)
        outer.addLayout(row(self.change_button, QWidget(), stretch=1))
        self.spacing.valueChanged.connect(self._fill)
        links.connect(session.study_changed, self.refresh)
        self.refresh()

    @property
    def asking(self) -> bool:
        """Whether the times are unknown and asked for."""
        return not self.isHidden() and not self.form.isHidden()

    def refresh(self) -> None:
        """Ask where the times are unknown; offer to change them where a person told them."""
        from ...study import times_unknown
        from ...study.told_times import TOLD

        volume = self._session.volume
        asked = volume is not None and times_unknown(volume)
        told = volume is not None and TOLD in volume.times.source
        self.setVisible(asked or told)
        self.form.setVisible(asked)
        self.change_button.setVisible(told)
        self._complain("")
        if asked or told:
            assert volume is not None
            self.question.setText(
                f"When were the {volume.n_phases} phases taken? The files do not say. Seconds from the start of the "
                "first phase:"
            )
        if asked:
            self._fill()

    def _fill(self) -> None:
        volume = self._session.volume
        if volume is not None:
            step = self.spacing.value()
            self.seconds.setText(", ".join(f"{step * phase:g}" for phase in range(volume.n_phases)))

    def _change(self) -> None:
        volume = self._session.volume
        assert volume is not None
        self.seconds.setText(", ".join(f"{one:g}" for one in volume.times.start_s))
        self.form.setVisible(True)
        self.change_button.setVisible(False)

    def _use(self) -> None:
        from ...study import tell_times

        session = self._session
        volume, loader = session.volume, session.loader
        if volume is None:
            return
        try:
            known = tell_times(volume, _parsed(self.seconds.text()), session.source, session.reader)
        except BreastAIError as error:
            self._complain(str(error))
            return
        if loader is not None:
            loader.volume = known
        show_instead(session, known, loader)

    def _complain(self, text: str) -> None:
        self.problem.setText(text)
        self.problem.setVisible(bool(text))


class TimesError(BreastAIError):
    """What was typed is no list of seconds."""


def _parsed(text: str) -> list[float]:
    found = []
    for part in re.split(r"[,;\s]+", text.strip(" ,;")):
        try:
            found.append(float(part.removesuffix("s")))
        except ValueError:
            raise TimesError(
                f"“{part}” is no number of seconds. Type one number for each phase, such as 0, 90, 180.5."
            ) from None
    return found
