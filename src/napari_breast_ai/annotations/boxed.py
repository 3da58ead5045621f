"""The cases of a worklist that a reader has judged: with boxes, or said to be without a lesion."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from ..places import FOLDER
from .cases import PATTERN, CaseRecord, read_case
from .errors import AnnotationError
from .log import ReadingLog, Standing
from .store import is_there
from .worklist import Case

PATIENT = "patient_id"
"""Column of a worklist that tells whose case it is."""


@dataclass(frozen=True)
class BoxedCase:
    """A case with what its reader made of it.

    Attributes:
        case_id: in the worklist.
        path: where its images lie now.
        record: the reader's journal of it, of several readings the last.
        patient_id: as the worklist's table tells it, or "".
    """

    case_id: str
    path: Path
    record: CaseRecord
    patient_id: str = ""


def boxed_cases(log: ReadingLog, reader: str) -> tuple[BoxedCase, ...]:
    """The judged cases in the order of the worklist. Journals alone are opened, and those that cannot be read count as
    not there.

    Args:
        log: of the worklist.
        reader: whose boxes.
    """
    known: dict[str, list[Standing]] = defaultdict(list)
    for turn in log.turns:
        known[turn.case_id].append(log.standing(turn))
    found = (_boxed(case, known[case.case_id], reader) for case in log.worklist.cases)
    return tuple(case for case in found if case is not None)


def _boxed(case: Case, standings: list[Standing], reader: str) -> BoxedCase | None:
    path = next((one.path for one in standings if one.path is not None and is_there(one.path)), case.path)
    uid = next((one.study_uid for one in standings if one.study_uid), "")
    places = [one.journal for one in standings if one.journal is not None]
    folder = path if path.is_dir() else path.parent
    if uid or path.is_dir():
        # Beside a single file lie the journals of its neighbours too.
        places += sorted((folder / FOLDER).glob(PATTERN))
    records = []
    for place in dict.fromkeys(places):
        try:
            record = read_case(place, case.case_id)
        except AnnotationError:
            continue
        mine = record.reader == reader and (not uid or record.study_uid == uid)
        if mine and (record.boxes or record.empty_slices or record.empty_case):
            records.append(record)
    if not records:
        return None
    patient = next((value for name, value in case.columns.items() if name.lower() == PATIENT), "")
    return BoxedCase(case.case_id, path, max(records, key=lambda one: one.reading), patient)
