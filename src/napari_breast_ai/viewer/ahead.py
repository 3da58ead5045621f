"""The cases that the next keys bring, read while the person looks at the one on the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..annotations.log import Turn
from ..core import DceVolume, Progress
from . import tasks

if TYPE_CHECKING:
    from ..study import Loader
    from .workers import Workers

AHEAD = "ahead"

MOST_AHEAD = 2 << 30
"""Bytes: a larger study is opened when it is asked for, lest two of them fill the memory."""


@dataclass(frozen=True, eq=False)
class Ready:
    """A study that is in memory before it is asked for."""

    volume: DceVolume
    source: str


class Ahead:
    """Studies in memory, one job after the other."""

    def __init__(self, workers: Workers, wanted: Callable[[], Sequence[tuple[Turn, Path | None]]]) -> None:
        """Prepare; nothing is read yet.

        Args:
            workers: the window's threads.
            wanted: which turns the next keys may bring, in order of need, each with its path, or None where nothing
                lies there; none of them while the present case is not all there. Asked before each job.
        """
        self._workers = workers
        self._wanted = wanted
        self._ready: dict[Turn, Ready] = {}
        # What cannot be read, or is too large: said when its turn comes.
        self._passed: set[Turn] = set()
        # Jobs of before say nothing any more.
        self._round = 0

    def has(self, turn: Turn) -> bool:
        """Whether the case is in memory."""
        return turn in self._ready

    def take(self, turn: Turn) -> Ready | None:
        """The case's study, which is let go of here; None where it is not in memory."""
        return self._ready.pop(turn, None)

    def forget(self) -> None:
        """Let go of everything: another list or order."""
        self._ready.clear()
        self._passed.clear()
        self._round += 1

    def go_on(self) -> None:
        """Read what is wanted next and not in memory."""
        wanted = self._wanted()
        if not wanted or self._workers.running(AHEAD):
            return
        near = dict(wanted)
        # What was read ahead and then passed over is let go.
        self._ready = {turn: ready for turn, ready in self._ready.items() if turn in near}
        self._passed &= near.keys()
        self._passed |= {turn for turn, path in wanted if path is None}
        turn = next((one for one in near if one not in self._ready and one not in self._passed), None)
        path = None if turn is None else near[turn]
        if turn is None or path is None:
            return
        room = MOST_AHEAD - sum(ready.volume.data.nbytes for ready in self._ready.values())
        here = self._round

        def work(progress: Progress) -> DceVolume | None:
            found = open_first(path, progress)
            volume = found if isinstance(found, DceVolume) else found.volume
            if volume.data.nbytes > room:
                return None
            if not isinstance(found, DceVolume):
                found.load(progress)
            return volume

        def done(volume: DceVolume | None) -> None:
            # Another list may have been opened meanwhile, with a case of the same name.
            if self._round == here:
                if volume is None:
                    self._passed.add(turn)
                else:
                    self._ready[turn] = Ready(volume, str(path))
            self.go_on()

        def failed(error: BaseException) -> None:
            self._passed.add(turn)
            self.go_on()

        def cancelled() -> None:
            # Another case was asked for meanwhile; a person who stops the reading has it stopped.
            if dict(self._wanted()).keys() != near.keys():
                self.go_on()

        self._workers.start(AHEAD, "Read the next case", work, done=done, failed=failed, cancelled=cancelled)


def open_first(path: Path, progress: Progress) -> DceVolume | Loader:
    """A case with the slice that is shown first, or wholly where its format allows no other way."""
    from ..study import open_study

    found = open_study(path, progress)
    if not isinstance(found, DceVolume):
        tasks.load_first(found, progress)
    return found
