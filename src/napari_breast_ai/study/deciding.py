"""From what a person does to groups on the screen to the decision that says it.

Each function looks at groups as they are now and returns a `Decision`; none changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from .errors import StudyError
from .index import Group
from .overrules import Decision, Wanted
from .times import across_midnight, phase_times


def set_role(group: Group, role: str, by: str = "") -> Decision:
    """Call the group's images something else: one of `ROLES`."""
    return _decision(f"{group.title}: the role is {role}", [Wanted(_keys(group), role=role)], group, by)


def set_pre_contrast(group: Group, phase: int, by: str = "") -> Decision:
    """Take the phase (from 0) as the pre-contrast one."""
    said = f"{group.title}: phase {phase} is the pre-contrast phase"
    return _decision(said, [Wanted(_keys(group), pre_contrast=phase)], group, by)


def set_order(group: Group, order: Sequence[int], by: str = "") -> Decision:
    """Put the phases into another order: `order[i]` is the present number (from 0) of the new phase i.

    Raises:
        StudyError: the order does not name every phase once.
    """
    if sorted(order) != list(range(group.n_phases)):
        raise StudyError(f"The order must name each of the {group.n_phases} phases once, counted from 0.")
    keys = _keys(group)
    said = f"{group.title}: the phases are in the order {', '.join(map(str, order))}"
    return _decision(said, [Wanted(tuple(keys[i] for i in order))], group, by)


def move_phase(group: Group, phase: int, step: int, by: str = "") -> Decision:
    """Exchange a phase (from 0) with the one `step` (1 or -1) after it.

    Raises:
        StudyError: there is none after it.
    """
    to = phase + step
    if not (0 <= phase < group.n_phases and 0 <= to < group.n_phases):
        raise StudyError("The phase is at the end already.")
    order = list(range(group.n_phases))
    order[phase], order[to] = order[to], order[phase]
    return set_order(group, order, by)


def split_off(group: Group, phases: Sequence[int], by: str = "") -> Decision:
    """Make a group of its own of some phases (from 0); the others stay together.

    Raises:
        StudyError: nothing, or everything, would be split off.
    """
    chosen = sorted(set(phases))
    if not chosen or len(chosen) >= group.n_phases or not 0 <= chosen[0] <= chosen[-1] < group.n_phases:
        raise StudyError(
            "Choose some of the group's phases to split off, not all of them: a group needs at least one phase."
        )
    keys = _keys(group)
    listed = ", ".join(map(str, chosen))
    said = f"{group.title}: phase{'s' if len(chosen) > 1 else ''} {listed} split off"
    rest = tuple(key for i, key in enumerate(keys) if i not in chosen)
    return _decision(said, [Wanted(rest), Wanted(tuple(keys[i] for i in chosen))], group, by)


def split_at(group: Group, phase: int, by: str = "") -> Decision:
    """Make two groups: phases before `phase` (from 0), and it with those after it. Raises StudyError at an end."""
    return split_off(group, range(phase, group.n_phases) if phase > 0 else (), by)


def merge(groups: Sequence[Group], by: str = "") -> Decision:
    """Make one group of several, in the order of their times where these tell, else as given.

    Raises:
        StudyError: fewer than two groups are given.
    """
    if len(groups) < 2:
        raise StudyError("Choose at least two groups to merge.")
    phases = [phase for group in groups for phase in group.phases]
    frames = iter(across_midnight([frame for phase in phases for frame in phase.frames]))
    order = phase_times([[next(frames) for _ in phase.frames] for phase in phases])[2]
    said = f"{' and '.join(group.title for group in groups)} are phases of one scan"
    return _decision(said, [Wanted(tuple(phases[i].key for i in order))], groups[0], by)


def ignore(group: Group, by: str = "") -> Decision:
    """Set the group aside: it stays in the list, and is never taken for the dynamic series."""
    return _decision(f"{group.title}: set aside", [Wanted(_keys(group), ignored=True)], group, by)


def _keys(group: Group) -> tuple[str, ...]:
    return tuple(phase.key for phase in group.phases)


def _decision(said: str, wanted: Sequence[Wanted], group: Group, by: str) -> Decision:
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    return Decision(said, tuple(wanted), group.frames[0].source.study_uid, by, now)
