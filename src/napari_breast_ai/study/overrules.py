"""What a person decided about a study, and the index that comes of it.

A decision names volumes by what is in them (`Phase.key`), not by files or places, and says what groups are to
be made of them. So it holds when the folder is moved, its files are renamed or sorted anew, and decisions do
not depend on each other's order of making more than they must.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from .contrast import contrast_start
from .errors import StudyError
from .index import BY_PERSON, Group, Phase, StudyIndex, sorted_groups
from .roles import ROLES, Role, judge
from .slices import stack_geometry
from .times import across_midnight, phase_middles, phase_times

IGNORED = "ignored"
"""The detail of the role of a group that a person set aside."""

SHORTEST_KEY = 8
"""The least number of a key's first letters that name a volume in a file written by hand."""

_APART_MM = 0.5


@dataclass(frozen=True)
class Wanted:
    """One group as a person wants it.

    Attributes:
        phases: keys of its volumes, in order; the key of a group stands for all its volumes.
        role: one of `ROLES`; None leaves what is judged.
        pre_contrast: index of the pre-contrast phase in `phases`; None leaves what is known.
        ignored: the group is set aside.
    """

    phases: tuple[str, ...]
    role: str | None = None
    pre_contrast: int | None = None
    ignored: bool = False

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = []
        if not self.phases:
            found.append("A group needs at least one phase.")
        if any(len(key) < SHORTEST_KEY for key in self.phases):
            found.append(f"A key needs at least its first {SHORTEST_KEY} letters.")
        if self.role is not None and self.role not in ROLES:
            found.append(f"“{self.role}” is no role; the roles are {', '.join(ROLES)}.")
        if self.pre_contrast is not None and self.pre_contrast < 0:
            found.append("The pre-contrast phase is counted from 0.")
        return found


@dataclass(frozen=True)
class Decision:
    """What a person decided in one step.

    Attributes:
        said: the decision as a sentence without a full stop, for people.
        groups: the groups that are to be. Volumes of their old groups that are in none of them stay together.
        study_uid: StudyInstanceUID of the images; "" in a file written by hand.
        by, at: who decided, and when (ISO 8601); "" where it is not known.
    """

    said: str
    groups: tuple[Wanted, ...]
    study_uid: str = ""
    by: str = ""
    at: str = ""

    @property
    def sentence(self) -> str:
        """The decision, and by whom."""
        return f"{self.said} ({self.by})." if self.by else f"{self.said}."

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = [problem for wanted in self.groups for problem in wanted.problems()]
        if not self.groups:
            found.append("A decision needs at least one group.")
        return found


@dataclass(frozen=True)
class Overrules:
    """Decisions in the order in which they were made."""

    decisions: tuple[Decision, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.decisions)

    def added(self, decision: Decision) -> Overrules:
        """With one more."""
        return Overrules((*self.decisions, decision))

    def without_last(self) -> Overrules:
        """Without the last one."""
        return Overrules(self.decisions[:-1])

    def without(self, group: Group) -> Overrules:
        """Without all decisions that name a volume of the group."""
        keys = {group.key, *(phase.key for phase in group.phases)}

        def names(decision: Decision) -> bool:
            told = [key for wanted in decision.groups for key in wanted.phases]
            return any(key.startswith(one) for one in told for key in keys)

        return Overrules(tuple(one for one in self.decisions if not names(one)))


class _DoesNotFit(Exception):
    """Why a decision cannot be applied to these files; ends a sentence."""


@dataclass
class _Row:
    """A group, and which of its facts a person set."""

    group: Group
    role_set: bool = False
    pre_set: bool = False


_Part = tuple[_Row, int]


def apply(index: StudyIndex, overrules: Overrules) -> StudyIndex:
    """The index as the person wants it; every file stays accounted for.

    A decision that does not fit (its files are not there, or its groups cannot be made of them) changes nothing
    and is said in the index's `warnings`.
    """
    rows = [_Row(group) for group in index.groups]
    notes = list(index.warnings)
    for decision in overrules.decisions:
        try:
            rows = _applied(rows, decision)
        except _DoesNotFit as why:
            notes.append(f"A decision is kept but not applied: {decision.said}. The reason: {why}.")
    if rows == [_Row(group) for group in index.groups] and len(notes) == len(index.warnings):
        return index
    return replace(index, groups=sorted_groups([row.group for row in rows]), warnings=tuple(notes))


