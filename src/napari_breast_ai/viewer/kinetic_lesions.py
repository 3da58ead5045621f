"""The figures of every lesion: of its boxes, of its region, of what was painted. Measured behind the screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import Signal

from ..annotations.lesions import Lesion, lesions
from ..core import BreastAIError, Progress
from .soon import Soon

if TYPE_CHECKING:
    from ..kinetics import Area, BoxCurve, Curve, KineticMaps, LesionKinetics, Size, Thresholds
    from .kinetic_regions import Mask
    from .kinetics import Kinetics
    from .session import Session

MEASURE = "measure"
WAIT_MS = 120
"""A slider that moves asks for figures many times a second: they are made when it has come to rest for so long."""

MOST_LABELS = 255


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of one lesion, or of one region.

    Attributes:
        key: of the lesion; of a painted region its layer and number.
        name: for people, the same in table, curves and files.
        label: the class of its boxes, or "".
        area: its voxels.
        figures: its row of the table.
        size: volume and three diameters of a region; None of boxes, whose own edges say nothing of a diameter.
        worst: curve of the most suspicious 3 × 3 of its largest box; None where there is none.
        number: of the region in its layer; 0 for boxes.
        slices: its first and last slice.
        boxes: curves of its single boxes; none of a region.
    """

    key: str
    name: str
    label: str
    area: Area
    figures: LesionKinetics
    size: Size | None
    worst: Curve | None
    worst_area: Area | None
    number: int
    slices: tuple[int, int]
    boxes: tuple[BoxCurve, ...] = ()

    def row(self) -> dict[str, str]:
        """The row of the table, with the diameters of a region."""
        row = self.figures.row()
        remarks = row.pop("remarks")
        for name, value in zip(
            ("longest diameter (mm)", "across it (mm)", "through the slices (mm)"),
            (None,) * 3
            if self.size is None
            else (self.size.longest_mm, self.size.across_mm, self.size.through_mm),
            strict=True,
        ):
            row[name] = "" if value is None else f"{value:.1f}"
        row["remarks"] = remarks
        return row


