"""An append-only journal of one reader's boxes on one case."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from psygnal import Signal

from ..core import Box, FrameRef
from .errors import AnnotationError
from .records import SCHEMA, VERSION, State, box_to_json, image_to_json, line


class Journal:
    """The boxes that one reader drew on one case, as the sum of all that was ever done.

    Every action is one line at the end of the file, and on the disk before the call returns: after a crash,
    every action that was acknowledged is there. Nothing in the file is ever changed. The file and its folder
    are made with the first action. `records` describes the lines.

    Attributes:
        path: the file.
        reader: whose boxes these are; new boxes carry the name as their author.
        warnings: what was wrong with the file, in sentences; the good part is used.
        read_only: why nothing can be written (a newer program's file), or "".
        changed: emitted after every change of the boxes, without arguments.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, path: str | os.PathLike[str], reader: str, *, study_uid: str = "") -> None:
        """Open a journal, or prepare a new one.

        Args:
            path: the file; it need not exist.
            reader: the person's name.
            study_uid: StudyInstanceUID, written into a new journal's header; it tells whose
                boxes a moved file holds.

        Raises:
            AnnotationError: the file exists and cannot be read, or is not a journal.
        """
        self.path = Path(path)
        self.reader = reader
        self.study_uid = study_uid
        self.warnings: tuple[str, ...] = ()
        self.read_only = ""
        self._state = State()
        self._size = 0
        self._torn = False
        self._unended = False
        self._load()

    @property
    def boxes(self) -> tuple[Box, ...]:
        """All boxes, in the order of adding."""
        return self._state.boxes

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._state.past)

    @property
    def can_redo(self) -> bool:
        """Whether there is something to redo."""
        return bool(self._state.future)

    def box(self, box_id: str) -> Box:
        """The box of that id. Raises AnnotationError where there is none."""
        try:
            return self._state.entries[box_id][0]
        except KeyError:
            raise AnnotationError(f"There is no box “{box_id}” in this case any more.") from None

    def image(self, box_id: str) -> FrameRef | None:
        """The stored image that the box was drawn on, where it is known."""
        entry = self._state.entries.get(box_id)
        return entry[1] if entry else None

    def add(self, box: Box, image: FrameRef | None = None) -> Box:
        """Add a box and return it with its id and author.

        Args:
            box: a missing id or author is filled in.
            image: the stored image under the box, so that the box survives another sorting of the files.

        Raises:
            AnnotationError: the box is not valid, or could not be saved; then nothing has changed.
        """
        if found := box.problems():
            raise AnnotationError(" ".join(found))
        box = replace(box, id=box.id or uuid.uuid4().hex[:12], author=box.author or self.reader)
        record: dict[str, Any] = {"do": "add", "box": box_to_json(box)}
        if image is not None:
            record["image"] = image_to_json(image)
        self._act(record)
        return self.box(box.id)

    def move(self, box_id: str, box: Box, image: FrameRef | None = None) -> Box:
        """Give the box of that id the slice and edges of `box`; class and author stay. Errors as `add`."""
        edges = {
            key: value for key, value in box_to_json(box).items() if key in ("z", "y0", "x0", "y1", "x1")
        }
        record: dict[str, Any] = {"do": "move", "id": box_id, **edges}
        if image is not None:
            record["image"] = image_to_json(image)
        self._act(record)
        return self.box(box_id)

    def relabel(self, box_id: str, label: str) -> Box:
        """Change the class of a box. Errors as `add`."""
        if not label:
            raise AnnotationError("The box needs a class.")
        self._act({"do": "relabel", "id": box_id, "label": label})
        return self.box(box_id)

    def delete(self, box_id: str) -> None:
        """Delete a box; `undo` brings it back. Errors as `add`."""
        self._act({"do": "delete", "id": box_id})

    def undo(self) -> bool:
        """Take the last change back. Returns False where there is none. Errors as `add`."""
        if not self.can_undo:
            return False
        self._act({"do": "undo"})
        return True

    def redo(self) -> bool:
        """Make the last undone change again. Returns False where there is none. Errors as `add`."""
        if not self.can_redo:
            return False
        self._act({"do": "redo"})
        return True

    # ---------------------------------------------------------------- reading

    def _load(self) -> None:
        """Read the whole file anew."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            raw = b""
        except OSError as error:
            raise AnnotationError(
                f"The boxes in {self.path} cannot be read ({error.strerror or error}). "
                "Check the file's permissions."
            ) from error
        self._state, self.read_only, warnings = State(), "", []
        self._size = len(raw)
        self._torn = False
        self._unended = bool(raw) and not raw.endswith(b"\n")
        lines = raw.split(b"\n")
        if lines and not lines[-1]:
            lines.pop()
        records = [_parse(text) for text in lines]
        if lines and not _has_header(records):
            raise AnnotationError(
                f"{self.path} is not a journal of boxes. Move it away, or choose another folder."
            )
        for number, record in enumerate(records, start=1):
            last = number == len(records)
            if record is None:
                if last and self._unended:
                    self._torn = True
                    warnings.append(
                        f"The last line of {self.path.name} was cut off, as by a crash, and is left out."
                    )
                elif last or (records[number] or {}).get("do") != "torn":
                    warnings.append(f"Line {number} of {self.path.name} cannot be read and is left out.")
                continue
            if "schema" in record:
                self._check_version(record)
                continue
            if record.get("do") == "torn":
                continue
            step = self._state.plan(record)
            if isinstance(step, str):
                warnings.append(f"Line {number} of {self.path.name} is left out: {step}.")
            else:
                self._state.commit(step)
        self.warnings = tuple(warnings)

    def _check_version(self, header: Mapping[str, Any]) -> None:
        version = header.get("version")
        if not isinstance(version, int) or version > VERSION:
            self.read_only = (
                "The boxes of this case were written by a newer version of napari-breast-ai (journal "
                f"version {version}; this one knows {VERSION}). They are shown but cannot be changed: "
                "update the plugin."
            )
        self.study_uid = self.study_uid or str(header.get("study_uid") or "")

    # ---------------------------------------------------------------- writing

    def _act(self, record: dict[str, Any]) -> None:
        """Check an action, put it on the disk, apply it and tell everybody."""
        if self.read_only:
            raise AnnotationError(self.read_only)
        before = self.boxes
        if self._size_on_disk() != self._size:
            # The same reader in a second window: its actions come first.
            self._load()
        step = self.read_only or self._state.plan(record)
        if isinstance(step, str):
            if self.boxes != before:
                self.changed.emit()
            raise AnnotationError(self.read_only or f"This could not be done: {step}.")
        self._write({**record, "at": _now()})
        self._state.commit(step)
        self.changed.emit()

    def _size_on_disk(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise self._cannot_save(error) from error

    def _write(self, record: Mapping[str, Any]) -> None:
        """Append one line in one write, and wait for the disk."""
        parts = []
        if self._size == 0:
            header = {
                "schema": SCHEMA,
                "version": VERSION,
                "study_uid": self.study_uid,
                "reader": self.reader,
            }
            parts.append(line({**header, "at": _now()}))
        if self._unended:
            parts.append(b"\n")
        if self._torn:
            parts.append(line({"do": "torn", "at": _now()}))
        parts.append(line(record))
        data = b"".join(parts)
        try:
            new = not self.path.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                written = file.write(data)
                if written != len(data):
                    raise OSError(f"only {written} of {len(data)} bytes were written")
                os.fsync(file.fileno())
            if new:
                _sync_folder(self.path.parent)
        except OSError as error:
            self._take_back(len(data))
            raise self._cannot_save(error) from error
        self._size += len(data)
        self._torn = self._unended = False

    def _take_back(self, length: int) -> None:
        """Cut off what a failed write of `length` bytes left, so that a refused action does not come back."""
        with contextlib.suppress(OSError):
            if self._size < self.path.stat().st_size <= self._size + length:
                os.truncate(self.path, self._size)

    def _cannot_save(self, error: OSError) -> AnnotationError:
        return AnnotationError(
            f"The box was not saved: {self.path.parent} cannot be written ({error.strerror or error}). "
            "Free space or check the folder, then try again."
        )


def _parse(text: bytes) -> dict[str, Any] | None:
    """One line as an object, or None where it is not one."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _has_header(records: list[dict[str, Any] | None]) -> bool:
    """Whether some line is ours.

    A damaged first line must not hide the good rest, and another program's file must not count as ours.
    """
    return any(
        record is not None and (record.get("schema") == SCHEMA or ("schema" not in record and "do" in record))
        for record in records
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _sync_folder(folder: Path) -> None:
    """Make a new file's name last too, where the system knows how: Windows and some network shares do not."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
