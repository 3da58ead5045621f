"""A page of HTML that stands alone: its style, and the pieces of which reports are made."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .core import BreastAIError
from .core.figures import Figure


class PageError(BreastAIError):
    """Something that cannot be put on a page."""


RESEARCH_USE = "Research use only: not a medical device, not for decisions about patients."

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 15px/1.5 "Segoe UI", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; color: #1a1a1a;
  background: #fff; max-width: 960px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 20px; margin: 40px 0 8px; padding-top: 14px; border-top: 2px solid #1a1a1a; }
h3 { font-size: 16px; margin: 26px 0 6px; }
h4 { font-size: 14px; margin: 18px 0 4px; }
h1, h2, h3, h4, td, th, p, li { overflow-wrap: break-word; }
td.long { overflow-wrap: anywhere; }
p { margin: 6px 0; max-width: 76ch; }
ul { margin: 6px 0; padding-left: 22px; max-width: 76ch; }
.use { border: 2px solid #d55e00; padding: 6px 12px; font-weight: 600; margin: 12px 0; }
.count { display: flex; flex-wrap: wrap; gap: 8px 34px; margin: 14px 0; }
.count div { min-width: 90px; }
.count b { display: block; font-size: 30px; line-height: 1.1; font-variant-numeric: tabular-nums; }
.count span { color: #444; }
.note { color: #444; font-size: 13px; }
table { border-collapse: collapse; margin: 10px 0; font-size: 13.5px; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 2px 0 4px; }
th, td { border-bottom: 1px solid #ccc; padding: 4px 14px 4px 0; text-align: left; vertical-align: top; }
thead th { border-bottom: 1.5px solid #1a1a1a; }
tbody th { font-weight: 400; }
.n { white-space: nowrap; }
.row { display: flex; flex-wrap: wrap; gap: 10px 34px; align-items: flex-start; }
figure { margin: 8px 0; max-width: 100%; }
.row > figure { max-width: 400px; }
figcaption { font-weight: 600; font-size: 13.5px; margin-bottom: 2px; }
svg { max-width: 100%; height: auto; display: block; font-family: inherit; }
svg .grid { stroke: #e2e2e2; stroke-width: 1; }
svg .frame { fill: none; stroke: #555; stroke-width: 1; }
svg .tick { font-size: 12px; fill: #222; }
svg .axis { font-size: 13px; fill: #222; }
.confusion td { text-align: center; border: 1px solid #bbb; padding: 6px 14px; min-width: 74px; }
.confusion td.right { background: #d9ecf7; font-weight: 600; }
.confusion th { padding: 4px 14px 4px 0; border-bottom: 0; }
.confusion thead th { padding: 4px 10px; text-align: center; }
.confusion thead td { border: 0; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 14px; }
.gallery figure { border: 1px solid #ccc; padding: 8px; font-size: 13px; }
.gallery img { width: 100%; height: auto; display: block; background: #000; margin-bottom: 6px; }
.keep { break-inside: avoid; }
.columns { columns: 4 190px; column-gap: 22px; font-size: 12.5px; font-variant-numeric: tabular-nums; }
.columns div { display: flex; justify-content: space-between; gap: 8px; break-inside: avoid;
  border-bottom: 1px solid #e2e2e2; overflow-wrap: anywhere; }
.columns span { white-space: nowrap; }
@page { size: A4; margin: 15mm 14mm 16mm; }
@media print {
  body { font-size: 10.5pt; max-width: none; padding: 0; }
  table { font-size: 9pt; }
  .note { font-size: 9pt; }
  h2, h3, h4, caption, figcaption, .lead { break-after: avoid; }
  tr, figure, svg, .confusion { break-inside: avoid; }
  .row { gap: 6px 18px; }
  .row.together { break-inside: avoid; }
  tr.long { break-inside: auto; }
  .row > figure { max-width: 82mm; }
  .row figure svg { width: 82mm; }
  .gallery { grid-template-columns: repeat(3, 1fr); }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

LONG = 600
"""More letters than this in a cell, and its row may be broken over two pages."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Nothing is fetched and nothing runs, whatever the names in the data hold."""


