"""Which phases are compared: before contrast, early and late, each with the reason for it.

Times are middles of phases, in seconds after the first post-contrast phase began. Where files tell only when a phase
began, every phase is taken to last as long as the shortest time between the starts of two phases.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ..core import DceVolume
from .errors import KineticsError

EARLY_S, LATE_S = 150.0, 450.0
"""Seconds after the first post-contrast start: the early and the late phase are the ones whose middles are nearest."""

COURSE_S = 60.0
"""A delayed course is not read from two phases that are less than so many seconds apart."""

FAR_S = 150.0
"""A phase that is further than this from where it should be is remarked upon."""

_NONE_BEFORE = "there is no pre-contrast phase among"
"""What a reading's remark says where the contrast agent was given before the first phase."""


@dataclass(frozen=True)
class PhaseChoice:
    """Three phases, counted from 0, and why these.

    Attributes:
        pre: the phase before contrast, S0.
        early: the early post-contrast phase, S1.
        late: the delayed phase, Sd; None where no delayed course can be read.
        middles_s: the middle of every phase, in seconds after the first post-contrast start; None where the times
            are unknown.
        pre_reason, early_reason, late_reason: sentences.
        warnings: sentences that a reader must see.
    """

    pre: int
    early: int
    late: int | None
    middles_s: tuple[float, ...] | None
    pre_reason: str
    early_reason: str
    late_reason: str
    warnings: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, str, str]:
        """The three reasons, in order."""
        return self.pre_reason, self.early_reason, self.late_reason


def choose_phases(
    volume: DceVolume, *, pre: int | None = None, early: int | None = None, late: int | None = None
) -> PhaseChoice:
    """Choose the phases by their times; what is given is taken as it is.

    Args:
        volume: the study; its pixels are not looked at.
        pre, early, late: phases that a person chose, counted from 0.

    Raises:
        KineticsError: there is one phase only, none before contrast, none after it, the times are unknown where
            they are needed, or the phases given are out of order; the sentence says what to do.
    """
    count = volume.n_phases
    if count < 2:
        raise KineticsError(
            "The study has one phase; kinetics need one before contrast and at least one after it. Open the whole "
            "dynamic series."
        )
    for name, given in (("pre-contrast", pre), ("early", early), ("late", late)):
        if given is not None and not 0 <= given < count:
            raise KineticsError(
                f"There is no phase {given} to be the {name} one: the study has phases 0 to {count - 1}."
            )
    before, pre_reason = _before(volume, pre)
    first = before + 1
    if first >= count:
        raise KineticsError(
            f"Phase {before}, taken as the pre-contrast one, is the last of the study: nothing comes after it. Choose "
            "another pre-contrast phase, or add the post-contrast series."
        )
    middles = phase_middles(volume, first)
    _check_order(before, early, late)
    warnings: list[str] = []
    if count - first == 1:
        said = "only phase after contrast"
        warnings.append(
            "There is one phase after contrast: initial enhancement can be read, a delayed course (persistent, "
            "plateau, washout) and SER cannot."
        )
        return PhaseChoice(
            before, first, None, middles, pre_reason, f"Early: phase {first}, the {said}.",
            "Late: none, for there is one phase after contrast.", tuple(warnings),
        )  # fmt: skip
    if middles is None and (early is None or late is None):
        raise KineticsError(
            "When the phases were taken is unknown, so that the early and the late one cannot be told apart. Tell the "
            "times of the phases, or name the early and the late phase yourself."
        )
    chosen_early, early_reason = _at(middles, first, EARLY_S, "Early", early)
    chosen_late, late_reason = _at(middles, first, LATE_S, "Late", late)
    if middles is None:
        warnings.append("When the phases were taken is unknown: no slopes and no time to peak can be given.")
    elif chosen_early >= chosen_late:
        return _apart(
            before, first, middles, pre_reason, early if early is not None else chosen_early, early is not None,
            late if late is not None else chosen_late, late is not None,
        )  # fmt: skip
    else:
        warnings += _far(middles, chosen_early, chosen_late)
    return PhaseChoice(
        before,
        chosen_early,
        chosen_late,
        middles,
        pre_reason,
        early_reason,
        late_reason,
        tuple(warnings),
    )


def phase_middles(volume: DceVolume, first: int) -> tuple[float, ...] | None:
    """The middle of every phase in seconds after the start of phase `first`, or None where the times are unknown.

    Middles that the files tell are taken. Else every phase lasts as long as the shortest time between the starts of
    two. Times that do not rise from one phase to the next count as unknown.
    """
    starts = volume.times.start_s
    steps = [b - a for a, b in pairwise(starts)]
    if "unknown" in volume.times.source or not steps or min(steps) <= 0:
        return None
    if volume.times.middle_s:
        return tuple(middle - starts[first] for middle in volume.times.middle_s)
    half = min(steps) / 2
    return tuple(start + half - starts[first] for start in starts)


