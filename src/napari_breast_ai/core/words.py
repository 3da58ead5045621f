"""Words that sentences for people are made of."""

from __future__ import annotations


def counted(number: int, one: str, several: str) -> str:
    """A number with its noun."""
    return f"{number} {one if number == 1 else several}"
