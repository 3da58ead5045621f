"""Plain napari as a tool for labelling: an image layer, a layer of shapes, and the few lines that everybody writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pandas as pd
from numpy.typing import NDArray

COLORS = ("#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7")


class Plain:
    """The next image is `layer.data = ...`; with every box drawn the shapes are saved as a CSV.

    Attributes:
        viewer: napari's viewer, with nothing of this project in it.
        upcoming: pixels (slices, rows, columns), their distances, first slice and the boxes, as corners, that are there
            already: what the key Enter shows. They are in memory: reading is not this peer's part.
    """

    def __init__(self, folder: Path, labels: Sequence[str]) -> None:
        self.folder = folder
        self.labels = tuple(labels)
        self.upcoming: tuple[NDArray[Any], tuple[float, ...], int, list[NDArray[Any]]] | None = None
        self.shown = 0
        self.viewer = napari.Viewer(title="plain napari")
        self.viewer.window.resize(1600, 1000)
        self.image = self.viewer.add_image(np.zeros((1, 64, 64), np.uint16), interpolation2d="linear")
        self.shapes = self.viewer.add_shapes(
            ndim=3,
            features=pd.DataFrame({"label": pd.Series([], dtype=object)}),
            edge_color="label",
            edge_color_cycle=list(COLORS),
            face_color="transparent",
            text={"string": "{label}", "size": 9, "color": "white", "anchor": "upper_left"},
        )
        self.shapes.mode = "add_rectangle"
        self.shapes.events.data.connect(self._on_data)
        for number, label in enumerate(self.labels, start=1):
            self.shapes.bind_key(str(number), lambda _, label=label: self._class(label), overwrite=True)
        self.shapes.bind_key("Enter", lambda _: self._next(), overwrite=True)
        self.shapes.bind_key("Down", lambda _: self._step(), overwrite=True)
        self._class(self.labels[0])

    @property
    def spacing(self) -> tuple[float, float]:
        """Distances of rows and of columns."""
        return float(self.image.scale[-2]), float(self.image.scale[-1])

    @property
    def csv(self) -> Path:
        """The file of the image on the screen."""
        return self.folder / f"{self.shown:04d}.csv"

    def _class(self, label: str) -> None:
        self.shapes.feature_defaults["label"] = label
        self.shapes.events.feature_defaults()

    def _next(self) -> None:
        assert self.upcoming is not None
        data, scale, z, boxes = self.upcoming
        self.shown += 1
        self.shapes.events.data.disconnect(self._on_data)
        self.shapes.data = []
        self.image.data = data
        self.image.scale = self.shapes.scale = scale
        self.image.reset_contrast_limits()
        self.shapes.current_edge_width = max(data.shape[1:]) / 220
        if boxes:
            self.shapes.add_rectangles(boxes)
        self.viewer.dims.set_point(0, z * scale[0])
        self.viewer.reset_view()
        self.shapes.events.data.connect(self._on_data)

    def _step(self) -> None:
        self.viewer.dims.set_current_step(0, self.viewer.dims.current_step[0] + 1)

    def _on_data(self, event: Any) -> None:
        if str(getattr(event, "action", "")) == "added":
            self.shapes.save(str(self.csv))
