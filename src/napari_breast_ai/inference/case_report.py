"""What a report of a case says: gathered here, laid out by `case_page` (HTML) and `case_sheet` (PDF)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from .. import __version__
from ..annotations.lesions import Lesion, lesions
from ..core import Box, BreastAIError, DceVolume, Prediction
from ..core.orientation import has_size
from .overlay import draw_slice, heat_name, heat_of, rank_slices, seen, shade
from .questions.course import Line
from .taught import Taught, judged_on, taught_scores

if TYPE_CHECKING:
    from ..kinetics import Curve, KineticMaps
    from ..models.bundle import Bundle
    from ..models.table_bundle import TableBundle

MOST_SLICES, MOST_LESIONS = 3, 6
NEIGHBOURS = 2
"""Slices so far apart show the same thing, where others are to be had."""

WRITTEN = "The picture is shown whole. Devices write names into pictures: look for one before you hand this page on."


@dataclass(frozen=True)
class Score:
    """A probability of the case.

    Attributes:
        label: the class.
        value: 0..1; None where the question did not arise.
        low, high: limits of its interval, or None.
    """

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """Such as "0.82 (0.70 to 0.91)"."""
        if self.value is None:
            return "not scored"
        if self.low is None or self.high is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Answer:
    """A question that was asked of an explanation, and what came out.

    Attributes:
        question: in words.
        value: the figure, as text.
        failed: the explanation does not stand the question.
    """

    question: str
    value: str
    failed: bool = False


@dataclass(frozen=True)
class Removal:
    """How the score went as the hottest of the image was taken away and put back.

    Attributes:
        about: which map, which score and which slices.
        label: whose score.
        lines: what is drawn.
    """

    about: str
    label: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, eq=False)
class KeySlice:
    """Pictures of one slice.

    Attributes:
        caption: which slice, and its scores.
        plain: with boxes.
        heat: with the heat map too, or None without a model.
    """

    caption: str
    plain: Image.Image
    heat: Image.Image | None


@dataclass(frozen=True, eq=False)
class CaseReport:
    """A report of a case. It names nobody but who is named in `subject`.

    Attributes:
        subject: what the case is called, or "".
        made: when, or "".
        facts: of the study, name and value.
        scores, rule: of the case; empty without a model.
        doubtful: the study is unlike those that the model was trained on, so that no score is certain.
        warnings: sentences that a reader must see beside the scores.
        slices: the most telling ones.
        heat: what the heat maps show, or "".
        lesion_columns, lesion_rows: a table.
        curves: mean enhancement of each lesion over time; empty where there is none.
        curve_note: why there are none, or "".
        answers: questions asked of the explanation.
        removal: the curves behind two of the answers, or None.
        opinions: what readers said of the case.
        model: sentences on the model.
        taught: the questions that it answers, and how well.
        judged: whose patients that was measured on, or "".
    """

    subject: str
    made: str
    facts: tuple[tuple[str, str], ...]
    scores: tuple[Score, ...]
    rule: str
    doubtful: bool
    warnings: tuple[str, ...]
    slices: tuple[KeySlice, ...]
    heat: str
    lesion_columns: tuple[str, ...]
    lesion_rows: tuple[tuple[str, ...], ...]
    curves: tuple[Curve, ...]
    curve_note: str
    answers: tuple[Answer, ...]
    opinions: tuple[str, ...]
    model: tuple[str, ...]
    taught: tuple[Taught, ...] = ()
    judged: str = ""
    removal: Removal | None = None

    @property
    def title(self) -> str:
        """The heading."""
        return f"Case report: {self.subject}" if self.subject else "Case report"


def case_report(
    volume: DceVolume,
    boxes: Collection[Box] = (),
    prediction: Prediction | None = None,
    bundle: Bundle | TableBundle | None = None,
    *,
    doubts: Sequence[str] = (),
    answers: Sequence[Answer] = (),
    removal: Removal | None = None,
    opinions: Sequence[str] = (),
    measured: Sequence[tuple[str, str]] = (),
    subject: str = "",
    made: str = "",
) -> CaseReport:
    """Gather what a report says of a case.

    Args:
        volume: the study.
        boxes: a reader's.
        prediction: what a model said of it, or None.
        bundle: that model, or None.
        doubts: in what the study is unlike those that the model was trained on, in sentences.
        answers: questions asked of the explanation.
        removal: the curves behind two of them, where they were asked.
        opinions: sentences.
        measured: further facts of the study, name and value, such as those of `breast_facts`.
        subject: what the report calls the case. Nothing else in it names anybody.
        made: when, as text.

    Raises:
        InferenceError: the prediction is of another study.
    """
    fitting = [box for box in boxes if not box.problems(volume.geometry.shape)]
    groups = lesions(fitting)
    maps, note = _maps(volume)
    columns, rows, curves = _lesion_table(volume, groups, maps)
    known = {} if prediction is None else prediction.case.intervals
    return CaseReport(
        subject=subject,
        made=made,
        facts=(*_facts(volume, prediction), *measured),
        scores=()
        if prediction is None
        else tuple(
            Score(k, v, *known.get(k, (None, None))) for k, v in prediction.case.probabilities.items()
        ),
        rule="" if prediction is None else _rule(prediction),
        doubtful=bool(doubts),
        warnings=(
            *_written(volume, prediction),
            *doubts,
            *_unnamed(volume, volume.warnings if prediction is None else prediction.warnings),
        ),
        slices=_key_slices(volume, fitting, prediction),
        heat="" if prediction is None else _heat(prediction),
        lesion_columns=columns,
        lesion_rows=rows,
        curves=curves,
        curve_note=note,
        answers=tuple(answers),
        opinions=tuple(opinions),
        model=() if bundle is None else _model(bundle),
        taught=() if bundle is None else taught_scores(bundle),
        judged="" if bundle is None else judged_on(bundle.evaluation),
        removal=removal,
    )


def _unnamed(volume: DceVolume, warnings: Iterable[str]) -> list[str]:
    """The warnings, those of the study without its folders, files and descriptions, which may name the patient."""
    return [re.sub("“[^”]*”", "“…”", one) if one in volume.warnings else one for one in warnings]


def _written(volume: DceVolume, prediction: Prediction | None) -> tuple[str, ...]:
    """A warning of a single picture that is shown whole: what is written in it cannot be told from tissue safely."""
    cut = prediction is not None and prediction.region is not None
    return () if cut or volume.n_phases > 1 or volume.n_slices > 1 else (WRITTEN,)


def _rule(prediction: Prediction) -> str:
    """How the scores came about, and their intervals."""
    return " ".join(filter(None, (prediction.case.rule, prediction.case.interval_rule)))


def _facts(volume: DceVolume, prediction: Prediction | None) -> tuple[tuple[str, str], ...]:
    slices, rows, columns = volume.geometry.shape
    found = [
        (
            "Images",
            f"{_count(volume.n_phases, 'phase')} of {_count(slices, 'slice')}, {rows} × {columns} pixels",
        )
    ]
    if has_size(volume):
        dz, dy, dx = volume.geometry.spacing
        found.append(("Voxels", f"{dx:.2f} × {dy:.2f} × {dz:.2f} mm"))
    if volume.n_phases > 1:
        if "unknown" in volume.times.source:
            found.append(("Phases", "times unknown"))
        else:
            times = ", ".join(f"{second:.0f}" for second in volume.times.start_s)
            found.append(("Phases", f"at {times} s; before contrast: phase {volume.pre_contrast}"))
    if prediction is not None and prediction.input:
        found.append(("Seen by the model", prediction.input))
    if volume.identity.synthetic:
        found.append(("Origin", "synthetic data, no patient"))
    return tuple(found)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _key_slices(
    volume: DceVolume, boxes: Sequence[Box], prediction: Prediction | None
) -> tuple[KeySlice, ...]:
    """The slices that a model found most telling; without a model the middle ones of the lesions, or the study's."""
    # A model that scores the whole case at once has none that it found telling.
    if prediction is not None and prediction.slices:
        made = []
        for position in _apart(rank_slices(prediction, boxes), prediction.slices):
            index = prediction.slices[position]
            grey = seen(volume, prediction, index)
            scores = ", ".join(
                f"{label} {float(values[position]):.2f}" for label, values in prediction.probabilities.items()
            )
            made.append(
                KeySlice(
                    f"Slice {index}: {scores}",
                    draw_slice(grey, volume, index, boxes),
                    draw_slice(grey, volume, index, boxes, heat_of(prediction, position)),
                )
            )
        return tuple(made)
    largest = [max(one.boxes, key=lambda box: box.area).z for one in lesions(boxes)]
    indices = list(dict.fromkeys(largest))[:MOST_SLICES] or [volume.n_slices // 2]
    phase = min(volume.pre_contrast + 1, volume.n_phases - 1)
    grey_of = {index: shade(volume, index, phase, phase != volume.pre_contrast) for index in indices}
    return tuple(
        KeySlice(f"Slice {index}", draw_slice(grey, volume, index, boxes), None)
        for index, grey in grey_of.items()
    )


def _apart(ranked: Sequence[int], slices: Sequence[int]) -> list[int]:
    """The first of them that are no neighbours, which would show the same thing again; then neighbours."""
    chosen: list[int] = []
    for nearest in (NEIGHBOURS + 1, 1):
        for position in ranked:
            if len(chosen) < MOST_SLICES and all(
                abs(slices[position] - slices[one]) >= nearest for one in chosen
            ):
                chosen.append(position)
    return chosen


def _heat(prediction: Prediction) -> str:
    if not prediction.slices:
        return ""
    name = heat_name(prediction, rank_slices(prediction)[0])
    if name.startswith("Attention"):
        return f"{name}: where the model looks, from black (0) to yellow (1)."
    return f"{name}: what speaks for that class, as part of its highest value in the case."


def _maps(volume: DceVolume) -> tuple[KineticMaps | None, str]:
    """What curves rest on, or the sentence that says why there are none."""
    from ..kinetics import choose_phases, kinetic_maps

    if volume.n_phases < 2:
        return None, "There is one phase: no curve over time."
    try:
        return kinetic_maps(volume, choose_phases(volume)), ""
    except BreastAIError as error:
        return None, str(error)


def _lesion_table(
    volume: DceVolume, groups: Sequence[Lesion], maps: KineticMaps | None
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], tuple[Curve, ...]]:
    from ..kinetics import area_of_boxes, lesion_kinetics

    sized = has_size(volume)
    columns: tuple[str, ...] = ("lesion", "class", "slices", "box (mm)" if sized else "box (pixels)")
    if maps is not None:
        columns += ("peak initial enhancement", "worst curve", "washout")
    rows, curves = [], []
    for number, one in enumerate(groups[:MOST_LESIONS], start=1):
        first, last = one.boxes[0].z, one.boxes[-1].z
        through, down, across = one.size_mm(volume.geometry)
        extent = f"{across:.0f} × {down:.0f}" + (f" × {through:.0f}" if volume.n_slices > 1 else "")
        row = [str(number), one.label, str(first) if first == last else f"{first} to {last}", extent]
        if maps is not None:
            area = area_of_boxes(one.boxes, volume.geometry.shape, f"lesion {number}")
            found = lesion_kinetics(maps, area)
            share = found.course_percent
            row += [
                "" if found.peak_percent is None else f"{found.peak_percent:.0f} %",
                found.worst,
                "" if share is None else f"{share['washout']:.0f} % of what enhances",
            ]
            curves.append(found.curve)
        rows.append(tuple(row))
    if (left := len(groups) - MOST_LESIONS) > 0:
        rows.append((f"and {left} more", *("",) * (len(columns) - 1)))
    return columns, tuple(rows), tuple(curves)


def _model(bundle: Bundle | TableBundle) -> tuple[str, ...]:
    """Name, what it was judged on, and what tells this model from others."""
    said = [f"{bundle.ref.name} ({bundle.spec.recipe}), weights SHA-256 {bundle.ref.sha256[:16]}…"]
    if data := bundle.evaluation.get("data"):
        said.append(f"Judged on: {str(data).rstrip('.')}.")
    said.append(f"napari-breast-ai {__version__}.")
    return tuple(said)
