"""A report of a case as one page of HTML that stands alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import page as html
from ..core.colors import LABEL_COLORS
from ..files import write_whole
from .case_report import CaseReport, KeySlice, Removal, Score
from .errors import InferenceError
from .questions.course import MEANING, draw
from .taught import columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OTHER = "#56b4e9"
_STYLE = """
body { max-width: 900px; }
h2 { margin: 20px 0 6px; padding-top: 8px; }
.failed { color: #b32400; font-weight: 600; }
.slices { display: grid; grid-template-columns: repeat(3, 1fr); gap: 10px; }
.slices figure { margin: 0; }
.slices img { width: 100%; display: block; background: #000; margin-bottom: 4px; }
.slices figcaption { font-weight: 400; font-size: 12px; }
@media print { body > figure svg { height: 58mm; width: auto; } }
"""


def case_page(report: CaseReport) -> str:
    """The page, of HTML, with its pictures inside it. Nothing is fetched by it."""
    body = [
        f"<style>{_STYLE}</style>",
        f"<h1>{escape(report.title)}</h1>",
        html.paragraph(report.made, "note") if report.made else "",
        f'<p class="use">{escape(html.RESEARCH_USE)}</p>',
        "".join(f'<p class="failed">{escape(one)}</p>' for one in report.warnings),
    ]
    if report.scores:
        body += ["<h2>What the model says</h2>", _scores(report), html.paragraph(report.rule, "note")]
    if report.opinions:
        body += ["<h2>What readers say</h2>", html.bullets(report.opinions)]
    body += [
        "<h2>Key slices</h2>",
        f'<div class="slices">{"".join(_slice(one) for one in report.slices)}</div>',
        html.paragraph(report.heat, "note") if report.heat else "",
        "<h2>Lesions</h2>",
        html.table(report.lesion_columns, report.lesion_rows)
        if report.lesion_rows
        else html.paragraph("No box was drawn."),
    ]
    if report.curves:
        body.append(_curves(report))
    elif report.curve_note:
        body.append(html.paragraph(report.curve_note, "note"))
    if report.answers:
        rows = "".join(
            f'<tr{" class=failed" if one.failed else ""}><th scope="row">{escape(one.question)}</th>'
            f"<td>{escape(one.value)}</td></tr>"
            for one in report.answers
        )
        body.append(f"<h2>Questions asked of the heat map</h2><table><tbody>{rows}</tbody></table>")
    if report.removal is not None:
        body += [_removal(report.removal), html.paragraph(f"{report.removal.about}. {MEANING}", "note")]
    body += ["<h2>Study</h2>", html.table((), report.facts)]
    if report.model:
        body += ["<h2>Model</h2>", html.bullets(report.model)]
    if report.taught:
        caption = "What it was taught to answer"
        body.append(html.table(columns(report.taught), [one.row for one in report.taught], caption))
        body.append(html.paragraph(report.judged, "note") if report.judged else "")
    return html.page(report.title, "\n".join(part for part in body if part))


def write_case_page(report: CaseReport, path: Path) -> Path:
    """Write the page, whole or not at all.

    Raises:
        InferenceError: it cannot be written.
    """
    try:
        write_whole(path, case_page(report))
    except OSError as error:
        raise InferenceError(
            f"The report could not be written to {path} ({error.strerror or error}). Choose another place."
        ) from error
    return path


def _scores(report: CaseReport) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(one.label)}</th><td>{_bar(one, report.doubtful)}</td>'
        f'<td class="n">{escape(one.text)}</td></tr>'
        for one in report.scores
    )
    return f'<table class="keep"><tbody>{rows}</tbody></table>'


def _bar(one: Score, doubtful: bool) -> str:
    """The probability from 0 to 1, its interval as a line; pale where it is not certain."""
    parts = ['<rect x="0" y="3" width="240" height="12" fill="#e6e6e6"/>']
    if one.value is not None:
        colour = LABEL_COLORS.get(one.label, _OTHER)
        fill = f'fill="{colour}" fill-opacity="{0.35 if doubtful else 1}"'
        parts.append(f'<rect x="0" y="3" width="{240 * one.value:.1f}" height="12" {fill}/>')
    if one.low is not None and one.high is not None:
        low, high = 240 * one.low, 240 * one.high
        parts.append(
            f'<path d="M{low:.1f} 9H{high:.1f}M{low:.1f} 5v8M{high:.1f} 5v8" stroke="#1a1a1a" fill="none"/>'
        )
    return f'<svg width="240" height="18" viewBox="0 0 240 18" role="img">{"".join(parts)}</svg>'


def _slice(one: KeySlice) -> str:
    pictures = [one.plain] if one.heat is None else [one.plain, one.heat]
    shown = "".join(
        f'<img src="{html.picture(np.asarray(picture), 640)}" alt="{escape(one.caption)}">'
        for picture in pictures
    )
    return f'<figure class="keep">{shown}<figcaption>{escape(one.caption)}</figcaption></figure>'


def _curves(report: CaseReport) -> str:
    from ..kinetics.plots import curves_figure

    return _drawn(lambda: curves_figure(report.curves))


def _removal(removal: Removal) -> str:
    from matplotlib.figure import Figure

    def made() -> Figure:
        figure = Figure(figsize=(6.2, 3.4), layout="constrained")
        draw(figure.subplots(), removal.lines, removal.label, 9)
        return figure

    return _drawn(made)


def _drawn(make: Callable[[], Figure]) -> str:
    """A figure inside the page, the same for the same numbers."""
    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "napari-breast-ai", "svg.fonttype": "none"}):
        make().savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return f"<figure>{text[text.index('<svg') :]}</figure>"
