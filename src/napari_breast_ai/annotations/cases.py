"""What readers made of cases, read from their journals alone: no images are opened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core import Box, Geometry
from ..places import FOLDER
from .anchors import Placing
from .errors import AnnotationError
from .journal import Journal
from .records import SCHEMA
from .state import geometry_from_json

PATTERN = "boxes-*.jsonl"


@dataclass(frozen=True)
class CaseRecord:
    """One reader's journal of one case.

    Attributes:
        case_id: the case's name in a worklist, or the name of the folder that the journal lies beside.
        path: the journal.
        reader: whose it is.
        reading: 1, or higher where the same reader read the case again.
        study_uid: StudyInstanceUID, which tells the same case of two readers.
        boxes: in slices, rows and columns of `geometry`.
        offers, rejected: suggestions without an answer, and those turned down.
        empty_slices, empty_case: what was said to be without a lesion.
        status, reason: "open", "done" or "skipped", and why.
        geometry: the stack that the boxes lie on; None in journals of version 1, which did not keep it.
        actions: all lines but headers, in order, each with `do` and `at` (ISO 8601, UTC).
        warnings: what was wrong with the file, in sentences.
    """

    case_id: str
    path: Path
    reader: str
    reading: int
    study_uid: str
    boxes: tuple[Box, ...]
    offers: tuple[Box, ...] = ()
    rejected: tuple[Box, ...] = ()
    empty_slices: tuple[int, ...] = ()
    empty_case: bool = False
    status: str = "open"
    reason: str = ""
    geometry: Geometry | None = None
    actions: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()


def read_case(path: str | Path, case_id: str = "") -> CaseRecord:
    """Read a journal without its images. Nothing is written.

    Boxes that were drawn while another series of the study, or another sorting of its files, was on the screen are
    brought onto the stack that the journal names last, by their place in the patient.

    Raises:
        AnnotationError: the file cannot be read, or is not a journal.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"The boxes in {path} cannot be read ({error.strerror or error}).") from error
    header: Mapping[str, Any] = {}
    actions = []
    for text in raw.splitlines():
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if not isinstance(record, dict):
            continue
        if record.get("schema") == SCHEMA:
            header = header or record
        elif "do" in record:
            actions.append(record)
    journal = Journal(path, str(header.get("reader") or ""))
    geometry = None
    if journal.volume is not None:
        geometry = geometry_from_json(journal.volume)
        name = str(journal.volume.get("frame_of_reference") or "")
        journal = Journal(path, journal.reader, placing=Placing(geometry, name))
    reading = header.get("reading")
    return CaseRecord(
        case_id=case_id or _beside(path),
        path=path,
        reader=journal.reader,
        reading=reading if isinstance(reading, int) else 1,
        study_uid=journal.study_uid,
        boxes=journal.boxes,
        offers=journal.offers,
        rejected=journal.rejected,
        empty_slices=journal.empty_slices,
        empty_case=journal.empty_case,
        status=journal.status,
        reason=journal.reason,
        geometry=geometry,
        actions=tuple(actions),
        warnings=journal.warnings,
    )


def find_journals(paths: Iterable[str | Path]) -> tuple[Path, ...]:
    """The journals in files and, at any depth, in folders, in order of their names.

    Raises:
        AnnotationError: a path does not exist.
    """
    found: dict[Path, None] = {}
    for one in map(Path, paths):
        if one.is_dir():
            found.update(dict.fromkeys(sorted(one.rglob(PATTERN))))
        elif one.exists():
            found[one] = None
        else:
            raise AnnotationError(f"There is no file or folder {one}. Check the name.")
    return tuple(found)


def _beside(path: Path) -> str:
    """The name of the case's folder, as far as a journal's place tells."""
    return path.parent.parent.name if path.parent.name == FOLDER else path.stem
