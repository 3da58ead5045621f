"""A report of a case as one sheet of A4 in PDF, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core.colors import LABEL_COLORS
from ..files import taking_place
from ..page import RESEARCH_USE
from .case_report import CaseReport
from .errors import InferenceError
from .questions.course import draw

WIDTH, HEIGHT, MARGIN = 210.0, 297.0, 12.0
"""Millimetres."""

MOST_WARNINGS = 4
"""At the head of the sheet; more would push the pictures off it."""

LOWEST, REMOVAL = 22.0, 38.0
"""Millimetres that a plot needs at least; that of the questions with heading and legend."""

INK, GREY, RED, FRAME = "#1a1a1a", "#555555", "#b32400", "#d55e00"
_OTHER = "#56b4e9"
_LETTER = 0.198
"""Width of a letter in millimetres, for each point of its size: of the font that matplotlib brings, a little wide."""

_LINE = 0.46
"""Height of a line in millimetres, for each point."""


class _Sheet:
    """Places things on the page by millimetres from its top left corner."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(WIDTH / 25.4, HEIGHT / 25.4))

    def text(
        self,
        x: float,
        y: float,
        said: str,
        width: float,
        *,
        size: float = 8.0,
        colour: str = INK,
        bold: bool = False,
        most: int = 99,
    ) -> float:
        """Write wrapped text; the place below it. What does not fit into `most` lines ends in "…"."""
        lines = wrap(said, max(8, int(width / (_LETTER * size * (1.13 if bold else 1))))) or [""]
        if len(lines) > most:
            lines = lines[:most]
            lines[-1] = f"{lines[-1][:-2]} …"
        for line in lines:
            self.figure.text(
                x / WIDTH,
                1 - y / HEIGHT,
                line.replace("$", r"\$"),
                fontsize=size,
                color=colour,
                weight="bold" if bold else "normal",
                va="top",
            )
            y += _LINE * size
        return y

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes in a rectangle whose top left corner is given."""
        return self.figure.add_axes((x / WIDTH, 1 - (y + height) / HEIGHT, width / WIDTH, height / HEIGHT))

    def heading(self, x: float, y: float, said: str, width: float) -> float:
        """A heading with a line above it; the place below it."""
        from matplotlib.lines import Line2D

        line = Line2D(
            [x / WIDTH, (x + width) / WIDTH], [1 - y / HEIGHT] * 2, color=INK, linewidth=0.8,
            transform=self.figure.transFigure,
        )  # fmt: skip
        self.figure.add_artist(line)
        return self.text(x, y + 1.2, said, width, size=9.5, bold=True) + 0.8


def case_sheet(report: CaseReport) -> Figure:
    """The sheet, A4 upright. What it has no room for is on the HTML page."""
    sheet = _Sheet()
    whole = WIDTH - 2 * MARGIN
    y = sheet.text(MARGIN, MARGIN, report.title, whole - 45, size=15, bold=True, most=1)
    sheet.text(WIDTH - MARGIN - 40, MARGIN + 2, report.made, 40, size=7.5, colour=GREY, most=1)
    y = sheet.text(MARGIN, y + 0.5, RESEARCH_USE, whole, size=8.5, colour=FRAME, bold=True)
    for one in report.warnings[:MOST_WARNINGS]:
        y = sheet.text(MARGIN, y + 0.6, one, whole, size=7.5, colour=RED, most=2)
    if (more := len(report.warnings) - MOST_WARNINGS) > 0:
        said = f"… and {more} more {'warning' if more == 1 else 'warnings'} on the HTML page."
        y = sheet.text(MARGIN, y + 0.6, said, whole, size=7.5, colour=RED)
    half = (whole - 6) / 2
    left, right = MARGIN, MARGIN + half + 6
    y += 2.5
    top = y
    y = _scores(sheet, report, left, top, half) if report.scores else top
    y = max(y, _facts(sheet, report, right if report.scores else left, top, half))
    y = _slices(sheet, report, y + 2, whole)
    top = y + 2
    lower = _lesions(sheet, report, top, whole)
    bottom = HEIGHT - MARGIN - 4
    below = _curves(sheet, report, left, lower + 2, half, bottom - lower - 2)
    _removal(sheet, report, left, below + 2, half, bottom)
    _beside(sheet, report, right, lower + 2, half, bottom)
    sheet.text(
        MARGIN,
        HEIGHT - MARGIN - 1,
        "This report names nobody, unless its heading, a reader's note or letters in a picture do.",
        whole,
        size=6.5,
        colour=GREY,
    )
    return sheet.figure


def write_case_sheet(report: CaseReport, path: Path) -> Path:
    """Write the sheet as PDF, whole or not at all; the same report gives the same file.

    Raises:
        InferenceError: it cannot be written.
    """
    try:
        with taking_place(path) as part:
            case_sheet(report).savefig(
                part, format="pdf", metadata={"CreationDate": None, "Title": "Case report"}
            )
    except OSError as error:
        raise InferenceError(
            f"The report could not be written to {path} ({error.strerror or error}). Choose another place."
        ) from error
    return path


def _scores(sheet: _Sheet, report: CaseReport, x: float, y: float, width: float) -> float:
    y = sheet.heading(x, y, "What the model says", width)
    names = [one.label for one in report.scores]
    label = min(0.4 * width, 3 + _LETTER * 8 * max(len(name) for name in names))
    number = 0.28 * width if any(one.low is not None for one in report.scores) else 0.14 * width
    for one in report.scores:
        sheet.text(x, y, one.label, label, most=1)
        axes = sheet.axes(x + label, y + 0.4, width - label - number - 2, 2.8)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_axis_off()
        axes.barh(0.5, 1, 1, color="#e6e6e6")
        if one.value is not None:
            colour = LABEL_COLORS.get(one.label, _OTHER)
            if report.doubtful:
                axes.barh(0.5, one.value, 1, color="none", edgecolor=colour, hatch="/////", linewidth=0)
            else:
                axes.barh(0.5, one.value, 1, color=colour)
        if one.low is not None and one.high is not None:
            axes.plot([one.low, one.high], [0.5, 0.5], color=INK, linewidth=0.8, marker="|", markersize=4)
        sheet.text(x + width - number, y, one.text, number + 4, size=7.5 if one.low is None else 6.8, most=1)
        y += 4.6
    return sheet.text(x, y + 0.5, report.rule, width, size=6.5, colour=GREY, most=8)


def _facts(sheet: _Sheet, report: CaseReport, x: float, y: float, width: float) -> float:
    y = sheet.heading(x, y, "Study", width)
    for name, value in report.facts:
        y = sheet.text(x, y, f"{name}: {value}", width, size=7, most=5) + 0.4
    return y


def _slices(sheet: _Sheet, report: CaseReport, y: float, width: float) -> float:
    """The key slices side by side, the plain pictures above those with heat maps."""
    if not report.slices:
        return y
    y = sheet.heading(MARGIN, y, "Key slices", width)
    gap = 3.0
    first = report.slices[0].plain
    pictures = [[one.plain] if one.heat is None else [one.plain, one.heat] for one in report.slices]
    # A single slice has its pictures side by side; of more, each has them one above the other.
    beside = len(pictures) == 1
    rows = 1 if beside else len(pictures[0])
    # Curves of the questions need room below.
    across, highest = (2, 80.0) if beside else (3, 52.0 if report.removal is None else 40.0)
    # As wide as the page, unless they would push everything else off it.
    each = min((width - (across - 1) * gap) / across, highest * first.width / first.height)
    high = each * first.height / first.width
    for number, (one, shown) in enumerate(zip(report.slices, pictures, strict=True)):
        x = MARGIN + number * (each + gap)
        for place, picture in enumerate(shown):
            right, down = (place * (each + gap), 0.0) if beside else (0.0, place * (high + 1))
            axes = sheet.axes(x + right, y + down, each, high)
            axes.imshow(np.asarray(picture), aspect="auto", interpolation="antialiased")
            axes.set_axis_off()
        sheet.text(x, y + rows * (high + 1), one.caption, each, size=6.5, most=2)
    y += rows * (high + 1) + 2 * _LINE * 6.5 + 0.5
    return sheet.text(MARGIN, y, report.heat, width, size=6.5, colour=GREY, most=1) if report.heat else y


def _lesions(sheet: _Sheet, report: CaseReport, y: float, width: float) -> float:
    y = sheet.heading(MARGIN, y, "Lesions", width)
    if not report.lesion_rows:
        return sheet.text(MARGIN, y, "No box was drawn.", width, size=7.5)
    rows = [report.lesion_columns, *report.lesion_rows]
    lengths = [max(len(row[k]) for row in rows) + 2 for k in range(len(report.lesion_columns))]
    starts = np.concatenate([[0.0], np.cumsum(lengths)[:-1]]) * width / max(sum(lengths), 1)
    for number, row in enumerate(rows):
        for start, length, cell in zip(starts, lengths, row, strict=True):
            room = length * width / sum(lengths)
            sheet.text(MARGIN + start, y, cell, max(room, 12), size=7, bold=number == 0, most=1)
        y += 3.8
    return y


def _curves(sheet: _Sheet, report: CaseReport, x: float, y: float, width: float, height: float) -> float:
    """The place below them."""
    y = sheet.heading(x, y, "Enhancement over time", width)
    height -= 6
    if report.removal is not None and 0.55 * height > REMOVAL:
        height *= 0.45
    drawn = [one for one in report.curves if one.percent is not None]
    if not drawn or height < LOWEST:
        return sheet.text(x, y, report.curve_note or "No curve can be given.", width, size=7.5, most=4)
    from ..kinetics.plots import LINES

    axes = sheet.axes(x + 12, y + 1, width - 14, min(height, 62) - 13)
    timed = all(one.middles_s is not None for one in drawn)
    for number, one in enumerate(drawn):
        times = (
            one.middles_s
            if timed and one.middles_s
            else tuple(float(phase) for phase in range(len(one.signal)))
        )
        axes.plot(
            times,
            one.percent or (),
            marker="o",
            markersize=3,
            linewidth=1.2,
            color=LINES[number % len(LINES)],
            label=f"{one.name}: {one.kind().title}",
        )
    axes.set_xlabel("s after the first post-contrast start" if timed else "phase", fontsize=6.5)
    axes.set_ylabel("enhancement (%)", fontsize=6.5)
    axes.tick_params(labelsize=6.5)
    axes.grid(color="#e6e6e6")
    axes.set_axisbelow(True)
    axes.legend(fontsize=6, frameon=False)
    return y + min(height, 62)


def _removal(sheet: _Sheet, report: CaseReport, x: float, y: float, width: float, bottom: float) -> None:
    """The curves of deletion and insertion, where there is room; the HTML page has them anyway."""
    if report.removal is None or bottom - y < REMOVAL:
        return
    y = sheet.heading(x, y, "Score without the hottest", width) + 7  # and below the legend
    axes = sheet.axes(x + 12, y, width - 14, min(bottom - y - 9, 40))
    draw(axes, report.removal.lines, report.removal.label, 6.5)


def _beside(sheet: _Sheet, report: CaseReport, x: float, y: float, width: float, bottom: float) -> None:
    """Opinions, answers and the model, as far as the page reaches."""

    def listed(heading: str, lines: Sequence[tuple[str, bool]], y: float) -> float:
        if not lines or y > bottom - 10:
            return y
        y = sheet.heading(x, y, heading, width)
        for said, failed in lines:
            if y > bottom - 4:
                return sheet.text(x, y, "… the rest is on the HTML page.", width, size=6.5, colour=GREY)
            y = (
                sheet.text(x, y, said, width, size=7, colour=RED if failed else INK, bold=failed, most=2)
                + 0.3
            )
        return y + 1.5

    y = listed("What readers say", [(one, False) for one in report.opinions], y)
    y = listed(
        "Questions asked of the heat map", [(f"{a.question}: {a.value}", a.failed) for a in report.answers], y
    )
    taught = [one.sentence for one in report.taught] + [report.judged] * bool(report.judged)
    y = listed("What the model was taught to answer", [(one, False) for one in taught], y)
    listed("Model", [(one, False) for one in report.model], y)
