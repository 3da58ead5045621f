"""Where the boxes of a case are kept."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..core import Identity
from ..places import FOLDER, data_folder, place, study_name
from .store import is_there

__all__ = ["data_folder", "default_reader", "journal_path", "journals_of", "remember", "rescue_path", "slug"]


def default_reader() -> str:
    """The name of the person at the keyboard, as the system knows it, or "reader"."""
    try:
        return getpass.getuser() or "reader"
    except (OSError, KeyError, ImportError):
        return "reader"


def journal_path(case_folder: Path | None, identity: Identity, reader: str, reading: int = 1) -> Path:
    """The journal of one case and one reader. Nothing is created.

    It lies in `case_folder/napari-breast-ai/` where that can be written, else in the user's data folder. A
    journal that exists already wins over a new place, so that a folder that has become writable hides no box; so
    does one that this program wrote where the same images lay before (`remember`).
    File names are made of hashes and letters only: no text of a dataset becomes part of a path.

    Args:
        case_folder: the folder that the study was read from; None for a study without one (a phantom in
            memory).
        identity: which study; a folder may hold several.
        reader: the person's name.
        reading: 1, or higher where the reader reads the same case again.
    """
    # Two hyphens, which no reader's name has: "anna" the second time is not the reader "anna-2".
    again = f"--{reading}" if reading > 1 else ""
    name = f"boxes-{study_name(identity.study_uid)}-{slug(reader)}{again}.jsonl"
    path = place(case_folder, name)
    if path.exists():
        return path
    return next((known for known in _remembered(name) if is_there(known)), path)


def journals_of(case_folder: Path | None, study_uid: str) -> tuple[Path, ...]:
    """The journals of a study, of all readers and readings: beside it, in the user's data folder, and remembered."""
    start = f"boxes-{study_name(study_uid)}-"
    folders = [data_folder() / "cases"]
    if case_folder is not None:
        folders.insert(0, case_folder / FOLDER)
    found = [path for folder in folders for path in sorted(folder.glob(f"{start}*.jsonl"))]
    found += [path for name, path in _entries() if name.startswith(start) and path.exists()]
    return tuple(dict.fromkeys(path.absolute() for path in found))


def rescue_path(journal: Path) -> Path:
    """Where the actions of a journal are kept while it cannot be written."""
    place = hashlib.sha256(os.fsencode(journal.absolute())).hexdigest()[:8]
    return data_folder() / "rescue" / f"{place}-{journal.name}"


def remember(journal: Path) -> None:
    """Keep in mind where a journal lies, so that its case is found again when its images have moved.

    A list in the user's data folder; where that cannot be written, nothing is remembered.
    """
    path = journal.absolute()
    if path in _remembered(journal.name):
        return
    # ASCII: names of folders may hold letters that UTF-8 has no place for, and marks that count as ends of lines.
    entry = json.dumps({"name": journal.name, "path": str(path)}) + "\n"
    with contextlib.suppress(OSError):
        _list().parent.mkdir(parents=True, exist_ok=True)
        with _list().open("a", encoding="utf-8") as file:
            file.write(entry)


def _list() -> Path:
    return data_folder() / "journals.jsonl"


def _remembered(name: str) -> Iterator[Path]:
    """The places where a journal of that name was written, the last one first."""
    return (path for known, path in _entries() if known == name)


def _entries() -> Iterator[tuple[str, Path]]:
    """All that is remembered, the last one first: a journal's name and its place."""
    try:
        lines = _list().read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return
    for text in reversed(lines):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            entry = json.loads(text)
            yield str(entry["name"]), Path(entry["path"])


def slug(reader: str) -> str:
    """A file-name-safe form of a reader's name, different for different names."""
    plain = re.sub(r"[^a-z0-9]+", "-", reader.lower()).strip("-")[:32]
    if plain == reader:
        return plain
    # "Dr. A" and "dr-a" are two people: what the plain form loses comes back as a hash.
    return f"{plain or 'reader'}-{hashlib.sha256(reader.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
