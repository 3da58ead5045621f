"""Work on a stack in tiles that fit a core's cache, on a few threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from ..core import Progress, silent

TILE = 32_768
"""Voxels of a tile: the handful of float32 arrays that work on it stays in a core's second cache."""

MOST_THREADS = 4
"""More threads wait for the memory."""

Part = TypeVar("Part")


def threads() -> int:
    """How many threads the work is spread over."""
    try:
        free = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Windows and macOS
        free = os.cpu_count() or 1
    return max(1, min(MOST_THREADS, free))


def row_blocks(rows: int, columns: int, tile: int = TILE) -> list[slice]:
    """Rows of an image in blocks of about `tile` pixels."""
    step = max(1, tile // max(columns, 1))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def spread(
    work: Callable[[Part], None], parts: Sequence[Part], progress: Progress = silent, what: str = ""
) -> None:
    """Call `work` for each part, on threads; numpy lets go of the interpreter's lock for arrays of this size.

    Args:
        work: must touch nothing that another part touches.
        parts: of one size, roughly.
        progress: called in this thread some twenty times; may raise `Cancelled`, and then what is under way ends
            and nothing else begins.
        what: the work's name.
    """
    number = threads()
    total = len(parts)
    if number == 1 or total < 2:
        for done, part in enumerate(parts):
            progress(done, total, what)
            work(part)
        progress(total, total, what)
        return
    # Each thread takes every n-th part of a round, so that few jobs are handed over.
    rounds = max(1, total // (20 * number)) if progress is not silent else -(-total // number)
    with ThreadPoolExecutor(number) as pool:
        for start in range(0, total, rounds * number):
            progress(start, total, what)
            chunk = parts[start : start + rounds * number]
            jobs = [pool.submit(_each, work, chunk[k::number]) for k in range(number)]
            wait(jobs, return_when=FIRST_EXCEPTION)
            for job in jobs:
                job.result()
    progress(total, total, what)


def _each(work: Callable[[Part], None], parts: Sequence[Part]) -> None:
    for part in parts:
        work(part)
