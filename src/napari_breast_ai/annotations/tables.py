"""Boxes as a table, out and in.

One row a box, and one for each “no lesion”: its class is "no lesion", its edges are empty, and so is its slice where
the whole case is meant. Edges are those of `Box`: pixels, integers at pixel centres.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..core import Box, FrameRef
from .cases import CaseRecord
from .errors import AnnotationError
from .exchange import NO_LESION, Exchange, Gathered, Item, by_case, number, read_text, whole

COLUMNS = (
    "case_id", "study_uid", "reader", "reading", "slice", "y0", "x0", "y1", "x1", "label", "lesion", "origin", "edited",
    "sop_instance_uid", "frame", "height_mm", "width_mm", "box_id", "author",
)  # fmt: skip
REQUIRED = ("slice", "y0", "x0", "y1", "x1", "label")
DIGITS = 6


def to_table(records: Iterable[CaseRecord]) -> tuple[str, tuple[str, ...]]:
    """A CSV of all boxes and of what was said to be without a lesion.

    Returns:
        The text, and sentences about what it does not hold.
    """
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    notes: list[str] = []
    for case in by_case(records):
        notes += case.notes
        for record in case.records:
            writer.writerows(_rows(record))
    return out.getvalue(), tuple(notes)


def read_table(path: str | Path) -> Exchange:
    """Read such a table: the columns slice, y0, x0, y1, x1, label, and case_id or study_uid; the others may be missing.

    Commas, semicolons and tabs separate, and where commas do not, a decimal comma is a decimal point.

    Raises:
        AnnotationError: it cannot be read, or a column is missing.
    """
    path = Path(path)
    text = read_text(path, "The table")
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    names: list[str] = []
    gathered = Gathered()
    notes: list[str] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = [cell.strip().lower() for cell in cells]
                _check(path, names)
                continue
            line = reader.line_num
            if len(cells) > len(names):
                notes.append(
                    f"Line {line} of {path.name} is left out: it has more cells than the first line."
                )
                continue
            row = dict(zip(names, (cell.strip() for cell in cells), strict=False))
            try:
                _take(row, f"line {line}", gathered)
            except (KeyError, ValueError, OverflowError) as problem:
                notes.append(f"Line {line} of {path.name} is left out: {_words(problem)}.")
    except csv.Error as error:
        raise AnnotationError(
            f"{path.name} is damaged as a table ({error}). Save it again as CSV."
        ) from error
    _check(path, names)
    return Exchange(path, gathered.cases(), tuple(notes))


def _check(path: Path, names: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if not {"case_id", "study_uid"} & set(names):
        missing.insert(0, "case_id")
    if missing:
        raise AnnotationError(
            f"{path.name} has no column {' and no column '.join(missing)}. The first line must name the columns; "
            f"found: {', '.join(filter(None, names)) or 'nothing'}."
        )


def _take(row: Mapping[str, str], where: str, gathered: Gathered) -> None:
    case_id, study_uid = row.get("case_id", ""), row.get("study_uid", "")
    if not (case_id or study_uid):
        raise ValueError("it names no case")
    reading = _value(row, "reading", whole) if row.get("reading") else 1
    reader = row.get("reader", "")
    image = None
    if row.get("sop_instance_uid"):
        frame = _value(row, "frame", whole) if row.get("frame") else None
        image = FrameRef(row["sop_instance_uid"], frame)
    label = row.get("label", "")
    edges = [row.get(name, "") for name in ("y0", "x0", "y1", "x1")]
    if label == NO_LESION and not any(edges):
        z = _value(row, "slice", whole) if row.get("slice") else None
        gathered.add(case_id, study_uid, reader, reading, Item(where, None, z, image))
        return
    z = _value(row, "slice", whole)
    y0, x0, y1, x1 = (_value(row, name, number) for name in ("y0", "x0", "y1", "x1"))
    box = Box(
        z, y0, x0, y1, x1, label,
        id=row.get("box_id", ""),
        author=row.get("author", ""),
        lesion=row.get("lesion", ""),
        origin=row.get("origin", ""),
        edited=row.get("edited", "").lower() in ("1", "true", "yes"),
    )  # fmt: skip
    if found := box.problems():
        raise ValueError(" ".join(found).removesuffix("."))
    gathered.add(case_id, study_uid, reader, reading, Item(where, box, z, image))


def _value(row: Mapping[str, str], name: str, kind: Any) -> Any:
    text = row.get(name, "")
    try:
        return kind(text)
    except (ValueError, TypeError, OverflowError):
        what = "a whole number, 0 or more" if kind is whole else "a number"
        raise ValueError(f"{name} is “{text}”, not {what}" if text else f"{name} is empty") from None


def _words(problem: Exception) -> str:
    return str(problem.args[0]) if problem.args else type(problem).__name__


def _rows(record: CaseRecord) -> Iterable[dict[str, Any]]:
    start = {
        "case_id": record.case_id,
        "study_uid": record.study_uid,
        "reader": record.reader,
        "reading": record.reading,
    }
    for box in record.boxes:
        row = {
            **start,
            **{name: _plain(getattr(box, name)) for name in ("y0", "x0", "y1", "x1")},
            "slice": box.z,
            "label": box.label,
            "lesion": box.lesion,
            "origin": box.origin,
            "edited": int(box.edited),
            "box_id": box.id,
            "author": box.author,
            **_image(record.images.get(box.id)),
        }
        if record.geometry is not None:
            _, dy, dx = record.geometry.spacing
            row["height_mm"] = _plain((box.y1 - box.y0) * dy, 3)
            row["width_mm"] = _plain((box.x1 - box.x0) * dx, 3)
        yield row
    for z in record.empty_slices:
        yield {**start, "slice": z, "label": NO_LESION, **_image(record.empty_images.get(z))}
    if record.empty_case:
        yield {**start, "label": NO_LESION}


def _image(image: FrameRef | None) -> dict[str, Any]:
    if image is None:
        return {}
    return {"sop_instance_uid": image.sop_instance_uid, "frame": "" if image.frame is None else image.frame}


def _plain(value: float, digits: int = DIGITS) -> str:
    """A decimal without needless zeros, and never with an exponent."""
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
