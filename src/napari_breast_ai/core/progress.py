"""How long work tells its caller where it is, and how the caller stops it."""

from __future__ import annotations

from typing import Protocol


class Cancelled(Exception):
    """Raised out of a progress call by a caller who wants the work to stop; the work lets it pass."""


class Progress(Protocol):
    """Called between two steps of long work. To cancel, raise `Cancelled` from inside the call."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """Report `done` of `total` steps of the work that `what` names in a word or two."""


def silent(done: int, total: int, what: str) -> None:
    """Ignore the report: the default where nobody watches."""


def in_words(seconds: float) -> str:
    """A length of time for people: "about 40 s", "about 3 min", "about 2 h 10 min"."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"about {minutes} min"
    return f"about {minutes // 60} h {minutes % 60} min" if minutes % 60 else f"about {minutes // 60} h"
