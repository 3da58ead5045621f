"""Arguments parsed to values: sizes, counts, slices, times."""

from __future__ import annotations

import argparse

MOST_SLICES = 100_000


def stack_size(text: str) -> tuple[int, int, int]:
    """Parse 48x256x256 as (slices, rows, columns)."""
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not SLICESxROWSxCOLUMNS, such as 48x256x256")
    return int(parts[0]), int(parts[1]), int(parts[2])


def count(text: str) -> int:
    """Parse a whole number, 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def slice_list(text: str) -> tuple[int, ...]:
    """Parse 3,5,10-12 as slice indices."""
    found: set[int] = set()
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            low, high = int(first), int(last or first)
            if not low <= high < MOST_SLICES:
                raise ValueError
            found.update(range(low, high + 1))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of slices such as 3,5,10-12") from None
    return tuple(sorted(found))


def phase_times(text: str) -> tuple[float, ...]:
    """Parse 0,90,180 as seconds of the phases."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of seconds such as 0,90,180") from None


def numbers(text: str) -> tuple[float, ...]:
    """Parse 2,5,10,15 as numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 2,5,10,15") from None
