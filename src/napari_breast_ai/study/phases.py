"""Which frames of one place in the patient belong to which phase.

No key is trusted: vendors write one AcquisitionTime for all phases, a TriggerTime per slice,
TemporalPositionIndex 1 for every volume, random instance numbers. A key counts only if it gives every slice
position the same set of phases with no position repeated inside a phase.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .headers import Frame

SAME_PHASE_S = 2.0
"""Times within this many seconds of each other are one phase."""

Stack = list[list[Frame]]
"""Phases of frames in slice order."""


@dataclass(frozen=True)
class Arrangement:
    """Frames in phases.

    Attributes:
        phases: each with one frame per slice, in slice order.
        key: what told the phases apart.
        rest: frames that fit in no whole phase.
        apart: what sets these frames apart from others of the same place and time.
        warnings: sentences for the reader.
    """

    phases: Stack
    key: str
    rest: tuple[Frame, ...] = ()
    apart: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Key:
    """An element that may number or time phases: its keyword and its value in a frame."""

    name: Callable[[Frame], str]
    value: Callable[[Frame], float | None]
    is_time: bool


KEYS = (
    Key(lambda f: f.temporal_source, lambda f: f.temporal_position, False),
    Key(lambda f: f.trigger_source, lambda f: f.trigger_s, True),
    Key(lambda f: "AcquisitionNumber", lambda f: f.acquisition_number, False),
    Key(lambda f: f.acquisition_source, lambda f: f.acquisition_s, True),
    Key(lambda f: "ContentTime", lambda f: f.content_s, True),
)


def arrange(frames: Sequence[Frame], index: NDArray[np.intp], slices: int) -> list[Arrangement]:
    """Put frames into phases; several arrangements where images of one place and time differ otherwise.

    Args:
        frames: all of one stack.
        index: the slice of each frame, 0 to slices - 1.
        slices: the number of slice positions.
    """
    if len(frames) == slices:
        return [Arrangement([_in_order(frames, index)], "single phase")]
    whole = _complete(frames, index, slices)
    if whole is not None:
        return [whole]
    apart = _by_difference(frames, index, slices)
    if apart:
        return apart
    partial = _partial(frames, index, slices)
    if partial is not None:
        return [partial]
    return _by_instance(frames, index, slices)


def arrange_diffusion(frames: Sequence[Frame], index: NDArray[np.intp], slices: int) -> Arrangement | None:
    """Volumes of a diffusion series by b-value, then as stored; None where the slices differ in number."""
    columns = _per_slice(frames, index, slices)
    if len({len(column) for column in columns}) != 1:
        return None
    for column in columns:
        column.sort(key=lambda f: (f.b_value or 0.0, f.acquisition_number or 0, f.order))
    volumes = [list(volume) for volume in zip(*columns, strict=True)]
    if any(len({frame.b_value or 0.0 for frame in volume}) > 1 for volume in volumes):
        return None
    return Arrangement(volumes, "b-value")


def _in_order(frames: Sequence[Frame], index: NDArray[np.intp]) -> list[Frame]:
    return [frames[i] for i in np.argsort(index, kind="stable")]


def _per_slice(frames: Sequence[Frame], index: NDArray[np.intp], slices: int) -> Stack:
    columns: Stack = [[] for _ in range(slices)]
    for frame, place in zip(frames, index, strict=True):
        columns[place].append(frame)
    return columns


def _values(key: Key, frames: Sequence[Frame], slices: int) -> list[float] | None:
    """The key's value per frame. Frames without one are the pre-contrast phase if they could be one phase."""
    values = [key.value(frame) for frame in frames]
    missing = sum(value is None for value in values)
    if missing and (missing != slices or key.is_time or missing == len(values)):
        return None
    return [-1.0 if value is None else float(value) for value in values]


def labels(key: Key, frames: Sequence[Frame]) -> list[NDArray[np.intp]]:
    """The phase of each frame in every way to read the key; none where frames have no value."""
    values = [value for frame in frames if (value := key.value(frame)) is not None]
    return _labels(key, values) if values and len(values) == len(frames) else []


def _labels(key: Key, values: list[float]) -> list[NDArray[np.intp]]:
    """Ways to read the key: equal values are one phase; so are times without a pause of `SAME_PHASE_S`."""
    array = np.asarray(values)
    exact = np.unique(array, return_inverse=True)[1].astype(np.intp)
    if not key.is_time:
        return [exact]
    order = np.argsort(array, kind="stable")
    clustered = np.empty(len(values), dtype=np.intp)
    clustered[order] = np.cumsum(np.diff(array[order], prepend=array[order][0]) > SAME_PHASE_S)
    return [exact, clustered]


def _ranked(values: list[float], index: NDArray[np.intp], slices: int) -> NDArray[np.intp] | None:
    """Phases by the order of times on each slice, if every phase ends before the next one begins."""
    array = np.asarray(values)
    count, rest = divmod(len(values), slices)
    if rest or (np.bincount(index, minlength=slices) != count).any():
        return None
    label = np.empty(len(values), dtype=np.intp)
    for place in range(slices):
        mine = np.flatnonzero(index == place)
        label[mine[np.argsort(array[mine], kind="stable")]] = np.arange(count)
    ends = [array[label == i].max() for i in range(count)]
    starts = [array[label == i].min() for i in range(count)]
    return label if all(end < start for end, start in zip(ends, starts[1:], strict=False)) else None


