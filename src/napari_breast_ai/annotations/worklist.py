"""The cases that are to be read: a table, or a folder of studies."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..places import FOLDER
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
    try:
        raw = source.read_bytes()
    except OSError as error:
        raise AnnotationError(f"The worklist {source} cannot be read ({error.strerror or error}).") from error
    return _from_table(source, raw)


def _from_table(source: Path, raw: bytes) -> Worklist:
    if b"\0" in raw[:4096]:
        raise AnnotationError(f"{source.name} is not a table. Give a CSV with the columns case_id and path.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    separator, skipped, text = _separator(text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        numbered = [(skipped + rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise AnnotationError(
            f"{source.name} is damaged as a table ({error}). Save it again as CSV."
        ) from error
    names = [cell.strip() for cell in numbered[0][1]] if numbered else []
    lower = [name.lower() for name in names]
    if missing := [name for name in REQUIRED if name not in lower]:
        raise AnnotationError(
            f"{source.name} has no column {' and no column '.join(missing)}. The first line must name the columns; "
            f"found: {', '.join(filter(None, names)) or 'nothing'}."
        )
    at = {name: lower.index(name) for name in REQUIRED}
    cases: dict[str, Case] = {}
    warnings = []
    for number, row in numbered[1:]:
        row += [""] * (len(names) - len(row))
        case_id, path = row[at["case_id"]].strip(), row[at["path"]].strip()
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


def _separator(text: str) -> tuple[str, int, str]:
    """What separates the cells, how many lines go before the table, and the table.

    Excel says it in a line of its own. Else what is most frequent in the first line counts, outside of quotes.
    """
    lines = io.StringIO(text, newline="")
    for skipped, first in enumerate(lines):
        if said := re.fullmatch(r"sep=(.)\s*", first, re.IGNORECASE):
            return said[1], skipped + 1, lines.read()
        if first.strip():
            bare = re.sub(r'"[^"]*"?', "", first)
            return max(",;\t", key=bare.count), skipped, first + lines.read()
    return ",", 0, ""


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
