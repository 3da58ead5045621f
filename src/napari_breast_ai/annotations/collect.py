"""From folders, worklists and journals to what readers made of the cases; studies are opened only where they must be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..core import BreastAIError, DceVolume, Progress, silent
from ..places import study_name
from .anchors import Placing
from .cases import CaseRecord, find_journals, read_case
from .errors import AnnotationError
from .log import logged_journals
from .places import journals_of
from .worklist import Case, Worklist, read_worklist

TABLES = (".csv", ".tsv", ".txt")


class Found:
    """Journals, each read once.

    Attributes:
        records: in order of the paths.
        notes: what was wrong with files and journals, in sentences.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        progress: Progress = silent,
        stacks: bool = True,
        opener: Callable[[Path, Progress], DceVolume] | None = None,
    ) -> None:
        """Find and read journals.

        Args:
            paths: folders, journals, worklists.
            progress: called for each study that is opened.
            stacks: open the study of a journal that does not know its stack of slices (version 1).
            opener: reads a study, where one must be opened; None leaves out what would need it.

        Raises:
            AnnotationError: a path cannot be used, or there is no journal.
        """
        self.records: tuple[CaseRecord, ...] = ()
        self.notes: list[str] = []
        self._progress, self._opener = progress, opener
        made: dict[tuple[str, str], CaseRecord] = {}
        seen: set[Path] = set()
        for path in paths:
            for journal, case in self._journals(path):
                if journal.resolve() in seen:
                    continue
                seen.add(journal.resolve())
                record = self._read(journal, case, stacks)
                if record is None:
                    continue
                known = made.setdefault((record.key, record.rater), record)
                if known is not record:
                    self.notes.append(
                        f"There are two journals of {record.rater} for the case “{record.case_id}”; {known.path} is "
                        f"used, {record.path} is not."
                    )
        self.records = _told_apart(made.values())
        if not self.records:
            raise AnnotationError(
                f"There are no journals of boxes in {', '.join(str(path) for path in paths)}. Give the folder of the "
                "studies, a journal (boxes-….jsonl), or the worklist. " + " ".join(self.notes[:3])
            )

    def _journals(self, path: Path) -> Iterator[tuple[Path, Case | None]]:
        if path.is_file() and path.name.lower().endswith(TABLES):
            worklist = read_worklist(path)
            self.notes += worklist.warnings
            yield from self._of_worklist(worklist)
            return
        found = find_journals([path])
        yield from ((one, None) for one in found)
        if not found and path.is_dir():
            # Journals of folders that cannot be written lie in the user's data folder.
            yield from self._of_worklist(read_worklist(path))

    def _of_worklist(self, worklist: Worklist) -> Iterator[tuple[Path, Case | None]]:
        logged = logged_journals(worklist)
        for number, case in enumerate(worklist.cases):
            self._progress(number, len(worklist.cases), "Looking for journals")
            known = list(logged.get(case.case_id, ()))
            if case.path.is_dir():
                known += find_journals([case.path])
            uids = {uid for one in known if (uid := _study_uid(one))}
            if not uids and case.path.exists():
                volume = self._open(case.path)
                uids = {volume.identity.study_uid} if volume is not None else set()
            for uid in sorted(uids):
                known += journals_of(case_folder(case.path), uid)
            yield from ((one, case) for one in known)
        self._progress(len(worklist.cases), len(worklist.cases), "Looking for journals")

    def _read(self, journal: Path, case: Case | None, stacks: bool) -> CaseRecord | None:
        name = case.case_id if case is not None else ""
        try:
            record = read_case(journal, name)
            if stacks and record.geometry is None and record.boxes:
                volume = self._open(case.path if case is not None else journal.parent.parent)
                if volume is not None and record.study_uid in ("", volume.identity.study_uid):
                    record = read_case(journal, name, Placing.of(volume))
        except AnnotationError as error:
            self.notes.append(str(error))
            return None
        self.notes += record.warnings
        if record.hidden:
            self.notes.append(
                f"Boxes in {journal} that lie on images of another series, and are left out: {record.hidden}."
            )
        return record

    def _open(self, path: Path) -> DceVolume | None:
        if self._opener is None:
            return None
        try:
            return self._opener(path, self._progress)
        except BreastAIError as error:
            self.notes.append(f"{path.name}: {error}")
            return None


def _told_apart(records: Iterable[CaseRecord]) -> tuple[CaseRecord, ...]:
    """Studies in one folder bear its name; their cases get a part of the study's own behind it."""
    records = tuple(records)
    studies: dict[str, set[str]] = {}
    for record in records:
        studies.setdefault(record.case_id, set()).add(record.study_uid)
    return tuple(
        replace(record, case_id=f"{record.case_id}-{study_name(record.study_uid)[:8]}")
        if len(studies[record.case_id]) > 1 and record.study_uid
        else record
        for record in records
    )


def case_folder(path: Path) -> Path:
    """The folder that a case's journals lie beside, as in the window."""
    return path if path.is_dir() else path.parent


def _study_uid(journal: Path) -> str:
    try:
        return read_case(journal).study_uid
    except AnnotationError:
        return ""
