"""Series that are phases of one scan: Siemens' series per phase, a pre-contrast series before the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .headers import Frame
from .roles import FAT_DESCRIBED, Role, dixon_part, fat_suppressed
from .runs import runs_of
from .slices import same_positions

_POSITION_MM = 0.5
_BEFORE_S = 1800.0
"""A pre-contrast series lies at most so long before the series that it belongs to."""
_ALIKE = 0.1
"""TR, TE and TI of a pre-contrast series may differ by this part from those after contrast."""


@dataclass(eq=False)
class Stack:
    """Frames of one series that differ in nothing but place and time."""

    exact: tuple[object, ...]
    floats: NDArray[np.float64]
    tolerance: NDArray[np.float64]
    nature: Role | None
    frames: list[Frame] = field(default_factory=list)
    positions: NDArray[np.float64] | None = None
    apart: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def is_multiple(self) -> bool:
        """More images than slice positions."""
        return self.positions is None or len(self.frames) > len(self.positions)


@dataclass(frozen=True)
class Joined:
    """Stacks that are to be phases of one scan.

    Attributes:
        members: at least one.
        remarks: sentences on what was joined, or was not though it could have been meant.
        pre_contrast: the first member is a pre-contrast series with slightly other times, and the first
            remark says so.
    """

    members: list[Stack]
    remarks: tuple[str, ...] = ()
    pre_contrast: bool = False


def join(stacks: Sequence[Stack]) -> list[Joined]:
    """Bring series that are phases of one scan together; each stack is in exactly one `Joined`."""
    return [run for joined in _with_pre_contrast(_equal(stacks)) for run in _runs(joined)]


def _runs(joined: Joined) -> list[Joined]:
    """A scan of a series per phase that was run twice is two."""
    before, scan = joined.members[: joined.pre_contrast], joined.members[joined.pre_contrast :]
    if any(stack.is_multiple or stack.nature is not None for stack in scan):
        return [joined]
    found = runs_of([s.frames for s in scan], [_stem(s.frames[0].source.description) for s in scan])
    said = (found.remark,) if found.remark else ()
    first, *others = ([scan[i] for i in sorted(run)] for run in found.runs)
    return [
        Joined([*before, *first], (*joined.remarks, *said), joined.pre_contrast),
        *(Joined(run, said) for run in others),
    ]


def _equal(stacks: Sequence[Stack]) -> list[list[Stack]]:
    """Series of equal geometry and protocol, each list in the order given."""
    place = {id(stack): i for i, stack in enumerate(stacks)}
    joined: list[list[Stack]] = []
    # Dynamic series first: where a study has two, a series before each must find its own.
    for stack in sorted(stacks, key=lambda s: not s.is_multiple):
        homes = [members for members in joined if all(_belongs(stack, other) for other in members)]
        if homes:
            min(homes, key=lambda members: _far(stack, members[0])).append(stack)
        else:
            joined.append([stack])
    for members in joined:
        members.sort(key=lambda s: place[id(s)])
    return sorted(joined, key=lambda members: place[id(members[0])])


def _far(stack: Stack, home: Stack) -> tuple[bool, float]:
    """How far a series lies from one that it could belong to: one that follows it goes before one that does not."""
    mine, its = _times([stack]), _times([home])
    if mine is None or its is None:
        return True, 0.0
    gap = min(its) - max(mine)
    return gap <= 0, abs(gap)


def _belongs(a: Stack, b: Stack) -> bool:
    if a.exact != b.exact or a.positions is None or b.positions is None or len(a.floats) != len(b.floats):
        return False
    if a.frames[0].source.series_uid == b.frames[0].source.series_uid or (a.is_multiple and b.is_multiple):
        return False
    if a.frames[0].source.modality != "MR" or (a.nature is not None and a.nature.name in ("dwi", "adc")):
        return False
    if not (np.abs(a.floats - b.floats) <= a.tolerance).all():
        return False
    if a.nature is None and _water_and_fat(a) != _water_and_fat(b):
        return False
    # A scan that was stopped leaves a few slices of its last phase, under the same name.
    stopped = a.nature is None and _stem(a.frames[0].source.description) == _stem(
        b.frames[0].source.description
    )
    if not same_positions(a.positions, b.positions, _POSITION_MM, 0.0 if stopped else 0.5):
        return False
    return _same_protocol(a.frames[0], b.frames[0], a.nature is not None)


def _water_and_fat(stack: Stack) -> tuple[bool, str]:
    """What of water and fat the images show; often only their names tell."""
    return bool(fat_suppressed(stack.frames[0])), dixon_part(stack.frames[0])


def _same_protocol(a: Frame, b: Frame, derived: bool) -> bool:
    if _stem(a.source.description) == _stem(b.source.description):
        return True
    if derived:
        return False
    if a.source.protocol and a.source.protocol == b.source.protocol:
        return True
    # Equal geometry, TR, TE and flip angle in a 3D gradient echo: whatever they are called, one scan
    # repeated.
    return a.source.acquisition_type == b.source.acquisition_type == "3D" and "GR" in a.source.scanning


def _stem(description: str) -> str:
    """A description without what counts phases: numbers, times, pre, post, ph, dyn."""
    lower = re.sub(r"tt ?= ?[\d.]+ ?s?", " ", description.casefold())
    return re.sub(r"(?<![a-z])(?:pre|post|ph|phase|dyn|min|s|contrast)(?![a-z])|[\d\W_]+", "", lower)


def _with_pre_contrast(equal: Sequence[list[Stack]]) -> list[Joined]:
    """Take a series just before a dynamic one into it, or say there why not."""
    remarks: dict[int, list[str]] = {}
    taken: dict[int, Stack] = {}  # by the place of its new home
    gone: set[int] = set()
    for place, members in enumerate(equal):
        if not _is_dynamic(members):
            continue
        earlier = [
            (gap, i)
            for i, other in enumerate(equal)
            if i != place and len(other) == 1 and (gap := _gap_s(other[0], members)) is not None
        ]
        judged = [(_differences(equal[i][0], members), gap, i) for gap, i in earlier]
        for why_not, _, i in sorted(judged, key=lambda found: (bool(found[0].hard), found[1:]))[:1]:
            other = equal[i][0]
            name = _named(other)
            if why_not.hard or i in gone:
                remarks.setdefault(place, []).append(
                    f"{name} was acquired just before, on the same slices, and may be the pre-contrast phase. It "
                    f"is kept apart because {' and '.join(why_not.hard) or 'it serves another series'}."
                )
                continue
            gone.add(i)
            taken[place] = other
            remarks.setdefault(place, []).append(
                f"{name} is taken as the pre-contrast phase though {' and '.join(why_not.soft)}: signals before "
                "and after contrast differ a little by that alone."
            )
    return [
        Joined([*([taken[i]] if i in taken else []), *members], tuple(remarks.get(i, ())), i in taken)
        for i, members in enumerate(equal)
        if i not in gone
    ]


@dataclass(frozen=True)
class _Differences:
    soft: list[str]
    hard: list[str]


def _is_dynamic(members: Sequence[Stack]) -> bool:
    first = members[0]
    frame = first.frames[0]
    if first.nature is not None or first.positions is None or frame.source.modality != "MR":
        return False
    return _is_gradient_echo(frame) and (len(members) > 1 or first.is_multiple)


def _is_gradient_echo(frame: Frame) -> bool:
    scanning = frame.source.scanning
    return not scanning or ("GR" in scanning and "EP" not in scanning)


def _times(stacks: Sequence[Stack]) -> list[float] | None:
    times = [frame.acquisition_s for stack in stacks for frame in stack.frames]
    known = [time for time in times if time is not None]
    return known if known and len(known) == len(times) else None


def _gap_s(stack: Stack, dynamic: Sequence[Stack]) -> float | None:
    """Seconds from a single-phase series to the dynamic one on the same slices; None where it is no candidate."""
    one, other = stack.frames[0], dynamic[0].frames[0]
    if (
        stack.nature is not None
        or stack.positions is None
        or stack.is_multiple
        or stack.apart != dynamic[0].apart
    ):
        return None
    same = (
        one.source.study_uid == other.source.study_uid
        and one.source.patient_id == other.source.patient_id
        and one.source.frame_of_reference_uid == other.source.frame_of_reference_uid
        and (one.source.rows, one.source.columns) == (other.source.rows, other.source.columns)
        and one.source.modality == "MR"
        and one.source.acquisition_type == other.source.acquisition_type
        and _is_gradient_echo(one)
        and dixon_part(one) == dixon_part(other)
        and (bool(fat_suppressed(one)) == bool(fat_suppressed(other)) or _fat_by_name(one, other))
        and _placed(stack, dynamic[0])
    )
    mine, theirs = _times([stack]), _times(dynamic)
    if not same or mine is None or theirs is None:
        return None
    gap = min(theirs) - max(mine)
    return gap if 0 < gap <= _BEFORE_S and not _has_pre_contrast(dynamic, min(theirs)) else None


def _fat_by_name(a: Frame, b: Frame) -> bool:
    """Only a description says that fat is suppressed in one of the two."""
    return fat_suppressed(a) + fat_suppressed(b) == FAT_DESCRIBED


def _has_pre_contrast(dynamic: Sequence[Stack], first_s: float) -> bool:
    """Whether the agent was given after the start of the dynamic series, so that it has its own phase before."""
    given = [
        f.source.contrast_s for member in dynamic for f in member.frames if f.source.contrast_s is not None
    ]
    return bool(given) and min(given) - first_s > 5.0


def _placed(a: Stack, b: Stack) -> bool:
    """Whether both have the same pixels on the same slices."""
    if a.positions is None or b.positions is None or len(a.positions) != len(b.positions):
        return False
    measured = 8  # orientation and place in the plane; before them spacing, before it the sequence's times
    if len(a.floats) < measured + 2 or len(b.floats) < measured + 2:
        return False
    near = np.abs(a.floats[-measured - 2 :] - b.floats[-measured - 2 :]) <= b.tolerance[-measured - 2 :]
    return bool(near.all()) and same_positions(a.positions, b.positions, _POSITION_MM)


def _differences(stack: Stack, dynamic: Sequence[Stack]) -> _Differences:
    a, b = stack.frames[0], dynamic[0].frames[0]
    soft, hard = list[str](), list[str]()
    for name, one, other in (
        ("TR", a.repetition_ms, b.repetition_ms),
        ("TE", a.echo_ms, b.echo_ms),
        ("TI", a.inversion_ms, b.inversion_ms),
    ):
        if one is None or other is None:
            if one is not other:
                hard.append(f"its {name} is not comparable")
        elif abs(one - other) > max(0.01, 0.005 * other):
            said = f"its {name} is {one:g} ms instead of {other:g} ms"
            (soft if abs(one - other) <= _ALIKE * other else hard).append(said)
    if abs((a.flip_deg or 0.0) - (b.flip_deg or 0.0)) > 0.1:
        angles = ["unknown" if f.flip_deg is None else f"{f.flip_deg:g}°" for f in (a, b)]
        hard.append(f"its flip angle is {angles[0]} instead of {angles[1]}")
    if bool(fat_suppressed(a)) != bool(fat_suppressed(b)):
        hard.append("only one of the two is described as fat-suppressed")
    if stack.exact != dynamic[0].exact:
        hard.append("its image type or sequence is another")
    return _Differences(soft, hard or ([] if soft else ["its protocol is another"]))


def _named(stack: Stack) -> str:
    source = stack.frames[0].source
    number = "" if source.series_number is None else f" {source.series_number}"
    return f"Series{number} (“{source.description}”)" if source.description else f"Series{number or ' ?'}"
