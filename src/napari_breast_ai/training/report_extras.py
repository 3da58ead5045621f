"""The report's sections on attention, failures and the course of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import report_template as html
from .appraisal import Appraisal, answers
from .errors import TrainingError
from .figures import Figure
from .records import Record, Run
from .report_figures import Line, lines_svg

Pictures = Mapping[tuple[str, int | None], Path | NDArray[np.generic]]
"""(case, slice) to a picture with the attention laid over it: a PNG file, or pixels."""

WORST = 6
"""How many failures are shown of a question."""


def attention(run: Run) -> str:
    """Where the attention looked, as the training run counted it."""
    given = _named(run.document, "attention")
    rows: list[list[object]] = []
    for name, one in (given or {}).items():
        if not isinstance(one, dict) or not isinstance(one.get("value"), int | float):
            continue
        figure = Figure(one["value"], one.get("low"), one.get("high"), int(one.get("n") or 0))
        chance = one.get("chance")
        rows.append([name, figure, figure.n, "not given" if chance is None else f"{chance:.3f}"])
    if not rows:
        return html.paragraph("This run holds no figures on where an attention looked.")
    return html.table(
        ("attention", "share (95 %)", "slices with a lesion", "by chance"), rows
    ) + html.paragraph(
        "By chance: the share of the image inside true boxes, which a blind guess would hit.", "note"
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
        wrong = np.where(said.positive, 1 - said.scores, said.scores)
        shown: dict[str, str] = {}
        for i in np.argsort(-wrong, kind="stable").tolist():
            if wrong[i] <= 0.5 or len(shown) == WORST:
                break
            if said.patients[i] not in shown:
                truth = question.positive if said.positive[i] else question.negative
                record = by_place[said.cases[i], said.slices[i]]
                score = f"{question.positive} {said.scores[i]:.2f}, truly {truth}"
                shown[said.patients[i]] = _failure(appraisal.run, record, score, pictures)
        found.append(f"<h4>{escape(f'{question.name}, {part} part')}</h4>")
        if shown:
            found.append(f'<div class="gallery">{"".join(shown.values())}</div>')
        else:
            found.append(html.paragraph("No slice was scored on the wrong side of 0.5."))
    return "".join(found)


def _failure(run: Run, record: Record, score: str, pictures: Pictures) -> str:
    source = pictures.get((record.case_id, record.slice))
    if source is None and record.picture:
        source = run.folder / record.picture
    where = f"{record.case_id}, " + ("whole case" if record.slice is None else f"slice {record.slice}")
    image = ""
    if source is not None:
        try:
            image = (
                f'<img src="{html.picture(source)}" alt="{escape(where)} with the attention laid over it">'
            )
        except TrainingError as error:
            image = html.paragraph(str(error), "note")
    return f"<figure>{image}<b>{escape(where)}</b><br>{escape(score)}</figure>"


def training_curves(run: Run) -> str:
    """Losses and validation figures of each epoch, where the run kept them."""
    found = []
    for name, history, kept in _histories(run.document):
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
            ][:6]
            if chosen:
                svg = lines_svg(chosen, "epoch", title, f"{title} by epoch", kept)
                pictures.append(html.figure(svg, f"{name}: {title} by epoch"))
        found.append(f'<div class="row">{"".join(pictures)}</div>' if pictures else "")
    return "".join(found) or html.paragraph("This run kept no course of its training.")


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
