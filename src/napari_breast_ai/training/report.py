"""The report of a training run: one page that holds everything, needs no network and no script, and prints on A4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from .. import __version__
from .. import page as html
from ..core import Progress, silent
from ..files import write_whole
from . import report_extras as extras
from . import report_parts as parts
from .appraisal import Appraisal, Choice, appraise
from .comparison import Compared, compare
from .errors import TrainingError
from .records import VALIDATION, Run, hidden, read_run
from .report_extras import Pictures
from .report_inputs import inputs
from .report_words import main_part, method_notes, shows, shows_not, used_input, used_settings

_TOLD = {
    "schema", "version", "name", "predictions", "protocol", "figures", "held-out", "history", "attention", "folds",
    "runs", "across_runs", "labels", "patients", "operating_points", "warnings", "data", "gallery", "ranges",
    "case_ranges", "calibration", "course",
    "inputs", "choices", "trained_on", "known",
}  # fmt: skip
"""What other sections tell, or what is computed anew."""


def make_report(
    runs: Sequence[Run],
    *,
    pictures: Pictures | None = None,
    choice: Choice | None = None,
    hide_names: bool = False,
    progress: Progress = silent,
) -> str:
    """The report of one run, or of several beside one another, as one HTML page.

    Args:
        runs: at least one; several are compared on the cases that they share.
        pictures: (case, slice) to a picture for the gallery of failures, in place of those that the runs name.
        choice: how thresholds are chosen on the validation part.
        hide_names: put numbers in place of the names of patients and cases.
        progress: told of every run.

    Raises:
        TrainingError: there is no run.
    """
    if not runs:
        raise TrainingError("There is no run to report on. Give the evaluation.json of a training run.")
    runs = _distinct(runs)
    shown = dict(pictures or {})
    if hide_names:
        before, runs = runs, hidden(runs)
        shown = {
            (new.case_id, new.slice): shown[old.case_id, old.slice]
            for a, b in zip(before, runs, strict=True)
            for old, new in zip(a.records, b.records, strict=True)
            if (old.case_id, old.slice) in shown
        }
    appraisals = []
    for number, run in enumerate(runs):
        progress(number, len(runs), "judging")
        appraisals.append(appraise(run, choice))
    progress(len(runs), len(runs), "judging")
    title = "Report: " + ", ".join(run.name for run in runs)
    body = [f"<h1>{escape(title)}</h1>", f'<p class="use">{escape(html.RESEARCH_USE)}</p>']
    several = len(appraisals) > 1
    for appraisal in appraisals:
        body.append(_head(appraisal, several, hide_names))
    if several:
        body += ["<h2>The runs against one another</h2>", _comparison(compare(runs)), extras.attentions(runs)]
    for appraisal in appraisals:
        body.append(_run(appraisal, shown, several))
    body.append(_end(hide_names))
    return html.page(title, "\n".join(body))


def write_report(
    evaluations: Sequence[Path],
    out: Path,
    *,
    choice: Choice | None = None,
    hide_names: bool = False,
    progress: Progress = silent,
) -> tuple[Run, ...]:
    """Read evaluations and write their report.

    Args:
        evaluations: files evaluation.json.
        out: the HTML file; written whole or not at all.
        choice, hide_names, progress: as of `make_report`.

    Raises:
        TrainingError: a file cannot be read or written; the sentence says which.
    """
    runs = tuple(read_run(path) for path in evaluations)
    text = make_report(runs, choice=choice, hide_names=hide_names, progress=progress)
    try:
        write_whole(out, text)
    except OSError as error:
        raise TrainingError(
            f"The report cannot be written to {out} ({error.strerror}). Choose another place with --out."
        ) from error
    return runs


def _distinct(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Runs whose names differ, so that tables can tell them apart."""
    names = [run.name for run in runs]
    folders = [run.folder.name for run in runs]
    apart = "" not in folders and len(set(folders)) == len(folders)
    return tuple(
        replace(run, name=f"{run.name} ({folders[i] if apart else names[: i + 1].count(run.name)})")
        if names.count(run.name) > 1
        else run
        for i, run in enumerate(runs)
    )


def _head(appraisal: Appraisal, several: bool, hide_names: bool) -> str:
    """Number of patients first, then what the result shows and what it does not."""
    run, part = appraisal.run, main_part(appraisal)
    own = [record for record in run.records if record.part == part]
    patients, slices = len({r.patient_id for r in own}), len({(r.case_id, r.slice) for r in own})
    counts = [(patients, f"{part} patients"), (slices, f"{part} slices")]
    if len(run.parts) > 1:
        counts.append((run.patients, "patients in all parts together"))
    boxes = "".join(f"<div><b>{n}</b><span>{escape(name)}</span></div>" for n, name in counts)
    return (
        (f"<h2>{escape(run.name)}</h2>" if several else "")
        + f'<div class="count">{boxes}</div>'
        + f"<h3>What this result shows</h3>{html.bullets(shows(appraisal))}"
        + f"<h3>What it does not show</h3>{html.bullets(shows_not(appraisal))}"
        + _warnings(run, hide_names)
    )


def _warnings(run: Run, hide_names: bool) -> str:
    """What the training run warned of."""
    given = run.document.get("warnings")
    said = [str(one) for one in given] if isinstance(given, list) else []
    if said and hide_names:
        said = [f"{len(said)} warnings of the run are left out here, since they may name cases."]
    data = run.document.get("data")
    found = html.paragraph(f"Judged on: {data}") if isinstance(data, str) else ""
    return found + (f"<h3>Warnings of the run</h3>{html.bullets(said)}" if said else "")


