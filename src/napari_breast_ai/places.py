"""Where what a person made of a case is kept: beside the case, else in the user's data folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import platformdirs

FOLDER = "napari-breast-ai"
"""Name of the folder made inside a case's folder."""

DATA_VARIABLE = "NAPARI_BREAST_AI_DATA"
"""Environment variable that puts the user's data folder elsewhere."""

CACHE_VARIABLE = "NAPARI_BREAST_AI_CACHE"
"""Environment variable that puts the user's cache folder elsewhere; "off": there is none."""


def data_folder() -> Path:
    """The user's data folder for what cannot lie beside a case; it need not exist yet."""
    chosen = os.environ.get(DATA_VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_data_path(FOLDER, appauthor=False)


def cache_folder() -> Path | None:
    """The user's folder for what can be computed anew; it need not exist yet. None: nothing is to be kept."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return None if chosen.lower() == "off" else Path(chosen)
    return platformdirs.user_cache_path(FOLDER, appauthor=False)


def study_name(study_uid: str) -> str:
    """Letters that stand for a study in a file's name: no text of a dataset becomes part of a path."""
    return hashlib.sha256(study_uid.encode()).hexdigest()[:16]


def place(case_folder: Path | None, name: str) -> Path:
    """Where the file `name` of a case lies, or is to be made. Nothing is created.

    `case_folder/napari-breast-ai/` where that can be written, else the user's data folder. A file that exists
    already wins over a new place, so that a folder that has become writable hides nothing.

    Args:
        case_folder: the folder that the study was read from; None for a study without one.
        name: of the file, made of hashes and letters only.
    """
    elsewhere = data_folder() / "cases" / name
    if case_folder is None:
        return elsewhere
    beside = Path(case_folder) / FOLDER / name
    if beside.exists():
        return beside
    if elsewhere.exists() or not writable(beside.parent):
        return elsewhere
    return beside


def writable(folder: Path) -> bool:
    """Whether files can be made in the folder, or in its parent where it does not exist yet.

    Tried rather than asked: access bits say nothing of read-only mounts, network shares and Windows' lists. But a
    folder that its owner closed to all writing stays so for an administrator too.
    """
    there = folder if folder.is_dir() else folder.parent
    try:
        if os.name == "posix" and not there.stat().st_mode & 0o222:
            return False
        with tempfile.TemporaryFile(dir=there, prefix=".napari-breast-ai-"):
            return True
    except OSError:
        return False
