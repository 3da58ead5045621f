"""The curves and what is drawn of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from ...core import BreastAIError
from ..notices import tell
from ..shortcuts import tooltip
from .choose import choose_output
from .combo import combo
from .curve_plot import CurvePlot
from .section import Links, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session

_UNITS = {"percent": "per cent", "signal": "signal", "concentration": "mM"}
_WHICH = {
    "chosen": "this lesion",
    "all": "all lesions",
    "boxes": "its boxes",
    "all boxes": "all boxes",
    "none": "no lesion",
}
_SIZES = {1: "voxel at the pointer", 3: "3 × 3 at the pointer"}


class CurvesPanel(QWidget):
    """The plot over two lines of controls.

    Attributes:
        plot: the curves.
        unit, which, at_pointer, worst: what is drawn. keep_button, clear_button: curves that stay.
        picture_button, data_button: to files. remark: boxes that are not drawn.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        body = QVBoxLayout(self)
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(4)
        curves = session.kinetics.curves
        self.plot = CurvePlot(session)
        self.plot.clicked.connect(lambda phase: session.go_to(phase_index=phase))
        body.addWidget(self.plot)
        self.unit = combo(
            "What the curves show: per cent of the signal before contrast, the signal, or the agent's concentration",
            5,
            _UNITS,
        )
        self.which = combo(
            "Whose curves are drawn: the mean of the enhancing voxels of a lesion, or of each of its boxes",
            5,
            _WHICH,
        )
        self.at_pointer = combo("The curve at the pointer: of one voxel, or the mean of 3 × 3", 6, _SIZES)
        self.worst = QCheckBox("worst 3 × 3")
        self.worst.setToolTip("The most suspicious 3 × 3 pixels of each lesion's largest box too")
        self.unit.activated.connect(lambda: curves.set(unit=self.unit.currentData()))
        self.which.activated.connect(lambda: curves.set(which=self.which.currentData()))
        self.at_pointer.activated.connect(lambda: curves.set(size=self.at_pointer.currentData()))
        self.worst.toggled.connect(lambda on: curves.set(worst=on))
        self.keep_button = button("Keep", tooltip("keep curve"), curves.keep)
        self.clear_button = button("Clear", "Keep no curve of a place any more", curves.clear)
        self.picture_button = button("Picture…", "Save the curves as PNG or SVG", self._save_picture)
        self.data_button = button("Data…", "Save the curves as a table (CSV)", self._save_data)
        body.addLayout(row(self.unit, self.which, self.worst, stretch=1))
        body.addLayout(
            row(
                self.at_pointer,
                self.keep_button,
                self.clear_button,
                self.picture_button,
                self.data_button,
                stretch=0,
            )
        )
        self.remark = sentence(tone="faint")
        body.addWidget(self.remark)
        for signal in (curves.changed, session.position_changed):
            links.connect(signal, self.refresh)
        links.connect(session.kinetics.exchange.changed, self._offer)
        links.connect(session.boxes_changed, self.refresh)
        self._offer()
        self.refresh()

    def refresh(self) -> None:
        """Draw anew."""
        kinetics = self._session.kinetics
        curves, drawn = kinetics.curves, kinetics.curves.drawn()
        hint = ""
        if kinetics.on and kinetics.choice is not None and not drawn:
            hint = "Move the pointer over the image: the curve of the voxel below it is drawn here."
        self.plot.show_curves(drawn, curves.unit, kinetics.choice, kinetics.thresholds, hint)
        for box, value in (
            (self.unit, curves.unit),
            (self.which, curves.which),
            (self.at_pointer, curves.size),
        ):
            with QSignalBlocker(box):
                box.setCurrentIndex(box.findData(value))
        with QSignalBlocker(self.worst):
            self.worst.setChecked(curves.worst)
        self.worst.setEnabled(curves.which in ("chosen", "all"))
        self.remark.setText(curves.remark)
        self.remark.setVisible(bool(curves.remark))
        self.clear_button.setEnabled(curves.kept > 0)
        for one in (self.picture_button, self.data_button):
            one.setEnabled(bool(drawn))

    def _offer(self) -> None:
        """Concentration can be chosen once sequence and T1 are known."""
        model = self.unit.model()
        assert isinstance(model, QStandardItemModel)
        item = model.item(self.unit.findData("concentration"))
        known = self._session.kinetics.curves.has_concentration
        item.setEnabled(known)
        item.setToolTip(
            "" if known else "Tell T1, TR, flip angle and relaxivity on the page “Exchange” first"
        )

    def _save_picture(self) -> None:
        if path := choose_output(self, "Save the curves as a picture", "curves.png"):
            self.save_picture(path)

    def _save_data(self) -> None:
        if path := choose_output(self, "Save the curves as a table", "curves.csv"):
            self.save_data(path)

    def save_picture(self, path: str) -> None:
        """Write the curves that are drawn, PNG or SVG by the ending."""
        from ...kinetics.plots import curves_figure, save_figure

        kinetics = self._session.kinetics
        drawn, unit = kinetics.curves.drawn(), kinetics.curves.unit
        try:
            figure = curves_figure(
                [one.curve for one in drawn],
                kinetics.thresholds,
                percent=unit == "percent",
                concentration=unit == "concentration",
            )
            tell(f"Saved {save_figure(figure, path).name}.")
        except BreastAIError as error:
            self._session.fail(error)

    def save_data(self, path: str) -> None:
        """Write the curves that are drawn as CSV."""
        from ...kinetics import curves_csv
        from ...kinetics.write import write_text

        kinetics = self._session.kinetics
        text = curves_csv([one.curve for one in kinetics.curves.drawn()], kinetics.thresholds)
        try:
            tell(f"Saved {write_text(Path(path), text).name}.")
        except BreastAIError as error:
            self._session.fail(error)