def check(index: StudyIndex, overrules: Overrules, decision: Decision) -> None:
    """See that one more decision fits.

    Raises:
        StudyError: it does not; the sentence says why.
    """
    before = apply(index, overrules)
    after = apply(index, overrules.added(decision))
    if len(after.warnings) > len(before.warnings):
        why = after.warnings[-1].rpartition("The reason: ")[2]
        raise StudyError(f"This cannot be done: {why}")


def _applied(rows: Sequence[_Row], decision: Decision) -> list[_Row]:
    if found := decision.problems():
        raise _DoesNotFit(found[0].rstrip("."))
    names: dict[str, list[_Part]] = defaultdict(list)
    groups: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        groups[row.group.key].append(row)
        for n, phase in enumerate(row.group.phases):
            names[phase.key].append((row, n))
    wanted = [[part for key in one.phases for part in _find(key, names, groups)] for one in decision.groups]
    used = [(id(row), n) for parts in wanted for row, n in parts]
    if len(set(used)) < len(used):
        raise _DoesNotFit("it puts one volume into two places")
    touched = [row for row in rows if any(place == id(row) for place, _ in used)]
    made = [_made(parts, one, decision) for parts, one in zip(wanted, decision.groups, strict=True)]
    for row in touched:
        rest = [(row, n) for n in range(row.group.n_phases) if (id(row), n) not in set(used)]
        if rest:
            made.append(_made(rest, Wanted(("the rest",)), decision))
    return [row for row in rows if row not in touched] + made


def _find(key: str, names: dict[str, list[_Part]], groups: dict[str, list[_Row]]) -> list[_Part]:
    found = [part for full, parts in names.items() if full.startswith(key) for part in parts]
    if found:
        if len(found) > 1:
            raise _DoesNotFit(
                f"{len(found)} volumes have the key {key[:12]}, because their images carry the same UIDs or "
                "because the key is cut too short"
            )
        return found
    whole = [row for full, rows in groups.items() if full.startswith(key) for row in rows]
    if len(whole) != 1:
        raise _DoesNotFit(
            f"the images of volume {key[:12]} are not here, or are no longer one volume"
            if not whole
            else f"{len(whole)} groups have the key {key[:12]}"
        )
    return [(whole[0], n) for n in range(whole[0].group.n_phases)]


def _made(parts: Sequence[_Part], wanted: Wanted, decision: Decision) -> _Row:
    rows = list({id(row): row for row, _ in parts}.values())
    first = rows[0]
    if len(rows) == 1 and [n for _, n in parts] == list(range(first.group.n_phases)):
        row = _Row(first.group, first.role_set, first.pre_set)
    elif len(rows) == 1:
        row = _some_phases(first, [n for _, n in parts])
    else:
        row = _merged(rows, parts)
    group = row.group
    if wanted.ignored:
        group = replace(group, judged=Role("other", "set aside by a person", 1.0, IGNORED))
    elif wanted.role is not None:
        detail = group.judged.detail if group.role == wanted.role and group.judged.detail != IGNORED else ""
        group = replace(group, judged=Role(wanted.role, BY_PERSON, 1.0, detail))
    if wanted.pre_contrast is not None:
        if wanted.pre_contrast >= group.n_phases:
            raise _DoesNotFit(f"there is no phase {wanted.pre_contrast} among {group.n_phases}")
        group = replace(group, pre_contrast=wanted.pre_contrast)
    said = dict.fromkeys((*(one for row in rows for one in row.group.overruled), decision.sentence))
    return _Row(
        replace(group, overruled=tuple(said)),
        row.role_set or wanted.role is not None or wanted.ignored,
        row.pre_set or wanted.pre_contrast is not None,
    )


