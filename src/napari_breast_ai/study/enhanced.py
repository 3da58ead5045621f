"""Functional groups of enhanced multi-frame objects, seen as if each frame were a file of its own.

Source: DICOM PS3.3 C.7.6.16 (multi-frame functional groups), C.7.6.17 (multi-frame dimension).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import elements as el
from .parsing import Header

_SHARED, _PER_FRAME, _DIMENSIONS = 0x52009229, 0x52009230, 0x00209222
FUNCTIONAL_TAGS = (_SHARED, _PER_FRAME, _DIMENSIONS)

_FRAME_CONTENT = 0x00209111
_PHILIPS_CREATOR, _PHILIPS_BLOCK, _PHILIPS_LABEL = 0x20050014, 0x2005140F, 0x20051429
# Dimensions that this project reads from their own elements: stack, place in the stack, phase, position,
# orientation, acquisition time, trigger delay, time offset.
_KNOWN_DIMENSIONS = frozenset(
    {0x00209056, 0x00209057, 0x00209128, 0x00200032, 0x00200037, 0x00189074, 0x00209153, 0x0020930D}
)


@dataclass(frozen=True)
class FrameView:
    """Looks an attribute up in the frame's own groups, then the shared ones, then the data set.

    Attributes:
        dataset: the whole header.
        index: number of the frame from 0; None for a classic file.
        groups: functional groups of this frame, then the shared ones; empty for a classic file.
        variant: a vendor's label and further dimension indices.
    """

    dataset: Header
    index: int | None = None
    groups: tuple[Header, ...] = ()
    variant: tuple[str, ...] = ()

    def _holders(self, group: int | None) -> list[Header]:
        found = [] if group is None else [item for held in self.groups for item in el.items(held, group)[:1]]
        return [*found, self.dataset]

    def numbers(self, tag: int, group: int | None) -> tuple[float, ...]:
        """The element's numbers from the functional group sequence `group`, or from the data set."""
        if not self.groups:
            return el.numbers(self.dataset, tag)
        return next((found for held in self._holders(group) if (found := el.numbers(held, tag))), ())

    def number(self, tag: int, group: int | None) -> float | None:
        """The element's first number, or None."""
        return next(iter(self.numbers(tag, group)), None)

    def texts(self, tag: int, group: int | None) -> tuple[str, ...]:
        """The element's strings."""
        if not self.groups:
            return el.texts(self.dataset, tag)
        return next((found for held in self._holders(group) if (found := el.texts(held, tag))), ())

    def text(self, tag: int, group: int | None) -> str:
        """The element's first string, or ""."""
        return next(iter(self.texts(tag, group)), "")


def frame_views(dataset: Header, frames: int) -> list[FrameView]:
    """One view per frame: one for a classic file, `frames` bare ones where there are no functional groups."""
    per_frame = el.items(dataset, _PER_FRAME)
    if not per_frame:
        label = _label(dataset)
        if frames == 1 and _SHARED not in dataset:
            return [FrameView(dataset, variant=label)]
        shared = tuple(el.items(dataset, _SHARED)[:1])
        return [FrameView(dataset, index, shared, label) for index in range(frames)]
    shared = tuple(el.items(dataset, _SHARED)[:1])
    unknown = _unknown_dimensions(dataset)
    return [
        FrameView(dataset, index, (own, *shared), _variant(own, unknown))
        for index, own in enumerate(per_frame)
    ]


def _unknown_dimensions(dataset: Header) -> tuple[int, ...]:
    """Places in DimensionIndexValues that stand for something else than place and time."""
    read = _KNOWN_DIMENSIONS | {_PHILIPS_LABEL}
    pointers = [el.pointer(item, 0x00209165) for item in el.items(dataset, _DIMENSIONS)]
    return tuple(i for i, pointer in enumerate(pointers) if pointer is not None and pointer not in read)


def _variant(own: Header, unknown: Sequence[int]) -> tuple[str, ...]:
    values = next((el.numbers(item, 0x00209157) for item in el.items(own, _FRAME_CONTENT)[:1]), ())
    label = next((_label(item) for item in el.items(own, _PHILIPS_BLOCK)[:1]), ())
    return (
        *label,
        *(f"dimension {place + 1} is {values[place]:g}" for place in unknown if place < len(values)),
    )


def _label(dataset: Header) -> tuple[str, ...]:
    """Philips' arterial spin label ("LABEL" or "CONTROL"): all that tells the two images of a place apart."""
    if "PHILIPS MR IMAGING DD 005" not in el.text(dataset, _PHILIPS_CREATOR).upper():
        return ()
    label = el.text(dataset, _PHILIPS_LABEL)
    return (label,) if label else ()
