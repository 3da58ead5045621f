"""Lines of text that are only ever appended to a file, and a second place for them while the first one fails."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from .locks import hold, let_go, locked

HELD = "another program does not let go of the file"


class Outrun(OSError):
    """Somebody else wrote to the file since it was last looked at."""


class LineStore:
    """An append-only file. A line counts once it is on the disk.

    What the file's disk refuses (full, read-only, gone) is kept in memory and appended to `rescue` instead, until
    `flush` brings it into the file.

    Attributes:
        path: the file; it and its folder are made with the first line.
        rescue: the file of last resort; removed when everything is in its place.
        size: bytes of the file that are known.
        waiting: lines that are not in the file yet.
        trouble: why, in words of the system; "" while all is well.
        rescued: whether the waiting lines are on the disk, in `rescue`.
    """

    def __init__(self, path: Path, rescue: Path | None = None) -> None:
        self.path = path
        self.rescue = rescue
        self.size = 0
        self.waiting: list[bytes] = []
        self.trouble = ""
        self.rescued = True
        self._last = b""
        self._mine: set[bytes] = set()
        self._turn: str | None = None
        # A drive that goes away before the first line must not be mistaken for a folder to make.
        self._ground = next((one for one in path.absolute().parents if is_there(one)), None)

    def look(self) -> bytes:
        """The whole file; b"" where there is none. Raises OSError where it cannot be read."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    def seen(self, raw: bytes) -> None:
        """From here on these are the bytes of the file that are known."""
        self.size = len(raw)
        self._last = _last_line(raw)

    def read(self) -> bytes:
        """`look` and `seen` in one."""
        raw = self.look()
        self.seen(raw)
        return raw

    def read_rescue(self) -> list[bytes]:
        """Lines that an earlier run could only rescue, and that are not in the file.

        Those of a file of the same name that went on where this one ends are among them: its folder has moved.
        """
        if self.rescue is None:
            return []
        lines = _lines(self.rescue)
        self._mine = set(lines)
        strays = []
        with contextlib.suppress(OSError):
            strays = [
                found
                for one in sorted(self.rescue.parent.iterdir())
                if one.name.endswith(f"-{self.path.name}") and one != self.rescue and (found := _lines(one))
            ]
        if not lines and not strays:
            return []
        there = set(_lines(self.path))
        for found in strays:
            if found[0] in there or (not there and b'"schema"' in found[0]):
                lines += found
        return [text for text in dict.fromkeys(lines) if text not in there]

    def changed_outside(self) -> bool:
        """Whether the file is not what it was: a second window wrote to it, or somebody cut it or took it away.

        False where it cannot be seen: then the drive is gone, not the work.
        """
        try:
            return self.path.stat().st_size != self.size
        except FileNotFoundError:
            return self.size > 0 and is_there(self.path.parent)
        except OSError:
            return False

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Keep other processes from writing to the file, from a look at it to the line that follows from it."""
        if self._turn is not None:
            yield
            return
        with locked(self.path) as self._turn:
            try:
                yield
            finally:
                self._turn = None

    def append(self, lines: list[bytes], *, in_order: bool = False) -> bool:
        """Put lines on the disk: in the file, or else in the rescue file. True where they are in the file.

        Args:
            lines: each with its line feed.
            in_order: they follow from what the file held when it was last looked at.

        Raises:
            Outrun: `in_order`, and the file has changed; nothing was written.
        """
        before = len(self.waiting)
        self.waiting.extend(lines)
        try:
            self._write(b"".join(self.waiting), in_order)
        except Outrun:
            del self.waiting[before:]
            raise
        except OSError as error:
            self.keep(error.strerror or str(error))
            return False
        self._saved()
        return True

    def flush(self) -> bool:
        """Bring what waits into the file. True where nothing waits any more."""
        if self.waiting:
            try:
                self._write(b"".join(self.waiting))
            except OSError as error:
                self.keep(error.strerror or str(error))
                return False
        self._saved()
        return True

    def keep(self, trouble: str) -> None:
        """What waits cannot be brought into the file, for this reason: put it into the rescue file."""
        self.trouble = trouble
        # The last line that was saved goes before them: it tells what they go on from (`read_rescue`).
        known = self._last and self._last not in self.waiting
        try:
            self._rewrite_rescue([self._last, *self.waiting] if known else self.waiting)
        except OSError:
            self.rescued = False
        else:
            self.rescued = self.rescue is not None

    def _saved(self) -> None:
        if self.waiting:
            self._last = _last_line(b"".join(self.waiting))
        self.waiting = []
        self.trouble, self.rescued = "", True
        if self._mine:
            with contextlib.suppress(OSError):
                self._rewrite_rescue([])

    def _write(self, data: bytes, in_order: bool = False) -> None:
        """Append in one write and wait for the disk."""
        if self._turn == "busy":
            raise OSError(errno.EBUSY, HELD)
        new = not self.path.exists()
        if new:
            if self.size or (self._ground is not None and not self._ground.exists()):
                # The drive is gone: a new file at its mount point would hide the old one.
                raise FileNotFoundError(errno.ENOENT, "the folder is not there any more")
            self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        if new:
            flags |= os.O_CREAT | (os.O_EXCL if in_order else 0)
        try:
            handle = os.open(self.path, flags, 0o666)
        except FileExistsError as error:
            raise Outrun(errno.EAGAIN, "another program made the file at the same moment") from error
        written = 0
        try:
            if (new or self._turn != "held") and not hold(handle):
                raise OSError(errno.EBUSY, HELD)
            start = os.fstat(handle).st_size
            if in_order and start != self.size:
                raise Outrun(errno.EAGAIN, "another program wrote to the file at the same moment")
            try:
                written = os.write(handle, data)
                if written != len(data):
                    raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes were written")
                os.fsync(handle)
            except OSError:
                # No half line may stay; but what others wrote behind it must.
                with contextlib.suppress(OSError):
                    if written and os.fstat(handle).st_size == start + written:
                        os.ftruncate(handle, start)
                raise
        finally:
            let_go(handle)
            os.close(handle)
        self.size = start + written
        if new:
            sync_folder(self.path.parent)

    def _rewrite_rescue(self, mine: list[bytes]) -> None:
        """Put these lines into the rescue file in place of those that this process put there; whole or not at all."""
        if self.rescue is None:
            return
        folder = self.rescue.parent
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock", make=True):
            others = [text for text in _lines(self.rescue) if text not in self._mine]
            lines = [*others, *mine]
            if not lines:
                self.rescue.unlink(missing_ok=True)
            else:
                part = self.rescue.with_name(f"{self.rescue.name}.{os.getpid()}.part")
                data = b"".join(lines)
                try:
                    with part.open("wb", buffering=0) as file:
                        if file.write(data) != len(data):
                            raise OSError(errno.ENOSPC, "the rescue file is cut off")
                        os.fsync(file.fileno())
                    part.replace(self.rescue)
                except OSError:
                    with contextlib.suppress(OSError):
                        part.unlink(missing_ok=True)
                    raise
            sync_folder(folder)
            self._mine = set(mine)


def sync_folder(folder: Path) -> None:
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


def _lines(path: Path) -> list[bytes]:
    """The lines of a file; none where it cannot be read."""
    try:
        raw = path.read_bytes()
    except OSError:
        return []
    return [text + b"\n" for text in raw.split(b"\n") if text]


def _last_line(raw: bytes) -> bytes:
    """The last whole line, with its line feed, or b""."""
    end = raw.rfind(b"\n")
    return raw[raw.rfind(b"\n", 0, end) + 1 : end + 1] if end > 0 else b""


def is_there(path: Path) -> bool:
    """Whether there is something at a path; what cannot be seen, or cannot be a path, is not there."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
