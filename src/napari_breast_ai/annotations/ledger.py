"""A journal as a file: lines that are read into a state, and actions that become lines."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from psygnal import Signal

from .anchors import Placing
from .errors import AnnotationError
from .records import SCHEMA, VERSION, is_journal, line, parse
from .state import State, Step, geometry_from_json
from .store import LineStore, Outrun

ATTEMPTS = 20
"""How often an action is planned anew where another window was faster and the drive knows no locks."""

INCIDENTAL = ("volume", "open", "close", "shown", "torn")
"""Lines that nobody asked for."""


class Ledger:
    """A state, and the file whose lines lead to it; `Journal` says what the lines mean to a person.

    An action is planned on what the file says now, written, and only then counts. What the file's disk refuses waits
    in memory and in a rescue file.

    Attributes:
        path, reader, reading, study_uid: as `Journal` has them.
        warnings: what was wrong with the file, in sentences; the good part is used.
        read_only: why nothing can be written (a newer program's file), or "".
        changed, trouble_changed: as `Journal` has them.
    """

    changed: ClassVar[Signal] = Signal()
    trouble_changed: ClassVar[Signal] = Signal()

    def __init__(
        self,
        path: str | os.PathLike[str],
        reader: str,
        *,
        study_uid: str = "",
        reading: int = 1,
        placing: Placing | None = None,
        rescue: Path | None = None,
        unsaved: Iterable[bytes] = (),
    ) -> None:
        """Open a journal, or prepare a new one.

        Args:
            path: the file; it need not exist.
            reader: the person's name.
            study_uid: StudyInstanceUID, written into a new journal's header; it tells whose
                boxes a moved file holds.
            reading: which reading of the case by this reader it is.
            placing: the volume on the screen, whose slices boxes are told in; None leaves them as written.
            rescue: where actions are kept while the file cannot be written; None keeps them in memory only.
            unsaved: `unsaved_lines` of another journal of this case that could not be saved anywhere.

        Raises:
            AnnotationError: the file exists and cannot be read, or is not a journal.
        """
        self.path = Path(path)
        self.reader = reader
        self.reading = reading
        self.study_uid = study_uid
        self.warnings: tuple[str, ...] = ()
        self.read_only = ""
        self._placing = placing
        self._store = LineStore(self.path, rescue)
        self._state = State(placing)
        self._known: dict[str, bytes] = {}
        self._keyless: Counter[bytes] = Counter()
        self._version = 0
        self._torn = False
        self._unended = False
        self._opened = ""
        self._shown: list[dict[str, Any]] = []
        self._load([*self._store.read_rescue(), *unsaved])

    @property
    def touched(self) -> bool:
        """Whether anything was ever written."""
        return bool(self._known) or self._store.size > 0

    @property
    def unsaved(self) -> int:
        """How many lines are not in the file yet."""
        return len(self._store.waiting)

    @property
    def unsaved_lines(self) -> tuple[bytes, ...]:
        """The lines that are not in the file yet."""
        return tuple(self._store.waiting)

    @property
    def begun(self) -> bool:
        """Whether any line has ever reached the file."""
        return self._store.size > 0

    @property
    def in_memory_only(self) -> bool:
        """Whether something that was done is on no disk."""
        return bool(self._store.waiting) and not self._store.rescued

    @property
    def trouble(self) -> str:
        """Why actions are not saved, and where they are meanwhile, in a sentence; "" while all is well."""
        store = self._store
        if not store.waiting:
            return ""
        if store.rescued:
            where = f"What was done is kept in {store.rescue}"
        else:
            where = "What was done is kept in memory only, do not close the program"
        return (
            f"Not saved: {self.path.parent} cannot be written ({store.trouble}). {where}; it is saved as soon as "
            "that is possible. Free space, or bring the folder or drive back."
        )

    def enter(self) -> None:
        """The case is on the screen now. Written with the first action: looking alone leaves no file."""
        self._opened = now()

    def answer_shown(self, model: str, sha256: str) -> None:
        """The reader sees what a model says of the case. Written with the next action, as `enter` is."""
        if sha256 not in self._state.answers and all(one["sha256"] != sha256 for one in self._shown):
            self._shown.append({"do": "shown", "model": model, "sha256": sha256, "at": now()})

    @property
    def answer_seen(self) -> bool:
        """Whether the reader has seen a model's answer on this case."""
        return bool(self._state.answers or self._shown)

    def leave(self) -> None:
        """The case has left the screen. Written where something was done since `enter`."""
        entered, self._opened = self._opened, ""
        if not entered and self.touched and not self.read_only:
            with contextlib.suppress(AnnotationError):
                self._act({"do": "close"})

    def save(self) -> bool:
        """Try again to bring into the file what could not be saved. True where all is saved."""
        if not self._store.waiting or self.read_only:
            return not self._store.waiting
        tables = self._state.tables
        # A file that cannot be read now is tried again later.
        with self._store.turn(), contextlib.suppress(AnnotationError):
            if self._store.changed_outside():
                self._load()
            self._store.flush()
        if self._state.tables != tables:
            self.changed.emit()
        saved = not self._store.waiting
        if saved:
            self.trouble_changed.emit()
        return saved

    # ---------------------------------------------------------------- reading

    def _load(self, rescued: Iterable[bytes] = ()) -> None:
        """Read the whole file anew. Lines that are known, or rescued, and are not in it wait to be written.

        Where the file cannot be read, or is not a journal any more, all stays as it was.
        """
        try:
            raw = self._store.look()
        except OSError as error:
            raise AnnotationError(
                f"The boxes in {self.path} cannot be read ({error.strerror or error}). "
                "Check the file's permissions."
            ) from error
        lines = raw.split(b"\n")
        if not lines[-1]:
            lines.pop()
        records = [parse(text) for text in lines]
        if not is_journal(raw, records):
            raise AnnotationError(self._not_ours())
        self._store.seen(raw)
        before, self._known, self._keyless = self._known, {}, Counter()
        self._state, self.read_only, self._version = State(self._placing), "", 0
        self._unended = bool(raw) and not raw.endswith(b"\n")
        self._torn = bool(records) and records[-1] is None
        warnings: list[str] = []
        for number, (text, record) in enumerate(zip(lines, records, strict=True), start=1):
            if record is None:
                if number == len(records):
                    warnings.append(
                        f"The last line of {self.path.name} was cut off, as by a crash, and is left out."
                    )
                elif not _reported(records, number):
                    warnings.append(f"Line {number} of {self.path.name} cannot be read and is left out.")
            elif problem := self._replay(record, text + b"\n"):
                warnings.append(f"Line {number} of {self.path.name} is left out: {problem}.")
        missing = [text for key, text in before.items() if key not in self._known]
        if missing and not self._store.waiting:
            warnings.append(
                f"{self.path.name} had lost {len(missing)} lines that were saved before. They are written again."
            )
        kept = [(text, record) for text in rescued if (record := parse(text)) is not None]
        late = [(text, record) for text, record in kept if _key(text, record) not in self._known]
        if asked := sum(record.get("do", "torn") not in INCIDENTAL for _, record in late):
            what, are = ("An action", "was") if asked == 1 else (f"{asked} actions", "were")
            warnings.append(
                f"{what} on this case could not be saved at once and {are} kept in a rescue file. The case is "
                "whole again."
            )
        self._catch_up([*missing, *(text for text, _ in late)])
        self.warnings = tuple(warnings)

    def _catch_up(self, waiting: list[bytes]) -> None:
        """Apply lines that are not in the file, and write them."""
        for text in waiting:
            if (record := parse(text)) is not None:
                self._replay(record, text)
        if self.read_only:
            self._store.waiting = waiting
            if waiting:
                self._store.keep("it was written by a newer version")
            return
        if waiting:
            waiting = [*self._mend(), *waiting]
            self._torn = self._unended = False
        self._store.waiting = waiting
        self._store.flush()

    def _mend(self) -> list[bytes]:
        """What must stand before the next line, so that a last line that was cut off harms nothing."""
        lines = [b"\n"] if self._unended else []
        if self._torn:
            lines.append(line({"do": "torn", "key": new_id(), "at": now()}))
        return lines

    def _not_ours(self) -> str:
        """Somebody put another file in the journal's place. What is known of it is kept."""
        sentence = f"{self.path} is not a journal of boxes. Move it away, or choose another folder."
        if self._known:
            self._store.waiting = list(self._known.values())
            self._store.keep("another file is in the journal's place")
            if self._store.rescued:
                sentence += f" What was done on this case is kept in {self._store.rescue}."
        return sentence

    def _replay(self, record: Mapping[str, Any], text: bytes) -> str:
        """Apply a line that is on the disk. Returns what is wrong with it, or ""."""
        if not record.get("key"):
            self._keyless[text] += 1
        key = _key(text, record, self._keyless[text])
        if key in self._known:
            return ""
        self._known[key] = text
        if "schema" in record:
            self._check_version(record)
            return ""
        step = self._state.plan(record)
        if isinstance(step, str):
            return step
        self._state.commit(step)
        return ""

    def _check_version(self, header: Mapping[str, Any]) -> None:
        version = header.get("version")
        if not isinstance(version, int) or version > VERSION:
            self.read_only = (
                "The boxes of this case were written by a newer version of napari-breast-ai (journal "
                f"version {version}; this one knows {VERSION}). They are shown but cannot be changed: "
                "update the plugin."
            )
        else:
            self._version = max(self._version, version)
        self.study_uid = self.study_uid or str(header.get("study_uid") or "")

    # ---------------------------------------------------------------- writing

    def _act(self, record: dict[str, Any]) -> None:
        """Check an action, put it on the disk, apply it and tell everybody."""
        if self.read_only:
            raise AnnotationError(self.read_only)
        tables, troubled = self._state.tables, bool(self._store.waiting)
        problem = None
        try:
            with self._store.turn():
                self._write(record)
        except AnnotationError as error:
            problem = error
        if problem is None or self._state.tables != tables:
            self.changed.emit()
        if troubled != bool(self._store.waiting):
            self.trouble_changed.emit()
        if problem is not None:
            raise problem

    def _write(self, record: dict[str, Any]) -> None:
        """Plan an action on what the file says now, and put it there."""
        for attempt in range(1, ATTEMPTS + 1):
            if self._store.changed_outside():
                # The same reader in a second window: its actions come first.
                self._load()
            record = {**record, "key": new_id()}
            step = self.read_only or self._state.plan(record)
            if isinstance(step, str):
                raise AnnotationError(self.read_only or f"This could not be done: {step}.")
            records = [*self._prelude(), record]
            lines = {str(one["key"]): line({**one, "at": one.get("at") or now()}) for one in records}
            try:
                self._store.append([*self._mend(), *lines.values()], in_order=attempt < ATTEMPTS)
            except Outrun:
                continue
            self._known.update(lines)
            self._torn, self._unended, self._opened, self._shown = False, False, "", []
            self._apply(records, step)
            return

    def _apply(self, records: Sequence[Mapping[str, Any]], step: Step) -> None:
        """An action, and what stands before it, is on the disk: now it counts."""
        for one in records[:-1]:
            if "schema" in one:
                self._version = VERSION
            elif not isinstance(planned := self._state.plan(one), str):
                self._state.commit(planned)
        self._state.commit(step)

    def _prelude(self) -> list[dict[str, Any]]:
        """Lines that must stand before the next action: a header, the stack of slices, when the case was opened."""
        lines: list[dict[str, Any]] = []
        if self._version < VERSION:
            lines.append(
                {
                    "schema": SCHEMA,
                    "version": VERSION,
                    "study_uid": self.study_uid,
                    "reader": self.reader,
                    "reading": self.reading,
                }
            )
        if self._placing is not None and not self._same_stack(self._placing):
            geometry = self._placing.geometry
            lines.append(
                {
                    "do": "volume",
                    "shape": list(geometry.shape),
                    "spacing": list(geometry.spacing),
                    "affine": geometry.affine.tolist(),
                    "frame_of_reference": self._placing.frame_of_reference,
                }
            )
        if self._opened:
            lines.append({"do": "open", "at": self._opened})
        lines += self._shown
        return [{**one, "key": new_id()} for one in lines]

    def _same_stack(self, placing: Placing) -> bool:
        """Whether the last `volume` line is of the stack on the screen."""
        known = self._state.volume
        return (
            known is not None
            and known.get("frame_of_reference") == placing.frame_of_reference
            and geometry_from_json(known).same_as(placing.geometry)
        )


def new_id() -> str:
    """An id that no other box or line has."""
    return uuid.uuid4().hex[:12]


def _reported(records: Sequence[Mapping[str, Any] | None], number: int) -> bool:
    """Whether `torn` stands behind a line that cannot be read, or is to come behind several of them.

    Writing that line can be cut off too.
    """
    following = next((record for record in records[number:] if record is not None), None)
    return following is None or following.get("do") == "torn"


def _key(text: bytes, record: Mapping[str, Any], count: int = 1) -> str:
    """What tells a line from all others: its key, or in version 1 its text and how often that has come."""
    return str(record.get("key") or f"{count} {text!r}")


def now() -> str:
    """The time, UTC, ISO 8601 to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
