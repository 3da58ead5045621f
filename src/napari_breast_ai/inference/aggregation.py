"""From the scores of slices to the scores of the case, with the rule in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core import Box, CaseScores, LabelGroup
from ..models import AggregationSpec

NO_LESION = "normal tissue"
"""A box of this class marks a slice's normal tissue and makes no slice vote."""


@dataclass(frozen=True)
class _Part:
    """One group's share of the case: scores, voters, rule and, maybe, a warning."""

    scores: dict[str, float | None]
    voters: tuple[int, ...]
    rule: str
    warning: str = ""


def boxed_slices(boxes: Collection[Box]) -> tuple[int, ...]:
    """The slices on which a lesion is boxed, rising."""
    return tuple(sorted({box.z for box in boxes if box.label != NO_LESION}))


def aggregate(
    probabilities: Mapping[str, NDArray[np.floating]],
    slices: Sequence[int],
    groups: Sequence[LabelGroup],
    spec: AggregationSpec,
    boxed: Collection[int] | None = None,
) -> tuple[CaseScores, tuple[str, ...]]:
    """Score the case; see `AggregationSpec` for which slices vote on what.

    Args:
        probabilities: label to (n,) scores of the slices.
        slices: the n slice indices.
        groups: the model's label groups.
        spec: the model's rule.
        boxed: the slices on which a person boxed a lesion; None if nobody drew boxes. It decides who votes on
            groups that no gate guards.

    Returns:
        The scores, and sentences of warning that belong beside them.
    """
    gates = {group.gate for group in groups if group.gate is not None}
    parts = []
    for group in groups:
        if gates & set(group.labels):
            parts.append((group, _highest(probabilities, slices, group, spec)))
        elif group.gate is not None:
            parts.append((group, _gated(probabilities, slices, group, spec)))
        else:
            parts.append((group, _boxed(probabilities, slices, group, boxed)))
    return (
        CaseScores(
            {label: part.scores[label] for group, part in parts for label in group.labels},
            {group.name: part.voters for group, part in parts},
            "; ".join(part.rule for _, part in parts) + ".",
        ),
        tuple(part.warning for _, part in parts if part.warning),
    )


def outdated(
    case: CaseScores, slices: Sequence[int], groups: Sequence[LabelGroup], boxes: Collection[Box]
) -> tuple[str, ...]:
    """The groups whose score of the case other slices would make with the boxes of now: those that no gate guards.

    Args:
        case: from `aggregate`.
        slices: that were scored.
        groups: the model's label groups.
        boxes: a person's, of now.
    """
    if not slices:  # a model of the whole case
        return ()
    gates = {group.gate for group in groups if group.gate is not None}
    boxed = boxed_slices(boxes) if boxes else None
    voters = tuple(int(index) for index in slices if boxed is None or index in boxed)
    return tuple(
        group.name
        for group in groups
        if group.gate is None
        and not gates & set(group.labels)
        and case.voting_slices.get(group.name, ()) != voters
    )


def _highest(
    probabilities: Mapping[str, NDArray[np.floating]],
    slices: Sequence[int],
    group: LabelGroup,
    spec: AggregationSpec,
) -> _Part:
    """The highest slice, or the mean of the highest few. Their indices are the voters."""
    count = min(1 if spec.gate_rule == "max" else spec.top, len(slices))
    scores: dict[str, float | None] = {}
    voters: set[int] = set()
    for label in group.labels:
        values = np.asarray(probabilities[label], dtype=np.float64)
        best = np.argsort(-values, kind="stable")[:count]
        scores[label] = float(values[best].mean())
        voters |= {int(slices[int(i)]) for i in best}
    how = f"the mean of the {count} highest" if count > 1 else "the highest"
    return _Part(scores, tuple(sorted(voters)), f"{group.name}: {how} of {_slices(len(slices))}")


def _gated(
    probabilities: Mapping[str, NDArray[np.floating]],
    slices: Sequence[int],
    group: LabelGroup,
    spec: AggregationSpec,
) -> _Part:
    """The mean over slices that pass the gate, weighted by the gate's score."""
    gate = np.asarray(probabilities[str(group.gate)], dtype=np.float64)
    passed = gate >= spec.gate_threshold
    condition = f"{group.gate!r} of at least {spec.gate_threshold:g}"
    if not passed.any():
        return _Part(
            dict.fromkeys(group.labels),
            (),
            f"{group.name}: no score, since no slice has a score for {condition}",
        )
    scores: dict[str, float | None] = {
        label: float(np.average(np.asarray(probabilities[label], np.float64)[passed], weights=gate[passed]))
        for label in group.labels
    }
    voters = tuple(int(slices[i]) for i in range(len(slices)) if passed[i])
    rule = (
        f"{group.name}: the mean over the {len(voters)} of {_slices(len(slices))} with a score for "
        f"{condition} ({ranges(voters)}), weighted by that score"
    )
    return _Part(scores, voters, rule)


def _boxed(
    probabilities: Mapping[str, NDArray[np.floating]],
    slices: Sequence[int],
    group: LabelGroup,
    boxed: Collection[int] | None,
) -> _Part:
    """The mean over slices with a box, or over all of them where there is none to go by."""
    keep = [i for i, index in enumerate(slices) if boxed is None or index in boxed]
    if not keep:
        return _Part(
            dict.fromkeys(group.labels),
            (),
            f"{group.name}: no score, since no slice has a lesion's box",
        )
    voters = tuple(int(slices[i]) for i in keep)
    scores: dict[str, float | None] = {
        label: float(np.asarray(probabilities[label], np.float64)[keep].mean()) for label in group.labels
    }
    if boxed is not None:
        rule = f"{group.name}: the mean over {_slices(len(voters))} with a lesion's box ({ranges(voters)})"
        return _Part(scores, voters, rule)
    rule = f"{group.name}: the mean over {_slices(len(voters))} ({ranges(voters)})"
    warning = ""
    if len(voters) > 1:
        warning = (
            f"This model doesn't say which slices show a lesion, so all {len(voters)} slices voted on "
            f"{group.name}. Draw boxes on the lesion or choose its slices to let only those vote."
        )
    return _Part(scores, voters, rule, warning)


def _slices(count: int) -> str:
    return f"{count} slice" if count == 1 else f"{count} slices"


def ranges(indices: Sequence[int]) -> str:
    """Rising indices for people: (1, 2, 3, 7) is "1–3, 7"."""
    found: list[list[int]] = []
    for index in indices:
        if found and index == found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in found)
