"""Frames to groups: split by all that makes images different, join series that are phases of one scan."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .headers import Frame
from .index import Group, Phase, sorted_groups
from .phases import Arrangement, arrange, arrange_diffusion
from .roles import Role, judge, nature
from .slices import NO_PLACE, axes, same_positions, slice_positions, stack_geometry
from .times import across_midnight, phase_times

_FAT = frozenset({"FS", "WE", "SFS", "FAT_SAT"})
_POSITION_MM = 0.5
_INVERTED = (
    "The files ask for light and dark to be exchanged (MONOCHROME1); the values are shown as stored, and a "
    "model reads them as they are."
)


@dataclass(eq=False)
class _Stack:
    """Frames of one series that differ in nothing but place and time."""

    exact: tuple[object, ...]
    floats: NDArray[np.float64]
    tolerance: NDArray[np.float64]
    nature: Role | None
    frames: list[Frame] = field(default_factory=list)
    positions: NDArray[np.float64] | None = None

    @property
    def is_multiple(self) -> bool:
        """More images than slice positions."""
        return self.positions is None or len(self.frames) > len(self.positions)


def group_frames(frames: Sequence[Frame]) -> tuple[Group, ...]:
    """Sort all frames of a scan into groups; every frame is in exactly one."""
    stacks = _split(sorted(frames, key=lambda f: f.order))
    groups = []
    for members in _join(stacks):
        _put_in_one_row(members)
        groups.extend(_groups(members))
    return sorted_groups(groups)


def _split(frames: Sequence[Frame]) -> list[_Stack]:
    weighted = {f.source.series_uid for f in frames if (f.b_value or 0.0) > 0.0}
    by_series: dict[tuple[object, ...], list[_Stack]] = defaultdict(list)
    for frame in frames:
        kind = nature(frame, frame.source.series_uid in weighted)
        exact = _exact_traits(frame, kind)
        floats, tolerance = _measured_traits(frame)
        stacks = by_series[(frame.source.series_uid, *exact)]
        for stack in stacks:
            if len(stack.floats) == len(floats) and (np.abs(stack.floats - floats) <= stack.tolerance).all():
                break
        else:
            stack = _Stack(exact, floats, tolerance, kind)
            stacks.append(stack)
        stack.frames.append(frame)
    found = [stack for stacks in by_series.values() for stack in stacks]
    for stack in found:
        located = slice_positions(stack.frames)
        stack.positions = None if located is None else located[1]
    return found


def _exact_traits(frame: Frame, kind: Role | None) -> tuple[object, ...]:
    source = frame.source
    measured = (frame.echo_ms, frame.repetition_ms, frame.inversion_ms, frame.flip_deg, frame.pixel_spacing)
    return (
        source.study_uid,
        source.frame_of_reference_uid,
        source.sop_class_uid,
        source.modality,
        source.rows,
        source.columns,
        source.pixels.samples,
        source.scanning,
        source.scan_options & _FAT,
        frame.image_type,
        frame.position is None or axes(frame) is None,
        tuple(value is None for value in measured),
        None if kind is None else (kind.name, kind.detail),
    )


def _measured_traits(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numbers in which frames of one group may differ by rounding only, and by how much."""
    values: list[float] = []
    tolerance: list[float] = []
    for value, absolute, relative in (
        (frame.echo_ms, 0.01, 0.005),
        (frame.repetition_ms, 0.01, 0.005),
        (frame.inversion_ms, 0.1, 0.005),
        (frame.flip_deg, 0.1, 0.0),
    ):
        if value is not None:
            values.append(value)
            tolerance.append(max(absolute, relative * abs(value)))
    for spacing in frame.pixel_spacing or ():
        values.append(spacing)
        tolerance.append(max(1e-4, 1e-3 * spacing))
    basis = axes(frame)
    if basis is not None and frame.position is not None:
        values.extend(basis[:2].ravel().tolist())
        tolerance.extend([2e-3] * 6)
        # A stack runs along its normal; two stacks side by side (left and right breast) differ in the plane.
        values.extend((basis[:2] @ np.asarray(frame.position)).tolist())
        tolerance.extend([1.0, 1.0])
    return np.asarray(values, dtype=np.float64), np.asarray(tolerance, dtype=np.float64)


def _join(stacks: Sequence[_Stack]) -> list[list[_Stack]]:
    """Bring series that are phases of one scan together: Siemens' series per phase, a pre-contrast series."""
    joined: list[list[_Stack]] = []
    for stack in stacks:
        home = next((members for members in joined if all(_belongs(stack, other) for other in members)), None)
        if home is None:
            joined.append([stack])
        else:
            home.append(stack)
    return joined


def _belongs(a: _Stack, b: _Stack) -> bool:
    if a.exact != b.exact or a.positions is None or b.positions is None or len(a.floats) != len(b.floats):
        return False
    if a.frames[0].source.series_uid == b.frames[0].source.series_uid or (a.is_multiple and b.is_multiple):
        return False
    if a.frames[0].source.modality != "MR" or (a.nature is not None and a.nature.name in ("dwi", "adc")):
        return False
    if not (np.abs(a.floats - b.floats) <= a.tolerance).all():
        return False
    if not same_positions(a.positions, b.positions, _POSITION_MM):
        return False
    return _same_protocol(a.frames[0], b.frames[0], a.nature is not None)


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


