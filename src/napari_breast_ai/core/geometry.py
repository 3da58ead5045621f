"""Where the voxels of a stack of slices lie in the patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Geometry:
    """A regular stack of equal slices.

    Index coordinates are (slice, row, column) with integers at the *centres* of voxels, so that voxel 0 covers
    -0.5 to 0.5. Patient coordinates are DICOM's: millimetres, x to the patient's left, y to the back, z to the
    head (LPS).

    Attributes:
        shape: numbers of (slices, rows, columns).
        spacing: distances in mm between the centres of neighbouring (slices, rows, columns), all positive.
        affine: 4 × 4, maps homogeneous (slice, row, column, 1) to homogeneous (x, y, z, 1) in mm.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    affine: FloatArray

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ValueError("The affine must be a finite 4 × 4 matrix.")
        if min(self.spacing) <= 0 or min(self.shape) < 1:
            raise ValueError("Spacing must be positive and every dimension at least 1.")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)

    @classmethod
    def from_dicom(
        cls,
        shape: tuple[int, int, int],
        pixel_spacing: tuple[float, float],
        slice_step: float,
        position: tuple[float, float, float],
        orientation: tuple[float, float, float, float, float, float],
    ) -> Geometry:
        """Build from DICOM attributes of the first slice.

        Args:
            shape: (slices, rows, columns).
            pixel_spacing: PixelSpacing (0028,0030), mm between rows, then between columns.
            slice_step: mm from one slice to the next along the normal; negative steps against it.
            position: ImagePositionPatient (0020,0032) of slice 0, mm.
            orientation: ImageOrientationPatient (0020,0037): direction of a row (growing column), then of a
                column (growing row).

        Source: DICOM PS3.3 C.7.6.2.1.1, equation for mapping pixel indices to patient coordinates.
        """
        along_row = np.asarray(orientation[:3], dtype=np.float64)
        along_column = np.asarray(orientation[3:], dtype=np.float64)
        normal = np.cross(along_row, along_column)
        affine = np.eye(4)
        affine[:3, 0] = normal * slice_step
        affine[:3, 1] = along_column * pixel_spacing[0]
        affine[:3, 2] = along_row * pixel_spacing[1]
        affine[:3, 3] = position
        return cls(shape, (abs(slice_step), pixel_spacing[0], pixel_spacing[1]), affine)

    def to_patient(self, index: Any) -> FloatArray:
        """Map index coordinates, shape (..., 3) as (slice, row, column), to patient mm, shape (..., 3)."""
        points = np.asarray(index, dtype=np.float64)
        return points @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, patient: Any) -> FloatArray:
        """Map patient mm, shape (..., 3), to index coordinates (slice, row, column), shape (..., 3)."""
        points = np.asarray(patient, dtype=np.float64)
        return (points - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T

    @property
    def ras_affine(self) -> FloatArray:
        """4 × 4, of an array with axes (column, row, slice) in NIfTI's millimetres (right, front, head positive)."""
        swap = np.eye(4)[[2, 1, 0, 3]]
        affine: FloatArray = np.diag([-1.0, -1.0, 1.0, 1.0]) @ self.affine @ swap
        return affine

    @property
    def is_orthogonal(self) -> bool:
        """Whether slices, rows and columns are at right angles to each other, within 1 part in 10,000."""
        axes = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        return bool(np.abs(axes.T @ axes - np.eye(3)).max() < 1e-4)

    @property
    def orientation(self) -> str:
        """The anatomical plane nearest to the slices: "axial", "coronal" or "sagittal"."""
        normal = np.abs(np.cross(self.affine[:3, 2], self.affine[:3, 1]))
        return ("sagittal", "coronal", "axial")[int(np.argmax(normal))]

    @property
    def directions(self) -> dict[str, str]:
        """Where the patient's sides lie: "across" (left to right of the image), "down", "through" (slices).

        Two letters each, from and to, of the nearest of R(ight), L(eft), A(nterior), P(osterior), F(eet) and
        H(ead): an axial image of a patient on her back has "R-L" across and "A-P" down.
        """
        named = {}
        for name, axis in (("across", 2), ("down", 1), ("through", 0)):
            direction = self.affine[:3, axis]
            nearest = int(np.argmax(np.abs(direction)))
            named[name] = (("L-R", "R-L"), ("P-A", "A-P"), ("H-F", "F-H"))[nearest][
                int(direction[nearest] > 0)
            ]
        return named

    def same_as(self, other: Geometry, tolerance_mm: float = 1e-3) -> bool:
        """Whether both stacks have the same shape and put every voxel at the same place within the tolerance."""
        if self.shape != other.shape:
            return False
        corners = np.array(
            [[z, y, x] for z in (0, self.shape[0]) for y in (0, self.shape[1]) for x in (0, self.shape[2])]
        )
        return bool(np.abs(self.to_patient(corners) - other.to_patient(corners)).max() <= tolerance_mm)
