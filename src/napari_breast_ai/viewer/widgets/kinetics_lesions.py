"""A table of the lesions' figures, and the regions that they may be taken of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QCheckBox,
    QHeaderView,
    QLabel,
    QSlider,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...core import BreastAIError
from ..kinetic_lesions import Measured
from ..notices import tell
from .choose import choose_output
from .section import Links, button, row, sentence

if TYPE_CHECKING:
    from ..kinetic_regions import Grown
    from ..session import Session

_ROW = 21
_SHORT = {
    "peak initial enhancement (%)": "peak enhancement (%)",
    "mean initial enhancement (%)": "mean enhancement (%)",
    "persistent (% of enhancing)": "persistent (%)",
    "plateau (% of enhancing)": "plateau (%)",
    "washout (% of enhancing)": "washout (%)",
    "variation of initial enhancement (%)": "variation (%)",
    "mixture of courses (0-1)": "mixture (0–1)",
}
FIRST = (
    "class",
    "worst curve",
    "peak initial enhancement (%)",
    "persistent (% of enhancing)",
    "plateau (% of enhancing)",
    "washout (% of enhancing)",
    "volume (ml)",
    "enhancing (ml)",
    "functional volume (ml)",
    "longest diameter (mm)",
    "across it (mm)",
    "through the slices (mm)",
    "time to peak (s)",
    "wash-in (%/min)",
    "wash-out (%/min)",
)
"""What a reader looks for first; the other figures follow."""


class LesionsTable(QTableWidget):
    """A column a lesion, a line a figure.

    The columns stand in the order of the lesions; the one that is meant is selected.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._found: tuple[Measured, ...] = ()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectColumns)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setSectionsClickable(False)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.setMinimumHeight(100)
        self.setAccessibleName("Figures of the lesions")
        self.cellClicked.connect(lambda _, column: self._choose(column))
        self.horizontalHeader().sectionClicked.connect(self._choose)

    def show_lesions(self, found: tuple[Measured, ...], meant: Measured | None) -> None:
        """Show figures, and select the column of the lesion that is meant."""
        if found is not self._found:
            self._found = found
            self._fill()
        with QSignalBlocker(self):
            column = next((i for i, one in enumerate(found) if one is meant), -1)
            if column >= 0:
                self.selectColumn(column)
                self.scrollTo(self.model().index(0, column))
            else:
                self.clearSelection()

    def _fill(self) -> None:
        rows = [one.row() for one in self._found]
        names = [name for name in (rows[0] if rows else ()) if name not in ("lesion", "voxels")]
        names = [*FIRST, *(name for name in names if name not in FIRST)] if rows else []
        self.setColumnCount(len(rows))
        self.setRowCount(len(names))
        self.setHorizontalHeaderLabels([one.name for one in self._found])
        self.setVerticalHeaderLabels([_SHORT.get(name, name) for name in names])
        for line, name in enumerate(names):
            self.verticalHeaderItem(line).setToolTip(_TIPS.get(name, name))
            for column, cells in enumerate(rows):
                text = cells[name] or "–"
                item = QTableWidgetItem(text)
                item.setToolTip(text if name == "remarks" else cells["remarks"] if text == "–" else "")
                if name not in ("class", "worst curve", "remarks"):
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(line, column, item)
        # Long sentences are for the tooltip.
        self.horizontalHeader().setMaximumSectionSize(150)

    def _choose(self, column: int) -> None:
        self._session.kinetics.lesions.choose(self._found[column].key)


