"""Pharmacokinetics: what must be told, the lesion's figures, the maps of the volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from ..kinetic_exchange import T1, VOLUME
from ..kinetic_fits import FILE, MODELS, POPULATIONS, REGION
from .choose import choose_curve, choose_flip_angles, choose_t1_map
from .combo import combo
from .job_bar import JobBar
from .section import Links, button, row, sentence

if TYPE_CHECKING:
    from ...kinetics.pharmaco import Maps
    from ..kinetic_fits import LesionFit
    from ..session import Session

_WHERE = {"enhancing": "what enhances", "tissue": "all tissue"}
_FIELDS = (
    (
        "t1_s",
        "T1 of tissue (s)",
        2,
        10.0,
        "Before contrast; about 1.4 s for a breast lesion at 3 T. Assumed for all tissue",
    ),
    ("repetition_ms", "TR (ms)", 2, 999.0, "Repetition time of the dynamic series"),
    ("flip_deg", "Flip angle (°)", 1, 89.0, "Of the dynamic series"),
    ("relaxivity", "Relaxivity", 2, 50.0, "Of the agent, per s and mM: on its data sheet, 3 to 7 for most"),
)
_PARAMETERS = (
    ("ktrans", "Ktrans", "1/min"),
    ("kep", "kep", "1/min"),
    ("ve", "ve", ""),
    ("vp", "vp", ""),
    ("r2", "R²", ""),
)


class Known(QDoubleSpinBox):
    """A number that may be unknown: then it stands at its lowest value, and shows a question mark."""

    def __init__(self, decimals: int, highest: float, tip: str) -> None:
        super().__init__()
        self.setRange(0.0, highest)
        self.setDecimals(decimals)
        self.setSpecialValueText("?")
        self.setKeyboardTracking(False)
        self.setToolTip(tip)

    def known(self) -> float | None:
        """The number, or None."""
        return self.value() or None

    def show_value(self, value: float | None) -> None:
        """Show it without telling it back."""
        with QSignalBlocker(self):
            self.setValue(value or 0.0)


class ExchangePanel(QWidget):
    """Settings, the fit of the lesion that is meant, and the button of the volume.

    Attributes:
        model, artery: lists. fields: by the settings' names. blood_t1, arrival: for the arterial input.
        t1_button: a measured T1.
        answer: the lesion's figures. problem: what is missing.
        fit_button, where, job: the volume.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        exchange = session.kinetics.exchange
        body = QVBoxLayout(self)
        body.setContentsMargins(4, 6, 4, 4)
        body.setSpacing(4)
        self.model = combo("The model of exchange between plasma and tissue", 8, MODELS)
        self.model.activated.connect(lambda: exchange.tell(model=self.model.currentData()))
        self.artery = combo(
            "The concentration in the artery over time: a population's, a painted region's, a file's", 8
        )
        self.artery.activated.connect(self._choose_artery)
        body.addLayout(row(QLabel("Model"), self.model, QLabel("Artery"), self.artery, stretch=3))
        self.fields: dict[str, Known] = {}
        grid = QGridLayout()
        grid.setVerticalSpacing(3)
        for number, (name, text, decimals, highest, tip) in enumerate(_FIELDS):
            field = self.fields[name] = Known(decimals, highest, tip)
            field.valueChanged.connect(lambda _, name=name: self._tell(name))
            grid.addWidget(QLabel(text), number // 2, 2 * (number % 2))
            grid.addWidget(field, number // 2, 2 * (number % 2) + 1)
        self.arrival = Known(
            1,
            3600.0,
            "When the bolus arrives, after the first phase's start; auto: where enhancement is fitted best",
        )
        self.arrival.setSpecialValueText("auto")
        self.arrival.valueChanged.connect(lambda: exchange.tell(arrival_s=self.arrival.known()))
        self.blood_t1 = Known(2, 5.0, "About 1.44 s at 1.5 T and 1.65 s at 3 T")
        self.blood_t1.valueChanged.connect(lambda: exchange.tell(blood_t1_s=self.blood_t1.known()))
        self._arrival_label, self._blood_label = QLabel("Arrival (s)"), QLabel("T1 of blood (s)")
        grid.addWidget(self._arrival_label, 3, 0)
        grid.addWidget(self.arrival, 3, 1)
        grid.addWidget(self._blood_label, 3, 0)
        grid.addWidget(self.blood_t1, 3, 1)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        body.addLayout(grid)
        self.t1_button = QPushButton("Measured T1…")
        self.t1_button.setToolTip("T1 of each voxel, from images of several flip angles or from a map")
        menu = QMenu(self.t1_button)
        menu.addAction("Measure it from a folder of images of several flip angles…", self._angles)
        menu.addAction("Open a map in seconds…", self._map)
        self.t1_button.setMenu(menu)
        grid.addWidget(self.t1_button, 3, 2, 1, 2)
        self.t1_said = sentence(tone="faint")
        body.addWidget(self.t1_said)
        self.t1_job = JobBar(session, links, lambda workers: workers.job(T1))
        body.addWidget(self.t1_job)
        self.problem = sentence(tone="warning")
        self.answer = sentence()
        self.notes = sentence(tone="faint")
        body.addWidget(self.problem)
        body.addWidget(self.answer)
        self.where = combo(
            "Which voxels: those from the threshold of colouring on, or all that is no air", 10, _WHERE
        )
        self.where.activated.connect(lambda: exchange.tell(where=self.where.currentData()))
        self.fit_button = button(
            "Make maps of", "Fit the model to every voxel, behind the screen", exchange.fit_volume
        )
        body.addLayout(row(self.fit_button, self.where, QWidget(), stretch=2))
        self.job = JobBar(session, links, lambda workers: workers.job(VOLUME))
        body.addWidget(self.job)
        body.addWidget(self.notes)
        body.addStretch(1)
        for signal in (exchange.changed, session.kinetics.changed, session.kinetics.lesions.changed):
            links.connect(signal, self.refresh)
        links.connect(session.workers.changed, self._enable)
        self.refresh()

    def showEvent(self, event: QShowEvent) -> None:
        """The page is turned to: what the headers say is taken over, and the lesion fitted."""
        super().showEvent(event)
        self._session.kinetics.exchange.watch(True)

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody looks: nothing is fitted."""
        super().hideEvent(event)
        self._session.kinetics.exchange.watch(False)

    def refresh(self) -> None:
        """Show settings and answers."""
        exchange = self._session.kinetics.exchange
        settings = exchange.settings
        with QSignalBlocker(self.model):
            self.model.setCurrentIndex(self.model.findData(settings.model))
        self._fill_artery()
        for name, field in self.fields.items():
            field.show_value(getattr(settings, name))
        self.arrival.show_value(settings.arrival_s)
        self.blood_t1.show_value(settings.blood_t1_s)
        population = settings.artery in POPULATIONS
        for one in (self._arrival_label, self.arrival):
            one.setVisible(population)
        for one in (self._blood_label, self.blood_t1):
            one.setVisible(settings.artery == REGION)
        measured = settings.t1_map
        self.fields["t1_s"].setEnabled(measured is None)
        if measured is not None:
            self.fields["t1_s"].show_value(None)
        self.fields["t1_s"].setSpecialValueText("?" if measured is None else "map")
        self.t1_said.setText("" if measured is None else measured.said)
        self.t1_said.setVisible(measured is not None)
        self.problem.setText(exchange.problem)
        self.problem.setVisible(bool(exchange.problem))
        self.answer.setText(self._answered())
        self.answer.setVisible(exchange.lesion is not None)
        self.notes.setText(notes_of(exchange.lesion, exchange.maps))
        self.notes.setVisible(bool(self.notes.text()))
        with QSignalBlocker(self.where):
            self.where.setCurrentIndex(self.where.findData(settings.where))
        self._enable()

    def _enable(self) -> None:
        exchange = self._session.kinetics.exchange
        ready = self._session.kinetics.maps is not None and not exchange.busy
        self.fit_button.setEnabled(ready and not exchange.settings.missing())
        self.t1_button.setEnabled(self._session.volume is not None)

    def _answered(self) -> str:
        """The lesion's figures: of its mean curve, and of its voxels."""
        found = self._session.kinetics.exchange.lesion
        if found is None:
            return ""
        skipped = {"tofts": ("vp",), "patlak": ("kep", "ve")}.get(found.fit.model, ())
        lines = []
        for name, text, unit in _PARAMETERS:
            if name in skipped:
                continue
            value = float(getattr(found.fit, name))
            cells = [f"<b>{_figure(name, value)}</b> {unit}"]
            if name in found.voxels:
                one = found.voxels[name]
                cells.append(
                    f"{_figure(name, one['median'])} ({_figure(name, one['low_quartile'])} to "
                    f"{_figure(name, one['high_quartile'])})"
                )
            lines.append(
                f"<tr><td>{text}&nbsp;&nbsp;</td><td>{'</td><td>&nbsp;&nbsp;'.join(cells)}</td></tr>"
            )
        head = "<tr><td></td><td>mean curve</td><td>&nbsp;&nbsp;its voxels: median (quartiles)</td></tr>"
        bound = (
            " A parameter stands at a bound: the model does not describe it."
            if bool(found.fit.at_bound)
            else ""
        )
        return f"<b>{found.name}</b><table>{head}{''.join(lines)}</table>{bound}"

    def _tell(self, name: str) -> None:
        self._session.kinetics.exchange.tell(**{name: self.fields[name].known()})

    def _fill_artery(self) -> None:
        kinetics = self._session.kinetics
        settings = kinetics.exchange.settings
        items: list[tuple[str, Any]] = [(text, (name, "")) for name, text in POPULATIONS.items()]
        items += [(f"painted: {one.name}", (REGION, one.key)) for one in kinetics.lesions.found if one.number]
        items.append(("a file (CSV)…", (FILE, "")))
        wanted = (settings.artery, settings.artery_key if settings.artery == REGION else "")
        with QSignalBlocker(self.artery):
            self.artery.clear()
            for text, value in items:
                self.artery.addItem(text, value)
            self.artery.setCurrentIndex(
                next((i for i, (_, value) in enumerate(items) if value == wanted), -1)
            )

    def _choose_artery(self) -> None:
        artery, key = self.artery.currentData()
        changes: dict[str, Any] = {"artery": artery, "artery_key": key}
        if artery == FILE:
            path = choose_curve(self)
            if not path:
                self.refresh()
                return
            changes["artery_file"] = path
        self._session.kinetics.exchange.tell(**changes)

    def _angles(self) -> None:
        if folder := choose_flip_angles(self):
            self._session.kinetics.exchange.measure_t1(folder)

    def _map(self) -> None:
        if path := choose_t1_map(self):
            self._session.kinetics.exchange.read_t1(path)


def notes_of(lesion: LesionFit | None, maps: Maps | None) -> str:
    """What was assumed for the figures and the maps that are there, and what to beware of; what both say once."""
    if lesion is None or maps is None:
        return " ".join(lesion.notes if lesion is not None else maps.notes if maps is not None else ())
    both = [one for one in lesion.notes if one in maps.notes]
    parts = [" ".join(both)] if both else []
    for name, notes in ((lesion.name, lesion.notes), ("The maps", maps.notes)):
        if own := [one for one in notes if one not in both]:
            parts.append(f"{name}: {' '.join(own)}")
    return " ".join(parts)


def _figure(name: str, value: float) -> str:
    """Three digits; of R², which is near 1, three places."""
    return f"{value:.3f}" if name == "r2" else f"{value:.3g}"