def _run(appraisal: Appraisal, pictures: Pictures, several: bool) -> str:
    run = appraisal.run
    of = f" of {run.name}" if several else ""
    main = main_part(appraisal)
    found = [
        f"<h2>{escape(f'Protocol and split{of}')}</h2>",
        parts.protocol(appraisal),
        f"<h2>{escape(f'Figures{of}')}</h2>",
        parts.summary(appraisal),
        html.bullets(method_notes(appraisal)),
    ]
    for part in run.parts:
        if len(run.parts) > 1:
            text = f"The {part} part"
            if part == VALIDATION:
                text += " (used for choices, so that its figures flatter)"
            found.append(f"<h3>{escape(text)}</h3>")
        found.append(parts.over_folds(appraisal, part))
        found += [parts.question_section(appraisal, question, part) for question in appraisal.questions]
        found.append(parts.many_classes(appraisal, part))
    found += [
        f"<h2>{escape(f'Where the attention{of} looked')}</h2>",
        extras.attention(run),
        f"<h2>{escape(f'Failures{of}')}</h2>",
        html.paragraph(
            f"Slices of the {main} part on which the model was most sure and wrong, one a patient, the worst first. "
            "Blue frames are the reader's boxes; colours, from violet to yellow, are the map named below a picture.",
            "note lead",
        ),
        extras.failures(appraisal, main, pictures),
        f"<h2>{escape(f'Course of the training{of}')}</h2>",
        extras.training_curves(run),
        *([f"<h2>{escape(f'What the model looks at{of}')}</h2>", looked] if (looked := inputs(run)) else []),
        f"<h2>{escape(f'How {run.name} was made' if several else 'How it was made')}</h2>",
        _made(run),
    ]
    if run.patients > parts.MANY:
        found.append(parts.members(run))
    return "\n".join(found)


def _made(run: Run) -> str:
    """Recipe, versions, hashes, times: all that the file says and no other section tells."""
    rest = {key: value for key, value in run.document.items() if key not in _TOLD}
    training = rest.get("training")
    if isinstance(training, dict):
        rest["training"] = {key: value for key, value in training.items() if key not in _TOLD}
    found, recipe = "", rest.pop("recipe", None)
    if isinstance(recipe, dict):
        used = used_settings(recipe)
        if isinstance(rest.get("input"), dict):
            used.pop("preparation", None)
        left = (
            ""
            if used.get("fit") == recipe.get("fit")
            else "; settings that its fit does not use are left out"
        )
        found += html.settings(used, f"Recipe{left}")
    elif recipe is not None:
        rest["recipe"] = recipe
    if isinstance(rest.get("input"), dict):
        rest["input"] = used_input(rest["input"])
    for key, caption in (("input", "Input of the model"), ("made", "Versions, hashes and seeds")):
        if isinstance(rest.get(key), dict):
            found += html.settings(rest.pop(key), caption)
    if run.sha256:
        rest["SHA-256 of evaluation.json"] = run.sha256
    rest["report written by"] = f"napari-breast-ai {__version__}"
    return found + html.settings(rest)


def _comparison(found: Sequence[Compared]) -> str:
    """Tables of differences, per patient and per slice."""
    if not found:
        return html.paragraph(
            "The runs have no question and no part in common, so that nothing can be compared."
        )
    out = []
    for level in ("patient", "slice"):
        rows: list[list[object]] = []
        if level == "slice" and _same(found):
            out.append(html.paragraph("One slice a patient: per slice the comparison is the same.", "note"))
            continue
        for one in (one for one in found if one.level == level):
            name = f"{one.question}, {one.part}: {one.first} against {one.second}"
            if one.test is None:
                rows.append([name, one.n, "undefined", one.difference, "", ""])
                continue
            areas = f"{one.test.first:.3f} − {one.test.second:.3f}"
            adjusted = "" if one.p_holm is None else _p(one.p_holm)
            rows.append([name, _n(one), areas, one.difference, _p(one.test.p), adjusted])
        out.append(
            html.table(
                ("", f"{level}s", "AUCs", "difference (patient bootstrap 95 %)", "DeLong p", "p (Holm)"),
                rows,
                f"Per {level}, on the same cases",
            )
        )
    return "".join(out) + html.bullets(
        [
            "DeLong's test asks whether the two AUCs differ by more than chance would make them, on the same cases. A "
            "high p does not show that the runs are equal; read the interval of the difference.",
            "Per slice DeLong's test takes slices as independent, which makes p too small; the interval is from "
            "drawing whole patients.",
            "p (Holm) is adjusted for all comparisons of its table.",
        ]
    )


def _same(found: Sequence[Compared]) -> bool:
    """Whether slices are compared just as patients are."""
    levels: list[list[tuple[object, ...]]] = [
        [
            (one.question, one.part, one.first, one.second, one.n, one.test)
            for one in found
            if one.level == level
        ]
        for level in ("patient", "slice")
    ]
    return levels[0] == levels[1]


def _n(one: Compared) -> str:
    return f"{one.n} ({one.left_out} left out)" if one.left_out else str(one.n)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _end(hide_names: bool) -> str:
    names = (
        "Names of patients and cases were replaced by numbers."
        if hide_names
        else "Names of patients and cases are those of the cohort table. Make the report with --hide-names before it "
        "leaves the hospital."
    )
    return html.paragraph(f"{names} {html.RESEARCH_USE}", "note")
