"""What the attention is taught by these boxes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QWidget

from ..targets_layer import RESNET_GRID, SQUEEZENET_GRID
from .combo import short_combo
from .section import Links, Section, row, sentence

if TYPE_CHECKING:
    from ..session import Session


class TargetsPanel(Section):
    """Show the targets, in which cells, by which rule."""

    def __init__(self, session: Session, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("What the attention is taught", parent)
        self._session = session
        self.shown = QCheckBox("Show targets")
        self.shown.setToolTip("The boxes as a model's attention gets them: one number for each of its cells")
        self.grid = short_combo("Whose cells: those of the chosen model, or of a usual backbone", 9)
        self.grid.addItem("cells of the model", None)
        self.grid.addItem(f"{SQUEEZENET_GRID[0]} × {SQUEEZENET_GRID[1]} (SqueezeNet)", SQUEEZENET_GRID)
        self.grid.addItem(f"{RESNET_GRID[0]} × {RESNET_GRID[1]} (ResNet-50)", RESNET_GRID)
        self.rule = short_combo(
            "A cell's target: the part of it that boxes cover, or 1 where they touch it",
            9,
            {"area": "covered part", "max": "any part"},
        )
        self.body.addWidget(self.shown)
        self.body.addLayout(row(self.grid, self.rule, stretch=0))
        self.text = sentence()
        self.body.addWidget(self.text)
        self.shown.toggled.connect(self._change)
        self.grid.activated.connect(self._change)
        self.rule.activated.connect(self._change)
        links.connect(session.targets.changed, self.refresh)
        links.connect(session.prediction_changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Say what is shown."""
        view = self._session.targets.view
        self.shown.setChecked(view.shown)
        h, w = self._session.targets.grid
        self.text.setText(f"{h} × {w} cells over the whole image. Boxes of normal tissue teach nothing.")
        self.text.setVisible(view.shown)

    def _change(self) -> None:
        grid = self.grid.currentData()
        self._session.targets.show(
            replace(
                self._session.targets.view,
                shown=self.shown.isChecked(),
                grid=None if grid is None else (int(grid[0]), int(grid[1])),
                rule=self.rule.currentData(),
            )
        )
