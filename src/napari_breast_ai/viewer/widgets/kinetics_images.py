"""Subtraction and enhancement of any two phases, and projections."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QLabel, QVBoxLayout, QWidget

from ..mip import add_mip
from ..projected import PLANES
from .combo import combo
from .section import Links, Section, button, row, sentence

if TYPE_CHECKING:
    from ..session import Session

_MIPS = {"": "off", "slab": "a slab around each slice", "whole": "all slices"}
_OF = {"difference": "the subtraction above", "phase": "the phase alone"}


class ImagesPanel(QWidget):
    """What is seen in place of the slices, and the views from other sides.

    Attributes:
        shown, phase, base, percent: the subtraction.
        mip, slab, mip_of: the projection in place of the slices. view_buttons: by plane.
    """

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        layers = session.kinetics.layers
        body = QVBoxLayout(self)
        body.setContentsMargins(4, 6, 4, 4)
        body.setSpacing(6)
        first = Section("Subtraction of two phases")
        self.shown = QCheckBox("Show phase")
        self.shown.setToolTip("In place of the slices, whatever the slider of the phases says")
        self.shown.toggled.connect(lambda on: layers.show(difference=on))
        self.phase = combo("What is subtracted from; without a choice the early phase", 1)
        self.base = combo("What is subtracted; without a choice the phase before contrast", 1)
        self.phase.activated.connect(lambda: self._choose("phase", self.phase))
        self.base.activated.connect(lambda: self._choose("base", self.base))
        self.percent = QCheckBox("in %")
        self.percent.setToolTip(
            "Relative enhancement: in per cent of the phase that is subtracted, in tissue"
        )
        self.percent.toggled.connect(lambda on: layers.show(percent=on))
        minus = QLabel("minus")
        first.body.addLayout(row(self.shown, self.phase, minus, self.base, self.percent))
        self.problem = sentence(tone="warning")
        first.body.addWidget(self.problem)
        body.addWidget(first)
        second = Section("Highest values (MIP)")
        self.mip = combo(
            "In place of each slice the highest values through a slab, or through all", 10, _MIPS
        )
        self.mip.activated.connect(lambda: layers.show(mip=self.mip.currentData()))
        self.slab = QDoubleSpinBox()
        self.slab.setRange(1.0, 200.0)
        self.slab.setDecimals(0)
        self.slab.setSuffix(" mm")
        self.slab.setToolTip("How thick the slab is")
        self.slab.valueChanged.connect(lambda value: layers.show(slab_mm=float(value)))
        self.mip_of = combo("What is projected", 10, _OF)
        self.mip_of.activated.connect(lambda: layers.show(mip_of=self.mip_of.currentData()))
        second.body.addLayout(row(QLabel("On the slices:"), self.mip, self.slab, stretch=1))
        second.body.addLayout(row(QLabel("Of:"), self.mip_of, stretch=1))
        self.view_buttons = {
            plane: button(
                text, f"A view of its own beside the slices: {tip}", partial(add_mip, session, plane)
            )
            for plane, (text, tip) in PLANES.items()
        }
        second.body.addWidget(QLabel("Beside the slices:"))
        second.body.addLayout(row(*self.view_buttons.values()))
        body.addWidget(second)
        body.addStretch(1)
        for signal in (layers.changed, session.kinetics.changed):
            links.connect(signal, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what is shown."""
        kinetics, volume = self._session.kinetics, self._session.volume
        view, choice = kinetics.layers.view, kinetics.choice
        count = 0 if volume is None else volume.n_phases
        ready = count > 1
        usual = {
            "phase": None if choice is None else choice.early,
            "base": None if choice is None else choice.pre,
        }
        for name, box in (("phase", self.phase), ("base", self.base)):
            with QSignalBlocker(box):
                box.clear()
                for number in range(count):
                    box.addItem(str(number), number)
                wanted = getattr(view, name)
                box.setCurrentIndex(box.findData(usual[name] if wanted is None else wanted))
                box.setEnabled(ready)
        for check, on in ((self.shown, view.difference), (self.percent, view.percent)):
            with QSignalBlocker(check):
                check.setChecked(on)
                check.setEnabled(ready)
        for box, value in ((self.mip, view.mip), (self.mip_of, view.mip_of)):
            with QSignalBlocker(box):
                box.setCurrentIndex(box.findData(value))
                box.setEnabled(ready)
        with QSignalBlocker(self.slab):
            self.slab.setValue(view.slab_mm)
            self.slab.setVisible(view.mip == "slab")
        kinetics.layers.image()
        problem = kinetics.layers.problem
        if not kinetics.on and (view.difference or view.mip):
            problem = "Kinetics are switched off: nothing of this is shown."
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        for one in self.view_buttons.values():
            one.setEnabled(ready)  # while slices are read it says so itself

    def _choose(self, name: str, box: QComboBox) -> None:
        self._session.kinetics.layers.show(**{name: box.currentData(), "difference": True})
