"""Curves of single boxes: how a lesion enhances from slice to slice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ..core import Box
from .areas import Area, area_of_boxes
from .classes import Thresholds
from .curves import Curve, curve_of
from .errors import KineticsError
from .maps import KineticMaps

MOST_BOXES = 7
"""Boxes that are drawn together, at most: as many as there are colours that everybody can tell apart."""


@dataclass(frozen=True, eq=False)
class BoxCurve:
    """The curve of one box.

    Attributes:
        area: the voxels of the box.
        curve: mean of those that enhance, as a lesion's; of all where none does.
    """

    area: Area
    curve: Curve


def curves_of_boxes(
    maps: KineticMaps, boxes: Iterable[Box], name: str, thresholds: Thresholds | None = None
) -> tuple[BoxCurve, ...]:
    """The curve of each of a lesion's boxes, in the order of their slices.

    Args:
        maps: of the study.
        boxes: of one lesion; those that hold no pixel of the study are left out.
        name: of the lesion. A curve's is such as "lesion 1, slice 34", with the box's number where a slice has several.
        thresholds: of the classes; voxels enhance from `Thresholds.shown` on.

    Raises:
        KineticsError: the thresholds make no sense.
    """
    t = (Thresholds() if thresholds is None else thresholds).checked()
    boxes = sorted(boxes, key=lambda box: box.z)
    on_slice, seen = Counter(box.z for box in boxes), Counter[int]()
    found = []
    for box in boxes:
        seen[box.z] += 1
        said = f"{name}, slice {box.z}" + (f", box {seen[box.z]}" if on_slice[box.z] > 1 else "")
        try:
            area = area_of_boxes([box], maps.geometry.shape, said)
        except KineticsError:
            continue  # drawn on another study's grid
        enhancing = maps.tissue(area.place) & area.mask & (maps.initial[area.place] >= t.shown)
        part = Area(area.place, enhancing if enhancing.any() else area.mask, said, box.label)
        found.append(BoxCurve(area, curve_of(maps.volume, maps.choice, part)))
    return tuple(found)


def drawn_together(curves: tuple[BoxCurve, ...]) -> tuple[tuple[BoxCurve, ...], str]:
    """Those of many boxes that are drawn, in their order, and a sentence about the others; "" where there are none."""
    if len(curves) <= MOST_BOXES:
        return curves, ""
    largest = sorted(range(len(curves)), key=lambda number: -curves[number].area.voxels)[:MOST_BOXES]
    return (
        tuple(curves[number] for number in sorted(largest)),
        f"The {MOST_BOXES} largest of {len(curves)} boxes are drawn.",
    )
