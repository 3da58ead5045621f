"""Whose images these are, only to keep one patient's studies apart from another's."""

from __future__ import annotations

import os
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

_MOST = 50
"""Files that are tried: a folder may begin with others than images."""


def patient_id_of(path: str | Path) -> str:
    """PatientID (0010,0020) of the first DICOM file at a path, which may be a folder; "" where there is none.

    It is for comparing only: neither shown nor written as it is.
    """
    path = Path(path)
    tried = 0
    for file in [path] if path.is_file() else _files(path):
        tried += 1
        if tried > _MOST:
            break
        try:
            found = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["PatientID"])
        except (InvalidDicomError, OSError, ValueError, AttributeError):
            continue
        return str(found.get("PatientID", "") or "").strip()
    return ""


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        found += [Path(place) / name for name in sorted(names)]
        if len(found) > _MOST:
            break
    return found
