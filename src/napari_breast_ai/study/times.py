"""When each phase began, and which element says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from .headers import Frame
from .phases import SAME_PHASE_S

UNKNOWN = "unknown"
"""The source of times that no element gives."""

_DAY_S = 86400.0
_SOURCES: tuple[tuple[Callable[[Frame], float | None], Callable[[Frame], str]], ...] = (
    (lambda f: f.acquisition_s, lambda f: f.acquisition_source),
    (lambda f: f.trigger_s, lambda f: f.trigger_source),
    (lambda f: f.content_s, lambda f: "ContentTime"),
)


def phase_times(
    phases: Sequence[Sequence[Frame]],
) -> tuple[list[float | None], list[str], list[int], list[str]]:
    """The start of each phase relative to the first, the keyword behind it, the phases' order, and warnings.

    The first of acquisition time, trigger time and content time that rises from phase to phase is taken;
    acquisition times (in one series with one acquisition time for all, trigger times) that differ between all
    phases but contradict the order of the phases set the order.

    Returns:
        Seconds per phase in the new order (None where nothing tells), source per phase, indices of `phases`
        in that order, and sentences.
    """
    order = list(range(len(phases)))
    warnings: list[str] = []
    begun = _series_begun(phases)
    candidates = [
        (starts, name)
        for starts, name in (_starts(phases, *pair) for pair in (*_SOURCES[:2], begun, *_SOURCES[2:]))
        if starts
    ]
    if len(phases) == 1:
        name = candidates[0][1] if candidates else UNKNOWN
        return [0.0 if candidates else None], [name], order, warnings
    rising = [(starts, name) for starts, name in candidates if _rises(starts)]
    distinct = [(starts, name) for starts, name in candidates if len(set(starts)) == len(starts)]
    clocks = [phases[0][0].acquisition_source]
    series = {frame.source.series_uid for phase in phases for frame in phase}
    if len(series) == 1 and len(set(_starts(phases, *_SOURCES[0])[0])) < 2:
        clocks.append(phases[0][0].trigger_source)
    telling = next(((starts, name) for starts, name in distinct if name in clocks), None)
    if telling is not None and not _rises(telling[0]):
        starts, name = telling
        order.sort(key=lambda i: starts[i])
        warnings.append(f"The phases' numbers contradict {name}; they are in the order of {name}.")
        rising = [([starts[i] for i in order], name)]
    if not rising:
        # What is left may be the order of reconstruction.
        contrary = f": {distinct[0][1]} contradicts the phases' numbers" if distinct else ""
        warnings.append(f"The files do not tell when the phases were acquired{contrary}.")
        return [None] * len(phases), [UNKNOWN] * len(phases), order, warnings
    starts, name = rising[0]
    relative = [start - starts[0] for start in starts]
    for against, against_name in candidates:
        own_clock = len(series) == 1 and against_name == phases[0][0].trigger_source != name
        if own_clock and len(set(against)) == len(against) and not _rises([against[i] for i in order]):
            warnings.append(f"{against_name} contradicts {name}; {name} is used.")
    for other, other_name in rising[1:]:
        worst = max(abs((b - other[0]) - a) for a, b in zip(relative, other, strict=True))
        if (
            worst > SAME_PHASE_S and other_name == phases[0][0].trigger_source
        ):  # the others only follow the first
            warnings.append(f"{name} and {other_name} disagree by up to {worst:.0f} s; {name} is used.")
    return [round(seconds, 6) for seconds in relative], [name] * len(phases), order, warnings


def phase_middles(
    phases: Sequence[Sequence[Frame]], starts: Sequence[float | None]
) -> list[tuple[float | None, str]]:
    """The middle of each phase's acquisition in seconds after the first phase's start, and its keyword.

    From FrameReferenceDateTime, else from the start and the images' own duration; a duration longer than the
    time to the next phase is that of the whole series and tells nothing.
    """
    nothing: tuple[float | None, str] = (None, UNKNOWN)
    middles = []
    began = _starts(phases[:1], *_SOURCES[0])[0]
    for i, phase in enumerate(phases):
        start, after = starts[i], starts[i + 1] if i + 1 < len(starts) else None
        if start is None:
            middles.append(nothing)
            continue
        moments = [frame.reference_s for frame in phase if frame.reference_s is not None]
        if len(moments) == len(phase) and began:
            middle = sum(m - began[0] for m in moments) / len(moments)
            if middle >= start and (after is None or middle <= after):
                middles.append((round(middle, 6), "FrameReferenceDateTime"))
                continue
        durations = [frame.duration_s for frame in phase if frame.duration_s is not None]
        step = after - start if after is not None else start - (starts[i - 1] or 0.0) if i else None
        if len(durations) == len(phase) and (step is None or max(durations) <= 1.05 * step):
            middles.append((round(start + max(durations) / 2, 6), phase[0].duration_source))
        else:
            middles.append(nothing)
    return middles


def _series_begun(
    phases: Sequence[Sequence[Frame]],
) -> tuple[Callable[[Frame], float | None], Callable[[Frame], str]]:
    """For series joined into one: the acquisition time of each, and trigger times within it.

    A series of a single phase (before contrast) needs no trigger times.
    """
    series = [{frame.source.series_uid for frame in phase} for phase in phases]
    counts = Counter(uid for uids in series for uid in uids)
    timed = {f.source.series_uid for phase in phases for f in phase if f.trigger_s is not None}
    alone = {uid for uid, count in counts.items() if count == 1} - timed

    def value(frame: Frame) -> float | None:
        trigger = 0.0 if frame.source.series_uid in alone else frame.trigger_s
        return None if frame.acquisition_s is None or trigger is None else frame.acquisition_s + trigger

    return value, lambda f: f"{f.acquisition_source}+{f.trigger_source}" if timed else ""


def _starts(
    phases: Sequence[Sequence[Frame]], value: Callable[[Frame], float | None], name: Callable[[Frame], str]
) -> tuple[list[float], str]:
    """The earliest time in each phase; empty where a frame has none."""
    starts = []
    for phase in phases:
        known = [seconds for frame in phase if (seconds := value(frame)) is not None]
        if len(known) != len(phase):
            return [], ""
        starts.append(min(known))
    return starts, name(phases[0][0])


def across_midnight(frames: Sequence[Frame]) -> list[Frame]:
    """The frames of one scan with their times in one row: a time may come without the date that goes with it."""
    acquired = _past_midnight([frame.acquisition_s for frame in frames])
    made = _past_midnight([frame.content_s for frame in frames])
    return [
        frame
        if (frame.acquisition_s, frame.content_s) == (a, m)
        else replace(frame, acquisition_s=a, content_s=m)
        for frame, a, m in zip(frames, acquired, made, strict=True)
    ]


def _past_midnight(seconds: list[float | None]) -> list[float | None]:
    """Times that all have one date and lie at both of its ends, with the early ones on the next day."""
    known = [s for s in seconds if s is not None]
    low = min(known, default=0.0)
    if max(known, default=0.0) - low <= _DAY_S / 2 or len({s // _DAY_S for s in known}) > 1:
        return seconds
    return [s + _DAY_S if s is not None and s - low < _DAY_S / 2 else s for s in seconds]


def _rises(starts: list[float]) -> bool:
    return all(a < b for a, b in pairwise(starts))
