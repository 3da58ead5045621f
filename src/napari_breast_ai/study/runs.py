"""A scan of one series per phase that was run twice: a first run that was stopped, or a second injection.

Series of one protocol on the same slices are joined as phases of one scan, and a second run has the same protocol
and slices. It is parted from the first only where something says that the scan began again; late phases, a long
wait for the contrast agent and series without names of their own are no evidence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .headers import Frame
from .times import across_midnight

_ANOTHER_S = 60.0
"""Contrast times farther apart are two injections."""
_PAUSE_S, _PAUSE_STEPS, _FEWEST, _ALIKE = 600.0, 4.0, 4, 0.2
_DAY_S = 86400.0
_PRE = re.compile(r"(?<![a-z])(?:pre|nativ\w*|unenhanced|vor)(?![a-z])", re.IGNORECASE)

MAY_BE = (
    "The series' names start over, but not as a second run would: if the scan was repeated, split the group."
)


@dataclass(frozen=True)
class Runs:
    """Where runs begin.

    Attributes:
        runs: places of the series in each run, in the order of time.
        remark: a sentence on what parts them, or that something may; "" where nothing does.
    """

    runs: tuple[tuple[int, ...], ...]
    remark: str = ""


@dataclass(frozen=True)
class _Series:
    place: int
    start: float | None
    number: int | None
    name: str
    contrast: float | None


def runs_of(series: Sequence[Sequence[Frame]], stems: Sequence[str]) -> Runs:
    """Part the series of one scan, each of a single phase, into runs.

    Args:
        series: frames of each.
        stems: their descriptions without what counts phases.
    """
    whole = Runs((tuple(range(len(series))),))
    if len(series) < 3:
        return whole
    ordered = _ordered(series)
    if ordered is None:
        return whole
    cuts, why, unsure = _by_name(ordered, stems)
    if not cuts:
        cuts, why = _by_contrast(ordered)
    if not cuts:
        cuts, why = _by_pause(ordered)
    if not cuts:
        return Runs(whole.runs, MAY_BE if unsure else "")
    ends = (0, *cuts, len(ordered))
    found = tuple(tuple(one.place for one in ordered[a:b]) for a, b in pairwise(ends))
    return Runs(
        found,
        f"The scan was run {len(found)} times on the same slices ({why}): each run is a group of its own. If they are "
        "phases of one scan, merge them.",
    )


def _ordered(series: Sequence[Sequence[Frame]]) -> list[_Series] | None:
    """By the clock, else by number; None where neither orders them."""
    in_a_row = iter(across_midnight([frame for frames in series for frame in frames]))
    found = []
    for place, frames in enumerate(series):
        own = [next(in_a_row) for _ in frames]
        times = [f.acquisition_s for f in own if f.acquisition_s is not None]
        given = [f.source.contrast_s for f in own if f.source.contrast_s is not None]
        first = own[0].source
        start = min(times) if len(times) == len(own) else None
        found.append(
            _Series(
                place,
                start,
                first.series_number,
                first.description.casefold().strip(),
                min(given, default=None),
            )
        )
    starts = [one.start for one in found if one.start is not None]
    if len(set(starts)) == len(found):
        return sorted(found, key=lambda one: one.start or 0.0)
    numbers = [one.number for one in found if one.number is not None]
    if not starts and len(set(numbers)) == len(found):
        return sorted(found, key=lambda one: one.number or 0)
    return None


def _by_name(series: Sequence[_Series], stems: Sequence[str]) -> tuple[list[int], str, bool]:
    """Where names that count phases start over; and whether they do so in a manner that parts nothing."""
    names = [one.name for one in series]
    again = [i for i, name in enumerate(names) if i and name == names[0]]
    if not again or len(set(stems)) != 1 or len(set(names)) < 2:
        return [], "", False
    ends = [0, *again, len(names)]
    runs = [names[a:b] for a, b in pairwise(ends)]
    longest = max(runs, key=len)
    pre = bool(_PRE.search(names[0]))
    started_over = (
        all(len(set(run)) == len(run) and run == longest[: len(run)] for run in runs)
        # A name alone may stand for the phases before and after the agent alike; "pre" does not.
        and (pre or all(len(run) > 1 for run in runs))
    )
    return (again, "the series' names start over", False) if started_over else ([], "", pre)


def _by_contrast(series: Sequence[_Series]) -> tuple[list[int], str]:
    """Where a second injection has phases of its own before it."""
    given = [(i, one.contrast) for i, one in enumerate(series) if one.contrast is not None]
    cuts, minutes = [], 0.0
    for (i, before), (j, after) in pairwise(given):
        again = after - before
        if again <= _ANOTHER_S:
            if again < -1.0:
                return [], ""
            continue
        starts = [one.start for one in series]
        shared = [sum(abs(c - time) <= 1.0 for _, c in given) for time in (before, after)]
        if min(shared) < 2 or any(start is None for start in starts[i : j + 1]):
            return [], ""
        known = [start or 0.0 for start in starts]
        cut = max(range(i + 1, j + 1), key=lambda k: known[k] - known[k - 1])
        if not _same_day(after - known[cut]) > 0.0 or not _same_day(after - known[i]) > 0.0:
            return [], ""  # no phase of the second run is before the second injection
        cuts.append(cut)
        minutes = again / 60
    return cuts, f"the contrast agent was given again {minutes:.0f} minutes later"


def _by_pause(series: Sequence[_Series]) -> tuple[list[int], str]:
    """Where, after a long pause, as many phases follow in the same rhythm."""
    starts = [one.start for one in series if one.start is not None]
    half = len(series) // 2
    if len(starts) < len(series) or len(series) % 2 or half < _FEWEST:
        return [], ""
    steps = [after - before for before, after in pairwise(starts)]
    first, pause, second = steps[: half - 1], steps[half - 1], steps[half:]
    alike = all(abs(a - b) <= _ALIKE * max(a, b) for a, b in zip(first, second, strict=True))
    if not alike or pause <= max(_PAUSE_S, _PAUSE_STEPS * max(*first, *second)):
        return [], ""
    return [half], f"after a pause of {pause / 60:.0f} minutes as many phases follow at the same intervals"


def _same_day(seconds: float) -> float:
    return seconds - round(seconds / _DAY_S) * _DAY_S if abs(seconds) > _DAY_S / 2 else seconds
