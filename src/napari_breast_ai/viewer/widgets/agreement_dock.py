"""How far readers agree, and how fast they are: two tables and a figure, to look at and to keep."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDoubleSpinBox,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...core import BreastAIError, Progress
from .choose import choose_output
from .combo import short_combo
from .section import KeepsEnter, Links, button, row, sentence

if TYPE_CHECKING:
    from ...annotations.agreement import Agreement
    from ...annotations.cases import CaseRecord
    from ...annotations.pace import PaceReport
    from ...core.figures import Figure
    from ..session import Session

AGREE = "agree"
_AGREEMENT = ("Class", "Boxes", "Match", "F1", "IoU, median", "κ slices", "κ classes")
_PACE = ("Reader", "Cases", "Images", "s / image", "s / box", "Images / h", "Pauses")


@dataclass(frozen=True, eq=False)
class Compared:
    """What was worked out in the thread."""

    records: tuple[CaseRecord, ...]
    raters: tuple[str, ...]
    pace: PaceReport
    agreement: Agreement | None
    picture: bytes
    notes: tuple[str, ...]


class AgreementDock(KeepsEnter):
    """Two raters of the worklist's cases beside each other; suggestions of a model are a rater too.

    Attributes:
        first, second: the raters. iou: from which overlap boxes match.
        table, pace: the figures with their 95 % intervals; the pace of each reader.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._found: Compared | None = None
        self.first, self.second = short_combo("", 8), short_combo("", 8)
        for box in (self.first, self.second):
            box.activated.connect(self.compare)
        self.iou = QDoubleSpinBox()
        self.iou.setRange(0.05, 1.0)
        self.iou.setSingleStep(0.05)
        self.iou.setValue(0.5)
        self.iou.setToolTip("Boxes match from this intersection over union on")
        self.iou.editingFinished.connect(self.compare)
        self.again = button("Compare", "Read the journals again", self.compare)
        self.table = _table(_AGREEMENT)
        self.pace = _table(_PACE)
        self.text = sentence()
        self.figure = Picture()
        self.save_table = button("Save tables…", "All figures as CSV", self._save_tables)
        self.save_figure = button("Save figure…", "As PNG or SVG", self._save_figure)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(8, 4, 8, 4)
        outer.addLayout(
            row(self.first, QLabel("and"), self.second, QLabel("IoU from"), self.iou, self.again, stretch=2)
        )
        outer.addWidget(self.table)
        outer.addWidget(self.pace)
        outer.addWidget(self.text)
        outer.addWidget(self.figure, 1)
        outer.addLayout(row(self.save_table, self.save_figure))
        self.setMinimumWidth(520)
        links.connect(session.workers.changed, self._busy)
        self.compare()

    def compare(self) -> None:
        """Read the journals of the worklist's cases and work everything out, in a thread."""
        session = self._session
        worklist = session.reading.worklist
        if worklist is None:
            self.text.setText("Open a worklist first: its cases' boxes are compared.")
            return
        session.reading.settle()
        source, iou = worklist.source, float(self.iou.value())
        wanted = (self.first.currentText(), self.second.currentText())

        def work(progress: Progress) -> Compared:
            return _compare(source, wanted, iou, progress)

        session.workers.start(AGREE, "Compare readers", work, done=self._show, failed=self._failed)

    def _show(self, found: Compared) -> None:
        self._found = found
        names = (found.agreement.first, found.agreement.second) if found.agreement is not None else ("", "")
        for box, name in zip((self.first, self.second), names, strict=True):
            chosen = name or box.currentText()
            box.clear()
            box.addItems(list(found.raters))
            box.setCurrentIndex(max(0, box.findText(chosen)))
        if found.agreement is None and len(found.raters) > 1:
            self.second.setCurrentIndex(1)
        agreement = found.agreement
        rows = []
        for one in (agreement.overall, *agreement.classes) if agreement is not None else ():
            figures = (one.f1, one.iou_median, one.slice_kappa, one.label_kappa)
            cells = [one.label, f"{one.first_boxes} / {one.second_boxes}", str(one.matched)]
            rows.append([*((cell, "") for cell in cells), *(_cell(figure) for figure in figures)])
        _fill(self.table, rows)
        _fill(
            self.pace,
            [
                [
                    (text, one.reason)
                    for text in (
                        one.reader,
                        str(one.cases),
                        str(one.images),
                        _number(one.seconds_per_image),
                        _number(one.seconds_per_box),
                        _number(one.images_per_hour, 0),
                        str(one.pauses),
                    )
                ]
                for one in found.pace.readers
            ],
        )
        lines = list(found.notes[:3])
        if agreement is None:
            lines.insert(0, "There are boxes of one reader only: there is nobody to compare with yet.")
        lines.append(f"{found.pace.reference[0].upper()}{found.pace.reference[1:]}.")
        self.text.setText("\n".join(lines))
        picture = QPixmap()
        picture.loadFromData(found.picture)
        self.figure.show_picture(picture)
        self._busy()

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, BreastAIError):
            self.text.setText(str(error))
        else:
            self._session.fail(error)

    def _busy(self) -> None:
        busy = self._session.workers.running(AGREE)
        self.again.setEnabled(not busy)
        self.again.setText("Comparing…" if busy else "Compare")
        ready = not busy and self._found is not None
        self.save_table.setEnabled(ready)
        self.save_figure.setEnabled(ready and self._found is not None and self._found.agreement is not None)

    def _save_tables(self) -> None:
        found = self._found
        if found is None or not (place := choose_output(self, "Save the figures", "agreement.csv")):
            return
        path = Path(place)
        try:
            if found.agreement is not None:
                _write_csv(path, found.agreement.rows())
            _write_csv(path.with_name(f"{path.stem}-pace.csv"), found.pace.rows())
        except OSError as error:
            self.text.setText(f"{path} cannot be written ({error.strerror or error}). Choose another place.")

    def _save_figure(self) -> None:
        found = self._found
        if found is None or found.agreement is None:
            return
        if place := choose_output(self, "Save the figure", "agreement.png"):
            from ...annotations.plots import agreement_figure, save_figure

            try:
                save_figure(agreement_figure(found.agreement, found.pace), place)
            except BreastAIError as error:
                self.text.setText(str(error))