def _is_whole(label: NDArray[np.intp], index: NDArray[np.intp], slices: int) -> bool:
    count = int(label.max()) + 1
    if count * slices != len(label):
        return False
    return len(np.unique(label * slices + index)) == len(label)


def _complete(frames: Sequence[Frame], index: NDArray[np.intp], slices: int) -> Arrangement | None:
    """The first key that puts every frame into a whole phase."""
    for key in KEYS:
        values = _values(key, frames, slices)
        if values is None:
            continue
        ways = [label for label in _labels(key, values) if _is_whole(label, index, slices)]
        if not ways and key.is_time:
            ranked = _ranked(values, index, slices)
            ways = [] if ranked is None else [ranked]
        if ways:
            return Arrangement(_split(frames, index, ways[0]), key.name(frames[0]))
    return None


def _split(frames: Sequence[Frame], index: NDArray[np.intp], label: NDArray[np.intp]) -> Stack:
    order = np.lexsort((index, label))
    slices = int(index.max()) + 1
    return [[frames[i] for i in order[start : start + slices]] for start in range(0, len(order), slices)]


def _by_difference(frames: Sequence[Frame], index: NDArray[np.intp], slices: int) -> list[Arrangement]:
    """Split by what else differs between images of one place, where each part then makes whole phases."""
    differences: tuple[Callable[[Frame], tuple[str, ...]], ...] = (
        lambda f: f.variant,
        lambda f: () if f.b_value is None else (f"b = {f.b_value:g}",),
    )
    for difference in differences:
        parts: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for i, frame in enumerate(frames):
            parts[difference(frame)].append(i)
        if len(parts) < 2:
            continue
        found = []
        for what, members in sorted(parts.items()):
            chosen = [frames[i] for i in members]
            if set(index[members].tolist()) != set(range(slices)):
                break
            whole = arrange(chosen, index[members], slices) if len(chosen) == slices else None
            part = whole[0] if whole else _complete(chosen, index[members], slices)
            if part is None:
                break
            name = ", ".join(what)
            said = f"Images of one place and time are kept apart: these are {name or 'without a label'}."
            found.append(Arrangement(part.phases, part.key, (), name, (said,)))
        if len(found) == len(parts):
            return found
    return []


def _partial(frames: Sequence[Frame], index: NDArray[np.intp], slices: int) -> Arrangement | None:
    """The whole phases of the key that gives the most of them; the rest is handed back and said."""
    best: tuple[int, str, list[tuple[int, list[int]]], int] | None = None
    for key in KEYS:
        values = _values(key, frames, slices)
        if values is None:
            continue
        for label in _labels(key, values):
            whole = []
            for phase in range(int(label.max()) + 1):
                first: dict[int, int] = {}
                mine = np.flatnonzero(label == phase).tolist()
                if len(mine) - slices > max(1, slices // 4):
                    continue  # not a few doubled slices, but several phases that the key does not tell apart
                for i in mine:
                    first.setdefault(int(index[i]), i)  # a doubled slice: the first one stored stays
                if len(first) == slices:
                    whole.append((phase, [first[place] for place in range(slices)]))
            count = int(label.max()) + 1
            if whole and (best is None or len(whole) > best[0]):
                best = (len(whole), key.name(frames[0]), whole, count)
    if best is None or 2 * best[0] * slices < len(frames):
        return None
    number, name, whole, count = best
    used = {i for _, members in whole for i in members}
    rest = tuple(frame for i, frame in enumerate(frames) if i not in used)
    warnings = [f"{len(rest)} images fit in no whole phase (missing or doubled slices) and are kept apart."]
    if number < count:
        kept = {phase for phase, _ in whole}
        lost = [phase for phase in range(count) if phase not in kept]
        listed = ", ".join(str(phase + 1) for phase in lost)
        warnings.append(f"Of {count} phases, number {listed} is incomplete and left out.")
        if 0 in lost:
            warnings.append(
                "The first phase, probably the pre-contrast one, is left out: do not rely on subtractions."
            )
    return Arrangement(
        [[frames[i] for i in members] for _, members in whole], name, rest, warnings=tuple(warnings)
    )


def _by_instance(frames: Sequence[Frame], index: NDArray[np.intp], slices: int) -> list[Arrangement]:
    """The last resort: nothing tells the images of a place apart but the order in which they were stored."""
    columns = _per_slice(frames, index, slices)
    if len({len(column) for column in columns}) != 1:
        return []
    for column in columns:
        column.sort(key=lambda f: f.order)
    said = "Nothing in the headers tells these images of one place apart; they are sorted by instance number."
    return [
        Arrangement([list(volume)], "InstanceNumber", (), f"image {number + 1} of each place", (said,))
        for number, volume in enumerate(zip(*columns, strict=True))
    ]
