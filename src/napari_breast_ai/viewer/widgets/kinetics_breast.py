"""The breasts: outlined, corrected by hand, with density and background enhancement."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QCheckBox,
    QHeaderView,
    QLabel,
    QSlider,
    QTableWidget,
    QTableWidgetItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ...core import BreastAIError
from .. import kinetic_breast as breast
from ..kinetic_look import BREAST_COLORS
from ..notices import tell
from .choose import choose_output, choose_segmentation, choose_target
from .combo import combo
from .job_bar import JobBar
from .section import Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ...kinetics import BreastFigures
    from ..session import Session

_ROW = 21
_ROWS = (
    ("breast (ml)", "Breast (ml)", "From the skin to the chest wall; the skin is part of it"),
    (
        "fibroglandular tissue (ml)",
        "Fibroglandular (ml)",
        "What is nearer to pure gland than to fat on the images before contrast, or what the network takes for it",
    ),
    (
        "density (%)",
        "Density (%)",
        "Fibroglandular tissue over breast, by volume. No BI-RADS category: readers grade by eye",
    ),
    (
        "BPE, mean enhancement (%)",
        "BPE, mean (%)",
        "Background parenchymal enhancement: mean initial enhancement of the fibroglandular tissue outside the "
        "lesions that are boxed, from the phase before contrast to the early phase. No BI-RADS category",
    ),
    (
        "BPE, enhancing tissue (%)",
        "BPE, part enhancing (%)",
        "The part of that tissue whose initial enhancement is {threshold:g} % or more, which is a choice of ours",
    ),
)
_CLASSICAL, _OTHER = "", "other"
_BRUSHES = {4: "tissue", 1: "breast, right", 2: "breast, left", 3: "one breast", 0: "nothing (erase)"}
_SIDES = {"right": 1, "left": 2, "one breast": 3}


class BreastPanel(Section):
    """A button with progress, the figures of each breast, how they are drawn, the brush, and files.

    Attributes:
        outline_button, method, job: find the breasts. problem, hand_button: where that cannot be done.
        table: the figures. said: what must be known of them.
        seen, outlines, opacity: the layer. paint_button, brush, back_button: corrections.
        copy_button, csv_button, save_button: the figures and masks elsewhere.
        grown: emitted when the section has become longer by what the person has asked for.
    """

    grown = Signal()

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Breasts", parent)
        self._session = session
        breasts = session.kinetics.breasts
        self.outline_button = button(
            "Outline the breasts",
            "Find breasts and fibroglandular tissue on the images before contrast, behind the screen",
            breasts.outline,
        )
        self.method = combo("How they are found: a classical method, or a network of your own", 12)
        self.method.activated.connect(self._choose)
        self.body.addLayout(row(self.outline_button, QLabel("by"), self.method, stretch=2))
        self.job = JobBar(session, links, lambda workers: workers.last((breast.OUTLINE, breast.FILES)))
        self.problem = sentence(tone="warning")
        self.hand_button = button(
            "Outline by hand", "Begin with nothing: paint the breasts and the tissue in them", breasts.by_hand
        )
        self.table = FiguresTable()
        self.said = sentence(tone="faint")
        for one in (self.job, self.problem, self.table, self.said):
            self.body.addWidget(one)
        self.body.addLayout(row(self.hand_button, QWidget(), stretch=1))
        self._tools, self._rows = QWidget(), False
        tools = QVBoxLayout(self._tools)
        tools.setContentsMargins(0, 0, 0, 0)
        tools.setSpacing(4)
        self.seen, self.outlines = QCheckBox("Show"), QCheckBox("Outlines")
        self.seen.setToolTip("Draw the breasts and the tissue in them over the image, or not")
        self.outlines.setToolTip("Outlines, so that what they enclose stays visible; or whole areas")
        self.seen.toggled.connect(breasts.see)
        self.outlines.toggled.connect(lambda on: breasts.show(outlines=on))
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(10, 100)
        self.opacity.setToolTip("How strongly they cover the image")
        self.opacity.valueChanged.connect(lambda value: breasts.show(opacity=value / 100))
        tools.addLayout(row(self.seen, self.outlines, QLabel("Opacity"), self.opacity, stretch=3))
        self.paint_button = button(
            "Paint", "Correct them with the brush, or stop (Ctrl+Z takes a stroke back)", self._paint
        )
        self.paint_button.setCheckable(True)
        self.brush = combo("What the brush paints", 9, _BRUSHES)
        for number in range(self.brush.count()):
            label = self.brush.itemData(number)
            if label:
                self.brush.setItemIcon(number, _square(BREAST_COLORS[label]))
        self.brush.activated.connect(lambda: breasts.paint(self.brush.currentData()))
        self.back_button = button("Take back", "Undo all corrections of the breasts", breasts.take_back)
        tools.addLayout(row(self.paint_button, self.brush, self.back_button, stretch=1))
        self.copy_button = button("Copy", "Copy the figures, to paste into a spreadsheet", self._copy)
        self.csv_button = button("Save CSV…", "Save the figures as a table", self._csv)
        self.save_button = button(
            "Save masks…", "Save masks (NIfTI) and figures into a folder; nothing is written over", self._save
        )
        tools.addLayout(row(self.copy_button, self.csv_button, self.save_button))
        self.body.addWidget(self._tools)
        for signal in (breasts.changed, session.study_changed, session.boxes.mode_changed):
            links.connect(signal, self.refresh)
        self.refresh()

    def let_fold(self, key: str, folded: bool = False) -> None:
        """See `Section`; what the person unfolds comes into view."""
        super().let_fold(key, folded)
        heading = self.heading
        assert isinstance(heading, QToolButton)
        heading.clicked.connect(lambda: None if self.folded else self.grown.emit())

    def refresh(self) -> None:
        """Show what there is."""
        session, breasts = self._session, self._session.kinetics.breasts
        self._fill_method()
        layer, measured = breasts.layer, breasts.measured
        rows = () if measured is None else measured.rows
        self.outline_button.setEnabled(session.volume is not None and not breasts.busy and not breasts.edited)
        self.outline_button.setText("Outline the breasts" if layer is None else "Outline anew")
        problem = breasts.problem
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        self.hand_button.setVisible(bool(problem) and layer is None and session.volume is not None)
        self.table.show_rows(rows)
        said = self._sentences()
        self.said.setText(said)
        self.said.setVisible(bool(said))
        brief = [f"{one.side} {one.density_percent:.0f} %" for one in rows[:2]]
        self.summarise(", ".join((*brief, "edited") if breasts.edited else brief))
        longer = layer is not None and self._tools.isHidden()
        self._tools.setVisible(layer is not None)
        if longer or (rows and not self._rows):
            self.grown.emit()
        self._rows = bool(rows)
        if layer is None:
            return
        for check, on in ((self.seen, layer.visible), (self.outlines, breasts.outlines)):
            with QSignalBlocker(check):
                check.setChecked(on)
        with QSignalBlocker(self.opacity):
            self.opacity.setValue(round(100 * breasts.opacity))
        with QSignalBlocker(self.paint_button):
            self.paint_button.setChecked(breasts.painting)
        with QSignalBlocker(self.brush):
            self.brush.setCurrentIndex(max(0, self.brush.findData(int(layer.selected_label))))
        self.back_button.setEnabled(breasts.edited)
        for one in (self.copy_button, self.csv_button, self.save_button):
            one.setEnabled(bool(rows) and not breasts.pending)

    def _sentences(self) -> str:
        """How the figures came about, and what a reader must know of them."""
        breasts = self._session.kinetics.breasts
        measured = breasts.measured
        if measured is None:
            return "Measuring…" if breasts.pending else ""
        how = measured.masks.how or "Paint the breasts: their figures stand here."
        remarks = dict.fromkeys(
            (*measured.masks.warnings, *(one for figures in measured.rows for one in figures.remarks))
        )
        return " ".join((f"{how[:1].upper()}{how[1:]}".rstrip(".") + ".", *remarks))

    # ------------------------------------------------------------------ method

    def _fill_method(self) -> None:
        network = self._session.kinetics.breasts.network
        items = [("classical", _CLASSICAL), ("a network of your own…", _OTHER)]
        if network:
            items.insert(1, (f"network {Path(network).name}", network))
        with QSignalBlocker(self.method):
            if [self.method.itemData(i) for i in range(self.method.count())] != [one[1] for one in items]:
                self.method.clear()
                for text, value in items:
                    self.method.addItem(text, value)
            self.method.setCurrentIndex(self.method.findData(network))

    def _choose(self) -> None:
        breasts = self._session.kinetics.breasts
        value = self.method.currentData()
        if value == _OTHER:
            value = choose_segmentation(self) or breasts.network
        breasts.use(value)

    # ------------------------------------------------------- brush and files

    def _paint(self) -> None:
        breasts = self._session.kinetics.breasts
        breasts.paint(None if breasts.painting else self.brush.currentData())

    def text(self, separator: str = ",") -> str:
        """The figures as a table, a line a breast."""
        from ...kinetics.summary import rows_csv

        measured = self._session.kinetics.breasts.measured
        rows = [] if measured is None else [one.row() for one in measured.rows]
        how = "" if measured is None else measured.masks.how
        return rows_csv([{**one, "method": how} for one in rows], separator)

    def _copy(self) -> None:
        QApplication.clipboard().setText(self.text("\t"))
        tell("Copied the figures of the breasts.")

    def _csv(self) -> None:
        from ...kinetics.write import write_text

        if path := choose_output(self, "Save the figures of the breasts", "breasts.csv"):
            self._try(lambda: tell(f"Saved {write_text(Path(path), self.text()).name}."))

    def _save(self) -> None:
        if folder := choose_target(self, "A folder for masks and figures of the breasts"):
            self.save(folder)

    def save(self, folder: str) -> None:
        """Write masks and figures into a folder, behind the screen."""

        def saved(files: tuple[Path, ...]) -> None:
            tell(f"Saved {', '.join(path.name for path in files)}.")

        self._try(lambda: self._session.kinetics.breasts.save(folder, saved))

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BreastAIError as error:
            self._session.fail(error)


class FiguresTable(QTableWidget):
    """A column a breast, a line a figure; the colours are those of the layer."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[BreastFigures, ...] | None = None
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for header in (self.verticalHeader(), self.horizontalHeader()):
            header.setSectionsClickable(False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Figures of the breasts")
        self.setRowCount(len(_ROWS))
        self.setFixedHeight(_ROW * (len(_ROWS) + 1) + 8)

    def show_rows(self, rows: tuple[BreastFigures, ...]) -> None:
        """Show figures; without any there is no table."""
        self.setVisible(bool(rows))
        if rows is self._rows:
            return
        self._rows = rows
        self.setColumnCount(len(rows))
        for column, one in enumerate(rows):
            head = QTableWidgetItem(one.side)
            if one.side in _SIDES:
                head.setIcon(_square(BREAST_COLORS[_SIDES[one.side]]))
            self.setHorizontalHeaderItem(column, head)
            cells = one.row()
            for line, (name, _, _) in enumerate(_ROWS):
                item = QTableWidgetItem(cells[name] or "–")
                item.setToolTip("" if cells[name] else " ".join(one.remarks))
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(line, column, item)
        for line, (name, text, tip) in enumerate(_ROWS):
            head = QTableWidgetItem(text)
            if name.startswith("fibroglandular"):
                head.setIcon(_square(BREAST_COLORS[4]))
            threshold = rows[0].threshold_percent if rows else 0.0
            head.setToolTip(tip.format(threshold=threshold))
            self.setVerticalHeaderItem(line, head)


def _square(color: str) -> QIcon:
    """The colour of a label, before its name."""
    pixels = QPixmap(12, 12)
    pixels.fill(QColor(color))
    return QIcon(pixels)
