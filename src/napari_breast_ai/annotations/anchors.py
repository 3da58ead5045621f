"""What a box is tied to besides its slice's number: the stored image and the place in the patient.

Slice numbers depend on how files were sorted and on which series is on the screen. The image's UID and the
patient's coordinates do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core import Box, DceVolume, FrameRef, Geometry

Point = tuple[float, float, float]

STRAIGHT = 0.02
"""Pixels: how far a box may be turned out of rows and columns before it counts as lying in another plane."""


@dataclass(frozen=True)
class Anchor:
    """Where a box belongs, whatever its slice is called.

    Attributes:
        image: the stored image under the box, where it is known.
        corners: the box's top left, top right and bottom left corner in patient millimetres (DICOM's LPS), or ().
        frame_of_reference: FrameOfReferenceUID (0020,0052) that the millimetres belong to.
    """

    image: FrameRef | None = None
    corners: tuple[Point, ...] = ()
    frame_of_reference: str = ""

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Anchor:
        """From a journal line's `image` and `patient`; what cannot be read counts as not known."""
        image = record.get("image")
        ref = None
        if isinstance(image, Mapping) and image.get("sop_instance_uid"):
            frame = image.get("frame")
            whole = isinstance(frame, int) and not isinstance(frame, bool)
            ref = FrameRef(str(image["sop_instance_uid"]), frame if whole else None)
        patient = record.get("patient")
        corners: tuple[Point, ...] = ()
        name = ""
        if isinstance(patient, Mapping):
            try:
                points = np.asarray(patient["corners"], dtype=np.float64)
            except (KeyError, TypeError, ValueError):
                points = np.empty(0)
            if points.shape == (3, 3) and np.isfinite(points).all():
                corners = tuple((float(x), float(y), float(z)) for x, y, z in points)
                name = str(patient.get("frame_of_reference") or "")
        return cls(ref, corners, name)

    def to_json(self) -> dict[str, Any]:
        """The keys of a journal line: `image` and `patient`, each where it is known."""
        record: dict[str, Any] = {}
        if self.image is not None:
            record["image"] = {"sop_instance_uid": self.image.sop_instance_uid, "frame": self.image.frame}
        if self.corners:
            record["patient"] = {
                "frame_of_reference": self.frame_of_reference,
                "corners": [[round(value, 4) for value in corner] for corner in self.corners],
            }
        return record


class Placing:
    """Ties boxes to the images of one volume, and finds them again in it."""

    def __init__(
        self,
        geometry: Geometry,
        frame_of_reference: str = "",
        frames: Sequence[Sequence[FrameRef]] = (),
    ) -> None:
        """For a stack of slices.

        Args:
            geometry: of the stack.
            frame_of_reference: its FrameOfReferenceUID; "" where it has no place that other series share.
            frames: `frames[phase][slice]`, the stored images; empty where there are none.
        """
        self.geometry = geometry
        self.frame_of_reference = frame_of_reference
        self._frames = frames
        self._slices = {frame: z for phase in frames for z, frame in enumerate(phase)}

    @classmethod
    def of(cls, volume: DceVolume) -> Placing:
        """For a volume."""
        return cls(volume.geometry, volume.identity.frame_of_reference_uid, volume.frames)

    def anchor(self, box: Box, phase: int = 0) -> Anchor:
        """What to write down for a box that was drawn while this phase was shown."""
        image = None
        if 0 <= phase < len(self._frames) and 0 <= box.z < len(self._frames[phase]):
            image = self._frames[phase][box.z]
        if not self.frame_of_reference:
            return Anchor(image)
        index = [[box.z, box.y0, box.x0], [box.z, box.y0, box.x1], [box.z, box.y1, box.x0]]
        corners = tuple((float(x), float(y), float(z)) for x, y, z in self.geometry.to_patient(index))
        return Anchor(image, corners, self.frame_of_reference)

    def place(self, box: Box, anchor: Anchor) -> Box | None:
        """The box in this volume's slices, rows and columns; None where it lies on none of its images.

        The stored image decides, then the place in the patient. A box that is tied to nothing keeps its numbers,
        and so does one tied to an image in a volume that knows none, unless they have different frames of reference.
        """
        if anchor.image in self._slices:
            return replace(box, z=self._slices[anchor.image])
        if anchor.corners and self.frame_of_reference:
            same = anchor.frame_of_reference == self.frame_of_reference
            return self._by_patient(box, anchor.corners) if same else None
        if anchor.image is not None and self._slices:
            return None
        return box

    def _by_patient(self, box: Box, corners: tuple[Point, ...]) -> Box | None:
        points = self.geometry.to_index(np.asarray(corners))
        z = round(float(points[:, 0].mean()))
        if np.abs(points[:, 0] - z).max() > 0.5 or not 0 <= z < self.geometry.shape[0]:
            return None
        sides = np.sort(np.abs(np.diff(points[[1, 0, 2], 1:], axis=0)), axis=1)
        if (sides[:, 0] > np.maximum(STRAIGHT, 0.02 * sides[:, 1])).any():
            return None
        opposite = points[1] + points[2] - points[0]
        low = np.minimum(points.min(axis=0), opposite)
        high = np.maximum(points.max(axis=0), opposite)
        edges = (float(low[1]), float(low[2]), float(high[1]), float(high[2]))
        if np.abs(np.subtract(edges, (box.y0, box.x0, box.y1, box.x1))).max() < 2e-3:
            # The same pixels: keep the very numbers that were written.
            return replace(box, z=z)
        placed = replace(box, z=z, y0=edges[0], x0=edges[1], y1=edges[2], x1=edges[3])
        return None if placed.problems(self.geometry.shape) else placed