class Picture(QLabel):
    """A picture as large as there is room."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._picture = QPixmap()
        self.setMinimumSize(320, 240)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)

    def show_picture(self, picture: QPixmap) -> None:
        """Show another one."""
        self._picture = picture
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit again."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self._picture.isNull():
            self.clear()
            return
        ratio, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        self.setPixmap(self._picture.scaled(self.size(), ratio, smooth))


def _compare(source: Path, wanted: tuple[str, str], iou: float, progress: Progress) -> Compared:
    from ...annotations.agreement import agreement
    from ...annotations.collect import Found
    from ...annotations.pace import pace
    from ...annotations.plots import agreement_figure
    from ...annotations.raters import raters, readings
    from ...study import open_volume

    found = Found([source], progress, opener=open_volume)
    names = raters(found.records)
    speed = pace(found.records)
    if len(names) < 2:
        return Compared(found.records, names, speed, None, b"", tuple(found.notes))
    first = wanted[0] if wanted[0] in names else names[0]
    second = wanted[1] if wanted[1] in names and wanted[1] != first else next(n for n in names if n != first)
    result = agreement(readings(found.records, first), readings(found.records, second), iou)
    stream = io.BytesIO()
    agreement_figure(result, speed).savefig(stream, format="png")
    notes = (*found.notes, *result.notes)
    return Compared(found.records, names, speed, result, stream.getvalue(), notes)


def _table(columns: Sequence[str]) -> QTableWidget:
    table = QTableWidget(0, len(columns))
    table.setHorizontalHeaderLabels(list(columns))
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(22)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setShowGrid(False)
    header = table.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setStretchLastSection(True)
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return table


def _fill(table: QTableWidget, rows: Sequence[Sequence[tuple[str, str]]]) -> None:
    table.setRowCount(len(rows))
    for r, cells in enumerate(rows):
        for c, (text, tip) in enumerate(cells):
            item = QTableWidgetItem(text)
            item.setToolTip(tip)
            table.setItem(r, c, item)
    lines = min(max(len(rows), 1), 7)
    table.setFixedHeight(table.horizontalHeader().sizeHint().height() + 22 * lines + 20)


def _cell(figure: Figure) -> tuple[str, str]:
    """A figure with its interval, and what it rests on."""
    if figure.value is None:
        return "–", figure.reason
    interval = "" if figure.low is None else f" ({figure.low:.2f}–{figure.high:.2f})"
    tip = f"95 % interval: {figure.method}; n = {figure.n}" if interval else figure.reason
    return f"{figure.value:.2f}{interval}", tip


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(stream.getvalue(), encoding="utf-8")


def add_agreement(viewer: Any, session: Session, links: Links) -> AgreementDock:
    """Dock it at the right of the window; the one that is there is shown again."""
    name = "Agreement"
    known = viewer.window.dock_widgets.get(name)
    if isinstance(known, AgreementDock):
        if (dock := known.parentWidget()) is not None:
            dock.show()
            dock.raise_()
        known.compare()
        return known
    made = AgreementDock(session, links)
    viewer.window.add_dock_widget(made, name=name, area="right", tabify=True)
    return made
