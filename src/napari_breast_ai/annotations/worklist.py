"""The cases that are to be read: a table, or a folder of studies."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..places import FOLDER
from .csvtable import Table, read_table
from .errors import AnnotationError
from .store import is_there

REQUIRED = ("case_id", "path")
FILES = (
    ".zip", ".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm",
)  # fmt: skip
_NUMBERED = re.compile(r"(.+)_\d{4}(\.nii(?:\.gz)?)$", re.IGNORECASE)


@dataclass(frozen=True)
class Case:
    """One line of a worklist.

    Attributes:
        case_id: unique in the list.
        path: the folder or file of the study.
        columns: the table's further columns, by name.
    """

    case_id: str
    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Worklist:
    """Cases in the order given.

    Attributes:
        source: the table or folder.
        cases: what is to be read.
        warnings: lines that were left out or need attention, in sentences.
    """

    source: Path
    cases: tuple[Case, ...]
    warnings: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the worklist lies, and what is kept about it."""
        return self.source if self.source.is_dir() else self.source.parent

    @property
    def name(self) -> str:
        """Letters that stand for this list in a file's name."""
        return hashlib.sha256(os.fsencode(self.source.name)).hexdigest()[:12]

    def case(self, case_id: str) -> Case:
        """The case of that id. Raises KeyError where there is none."""
        for case in self.cases:
            if case.case_id == case_id:
                return case
        raise KeyError(case_id)


def read_worklist(source: str | Path) -> Worklist:
    """Read a CSV with `case_id, path` and any further columns, or list what a folder holds.

    Paths are relative to the table. Commas, semicolons and tabs separate; UTF-8 and Windows' Western letters are
    read. In a folder, each folder, archive, volume and picture directly in it is a case; files of a volume whose names
    differ in `_0000` only are one. A folder of plain files without an ending is one case itself.

    Raises:
        AnnotationError: it cannot be read, a column is missing, or no line can be used.
    """
    source = Path(source)
    if source.is_dir():
        return _from_folder(source)
    return _from_table(read_table(source, REQUIRED, "worklist"))


def _from_table(table: Table) -> Worklist:
    source, names = table.source, table.names
    lower = [name.lower() for name in names]
    at = {name: lower.index(name) for name in REQUIRED}
    cases: dict[str, Case] = {}
    warnings = []
    for number, row in table.rows:
        case_id, path = row[at["case_id"]], row[at["path"]]
        if not case_id or not path:
            warnings.append(
                f"Line {number} of {source.name} is left out: it has no {'path' if case_id else 'case_id'}."
            )
            continue
        if case_id in cases:
            warnings.append(
                f"Line {number} of {source.name} is left out: the case_id “{case_id}” stands in an earlier line."
            )
            continue
        place = source.parent / path
        if not is_there(place):
            warnings.append(f"Line {number} of {source.name}: there is nothing at {path} (case “{case_id}”).")
        more = {
            name: cell
            for name, cell in zip(names, row, strict=False)
            if name and name.lower() not in REQUIRED
        }
        cases[case_id] = Case(case_id, place, more)
    if not cases:
        raise AnnotationError(f"{source.name} names no case that can be used. " + " ".join(warnings[:3]))
    return Worklist(source, tuple(cases.values()), tuple(warnings))


def _from_folder(folder: Path) -> Worklist:
    try:
        inside = sorted(folder.iterdir(), key=_natural)
    except OSError as error:
        raise AnnotationError(f"The folder {folder} cannot be read ({error.strerror or error}).") from error
    cases: dict[str, Case] = {}
    volumes: set[str] = set()
    for one in inside:
        if one.name.startswith(".") or one.name == FOLDER:
            continue
        name = one.name
        if not one.is_dir():
            if not one.name.lower().endswith(FILES):
                continue
            if numbered := _NUMBERED.fullmatch(one.name):
                name = numbered[1]
                if name in volumes:
                    continue
                volumes.add(name)
        if name in cases:
            # A folder and numbered files of the same name are two studies.
            name = one.name
        cases.setdefault(name, Case(name, one))
    if not cases:
        if not any(one.is_file() for one in inside):
            raise AnnotationError(f"The folder {folder} holds no studies. Choose the folder that holds them.")
        cases[folder.name] = Case(folder.name, folder)
    return Worklist(folder, tuple(cases.values()))


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """case2 before case10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
