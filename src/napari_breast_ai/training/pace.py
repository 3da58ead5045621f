"""How long a run will still take, from how long it took so far."""

from __future__ import annotations

import time
from collections.abc import Sequence

from .watching import Control


class Pace:
    """Time left, as the work that is left at the pace of the work that this process has seen. Pauses do not count."""

    def __init__(self, sizes: Sequence[float], control: Control) -> None:
        """`sizes`: how much work each round is, in any unit."""
        self._sizes, self._control = list(sizes), control
        self._share: dict[int, float] = {}
        self._begin = time.monotonic()
        self._waited = 0.0

    def begin(self, todo: Sequence[int]) -> None:
        """Fitting begins with these rounds (numbers from 1) to do."""
        self._share = dict.fromkeys(todo, 0.0)
        self._begin, self._waited = time.monotonic(), self._control.waited

    def within(self, number: int, share: float) -> None:
        """This much (0 to 1) of a round is done."""
        self._share[number] = share

    def done(self, number: int) -> None:
        """A round is over."""
        self._share[number] = 1.0

    @property
    def seconds(self) -> float:
        """Since fitting began."""
        return time.monotonic() - self._begin

    def left(self) -> float | None:
        """Seconds; None as long as nothing is done."""
        work = sum(self._sizes[n - 1] * share for n, share in self._share.items())
        whole = sum(self._sizes[n - 1] for n in self._share)
        if not work:
            return 0.0 if not whole else None
        return (self.seconds - (self._control.waited - self._waited)) * (whole - work) / work