def page(title: str, body: str) -> str:
    """The whole file."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def bullets(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    return f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in sentences)}</ul>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table; the first cell of a row is its name, figures and numbers keep to one line."""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = []
    for row in rows:
        kind = ' class="n"' if len(str(row[0])) < 28 else ""
        cells = [f'<th scope="row"{kind}>{escape(str(row[0]))}</th>']
        for cell in row[1:]:
            if isinstance(cell, Figure):
                cells.append(_figure_cell(cell))
            else:
                short = not isinstance(cell, str) or len(cell) < 28
                cells.append(f'<td class="{"n" if short else "long"}">{escape(str(cell))}</td>')
        # A row that fills half a page may go over two; a shorter one stays whole.
        tall = ' class="long"' if any(isinstance(cell, str) and len(cell) > LONG for cell in row) else ""
        lines.append(f"<tr{tall}>{''.join(cells)}</tr>")
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    above = f"<thead><tr>{top}</tr></thead>" if head else ""
    # Short tables stay on one page; long ones may go over several, with their head on each.
    kind = ' class="keep"' if len(lines) <= 12 else ""
    return f"<table{kind}>{said}{above}<tbody>{''.join(lines)}</tbody></table>"


def _figure_cell(one: Figure) -> str:
    if one.value is None or one.low is None:
        return f"<td>{escape(str(one))}<br><span class=note>{escape(one.reason)}</span></td>"
    return f'<td class="n">{escape(str(one))}</td>'


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]], caption: str) -> str:
    """A confusion matrix, rows the truth."""
    head = "".join(f'<th scope="col">called {escape(label)}</th>' for label in labels)
    rows = "".join(
        f'<tr><th scope="row">truly {escape(label)} ({sum(row)})</th>'
        + "".join(f'<td class="right">{n}</td>' if i == j else f"<td>{n}</td>" for j, n in enumerate(row))
        + "</tr>"
        for i, (label, row) in enumerate(zip(labels, counts, strict=True))
    )
    return (
        f'<table class="confusion keep"><caption>{escape(caption)}</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def columns(caption: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Many short lines of a name and what belongs to it, in columns beside one another."""
    lines = "".join(f"<div>{escape(name)}<span>{escape(said)}</span></div>" for name, said in pairs)
    return f'{paragraph(caption, "lead")}<div class="columns">{lines}</div>'


def figure(svg: str, caption: str) -> str:
    """A picture with what it shows above it."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{svg}</figure>"


def settings(values: Mapping[str, Any], caption: str = "") -> str:
    """Any values by name, those inside one another with both names; long lists are cut and counted."""
    return table((), [(name, _said(value)) for name, value in flat(values)], caption)


def flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Names and values, those inside one another as "outer: inner"."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{above}: {key}" if above else str(key)
        if isinstance(value, dict) and value:
            found += flat(value, name)
        else:
            found.append((name, value))
    return found


def _said(value: Any) -> str:
    if isinstance(value, list):
        shown = ", ".join(_said(item) for item in value[:40])
        return f"{shown} … and {len(value) - 40} more" if len(value) > 40 else shown or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said(item)}" for key, item in value.items()) or "none"
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def picture(source: Path | NDArray[np.generic], widest: int = 420) -> str:
    """An image as data inside the page, without whatever else its file holds.

    Args:
        source: a picture's file; or its pixels, (rows, columns) or (rows, columns, 3), uint8, or 0..1.
        widest: it is made smaller than this, pixels.

    Raises:
        PageError: the file is no picture, or cannot be read.
    """
    try:
        if isinstance(source, Path):
            with Image.open(source) as found:
                image = found.convert("RGB")
        else:
            pixels = np.asarray(source)
            if pixels.dtype != np.uint8:
                pixels = np.rint(np.clip(pixels.astype(np.float64), 0, 1) * 255).astype(np.uint8)
            image = Image.fromarray(pixels).convert("RGB")
    except (OSError, UnidentifiedImageError, ValueError, TypeError) as error:
        raise PageError(
            f"The picture {source if isinstance(source, Path) else ''} cannot be read."
        ) from error
    image.thumbnail((widest, 2 * widest))
    buffer = io.BytesIO()
    # No subsampling, so that thin lines keep their colour.
    image.save(buffer, "JPEG", quality=88, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
