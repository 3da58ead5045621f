"""Where the boxes of a case are kept."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import tempfile
from pathlib import Path

import platformdirs

from ..core import Identity

FOLDER = "napari-breast-ai"
"""Name of the folder made inside a case's folder."""

DATA_VARIABLE = "NAPARI_BREAST_AI_DATA"
"""Environment variable that puts the user's data folder elsewhere."""


def data_folder() -> Path:
    """The user's data folder for what cannot lie beside a case; it need not exist yet."""
    chosen = os.environ.get(DATA_VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_data_path(FOLDER, appauthor=False)


def default_reader() -> str:
    """The name of the person at the keyboard, as the system knows it, or "reader"."""
    try:
        return getpass.getuser() or "reader"
    except (OSError, KeyError, ImportError):
        return "reader"


def journal_path(case_folder: Path | None, identity: Identity, reader: str) -> Path:
    """The journal of one case and one reader. Nothing is created.

    It lies in `case_folder/napari-breast-ai/` where that can be written, else in the user's data folder. A
    journal that exists already wins over a new place, so that a folder that has become writable hides no box.
    File names are made of hashes and letters only: no text of a dataset becomes part of a path.

    Args:
        case_folder: the folder that the study was read from; None for a study without one (a phantom in
            memory).
        identity: which study; a folder may hold several.
        reader: the person's name.
    """
    study = hashlib.sha256(identity.study_uid.encode()).hexdigest()[:16]
    name = f"boxes-{study}-{_slug(reader)}.jsonl"
    elsewhere = data_folder() / "cases" / name
    if case_folder is None:
        return elsewhere
    beside = Path(case_folder) / FOLDER / name
    if beside.exists():
        return beside
    if elsewhere.exists() or not _writable(beside.parent):
        return elsewhere
    return beside


def _slug(reader: str) -> str:
    """A file-name-safe form of a reader's name, different for different names."""
    plain = re.sub(r"[^a-z0-9]+", "-", reader.lower()).strip("-")[:32]
    if plain == reader:
        return plain
    # "Dr. A" and "dr-a" are two people: what the plain form loses comes back as a hash.
    return f"{plain or 'reader'}-{hashlib.sha256(reader.encode()).hexdigest()[:8]}"


def _writable(folder: Path) -> bool:
    """Whether files can be made in the folder, or in its parent where it does not exist yet.

    Tried rather than asked: access bits say nothing of read-only mounts, network shares and Windows' lists.
    """
    place = folder if folder.is_dir() else folder.parent
    try:
        with tempfile.TemporaryFile(dir=place, prefix=".napari-breast-ai-"):
            return True
    except OSError:
        return False
