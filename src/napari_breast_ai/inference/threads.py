"""How many threads torch computes on, and threads of our own for many small steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Within it torch computes on the calling thread alone.

    torch's threads stay awake for a while after each piece of work and wait for the next; another engine would share
    the processor with them.
    """
    count = torch.get_num_threads()
    if wanted:
        _stay_alone()
    try:
        yield
    finally:
        if torch.get_num_threads() != count:
            torch.set_num_threads(count)


def side_by_side(work: Callable[[int], None], count: int) -> None:
    """Call `work` with 0 to count - 1, each on a thread on which torch computes alone.

    torch's own threads share each single step, which does not pay where steps are as short as those of one image.

    Raises:
        Exception: the first that `work` raises; all calls are over then.
    """
    if count == 1:
        work(0)
        return

    def alone(number: int) -> None:
        _stay_alone()
        work(number)

    running = [_pool().submit(alone, number) for number in range(count)]
    errors = [one.exception() for one in running]
    for error in filter(None, errors):
        raise error


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="images")


def _stay_alone() -> None:
    """Let torch compute on the calling thread alone from now on."""
    count = torch.get_num_threads()
    if count > 1:
        torch.set_num_threads(1)
        # The number is of this thread, but also what threads that come later begin with: they keep theirs.
        _other().submit(torch.set_num_threads, count).result()


@cache
def _other() -> ThreadPoolExecutor:
    """A thread that is there already: a new one would wait for torch's, which stay awake."""
    return ThreadPoolExecutor(1, thread_name_prefix="threads")
