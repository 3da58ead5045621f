"""How a run is watched and steered: what happened, as plain frozen values, and a handle that pauses or stops it.

`train(..., watch=told, control=control)` calls `told(event)` in the thread or process that trains, one event at a time
and in order: `RunStarted`; for each round `RoundStarted`, an `EpochDone` after every epoch of a fit that has epochs,
and `RoundDone`; at last `RunDone`. Rounds that an earlier, interrupted run finished are told as `RoundDone` with
`again`; on a scheduler several rounds may be under way at once, and their epochs are not told. Reading cases and
computing features comes before `RunStarted` and is told to the `progress` as everywhere.

All events can be pickled, so that the training may be a process of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..core import Box, Cancelled, Progress
from .protocol import Part


@dataclass(frozen=True, eq=False)
class Shown:
    """The slice whose attention is shown while a round learns; none of its patient's slices are learnt from.

    Attributes:
        case_id: its case.
        slice: its number in the case, from 0.
        picture: uint8 (rows, columns), as the model sees it.
        boxes: the lesions that a reader marked, in pixels of the picture.
    """

    case_id: str
    slice: int
    picture: NDArray[np.uint8]
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class RunStarted:
    """All cases are read and their features there; fitting begins.

    Attributes:
        what: a sentence: how many slices, cases and patients, and how they are judged.
        rounds: how often something is fitted, the final model included.
        epochs: of each round at most; 0 for a fit that has none (L-BFGS).
        done: rounds that an earlier, interrupted run finished.
        warnings: sentences that a person should see.
    """

    what: str
    rounds: int
    epochs: int
    done: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RoundStarted:
    """A round begins.

    Attributes:
        round: from 1 to `rounds`; the last one is the final fit.
        rounds: as in `RunStarted`.
        repeat, fold: from 1; 0 for the final fit.
        part: whom it is judged on.
        patients, slices: that it learns from.
        shown: None where nothing can be shown.
    """

    round: int
    rounds: int
    repeat: int
    fold: int
    part: Part
    patients: int
    slices: int
    shown: Shown | None = None


@dataclass(frozen=True, eq=False)
class EpochDone:
    """An epoch of a round is over. After an interruption the epochs from before it are told again.

    Attributes:
        round, rounds: as in `RoundStarted`.
        epoch: from 1 to `epochs`, which is how many there are at most.
        loss: mean over the epoch.
        auc: mean over the questions, on the patients of the training part who only choose the epoch; None where
            it cannot be had.
        kept: whether these weights are the best so far.
        attention: float32 (h, w) in 0..1 on `RoundStarted.shown`; where the model has no attention, the activation of
            its first label (CAM) over its maximum; None where neither can be had.
        seconds_left: until the run is over; None as long as there is nothing to tell it from.
    """

    round: int
    rounds: int
    epoch: int
    epochs: int
    loss: float
    auc: float | None
    kept: bool
    attention: NDArray[np.float32] | None = None
    seconds_left: float | None = None


@dataclass(frozen=True, eq=False)
class RoundDone:
    """A round is over.

    Attributes:
        round, rounds, repeat, fold, part: as in `RoundStarted`.
        done: rounds that are over, this one included.
        aucs: figure's name, such as "malignant against benign/per patient/AUC", to its value on the patients of this
            round; empty for the final fit.
        so_far: the same over all rounds of the same part that are over, each slice's scores averaged first.
        again: it was finished by an earlier, interrupted run.
        seconds_left: see `EpochDone`.
    """

    round: int
    rounds: int
    repeat: int
    fold: int
    part: Part
    done: int
    aucs: Mapping[str, float] = field(default_factory=dict)
    so_far: Mapping[str, float] = field(default_factory=dict)
    again: bool = False
    seconds_left: float | None = None


@dataclass(frozen=True)
class RunDone:
    """Everything is fitted; what is left is to judge and to write.

    Attributes:
        seconds: that fitting took this time, pauses included.
    """

    seconds: float


Event: TypeAlias = RunStarted | RoundStarted | EpochDone | RoundDone | RunDone
Watch: TypeAlias = Callable[[Event], None]


def unwatched(event: Event) -> None:
    """Ignore the event: the default where nobody watches."""


class Flag(Protocol):
    """What `Control` needs of an event: `threading.Event` has it, and `multiprocessing.Event`."""

    def set(self) -> None:
        """Raise it."""

    def clear(self) -> None:
        """Lower it."""

    def is_set(self) -> bool:
        """Whether it is raised."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is raised."""


class Control:
    """Pauses, resumes and cancels a run from another thread (or, with flags of `multiprocessing`, process).

    The run looks here between two epochs, rounds, batches and cases: a pause begins, and a cancelled run ends, there.
    """

    def __init__(self, going: Flag | None = None, stopped: Flag | None = None) -> None:
        """Begin unpaused; the flags are new ones unless they are given."""
        self._going: Flag = threading.Event() if going is None else going
        self._stopped: Flag = threading.Event() if stopped is None else stopped
        self._going.set()
        self.waited = 0.0
        """Seconds that the run has waited so far."""

    @property
    def paused(self) -> bool:
        """Whether the run waits, or will at its next step."""
        return not self._going.is_set()

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to end."""
        return self._stopped.is_set()

    def pause(self) -> None:
        """Let the run wait at its next step. It keeps its memory; what is finished is on disk already."""
        self._going.clear()

    def resume(self) -> None:
        """Let it go on."""
        self._going.set()

    def cancel(self) -> None:
        """End the run at its next step; in a run folder it can be taken up again."""
        self._stopped.set()
        self._going.set()

    def point(self) -> None:
        """A step of the run is done: wait here while it is paused.

        Raises:
            Cancelled: it was cancelled.
        """
        if not self._going.is_set():
            begin = time.monotonic()
            self._going.wait()
            self.waited += time.monotonic() - begin
        if self._stopped.is_set():
            raise Cancelled

    def steer(self, progress: Progress) -> Progress:
        """The same progress, with a look here after every report."""

        def told(done: int, total: int, what: str) -> None:
            progress(done, total, what)
            self.point()

        return told
