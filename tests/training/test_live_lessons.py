"""Other cases teach along: the optimum of all cells, few bytes, and scores that another optimiser agrees with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from napari_breast_ai.annotations import Placing
from napari_breast_ai.annotations.boxed import BoxedCase
from napari_breast_ai.annotations.cases import CaseRecord
from napari_breast_ai.core import Box, Geometry, LabelGroup
from napari_breast_ai.models import load_bundle
from napari_breast_ai.models.pooling import AttentionPooling
from napari_breast_ai.training import live, live_cohort
from napari_breast_ai.training.errors import TrainingError
from napari_breast_ai.training.lessons import MOST_EMPTY, Lesson, gather_lessons, lesson_of, some_of
from napari_breast_ai.training.live import LiveAttention, LiveSpec
from napari_breast_ai.training.live_cohort import BoxedCohort, BoxedRow, order_for
from napari_breast_ai.training.live_scores import LiveScores, ScoreSpec

SHAPE = (60, 80)
WHOLE = (0, 0, *SHAPE)
GEOMETRY = Geometry.from_dicom((6, *SHAPE), (1, 1), 3.0, (0, 0, 0), (1, 0, 0, 0, 1, 0))
SCALE = torch.tensor([1.0, 10, 0.1, 3, 0.5])[:, None, None]
GROUPS = (
    LabelGroup("lesion", ("lesion",), "sigmoid"),
    LabelGroup("kind", ("IGM", "NME"), "softmax", "lesion"),
)


def maps(seed: int, slices: int = 6) -> torch.Tensor:
    return torch.rand((slices, 5, 6, 8), generator=torch.Generator().manual_seed(seed)) * SCALE


def own_scores(slices: int, seed: int = 0) -> dict[str, np.ndarray]:
    igm = np.random.default_rng(seed).uniform(0.2, 0.8, slices).astype(np.float32)
    return {"lesion": 1 - igm / 2, "IGM": igm, "NME": 1 - igm}


def lesson(seed: int, boxes: list[Box], empty: tuple[int, ...] = ()) -> Lesson:
    slices = tuple(sorted({box.z for box in boxes} | set(empty)))
    return Lesson(
        f"1.{seed}",
        Placing(GEOMETRY),
        slices,
        maps(seed)[list(slices)],
        {label: values[list(slices)] for label, values in own_scores(6, seed).items()},
        WHOLE,
        tuple(boxes),
        empty,
    )


def pooling() -> AttentionPooling:
    torch.manual_seed(1)
    return AttentionPooling(5)


OTHERS = [
    lesson(7, [Box(1, 10, 10, 30, 40, "NME"), Box(2, 10, 10, 30, 40, "NME")]),
    lesson(8, [Box(4, 30, 30, 50, 70, "IGM")], (0,)),
]


def test_other_cases_teach_as_their_slices_would_in_this_one() -> None:
    """One study of all slices, and one study with the others beside it, have one optimum."""
    features = maps(1)
    boxes = [Box(3, 5, 5, 20, 20, "IGM")]
    spec = LiveSpec(penalty=0.05, iterations=500)
    together = LiveAttention(features, pooling(), WHOLE, spec)
    found = together.fit(boxes, (), OTHERS)
    assert (found.boxes, found.cases, found.taught) == (4, 3, (3,))

    x = features.double().numpy()
    mean, std = x.mean((0, 2, 3)), x.std((0, 2, 3), ddof=1)
    parts = [x[[3]], *(one.maps.double().numpy() for one in OTHERS)]
    z = np.concatenate([((p.transpose(0, 2, 3, 1) - mean) / std).reshape(-1, 5) for p in parts])
    from napari_breast_ai.inference.box_cells import boxes_to_map

    want = [boxes_to_map(boxes, SHAPE, (6, 8))]
    for one in OTHERS:
        want += [boxes_to_map([b for b in one.boxes if b.z == s], SHAPE, (6, 8)) for s in one.slices]
    y = np.stack(want).ravel()
    anchor = pooling().attend.weight.detach().double().numpy()[0, :, 0, 0] * std

    def loss(p: np.ndarray) -> float:
        logit = z @ p[:5] + p[5]
        cross = spec.positive * y * np.logaddexp(0, -logit) + (1 - y) * np.logaddexp(0, logit)
        return float(cross.mean() + 0.5 * spec.penalty * ((p[:5] - anchor) ** 2).sum())

    best = minimize(loss, np.zeros(6), method="BFGS", options={"gtol": 1e-9})
    logits = ((x.transpose(0, 2, 3, 1) - mean) / std) @ best.x[:5] + best.x[5]
    np.testing.assert_allclose(found.attention, 1 / (1 + np.exp(-logits)), atol=2e-3)

    # From where another study has left off it is the same place; without boxes here the others teach alone.
    left = LiveAttention(maps(2), pooling(), WHOLE, spec).fit((), (), OTHERS)
    assert left.cases == 2 and left.taught == ()
    again = LiveAttention(features, pooling(), WHOLE, spec, last=left).fit(boxes, (), OTHERS)
    np.testing.assert_allclose(again.attention, found.attention, atol=2e-3)
    np.testing.assert_allclose(
        together.fit(()).attention, LiveAttention(features, pooling(), WHOLE).fit(()).attention
    )


def test_many_cases_teach_with_some_of_their_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer cells, weighted up: nearly the same attention, never more bytes than allowed, and no case is left out."""
    many = [lesson(20 + i, [Box(z, 10, 10, 30, 40, "NME") for z in range(6)]) for i in range(8)]
    spec = LiveSpec(penalty=0.05, iterations=300)
    whole = LiveAttention(maps(1), pooling(), WHOLE, spec).fit((), (), many)
    few = 8 * 100 * 4 * 5
    monkeypatch.setattr(live, "MOST", few)
    learner = LiveAttention(maps(1), pooling(), WHOLE, spec)
    found = learner.fit((), (), many)
    cells = learner._cells_of(many)
    assert len(cells) == 8 and all(0 < len(one.inputs) <= 100 for one in cells)
    for one in cells:
        assert float(one.weight.sum()) == pytest.approx(6 * 6 * 8)
    assert np.abs(found.attention - whole.attention).mean() < 0.05
    assert learner._cells_of(many) is cells, "from box to box they stay"


