"""Stacks of one series that lie between each other's slices: the patient or the table was moved between phases.

Phases share one grid in this project, so such stacks cannot be phases of one volume. They are taken apart only
where both tell the same: the positions are regular stacks of one spacing at an offset, and an element that
numbers or times phases goes with them. Slices that are acquired in turns (odd, then even ones) look alike, but
there it is all of them together that have the nominal distance, and they have it evenly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .headers import Frame
from .phases import KEYS, Key, labels
from .slices import slice_positions

_FEWEST = 3
"""Slices by which a stack shows its spacing."""
_APART, _NEAR = 0.06, 0.04
"""Parts of the spacing: farther from each other are two stacks; by so much a spacing may be rounded."""


@dataclass(frozen=True)
class Interleaved:
    """Stacks that lie between each other's slices.

    Attributes:
        stacks: frames of each, the earliest stack first.
        offsets_mm: how far each lies from the first one, along the normal, less than half a spacing.
        key: the element that goes with them.
    """

    stacks: tuple[list[Frame], ...]
    offsets_mm: tuple[float, ...]
    key: str


def interleaved(frames: Sequence[Frame]) -> Interleaved | None:
    """The stacks that the frames of one series make, or None where they make one."""
    located = slice_positions(frames)
    if located is None or len(located[1]) < 2 * _FEWEST:
        return None
    index, positions = located
    for step in _spacings(frames, index, positions):
        found = _combs(positions, step)
        if found is None:
            continue
        comb, offsets = found[0][index], found[1]
        name = next((name for key in KEYS if (name := _goes_with(key, frames, comb, index))), "")
        if name:
            stacks = [[f for f, c in zip(frames, comb, strict=True) if c == i] for i in range(len(offsets))]
            order = sorted(range(len(stacks)), key=lambda i: (_begun(stacks[i]), stacks[i][0].order))
            beside = [(offsets[i] - offsets[order[0]] + step / 2) % step - step / 2 for i in order]
            return Interleaved(tuple(stacks[i] for i in order), tuple(beside), name)
    return None


def _begun(frames: Sequence[Frame]) -> tuple[float, ...]:
    columns = ((f.acquisition_s, f.temporal_position, f.trigger_s, f.acquisition_number) for f in frames)
    return tuple(
        min((v for v in values if v is not None), default=0.0) for values in zip(*columns, strict=True)
    )


def _spacings(
    frames: Sequence[Frame], index: NDArray[np.intp], positions: NDArray[np.float64]
) -> Iterator[float]:
    """What the distance of the slices of one stack may be: it is larger than that of all of them together."""
    steps = np.diff(positions)
    usual = float(np.median(steps))
    nominal = abs(frames[0].spacing_between_slices or frames[0].thickness or 0.0)
    candidates = [nominal]
    if np.abs(steps - usual).max() > _APART * usual:  # unevenly spaced: not the slices of one scan in turns
        for key in KEYS:
            for label in labels(key, frames):
                own = [positions[np.unique(index[label == i])] for i in range(int(label.max()) + 1)]
                if min(map(len, own)) >= _FEWEST:
                    candidates.append(float(np.median([np.median(np.diff(places)) for places in own])))
    for step in dict.fromkeys(candidates):
        if step <= (1 + _NEAR) * float(steps.min()):
            continue
        apart = positions[None, :] - positions[:, None]
        near = apart[np.abs(apart - step) <= _NEAR * step]  # nominal distances are rounded
        if len(near) >= len(positions) // 2:
            yield float(np.median(near))


def _combs(positions: NDArray[np.float64], step: float) -> tuple[NDArray[np.intp], list[float]] | None:
    """The regular stack of each position and the stacks' offsets; None where they do not lie between each other."""
    offset = np.mod(positions - positions[0], step)
    order = np.argsort(offset, kind="stable")
    new = np.diff(offset[order], prepend=offset[order][0]) > _APART * step
    comb = np.empty(len(positions), dtype=np.intp)
    comb[order] = np.cumsum(new)
    if offset.max() > (1 - _APART) * step:  # around the circle: the last ones are beside the first
        comb[comb == comb.max()] = 0
    count = int(comb.max()) + 1
    if count < 2 or not (np.unique(comb) == np.arange(count)).all():
        return None
    offsets, ends = [], []
    for i in range(count):
        own = positions[comb == i]
        place = (own - own[0]) / step
        if len(own) < _FEWEST or np.abs(place - np.rint(place)).max() > _APART or 2 * len(own) < place[-1]:
            return None
        offsets.append(float(np.mean(own - np.rint(place) * step) - positions[0]))
        ends.append((float(own[0]), float(own[-1])))
    for first, last in ends[1:]:
        shared = min(last, ends[0][1]) - max(first, ends[0][0])
        if 2 * shared < min(last - first, ends[0][1] - ends[0][0]):
            return None  # one after the other, not between each other
    return comb, offsets


def _goes_with(key: Key, frames: Sequence[Frame], comb: NDArray[np.intp], index: NDArray[np.intp]) -> str:
    """The key's name if it tells the stacks apart: no phase of it has images of two of them."""
    for label in labels(key, frames):
        pairs = {(int(a), int(b)) for a, b in zip(label, comb, strict=True)}
        own = [len(np.unique(index[label == i])) for i in range(int(label.max()) + 1)]
        # Values of their own for every image would go with anything.
        if len(pairs) == len(own) and min(own) >= _FEWEST:
            return key.name(frames[0])
    if key.is_time:
        values = np.array([np.nan if (value := key.value(f)) is None else value for f in frames])
        spans = sorted((values[comb == i].min(), values[comb == i].max()) for i in range(int(comb.max()) + 1))
        if not np.isnan(values).any() and all(a[1] < b[0] for a, b in pairwise(spans)):
            return key.name(frames[0])
    return ""
