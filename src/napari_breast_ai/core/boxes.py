"""Lesion bounding boxes on slices."""

from __future__ import annotations

from dataclasses import dataclass, replace

NORMAL_TISSUE = "normal tissue"
"""The class of boxes that show what is not a lesion."""

BOX_LABELS = ("IGM", "NME", "other benign", "other malignant", NORMAL_TISSUE)
"""The classes a box can have, as they are offered: benign granulomatous mastitis, malignant non-mass enhancement, ..."""


@dataclass(frozen=True)
class Box:
    """An axis-aligned rectangle on one slice; it belongs to all phases.

    Edges are index coordinates with integers at pixel *centres*: a box around rows 10 to 12 runs from 9.5 to 12.5.

    Attributes:
        z: slice index.
        y0, x0, y1, x1: edges in pixels, top, left, bottom, right.
        label: one of `BOX_LABELS` or a class of the project's own.
        id: unique within the case.
        author: who drew or accepted it: a reader's name, "truth" of a phantom, or "model:NAME".
        lesion: boxes with the same name are slices of one lesion; "" is a lesion of its own.
        origin: where it came from: "" drawn by hand, "copied", "interpolated", "enhancement", "model:NAME" or
            "import:FILE".
        edited: a person changed it since it came from there.
    """

    z: int
    y0: float
    x0: float
    y1: float
    x1: float
    label: str
    id: str = ""
    author: str = ""
    lesion: str = ""
    origin: str = ""
    edited: bool = False

    def problems(self, shape: tuple[int, int, int] | None = None) -> list[str]:
        """What is wrong with the box, in words; with `shape` (slices, rows, columns) also whether it lies inside."""
        found = []
        if not (self.y1 > self.y0 and self.x1 > self.x0):
            found.append("The box has no area.")
        if not self.label:
            found.append("The box has no class.")
        if shape is not None:
            if not 0 <= self.z < shape[0]:
                found.append(f"The box is on slice {self.z}; the study has slices 0 to {shape[0] - 1}.")
            if self.y1 <= -0.5 or self.x1 <= -0.5 or self.y0 >= shape[1] - 0.5 or self.x0 >= shape[2] - 0.5:
                found.append("The box lies outside the image.")
        return found

    def shifted(self, down: float, right: float) -> Box:
        """The box so many pixels further down and to the right."""
        return replace(self, y0=self.y0 + down, x0=self.x0 + right, y1=self.y1 + down, x1=self.x1 + right)

    def clipped(self, rows: int, columns: int) -> Box:
        """The part of the box inside an image of `rows` × `columns`."""
        return replace(
            self,
            y0=min(max(self.y0, -0.5), rows - 0.5),
            x0=min(max(self.x0, -0.5), columns - 0.5),
            y1=min(max(self.y1, -0.5), rows - 0.5),
            x1=min(max(self.x1, -0.5), columns - 0.5),
        )

    @property
    def area(self) -> float:
        """Square pixels."""
        return (self.y1 - self.y0) * (self.x1 - self.x0)

    def iou(self, other: Box) -> float:
        """Intersection over union with another box, 0..1; 0 on different slices."""
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        if self.z != other.z or height <= 0 or width <= 0:
            return 0.0
        shared = height * width
        return shared / (self.area + other.area - shared)

    def contains(self, y: float, x: float) -> bool:
        """Whether the point (row, column) lies in the box, edges included."""
        return self.y0 <= y <= self.y1 and self.x0 <= x <= self.x1
