"""A training in a process of its own: `python -m napari_breast_ai.training.apart`.

It reads one line of JSON that says what to do, `{"do": "train" or "check", "order": {...}}` (see `Order`; with
`"anew": true` what an earlier run has left in the folder is removed), and tells of it in lines as in `wire`. Further
lines pause it, let it go on and cancel it: `{"say": "pause"}`. When its input ends, whoever started it is gone: it
stops at its next step, and what it has finished is on the disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..core import BreastAIError, Cancelled, Progress
from .order import Order
from .watching import Control
from .wire import Failed, Paused, Progressed, Stopped, Told, to_line

Tell = Callable[[Told], None]

EVERY_S = 0.1
"""Reports of progress come no closer than this."""


class Steered(Control):
    """A control that tells when the run has come to wait, which may be a while after it was asked to."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def point(self) -> None:
        """See `Control`."""
        waits = self.paused and not self.cancelled
        if waits:
            self._tell(Paused(True))
        super().point()
        if waits:
            self._tell(Paused(False))


def main() -> int:
    """Do what the first line says. 0 also where that could not be done and was told."""
    # Whatever else is printed must not stand between the lines.
    told = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1, newline="\n")
    os.dup2(2, 1)
    yield_to_the_window()
    lock = threading.Lock()

    def tell(event: Told) -> None:
        # Nobody is there to be told any more where the pipe is broken: the end of the input stops the work.
        with lock, contextlib.suppress(BrokenPipeError):
            told.write(to_line(event) + "\n")

    try:
        lines = _lines(sys.stdin.fileno())
        wanted = json.loads(next(lines, b""))
    except ValueError:
        return 2
    control = Steered(tell)
    threading.Thread(target=_listen, args=(lines, control), daemon=True).start()
    tell(_do(wanted, tell, control))
    return 0


def yield_to_the_window() -> None:
    """Give way to all that a person waits for: whoever looks at images comes first."""
    if hasattr(os, "nice"):
        os.nice(max(0, 5 - os.nice(0)))
    elif sys.platform == "win32":
        import ctypes

        below_normal = 0x4000
        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), below_normal)


def _do(wanted: Mapping[str, Any], tell: Tell, control: Control) -> Told:
    """Work; the last thing to tell."""
    try:
        order = Order.from_json(wanted["order"])
        progress = control.steer(_rarely(tell))
        if wanted["do"] == "check":
            from .outlook import check

            return check(order, tell, progress)
        from .ordered import train_order

        return train_order(order, tell, control, progress, anew=bool(wanted.get("anew")))
    except Cancelled:
        return Stopped()
    except BreastAIError as error:
        return Failed(str(error), problems=tuple(getattr(error, "problems", ())))
    except MemoryError:
        return Failed(
            "There is not enough memory for this training. Close other programs, or use fewer cases or smaller images."
        )
    except Exception as error:  # noqa: BLE001 - told to the window, which says it in a sentence
        traceback.print_exc()
        return Failed(f"{type(error).__name__}: {error}", defect=True)


def _lines(descriptor: int) -> Iterator[bytes]:
    """Lines as they come. Read without Python's buffer, whose lock a thread that waits would hold at the end."""
    rest = b""
    while more := os.read(descriptor, 65536):
        *whole, rest = (rest + more).split(b"\n")
        yield from whole


def _listen(lines: Iterator[bytes], control: Control) -> None:
    """Do as the window says until it is gone."""
    actions = {"pause": control.pause, "resume": control.resume, "cancel": control.cancel}
    for line in lines:
        try:
            actions[json.loads(line)["say"]]()
        except (ValueError, KeyError, TypeError):
            continue
    control.cancel()


def _rarely(tell: Tell) -> Progress:
    last, said = 0.0, ""

    def report(done: int, total: int, what: str) -> None:
        nonlocal last, said
        now = time.monotonic()
        if done >= total or what != said or now - last >= EVERY_S:
            last, said = now, what
            tell(Progressed(done, total, what))

    return report


if __name__ == "__main__":
    sys.exit(main())
