"""When the contrast agent was given, and which phase is the last one before it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .headers import Frame

_DAY_S = 86400.0
_TOLERANCE_S = 1.0
_LONGEST_BEFORE_S, _LONGEST_AFTER_S = 3600.0, 600.0


def contrast_start(
    phases: Sequence[Sequence[Frame]], starts: Sequence[float | None], source: str
) -> tuple[float | None, int, list[str]]:
    """The injection relative to the start of the first phase, the last phase before it, and sentences.

    A phase counts as before contrast if at least half of it had passed at ContrastBolusStartTime (0018,1042).
    A phase's length is its own duration where the files give it, else the time to the next phase.

    Args:
        phases: frames of each phase, in order.
        starts: seconds after the first phase's start.
        source: the keyword that gave the times.

    Returns:
        Seconds (None where nothing tells, or what tells does not fit), index, warnings.
    """
    given = sorted(
        {f.source.contrast_s for phase in phases for f in phase if f.source.contrast_s is not None}
    )
    if not given:
        return _told_by_phase(phases)
    began = _clock(phases[0], source)
    known = [start for start in starts if start is not None]
    if began is None or len(known) < len(phases):
        return None, 0, ["ContrastBolusStartTime is given, but the phases' own times of day are not known."]
    seconds = given[0] - began
    if abs(seconds) > _DAY_S / 2:  # a time of day without its date
        seconds -= round(seconds / _DAY_S) * _DAY_S
    lengths = _lengths(phases, known)
    if not -_LONGEST_BEFORE_S <= seconds <= known[-1] + lengths[-1] + _LONGEST_AFTER_S:
        return None, 0, ["ContrastBolusStartTime does not fit the phases' times and is not used."]
    warnings = []
    if given[-1] - given[0] > _TOLERANCE_S:
        warnings.append("The images give several contrast start times; the earliest is used.")
    before = [
        i
        for i, (start, length) in enumerate(zip(known, lengths, strict=True))
        if start + length / 2 <= seconds + _TOLERANCE_S
    ]
    if not before and len(phases) > 1:
        when = f"{-seconds:.0f} s before" if seconds < 0 else f"{seconds:.0f} s after the start of"
        warnings.append(
            f"The contrast agent was given {when} the first phase: there is no pre-contrast phase among these "
            "images, so do not rely on subtractions and enhancement. Add the pre-contrast series if there is one."
        )
    if len(before) == len(phases) > 1:
        warnings.append("The contrast agent was given after the last phase: no phase shows enhancement.")
        return seconds, 0, warnings
    _, told, _ = _told_by_phase(phases)
    pre = before[-1] if before else 0
    if told and told != pre:
        warnings.append(
            "ContrastBolusAgentAdministered and ContrastBolusStartTime disagree; the time is used."
        )
    return round(seconds, 6), pre, warnings


def _told_by_phase(phases: Sequence[Sequence[Frame]]) -> tuple[None, int, list[str]]:
    """The last phase before the agent by what enhanced images say themselves, and sentences."""
    said = [{frame.administered for frame in phase} for phase in phases]
    if any(len(one) > 1 or None in one for one in said):
        return None, 0, []
    given = [True in one for one in said]
    if len(phases) > 1 and all(given):
        sentence = (
            "The images say that the contrast agent had been given before each phase: there is no pre-contrast phase "
            "among them, so do not rely on subtractions and enhancement. Add the pre-contrast series if there is one."
        )
        return None, 0, [sentence]
    if given != sorted(given):
        return None, 0, ["The images contradict each other on when the contrast agent was given."]
    return None, given.index(True) - 1 if True in given else 0, []


def _clock(phase: Sequence[Frame], source: str) -> float | None:
    """The time of day (from a fixed day) at which the first phase began."""
    acquired = [frame.acquisition_s for frame in phase if frame.acquisition_s is not None]
    if len(acquired) < len(phase):
        return None
    first = phase[0]
    if source == first.acquisition_source:
        return min(acquired)
    if source in (first.trigger_source, f"{first.acquisition_source}+{first.trigger_source}"):
        return min(a + (f.trigger_s or 0.0) for a, f in zip(acquired, phase, strict=True))
    return None


def _lengths(phases: Sequence[Sequence[Frame]], starts: Sequence[float]) -> list[float]:
    steps = [after - before for before, after in pairwise(starts)]
    steps.append(steps[-1] if steps else 0.0)
    found = []
    for phase, step in zip(phases, steps, strict=True):
        own = [f.duration_s for f in phase if f.duration_s is not None]
        # A duration beyond the next phase's start is that of the whole series.
        found.append(max(own) if len(own) == len(phase) and max(own) <= 1.05 * step else step)
    return found