class Lesions:
    """Measures what is boxed and painted, anew with every change; the last figures stay until new ones are there.

    Attributes:
        found: the figures.
        current: the key of the lesion that is meant, or "".
        changed: emitted when there are new figures. current_changed: when another lesion is meant.
    """

    changed: ClassVar[Signal] = Signal()
    current_changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session, kinetics: Kinetics) -> None:
        self._session, self._kinetics = session, kinetics
        self.found: tuple[Measured, ...] = ()
        self.current = ""
        self._soon = Soon(self.measure, WAIT_MS)
        self._stopped = False
        self._watched: Any = None
        for signal in (kinetics.changed, kinetics.thresholds_changed, session.boxes_changed):
            signal.connect(self._later)
        kinetics.regions.changed.connect(self._later)
        session.boxes_changed.connect(self._follow)
        session.boxes.mode_changed.connect(self._follow)

    @property
    def groups(self) -> tuple[Lesion, ...]:
        """The lesions that are boxed."""
        journal = self._session.journal
        return lesions(journal.boxes) if journal is not None and self._session.volume is not None else ()

    @property
    def lesion(self) -> Lesion | None:
        """The lesion that is meant: the chosen one, else the first; None where a painted region is meant."""
        groups = self.groups
        if any(one.key == self.current for one in self.found) or not groups:
            return next((one for one in groups if one.key == self.current), None)
        return next((one for one in groups if one.key == self.current), groups[0])

    @property
    def measured(self) -> Measured | None:
        """The figures of what is meant, its region's first."""
        known = {one.key for one in self.found}
        key = self.current if self.current in known else next((one.key for one in self.found), "")
        return next((one for one in reversed(self.found) if one.key == key), None)

    def choose(self, key: str, go: bool = True) -> None:
        """Mean another lesion, and show its middle slice."""
        group = next((one for one in self.groups if one.key == key), None)
        if group is not None and go:
            here = [box for box in group.boxes if box.z == self._session.slice_index]
            box = here[0] if here else group.boxes[len(group.boxes) // 2]
            self._session.go_to(box.z)
            self._session.boxes.select(box.id)
        elif go:
            found = next((one for one in self.found if one.key == key), None)
            if found is not None and not found.slices[0] <= self._session.slice_index <= found.slices[1]:
                self._session.go_to(sum(found.slices) // 2)
        self._mean(key)

    def _mean(self, key: str) -> None:
        if key != self.current:
            self.current = key
            self.current_changed.emit()

    def _follow(self, event: Any = None) -> None:
        """Mean the lesion of the box that is selected, or was drawn last."""
        boxes, journal = self._session.boxes, self._session.journal
        layer = boxes.layer
        if layer is not self._watched:
            self._watched = layer
            if layer is not None:
                layer.selected_data.events.items_changed.connect(self._follow)
        if journal is None:
            return
        known = {box.id: box.lesion or box.id for box in journal.boxes}
        chosen = [known[one] for one in boxes.selected if one in known]
        if len(set(chosen)) == 1:
            self._mean(chosen[0])
        elif not chosen and boxes.last in known and self.current not in known.values():
            self._mean(known[boxes.last])

    # --------------------------------------------------------------- measuring

    def _later(self) -> None:
        if self._stopped or (not self._kinetics.on and not self.found):
            return
        self._soon.ask()

    def forget(self) -> None:
        """Another study: figures and curves of this one have other phases, and must not be drawn over its times."""
        self._session.workers.cancel(MEASURE)
        if self.found:
            self.found = ()
            self.changed.emit()

    def stop(self) -> None:
        """Measure no more: the window closes."""
        self._stopped = True
        self._soon.stop()

    def measure(self) -> None:
        """Measure everything, in a thread."""
        session, kinetics = self._session, self._kinetics
        maps, thresholds = kinetics.maps, kinetics.thresholds
        try:
            groups = self.groups
            # A brush may go on while they are measured.
            masks = [replace(one, data=one.data.copy()) for one in kinetics.regions.masks()]
        except ReferenceError:  # the window has gone meanwhile
            return
        if maps is None or not kinetics.on or (not groups and not masks):
            session.workers.cancel(MEASURE)
            if self.found:
                self.found = ()
                self.changed.emit()
            return
        owners = {one.number: key for key, one in kinetics.regions.grown.items()}

        def work(progress: Progress) -> tuple[Measured, ...]:
            return measure(maps, thresholds, groups, masks, owners, progress)

        def done(found: tuple[Measured, ...]) -> None:
            if kinetics.maps is maps and kinetics.on:
                self.found = found
                self.changed.emit()

        session.workers.start(
            MEASURE, "Measure the lesions", work, done=done, failed=session.fail, quiet=True
        )


def measure(
    maps: KineticMaps,
    thresholds: Thresholds,
    groups: Sequence[Lesion],
    masks: Sequence[Mask],
    owners: dict[int, str],
    progress: Progress,
) -> tuple[Measured, ...]:
    """Measure lesions by their boxes, and every label of the masks.

    Args:
        maps: of the study.
        thresholds: of the classes.
        groups: lesions that are boxed.
        masks: labels on the study's grid.
        owners: the lesion's key of each label of our own mask that was grown from boxes.
        progress: may raise `Cancelled`.
    """
    from ..kinetics import (
        area_of_boxes,
        curve_of,
        curves_of_boxes,
        lesion_kinetics,
        most_suspicious,
        size_of,
    )

    found = []
    names = {one.key: f"Lesion {number}" for number, one in enumerate(groups, start=1)}
    total = len(groups) + len(masks)
    for number, group in enumerate(groups):
        progress(number, total, "Measuring")
        try:
            area = area_of_boxes(group.boxes, maps.geometry.shape, names[group.key])
        except BreastAIError:
            continue  # drawn on another study's grid, and outside of this one
        figures = lesion_kinetics(maps, area, thresholds)
        worst: Curve | None = None
        try:
            place = most_suspicious(maps, max(group.boxes, key=lambda box: box.area), thresholds)
            worst = replace(curve_of(maps.volume, maps.choice, place), name=f"{area.name}, worst 3 × 3")
        except BreastAIError:
            place = None  # too small for one: the table says nothing of it
        slices = group.boxes[0].z, group.boxes[-1].z
        single = curves_of_boxes(maps, group.boxes, area.name, thresholds)
        found.append(
            Measured(group.key, area.name, group.label, area, figures, None, worst, place, 0, slices, single)
        )
    for number, mask in enumerate(masks):
        progress(len(groups) + number, total, "Measuring")
        for value, area in _labelled(mask):
            key = owners.get(value, "") if mask.ours else ""
            name = f"{names[key]}, region" if key in names else f"{mask.name}, {value}"
            label = next((one.label for one in groups if one.key == key), "")
            area = replace(area, name=name, label=label)
            z = area.place[0]
            found.append(
                Measured(
                    key or name,
                    name,
                    label,
                    area,
                    lesion_kinetics(maps, area, thresholds),
                    size_of(area, maps.geometry),
                    None,
                    None,
                    value,
                    (z.start, z.stop - 1),
                )
            )
    # A region stands behind its lesion.
    order = {one.key: number for number, one in enumerate(groups)}
    return tuple(sorted(found, key=lambda one: order.get(one.key, len(order))))


def _labelled(mask: Mask) -> list[tuple[int, Area]]:
    """Each label of a mask, with its voxels."""
    from scipy import ndimage

    from ..kinetics import Area

    data = mask.data
    if data.dtype.kind not in "iu":
        data = data.astype("int64")
    found = []
    # Labels of a segmentation of cells or the like: nobody wants a table of thousands.
    last = min(int(data.max()), MOST_LABELS)
    for value, place in enumerate(ndimage.find_objects(data, last), start=1):
        if place is not None:
            found.append((value, Area(place, data[place] == value)))
    return found