def test_scores_are_the_optimum_that_another_optimiser_finds() -> None:
    features, own = maps(1), own_scores(6, 1)
    boxes = [Box(3, 5, 5, 20, 20, "IGM")]
    spec = ScoreSpec(0.2, 500)
    attention = LiveAttention(features, pooling(), WHOLE).fit(boxes, (), OTHERS)
    found = LiveScores(features, GROUPS, own, spec).fit(attention, boxes, (), OTHERS)
    # One case has two NME, two have one IGM each; one slice without a lesion.
    assert found.groups == ("lesion", "kind") and (found.boxes, found.cases) == (4, 3)

    x = features.double().numpy()
    mean, std = x.mean((0, 2, 3)), x.std((0, 2, 3), ddof=1)

    def pooled(part: np.ndarray) -> np.ndarray:
        look = 1 / (1 + np.exp(-(np.einsum("nchw,c->nhw", part, attention.weight) + attention.bias)))
        return (np.einsum("nchw,nhw->nc", part, look) / look.sum((1, 2))[:, None] - mean) / std

    rows = [
        pooled(x[[3]]),
        pooled(OTHERS[0].maps.double().numpy()),
        pooled(OTHERS[1].maps.double().numpy()[1:]),
    ]
    base = [own["IGM"][[3]], OTHERS[0].scores["IGM"], OTHERS[1].scores["IGM"][1:]]
    v, p = np.concatenate(rows), np.concatenate(base).astype(float)
    offset = np.stack([np.log(p), np.log(1 - p)], 1)
    y, share = np.array([0, 1, 1, 0]), np.array([1 / 3, 1 / 6, 1 / 6, 1 / 3])

    def loss(q: np.ndarray) -> float:
        w = q.reshape(2, 6)
        logits = offset + v @ w[:, :5].T + w[:, 5]
        each = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(4), y]
        return float((share * each).sum() + 0.5 * 0.2 * (q**2).sum())

    best = minimize(loss, np.zeros(12), method="BFGS", options={"gtol": 1e-9}).x.reshape(2, 6)
    logits = np.log(np.stack([own["IGM"], own["NME"]], 1)) + pooled(x) @ best[:, :5].T + best[:, 5]
    np.testing.assert_allclose(
        found.probabilities["IGM"], 1 / (1 + np.exp(logits[:, 1] - logits[:, 0])), atol=2e-3
    )
    # The slice that was said to show no lesion belongs to another case; here what looks like it sinks.
    assert found.probabilities["lesion"].shape == (6,) and (found.probabilities["lesion"] <= 1).all()
    assert found.probabilities["lesion"][3] > own["lesion"][3]


