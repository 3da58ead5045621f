"""The report's sections on attention, failures and the course of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import page as html
from .appraisal import Appraisal, answers
from .failures import worst
from .figures import Figure
from .records import Record, Run
from .report_figures import Line, lines_svg

Pictures = Mapping[tuple[str, int | None], Path | NDArray[np.generic]]
"""(case, slice) to a picture with the attention laid over it: a PNG file, or pixels."""

MOST = 6
"""Lines in one picture that can be told apart."""


def attention(run: Run) -> str:
    """Where the attention looked, as the training run counted it."""
    given = _named(run.document, "attention")
    rows: list[list[object]] = []
    for name, one in (given or {}).items():
        if not isinstance(one, dict) or not isinstance(one.get("value"), int | float):
            continue
        figure = Figure(one["value"], one.get("low"), one.get("high"), int(one.get("n") or 0))
        chance = one.get("chance")
        rows.append([name, figure, one.get("n"), "not given" if chance is None else f"{chance:.3f}"])
    recipe = run.document.get("recipe")
    if not rows and isinstance(recipe, dict) and recipe.get("pooling") == "average":
        return html.paragraph(
            "This model has no attention: it takes the plain mean over all places of a slice."
        )
    if not rows:
        return html.paragraph("This run holds no figures on where an attention looked.")
    return html.table(
        ("attention", "value (95 %)", "slices with a lesion", "by chance"), rows
    ) + html.paragraph(
        "By chance: what an attention that is the same everywhere would reach. The peak is the centre of the largest "
        "cell and its neighbours.",
        "note",
    )


def attentions(runs: Sequence[Run]) -> str:
    """Where the attentions of several runs looked, side by side; "" where fewer than two have figures."""
    told = [(run.name, _named(run.document, "attention") or {}) for run in runs]
    told = [(name, given) for name, given in told if given]
    names = dict.fromkeys(name for _, given in told for name, one in given.items() if isinstance(one, dict))
    if len(told) < 2:
        return ""
    rows: list[list[object]] = []
    for run, given in told:
        cells: list[object] = [run]
        for name in names:
            one = given.get(name)
            known = isinstance(one, dict) and isinstance(one.get("value"), int | float)
            cells.append(
                Figure(one["value"], one.get("low"), one.get("high"), int(one.get("n") or 0))
                if known and one is not None
                else "not given"
            )
        rows.append(cells)
    return html.table(
        ("attention of", *names), rows, "Where they looked on held-out slices with a lesion (95 %)"
    ) + html.paragraph(
        "An attention that was taught by boxes beside one that was not (fit.attention=0) says what the boxes are worth.",
        "note",
    )


def _named(document: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The first dictionary of that name, however deep."""
    for key, value in document.items():
        if key == "predictions" or not isinstance(value, dict):
            continue
        if key == name:
            return value
        inner = _named(value, name)
        if inner is not None:
            return inner
    return None


def failures(appraisal: Appraisal, part: str, pictures: Pictures) -> str:
    """The slices on which the model was most sure and wrong, one a patient, with their pictures."""
    found = []
    records = [record for record in appraisal.run.records if record.part == part]
    by_place = {(record.case_id, record.slice): record for record in records}
    for question in appraisal.questions:
        said = answers(appraisal.run, question, records, "slice")
        shown: list[str] = []
        for one in worst(said):
            truth = question.positive if said.positive[one.at] else question.negative
            record = by_place[said.cases[one.at], said.slices[one.at]]
            score = f"{question.positive} {said.scores[one.at]:.2f}, truly {truth}"
            shown.append(_failure(appraisal.run, record, score, pictures))
        found.append(f"<h4>{escape(f'{question.name}, {part} part')}</h4>")
        if shown:
            found.append(f'<div class="gallery">{"".join(shown)}</div>')
        else:
            found.append(html.paragraph("No slice was scored on the wrong side of 0.5."))
    return "".join(found)


def _failure(run: Run, record: Record, score: str, pictures: Pictures) -> str:
    source = pictures.get((record.case_id, record.slice))
    if source is None and record.picture:
        source = run.folder / record.picture
    where = record.case_id
    if record.slice is None:
        where += ", whole case"
    elif any(other.slice for other in run.records):
        where += f", slice {record.slice}"
    image = ""
    if source is not None:
        try:
            image = f'<img src="{html.picture(source)}" alt="{escape(where)} with a heat map laid over it">'
        except html.PageError as error:
            image = html.paragraph(str(error), "note")
    note = f'<br><span class="note">{escape(record.shows)}</span>' if image and record.shows else ""
    return f"<figure>{image}<b>{escape(where)}</b><br>{escape(score)}{note}</figure>"


