"""What tables and COCO files say about cases, before it is known which images they belong to."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ..core import Box, FrameRef
from .cases import CaseRecord
from .errors import AnnotationError
from .stacks import onto

NO_LESION = "no lesion"
"""The class of rows that say that a slice, or without a slice a case, has no lesion."""

_NUMBERED = re.compile(r"(?P<case>.+?)[/\\_. -]+(?:slice|z)?_?(?P<z>\d{1,6})(?:\.\w+)*", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """A box, or “no lesion”.

    Attributes:
        where: the place in the file, such as "line 12".
        box: None for “no lesion”.
        z: the slice; None for “no lesion” in the whole case.
        image: the stored image, where the file names it.
        size: (rows, columns) of the image, where the file names them.
    """

    where: str
    box: Box | None
    z: int | None
    image: FrameRef | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class CaseItems:
    """What a file says about one case in one reader's name.

    Attributes:
        case_id, study_uid: which case; one of them may be "".
        reader, reading: whose; "" and 1 where the file does not say.
        items: in the file's order.
    """

    case_id: str
    study_uid: str
    reader: str
    reading: int
    items: tuple[Item, ...]

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The boxes alone."""
        return tuple(item.box for item in self.items if item.box is not None)

    @property
    def empty_slices(self) -> tuple[int, ...]:
        """Slices said to be without a lesion."""
        return tuple(sorted({item.z for item in self.items if item.box is None and item.z is not None}))

    @property
    def empty_case(self) -> bool:
        """Whether the whole case is said to be without a lesion."""
        return any(item.box is None and item.z is None for item in self.items)


@dataclass(frozen=True)
class Exchange:
    """The good part of a file, and what was wrong with the rest.

    Attributes:
        source: the file.
        cases: in order of first mention.
        notes: sentences.
    """

    source: Path
    cases: tuple[CaseItems, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stacked:
    """The records of one case on one stack of slices.

    Attributes:
        records: with their boxes and empty slices on the stack of the first that knows one.
        notes: what could not be brought onto it.
    """

    records: tuple[CaseRecord, ...]
    notes: tuple[str, ...] = ()


def by_case(records: Iterable[CaseRecord]) -> tuple[Stacked, ...]:
    """Group records by case, each on one stack: that of its first record that knows its stack."""
    groups: dict[str, list[CaseRecord]] = {}
    for record in records:
        groups.setdefault(record.key, []).append(record)
    return tuple(_stacked(group) for group in groups.values())


def _stacked(group: list[CaseRecord]) -> Stacked:
    lead = next((one for one in group if one.geometry is not None), group[0])
    made, notes = [], []
    for record in group:
        moved = onto(record, record.boxes, record.empty_slices, lead)
        if moved.how == "same stack" or record is lead:
            made.append(record)
            continue
        if moved.lost_boxes or moved.lost_slices:
            notes.append(
                f"Left out of case “{record.case_id}”, because they lie on images that its stack of slices does not "
                f"have: boxes of {record.rater}: {moved.lost_boxes}, slices without a lesion: {moved.lost_slices}."
            )
        images = {}
        for z, image in record.empty_images.items():
            images.update(dict.fromkeys(onto(record, (), [z], lead).slices, image))
        made.append(
            replace(
                record,
                case_id=lead.case_id,
                boxes=moved.boxes,
                empty_slices=tuple(sorted(moved.slices)),
                empty_images=images,
                geometry=lead.geometry,
                frame_of_reference=lead.frame_of_reference,
            )
        )
    return Stacked(tuple(made), tuple(notes))


def number(text: object) -> float:
    """A finite number; a decimal comma is one too. Raises ValueError or TypeError."""
    value = float(text.strip().replace(",", ".") if isinstance(text, str) else text)  # type: ignore[arg-type]
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def whole(text: object) -> int:
    """A whole number, 0 or more. Raises ValueError or TypeError."""
    value = number(text)
    if value != int(value) or value < 0 or isinstance(text, bool):
        raise ValueError("not a whole number")
    return int(value)


def name_of_image(file_name: str, known: Collection[str] = ()) -> tuple[str, int]:
    """The case and the slice that an image's name stands for.

    `CASE/0012.png`, `CASE_12.png` and `CASE_slice0012.png` are slice 12 of CASE, counted from 0; a name that is a
    known case, with or without its ending, is its slice 0, as in sets of single pictures.

    Args:
        file_name: with folders or not.
        known: names of cases.
    """
    plain = file_name.replace("\\", "/")
    last = plain.rpartition("/")[2]
    for name in (plain, last, _stem(plain), _stem(last)):
        if name in known:
            return name, 0
    numbered = _NUMBERED.fullmatch(plain)
    if numbered is None:
        return _stem(last), 0
    case, z = numbered["case"], int(numbered["z"])
    short = case.rpartition("/")[2]
    return (short if short in known and case not in known else case), z


def read_text(path: Path, what: str) -> str:
    """A text file of UTF-8 or Windows' Western letters.

    Raises:
        AnnotationError: it cannot be read, or is no text; the sentence begins with `what`.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{what} {path} cannot be read ({error.strerror or error}).") from error
    if b"\0" in raw[:4096]:
        raise AnnotationError(f"{path.name} is no text. Give a table (CSV) or COCO's JSON.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def _stem(name: str) -> str:
    return re.sub(r"\.(?:nii\.gz|\w{1,5})$", "", name)


class Gathered:
    """Items on their way into an `Exchange`."""

    def __init__(self) -> None:
        self._cases: dict[tuple[str, str, str, int], list[Item]] = {}

    def add(self, case_id: str, study_uid: str, reader: str, reading: int, *items: Item) -> None:
        """Take up items of a case; none make the case known."""
        self._cases.setdefault((case_id, study_uid, reader, reading), []).extend(items)

    def cases(self) -> tuple[CaseItems, ...]:
        """All cases that something is said about."""
        return tuple(CaseItems(*key, tuple(items)) for key, items in self._cases.items() if items)
