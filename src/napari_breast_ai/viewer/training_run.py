"""One training as far as it has come: what its process has told of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from ..training.order import Order
from ..training.watching import EpochDone, RoundDone, RoundStarted, RunStarted, Shown
from ..training.wire import Progressed, Told, Written

GUESS_AFTER_S = 3.0
"""So long a step must have taken before the time it still takes is told."""


@dataclass
class Course:
    """One round as far as it has come.

    Attributes:
        started: what it is.
        epochs: in order, one of each number.
        done: how it was judged, or None.
    """

    started: RoundStarted
    epochs: list[EpochDone] = field(default_factory=list)
    done: RoundDone | None = None


@dataclass
class Run:
    """A run as far as it has come.

    Attributes:
        order: what was asked for.
        started: None while cases are read and features computed.
        rounds: by number, in the order they began; rounds of an interrupted run before have no epochs.
        step: the last report of work that is no fitting.
        seconds_left: None where nothing tells it.
        shown, attention, looked: the slice that is watched, where the model looks on it, and after which epoch. The
            final model has no slice to be watched on: the last one stays.
        written: where the result lies, or None.
    """

    order: Order
    started: RunStarted | None = None
    rounds: dict[int, Course] = field(default_factory=dict)
    step: Progressed = field(default_factory=lambda: Progressed(0, 0, "starting"))
    seconds_left: float | None = None
    shown: Shown | None = None
    attention: Any = None
    looked: EpochDone | None = None
    written: Written | None = None
    _step_begun: float = field(default_factory=time.monotonic)

    @property
    def current(self) -> Course | None:
        """The round that began last."""
        return next(reversed(self.rounds.values()), None)

    @property
    def share(self) -> float | None:
        """How much of the fitting is over, 0..1; None before it begins."""
        if self.started is None:
            return None
        over = sum(one.done is not None for one in self.rounds.values())
        course = self.current
        part = 0.0
        if course is not None and course.done is None and course.epochs:
            part = course.epochs[-1].epoch / max(1, course.epochs[-1].epochs)
        return min(1.0, (over + part) / max(1, self.started.rounds))

    def take(self, event: Told) -> None:
        """Take up what was told; what is of no matter to a run is left."""
        if isinstance(event, Progressed):
            self._step(event)
        elif isinstance(event, RunStarted):
            self.started, self.seconds_left = event, None
        elif isinstance(event, RoundStarted):
            self.rounds[event.round] = Course(event)
        elif isinstance(event, EpochDone):
            self._epoch(event)
        elif isinstance(event, RoundDone):
            self._round_done(event)
        elif isinstance(event, Written):
            self.written = event

    def _step(self, event: Progressed) -> None:
        now = time.monotonic()
        if event.what != self.step.what:
            self._step_begun = now
        self.step = event
        if self.started is None:
            took = now - self._step_begun
            known = took > GUESS_AFTER_S and event.done > 0 and event.total > 0
            self.seconds_left = took * (event.total - event.done) / event.done if known else None

    def _epoch(self, event: EpochDone) -> None:
        course = self.rounds.get(event.round)
        if course is None:
            return
        # After an interruption the epochs from before it are told again.
        del course.epochs[event.epoch - 1 :]
        course.epochs.append(event)
        self.seconds_left = event.seconds_left
        if event.attention is not None:
            self.shown, self.attention, self.looked = course.started.shown, event.attention, event

    def _round_done(self, event: RoundDone) -> None:
        course = self.rounds.get(event.round)
        if course is None:
            # Of an interrupted run before: nothing else is told of it.
            started = RoundStarted(event.round, event.rounds, event.repeat, event.fold, event.part, 0, 0)
            course = self.rounds[event.round] = Course(started)
        course.done = event
        self.seconds_left = event.seconds_left
