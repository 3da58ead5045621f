"""What is laid over the image, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLabel, QSlider, QWidget

from ..shortcuts import tooltip
from .section import Links, Section, row, sentence

if TYPE_CHECKING:
    from ..session import Session


class OverlayPanel(Section):
    """Attention and Grad-CAM on and off, the class of the Grad-CAM, opacity and threshold."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Explanation", parent)
        self._session = session
        self.attention = QCheckBox("Attention")
        self.attention.setToolTip(tooltip("attention"))
        self.attention.toggled.connect(lambda on: session.set_display(attention=on))
        self.gradcam = QCheckBox("Grad-CAM of")
        self.gradcam.setToolTip(tooltip("gradcam"))
        self.gradcam.toggled.connect(lambda on: session.set_display(gradcam=on))
        self.label_box = QComboBox()
        self.label_box.setToolTip("The class whose evidence the Grad-CAM shows")
        self.label_box.textActivated.connect(lambda label: session.set_display(label=label, gradcam=True))
        self.body.addLayout(row(self.attention, self.gradcam, self.label_box, stretch=2))
        self.opacity = self._slider(100, "How strongly the maps cover the image")
        self.opacity.valueChanged.connect(lambda value: session.set_display(opacity=value / 100))
        self.threshold = self._slider(95, "Weaker parts of the maps are left out")
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
        self.note = sentence(tone="faint")
        self.body.addWidget(self.note)
        links.connect(session.display_changed, self.refresh)
        links.connect(session.prediction_changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the session's display without telling it back."""
        display, prediction = self._session.display, self._session.prediction
        labels = list(prediction.gradcam) if prediction is not None else []
        watched = (self.attention, self.gradcam, self.label_box, self.opacity, self.threshold)
        for widget in watched:
            widget.blockSignals(True)
        if [self.label_box.itemText(i) for i in range(self.label_box.count())] != labels:
            self.label_box.clear()
            self.label_box.addItems(labels)
        self.label_box.setCurrentText(display.label)
        self.attention.setChecked(display.attention)
        self.gradcam.setChecked(display.gradcam)
        self.opacity.setValue(round(display.opacity * 100))
        self.threshold.setValue(round(display.threshold * 100))
        for widget in watched:
            widget.blockSignals(False)
        for slider, number in self._numbers.items():
            number.setText(f"{slider.value()} %")
        for widget in watched:
            widget.setEnabled(prediction is not None)
        without = prediction is not None and prediction.attention is None
        if without:
            self.attention.setEnabled(False)
            self.note.setText("This model has no attention; Grad-CAM shows where its score comes from.")
        elif prediction is None:
            self.note.setText("Attention and Grad-CAM appear when a model has run.")
        self.note.setVisible(without or prediction is None)

    def _slider(self, maximum: int, tip: str) -> QSlider:
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setRange(0, maximum)
        slider.setToolTip(tip)
        return slider
