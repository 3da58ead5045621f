"""Agreement and pace of two raters as one figure. Colours are those of Okabe and Ito, told apart by everybody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..files import write_figure
from .agreement import Agreement
from .errors import AnnotationError
from .pace import REFERENCE_IMAGES_PER_HOUR, PaceReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
_MOST_NAMES = 24
"""Letters of a name that fit beside an axis."""


def agreement_figure(result: Agreement, speed: PaceReport | None = None) -> Figure:
    """Draw the IoUs of matched boxes, F1 of each class, the classes given to matched boxes, and the pace.

    Args:
        result: of `agreement`.
        speed: of the same readers; None leaves the panel with a word only.
    """
    figure = Figure(figsize=(11, 8), dpi=120, layout="constrained")
    panels = figure.subplots(2, 2)
    figure.suptitle(
        f"{_short(result.first)} (reference) and {_short(result.second)}: {len(result.cases)} cases, boxes match from "
        f"IoU {result.iou_threshold:g}",
        fontsize=13,
    )
    _overlaps(panels[0, 0], result)
    _f1(panels[0, 1], result)
    _confusion(panels[1, 0], result)
    _pace(panels[1, 1], result, speed)
    figure.text(0.995, 0.003, "Research use only", ha="right", va="bottom", fontsize=7, color=GREY)
    return figure


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG or SVG; the same figure gives the same file.

    Raises:
        AnnotationError: the ending is another one, or the file cannot be written.
    """
    path = Path(path)
    try:
        write_figure(figure, path)
    except ValueError as error:
        raise AnnotationError(str(error)) from error
    except OSError as error:
        raise AnnotationError(f"{path} cannot be written ({error.strerror or error}).") from error
    return path


def _overlaps(axes: Axes, result: Agreement) -> None:
    axes.set_title("Overlap of matches", loc="left")
    axes.set_xlabel("IoU")
    axes.set_ylabel("boxes")
    axes.set_xlim(min(result.iou_threshold, 0.95), 1)
    median = result.overall.iou_median.value
    if median is None:
        _word(axes, "no boxes match")
        return
    axes.hist(
        np.minimum(result.ious, 1.0),
        bins=np.linspace(min(result.iou_threshold, 0.95), 1, 11).tolist(),
        color=BLUE,
        edgecolor="white",
    )
    quartiles = result.overall.iou_quartiles or (median, median)
    axes.axvline(median, color=ORANGE, linewidth=2)
    axes.set_title(
        f"median {median:.2f}, quartiles {quartiles[0]:.2f} to {quartiles[1]:.2f}",
        loc="right",
        fontsize=9,
        color=ORANGE,
    )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _f1(axes: Axes, result: Agreement) -> None:
    axes.set_title("Detection: F1 with 95 % interval", loc="left")
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1")
    rows = [result.overall, *result.classes]
    names = [f"{_short(one.label)}\n{one.first_boxes} and {one.second_boxes} boxes" for one in rows]
    places = np.arange(len(rows))[::-1]
    axes.set_yticks(places, names)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    for place, one in zip(places, rows, strict=True):
        figure = one.f1
        colour = BLUE if one is result.overall else GREEN
        if figure.value is None:
            axes.text(0.02, place, "undefined", va="center", color=GREY)
            continue
        if figure.low is not None and figure.high is not None:
            axes.plot([figure.low, figure.high], [place, place], color=colour, linewidth=2)
        axes.plot(figure.value, place, "o", color=colour, markersize=8)
        axes.annotate(
            f"{figure.value:.2f}",
            (figure.value, place),
            (0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )


def _confusion(axes: Axes, result: Agreement) -> None:
    kappa = result.overall.label_kappa
    axes.set_title("Classes of matches", loc="left")
    if kappa.value is not None:
        axes.set_title(f"kappa {kappa}", loc="right", fontsize=9)
    counts = np.asarray(result.confusion)
    if not counts.sum():
        axes.set_xticks([])
        axes.set_yticks([])
        _word(axes, "no boxes match")
        return
    names = [_short(label, 16) for label in result.confusion_labels]
    axes.imshow(counts, cmap="Blues", vmin=0, vmax=max(1, int(counts.max())), aspect="auto")
    if len(names) > 3:
        axes.set_xticks(range(len(names)), names, rotation=25, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(_short(result.second))
    axes.set_ylabel(_short(result.first))
    for (row, column), count in np.ndenumerate(counts):
        dark = count > counts.max() / 2
        axes.text(
            column, row, str(count), ha="center", va="center", color="white" if dark else "black", fontsize=11
        )


def _pace(axes: Axes, result: Agreement, speed: PaceReport | None) -> None:
    axes.set_title("Pace", loc="left")
    wanted = (result.first, result.second)
    known = [one for one in speed.readers if one.reader in wanted] if speed is not None else []
    shown = [one for one in known if one.images_per_hour is not None]
    if not shown:
        axes.set_xticks([])
        axes.set_yticks([])
        _word(axes, "no times are known")
        return
    axes.set_xlabel("images an hour of active time")
    places = np.arange(len(shown))[::-1]
    values = [one.images_per_hour or 0.0 for one in shown]
    axes.barh(places, values, color=BLUE, height=0.5)
    axes.set_yticks(places, [_short(one.reader) for one in shown])
    axes.set_ylim(-0.8, len(shown) - 0.2)
    axes.set_xlim(0, 1.15 * max(*values, REFERENCE_IMAGES_PER_HOUR))
    axes.axvline(REFERENCE_IMAGES_PER_HOUR, color=ORANGE, linewidth=2, linestyle="--")
    axes.set_title(
        f"published: {REFERENCE_IMAGES_PER_HOUR:.0f} an hour", loc="right", fontsize=9, color=ORANGE
    )
    for place, one in zip(places, shown, strict=True):
        each = "" if one.seconds_per_box is None else f", {one.seconds_per_box:.1f} s a box"
        axes.text(
            0.01,
            place + 0.32,
            f"{one.images_per_hour:.0f} an hour: {one.images} images in {one.active_s / 60:.1f} min{each}",
            transform=axes.get_yaxis_transform(),
            va="bottom",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )


def _word(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=12)


def _short(name: str, most: int = _MOST_NAMES) -> str:
    # A dollar sign would begin a formula.
    text = name if len(name) <= most else f"{name[: most - 1]}…"
    return text.replace("$", r"\$")
