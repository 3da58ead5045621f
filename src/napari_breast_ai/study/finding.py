"""Studies that have moved, found again by what they are."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from ..core import Progress, silent
from ..places import FOLDER
from .doors import open_other
from .errors import StudyError
from .reading import read_frames

_TRIED = 3
"""Files of a folder that are looked at: a folder of a hospital holds one study, or its series."""

_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".png", ".jpg", ".jpeg", ".tif", ".tiff")


def find_studies(folder: Path, uids: Collection[str], progress: Progress = silent) -> dict[str, Path]:
    """Look for studies in a folder, at any depth.

    DICOM is known by its StudyInstanceUID, other formats by their content.

    Args:
        folder: where to look.
        uids: `Identity.study_uid` of those that are wanted.
        progress: called per folder; may raise `Cancelled`.

    Returns:
        For each that was found, the folder that holds all its files, or the file.
    """
    wanted = set(uids)
    found: dict[str, list[Path]] = {}
    for seen, (place, folders, names) in enumerate(os.walk(folder)):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != FOLDER)
        progress(seen, 0, Path(place).name)
        tried = 0
        for name in sorted(names):
            path = Path(place) / name
            if name.lower().endswith(_VOLUMES):
                if (uid := _of_volume(path)) in wanted:
                    found.setdefault(uid, []).append(path)
            elif tried < _TRIED and (uid := _of_dicom(path)):
                tried += 1
                if uid in wanted:
                    found.setdefault(uid, []).append(Path(place))
    return {uid: _common(paths) for uid, paths in found.items()}


def _common(paths: list[Path]) -> Path:
    """The folder of all, or the one file."""
    return paths[0] if len(set(paths)) == 1 else Path(os.path.commonpath(paths))


def _of_dicom(path: Path) -> str:
    try:
        frames = read_frames(path)
    except Exception:  # noqa: BLE001 - a parser can raise anything on files that are no DICOM
        return ""
    return frames[0].source.study_uid if frames else ""


def _of_volume(path: Path) -> str:
    try:
        volume = open_other([path])
    except StudyError:
        return ""
    return volume.identity.study_uid if volume is not None else ""
