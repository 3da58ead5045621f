"""How fast cases were read: from the times in the journals alone.

Time counts from line to line while a case is on the screen. A gap longer than the limit is a pause; the time from one
line to an `open` is neither, the case was not on the screen then. What was looked at for longer than the limit
without doing anything counts as a pause too: the figures are of drawing, not of thinking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from statistics import median
from typing import Any

from ..core import Box
from .cases import CaseRecord
from .errors import AnnotationError

PAUSE_S = 60.0
REFERENCE = "published: 335 images boxed in less than an hour, under 10.7 s an image"
"""Source: "Detection of MRI breast lesions using deep learning" (first place, JFR 2018 data challenge)."""
REFERENCE_IMAGES_PER_HOUR = 335.0
REFERENCE_SECONDS_PER_IMAGE = 10.7


@dataclass(frozen=True)
class Pace:
    """How fast one case, or all cases of one reader, were read.

    Attributes:
        case_id: "" over all cases of the reader.
        reader: with the number of the reading from the second on.
        cases: how many.
        images: slices with a box that was drawn or accepted, or said to be without a lesion; “no lesion in this case”
            is one answer and counts once. Imported boxes that nobody changed do not count.
        boxes: how many were added or accepted, those that were taken back later included.
        active_s: time on the screen without pauses.
        pauses, paused_s: how many, and how long together.
        images_per_hour, seconds_per_image: of active time; None where undefined.
        seconds_per_box: median of the times from the line before to the box; boxes of one action share its time.
        reason: why figures are undefined, or "".
    """

    case_id: str
    reader: str
    cases: int
    images: int
    boxes: int
    active_s: float
    pauses: int
    paused_s: float
    images_per_hour: float | None
    seconds_per_image: float | None
    seconds_per_box: float | None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class PaceReport:
    """Paces of cases and of readers.

    Attributes:
        limit_s: gaps longer than this are pauses.
        cases: in the order given.
        readers: in the order of their first cases.
        reference: what others reached.
    """

    limit_s: float
    cases: tuple[Pace, ...]
    readers: tuple[Pace, ...]
    reference: str = REFERENCE

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "schema": "napari-breast-ai/pace",
            "version": 1,
            "pause_limit_s": self.limit_s,
            "reference": self.reference,
            "readers": [one.to_json() for one in self.readers],
            "cases": [one.to_json() for one in self.cases],
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row for each reader, then for each case."""
        return [one.to_json() for one in (*self.readers, *self.cases)]


@dataclass(frozen=True)
class _Times:
    active: float
    gaps: tuple[float, ...]
    boxes: int
    per_box: tuple[float, ...]
    timed: bool


def pace(records: Iterable[CaseRecord], limit_s: float = PAUSE_S) -> PaceReport:
    """The pace of each case and of each reader.

    Raises:
        AnnotationError: the limit is not a positive number, or there are no records.
    """
    if not limit_s > 0:
        raise AnnotationError("The limit for pauses must be above 0 seconds.")
    records = tuple(records)
    if not records:
        raise AnnotationError("There are no journals to take the pace from.")
    timed = [(record, _times(record.actions, limit_s), _images(record)) for record in records]
    cases = [_pace(record.case_id, record.rater, 1, images, [times]) for record, times, images in timed]
    readers = []
    for name in dict.fromkeys(record.rater for record in records):
        mine = [(times, images) for record, times, images in timed if record.rater == name]
        readers.append(
            _pace("", name, len(mine), sum(images for _, images in mine), [times for times, _ in mine])
        )
    return PaceReport(limit_s, tuple(cases), tuple(readers))


def _pace(case_id: str, reader: str, cases: int, images: int, parts: list[_Times]) -> Pace:
    active = sum(part.active for part in parts)
    gaps = [gap for part in parts for gap in part.gaps]
    per_box = [seconds for part in parts for seconds in part.per_box]
    reason = ""
    if not any(part.timed for part in parts):
        reason = "The journal carries no times."
    elif not images:
        reason = "No slice has a box or was said to be without a lesion."
    elif not active:
        reason = "There is no time between actions that is not a pause."
    known = bool(images and active)
    return Pace(
        case_id,
        reader,
        cases,
        images,
        sum(part.boxes for part in parts),
        round(active, 3),
        len(gaps),
        round(sum(gaps), 3),
        3600 * images / active if known else None,
        active / images if known else None,
        median(per_box) if per_box else None,
        reason,
    )


def _times(actions: Iterable[Mapping[str, Any]], limit_s: float) -> _Times:
    active, boxes = 0.0, 0
    gaps: list[float] = []
    per_box: list[float] = []
    before: datetime | None = None
    for action in actions:
        made = _made(action)
        boxes += made
        at = _moment(action.get("at"))
        if at is None:
            continue
        # Clocks are set back at times: then no time has passed.
        gap = max(0.0, (at - before).total_seconds()) if before is not None else 0.0
        if before is not None and action["do"] != "open":
            if gap > limit_s:
                gaps.append(gap)
            else:
                active += gap
                per_box += [gap / made] * made if made else []
        before = at
    return _Times(active, tuple(gaps), boxes, tuple(per_box), before is not None)


def _made(action: Mapping[str, Any]) -> int:
    """How many boxes an action makes; imported ones are not made."""
    if action["do"] == "many":
        parts = action.get("actions")
        return sum(_made(part) for part in parts if "do" in part) if isinstance(parts, list) else 0
    if action["do"] == "add":
        box = action.get("box")
        origin = box.get("origin") if isinstance(box, Mapping) else ""
        return 0 if str(origin or "").startswith("import:") else 1
    return int(action["do"] == "accept")


def _moment(text: object) -> datetime | None:
    """A time with its zone; one without is not known well enough to be taken from others."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def _images(record: CaseRecord) -> int:
    slices = {box.z for box in record.boxes if not _imported(box)} | set(record.empty_slices)
    return len(slices) + (record.empty_case and not slices)


def _imported(box: Box) -> bool:
    return box.origin.startswith("import:") and not box.edited
