"""A projection that is ready to be shown: what it is of, where it lies in the patient, and which voxel each pixel is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core import Geometry, Progress
from ..core.orientation import upright
from . import cut
from . import kinetic_look as kind

if TYPE_CHECKING:
    from ..kinetics import Derived, RotatingMip

TURNING = "turning"
PLANES = {
    "axial": ("Axial", "seen from the feet"),
    "coronal": ("Coronal", "seen from the front"),
    "sagittal": ("Sagittal", "seen from the side"),
    TURNING: ("Turning", "from all around, by dragging or with Shift and the arrow keys"),
}

Where = tuple[int, int] | tuple[int, float | None]
"""First and last-but-one index of a slab; of a turning one the view, and how far away the slab's middle is in mm."""


@dataclass(frozen=True, eq=False)
class Made:
    """A projection that is ready to be shown. All that is told of it is of itself, not of what is wanted by now.

    Attributes:
        image: what was projected. plane: of `PLANES`. where: the slab, or the view.
        order: the stack's axes that are seen through, run down and across; of a turning one the first two are upright.
        pixels: (rows, columns).
        spacing: of the pixels, (down, across) in mm.
        turning: of a turning one. span: of its slab.
    """

    image: Derived
    plane: str
    where: Where
    order: cut.Order
    pixels: NDArray[np.float32]
    spacing: tuple[float, float]
    turning: RotatingMip | None = None
    span: tuple[float, float] | None = None

    def voxel(self, down: int, across: int) -> tuple[int, int, int] | None:
        """The voxel that a pixel comes from, which has its value; None beside the stack."""
        rows, columns = self.pixels.shape
        if not (0 <= down < rows and 0 <= across < columns):
            return None
        if self.turning is not None:
            return self.turning.voxel(int(self.where[0]), down, across, self.span)
        from ..kinetics import brightest

        axis = self.order[0]
        # Counted in the stack's own order, which may be the other way round on the screen.
        pair = (down, across) if self.order[1] < self.order[2] else (across, down)
        at = brightest(self.image, axis, *pair, *(int(one or 0) for one in self.where))  # type: ignore[arg-type]
        place = {axis: at, self.order[1]: down, self.order[2]: across}
        return place[0], place[1], place[2]

    def seen_at(self, place: Sequence[float]) -> tuple[float, float]:
        """Where in the picture a place of the study is seen: row and column."""
        if self.turning is not None:
            return self.turning.seen_at(int(self.where[0]), place)[:2]
        return place[self.order[1]], place[self.order[2]]

    @property
    def whole(self) -> bool:
        """Whether all of the stack was projected."""
        if self.turning is not None:
            return self.span is None
        return self.where == (0, self.image.geometry.shape[self.order[0]])

    @property
    def text(self) -> str:
        """What is seen, in two or three lines."""
        lines = [f"MIP {PLANES[self.plane][0].lower()}"]
        if self.turning is not None:
            lines = [f"MIP {self.turning.angles[int(self.where[0])]:.0f}°"]
            if self.span is not None:
                lines.append(f"{self.span[1] - self.span[0]:.0f} mm")
        elif not self.whole:
            first, stop = int(self.where[0]), int(self.where[1] or 0)
            axis = self.order[0]
            name = ("slices", "rows", "columns")[axis]
            thick = (stop - first) * self.image.geometry.spacing[axis]
            lines.append(f"{thick:.0f} mm: {name} {first}–{stop - 1}")
        return "\n".join([*lines, kind.image_name(self.image)])

    def hung(self) -> tuple[str, str, dict[str, str]]:
        """Which way the picture's axes run, and the patient's side at each edge."""
        geometry = self.image.geometry
        if self.turning is None:
            vertical, horizontal = (
                upright(self.image.volume) if self.order[0] == 0 else cut.upright(geometry, self.order)
            )
            return vertical, horizontal, cut.edges(geometry, self.order, vertical, horizontal)
        up = geometry.affine[:3, self.turning.upright]
        degrees = np.radians(self.turning.angles[int(self.where[0])])
        right = letters(np.array([np.cos(degrees), np.sin(degrees), 0.0]))
        left = letters(np.array([-np.cos(degrees), -np.sin(degrees), 0.0]))
        vertical = "up" if up[int(np.argmax(np.abs(up)))] > 0 else "down"
        top, bottom = letters(up), letters(-up)
        if vertical == "down":
            top, bottom = bottom, top
        return vertical, "right", {"top": top, "bottom": bottom, "left": left, "right": right}


def letters(direction: NDArray[np.float64]) -> str:
    """The patient's side that a direction points to: "L", and of an oblique one two letters, the nearer first."""
    parts = direction / np.linalg.norm(direction)
    names = [("R", "L"), ("A", "P"), ("F", "H")]
    order = np.argsort(-np.abs(parts))
    # Half-way from one side to a direction between two.
    return "".join(names[k][int(parts[k] > 0)] for k in order if abs(parts[k]) > np.sin(np.radians(22.5)))


def axis_of(geometry: Geometry, plane: str) -> int:
    """The stack's axis that runs at right angles to an anatomical plane, nearly."""
    towards = {"axial": 2, "coronal": 1, "sagittal": 0}
    directions = np.abs(geometry.affine[:3, :3] / np.linalg.norm(geometry.affine[:3, :3], axis=0))
    # Each axis to one plane: the slices' own first, since of an oblique stack that is the one that is meant.
    own = {"axial": 2, "coronal": 1, "sagittal": 0}[geometry.orientation]
    if towards[plane] == own:
        return 0
    return 1 if directions[towards[plane], 1] >= directions[towards[plane], 2] else 2


def make(
    image: Derived, plane: str, where: Where, slab_mm: float, turning: RotatingMip | None, progress: Progress
) -> Made:
    """Project along a plane's normal, or from one of the views around. Raises Cancelled."""
    from ..kinetics import project

    geometry = image.geometry
    if turning is not None:
        middle = where[1]
        span = None if middle is None else (middle - slab_mm / 2, middle + slab_mm / 2)
        view = turning.at(int(where[0]), span)
        across = next(axis for axis in (2, 1, 0) if axis != turning.upright)
        through = 3 - turning.upright - across
        order = (through, turning.upright, across)
        return Made(image, plane, where, order, view.pixels, view.geometry.spacing[1:], turning, span)
    axis = axis_of(geometry, plane)
    order = cut.order_of(geometry, axis)
    first, stop = int(where[0]), int(where[1] or 0)
    pixels = project(image, axis, first=first, stop=stop, progress=progress).pixels  # type: ignore[arg-type]
    if order[1] > order[2]:
        pixels = np.ascontiguousarray(pixels.T)
    return Made(image, plane, where, order, pixels, (geometry.spacing[order[1]], geometry.spacing[order[2]]))
