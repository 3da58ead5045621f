"""The report's figures as SVG, drawn by hand: no library, no script, the same bytes every time.

Lines and areas differ in colour and in dash or mark, so that a print in grey and any eye can tell them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from ..core.colors import OKABE_ITO
from .calibration import Bin
from .figures import FloatArray
from .roc import OperatingPoint, Roc

STYLES = (
    (OKABE_ITO["blue"], ""),
    (OKABE_ITO["vermilion"], "7 3"),
    (OKABE_ITO["green"], "2 3"),
    (OKABE_ITO["purple"], "9 3 2 3"),
    (OKABE_ITO["black"], "4 2"),
    (OKABE_ITO["orange"], "1 2"),
)
"""Colour and dash of the first line, the second, and so on."""

_LEFT, _TOP, _BOTTOM, _RIGHT = 60, 12, 42, 14


@dataclass(frozen=True, eq=False)
class Line:
    """A line through (x, y), with its name for the legend."""

    x: FloatArray
    y: FloatArray
    name: str


class Plot:
    """Axes in a picture of `width` × `height` units, onto which lines, bands and marks are put."""

    def __init__(
        self,
        title: str,
        x: tuple[float, float, str],
        y: tuple[float, float, str],
        width: int = 340,
        height: int = 330,
    ) -> None:
        """Draw the axes.

        Args:
            title: read aloud in place of the picture.
            x, y: lowest and highest value, and what it is.
            width, height: of the picture.
        """
        self._x, self._y, self._size, self._title = x, y, (width, height), title
        self._parts: list[str] = []
        self._legend: list[tuple[str, str]] = []
        inner = (width - _LEFT - _RIGHT, height - _TOP - _BOTTOM)
        for value in _ticks(*x[:2]):
            at = self._at(value, y[0])[0]
            self._parts.append(
                f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_TOP + inner[1]}"/>'
            )
            self._parts.append(
                f'<text class="tick" x="{at:.1f}" y="{_TOP + inner[1] + 15}" text-anchor="middle">{value:g}</text>'
            )
        for value in _ticks(*y[:2]):
            at = self._at(x[0], value)[1]
            self._parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + inner[0]}" y1="{at:.1f}" y2="{at:.1f}"/>'
            )
            self._parts.append(
                f'<text class="tick" x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>'
            )
        middle = (_LEFT + inner[0] / 2, _TOP + inner[1] / 2)
        self._parts.append(
            f'<text class="axis" x="{middle[0]:.0f}" y="{height - 8}" text-anchor="middle">{escape(x[2])}</text>'
            f'<text class="axis" transform="translate(14 {middle[1]:.0f}) rotate(-90)" text-anchor="middle">'
            f"{escape(y[2])}</text>"
        )
        self._frame = f'<rect class="frame" x="{_LEFT}" y="{_TOP}" width="{inner[0]}" height="{inner[1]}"/>'

    def _at(self, x: float, y: float) -> tuple[float, float]:
        width, height = self._size
        across = (x - self._x[0]) / (self._x[1] - self._x[0])
        up = (y - self._y[0]) / (self._y[1] - self._y[0])
        return (
            _LEFT + across * (width - _LEFT - _RIGHT),
            height - _BOTTOM - up * (height - _TOP - _BOTTOM),
        )

    def _points(self, x: ArrayLike, y: ArrayLike) -> str:
        pairs = zip(np.asarray(x, float).tolist(), np.asarray(y, float).tolist(), strict=True)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in (self._at(*pair) for pair in pairs))

    def line(self, x: ArrayLike, y: ArrayLike, name: str, style: int = 0) -> None:
        """Add a line."""
        color, dash = STYLES[style % len(STYLES)]
        look = (
            f'fill="none" stroke="{color}" stroke-width="2" stroke-linejoin="round" stroke-dasharray="{dash}"'
        )
        self._parts.append(f'<polyline points="{self._points(x, y)}" {look}/>')
        self._legend.append((f'<line x1="0" x2="26" y1="-4" y2="-4" {look}/>', name))

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, name: str = "", style: int = 0) -> None:
        """Add an area between two lines."""
        color = STYLES[style % len(STYLES)][0]
        xs, lows, highs = (np.asarray(v, float) for v in (x, low, high))
        points = self._points(np.r_[xs, xs[::-1]], np.r_[lows, highs[::-1]])
        self._parts.append(f'<polygon points="{points}" fill="{color}" fill-opacity="0.16" stroke="none"/>')
        if name:
            self._legend.append(
                (f'<rect x="0" y="-10" width="26" height="11" fill="{color}" fill-opacity="0.16"/>', name)
            )

    def diagonal(self, name: str) -> None:
        """Add the line from one corner to the other."""
        look = 'stroke="#777" stroke-width="1" stroke-dasharray="3 3"'
        (x1, y1), (x2, y2) = self._at(self._x[0], self._y[0]), self._at(self._x[1], self._y[1])
        self._parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {look}/>')
        self._legend.append((f'<line x1="0" x2="26" y1="-4" y2="-4" {look}/>', name))

    def upright(self, x: float, name: str) -> None:
        """Add a line from bottom to top."""
        look = 'stroke="#444" stroke-width="1" stroke-dasharray="3 2"'
        at = self._at(x, self._y[0])[0]
        self._parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{self._size[1] - _BOTTOM}" {look}/>'
        )
        self._legend.append((f'<line x1="0" x2="26" y1="-4" y2="-4" {look}/>', name))

    def mark(self, x: float, y: float, name: str = "", style: int = 0, r: float = 4.5) -> None:
        """Add a dot."""
        look = f'r="{r:g}" fill="{STYLES[style % len(STYLES)][0]}" stroke="#fff" stroke-width="1"'
        a, b = self._at(x, y)
        self._parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" {look}/>')
        if name:
            self._legend.append((f'<circle cx="13" cy="-4" {look}/>', name))

    def whisker(self, x: float, low: float, high: float, style: int = 0) -> None:
        """Add an interval."""
        color = STYLES[style % len(STYLES)][0]
        (a, bottom), (_, top) = self._at(x, low), self._at(x, high)
        self._parts.append(
            f'<path d="M{a - 3:.1f} {bottom:.1f}h6M{a - 3:.1f} {top:.1f}h6M{a:.1f} {bottom:.1f}V{top:.1f}" '
            f'stroke="{color}" stroke-width="1.2" fill="none"/>'
        )

    def svg(self) -> str:
        """The picture, its legend below."""
        width, height = self._size
        rows = "".join(
            f'<g transform="translate({_LEFT} {height + 14 + 17 * i})">{sign}'
            f'<text class="tick" x="33" y="0">{escape(name)}</text></g>'
            for i, (sign, name) in enumerate(self._legend)
        )
        tall = height + 17 * len(self._legend) + (6 if self._legend else 0)
        return (
            f'<svg viewBox="0 0 {width} {tall}" width="{width}" role="img" aria-label="{escape(self._title)}">'
            f"{self._frame}{''.join(self._parts)}{rows}</svg>"
        )


def roc_svg(
    curve: Roc,
    band: tuple[FloatArray, FloatArray] | None,
    grid: FloatArray,
    point: tuple[OperatingPoint, float, float] | None,
    title: str,
) -> str:
    """A ROC curve with its band and, given (point, sensitivity, specificity) here, where the model is used."""
    plot = Plot(title, (0, 1, "1 − specificity"), (0, 1, "sensitivity"))
    if band is not None:
        plot.band(grid, *band, "95 % at each point (patient bootstrap)")
    plot.diagonal("guessing")
    plot.line(curve.fpr, curve.tpr, "ROC curve")
    if point is not None:
        chosen, sensitivity, specificity = point
        plot.mark(
            1 - specificity, sensitivity, f"threshold {chosen.threshold:.3f}, chosen on other patients", 1
        )
    return plot.svg()


def reliability_svg(before: Sequence[Bin], after: Sequence[Bin] | None, title: str) -> str:
    """Shares of positives against scores, as given and, where there is one, at the fitted temperature."""
    plot = Plot(title, (0, 1, "score (mean of the bin)"), (0, 1, "share of positives"))
    plot.diagonal("scores that are probabilities")
    for style, (curve, name) in enumerate(((before, "as given"), (after or (), "at the fitted temperature"))):
        # Points of both may lie on one another; the second is put a little to the right.
        shift = 0.006 * style
        for one in curve:
            plot.whisker(one.mean + shift, one.observed.low, one.observed.high, style)
        if curve:
            plot.line([b.mean + shift for b in curve], [b.observed.value for b in curve], name, style)
        for one in curve:
            plot.mark(
                one.mean + shift, one.observed.value, "", style, 2.5 + min(4.0, one.observed.n**0.5 / 3)
            )
    return plot.svg()


def lines_svg(lines: Sequence[Line], x: str, y: str, title: str, kept: float | None = None) -> str:
    """Lines over one another, such as a figure in each epoch; `kept` marks an x."""
    everything = np.concatenate([line.y for line in lines])
    everything = everything[np.isfinite(everything)]
    low, high = (float(everything.min()), float(everything.max())) if len(everything) else (0.0, 1.0)
    room = (high - low) * 0.06 or 0.05
    xs = np.concatenate([line.x for line in lines])
    left, right = float(xs.min()), float(xs.max())
    plot = Plot(title, (left, right if right > left else left + 1, x), (low - room, high + room, y), 400, 280)
    if kept is not None:
        plot.upright(kept, f"kept: {kept:g}")
    for style, line in enumerate(lines):
        good = np.isfinite(line.y)
        plot.line(line.x[good], line.y[good], line.name, style)
        if good.sum() == 1:
            plot.mark(float(line.x[good][0]), float(line.y[good][0]), "", style)
    return plot.svg()


def forest_svg(
    rows: Sequence[tuple[str, float, float | None, float | None]], title: str, guess: float = 0.5
) -> str:
    """Figures with intervals below one another: name, value, low, high; an upright line where guessing lies."""
    left, right, step, top = 190, 90, 24, 10
    width, bottom = 640, top + step * len(rows)
    lowest = min([0.5, *(low if low is not None else value for _, value, low, _ in rows)])
    start = max(0.0, float(np.floor(lowest * 10 - 1e-9)) / 10)

    def at(value: float) -> float:
        return left + (value - start) / (1 - start) * (width - left - right)

    parts = []
    for value in _ticks(start, 1):
        parts.append(
            f'<line class="grid" x1="{at(value):.1f}" x2="{at(value):.1f}" y1="{top}" y2="{bottom}"/>'
        )
        parts.append(
            f'<text class="tick" x="{at(value):.1f}" y="{bottom + 15}" text-anchor="middle">{value:g}</text>'
        )
    parts.append(f'<line x1="{at(guess):.1f}" x2="{at(guess):.1f}" y1="{top}" y2="{bottom}" stroke="#555"/>')
    parts.append(
        f'<text class="tick" x="{at(guess):.1f}" y="{bottom + 29}" text-anchor="middle">guessing</text>'
    )
    blue = OKABE_ITO["blue"]
    for i, (name, value, low, high) in enumerate(rows):
        y = top + step * i + step / 2
        parts.append(
            f'<text class="tick" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(_short(name))}</text>'
        )
        if low is not None and high is not None:
            parts.append(
                f'<path d="M{at(low):.1f} {y - 4:.1f}v8M{at(high):.1f} {y - 4:.1f}v8'
                f'M{at(low):.1f} {y:.1f}H{at(high):.1f}" stroke="{blue}" stroke-width="1.6" fill="none"/>'
            )
        parts.append(f'<rect x="{at(value) - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{blue}"/>')
        parts.append(f'<text class="tick" x="{width - right + 12}" y="{y + 4:.1f}">{value:.3f}</text>')
    return (
        f'<svg viewBox="0 0 {width} {bottom + 34}" width="{width}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _short(name: str, most: int = 30) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _ticks(low: float, high: float) -> list[float]:
    """Round values inside the range, four to nine of them."""
    span = high - low
    step = 10 ** np.floor(np.log10(span / 4))
    step *= next(k for k in (1, 2, 2.5, 5, 10) if span / (k * step) <= 6)
    first = np.ceil(low / step - 1e-9)
    return [
        float(round((first + i) * step, 10)) for i in range(int(np.floor(high / step + 1e-9) - first) + 1)
    ]
