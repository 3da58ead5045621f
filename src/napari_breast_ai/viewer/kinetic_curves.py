"""Time-intensity curves: of the place under the pointer, of kept places, of lesions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from psygnal import Signal

from ..core import BreastAIError
from ..core.colors import OKABE_ITO

if TYPE_CHECKING:
    from ..kinetics import Area, BoxCurve, Curve
    from .kinetics import Kinetics
    from .session import Session

Unit = Literal["percent", "signal", "concentration"]
Which = Literal["chosen", "all", "boxes", "all boxes", "none"]

COLORS = tuple(
    OKABE_ITO[name] for name in ("vermilion", "sky blue", "green", "purple", "yellow", "orange", "blue")
)
POINTER_COLOR = "#b8b8b8"
MOST_KEPT = 6


@dataclass(frozen=True, eq=False)
class Drawn:
    """A curve on the plot.

    Attributes:
        curve: signals, per cents, times.
        color: #rrggbb.
        strong: whether it stands out.
        area: what it is of.
        dashed: another curve has the same colour.
    """

    curve: Curve
    color: str
    strong: bool
    area: Area
    dashed: bool = False

    def values(self, unit: Unit) -> tuple[float, ...] | None:
        """One a phase; None where they are undefined in that unit."""
        return {"percent": self.curve.percent, "signal": self.curve.signal, "concentration": self.curve.mM}[
            unit
        ]


class Curves:
    """Which curves are drawn, and how.

    Attributes:
        unit: "percent" of the signal before contrast, "signal", or "concentration" in mM.
        size: pixels across at the pointer: 1, or 3 for the mean of 3 × 3.
        which: of the lesions: the chosen one, all, the boxes of the chosen one, of all, or none.
        worst: draw the most suspicious 3 × 3 of each lesion too.
        pointer: the curve under the pointer; None while it is not over the images.
        changed: emitted when curves or settings change.
    """

    changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session, kinetics: Kinetics) -> None:
        self._session, self._kinetics = session, kinetics
        self.unit: Unit = "percent"
        self.size = 1
        self.which: Which = "chosen"
        self.worst = True
        self.pointer: Drawn | None = None
        self._kept: list[Area] = []
        self._place: tuple[int, int, int] | None = None
        # Before it was over the images the pointer is said to be at their corner.
        self._moved = False
        self._moves = session.viewer.mouse_move_callbacks
        self._moves.append(self._on_move)
        session.position_changed.connect(self._on_pointer)
        kinetics.changed.connect(self._on_phases)
        for signal in (
            kinetics.thresholds_changed,
            kinetics.lesions.changed,
            kinetics.lesions.current_changed,
        ):
            signal.connect(self.changed.emit)

    def set(self, **changes: Any) -> None:
        """Change `unit`, `size`, `which`, `worst`."""
        for name, value in changes.items():
            setattr(self, name, value)
        self._place = None
        self._on_pointer()
        self.changed.emit()

    def drawn(self) -> list[Drawn]:
        """All curves, those of lesions first, that of the pointer last."""
        kinetics = self._kinetics
        volume, choice = kinetics.volume, kinetics.choice
        if not kinetics.on or volume is None or choice is None or not kinetics.arrived:
            return []
        found = [*self._of_lesions(), *((one.area, one.curve, True) for one in self._boxes()[0])]
        for area in self._kept:
            found.append((area, self._curve(area), True))
        drawn = [
            Drawn(
                replace(curve, mM=self._mM(area)),
                COLORS[number % len(COLORS)],
                strong,
                area,
                number // len(COLORS) % 2 == 1,
            )
            for number, (area, curve, strong) in enumerate(found)
        ]
        return [*drawn, *([] if self.pointer is None else [self.pointer])]

    @property
    def remark(self) -> str:
        """A sentence about boxes that are not drawn; "" where all are."""
        return self._boxes()[1]

    def _of_lesions(self) -> list[tuple[Area, Curve, bool]]:
        """Mean and worst curve of the lesions that are wanted, and whether they stand out."""
        found: list[tuple[Area, Curve, bool]] = []
        lesions = self._kinetics.lesions
        chosen = lesions.measured
        for one in lesions.found if self.which in ("chosen", "all") else ():
            mine = chosen is not None and one.key == chosen.key
            if self.which == "all" or mine:
                found.append((one.area, one.figures.curve, mine or chosen is None))
                if self.worst and one.worst is not None and one.worst_area is not None:
                    found.append((one.worst_area, one.worst, mine or chosen is None))
        return found

    def _boxes(self) -> tuple[tuple[BoxCurve, ...], str]:
        """Curves of the boxes that are wanted, and a sentence about those for which there is no room."""
        from ..kinetics import drawn_together

        lesions = self._kinetics.lesions
        chosen = lesions.measured
        if not self._kinetics.on or self.which not in ("boxes", "all boxes"):
            return (), ""
        wanted = [
            single
            for one in lesions.found
            if self.which == "all boxes" or (chosen is not None and one.key == chosen.key)
            for single in one.boxes
        ]
        return drawn_together(tuple(wanted))

    def keep(self) -> None:
        """Keep the curve under the pointer."""
        if self.pointer is None:
            self._session.say(
                "Point at the image first: the curve under the pointer is the one that is kept."
            )
        elif len(self._kept) == MOST_KEPT:
            self._session.say(f"{MOST_KEPT} curves are kept already. Clear them first.")
        else:
            self._kept.append(self.pointer.area)
            self.changed.emit()

    @property
    def kept(self) -> int:
        """How many curves are kept."""
        return len(self._kept)

    def clear(self) -> None:
        """Keep none of them."""
        self._kept.clear()
        self.changed.emit()

    def forget(self) -> None:
        """Another study: its places are not this one's."""
        self._kept.clear()
        self.pointer = self._place = None

    @property
    def has_concentration(self) -> bool:
        """Whether signals can be turned into concentrations."""
        return self._kinetics.exchange.convertible

    # ----------------------------------------------------------------- pointer

    def remove(self) -> None:
        """Follow the pointer no more."""
        if self._on_move in self._moves:
            self._moves.remove(self._on_move)

    def _on_move(self, viewer: Any, event: Any) -> None:
        self._moved = True
        self._on_pointer()

    def _on_phases(self) -> None:
        self._place = None
        self._on_pointer()
        self.changed.emit()

    def _on_pointer(self, event: Any = None) -> None:
        """Follow the pointer; nothing is drawn anew while it stays on a pixel."""
        session, kinetics = self._session, self._kinetics
        volume, choice = kinetics.volume, kinetics.choice
        place = None
        if not kinetics.arrived:
            return
        if kinetics.on and volume is not None and choice is not None and session.viewer.dims.ndisplay == 2:
            at = session.editing.pointer()
            if at is not None and self._moved and self._read(session.slice_index):
                place = (session.slice_index, round(at[0]), round(at[1]))
        if place == self._place and (place is None) == (self.pointer is None):
            return
        self._place = place
        if place is None or volume is None:
            if self.pointer is not None:
                self.pointer = None
                self.changed.emit()
            return
        from ..kinetics import area_of_voxel

        _, rows, columns = volume.geometry.shape
        inside = (place[0], min(max(place[1], 0), rows - 1), min(max(place[2], 0), columns - 1))
        area = area_of_voxel(inside, volume.geometry.shape, self.size)
        self.pointer = Drawn(replace(self._curve(area), mM=self._mM(area)), POINTER_COLOR, False, area)
        self.changed.emit()

    def _read(self, z: int) -> bool:
        """Whether all phases of a slice are there: one that is not read yet would look like washout."""
        loader = self._session.loader
        return loader is None or loader.complete or bool(loader.loaded[:, z].all())

    def _curve(self, area: Area) -> Curve:
        from ..kinetics import curve_of

        assert self._kinetics.volume is not None and self._kinetics.choice is not None
        return curve_of(self._kinetics.volume, self._kinetics.choice, area)

    def _mM(self, area: Area) -> tuple[float, ...] | None:
        if self.unit != "concentration":
            return None
        try:
            return self._kinetics.exchange.concentration(area)
        except BreastAIError:
            return None  # air, or a saturated signal: there is no concentration to draw