def training_curves(run: Run) -> str:
    """Losses and validation figures of each epoch, where the run kept them."""
    found = _course(run.document.get("course"))
    for name, history, kept in _histories({k: v for k, v in run.document.items() if k != "course"}):
        lines: dict[str, list[tuple[float, float]]] = {}
        for number, epoch in enumerate(history, 1):
            at = float(epoch.get("epoch", number))
            for key, value in html.flat(epoch):
                if key != "epoch" and isinstance(value, int | float) and not isinstance(value, bool):
                    lines.setdefault(key, []).append((at, float(value)))
        pictures = []
        for title, is_auc in (("loss", False), ("AUC", True)):
            chosen = [
                Line(np.array([x for x, _ in points]), np.array([y for _, y in points]), key)
                for key, points in lines.items()
                if ("auc" in key.lower()) == is_auc and ("loss" in key.lower() or is_auc)
            ][:MOST]
            if chosen:
                svg = lines_svg(chosen, "epoch", title, f"{title} by epoch", kept)
                pictures.append(html.figure(svg, f"{name}: {title} by epoch"))
        found.append(f'<div class="row">{"".join(pictures)}</div>' if pictures else "")
    return "".join(found) or html.paragraph("This run kept no course of its training.")


def _course(given: Any) -> list[str]:
    """The rounds' epochs as `train` writes them: all folds of a repeat in one picture, each task in one of its own."""
    rounds: dict[str, list[dict[str, Any]]] = {}
    for one in given if isinstance(given, list) else ():
        if isinstance(one, dict) and isinstance(one.get("epochs"), list) and one["epochs"]:
            rounds.setdefault(f"repeat {one.get('repeat', 1)}", []).append(one)
    found = []
    for repeat, folds in rounds.items():
        tasks = dict.fromkeys(name for one in folds for e in one["epochs"] for name in e.get("tasks") or ())
        pictures = [_epochs(folds, repeat, "loss")]
        pictures += [_epochs(folds, repeat, "AUC", task) for task in tasks or (None,)]
        if any(pictures):
            found.append(f'<div class="row">{"".join(pictures)}</div>')
    if found:
        found.append(
            html.paragraph(
                "The AUC by epoch is on patients kept apart inside the training: it only chooses the epoch whose "
                "weights are kept, and is none of the figures above.",
                "note",
            )
        )
    return found


def _epochs(folds: Sequence[dict[str, Any]], repeat: str, what: str, task: str | None = None) -> str:
    """A picture of the loss or the AUC of each epoch, a line a fold; "" where none was kept."""
    lines: list[Line] = []
    for one in folds:
        points = []
        for epoch in one["epochs"]:
            value = epoch.get(what.lower()) if task is None else (epoch.get("tasks") or {}).get(task)
            if isinstance(value, int | float):
                points.append((float(epoch["epoch"]), float(value)))
        kept = one.get("kept epoch")
        if isinstance(kept, dict):
            kept = kept.get(task)
        said = "" if kept is None else f", epoch {kept} kept"
        if points:
            x, y = np.array(points).T
            lines.append(Line(x, y, f"fold {one.get('fold', len(lines) + 1)}{said}"))
    if not lines:
        return ""
    title = what if task is None else f"{what} of {task}"
    svg = lines_svg(lines[:MOST], "epoch", what, f"{title} by epoch, {repeat}", None)
    more = f", the first {MOST} of {len(lines)} folds" if len(lines) > MOST else ""
    return html.figure(svg, f"{repeat}: {title} by epoch{more}")


def _histories(
    document: Any, name: str = "training"
) -> list[tuple[str, Sequence[dict[str, Any]], float | None]]:
    """All lists of epochs in the file, with their names and the epoch that was kept."""
    found: list[tuple[str, Sequence[dict[str, Any]], float | None]] = []
    items = document.items() if isinstance(document, dict) else ()
    for key, value in items:
        if key == "predictions":
            continue
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            if key in ("epochs", "history") and "epoch" in value[0]:
                kept = next((document[k] for k in ("kept epoch", "best", "kept") if k in document), None)
                found.append((name, value, kept if isinstance(kept, int | float) else None))
            else:
                for number, one in enumerate(value, 1):
                    found += _histories(one, str(one.get("name") or one.get("fold") or f"{key} {number}"))
        elif isinstance(value, dict):
            found += _histories(value, name if key in ("history", "training") else str(key))
    return found
