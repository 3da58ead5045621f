"""Work that nothing can stop, such as a foreign engine being made: whoever waits for it can go away, and it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import torch

from ..core import Progress, silent

EVERY_S = 0.05
"""So often the one who waits is asked whether they still do."""

Made = TypeVar("Made")


def made_aside(make: Callable[[], Made], progress: Progress, what: str) -> Made:
    """Make something in a thread of its own and wait for it.

    What is made must keep itself for the next time: where `progress` cancels, nobody takes it.

    Args:
        make: makes it. It computes with as many of torch's threads as the one who waits.
        progress: told some twenty times a second while it is made, with `what`; may cancel. With `silent`, which never
            does, there is no other thread.
        what: in words.

    Raises:
        Cancelled: by `progress`; the thread then goes on until it is done.
        BaseException: what `make` raises.
    """
    if progress is silent:
        return make()
    found: Future[Made] = Future()
    threads = torch.get_num_threads()

    def work() -> None:
        try:
            if torch.get_num_threads() < threads:
                torch.set_num_threads(threads)
            found.set_result(make())
        except BaseException as error:  # noqa: BLE001 - carried to the one who waits
            found.set_exception(error)

    # Not a daemon: a program that ends in the middle of foreign code would crash.
    threading.Thread(target=work, name=what).start()
    over = threading.Event()
    found.add_done_callback(lambda _: over.set())
    while not over.wait(EVERY_S):
        progress(0, 1, what)
    return found.result()
