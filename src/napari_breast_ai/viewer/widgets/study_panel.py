"""Open a study, and what study this is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from .. import tasks
from ..shortcuts import tooltip
from .choose import choose_study
from .planes_dock import switch
from .section import Links, Section, button, row, sentence
from .times_form import TimesForm

if TYPE_CHECKING:
    from ..session import Session


class StudyPanel(Section):
    """Buttons for a folder and for the samples, and a description of the study on the screen."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Study", parent)
        self._session = session
        self.open_button = button("Open study…", "Open the folder of a breast DCE study", self._open)
        self.igm_button = button("Sample IGM", "A synthetic breast with granulomatous mastitis", self._igm)
        self.nme_button = button("Sample NME", "A synthetic breast with non-mass enhancement", self._nme)
        self.tour_button = button("Tour", "A guided tour of the whole way, step by step", session.tour.begin)
        self.body.addLayout(
            row(self.open_button, self.igm_button, self.nme_button, self.tour_button, stretch=0)
        )
        self.planes_button = button("Orthogonal planes", tooltip("planes"), lambda: switch(session))
        self.body.addWidget(self.planes_button)
        self.text = sentence()
        self.body.addWidget(self.text)
        self.times = TimesForm(session, links)
        self.body.addWidget(self.times)
        links.connect(session.study_changed, self.refresh)
        links.connect(session.workers.changed, self._enable)
        self.refresh()

    def refresh(self) -> None:
        """Describe the study."""
        volume = self._session.volume
        self.planes_button.setEnabled(volume is not None and volume.n_slices > 1)
        if volume is None:
            self.text.setText(
                "Open the folder of a breast DCE study, drop it on the canvas, or take a sample."
            )
            self.summarise("none open")
            return
        slices, rows, columns = volume.geometry.shape
        dz, dy, dx = volume.geometry.spacing
        phases = "1 phase"
        if volume.n_phases > 1:
            unknown = "unknown" in volume.times.source
            when = "at unknown times" if unknown else f"in {volume.times.start_s[-1]:.0f} s"
            phases = f"{volume.n_phases} phases {when}"
        name = self._session.reading.hidden_name or volume.description or "No description"
        self.summarise(name)
        self.text.setText(
            f"{name}\n"
            f"{phases}, {slices} {volume.geometry.orientation} "
            f"slice{'s' if slices > 1 else ''} of {rows} × {columns}\n"
            f"Pixels {dy:.2f} × {dx:.2f} mm, slices every {dz:.2f} mm"
        )

    def _enable(self) -> None:
        free = not self._session.workers.running(tasks.STUDY)
        for one in (self.open_button, self.igm_button, self.nme_button):
            one.setEnabled(free)

    def _open(self) -> None:
        if folder := choose_study(self):
            tasks.open_path(self._session, folder)

    def _igm(self) -> None:
        tasks.open_sample(self._session, "igm")

    def _nme(self) -> None:
        tasks.open_sample(self._session, "nme")
