"""Which map is laid over the image, its thresholds and the key to its colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QRectF, QSignalBlocker, QSize, Qt
from qtpy.QtGui import QColor, QPaintEvent
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QSlider, QVBoxLayout, QWidget

from ...core import BreastAIError
from .. import kinetic_look as kind
from .combo import combo
from .painting import painting
from .section import Links, button, row, sentence
from .theme import theme_color

if TYPE_CHECKING:
    from ..session import Session

_SLIDERS = (
    ("shown", "Coloured from", 5, 300, "%", "A voxel is coloured whose initial enhancement is at least this"),
    (
        "course",
        "Plateau within ±",
        0,
        50,
        "%",
        "Above it persistent, below its negative washout, between them plateau",
    ),
    ("medium", "Slow below", 5, 200, "%", "Initial enhancement below this is slow: the darkest shade"),
    ("fast", "Fast above", 10, 300, "%", "Initial enhancement above this is fast: the brightest shade"),
)
_ROW = 17


class ColourKey(QWidget):
    """What the colours mean: a line a course with its three speeds, or a line of bins."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._role = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_role(self, role: str) -> None:
        """The map whose colours are meant."""
        self._role = role
        self.setAccessibleDescription("; ".join(text for text, _ in self.lines()))
        self.update()

    def lines(self) -> list[tuple[str, list[str]]]:
        """Words, and the colours before them."""
        from ...kinetics import CLASS_COLORS, COURSES, SER_COLORS, SER_NAMES

        late = self._session.kinetics.choice is None or self._session.kinetics.choice.late is not None
        t = self._session.kinetics.thresholds
        if self._role == kind.CLASSES and late:
            rules = (
                f"rises by more than {t.course:g} %",
                f"stays within ±{t.course:g} %",
                f"falls by more than {t.course:g} %",
            )
            return [
                (f"{course}: {rule} from early to late", list(CLASS_COLORS[1 + 3 * k : 4 + 3 * k]))
                for k, (course, rule) in enumerate(zip(COURSES, rules, strict=True))
            ]
        if self._role == kind.CLASSES:
            return [("slow, medium, fast; no late phase, so no course", list(CLASS_COLORS[10:13]))]
        if self._role == kind.SER:
            return [(name, [color]) for name, color in zip(SER_NAMES[1:], SER_COLORS[1:], strict=True)]
        return []

    def sizeHint(self) -> QSize:
        """Three lines."""
        return QSize(300, 3 * _ROW + 2)

    def minimumSizeHint(self) -> QSize:
        """The same."""
        return QSize(200, 3 * _ROW + 2)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint squares and words."""
        with painting(self) as painter:
            text = theme_color(self._session, "text")
            lines = self.lines()
            # The bins of SER are short: three columns of them.
            columns = 1 if len(lines) <= 3 else 2
            wide = self.width() / columns
            for number, (words, colors) in enumerate(lines):
                x, y = wide * (number // 3), _ROW * (number % 3)
                for k, color in enumerate(colors):
                    painter.fillRect(QRectF(x + 2 + 14 * k, y + 3, 13, 12), QColor(color))
                left = x + 8 + 14 * len(colors)
                painter.setPen(text)
                room = QRectF(left, y, wide - (left - x), _ROW)
                painter.drawText(
                    room,
                    Qt.AlignmentFlag.AlignVCenter,
                    painter.fontMetrics().elidedText(words, Qt.TextElideMode.ElideRight, int(room.width())),
                )


class MapPanel(QWidget):
    """The map, its opacity, its thresholds.

    Attributes:
        map_box, opacity: which, and how strongly.
        sliders: by the thresholds' names.
        key: the colours.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        kinetics = session.kinetics
        body = QVBoxLayout(self)
        body.setContentsMargins(4, 6, 4, 4)
        body.setSpacing(4)
        self.map_box = combo("What is laid over the image", 12)
        self.map_box.activated.connect(lambda: kinetics.layers.show(map=self.map_box.currentData()))
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(10, 100)
        self.opacity.setToolTip("How strongly the map covers the image")
        self.opacity.valueChanged.connect(lambda value: kinetics.layers.show(opacity=value / 100))
        body.addLayout(row(self.map_box, QLabel("Opacity"), self.opacity, stretch=2))
        self.key = ColourKey(session)
        body.addWidget(self.key)
        grid = QGridLayout()
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(1, 1)
        self.sliders: dict[str, QSlider] = {}
        self._numbers: dict[str, QLabel] = {}
        for line, (name, text, low, high, _, tip) in enumerate(_SLIDERS):
            slider = QSlider(Qt.Orientation.Horizontal)
            slider.setRange(low, high)
            slider.setToolTip(tip)
            slider.valueChanged.connect(lambda value, name=name: self._move(name, value))
            number = QLabel()
            number.setMinimumWidth(number.fontMetrics().horizontalAdvance("300 %") + 4)
            number.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.sliders[name], self._numbers[name] = slider, number
            for column, widget in enumerate((QLabel(text), slider, number)):
                grid.addWidget(widget, line, column)
        body.addLayout(grid)
        self.usual = button("Usual thresholds", "50 %, ±10 %, 50 % and 100 %", self._usual)
        self.note = sentence(tone="faint")
        body.addLayout(row(QWidget(), self.usual, stretch=0))
        body.addWidget(self.note)
        body.addStretch(1)
        for signal in (kinetics.changed, kinetics.thresholds_changed, kinetics.layers.changed):
            links.connect(signal, self.refresh)
        links.connect(kinetics.exchange.changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what is shown."""
        kinetics = self._session.kinetics
        view = kinetics.layers.view
        items = [(name, role) for role, name in kind.MAP_NAMES.items()]
        if kinetics.choice is not None and kinetics.choice.late is None:
            items = [one for one in items if one[1] != kind.SER]
        if kinetics.exchange.maps is not None:
            skipped = {"tofts": ("vp",), "patlak": ("kep", "ve")}.get(kinetics.exchange.maps.fit.model, ())
            items += [(text, name) for name, text in kind.EXCHANGE_NAMES.items() if name not in skipped]
        items.append(("No map", ""))
        with QSignalBlocker(self.map_box):
            if [self.map_box.itemData(i) for i in range(self.map_box.count())] != [role for _, role in items]:
                self.map_box.clear()
                for name, role in items:
                    self.map_box.addItem(name, role)
            self.map_box.setCurrentIndex(max(0, self.map_box.findData(view.map)))
        with QSignalBlocker(self.opacity):
            self.opacity.setValue(round(view.opacity * 100))
        thresholds = kinetics.thresholds
        for name, slider in self.sliders.items():
            value = getattr(thresholds, name)
            with QSignalBlocker(slider):
                slider.setValue(round(value))
            self._numbers[name].setText(f"{value:g} %")
        self.key.show_role(view.map)
        self.usual.setEnabled(thresholds != type(thresholds)())
        note = ""
        if view.map in kind.EXCHANGE_NAMES:
            note = f"Voxels with an R² below {kind.SHOWN_R2:g} are left out."
        self.note.setText(note)
        self.note.setVisible(bool(note))

    def _move(self, name: str, value: int) -> None:
        """One slider; that of medium and that of fast push each other."""
        kinetics = self._session.kinetics
        changes = {name: float(value)}
        if name == "medium" and value > kinetics.thresholds.fast:
            changes["fast"] = float(value)
        if name == "fast" and value < kinetics.thresholds.medium:
            changes["medium"] = float(value)
        try:
            kinetics.set_thresholds(**changes)
        except BreastAIError as error:
            self._session.fail(error)

    def _usual(self) -> None:
        from dataclasses import asdict

        from ...kinetics import Thresholds

        self._session.kinetics.set_thresholds(**asdict(Thresholds()))
