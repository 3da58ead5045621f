"""One writer at a time: the system's own lock on a file, which goes with the process that holds it."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PATIENCE_S = 5.0
"""How long to wait for another writer, who needs milliseconds; one that was stopped must not stop this one."""

_PAUSE_S = 0.002
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)
_FAR = 1 << 40
"""Windows keeps others from reading the bytes that are locked: lock one that no file reaches."""


@contextlib.contextmanager
def locked(path: Path, *, make: bool = False) -> Iterator[Literal["held", "busy", "none"]]:
    """Hold a file's lock.

    Yields "held"; "busy" where another process did not let go of it in `PATIENCE_S`; or "none" where there is nothing
    to hold, as the file is not there or cannot be opened. A drive that knows no locks counts as "held".

    Args:
        path: the file.
        make: whether to make the file where it is not there.
    """
    try:
        handle = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | (os.O_CREAT if make else 0), 0o666)
    except OSError:
        yield "none"
        return
    try:
        yield "held" if hold(handle) else "busy"
    finally:
        let_go(handle)
        os.close(handle)


def hold(handle: int) -> bool:
    """Lock an open file. False where another process did not let go of it; True else."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            _lock(handle)
        except OSError as error:
            if error.errno not in _BUSY:
                return True
        else:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE_S)


def let_go(handle: int) -> None:
    """Unlock a file that is about to be closed: Windows may be late with it otherwise."""
    with contextlib.suppress(OSError):
        _unlock(handle)


if sys.platform == "win32":

    def _lock(handle: int) -> None:
        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    def _unlock(handle: int) -> None:
        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
