"""A model card for people: what the model is, what it was made from, what the figures are, and what not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..models import ImageSource, ModelSpec
from ..models.calibration import CaseCalibration
from ..models.ranges import TrainingRanges
from ..models.table_spec import TableSpec

_INTERVALS = (
    "Intervals are 95 %: Wilson's for proportions, DeLong's for AUCs per patient, a bootstrap over "
    "patients for AUCs per slice."
)


def source_words(spec: ModelSpec | TableSpec) -> str:
    """The image in words; several are the three channels of one picture."""
    own = spec.preparation.source
    return " | ".join(_channel(source, own) for source in spec.preparation.sources)


def _channel(source: ImageSource, own: ImageSource) -> str:
    if source.kind == "picture":
        return "a single picture, as it is stored"
    when = (
        f"the phase nearest to {source.value:g} s after the start"
        if source.rule == "nearest_time"
        else f"post-contrast phase {source.value:g}"
    )
    if source.kind == "subtraction":
        return f"{when}, minus the pre-contrast phase"
    if source.kind == "change":
        return f"the change of {when}, against {_channel(replace(own, kind='phase'), own)}, in per cent"
    return when


def group_words(spec: ModelSpec | TableSpec) -> str:
    """What is asked, in words."""
    said = []
    for group in spec.groups:
        names = " against ".join(group.labels) if group.activation == "softmax" else ", ".join(group.labels)
        said.append(names + (f" (on slices with {group.gate})" if group.gate else ""))
    return "; ".join(said)


def _frozen(evaluation: Mapping[str, Any]) -> str:
    """That the backbone did not learn, where it did not."""
    method = ((evaluation.get("recipe") or {}).get("fit") or {}).get("method")
    return "" if method == "finetune" else ", frozen"


def cohort_card(spec: ModelSpec, evaluation: Mapping[str, Any], command: str) -> str:
    """The card, in Markdown, of a model that was trained on a person's own cohort.

    Args:
        spec: of the model.
        evaluation: as written into the bundle.
        command: that makes it again.
    """
    lines = [
        f"# {spec.name}",
        "",
        f"Answers {group_words(spec)}. {evaluation['data']}",
        "",
        "**Research use only; not a medical device; not for diagnosis. What it does on images of another scanner, "
        "hospital or kind of patient has not been measured.**",
        "",
        *_what_it_is(spec, evaluation, command),
        "",
        *figure_lines(evaluation),
    ]
    return "\n".join([*lines, ""])


def phantom_card(
    spec: ModelSpec, evaluation: Mapping[str, Any], summary: str, phantoms: str, kept: bool
) -> str:
    """The card, in Markdown, of a demo model.

    Args:
        spec: of the model.
        evaluation: as written into the bundle, see `demo`.
        summary: a sentence on what it does.
        phantoms: sentences on them.
        kept: its backbone is from a run before.
    """
    history, parts = evaluation["backbone"]["history"], evaluation["phantoms"]["patients"]
    folds, again = evaluation["protocol"]["folds"], "`--keep-backbone`"
    # The first head of the demonstration model that comes with the package had its penalty chosen on those that judge.
    chosen = evaluation["backbone"].get("penalty chosen on", "head")
    seen = "penalty" in evaluation["backbone"] and chosen == "head"
    lines = [
        f"# {spec.name}",
        "",
        f"{summary} {evaluation['data']}",
        "",
        "**Trained from scratch on synthetic phantoms only. It has never seen a patient's image, and nothing below says "
        "anything about patients. It shows how the software works. Research use only; not a medical device; not for "
        "diagnosis.**",
        "",
        *_what_it_is(spec, evaluation, evaluation["command"]),
        "",
        "## What it was made from",
        "",
        f"{sum(sum(part.values()) for part in parts.values())} digital breast phantoms of this package, each another "
        f"synthetic woman, split by patient: no woman is in two parts. {phantoms}",
        "",
        "| part | patients | IGM | NME | no lesion |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {sum(n.values())} | {n.get('IGM', 0)} | {n.get('NME', 0)} | {n.get('normal', 0)} |"
            for name, n in parts.items()
        ),
        "",
        "1. The backbone, and the attention where there is one: all weights were random at the start (no ImageNet, no "
        f"other data), and were fitted for {len(history['epochs'])} epochs together with a first head. Those of "
        f"epoch {history['kept epoch']}, the best on the phantoms that choose it, were kept.",
        *_second_look(evaluation["backbone"]),
        "2. The head: fitted on what these say of phantoms that they were not "
        f"fitted on, {folds} times for the cross-validation, each time without the patients that are judged, and "
        "once on all of them. The last is the model's; the others are its folds.",
        *(
            [
                "   But the penalty of the first head was chosen on all of these phantoms, also on those that a fold is "
                "judged on: the figures of the validation, and what is chosen by them, may be somewhat too good.",
            ]
            if seen
            else []
        ),
        "3. The operating points and the temperatures come from the cross-validation, all per patient. No number in the "
        "model comes from the test.",
        *(f"\n{remark}" for remark in evaluation.get("remarks", ())),
        "",
        "What the folds are and are not: an interval of this model is the spread of the folds and the error of the "
        "temperature. The folds share most of their patients, and one backbone with one attention, trained once: how "
        "far another training of these would move the answers has not been measured, and no interval holds it.",
        "",
        f"One command makes all of it from scratch; with {again} only what stands on the backbone. "
        + ("Here the backbone is from a run before: the command has not been rerun as one." if kept else ""),
        "",
        *figure_lines(evaluation, ", but for the one penalty" if seen else ""),
        "",
        "## What it is not",
        "",
        "Phantoms are simpler than people and differ from them in ways that nobody has measured. On real images the "
        "scores may be wrong in any direction, and the heat maps may lie anywhere.",
    ]
    return "\n".join([*lines, ""])


def _second_look(backbone: Mapping[str, Any]) -> list[str]:
    """What is to be said of a first head that the second one goes on from."""
    if "penalty" not in backbone:
        return []
    return [
        "   Early features were put beside the last ones, and the first head's pair of classes was fitted anew on them, "
        "on the same phantoms; its one penalty was chosen on those of the part "
        f"“{backbone.get('penalty chosen on', 'head')}”. "
        "The second head goes on from the first, to which a ridge penalty draws it: so do all folds, and they "
        "differ less than heads from nothing would.",
    ]


def _what_it_is(spec: ModelSpec, evaluation: Mapping[str, Any], command: str) -> list[str]:
    return [
        "## What it is",
        "",
        f"- Recipe: `{spec.recipe}`; backbone {spec.backbone.name} (layer `{spec.backbone.layer}`, weights: "
        f"{spec.backbone.origin}{_frozen(evaluation)}), {spec.pooling.kind} pooling, {spec.head.kind} head.",
        f"- Input: {source_words(spec)}, {spec.preparation.size[0]} × {spec.preparation.size[1]} pixels"
        + (
            ", the field of view cut out of the screen and made square."
            if spec.preparation.view != "whole"
            else "."
        ),
        f"- Made by `{command}`.",
    ]


def figure_lines(evaluation: Mapping[str, Any], but: str = "") -> list[str]:
    """The held-out figures of an evaluation as a card's lines; `but`: what was chosen on those that are judged."""
    lines = [
        "## Held-out figures",
        "",
        f"No patient is on two sides, in the split or in the folds{but}. " + _INTERVALS,
    ]
    if "test" not in evaluation["figures"]:
        lines += [
            "",
            "These are figures of models fitted on a part of the patients; this one was fitted on all.",
        ]
    for part, found in evaluation["figures"].items():
        lines += ["", f"| {part} | value | 95 % interval | of |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {key.replace('/', ', ')} | {one['value']:.3f} | {one['low']:.3f}-{one['high']:.3f} | {one['n']} |"
            for key, one in found.items()
        ]
    for name, one in (evaluation.get("attention") or {}).items():
        # Too few patients have no interval.
        limits = "" if one["low"] is None or one["high"] is None else f" ({one['low']:.3f}-{one['high']:.3f})"
        lines += [
            "",
            f"Attention of models that had not seen the patient, {name}: {one['value']:.3f}{limits}, "
            f"{one['n']} slices; by chance {one['chance']:.3f}.",
        ]
    for label, point in evaluation["operating_points"].items():
        lines += [
            "",
            f"Operating point of {label}: {point['threshold']:.3f} ({point['rule']}, {point['chosen_on']}).",
        ]
    lines += brings(evaluation)
    return lines


def brings(evaluation: Mapping[str, Any]) -> list[str]:
    """Calibration and training ranges in words, as lines of a card."""
    lines = []
    calibration = CaseCalibration.from_json(evaluation.get("calibration"))
    for name, one in calibration.temperatures.items():
        lines += [
            "",
            f"Probabilities of a case for {name} are its scores at temperature {one.value:.2f}, fitted on "
            f"{one.chosen_on}. The operating point is one of the scores, before that.",
        ]
    ranges = TrainingRanges.from_json(evaluation.get("ranges"))
    if ranges is not None and ranges.numbers:
        lines += [
            "",
            "## What it has seen",
            "",
            f"{ranges.studies} studies. On images outside these ranges nothing is known of it.",
            "",
            "| of a study | lowest | median | highest |",
            "| --- | --- | --- | --- |",
            *(
                f"| {name} | {one.low:.4g} | {one.median:.4g} | {one.high:.4g} |"
                for name, one in ranges.numbers.items()
            ),
            *(
                f"| {name} | {', '.join(f'{value}: {count}' for value, count in counts.items())} | | |"
                for name, counts in ranges.choices.items()
            ),
        ]
    return lines
