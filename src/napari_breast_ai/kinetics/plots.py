"""Pictures of curves, class maps and projections, as PNG or SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from ..core import Box, Geometry
from ..core.colors import OKABE_ITO
from ..files import write_figure
from .classes import CLASS_COLORS, CLASS_NAMES, Thresholds
from .curves import Curve
from .errors import KineticsError
from .maps import KineticMaps
from .projection import Projection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = tuple(
    OKABE_ITO[name] for name in ("blue", "vermilion", "green", "purple", "orange", "sky blue", "black")
)
GREY = "#666666"
_MOST_NAMES = 60


def curves_figure(
    curves: Sequence[Curve],
    thresholds: Thresholds | None = None,
    *,
    percent: bool = True,
    concentration: bool = False,
) -> Figure:
    """Curves over the phases' real times, each with its type; below them the rule that each type follows from.

    Args:
        curves: of one study, at least one.
        thresholds: of the classes.
        percent: per cent of the signal before contrast; else the scanner's units.
        concentration: the agent's, of those curves that have it, in place of both.

    Raises:
        KineticsError: there is no curve.
    """
    if not curves:
        raise KineticsError("There is no curve to draw. Point at a voxel, or draw a box.")
    rules = [
        line
        for one in curves
        for line in wrap(f"{_plain(one.name)}: {one.kind(thresholds).rule}", 150, subsequent_indent="    ")
    ]
    figure = Figure(figsize=(8.5, 4.8 + 0.2 * len(rules)), dpi=120, layout="constrained")
    axes = figure.subplots()
    timed = all(one.middles_s is not None for one in curves)
    for number, one in enumerate(curves):
        colour = LINES[number % len(LINES)]
        x = one.middles_s if timed and one.middles_s is not None else tuple(range(len(one.signal)))
        y = one.mM if concentration else one.percent if percent else one.signal
        if y is None:
            continue
        axes.plot(
            x, y, marker="o", markersize=4, color=colour, linewidth=1.8,
            linestyle=("-", "--", ":")[number // len(LINES) % 3],
            label=f"{_plain(one.name)}: {one.kind(thresholds).title}",
        )  # fmt: skip
    choice = curves[0].choice
    for phase, name in ((choice.pre, "before"), (choice.early, "early"), (choice.late, "late")):
        if phase is not None:
            middles = curves[0].middles_s
            at = middles[phase] if timed and middles is not None else phase
            axes.axvline(at, color=GREY, linewidth=0.8, linestyle=":")
            axes.text(
                at, 1.005, name, transform=axes.get_xaxis_transform(), ha="center", fontsize=8, color=GREY
            )
    axes.set_xlabel(
        "seconds after the first post-contrast start (middle of each phase)"
        if timed
        else "phase (times unknown)"
    )
    axes.set_ylabel(
        "concentration of the agent (mM)"
        if concentration
        else "enhancement over the signal before contrast (%)"
        if percent
        else "signal (scanner's units)"
    )
    axes.grid(color="#e6e6e6")
    axes.set_axisbelow(True)
    if axes.lines[: len(curves)]:
        axes.legend(fontsize=8, loc="best")
    figure.supxlabel("\n".join([*rules, "Research use only"]), fontsize=7, color=GREY, x=0.01, ha="left")
    return figure


def class_figure(
    maps: KineticMaps, z: int, thresholds: Thresholds | None = None, boxes: Iterable[Box] = ()
) -> Figure:
    """The kinetic classes of a slice over its early phase, with the boxes on it.

    Args:
        maps: of the study.
        z: slice.
        thresholds: of the classes.
        boxes: of any slice; those of this one are drawn.
    """
    t = Thresholds() if thresholds is None else thresholds
    figure = Figure(figsize=(8, 6.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    image = np.nan_to_num(maps.volume.data[maps.choice.early, z].astype(np.float32))
    codes = maps.classes(z, t)
    dy, dx = maps.geometry.spacing[1:]
    axes.imshow(image, cmap="gray", vmin=0, vmax=max(1e-6, float(np.percentile(image, 99.5))), aspect=dy / dx)
    axes.imshow(
        codes,
        cmap=ListedColormap(CLASS_COLORS),
        norm=BoundaryNorm(np.arange(len(CLASS_NAMES) + 1) - 0.5, len(CLASS_NAMES)),
        interpolation="nearest",
        aspect=dy / dx,
    )
    for box in boxes:
        if box.z == z:
            axes.add_patch(
                Rectangle(
                    (box.x0, box.y0), box.x1 - box.x0, box.y1 - box.y0, fill=False, edgecolor="white", linewidth=1.2
                )
            )  # fmt: skip
    shown = [code for code in range(1, len(CLASS_NAMES)) if (codes == code).any()]
    if shown:
        handles = [Patch(color=CLASS_COLORS[code], label=CLASS_NAMES[code]) for code in shown]
        figure.legend(handles=handles, loc="outside right upper", fontsize=8)
    axes.set_title(f"Slice {z}: initial enhancement from {t.shown:g} %", fontsize=10, loc="left")
    axes.set_axis_off()
    _research(figure)
    return figure


def projection_figure(projections: Sequence[Projection]) -> Figure:
    """Projections side by side, in millimetres, with the patient's head up where the image has one.

    Raises:
        KineticsError: there is none.
    """
    if not projections:
        raise KineticsError("There is no projection to draw.")
    figure = Figure(figsize=(4.4 * len(projections), 4.8), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(projections), squeeze=False)[0]
    for axes, one in zip(panels, projections, strict=True):
        _projection(axes, one)
    _research(figure)
    return figure


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG or SVG; the same figure gives the same file.

    Raises:
        KineticsError: the ending is another one, or the file cannot be written.
    """
    path = Path(path)
    try:
        write_figure(figure, path)
    except ValueError as error:
        raise KineticsError(str(error)) from error
    except OSError as error:
        raise KineticsError(
            f"“{path}” could not be written ({error.strerror or error}); choose a place that you may write to, with "
            "enough space."
        ) from error
    return path


def _projection(axes: Axes, one: Projection) -> None:
    pixels, geometry = one.pixels, one.geometry
    if geometry.directions["down"] == "F-H":
        pixels = pixels[::-1]
    _, dy, dx = geometry.spacing
    low, high = float(np.percentile(pixels, 1)), float(np.percentile(pixels, 99.8))
    axes.imshow(pixels, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=dy / dx)
    axes.set_title(one.name, fontsize=9, loc="left")
    axes.text(0.01, 0.01, _sides(geometry), transform=axes.transAxes, color="white", fontsize=8)
    axes.set_axis_off()


def _sides(geometry: Geometry) -> str:
    down = geometry.directions["down"]
    return f"{geometry.directions['across']}, {'H-F' if down == 'F-H' else down}"


def _research(figure: Figure) -> None:
    figure.text(0.995, 0.003, "Research use only", ha="right", va="bottom", fontsize=7, color=GREY)


def _plain(name: str) -> str:
    """No formula, and no longer than fits."""
    text = name if len(name) <= _MOST_NAMES else f"{name[: _MOST_NAMES - 1]}…"
    return text.replace("$", r"\$")
