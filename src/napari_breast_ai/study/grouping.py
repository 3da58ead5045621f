"""Frames to groups: split by all that makes images different, join series that are phases of one scan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .contrast import contrast_start
from .headers import Frame
from .index import Group, Phase, sorted_groups
from .interleaved import interleaved
from .joining import Joined, Stack, join
from .phases import Arrangement, arrange, arrange_diffusion
from .roles import Role, judge, nature
from .sides import laterality, two_sides
from .slices import NO_PLACE, axes, slice_positions, stack_geometry
from .times import across_midnight, phase_middles, phase_times

_FAT = frozenset({"FS", "WE", "SFS", "FAT_SAT"})
_LONG_S = 600.0
_MOSAIC = (
    "Each image is a Siemens mosaic, all slices of a volume as tiles of one picture: it is not unpacked. Export "
    "the series as single or enhanced images to see it."
)
_NOT_SORTED = (
    "A series just before this one may be its pre-contrast phase, but nothing in the headers orders the two."
)
_INVERTED = (
    "The files ask for light and dark to be exchanged (MONOCHROME1); the values are exchanged within "
    "their stored range, so that high is bright."
)


def group_frames(frames: Sequence[Frame]) -> tuple[Group, ...]:
    """Sort all frames of a scan into groups; every frame is in exactly one."""
    stacks = _split(sorted(frames, key=lambda f: f.order))
    groups = []
    for joined in join(stacks):
        _put_in_one_row(joined.members)
        groups.extend(_groups(joined))
    return sorted_groups(groups)


def _split(frames: Sequence[Frame]) -> list[Stack]:
    weighted = {f.source.series_uid for f in frames if (f.b_value or 0.0) > 0.0}
    by_series: dict[tuple[object, ...], list[Stack]] = defaultdict(list)
    for frame in frames:
        kind = nature(frame, frame.source.series_uid in weighted)
        exact = _exact_traits(frame, kind)
        floats, tolerance = _measured_traits(frame)
        stacks = by_series[(frame.source.series_uid, *exact)]
        for stack in stacks:
            if len(stack.floats) == len(floats) and (np.abs(stack.floats - floats) <= stack.tolerance).all():
                break
        else:
            stack = Stack(exact, floats, tolerance, kind)
            stacks.append(stack)
        stack.frames.append(frame)
    found = [
        part
        for stacks in by_series.values()
        for stack in stacks
        for side in _sides(stack)
        for part in _moved(side)
    ]
    for stack in found:
        located = slice_positions(stack.frames)
        stack.positions = None if located is None else located[1]
    return found


def _sides(stack: Stack) -> list[Stack]:
    """Both breasts in one sagittal series are two stacks."""
    sides = two_sides(stack.frames)
    if sides is None:
        return [stack]
    return [
        Stack(stack.exact, stack.floats, stack.tolerance, stack.nature, list(frames), apart=side)
        for side, frames in sides
    ]


def _moved(stack: Stack) -> list[Stack]:
    """Stacks of one series that lie between each other's slices."""
    found = interleaved(stack.frames) if stack.nature is None else None
    if found is None:
        return [stack]
    listed = " and ".join(f"{abs(mm):.2g} mm" for mm in found.offsets_mm[1:])
    said = (
        f"The series holds {len(found.stacks)} stacks of slices that lie between each other's ({listed} beside the "
        f"first) and that {found.key} tells apart: the patient or the table was moved between its phases. Each stack "
        "is a group of its own; do not subtract one from another."
    )
    return [
        Stack(
            stack.exact,
            stack.floats,
            stack.tolerance,
            None,
            frames,
            apart=", ".join(filter(None, (stack.apart, f"moved by {mm:+.2g} mm" if number else ""))),
            remarks=(said,),
        )
        for number, (mm, frames) in enumerate(zip(found.offsets_mm, found.stacks, strict=True))
    ]


