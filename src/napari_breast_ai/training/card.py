"""A model card for people: what the model is, what it was made from, what the figures are, and what not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..models import ImageSource, ModelSpec
from .evaluate import Evaluation
from .metrics import Estimate

_INTERVALS = (
    "Intervals are 95 %: Wilson's for proportions, DeLong's for AUCs per patient, a bootstrap over "
    "patients for AUCs per slice."
)


@dataclass(frozen=True)
class Provenance:
    """What the card says about the making of a model.

    Attributes:
        summary: one sentence: what it does.
        parts: part of the split ("training", "validation", "held-out test") to number of patients by class.
        cohort: sentences on the phantoms.
        fitting: sentences on how it was fitted.
        command: the command that makes it again.
    """

    summary: str
    parts: Mapping[str, Mapping[str, int]]
    cohort: str
    fitting: str
    command: str


def phantom_card(spec: ModelSpec, provenance: Provenance, evaluation: Evaluation) -> str:
    """The card, in Markdown, of a model that was trained on phantoms only and judged on other phantoms.

    Args:
        spec: of the model.
        provenance: of the model.
        evaluation: on held-out phantoms.
    """
    total = sum(sum(part.values()) for part in provenance.parts.values())
    held_out = sum(evaluation.patients.values())
    lines = [
        f"# {spec.name}",
        "",
        provenance.summary,
        "",
        "**Trained from scratch on synthetic phantoms only. It has never seen a patient's image, and "
        "nothing below says anything about patients. It shows how the software works. Research use "
        "only; not a medical device; not for diagnosis.**",
        "",
        "## What it is",
        "",
        f"- Recipe: `{spec.recipe}`; backbone {spec.backbone.name} (layer `{spec.backbone.layer}`), "
        f"{spec.pooling.kind} pooling, {spec.head.kind} head.",
        f"- Input: {_source(spec)}, {spec.preparation.size[0]} × {spec.preparation.size[1]} pixels.",
        f"- Answers: {_groups(spec)}.",
        f"- Weights: random at the start (no ImageNet, no other data). {provenance.fitting}",
        "",
        "## What it was made from",
        "",
        f"{total} digital breast phantoms of this package, each another synthetic woman, split by "
        f"patient: no woman is in two parts. {provenance.cohort}",
        "",
        "| part | patients | IGM | NME | no lesion |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {sum(n.values())} | {n.get('IGM', 0)} | {n.get('NME', 0)} | {n.get('normal', 0)} |"
            for name, n in provenance.parts.items()
        ),
        "",
        f"Made by `{provenance.command}`.",
        "",
        "## Held-out figures, on phantoms",
        "",
        f"From the {held_out} phantoms of the test part ({evaluation.slices[0]} slices, "
        f"{evaluation.slices[1]} with a lesion), used for nothing else. " + _INTERVALS,
        "",
        "| figure | value | 95 % interval | of |",
        "| --- | --- | --- | --- |",
        *(_row(name.replace("/", ", "), estimate) for name, estimate in evaluation.figures.items()),
    ]
    if evaluation.pointing is not None:
        game = evaluation.pointing
        lines += [
            _row("attention's peak inside a true lesion box", game.hits),
            _row("attention's largest cell touches a true lesion box", game.cells),
            "",
            f"By chance the peak would lie inside a box on {game.chance:.1%} of these slices, and the "
            f"largest cell would touch one on {game.chance_cells:.1%}.",
        ]
    if evaluation.unanswered:
        lines += [
            "",
            f"On {evaluation.unanswered} patients with a lesion no slice let the diagnosis be answered; "
            "they count as wrong, and as undecided in the AUC.",
        ]
    lines += [
        "",
        f"How a case is scored, in the words of one case: {evaluation.rule}",
        "",
        "## What it is not",
        "",
        "Phantoms are simpler than people and differ from them in ways that nobody has measured. On "
        "real images the scores may be wrong in any direction, and the heat maps may lie anywhere.",
        "",
    ]
    return "\n".join(lines)


def _row(name: str, estimate: Estimate) -> str:
    return f"| {name} | {estimate.value:.3f} | {estimate.low:.3f}-{estimate.high:.3f} | {estimate.n} |"


def _source(spec: ModelSpec) -> str:
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


def _groups(spec: ModelSpec) -> str:
    said = []
    for group in spec.groups:
        names = " against ".join(group.labels) if group.activation == "softmax" else ", ".join(group.labels)
        said.append(names + (f" (on slices with {group.gate})" if group.gate else ""))
    return "; ".join(said)


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
        f"Answers {_groups(spec)}. {evaluation['data']}",
        "",
        "**Research use only; not a medical device; not for diagnosis. What it does on images of another scanner, "
        "hospital or kind of patient has not been measured.**",
        "",
        "## What it is",
        "",
        f"- Recipe: `{spec.recipe}`; backbone {spec.backbone.name} (layer `{spec.backbone.layer}`, weights: "
        f"{spec.backbone.origin}, frozen), {spec.pooling.kind} pooling, {spec.head.kind} head.",
        f"- Input: {_source(spec)}, {spec.preparation.size[0]} × {spec.preparation.size[1]} pixels.",
        f"- Made by `{command}`.",
        "",
        "## Held-out figures",
        "",
        "No patient is on two sides, in the split or in the folds. " + _INTERVALS,
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
    for label, point in evaluation["operating_points"].items():
        lines += [
            "",
            f"Operating point of {label}: {point['threshold']:.3f} ({point['rule']}, {point['chosen_on']}).",
        ]
    return "\n".join([*lines, ""])
