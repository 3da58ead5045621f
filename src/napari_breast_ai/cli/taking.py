"""A file of boxes into the journals of one reader: which case of the file is which study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..annotations import AnnotationError, Journal, Placing, journal_path, remember, rescue_path
from ..annotations.coco import read_coco
from ..annotations.collect import TABLES, case_folder
from ..annotations.exchange import CaseItems, Exchange
from ..annotations.importing import Imported, import_items
from ..annotations.tables import read_table
from ..annotations.worklist import Case, read_worklist
from ..core import BreastAIError, DceVolume, Progress
from .common import CommandError


def take(file: Path, into: Path, reader: str, progress: Progress) -> tuple[list[Imported], list[str]]:
    """Add the boxes of a file to the journals of a reader.

    A case of the file belongs to the study of the same name, where they do not name different studies, or else to the
    study of the same StudyInstanceUID.

    Returns:
        What became of each case, and what was left out, in sentences.

    Raises:
        BreastAIError: the file or the studies cannot be used, no case is there, or a journal cannot be written.
    """
    if not reader.strip():
        raise CommandError("The boxes need a reader: give a name with --reader.")
    notes: list[str] = []
    cases = _cases(into, notes)
    exchange = _read(file, cases)
    if into.is_dir() and not _named(exchange, cases) and (not cases or _is_one_study(into, progress)):
        cases = [Case(into.resolve().name, into)]
        exchange = _read(file, cases)
    notes += exchange.notes
    matching = _Matching(exchange, cases, notes, progress)
    done = []
    for case, volume, items in matching.studies():
        made = _take_case(case, volume, items, file.name, reader)
        notes += made.notes
        done.append(made)
    left = matching.left
    if not done:
        if not exchange.cases:
            raise CommandError(f"{file.name} holds no boxes that can be used. {' '.join(notes[:3])}".rstrip())
        raise CommandError(
            f"None of the {len(matching.names)} cases of {file.name} is among the studies of {into}. Cases belong "
            f"together by case_id, study_uid or the image's name. The file has: {_some(matching.names)}; the studies "
            f"are: {_some([case.case_id for case in cases])}. {' '.join(notes[:3])}".rstrip()
        )
    if left:
        notes.append(
            f"Cases of {file.name} that are among the studies of {into}: {len(matching.names) - len(left)} of "
            f"{len(matching.names)}. Left out: {_some(left)}."
        )
    return done, notes


class _Matching:
    """Cases of a file and studies, opened only as far as needed."""

    def __init__(
        self, exchange: Exchange, cases: Sequence[Case], notes: list[str], progress: Progress
    ) -> None:
        self._cases = cases
        self._notes = notes
        self._progress = progress
        self._source = exchange.source.name
        self._open: dict[str, DceVolume | None] = {}
        self._items: dict[tuple[str, str], list[CaseItems]] = {}
        for one in exchange.cases:
            self._items.setdefault((one.case_id, one.study_uid), []).append(one)
        self._taken: set[tuple[str, str]] = set()

    @property
    def names(self) -> list[str]:
        """The cases of the file."""
        return [case_id or study_uid for case_id, study_uid in self._items]

    @property
    def left(self) -> list[str]:
        """The cases of the file that found no study."""
        return [
            case_id or study_uid
            for case_id, study_uid in self._items
            if (case_id, study_uid) not in self._taken
        ]

    def studies(self) -> list[tuple[Case, DceVolume, list[CaseItems]]]:
        """The studies that the file says something about."""
        found: dict[str, tuple[Case, DceVolume, list[CaseItems]]] = {}
        by_name = _by_name(self._cases)
        for key, items in self._items.items():
            case = by_name.get(key[0])
            volume = self._volume(case) if case is not None else None
            if case is None or volume is None:
                continue
            if key[1] not in ("", volume.identity.study_uid):
                self._notes.append(
                    f"The case “{key[0]}” of {self._source} names another study than {case.path} is. If they are the "
                    "same, empty the study_uid in the file."
                )
                continue
            self._taken.add(key)
            found.setdefault(case.case_id, (case, volume, []))[2].extend(items)
        wanted = {key[1]: key for key in self._items if key not in self._taken and key[1]}
        for case in self._cases:
            if not wanted:
                break
            volume = self._volume(case)
            if volume is not None and (by_uid := wanted.pop(volume.identity.study_uid, None)):
                self._taken.add(by_uid)
                found.setdefault(case.case_id, (case, volume, []))[2].extend(self._items[by_uid])
        return list(found.values())

    def _volume(self, case: Case) -> DceVolume | None:
        if case.case_id not in self._open:
            try:
                from ..study import open_volume

                self._open[case.case_id] = open_volume(case.path, self._progress)
            except BreastAIError as error:
                self._notes.append(f"{case.case_id}: {error}")
                self._open[case.case_id] = None
        return self._open[case.case_id]


def _take_case(
    case: Case, volume: DceVolume, items: Sequence[CaseItems], source: str, reader: str
) -> Imported:
    path = journal_path(case_folder(case.path), volume.identity, reader)
    placing = Placing.of(volume)
    journal = Journal(
        path, reader, study_uid=volume.identity.study_uid, placing=placing, rescue=rescue_path(path)
    )
    made = import_items(journal, placing, items, source, case.case_id)
    if journal.trouble:
        raise CommandError(journal.trouble)
    if made.added or made.empty:
        remember(path)
    return made


def _cases(into: Path, notes: list[str]) -> list[Case]:
    if into.is_file() and into.name.lower().endswith(TABLES):
        worklist = read_worklist(into)
        notes += worklist.warnings
        return list(worklist.cases)
    if into.is_dir():
        try:
            return list(read_worklist(into).cases)
        except AnnotationError:
            return []
    if not into.exists():
        raise CommandError(f"There is no worklist, folder or study {into}. Check the name.")
    return [Case(into.name, into)]


def _read(file: Path, cases: Sequence[Case]) -> Exchange:
    if file.suffix.lower() == ".json":
        return read_coco(file, _by_name(cases))
    return read_table(file)


def _by_name(cases: Sequence[Case]) -> dict[str, Case]:
    """Cases by their names, and those that are files by their names without the ending too."""
    return {**{_plain(case.case_id): case for case in cases}, **{case.case_id: case for case in cases}}


def _named(exchange: Exchange, cases: Sequence[Case]) -> bool:
    names = _by_name(cases)
    return any(one.case_id in names for one in exchange.cases)


def _is_one_study(folder: Path, progress: Progress) -> bool:
    """Whether the folder is a DICOM study in parts, and not a folder of studies."""
    from ..study import scan

    return len({group.identity.study_uid for group in scan(folder, progress).groups}) == 1


def _plain(name: str) -> str:
    """A file's name without its ending."""
    for ending in (".nii.gz", ".nii", ".nrrd", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".zip"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (", ".join(names[:5]) or "nothing") + more