def test_scores_without_two_answers_stay_the_models_own() -> None:
    features, own = maps(1), own_scores(6, 1)
    boxes = [Box(3, 5, 5, 20, 20, "IGM"), Box(4, 5, 5, 20, 20, "other")]
    attention = LiveAttention(features, pooling(), WHOLE).fit(boxes)
    scores = LiveScores(features, GROUPS, own)
    found = scores.fit(attention, boxes)
    assert found.groups == () and all(found.probabilities[label] is own[label] for label in own)
    # A slice whose boxes differ answers nothing.
    both = [*boxes, Box(3, 30, 30, 50, 50, "NME")]
    assert scores.fit(attention, both).groups == ()
    assert scores.fit(attention, boxes, (0, 1)).groups == ("lesion",)


def test_a_lesson_is_looked_at_again_only_for_new_slices() -> None:
    one = OTHERS[0]
    fewer = one.judged_anew([Box(2, 0, 0, 9, 9, "NME")], ())
    assert fewer is not None and fewer.slices == (2,)
    torch.testing.assert_close(fewer.maps[0], one.maps[1])
    assert fewer.scores["IGM"] == one.scores["IGM"][1]
    assert one.judged_anew([Box(5, 0, 0, 9, 9, "NME")], ()) is None
    assert some_of(3) == (0, 1, 2) and len(some_of(200)) == MOST_EMPTY and some_of(200)[-1] == 199


def test_what_memory_does_not_hold_is_said(phantom_factory: object, tmp_path: Path) -> None:
    phantom = phantom_factory("igm", seed=1, shape=(6, 64, 64))  # type: ignore[operator]
    bundle = load_bundle("demo-attention-squeezenet")
    boxes = phantom.truth.boxes[:2]
    found = lesson_of(phantom.volume, bundle, boxes, ())
    uid = phantom.volume.identity.study_uid
    assert found.slices == tuple(sorted({box.z for box in boxes})) and found.maps.shape[0] == len(
        found.slices
    )
    path = tmp_path / "boxes-1.jsonl"
    from napari_breast_ai.annotations import Journal

    journal = Journal(path, "anna", study_uid=uid, placing=found.placing)
    for box in boxes:
        journal.add(Box(box.z, box.y0, box.x0, box.y1, box.x1, box.label))
    journal.leave()
    case = BoxedCase("a", tmp_path, CaseRecord("a", path, "anna", 1, uid, journal.boxes))
    known = {uid: found, "9.9": OTHERS[0]}
    assert gather_lessons([case], bundle, known) == () and list(known) == [uid]
    assert known[uid].boxes == journal.boxes
    (said,) = gather_lessons([case], bundle, known, limit_bytes=100)
    assert "no more room in memory" in said and not known
    # Without images where they lay.
    (said,) = gather_lessons([case], bundle, known)
    assert "Case “a”" in said and not known


def cohort(igm: int, nme: int) -> BoxedCohort:
    rows = [BoxedRow(f"c{i}", f"p{i}", Path("x"), frozenset(["IGM"])) for i in range(igm)]
    return BoxedCohort(tuple(rows), igm + nme, {k: n for k, n in (("IGM", igm), ("NME", nme)) if n})


def test_too_few_patients_are_said_in_a_sentence(tmp_path: Path) -> None:
    bundle = load_bundle("demo-attention-squeezenet")
    assert cohort(4, 4).why_not == ""
    assert "of IGM 9, NME 3" in cohort(9, 3).why_not and "have one (IGM 5)" in cohort(5, 0).why_not
    assert "have none (none)" in cohort(0, 0).why_not
    with pytest.raises(TrainingError, match="at least 4 of each class"):
        order_for(cohort(9, 3), bundle, tmp_path, "anna")
    order = order_for(cohort(9, 8), bundle, tmp_path, "anna")
    assert not any(one.startswith("fit.choose_on") for one in order.changes)
    again = order_for(cohort(4, 4), bundle, tmp_path, "anna")
    assert again.table != order.table and "fit.choose_on=0.34" in again.changes
    assert Path(again.table).read_text().startswith("case_id,patient_id,path\nc0,p0,")
    assert live_cohort.LEAST == 4
