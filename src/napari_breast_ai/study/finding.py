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
        For each that was found, the folder that holds all its files and no other study's, or the file; of copies that
        lie among other studies the first.
    """
    wanted = set(uids)
    found: dict[str, list[Path]] = {}
    everything: dict[str, set[Path]] = {}
    for seen, (place, folders, names) in enumerate(os.walk(folder)):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != FOLDER)
        progress(seen, 0, Path(place).name)
        tried = 0
        for name in sorted(names):
            path = Path(place) / name
            if name.lower().endswith(_VOLUMES):
                uid = _of_volume(path)
                everything.setdefault(uid, set()).add(path)
                if uid in wanted:
                    found.setdefault(uid, []).append(path)
            elif tried < _TRIED and (uid := _of_dicom(path)):
                tried += 1
                everything.setdefault(uid, set()).add(Path(place))
                if uid in wanted:
                    found.setdefault(uid, []).append(Path(place))
    return {
        uid: _common(paths, set().union(*(places for one, places in everything.items() if one != uid)))
        for uid, paths in found.items()
    }


def _common(paths: list[Path], others: set[Path]) -> Path:
    """The folder of all, or the one file; not so far up that other studies lie in it too."""
    place = paths[0]
    if place.is_file() and len(set(paths)) > 1 and others:
        return place
    common = Path(os.path.commonpath(paths))
    while place != common and not any(other.is_relative_to(place.parent) for other in others):
        place = place.parent
    return place


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
