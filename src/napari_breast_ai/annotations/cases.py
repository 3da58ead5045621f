"""What readers made of cases, read from their journals alone: no images are opened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core import Box, FrameRef, Geometry
from ..places import FOLDER
from .anchors import Anchor, Placing
from .errors import AnnotationError
from .journal import Journal
from .opinions import Opinion
from .records import SCHEMA, box_from_json
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
        frame_of_reference: FrameOfReferenceUID that the geometry's millimetres belong to, or "".
        images: the stored image of each box whose image is known, by the box's id.
        empty_images: the stored image of each slice said to be without a lesion, by slice.
        suggested: what was suggested, as it was before anybody changed it, by who suggested it ("model:NAME",
            "enhancement"): what waits, and what was answered.
        hidden: how many boxes lie on no image of the stack; they are not among `boxes`.
        opinions: what the reader thinks of the case and of models' answers.
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
    frame_of_reference: str = ""
    images: Mapping[str, FrameRef] = field(default_factory=dict, repr=False)
    empty_images: Mapping[int, FrameRef] = field(default_factory=dict, repr=False)
    suggested: Mapping[str, tuple[Box, ...]] = field(default_factory=dict, repr=False)
    hidden: int = 0
    opinions: tuple[Opinion, ...] = ()
    actions: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def rater(self) -> str:
        """The reader's name, and the number of the reading from the second on: "anna", "anna#2"."""
        return self.reader if self.reading == 1 else f"{self.reader}#{self.reading}"

    @property
    def key(self) -> str:
        """What tells the case from others: its study, or else its name."""
        return self.study_uid or self.case_id

    def image_of(self, z: int) -> FrameRef | None:
        """The stored image of a slice, where a box or “no lesion” on it tells."""
        return next(
            (self.images[box.id] for box in self.boxes if box.z == z and box.id in self.images),
            self.empty_images.get(z),
        )


def read_case(path: str | Path, case_id: str = "", placing: Placing | None = None) -> CaseRecord:
    """Read a journal without its images. Nothing is written.

    Boxes that were drawn while another series of the study, or another sorting of its files, was on the screen are
    brought onto the stack that the journal names last, by their place in the patient.

    Args:
        path: the journal.
        case_id: the case's name, where a list gives it one.
        placing: the study's stack, for a journal of version 1, which does not know it; others keep to their own.

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
    name = ""
    if journal.volume is None and placing is not None:
        geometry, name = placing.geometry, placing.frame_of_reference
        journal = Journal(path, journal.reader, placing=placing)
    elif journal.volume is not None:
        geometry = geometry_from_json(journal.volume)
        name = str(journal.volume.get("frame_of_reference") or "")
        placing = Placing(geometry, name)
        journal = Journal(path, journal.reader, placing=placing)
    else:
        placing = None
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
        frame_of_reference=name,
        images={box.id: image for box in journal.boxes if (image := journal.image(box.id)) is not None},
        empty_images=journal.empty_images,
        suggested=_suggested(actions, journal, placing),
        hidden=journal.hidden,
        opinions=journal.opinions,
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


def _suggested(
    actions: Iterable[Mapping[str, Any]], journal: Journal, placing: Placing | None
) -> dict[str, tuple[Box, ...]]:
    """Suggestions as they were made: of each maker the last ones, and those before that were answered."""
    answered = {box.id for box in (*journal.boxes, *journal.rejected)}
    made: dict[str, dict[str, Box]] = {}
    for action in actions:
        if action["do"] != "offer":
            continue
        try:
            by = str(action["by"])
            offered = [
                (replace(box_from_json(item["box"]), origin=by), Anchor.from_json(item))
                for item in action["items"]
            ]
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
            continue  # the journal's warnings say so
        kept = {key: box for key, box in made.get(by, {}).items() if key in answered}
        for box, anchor in offered:
            placed = box if placing is None else placing.place(box, anchor)
            if placed is not None:
                kept[placed.id] = placed
        made[by] = kept
    return {by: tuple(boxes.values()) for by, boxes in made.items()}


def _beside(path: Path) -> str:
    """The name of the case's folder, as far as a journal's place tells."""
    return path.parent.parent.name if path.parent.name == FOLDER else path.stem