def _some_phases(row: _Row, chosen: Sequence[int]) -> _Row:
    """Phases of one group, some of them or in another order."""
    group = row.group
    phases = [group.phases[n] for n in chosen]
    start = phases[0].time_s
    shifted = [
        replace(
            phase,
            time_s=_minus(phase.time_s, start),
            mid_s=_minus(phase.mid_s, start),
        )
        for phase in phases
    ]
    kept = row.pre_set or group.contrast_s is not None
    pre = chosen.index(group.pre_contrast) if kept and group.pre_contrast in chosen else 0
    judged = group.judged
    if not row.role_set and len(chosen) == 1 and group.role == "dce":
        judged = judge(phases[0].frames, 1, None)
    geometry = group.geometry
    if geometry is not None and chosen[0] != 0:
        geometry = stack_geometry(phases[0].frames)[0]
    return _Row(
        replace(
            group,
            judged=judged,
            phases=tuple(shifted),
            n_slices=len(phases[0].frames),
            geometry=geometry,
            warnings=(*group.warnings, *_against_time(shifted)),
            pre_contrast=pre,
            contrast_s=_minus(group.contrast_s, start),
        ),
        row.role_set,
        row.pre_set and group.pre_contrast in chosen,
    )


def _merged(rows: Sequence[_Row], parts: Sequence[_Part]) -> _Row:
    """Phases of several groups as one. The pre-contrast phase that a person set stays; of several, the first."""
    groups = [row.group for row in rows]
    phases = [row.group.phases[n] for row, n in parts]
    set_before = [i for i, (row, n) in enumerate(parts) if row.pre_set and row.group.pre_contrast == n]
    _fit_together(groups)
    frames = across_midnight([frame for phase in phases for frame in phase.frames])
    each = iter(frames)
    volumes = [[next(each) for _ in phase.frames] for phase in phases]
    starts, sources, order, warnings = phase_times(volumes)
    placed = sorted(range(len(order)), key=order.__getitem__)  # phase_times gives times in the order it found
    times = [starts[place] for place in placed]
    times = [_minus(time, times[0]) for time in times]
    if order != list(range(len(order))):
        warnings = []  # of an order that the person did not choose
        middles: list[tuple[float | None, str]] = [(None, "unknown")] * len(times)
    else:
        middles = phase_middles(volumes, times)
    made = [
        Phase(tuple(volume), time, sources[place], *middle)
        for volume, time, place, middle in zip(volumes, times, placed, middles, strict=True)
    ]
    contrast_s, pre, on_contrast = None, 0, list[str]()
    if order == list(range(len(order))):
        contrast_s, pre, on_contrast = contrast_start(volumes, times, sources[0])
    largest = max(groups, key=lambda g: g.n_phases)
    said = [row.group.judged for row in rows if row.role_set]
    kinds = {group.role for group in groups}
    kind = largest.judged if len(kinds) == 1 and largest.role in ("dwi", "adc", "derived") else None
    return _Row(
        replace(
            largest,
            judged=said[0] if said else judge(frames, len(made), kind),
            phases=tuple(made),
            n_slices=len(volumes[0]),
            geometry=stack_geometry(volumes[0])[0],
            phase_key="person",
            warnings=tuple(
                dict.fromkeys(
                    (
                        *(one for group in groups for one in group.warnings),
                        *warnings,
                        *on_contrast,
                        *_against_time(made),
                    )
                )
            ),
            pre_contrast=set_before[0] if set_before else pre,
            contrast_s=contrast_s,
            overruled=(),
        ),
        bool(said),
        bool(set_before),
    )


def _fit_together(groups: Sequence[Group]) -> None:
    first = groups[0]
    for other in groups[1:]:
        if other.frames[0].source.study_uid != first.frames[0].source.study_uid:
            raise _DoesNotFit("the images are of different studies, perhaps of different patients")
        if first.geometry is None or other.geometry is None:
            raise _DoesNotFit("one of the groups makes no regular stack of slices")
        if not first.geometry.same_as(other.geometry, _APART_MM):
            raise _DoesNotFit(
                f"{first.title} and {other.title} do not have the same slices and pixels in the patient"
            )


def _against_time(phases: Sequence[Phase]) -> list[str]:
    known = [phase.time_s for phase in phases if phase.time_s is not None]
    if all(a <= b for a, b in pairwise(known)):
        return []
    source = next(phase.time_source for phase in phases if phase.time_s is not None)
    return [f"The order that a person gave contradicts {source}: the phases' times are not used."]


def _minus(value: float | None, start: float | None) -> float | None:
    return None if value is None or start is None else round(value - start, 6)


def combined(*all_of_them: Overrules) -> Overrules:
    """Decisions of several files, one after the other."""
    return Overrules(tuple(decision for one in all_of_them for decision in one.decisions))