def before_contrast(volume: DceVolume) -> int:
    """The pre-contrast phase, as the study was read.

    Raises:
        KineticsError: contrast was given before the first phase.
    """
    if any(_NONE_BEFORE in one for one in volume.warnings):
        raise KineticsError(
            "The contrast agent was given before the first phase: there is no signal before contrast to compare with. "
            "Add the pre-contrast series, or name the phase that shall count as pre-contrast yourself."
        )
    return volume.pre_contrast


def _before(volume: DceVolume, given: int | None) -> tuple[int, str]:
    if given is not None:
        return given, f"Before contrast: phase {given}, chosen by hand."
    return (pre := before_contrast(volume)), f"Before contrast: phase {pre}, as the study was read."


def _check_order(pre: int, early: int | None, late: int | None) -> None:
    for name, given in (("early", early), ("late", late)):
        if given is not None and given <= pre:
            raise KineticsError(
                f"Phase {given} cannot be the {name} one: it does not come after the pre-contrast phase {pre}. Choose "
                "a later one."
            )
    if early is not None and late is not None and late <= early:
        raise KineticsError(
            f"Phase {late} cannot be the late one: it does not come after the early phase {early}. Choose a later one."
        )


def _at(
    middles: tuple[float, ...] | None, first: int, wanted: float, name: str, given: int | None
) -> tuple[int, str]:
    """The phase for a time, and the sentence about it."""
    if given is not None or middles is None:
        assert given is not None
        when = "" if middles is None else f", with its middle at {middles[given]:.0f} s"
        return given, f"{name}: phase {given}, chosen by hand{when}."
    chosen = min(range(first, len(middles)), key=lambda i: abs(middles[i] - wanted))
    return chosen, (
        f"{name}: phase {chosen}, whose middle, {middles[chosen]:.0f} s after the first post-contrast start, is the "
        f"nearest to {wanted:.0f} s."
    )


def _far(middles: tuple[float, ...], early: int, late: int) -> list[str]:
    return [
        f"The {name} phase lies at {middles[chosen]:.0f} s, far from the usual {wanted:.0f} s: {what} may be "
        "misjudged."
        for name, chosen, wanted, what in (
            ("early", early, EARLY_S, "initial enhancement"),
            ("late", late, LATE_S, "plateau and washout"),
        )
        if abs(middles[chosen] - wanted) > FAR_S
    ]


def _apart(
    pre: int,
    first: int,
    middles: tuple[float, ...],
    pre_reason: str,
    early: int,
    early_given: bool,
    late: int,
    late_given: bool,
) -> PhaseChoice:
    """Where one phase is the nearest to both times, or they cross: two phases that are apart enough, or one."""
    last, by_hand = len(middles) - 1, "chosen by hand"
    if not late_given:
        late = last
    if not early_given:
        before = [i for i in range(first, late) if middles[late] - middles[i] >= COURSE_S]
        early = min(before, key=lambda i: abs(middles[i] - EARLY_S)) if before else early
    if early >= late or (middles[late] - middles[early] < COURSE_S and not (early_given and late_given)):
        if late_given and not early_given:
            raise KineticsError(
                f"No phase after contrast is {COURSE_S:.0f} s earlier than phase {late}: name the early phase too."
            )
        return PhaseChoice(
            pre, early, None, middles, pre_reason,
            f"Early: phase {early}, at {middles[early]:.0f} s, {by_hand if early_given else 'the nearest there is'}.",
            f"Late: none, for no phase is {COURSE_S:.0f} s later than the early one.",
            (
                f"The phases end {middles[last]:.0f} s after the first post-contrast start: no delayed course can be "
                "read from them. Name an early and a late phase to read one all the same.",
            ),
        )  # fmt: skip
    moved = "since one phase is the nearest to both times"
    return PhaseChoice(
        pre, early, late, middles, pre_reason,
        f"Early: phase {early}, at {middles[early]:.0f} s, {by_hand if early_given else moved}.",
        f"Late: phase {late}, at {middles[late]:.0f} s, {by_hand if late_given else 'the last there is'}.",
        (
            f"No phase near {EARLY_S:.0f} s and another near {LATE_S:.0f} s: phases {early} and {late}, at "
            f"{middles[early]:.0f} s and {middles[late]:.0f} s, are compared instead. Check that this is meant.",
        ),
    )  # fmt: skip
