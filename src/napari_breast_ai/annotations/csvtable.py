"""Tables that people keep in a spreadsheet: CSV with names in the first line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import AnnotationError


@dataclass(frozen=True)
class Table:
    """A table as text.

    Attributes:
        source: the file.
        names: of the columns, in order; "" for a column without one.
        rows: line number in the file, where the row ends, and cells, as many as names; empty lines are
            left out.
    """

    source: Path
    names: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    def column(self, name: str) -> int | None:
        """Where a column of that name stands, whatever its case; None if there is none."""
        lower = [one.lower() for one in self.names]
        return lower.index(name.lower()) if name.lower() in lower else None


def read_table(source: Path, required: Sequence[str], what: str = "table") -> Table:
    """Read a CSV. Commas, semicolons and tabs separate; UTF-8 and Windows' Western letters are read.

    Args:
        source: the file.
        required: columns that must be there.
        what: it is, in a word.

    Raises:
        AnnotationError: it cannot be read, is no table, or a column is missing.
    """
    try:
        raw = source.read_bytes()
    except OSError as error:
        raise AnnotationError(f"The {what} {source} cannot be read ({error.strerror or error}).") from error
    if b"\0" in raw[:4096]:
        wanted = f"{', '.join(required[:-1])} and {required[-1]}" if len(required) > 1 else required[0]
        raise AnnotationError(f"{source.name} is not a table. Give a CSV with the columns {wanted}.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    separator, skipped, text = _separator(text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        found = [
            (skipped + rows.line_num, [cell.strip() for cell in cells])
            for cells in rows
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise AnnotationError(
            f"{source.name} is damaged as a table ({error}). Save it again as CSV."
        ) from error
    names = tuple(found[0][1]) if found else ()
    lower = [name.lower() for name in names]
    if missing := [name for name in required if name not in lower]:
        raise AnnotationError(
            f"{source.name} has no column {' and no column '.join(missing)}. The first line must name the columns; "
            f"found: {', '.join(filter(None, names)) or 'nothing'}."
        )
    width = len(names)
    return Table(
        source, names, tuple((line, tuple((cells + [""] * width)[:width])) for line, cells in found[1:])
    )


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