def _exact_traits(frame: Frame, kind: Role | None) -> tuple[object, ...]:
    source = frame.source
    measured = (frame.echo_ms, frame.repetition_ms, frame.inversion_ms, frame.flip_deg, frame.pixel_spacing)
    return (
        source.study_uid,
        source.patient_id,  # some de-identification gives all studies the same UIDs
        source.frame_of_reference_uid,
        source.sop_class_uid,
        source.modality,
        source.rows,
        source.columns,
        source.pixels.samples,
        source.scanning,
        source.scan_options & _FAT,
        frame.fat_suppression,
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


def _put_in_one_row(members: Sequence[Stack]) -> None:
    """Bring the times of joined stacks over midnight together: phases and their order are read from them."""
    frames = iter(across_midnight([frame for stack in members for frame in stack.frames]))
    for stack in members:
        stack.frames = [next(frames) for _ in stack.frames]


def _groups(joined: Joined) -> list[Group]:
    """The groups that joined stacks make; stacks that make no common sense are taken one by one."""
    members, remarks = joined.members, joined.remarks
    said_of_them = tuple(dict.fromkeys(one for stack in members for one in stack.remarks))
    if len(members) > 1:
        common = _arrange_joined(members)
        if common is not None:
            return _built([common], members, (*remarks, *said_of_them))
        if joined.pre_contrast:  # they cannot be sorted together
            without = Joined(members[1:], (*remarks[1:], _NOT_SORTED))
            return [*_groups(Joined(members[:1])), *_groups(without)]
        return [group for stack in members for group in _groups(Joined([stack]))]
    stack = members[0]
    located = slice_positions(stack.frames)
    if located is None:
        return [_loose(stack.frames, stack.nature)]
    if any("MOSAIC" in frame.image_type for frame in stack.frames):
        return [_loose(stack.frames, stack.nature, _MOSAIC)]
    index, positions = located
    if stack.nature is not None and stack.nature.name == "dwi":
        volumes = arrange_diffusion(stack.frames, index, len(positions))
        found = [] if volumes is None else [volumes]
    else:
        found = arrange(stack.frames, index, len(positions))
    if not found:
        said = "The images of the slice positions differ in number, and nothing tells whole volumes apart."
        return [_loose(stack.frames, stack.nature, said)]
    return _built(found, members, (*remarks, *said_of_them))


def _arrange_joined(members: Sequence[Stack]) -> Arrangement | None:
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
        if len(each) != 1 or (len(each[0].phases) == 1 and each[0].rest):
            break
        single.append((min(f.acquisition_s or 0.0 for f in stack.frames), each[0]))
    else:
        single.sort(key=lambda pair: pair[0])
        keys = dict.fromkeys(a.key for _, a in single if a.key != "single phase")
        phases = [phase for _, a in single for phase in a.phases]
        if not found or len(found) > 1 or len(phases) > len(found[0].phases):
            rest = tuple(frame for _, a in single for frame in a.rest)
            said = tuple(warning for _, a in single for warning in a.warnings)
            name = " and ".join(("SeriesInstanceUID", *keys))
            return Arrangement(phases, name, rest, warnings=said)
    return found[0] if len(found) == 1 and len(found[0].phases) > 1 else None


def _built(found: Sequence[Arrangement], members: Sequence[Stack], remarks: Sequence[str]) -> list[Group]:
    groups = []
    for arrangement in found:
        groups.append(_whole(arrangement, members, remarks))
        if arrangement.rest:
            said = "Images that fit in no whole phase of the series (missing or doubled slices)."
            groups.append(
                _loose(arrangement.rest, Role("other", "left over from incomplete phases", 0.9), said)
            )
    return groups


def _whole(arrangement: Arrangement, members: Sequence[Stack], remarks: Sequence[str]) -> Group:
    starts, sources, order, warnings = phase_times(arrangement.phases)
    phases = [arrangement.phases[i] for i in order]
    middles = phase_middles(phases, starts)
    geometry, odd = stack_geometry(phases[0])
    frames = [frame for phase in phases for frame in phase]
    kind = members[0].nature
    joined = len({frame.source.series_uid for frame in frames})
    said = [f"{joined} series are joined as phases of one scan."] if joined > 1 else []
    said.extend(remarks)
    if joined > 1:
        said.extend(_pauses(starts))
    numbers = {frame.temporal_position for frame in phases[0]} - {None}
    if arrangement.key == "single phase" and len(numbers) > 1:
        said.append(
            f"The images say that they are of {len(numbers)} phases ({phases[0][0].temporal_source}), but no two "
            "lie on one slice: images of several phases may be mixed here."
        )
    if any(frame.source.pixels.inverted for frame in frames):
        said.append(_INVERTED)
    contrast_s, pre_contrast, on_contrast = None, 0, list[str]()
    if arrangement.key == "b-value":
        if len(phases) > 1:
            warnings = []  # sorted by weighting, not by time
        if any(frame.b_value is None for frame in frames):
            said.append("Images without a b-value are taken as b = 0.")
    elif kind is None:
        contrast_s, pre_contrast, on_contrast = contrast_start(phases, starts, sources[0])
    judged = judge(frames, len(phases), kind)
    side, side_source, on_side = laterality(frames, geometry)
    return Group(
        judged=judged,
        description=_description(frames, ", ".join(filter(None, (members[0].apart, arrangement.apart)))),
        phases=tuple(
            Phase(tuple(phase), start, source, middle, middle_source)
            for phase, start, source, (middle, middle_source) in zip(
                phases, starts, sources, middles, strict=True
            )
        ),
        n_slices=len(phases[0]),
        geometry=geometry,
        phase_key=arrangement.key,
        warnings=(*said, *arrangement.warnings, *warnings, *on_contrast, *on_side, *odd),
        pre_contrast=pre_contrast,
        contrast_s=contrast_s,
        laterality=side,
        laterality_source=side_source,
    )


def _pauses(starts: Sequence[float | None]) -> list[str]:
    """Long pauses between phases of joined series, in a sentence: a scan may have been repeated."""
    known = [start for start in starts if start is not None]
    steps = [after - before for before, after in pairwise(known)]
    if len(known) < len(starts) or len(steps) < 2:
        return []
    usual = sorted(steps)[(len(steps) - 1) // 2]
    return [
        f"There are {step / 60:.0f} minutes between the phases {i} and {i + 1}: if the scan was repeated, split the "
        "group there."
        for i, step in enumerate(steps)
        if step > max(_LONG_S, 4 * usual)
    ]


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
