"""A projection that turns around the patient's long axis, an angle at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import Geometry, Progress, silent
from .derived import Derived
from .errors import KineticsError
from .projection import Projection
from .tiles import spread, threads

Span = tuple[float, float]
"""Of a slab: from and to in mm along the line of sight, away from the one who looks, counted from the middle."""


class RotatingMip:
    """The highest values of a phase or subtraction, seen from any direction around the head-feet axis.

    What is projected is read once and kept; each image then takes the highest value of every strip of voxels that
    lies along the line of sight. Strips are as wide as the coarser of the two voxel edges that turn, and no value is
    interpolated. At 0 degrees the patient is seen from the front, at 90 degrees from her left.

    Attributes:
        angles: in degrees.
        upright: the stack's axis that runs down the views.
    """

    ndim = 3

    def __init__(self, image: Derived, number: int = 36) -> None:
        """`number` views over a full turn.

        Raises:
            KineticsError: there would be no view, or so many that none differs from the next.
        """
        if not 1 <= number <= 360:
            raise KineticsError("A turning projection needs 1 to 360 views.")
        self.angles = tuple(360.0 * k / number for k in range(number))
        self._image = image
        geometry = image.geometry
        # The stack's axis that runs nearest to head-feet stays upright.
        steps = geometry.affine[:3, :3] / np.linalg.norm(geometry.affine[:3, :3], axis=0)
        self.upright = int(np.argmax(np.abs(steps[2])))
        self._turning = [k for k in range(3) if k != self.upright]
        self._width = max(geometry.spacing[k] for k in self._turning)
        self._places, self._bins = self._ground()
        self.shape = (number, geometry.shape[self.upright], self._bins)
        self.dtype = np.dtype(np.float32)
        self._values: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def name(self) -> str:
        """For people."""
        return f"Turning MIP: {self._image.name}"

    def at(self, index: int, span: Span | None = None) -> Projection:
        """The view at an angle: rows along the upright axis, columns across the line of sight.

        Args:
            index: of the angle.
            span: of the slab that is projected; without it all.
        """
        values = self._held()
        order, strips, edges = self._strips(index, span)
        seen: NDArray[np.float32] = np.zeros((self._bins, values.shape[1]), np.float32)

        def some(part: slice) -> None:
            for strip, first, stop in zip(strips[part], edges[:-1][part], edges[1:][part], strict=True):
                np.max(values[order[first:stop]], axis=0, out=seen[strip])

        step = max(1, -(-len(strips) // threads()))
        spread(some, [slice(start, start + step) for start in range(0, len(strips), step)])
        right, depth = self._directions(self.angles[index])
        name = f"{self.name}, {self.angles[index]:.0f}°"
        return Projection(np.ascontiguousarray(seen.T), self._geometry(right, depth), name)

    def voxel(
        self, index: int, row: int, column: int, span: Span | None = None
    ) -> tuple[int, int, int] | None:
        """The voxel (slice, row, column) that a view's pixel comes from; None where it looks past the stack."""
        if not (0 <= row < self.shape[1] and 0 <= column < self._bins):
            return None
        order, strips, edges = self._strips(index, span)
        at = int(np.searchsorted(strips, column))
        if at == len(strips) or strips[at] != column:
            return None
        behind = order[edges[at] : edges[at + 1]]
        found = int(behind[np.argmax(self._held()[behind, row])])
        a, b = self._turning
        place = [0, 0, 0]
        place[self.upright] = row
        place[a], place[b] = divmod(found, self._image.geometry.shape[b])
        return place[0], place[1], place[2]

    def seen_at(self, index: int, place: Sequence[float]) -> tuple[float, float, float]:
        """Where a place (slice, row, column) is seen: row and column of the view, and how far away as in `Span`, mm."""
        geometry = self._image.geometry
        away = np.array(
            [place[k] - (geometry.shape[k] - 1) / 2 if k in self._turning else 0.0 for k in range(3)]
        )
        right, depth = self._directions(self.angles[index])
        off = geometry.affine[:3, :3] @ away
        return (
            float(place[self.upright]),
            float(off @ right) / self._width + self._bins // 2,
            float(off @ depth),
        )

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        key = key if isinstance(key, tuple) else (key,)
        first, rest = key[0], key[1:]
        if isinstance(first, int | np.integer):
            one: NDArray[np.float32] = self.at(range(len(self))[int(first)]).pixels[rest]
            return one
        views = [self.at(k).pixels for k in range(len(self))[first]]
        return np.stack(views)[(slice(None), *rest)]

    def _strips(
        self, index: int, span: Span | None
    ) -> tuple[NDArray[np.intp], NDArray[np.int16], NDArray[np.intp]]:
        """Voxels of the plane that turns in the order of the strips, which strips hold any, and where each begins."""
        right, depth = self._directions(self.angles[index])
        # Half-way between two strips, where rows of an even number lie, all go the same way: rounding to even numbers
        # would leave every second strip empty, and so would noise in the last digit.
        strip = np.floor(self._places @ right / self._width + (0.5 + 1e-6)).astype(np.int16)
        strip += self._bins // 2
        within = np.arange(len(strip))
        if span is not None:
            away = self._places @ depth
            within = np.flatnonzero((away >= span[0]) & (away <= span[1]))
        order = within[np.argsort(strip[within], kind="stable")]
        strips, starts = np.unique(strip[order], return_index=True)
        return order, strips, np.append(starts, len(order))

    def prepare(self, progress: Progress = silent) -> None:
        """Read what is projected, which the first view does else. Raises `Cancelled` by `progress`."""
        if self._values is not None:
            return
        shape = self._image.geometry.shape
        a, b = self._turning
        values: NDArray[np.float32] = np.empty((shape[a] * shape[b], shape[self.upright]), np.float32)
        # The same memory, seen as the stack.
        stack = np.moveaxis(values.reshape(shape[a], shape[b], -1), 2, self.upright)
        for z in range(shape[0]):
            progress(z, shape[0], "turning MIP")
            stack[z] = self._image.block(z, z + 1)[0]
        self._values = values

    def _held(self) -> NDArray[np.float32]:
        """(voxels of the plane that turns, indices along the upright axis)."""
        self.prepare()
        assert self._values is not None
        return self._values

    def _ground(self) -> tuple[NDArray[np.float64], int]:
        """Where the voxels of the plane that turns lie, in mm from its middle, (voxels, 3); and how many strips."""
        geometry = self._image.geometry
        a, b = self._turning
        index = np.indices((geometry.shape[a], geometry.shape[b])).reshape(2, -1).T.astype(np.float64)
        index -= (np.array([geometry.shape[a], geometry.shape[b]]) - 1) / 2
        places = index @ geometry.affine[:3, [a, b]].T
        reach = float(np.linalg.norm(places, axis=1).max())
        return places, 2 * int(np.ceil(reach / self._width)) + 1

    def _directions(self, degrees: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Unit vectors in patient coordinates: to the right of the image, and away from the one who looks."""
        axis = self._image.geometry.affine[:3, self.upright]
        axis = axis / np.linalg.norm(axis) * (1 if axis[2] >= 0 else -1)
        # Seen from the front the patient's left is on the right of the image, and her back is away.
        left = np.array([1.0, 0.0, 0.0]) - axis[0] * axis
        if np.linalg.norm(left) < 0.1:  # upright along the x axis: no head-feet axis to speak of
            left = np.array([0.0, 1.0, 0.0]) - axis[1] * axis
        left /= np.linalg.norm(left)
        back = np.cross(axis, left)
        turn = np.radians(degrees)
        right = np.cos(turn) * left + np.sin(turn) * back
        return right, np.cos(turn) * back - np.sin(turn) * left

    def _geometry(self, right: NDArray[np.float64], depth: NDArray[np.float64]) -> Geometry:
        """Of the view: one slice in the middle of the stack."""
        geometry = self._image.geometry
        rows = self.shape[1]
        down = geometry.affine[:3, self.upright]
        middle = geometry.to_patient((np.array(geometry.shape) - 1) / 2)
        affine = np.eye(4)
        affine[:3, 0] = depth * self._width
        affine[:3, 1] = down
        affine[:3, 2] = right * self._width
        affine[:3, 3] = middle - down * ((rows - 1) / 2) - affine[:3, 2] * (self._bins // 2)
        return Geometry(
            (1, rows, self._bins), (self._width, geometry.spacing[self.upright], self._width), affine
        )
