"""What a parser remarks on the way is kept from the console and from logs."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_SILENT = logging.CRITICAL + 1
_lock = threading.Lock()
_inside = 0
_level = logging.NOTSET


@contextmanager
def quiet_parsers() -> Iterator[None]:
    """No warnings and no log records of pydicom inside: it quotes what headers say, and the audit says what matters.

    Filters of warnings are shared by all threads: enter this once, not in each of them.
    """
    global _inside, _level
    logger = logging.getLogger("pydicom")  # its modules' loggers have no levels of their own
    with _lock:
        if not _inside:
            _level = logger.level
            logger.setLevel(_SILENT)
        _inside += 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                logger.setLevel(_level)