def _put_in_one_row(members: Sequence[_Stack]) -> None:
    """Bring the times of joined stacks over midnight together: phases and their order are read from them."""
    frames = iter(across_midnight([frame for stack in members for frame in stack.frames]))
    for stack in members:
        stack.frames = [next(frames) for _ in stack.frames]


def _groups(members: Sequence[_Stack]) -> list[Group]:
    """The groups that joined stacks make; stacks that make no common sense are taken one by one."""
    if len(members) > 1:
        common = _arrange_joined(members)
        if common is not None:
            return _built([common], members[0].nature, members)
        return [group for stack in members for group in _groups([stack])]
    stack = members[0]
    located = slice_positions(stack.frames)
    if located is None:
        return [_loose(stack.frames, stack.nature)]
    index, positions = located
    if stack.nature is not None and stack.nature.name == "dwi":
        volumes = arrange_diffusion(stack.frames, index, len(positions))
        found = [] if volumes is None else [volumes]
    else:
        found = arrange(stack.frames, index, len(positions))
    if not found:
        said = "The images of the slice positions differ in number, and nothing tells whole volumes apart."
        return [_loose(stack.frames, stack.nature, said)]
    return _built(found, stack.nature, members)


def _arrange_joined(members: Sequence[_Stack]) -> Arrangement | None:
    frames = [frame for stack in members for frame in stack.frames]
    located = slice_positions(frames)
    if located is None:
        return None
    index, positions = located
    found = arrange(frames, index, len(positions))
    if len(found) == 1 and len(found[0].phases) > 1 and not found[0].rest:
        return found[0]
    # A series with one acquisition time for all its phases: order the series by time, their phases by their
    # own key.
    single = []
    for stack in members:
        own = slice_positions(stack.frames)
        each = (
            []
            if own is None or len(own[1]) != len(positions)
            else arrange(stack.frames, own[0], len(positions))
        )
        if len(each) != 1 or each[0].rest:
            break
        single.append((min(f.acquisition_s or 0.0 for f in stack.frames), each[0]))
    else:
        single.sort(key=lambda pair: pair[0])
        keys = dict.fromkeys(a.key for _, a in single if a.key != "single phase")
        phases = [phase for _, a in single for phase in a.phases]
        return Arrangement(phases, " and ".join(("SeriesInstanceUID", *keys)))
    return found[0] if len(found) == 1 and len(found[0].phases) > 1 else None


def _built(found: Sequence[Arrangement], kind: Role | None, members: Sequence[_Stack]) -> list[Group]:
    groups = []
    for arrangement in found:
        starts, sources, order, warnings = phase_times(arrangement.phases)
        phases = [arrangement.phases[i] for i in order]
        geometry, odd = stack_geometry(phases[0])
        remarks = [f"{len(members)} series are joined as phases of one scan."] if len(members) > 1 else []
        if any(frame.source.pixels.inverted for phase in phases for frame in phase):
            remarks.append(_INVERTED)
        if arrangement.key == "b-value" and len(phases) > 1:
            warnings = []  # sorted by weighting, not by time
        frames = [frame for phase in phases for frame in phase]
        groups.append(
            Group(
                judged=judge(frames, len(phases), kind),
                description=_description(frames, arrangement.apart),
                phases=tuple(
                    Phase(tuple(phase), start, source)
                    for phase, start, source in zip(phases, starts, sources, strict=True)
                ),
                n_slices=len(phases[0]),
                geometry=geometry,
                phase_key=arrangement.key,
                warnings=(*remarks, *arrangement.warnings, *warnings, *odd),
            )
        )
        if arrangement.rest:
            said = "Images that fit in no whole phase of the series (missing or doubled slices)."
            groups.append(
                _loose(arrangement.rest, Role("other", "left over from incomplete phases", 0.9), said)
            )
    return groups


def _loose(frames: Sequence[Frame], kind: Role | None, warning: str = "") -> Group:
    """Images that make no regular stack: kept together as one phase that cannot be assembled."""
    located = slice_positions(frames)
    said = warning or (NO_PLACE if located is None else "")
    return Group(
        judged=judge(frames, 0, kind),
        description=_description(frames, ""),
        phases=(Phase(tuple(frames), None, "unknown"),),
        n_slices=len(frames) if located is None else len(located[1]),
        geometry=None,
        phase_key="none",
        warnings=(said,) if said else (),
    )


def _common_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)  # what these two share, all in between share
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length]


def _description(frames: Sequence[Frame], apart: str) -> str:
    """What the series is called; for joined series what their names have in common."""
    names = list(dict.fromkeys(frame.source.description for frame in frames))
    common = names[0]
    if len(names) > 1:
        start = _common_start(names).rstrip(" _-(=")
        common = start if len(start) >= 4 else names[0]
    return f"{common} [{apart}]" if apart else common
