"""Who votes on the case, and how it is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_breast_ai.core import Box, LabelGroup
from napari_breast_ai.inference import aggregate, boxed_slices
from napari_breast_ai.inference.aggregation import outdated, ranges
from napari_breast_ai.models import AggregationSpec

LESION = LabelGroup("lesion", ("lesion",), "sigmoid")
GATED = LabelGroup("diagnosis", ("IGM", "NME"), "softmax", gate="lesion")
FREE = LabelGroup("diagnosis", ("IGM", "NME"), "softmax")
SLICES = (4, 5, 6, 7, 9)


def _scores(lesion: list[float], igm: list[float]) -> dict[str, np.ndarray]:
    return {"lesion": np.array(lesion), "IGM": np.array(igm), "NME": 1 - np.array(igm)}


def test_slices_without_a_lesion_do_not_vote() -> None:
    scores = _scores([0.1, 0.5, 0.9, 0.6, 0.49], [0.0, 0.2, 0.8, 0.6, 0.0])
    case, warnings = aggregate(scores, SLICES, (LESION, GATED), AggregationSpec(gate_rule="max"))
    igm = (0.5 * 0.2 + 0.9 * 0.8 + 0.6 * 0.6) / 2.0
    assert case.probabilities == pytest.approx({"lesion": 0.9, "IGM": igm, "NME": 1 - igm})
    assert case.voting_slices == {"lesion": (6,), "diagnosis": (5, 6, 7)}
    assert case.rule == (
        "lesion: the highest of 5 slices; diagnosis: the mean over the 3 of 5 slices with a score for 'lesion' of "
        "at least 0.5 (5–7), weighted by that score."
    )
    assert warnings == ()


def test_no_lesion_no_question() -> None:
    case, warnings = aggregate(
        _scores([0.1, 0.2, 0.3, 0.4, 0.3], [1.0] * 5), SLICES, (LESION, GATED), AggregationSpec(top=2)
    )
    assert case.probabilities == {"lesion": pytest.approx(0.35), "IGM": None, "NME": None}
    assert case.voting_slices["diagnosis"] == ()
    assert "lesion: the mean of the 2 highest of 5 slices" in case.rule
    assert "no score, since no slice has a score for 'lesion' of at least 0.5" in case.rule
    assert warnings == ()


def test_the_highest_few_are_no_more_than_there_are() -> None:
    case, _ = aggregate(_scores([0.8], [0.5]), (3,), (LESION, GATED), AggregationSpec(top=3))
    assert case.probabilities["lesion"] == pytest.approx(0.8)
    assert case.voting_slices["lesion"] == (3,)
    assert "lesion: the highest of 1 slice;" in case.rule


def test_a_gate_stands_even_where_boxes_are() -> None:
    scores = _scores([0.9, 0.1, 0.1, 0.1, 0.1], [1.0, 0, 0, 0, 0])
    case, _ = aggregate(scores, SLICES, (LESION, GATED), AggregationSpec(), boxed=(9,))
    assert case.voting_slices["diagnosis"] == (4,)


def test_without_a_gate_the_boxed_slices_vote() -> None:
    scores = _scores([0] * 5, [0.0, 0.2, 0.4, 1.0, 1.0])
    case, warnings = aggregate(scores, SLICES, (FREE,), AggregationSpec(), boxed=(5, 6, 30))
    assert case.probabilities["IGM"] == pytest.approx(0.3)
    assert case.voting_slices == {"diagnosis": (5, 6)}
    assert case.rule == "diagnosis: the mean over 2 slices with a lesion's box (5–6)."
    assert warnings == ()


def test_without_a_gate_and_boxes_every_slice_votes_and_a_warning_says_so() -> None:
    scores = _scores([0] * 5, [0.0, 0.2, 0.4, 1.0, 0.9])
    case, warnings = aggregate(scores, SLICES, (FREE,), AggregationSpec())
    assert case.probabilities["IGM"] == pytest.approx(0.5)
    assert case.rule == "diagnosis: the mean over 5 slices (4–7, 9)."
    assert len(warnings) == 1
    assert "all 5 slices voted on diagnosis. Draw boxes" in warnings[0]


def test_one_chosen_slice_needs_no_warning() -> None:
    case, warnings = aggregate(_scores([0], [0.25]), (7,), (FREE,), AggregationSpec())
    assert case.probabilities["IGM"] == pytest.approx(0.25)
    assert warnings == ()


def test_boxes_elsewhere_leave_the_case_open() -> None:
    case, _ = aggregate(_scores([0] * 5, [0.5] * 5), SLICES, (FREE,), AggregationSpec(), boxed=(1,))
    assert case.probabilities == {"IGM": None, "NME": None}
    assert "no score, since no slice has a lesion's box" in case.rule


def test_boxes_of_normal_tissue_make_no_slice_vote() -> None:
    boxes = [
        Box(z, 0, 0, 4, 4, label) for z, label in ((8, "NME"), (2, "IGM"), (2, "NME"), (5, "normal tissue"))
    ]
    assert boxed_slices(boxes) == (2, 8)


@pytest.mark.parametrize(
    ("indices", "text"), [((), ""), ((3,), "3"), ((3, 4), "3–4"), ((0, 2, 3, 4, 8), "0, 2–4, 8")]
)
def test_ranges(indices: tuple[int, ...], text: str) -> None:
    assert ranges(indices) == text


def test_boxes_that_came_after_the_run_are_noticed_where_they_would_count():
    """Only where no gate tells which slices show a lesion, and only where other slices would vote."""
    slices = (2, 3, 4)
    scores = {label: np.full(3, 0.5) for label in ("lesion", "IGM", "NME")}
    free = (LabelGroup("kind", ("IGM", "NME"), "softmax"),)
    gated = (LabelGroup("lesion", ("lesion",), "sigmoid"), replace(free[0], gate="lesion"))
    one, other = Box(3, 0, 0, 5, 5, "IGM"), Box(3, 6, 6, 9, 9, "NME")
    for groups, told in ((free, ("kind",)), (gated, ())):
        case, _ = aggregate(scores, slices, groups, AggregationSpec(), None)
        assert outdated(case, slices, groups, ()) == ()
        assert outdated(case, slices, groups, (one,)) == told
        assert outdated(case, (), groups, (one,)) == (), "a model of the whole case"
        boxed, _ = aggregate(scores, slices, groups, AggregationSpec(), (3,))
        assert outdated(boxed, slices, groups, (one, other)) == ()
        assert outdated(boxed, slices, groups, ()) == told
