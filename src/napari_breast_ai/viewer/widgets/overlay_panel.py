"""What is laid over the image, and how."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QSlider, QWidget

from .. import layers as look
from ..heat_colors import COLORS
from ..shortcuts import tooltip
from .color_bar import ColorBar, meaning
from .combo import combo, short_combo
from .section import Links, Section, row, sentence

if TYPE_CHECKING:
    from ..session import Session

STYLES = {"wash": "Colour wash", "lines": "Lines", "both": "Both"}


class OverlayPanel(Section):
    """Attention and Grad-CAM on and off, of which class and against which, how they are drawn, and what they mean."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Explanation", parent)
        self._session = session
        self.attention = QCheckBox("Attention")
        self.attention.setToolTip(tooltip("attention"))
        self.attention.toggled.connect(lambda on: session.set_display(attention=on))
        self.gradcam = QCheckBox("Grad-CAM of")
        self.gradcam.setToolTip(tooltip("gradcam"))
        self.gradcam.toggled.connect(lambda on: session.set_display(gradcam=on))
        self.label_box = combo("The class whose evidence the Grad-CAM shows", 4)
        self.label_box.activated.connect(lambda i: self._ask(label=self.label_box.itemText(i)))
        self.against_box = combo(
            "Another class, whose evidence is subtracted: what speaks for the one rather than for the other",
            4,
        )
        self.against_box.activated.connect(lambda i: self._ask(against=self.against_box.itemData(i)))
        self.style_box = combo("A wash of colour over the image, lines of equal height, or both", 4, STYLES)
        self.style_box.activated.connect(lambda i: session.set_display(style=self.style_box.itemData(i)))
        self.colors_box = short_combo(
            "The colours of attention and Grad-CAM, never the same for both; a difference of two classes has its own",
            4,
        )
        for pair in permutations(COLORS, 2):
            self.colors_box.addItem(" and ".join(pair), pair)
        self.colors_box.activated.connect(lambda i: self._color(*self.colors_box.itemData(i)))
        self.body.addLayout(row(self.attention, QLabel("drawn as"), self.style_box, stretch=2))
        self.body.addLayout(row(self.gradcam, self.label_box, QLabel("minus"), self.against_box, stretch=1))
        self.body.addLayout(row(QLabel("Colours"), self.colors_box, stretch=1))
        self.opacity = self._slider(100, "How strongly the maps cover the image")
        self.opacity.valueChanged.connect(lambda value: session.set_display(opacity=value / 100))
        self.threshold = self._slider(95, "Weaker parts of the maps are left out; the colours stay")
        self.threshold.valueChanged.connect(lambda value: session.set_display(threshold=value / 100))
        self._numbers = {self.opacity: QLabel(), self.threshold: QLabel()}
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        for line, (name, slider) in enumerate((("Opacity", self.opacity), ("Threshold", self.threshold))):
            grid.addWidget(QLabel(name), line, 0)
            grid.addWidget(slider, line, 1)
            number = self._numbers[slider]
            number.setMinimumWidth(number.fontMetrics().horizontalAdvance("100 %") + 4)
            number.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            grid.addWidget(number, line, 2)
        self.body.addLayout(grid)
        self.bars = {role: ColorBar(session) for role in (look.ATTENTION, look.GRADCAM)}
        self.meanings = sentence(tone="faint")
        self.note = sentence(tone="faint")
        for widget in (*self.bars.values(), self.meanings, self.note):
            self.body.addWidget(widget)
        links.connect(session.display_changed, self.refresh)
        links.connect(session.prediction_changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the session's display without telling it back."""
        display, prediction = self._session.display, self._session.prediction
        labels = list(prediction.gradcam) if prediction is not None else []
        watched = (
            self.attention, self.gradcam, self.label_box, self.against_box, self.style_box, self.colors_box,
            self.opacity, self.threshold,
        )  # fmt: skip
        for widget in watched:
            widget.blockSignals(True)
        if [self.label_box.itemText(i) for i in range(self.label_box.count())] != labels:
            self.label_box.clear()
            self.label_box.addItems(labels)
            self.against_box.clear()
            self.against_box.addItem("nothing", "")
            for label in labels:
                self.against_box.addItem(label, label)
        self.label_box.setCurrentText(display.label)
        self.against_box.setCurrentIndex(max(0, self.against_box.findData(display.against)))
        self.style_box.setCurrentIndex(self.style_box.findData(display.style))
        self.colors_box.setCurrentText(f"{display.attention_colors} and {display.gradcam_colors}")
        self.attention.setChecked(display.attention)
        self.gradcam.setChecked(display.gradcam)
        self.opacity.setValue(round(display.opacity * 100))
        self.threshold.setValue(round(display.threshold * 100))
        for widget in watched:
            widget.blockSignals(False)
        for slider, number in self._numbers.items():
            number.setText(f"{slider.value()} %")
        for widget in watched:
            widget.setEnabled(bool(labels))
        without = prediction is not None and prediction.attention is None
        if without:
            self.attention.setEnabled(False)
            self.note.setText(
                "This model has no attention; Grad-CAM shows where its score comes from."
                if labels
                else "This model scores the whole case: there is no heat map of a slice."
            )
        elif prediction is None:
            self.note.setText("Attention and Grad-CAM appear when a model has run.")
        self.note.setVisible(without or prediction is None)
        shown = {heat.role: heat for heat in self._session.heat.shown}
        for role, bar in self.bars.items():
            bar.set_heat(shown.get(role))
        self.meanings.setText("\n".join(meaning(heat) for heat in shown.values()))
        self.meanings.setVisible(bool(shown))
        self.summarise(", ".join(heat.name for heat in shown.values()) or "nothing laid over the image")

    def _ask(self, **asked: str) -> None:
        """Show the Grad-CAM of a class, or against one; no class is compared with itself."""
        display = self._session.display
        label, against = asked.get("label", display.label), asked.get("against", display.against)
        if label == against:
            # Chosen as the one, it gives up being the other: to turn a difference round takes one choice.
            others = (
                [one for one in self._session.prediction.gradcam if one != label]
                if self._session.prediction
                else []
            )
            if "label" in asked:
                against = display.label
            elif others:
                label = others[0]
        self._session.set_display(label=label, against=against if against != label else "", gradcam=True)

    def _color(self, attention: str, gradcam: str) -> None:
        self._session.set_display(attention_colors=attention, gradcam_colors=gradcam)

    def _slider(self, maximum: int, tip: str) -> QSlider:
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setRange(0, maximum)
        slider.setToolTip(tip)
        return slider
