"""Is this study like those that the model was trained on? Findings in words, each with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume, Progress, silent
from ..models import PreparationSpec
from ..models.ranges import BODY, Range, StudyFacts, TrainingRanges
from .errors import InferenceError
from .facts import study_facts
from .fat_suppression import uneven_fat
from .late_order import late_order
from .phase_order import phase_order
from .preparation import ImagePlan, plan_images

Severity = Literal["note", "outside", "unusable"]
"""Worth knowing; the scores are about something the model was not trained on; the model cannot run on it."""


@dataclass(frozen=True)
class Finding:
    """One thing about a study that is not as in the training.

    Attributes:
        about: "input", "contrast", "spacing", "field", "timing", "fat suppression", "intensity", "side", "orientation",
            "features" or "training".
        severity: how much it matters.
        text: a sentence with the reason.
    """

    about: str
    severity: Severity
    text: str


@dataclass(frozen=True)
class RangeReport:
    """What was found about one study under one model.

    Attributes:
        findings: the gravest first; () where the study is like the training.
        known: the model tells its ranges.
        features: its slices were compared in the space of the model's features, too.
    """

    findings: tuple[Finding, ...]
    known: bool
    features: bool = False

    @property
    def outside(self) -> bool:
        """The model's scores are not to be shown as certain."""
        return any(finding.severity != "note" for finding in self.findings)

    @property
    def like(self) -> bool | None:
        """The study is like those of the training; None where nothing tells what these were."""
        return False if self.outside else True if self.known else None

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why not, in sentences; () where nothing speaks against it."""
        return tuple(finding.text for finding in self.findings if finding.severity != "note")

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "ranges_known": self.known,
            "features_compared": self.features,
            "outside": self.outside,
            "findings": [dict(vars(finding)) for finding in self.findings],
        }


UNKNOWN = Finding(
    "training",
    "note",
    "The model does not tell what it was trained on, so nothing can say whether this study is like it.",
)


def check_range(
    volume: DceVolume,
    preparation: PreparationSpec,
    ranges: TrainingRanges | None,
    vectors: NDArray[np.floating[Any]] | None = None,
    progress: Progress = silent,
) -> RangeReport:
    """Hold a study against what a model was trained on.

    Args:
        volume: the study, all its slices read.
        preparation: of the model.
        ranges: of the model's bundle; None where it has none: then only what is wrong with any model is found.
        vectors: backbone features of the slices that were run, averaged over each slice, (n, C); None before the run.
        progress: told between its parts; may cancel.
    """
    done = 0

    def step() -> None:
        nonlocal done
        progress(done, _STEPS, "Comparing the study with the training")
        done += 1

    step()
    try:
        plan = plan_images(volume, preparation)
    except InferenceError as error:
        return RangeReport((Finding("input", "unusable", str(error)),), ranges is not None)
    step()
    order = [Finding("contrast", "outside", text) for text in phase_order(volume, plan.floor)]
    found = list(order) or list(_pixels(volume, plan, step))
    step()
    if ranges is None:
        found.append(UNKNOWN)
    else:
        facts = study_facts(volume, plan)
        found += _choices(facts, ranges)
        found += [one for one in _numbers(facts, ranges) if not (order and one.about == "contrast")]
    return with_features(RangeReport(_gravest_first(found), ranges is not None), vectors, ranges)


def with_features(
    report: RangeReport, vectors: NDArray[np.floating[Any]] | None, ranges: TrainingRanges | None
) -> RangeReport:
    """What was found before the run, and what the slices look like to the model; arguments as for `check_range`."""
    if ranges is None or ranges.features is None or vectors is None:
        return report
    found = (*report.findings, *feature_findings(vectors, ranges))
    return replace(report, findings=_gravest_first(found), features=True)


def _gravest_first(found: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda finding: ("unusable", "outside", "note").index(finding.severity)))


_STEPS = 5
"""Parts of the check before the run, between which it can be cancelled."""


def _pixels(volume: DceVolume, plan: ImagePlan, step: Callable[[], None]) -> Iterator[Finding]:
    """What is wrong with any model, where contrast agent comes after the pre-contrast phase."""
    step()
    if (exchange := late_order(volume, plan.floor)) is not None:
        seen = {plan.phase, *plan.phases} & set(exchange.phases)
        text = (
            exchange.text if seen else f"{exchange.text} The model sees neither of them; kinetic curves do."
        )
        yield Finding("contrast", "outside" if seen else "note", text)
    step()
    if (fat := uneven_fat(volume, plan.phase)) is not None:
        yield Finding("fat suppression", "outside", fat.text)


def feature_findings(
    vectors: NDArray[np.floating[Any]] | None, ranges: TrainingRanges | None
) -> list[Finding]:
    """Whether slices look to the model like those of the training.

    Of a study in range about one slice in twenty lies beyond the distance of 95 in 100 training slices; slices of one
    patient go together, so it is the middle slice that decides, against the distance of 99 in 100.
    """
    if vectors is None or ranges is None or ranges.features is None or not len(vectors):
        return []
    usual, _, most = ranges.features.distances
    distances = ranges.features.distance(vectors)
    middle = float(np.median(distances))
    far = int(np.count_nonzero(distances > most))
    if middle > most:
        what = "This slice looks" if len(distances) == 1 else "Most of these slices look"
        return [
            Finding(
                "features",
                "outside",
                f"{what} to the model unlike anything in its training: {middle / usual:.1f} times as far away as new "
                f"patients' slices usually are, of which 99 in 100 stay below {most / usual:.1f} times.",
            )
        ]
    if far > max(2, 0.25 * len(distances)):
        return [
            Finding(
                "features",
                "note",
                f"{far} of {len(distances)} slices look to the model unlike those of its training.",
            )
        ]
    return []


_CHOICES = {
    "image": "The model would see a {0} of this study; it was trained on a {1}.",
    "orientation": "The slices are {0}; in the training they were {1}.",
    "side": "The study shows {0}; the training studies show {1}.",
}
_BREASTS = {"both": "both breasts", "left": "the left breast only", "right": "the right breast only"}


def _choices(facts: StudyFacts, ranges: TrainingRanges) -> Iterator[Finding]:
    for name, value in facts.choices().items():
        counts = ranges.choices.get(name)
        if not counts or counts.get(value, 0) or value == "unknown":
            continue
        told = " or ".join(_BREASTS.get(one, one) for one in counts)
        text = _CHOICES[name].format(_BREASTS.get(value, value), told)
        yield Finding("input" if name == "image" else name, "outside", text)


@dataclass(frozen=True)
class _Rule:
    """What a number that is out of range means.

    Attributes:
        names: numbers that are one thing; the one that is furthest outside speaks.
        about, severity: of the finding.
        low, high: a sentence for a number below and above, with {0} the number and {1} the range; "" says nothing.
        unit: behind the numbers.
        least: a difference that never matters, in the unit.
    """

    names: tuple[str, ...]
    about: str
    low: str
    high: str
    unit: str
    severity: Severity = "outside"
    least: float = 0.0


_IN = "in the training it was {1}."
_GREY, _RISE = "grey of the body, part of its 99th percentile", "enhancement of the body, %"


def _percentiles(name: str, *which: int) -> tuple[str, ...]:
    return tuple(f"{name}: percentile {percent}" for percent in BODY if percent in which)


def _both(text: str) -> tuple[str, str]:
    return text, text


_RULES = (
    _Rule(("distance of slices, mm",), "spacing", *_both(f"The slices are {{0}} apart; {_IN}"), "mm"),
    _Rule(
        ("distance of rows, mm", "distance of columns, mm"),
        "spacing",
        *_both(f"A pixel is {{0}} wide; {_IN}"),
        "mm",
    ),
    _Rule(
        ("field across rows, mm", "field across columns, mm"),
        "field",
        f"The image shows only {{0}} of the patient, so that a lesion looks larger to the model; {_IN}",
        f"The image shows {{0}} of the patient, so that a lesion looks smaller to the model; {_IN}",
        "mm",
    ),
    _Rule(
        ("time of the seen phase after the pre-contrast one, s",),
        "timing",
        *_both(f"The phase that the model sees began {{0}} after the pre-contrast one; {_IN}"),
        "s",
        least=2.0,
    ),
    _Rule(
        ("time between phases, s",),
        "timing",
        *_both(f"The phases are {{0}} apart; {_IN}"),
        "s",
        least=2.0,
    ),
    _Rule(("phases",), "timing", *_both(f"The study has {{0}} phases; {_IN}"), "", "note"),
    _Rule(
        _percentiles(_GREY, 5, 25, 50),
        "fat suppression",
        "The darker tissue is darker than the model knows it ({0} of the brightest; in the training {1}).",
        "The darker tissue, most of it fat, is brighter than the model knows it ({0} of the brightest; in the training "
        "{1}). Fat may not be suppressed.",
        "",
        least=0.01,
    ),
    _Rule(
        _percentiles(_GREY, 75, 95),
        "intensity",
        *_both(
            "The brighter tissue is not as the model knows it ({0} of the brightest; in the training {1})."
        ),
        "",
        least=0.01,
    ),
    _Rule(
        _percentiles(_RISE, 5, 25),
        "contrast",
        "Part of the tissue gets much darker after the contrast agent ({0}; in the training {1}). The phases may be in "
        "the wrong order, or she moved.",
        "Even the tissue that takes up least enhances by {0}; in the training by {1}.",
        "%",
        least=2.0,
    ),
    _Rule(
        _percentiles(_RISE, 50, 75, 95),
        "contrast",
        "The tissue takes up less contrast agent than the model knows ({0}; in the training {1}). The phase that it "
        "sees may be the wrong one.",
        "The tissue takes up more contrast agent than the model knows ({0}; in the training {1}). The phase that it "
        "sees may be the wrong one.",
        "%",
        least=2.0,
    ),
)


def margin(of: Range, studies: int, least: float = 0.0) -> float:
    """How far beyond the lowest and highest training study a number still counts as like them.

    Six tenths of the span of the middle nine in ten, more where few studies tell it: with twenty numbers a study, one of
    them is easily beyond all of the training. 3 % of the median at least, for a number that was always the same.
    """
    return max((of.p95 - of.p5) * max(0.6, 10 / max(studies, 1)), 0.03 * abs(of.median), least)


def _numbers(facts: StudyFacts, ranges: TrainingRanges) -> Iterator[Finding]:
    numbers = facts.numbers()
    for rule in _RULES:
        worst: tuple[float, float, Range] | None = None
        for name in rule.names:
            of = ranges.numbers.get(name)
            if of is None or name not in numbers:
                continue
            value, room = numbers[name], margin(of, ranges.studies, rule.least)
            beyond = max(of.low - value, value - of.high)
            if beyond > room and (worst is None or beyond / room > worst[0]):
                worst = (beyond / room, value, of)
        if worst is not None:
            _, value, of = worst
            text = rule.low if value < of.low else rule.high
            yield Finding(
                rule.about, rule.severity, text.format(_said(value, rule.unit), _span(of, rule.unit))
            )


def _said(value: float, unit: str) -> str:
    return f"{_short(value)} {unit}".rstrip()


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def _span(of: Range, unit: str) -> str:
    low, high = _short(of.low), _short(of.high)
    return _said(of.low, unit) if low == high else f"{low} to {high} {unit}".rstrip()


def slice_vectors(maps: Any) -> NDArray[np.float32]:
    """Features averaged over each slice, (n, C), from maps (n, C, h, w), as the ranges hold them."""
    values: NDArray[np.float32] = maps.float().mean(dim=(2, 3)).cpu().numpy()
    return values


def say_findings(findings: Sequence[Finding]) -> str:
    """One line a finding."""
    return "\n".join(finding.text for finding in findings)
