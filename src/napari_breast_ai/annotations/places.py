"""Where the boxes of a case are kept."""

from __future__ import annotations

import getpass
import hashlib
import re
from pathlib import Path

from ..core import Identity
from ..places import data_folder, place, study_name

__all__ = ["data_folder", "default_reader", "journal_path"]


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
    return place(case_folder, f"boxes-{study_name(identity.study_uid)}-{_slug(reader)}.jsonl")


def _slug(reader: str) -> str:
    """A file-name-safe form of a reader's name, different for different names."""
    plain = re.sub(r"[^a-z0-9]+", "-", reader.lower()).strip("-")[:32]
    if plain == reader:
        return plain
    # "Dr. A" and "dr-a" are two people: what the plain form loses comes back as a hash.
    return f"{plain or 'reader'}-{hashlib.sha256(reader.encode()).hexdigest()[:8]}"
