"""Lines of text that are only ever appended to a file, and a second place for them while the first one fails."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path


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

    def read(self) -> bytes:
        """The whole file; b"" where there is none. Raises OSError where it cannot be read."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            raw = b""
        self.size = len(raw)
        return raw

    def read_rescue(self) -> list[bytes]:
        """Lines that an earlier run could only rescue."""
        if self.rescue is None:
            return []
        try:
            raw = self.rescue.read_bytes()
        except OSError:
            return []
        return [part + b"\n" for part in raw.split(b"\n") if part]

    def changed_outside(self) -> bool:
        """Whether the file is not what it was: a second window wrote to it, or somebody cut it or took it away.

        False where it cannot be seen: then the drive is gone, not the work.
        """
        try:
            return self.path.stat().st_size != self.size
        except FileNotFoundError:
            return self.size > 0 and self.path.parent.exists()
        except OSError:
            return False

    def append(self, lines: list[bytes]) -> bool:
        """Put lines on the disk: in the file, or else in the rescue file. True where they are in the file."""
        self.waiting.extend(lines)
        if self.flush():
            return True
        self._rescue()
        return False

    def flush(self) -> bool:
        """Bring what waits into the file. True where nothing waits any more."""
        if not self.waiting:
            return True
        data = b"".join(self.waiting)
        try:
            self._write(data)
        except OSError as error:
            self._take_back(len(data))
            self.trouble = error.strerror or str(error)
            return False
        self.waiting = []
        self.trouble, self.rescued = "", True
        if self.rescue is not None:
            with contextlib.suppress(OSError):
                self.rescue.unlink(missing_ok=True)
        return True

    def _write(self, data: bytes) -> None:
        """Append in one write and wait for the disk."""
        new = not self.path.exists()
        if new:
            if self.size:
                # The drive is gone: a new file at its mount point would hide the old one.
                raise FileNotFoundError(errno.ENOENT, "the folder is not there any more")
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab", buffering=0) as file:
            written = file.write(data)
            if written != len(data):
                raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes were written")
            os.fsync(file.fileno())
        if new:
            sync_folder(self.path.parent)
        self.size += len(data)

    def _take_back(self, length: int) -> None:
        """Cut off what a failed write of `length` bytes left, so that no half line stays."""
        with contextlib.suppress(OSError):
            if self.size < self.path.stat().st_size <= self.size + length:
                os.truncate(self.path, self.size)

    def _rescue(self) -> None:
        """Put all that waits into the rescue file, whole or not at all."""
        self.rescued = False
        if self.rescue is None:
            return
        part = self.rescue.with_name(f"{self.rescue.name}.{os.getpid()}.part")
        try:
            self.rescue.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb", buffering=0) as file:
                data = b"".join(self.waiting)
                if file.write(data) != len(data):
                    raise OSError(errno.ENOSPC, "the rescue file is cut off")
                os.fsync(file.fileno())
            part.replace(self.rescue)
            sync_folder(self.rescue.parent)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            return
        self.rescued = True


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
