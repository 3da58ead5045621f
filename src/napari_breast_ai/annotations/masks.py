"""Boxes as masks: one NIfTI file for each class of a case.

A box covers the pixels whose centres it contains, edges included; boxes of one class that overlap cover once.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, floor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core import Box, Geometry
from ..files import write_nifti
from .cases import CaseRecord
from .errors import AnnotationError
from .places import slug


def mask(boxes: Iterable[Box], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The pixels that boxes cover, 1 inside and 0 outside.

    Args:
        boxes: of any class; what lies outside the stack is cut off.
        shape: (slices, rows, columns).

    Returns:
        uint8 of that shape.
    """
    made = np.zeros(shape, np.uint8)
    for box in boxes:
        if 0 <= box.z < shape[0]:
            rows = slice(max(0, ceil(box.y0)), max(0, floor(box.y1) + 1))
            columns = slice(max(0, ceil(box.x0)), max(0, floor(box.x1) + 1))
            made[box.z, rows, columns] = 1
    return made


def write_masks(
    records: Iterable[CaseRecord], folder: str | Path
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Write a mask for each class of each record: `CASE--READER--CLASS.nii.gz`, axes (column, row, slice), RAS.

    Names of cases, readers and classes are brought to letters and digits. A case without boxes gets no file.

    Args:
        records: with their stacks.
        folder: made where it does not exist.

    Returns:
        The files, and sentences about what is not among them.

    Raises:
        AnnotationError: a file exists already, or cannot be written.
    """
    folder = Path(folder)
    notes: list[str] = []
    planned: dict[Path, tuple[CaseRecord, Geometry, str]] = {}
    for record in records:
        if record.geometry is None:
            notes.append(
                f"Case “{record.case_id}” of {record.rater} is left out: its journal does not say how its slices lie. "
                "Give the study with a worklist, or open it once in the window and change something."
            )
            continue
        for label in dict.fromkeys(box.label for box in record.boxes):
            name = "--".join(slug(part) for part in (record.case_id, record.rater, label))
            path = folder / f"{name}.nii.gz"
            if path in planned:
                raise AnnotationError(
                    f"There are two journals of {record.rater} for the case “{record.case_id}”: "
                    f"{planned[path][0].path} and {record.path}. Give one of them."
                )
            if path.exists():
                raise AnnotationError(f"“{path}” exists already; choose another folder, or remove it first.")
            planned[path] = record, record.geometry, label
    for path, (record, geometry, label) in planned.items():
        boxes = [box for box in record.boxes if box.label == label]
        made = mask(boxes, geometry.shape)
        if lost := sum(not mask([box], geometry.shape).any() for box in boxes):
            notes.append(
                f"Boxes of {record.rater} in case “{record.case_id}” that contain no pixel's centre and are not in "
                f"{path.name}: {lost}."
            )
        _write(path, made, geometry)
    return tuple(planned), tuple(notes)


def _write(path: Path, made: NDArray[np.uint8], geometry: Geometry) -> None:
    try:
        write_nifti(path, made, geometry.ras_affine, geometry.is_orthogonal)
    except OSError as error:
        raise AnnotationError(
            f"“{path}” could not be written ({error.strerror or error}); choose a place that you may write to, with "
            "enough space."
        ) from error