_TIPS = {
    "class": "The class of the lesion's boxes",
    "worst curve": "Any washout beats plateau beats persistent; a single voxel decides",
    "peak initial enhancement (%)": "Of the voxel with the highest initial enhancement",
    "volume (ml)": "Of the box, or of the region",
    "enhancing (ml)": "Of the voxels from the threshold of colouring on",
    "functional volume (ml)": "Functional tumour volume: enhancement of 70 % or more with neighbours that do the same",
    "longest diameter (mm)": "On any slice, as RECIST measures; of a region, for a box's own edges say nothing of it",
    "across it (mm)": "At right angles to the longest diameter, on the same slice",
    "time to peak (s)": "Middle of the brightest phase, after the first post-contrast start",
    "wash-in (%/min)": "Rise over the signal before contrast from the first post-contrast start to the peak",
    "wash-out (%/min)": "Change from the peak to the last phase, negative where the signal falls",
    "variation of initial enhancement (%)": "Heterogeneity: standard deviation of the enhancing voxels over their mean",
    "mixture of courses (0-1)": "Heterogeneity: 0 where all voxels take one course, 1 where the three are equal",
}


class LesionsPanel(QWidget):
    """The table over the tools of regions.

    Attributes:
        table: the figures. hint: what to do where there is none.
        grow_button, fraction, least, margin, fill, remove_button, paint_button, region: regions.
        copy_button, save_button: the table elsewhere.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        kinetics = session.kinetics
        body = QVBoxLayout(self)
        body.setContentsMargins(4, 6, 4, 4)
        body.setSpacing(4)
        self.hint = sentence()
        body.addWidget(self.hint)
        self.table = LesionsTable(session)
        body.addWidget(self.table, 1)
        self.grow_button = button(
            "Grow region", "A region of what enhances in and around the lesion's boxes", self._grow
        )
        self.fraction = QSlider(Qt.Orientation.Horizontal)
        self.fraction.setRange(10, 95)
        self.fraction.setToolTip(
            "How far down the region grows: to this part of the strong enhancement in the box"
        )
        self.fraction.valueChanged.connect(lambda value: self._set_growing(fraction=value / 100))
        self.number = QLabel()
        self.number.setMinimumWidth(self.number.fontMetrics().horizontalAdvance("down to 95 %") + 4)
        body.addLayout(row(self.grow_button, self.fraction, self.number, stretch=1))
        self.least = QSpinBox()
        self.least.setRange(0, 500)
        self.least.setSingleStep(10)
        self.least.setSuffix(" %")
        self.least.setToolTip("Voxels that enhance by less belong to no region")
        self.margin = QSpinBox()
        self.margin.setRange(0, 100)
        self.margin.setSuffix(" mm")
        self.margin.setToolTip("How far beyond its boxes a region may grow")
        self.fill = QCheckBox("Fill")
        self.fill.setToolTip("Dark parts that a region encloses on a slice (necrosis, abscess) belong to it")
        for one in (self.least, self.margin):
            one.setKeyboardTracking(False)
        self.least.valueChanged.connect(lambda value: self._set_growing(least=float(value)))
        self.margin.valueChanged.connect(lambda value: self._set_growing(margin_mm=float(value)))
        self.fill.toggled.connect(lambda on: self._set_growing(fill=on))
        body.addLayout(
            row(
                QLabel("At least"), self.least, QLabel("margin"), self.margin, self.fill, QWidget(), stretch=5
            )
        )
        self.region = sentence()
        body.addWidget(self.region)
        self.paint_button = button("Paint", "Paint a region with the brush, or stop painting", self._paint)
        self.paint_button.setCheckable(True)
        self.remove_button = button("Remove region", "Take the lesion's region away", self._remove)
        self.copy_button = button("Copy table", "Copy all figures, to paste into a spreadsheet", self._copy)
        self.save_button = button("Save CSV…", "Save all figures as a table", self._save)
        body.addLayout(row(self.paint_button, self.remove_button, self.copy_button, self.save_button))
        for signal in (
            kinetics.changed,
            kinetics.lesions.changed,
            kinetics.lesions.current_changed,
            kinetics.regions.changed,
            session.boxes_changed,
        ):
            links.connect(signal, self.refresh)
        # Another layer that is chosen ends the painting.
        links.connect(session.boxes.mode_changed, self._mark)
        self.refresh()

    def refresh(self) -> None:
        """Show figures and what can be done."""
        kinetics = self._session.kinetics
        lesions, regions = kinetics.lesions, kinetics.regions
        self.table.show_lesions(lesions.found, lesions.measured)
        hint = ""
        if kinetics.maps is not None and not lesions.found:
            hint = "Draw a box around a lesion (B): its figures stand here. Or paint a region."
        elif kinetics.maps is None:
            hint = "Figures of lesions stand here once the maps are there."
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint) and not lesions.found)
        self.table.setVisible(bool(lesions.found))
        lesion = lesions.lesion
        grown = regions.grown.get(lesion.key) if lesion is not None else None
        self.grow_button.setEnabled(kinetics.maps is not None and lesion is not None)
        self.remove_button.setEnabled(grown is not None)
        self.fraction.setEnabled(kinetics.maps is not None)
        with QSignalBlocker(self.fraction):
            self.fraction.setValue(round(100 * regions.growing.fraction))
        for field, value in ((self.least, regions.growing.least), (self.margin, regions.growing.margin_mm)):
            with QSignalBlocker(field):
                field.setValue(round(value))
        with QSignalBlocker(self.fill):
            self.fill.setChecked(regions.growing.fill)
        self.number.setText(f"down to {self.fraction.value()} %")
        self.region.setText("" if grown is None else self._told(grown))
        self.region.setVisible(grown is not None)
        for one in (self.copy_button, self.save_button):
            one.setEnabled(bool(lesions.found))
        self._mark()

    def _told(self, grown: Grown) -> str:
        """A grown region in a sentence, as large as it is after the brush."""
        kinetics = self._session.kinetics
        found = (one for one in kinetics.lesions.found if one.number == grown.number and one.size is not None)
        now = next(found, None)
        if not kinetics.regions.follows(grown):
            return "Region of other phases than are compared now. Grow it anew to have it follow."
        return f"Region from {grown.floor:.0f} % on: {grown.size if now is None else now.size}."

    def text(self) -> str:
        """The table as CSV, a line a lesion."""
        from ...kinetics.summary import rows_csv

        return rows_csv([one.row() for one in self._session.kinetics.lesions.found])

    def save(self, path: str) -> None:
        """Write the table."""
        from ...kinetics.write import write_text

        try:
            tell(f"Saved {write_text(Path(path), self.text()).name}.")
        except BreastAIError as error:
            self._session.fail(error)

    def _mark(self, event: object = None) -> None:
        with QSignalBlocker(self.paint_button):
            self.paint_button.setChecked(self._session.kinetics.regions.painting)
        self.paint_button.setEnabled(self._session.volume is not None)

    def _grow(self) -> None:
        kinetics = self._session.kinetics
        if (lesion := kinetics.lesions.lesion) is not None:
            kinetics.regions.grow(lesion)
            self.refresh()

    def _set_growing(self, **changes: Any) -> None:
        kinetics = self._session.kinetics
        kinetics.regions.set_growing(kinetics.lesions.lesion, **changes)
        self.refresh()

    def _paint(self) -> None:
        regions = self._session.kinetics.regions
        regions.paint(not regions.painting)
        self._mark()

    def _remove(self) -> None:
        kinetics = self._session.kinetics
        if (lesion := kinetics.lesions.lesion) is not None:
            kinetics.regions.remove(lesion.key)
            self.refresh()

    def _copy(self) -> None:
        from ...kinetics.summary import rows_csv

        rows = [one.row() for one in self._session.kinetics.lesions.found]
        QApplication.clipboard().setText(rows_csv(rows, "\t"))
        tell(f"Copied the figures of {len(rows)} {'lesion' if len(rows) == 1 else 'lesions'}.")

    def _save(self) -> None:
        if path := choose_output(self, "Save the figures of the lesions", "lesions.csv"):
            self.save(path)
