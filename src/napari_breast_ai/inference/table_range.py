"""Is this case like those that a model of table rows was trained on? Findings in words, each with the number's name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..core import DceVolume, Progress, silent
from ..models.table import Cases, encode
from ..models.table_bundle import TableBundle
from ..models.table_ranges import CaseRanges, Span, key, used
from ..models.table_spec import Column
from .in_range import UNKNOWN, Finding, RangeReport, check_range

MOST = 3
"""Numbers that are told in full; more are named only."""


def case_range(
    volume: DceVolume, bundle: TableBundle, cases: Cases, progress: Progress = silent
) -> RangeReport:
    """Hold a case against the training cases of a model of table rows.

    Args:
        volume: the study. Where the model looks at it, what is wrong with it for any model is found too.
        bundle: the model; one of before there were ranges has only that.
        cases: what the score was made of, of the one case; from `score_table`.
        progress: told between the parts; may cancel.
    """
    spec, ranges = bundle.spec, bundle.ranges
    found: list[Finding] = []
    if spec.radiomics is not None or spec.deep is not None:
        study = check_range(volume, spec.preparation, None, progress=progress)
        found += [one for one in study.findings if one is not UNKNOWN]
    found += _categories(bundle, cases)
    if ranges is None:
        found.append(replace(UNKNOWN, text=UNKNOWN.text.replace("study", "case")))
    else:
        found += _numbers(bundle, ranges, cases)
        found += _deep(ranges, cases)
    grave = [one for one in found if one.severity != "note"]
    notes = [one for one in found if one.severity == "note"]
    return RangeReport((*grave, *notes), ranges is not None, ranges is not None and ranges.deep is not None)


def room(of: Span, cases: int) -> float:
    """How far beyond the 1st and the 99th percentile a number still counts as like the training's.

    Half of what lies between them, more where few cases tell it: a model uses many numbers, and of an ordinary new case
    one of them is easily beyond. 3 % of the middle at least, for a number that was always the same.
    """
    return max((of.high - of.low) * max(0.5, 10 / max(cases, 1)), 0.03 * abs(of.low + of.high) / 2, 1e-9)


def _numbers(bundle: TableBundle, ranges: CaseRanges, cases: Cases) -> list[Finding]:
    """What is out of range, the furthest first."""
    columns = [column for column in used(bundle.model) if key(column) in ranges.spans]
    values = encode(columns, cases)[0]
    far: list[tuple[float, Column, float, Span]] = []
    for column, value in zip(columns, values, strict=True):
        span = ranges.spans[key(column)]
        beyond = max(span.low - value, value - span.high) / room(span, ranges.cases)
        # A rare value may lie beyond the percentiles, and training has seen it all the same.
        if beyond > 1 and not span.least <= value <= span.most:
            far.append((beyond, column, float(value), span))
    far.sort(key=lambda one: -one[0])
    found = [
        Finding(
            "features",
            "outside",
            f"{_named(column)} is {value:.4g}; in 98 of 100 training cases it lay between {span.low:.4g} and "
            f"{span.high:.4g}.",
        )
        for _, column, value, span in far[:MOST]
    ]
    if more := far[MOST:]:
        names = ", ".join(column.name for _, column, _, _ in more[: 2 * MOST])
        rest = "" if len(more) <= 2 * MOST else " and others"
        found.append(Finding("features", "outside", f"Out of range as well: {names}{rest}."))
    return found


def _named(column: Column) -> str:
    if column.block == "clinical":
        return f"The value “{column.name}”"
    return f"The lesion's feature “{column.name}”"


def _categories(bundle: TableBundle, cases: Cases) -> Iterator[Finding]:
    for column in used(bundle.model):
        if column.kind != "category":
            continue
        cell = cases.texts[column.name][0]
        if cell and cell not in column.categories:
            known = ", ".join(column.categories)
            text = f"The value “{column.name}” is “{cell}”; the training cases had {known}."
            yield Finding("features", "outside", text)


def _deep(ranges: CaseRanges, cases: Cases) -> Iterator[Finding]:
    if ranges.deep is None:
        return
    usual, _, most = ranges.deep.distances
    distance = float(ranges.deep.distance(cases.numbers["deep"])[0])
    if distance > most:
        yield Finding(
            "features",
            "outside",
            f"The lesion's slices look to the model unlike those of its training: {distance / usual:.1f} times as far "
            f"away as a new patient's usually are, of which 99 in 100 stay below {most / usual:.1f} times.",
        )
