"""Agreement of two raters: against reference implementations, by hand, and over readers' journals."""

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score

from box_readers import SHAPE, journal, lesions, placing, seen_by, stack
from napari_breast_ai.annotations import AnnotationError, Placing
from napari_breast_ai.annotations.agreement import agreement, ious, match
from napari_breast_ai.annotations.cases import CaseRecord, find_journals, read_case
from napari_breast_ai.annotations.figures import Resampling, kappa, ratio
from napari_breast_ai.annotations.raters import choose, raters, readings
from napari_breast_ai.core import NORMAL_TISSUE, Box, Geometry


def compare(records, first, second, iou=0.5):
    return agreement(readings(records, first), readings(records, second), iou)


def read(folder: Path) -> list[CaseRecord]:
    return [read_case(path) for path in find_journals([folder])]


def test_iou_is_that_of_torchvision_on_random_boxes():
    from napari_breast_ai.models import import_torchvision

    import_torchvision()
    from torchvision.ops import box_iou

    dice = np.random.default_rng(0)
    for _ in range(20):
        low = dice.uniform(-5, 40, (2, 30, 2))
        edges = np.concatenate([low, low + dice.uniform(0, 30, (2, 30, 2))], axis=-1)
        first, second = torch.from_numpy(edges[0]), torch.from_numpy(edges[1])
        np.testing.assert_allclose(ious(*edges), box_iou(first, second).numpy(), atol=1e-12)
    one, other = Box(0, *edges[0, 0], "a"), Box(0, *edges[1, 0], "b")
    assert ious(edges[0], edges[1])[0, 0] == pytest.approx(one.iou(other), abs=1e-12)
    assert ious([[0, 0, 0, 0]], [[0, 0, 0, 0]]).tolist() == [[0.0]], "no area is no overlap, and no warning"


def test_kappa_is_that_of_sklearn_on_random_answers():
    dice = np.random.default_rng(1)
    for k in (2, 3, 5):
        for _ in range(20):
            first = dice.integers(0, k, 60)
            second = np.where(dice.random(60) < 0.6, first, dice.integers(0, k, 60))
            table = np.zeros((k, k))
            np.add.at(table, (first, second), 1)
            got = kappa(table, "")
            assert got.value == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
            assert got.low <= got.value <= got.high and got.n == 60


def test_kappas_standard_error_is_what_the_delta_method_gives():
    """An independent derivation: the numeric gradient of kappa with the covariance of a multinomial."""
    table = np.array([[22.0, 3, 5], [2, 30, 1], [9, 4, 24]])
    n = table.sum()

    def value(p):
        p = p.reshape(3, 3)
        expected = p.sum(axis=1) @ p.sum(axis=0)
        return (np.trace(p) - expected) / (1 - expected)

    p = (table / n).ravel()
    steps = np.eye(9) * 1e-6
    gradient = np.array([(value(p + step) - value(p - step)) / 2e-6 for step in steps])
    variance = gradient @ (np.diag(p) - np.outer(p, p)) @ gradient / n
    got = kappa(table, "")
    assert (got.high - got.low) / 2 == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-5)


def test_kappas_interval_holds_what_it_promises():
    """In about 95 of 100 samples the truth lies inside."""
    dice = np.random.default_rng(5)
    truth = np.array([[0.4, 0.1], [0.08, 0.42]])
    expected = truth.sum(axis=1) @ truth.sum(axis=0)
    value = (np.trace(truth) - expected) / (1 - expected)
    inside = 0
    for _ in range(1000):
        got = kappa(dice.multinomial(600, truth.ravel()).reshape(2, 2), "")
        inside += got.low <= value <= got.high
    assert 930 <= inside <= 970


@pytest.mark.parametrize(
    ("table", "word"), [([[0, 0], [0, 0]], "none"), ([[7, 0], [0, 0]], "two different answers")]
)
def test_a_kappa_that_is_undefined_says_so(table, word):
    got = kappa(table, "none at all")
    assert got.value is None and got.low is None and word in got.reason


def test_full_agreement_is_one_without_an_interval():
    got = kappa([[5, 0], [0, 6]], "")
    assert got.value == 1 and got.low is None and "standard error is 0" in got.reason


def test_the_best_pairing_is_found_not_the_first_one():
    """Greedy pairing by the largest IoU would leave one box alone."""
    first = [Box(0, 0, 0, 10, 10, "a"), Box(0, 0, 4, 10, 14, "a")]
    second = [Box(0, 0, 3, 10, 13, "a"), Box(0, 0, 7, 10, 17, "a")]
    assert [(i, j) for i, j, _ in match(first, second, 0.5)] == [(0, 0), (1, 1)]
    overlap = ious([[0, 0, 10, 10]], [[0, 3, 10, 13]])[0, 0]
    assert match(first, second, 0.5)[0][2] == pytest.approx(overlap)


def test_pairing_is_the_best_of_all_pairings():
    dice = np.random.default_rng(7)
    for _ in range(60):
        n, m = dice.integers(1, 5, 2)
        low = dice.uniform(0, 6, (n + m, 2))
        boxes = [Box(0, *corner, *(corner + dice.uniform(4, 9, 2)), "a") for corner in low]
        first, second = boxes[:n], boxes[n:]
        threshold = float(dice.uniform(0.05, 0.5))
        best = (0, 0.0)
        for size in range(1, min(n, m) + 1):
            for rows in itertools.combinations(range(n), size):
                for columns in itertools.permutations(range(m), size):
                    overlaps = [first[i].iou(second[j]) for i, j in zip(rows, columns, strict=True)]
                    if min(overlaps) >= threshold:
                        best = max(best, (size, sum(overlaps)))
        found = match(first, second, threshold)
        assert len(found) == best[0]
        assert sum(overlap for _, _, overlap in found) == pytest.approx(best[1])


def test_boxes_of_other_slices_never_match():
    box = Box(3, 0, 0, 9, 9, "a")
    assert match([box], [replace(box, z=4)]) == ()
    assert match([box], [replace(box, z=3)]) == ((0, 0, 1.0),)


def test_a_threshold_that_is_met_exactly_counts():
    assert len(match([Box(0, 0, 0, 3, 10, "a")], [Box(0, 0, 0, 6, 10, "a")], 0.5)) == 1


def record(case: str, boxes=(), reader="anna", uid=None, **more) -> CaseRecord:
    """As `read_case` gives it."""
    made = tuple(replace(box, id=f"{case}-{n}") for n, box in enumerate(boxes))
    more = {"geometry": stack(), "frame_of_reference": f"1.9.{case}", "status": "done", **more}
    return CaseRecord(
        case, Path(f"{case}.jsonl"), reader, 1, f"1.{case}" if uid is None else uid, made, **more
    )


def test_figures_by_hand():
    """Two cases: one box matches, one is of another class, one is missed, one is extra, one is of normal tissue."""
    a, b = Box(2, 0, 0, 10, 10, "IGM"), Box(5, 20, 20, 30, 30, "NME")
    missed, extra = Box(7, 0, 0, 5, 5, "IGM"), Box(9, 0, 0, 5, 5, "NME")
    tissue = Box(11, 0, 0, 5, 5, NORMAL_TISSUE)
    anna = [record("A", [a, b, missed]), record("B", [])]
    ben = [
        record("A", [replace(a, x1=9.0), replace(b, label="IGM"), extra, tissue], "ben"),
        record("B", [], "ben"),
    ]
    got = compare([*anna, *ben], "anna", "ben")
    one = got.overall
    assert (one.first_boxes, one.second_boxes, one.matched) == (3, 3, 2), "normal tissue is no lesion"
    assert (one.precision.value, one.recall.value) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert one.f1.value == pytest.approx(2 / 3)
    assert sorted(got.ious) == [pytest.approx(0.9), pytest.approx(1.0)]
    assert one.iou_median.value == pytest.approx(0.95)
    assert one.iou_quartiles == (pytest.approx(0.925), pytest.approx(0.975))
    # Case A is done by both, 20 slices: 2 and 5 both, 7 only anna, 9 only ben; case B: 20 slices without.
    assert one.slices == (2, 1, 1, 36)
    assert one.slice_agreement.value == pytest.approx(38 / 40)
    assert got.confusion_labels == ("IGM", "NME", NORMAL_TISSUE)
    assert got.confusion == ((1, 0, 0), (1, 0, 0), (0, 0, 0))
    assert one.label_kappa.value == pytest.approx(cohen_kappa_score(["IGM", "NME"], ["IGM", "IGM"]))
    igm, nme, normal = got.classes
    assert (igm.first_boxes, igm.second_boxes, igm.matched) == (2, 2, 1)
    assert (nme.first_boxes, nme.second_boxes, nme.matched) == (1, 1, 0)
    assert (
        nme.f1.value == 0 and nme.iou_median.value is None and "No “NME” boxes match" in nme.iou_median.reason
    )
    assert normal.recall.value is None and normal.recall.reason == "The first has no “normal tissue” boxes."
    assert normal.slices == (0, 0, 1, 39)


def test_only_slices_that_both_looked_at_count():
    anna = record("A", [Box(2, 0, 0, 9, 9, "IGM")], status="open", empty_slices=(3, 4))
    ben = record("A", [Box(4, 0, 0, 9, 9, "IGM")], "ben", status="open", empty_slices=(2, 3, 9))
    got = compare([anna, ben], "anna", "ben")
    assert got.overall.slices == (0, 1, 1, 1), "slices 2, 4 and 3; 9 was seen by ben only"
    assert any("not both have marked as done" in note for note in got.notes)
    whole = compare([anna, replace(ben, status="done")], "anna", "ben")
    assert whole.overall.slices == (0, 1, 1, 1)
    both = compare([replace(anna, status="done"), replace(ben, status="done")], "anna", "ben")
    assert sum(both.overall.slices) == SHAPE[0]
    empty = compare(
        [record("A", empty_case=True, status="open"), record("A", (), "ben", empty_case=True)], "anna", "ben"
    )
    assert empty.overall.slices == (0, 0, 0, SHAPE[0])


def test_nothing_at_all_is_undefined_in_words_and_not_nan(tmp_path):
    got = compare([record("A", status="open"), record("A", (), "ben", status="open")], "anna", "ben")
    text = json.dumps(got.to_json(), allow_nan=False)
    assert "NaN" not in text
    for figure in got.overall.figures.values():
        assert figure.value is None and figure.reason.endswith(".")
    assert got.classes == ()


def test_one_case_has_figures_but_no_interval_over_cases():
    boxes = [Box(2, 0, 0, 9, 9, "IGM"), Box(3, 0, 0, 9, 9, "IGM")]
    got = compare([record("A", boxes), record("A", boxes[:1], "ben")], "anna", "ben")
    assert got.overall.f1.value == pytest.approx(2 / 3) and got.overall.f1.low is None
    assert "One case" in got.overall.f1.reason


def test_the_bootstrap_covers_the_truth_and_is_the_same_every_time():
    """F1 of cases that agree by chance: the interval holds the truth in about 95 of 100 samples."""
    dice = np.random.default_rng(3)
    inside = 0
    formula = lambda s: ratio(2 * s[..., 0], s[..., 1] + s[..., 2])  # noqa: E731
    for _ in range(200):
        n = dice.integers(1, 6, 40)
        counts = np.stack([dice.binomial(n, 0.7), n, n], axis=1)
        got = Resampling(40, times=500).figure(counts, formula, 0, "")
        inside += got.low <= 0.7 <= got.high
    assert 178 <= inside <= 199
    again = [Resampling(40, seed=9).figure(counts, formula, 0, "") for _ in range(2)]
    assert again[0] == again[1] != Resampling(40, seed=10).figure(counts, formula, 0, "")


def test_cases_pair_by_study_and_then_by_name():
    box = Box(2, 0, 0, 9, 9, "IGM")
    anna = [record("one", [box], uid="1.1"), record("two", [box], uid=""), record("three", [box], uid="1.3")]
    ben = [
        record("other name", [box], "ben", uid="1.1"),
        record("two", [box], "ben", uid="1.2"),
        record("three", [box], "ben", uid="1.33"),
    ]
    # Frames of reference were made from the names, which differ here for the same stack.
    got = compare([*anna, *ben], "anna", "ben")
    assert [case.case_id for case in got.cases] == ["one", "two"]
    assert got.overall.matched == 2
    assert got.only_first == ("three",) and got.only_second == ("three",), "one name, two studies"
    assert any("read by anna only" in note for note in got.notes)


def test_no_case_in_common_is_a_sentence():
    with pytest.raises(AnnotationError, match="no case in common"):
        compare([record("A"), record("B", (), "ben")], "anna", "ben")
    with pytest.raises(AnnotationError, match="not a threshold"):
        compare([record("A"), record("A", (), "ben")], "anna", "ben", iou=0)


def test_another_sorting_of_the_same_images_is_brought_over_by_the_patient(tmp_path):
    truth = {case: lesions(case) for case in range(4)}
    for case, boxes in truth.items():
        for reader, flipped in (("anna", False), ("ben", True)):
            kept = journal(tmp_path, str(case), reader, flipped=flipped)
            last = SHAPE[0] - 1
            kept.add_many(replace(box, z=last - box.z) if flipped else box for box in boxes)
            kept.say_empty(last if flipped else 0)
            kept.say_empty(0 if flipped else last)
    got = compare(read(tmp_path), "anna", "ben")
    assert got.overall.f1.value == 1 and got.overall.matched == 24
    assert got.overall.iou_median.value == pytest.approx(1)
    assert got.not_compared == (0, 0)
    assert got.overall.slices[1:3] == (0, 0) and got.overall.slices[3] == 8
    assert {case.how for case in got.cases} == {"patient coordinates"}
    assert any("brought onto one stack" in note for note in got.notes)


def test_what_lies_outside_the_others_stack_is_counted_and_not_held_against_anybody():
    """Ben's series begins four slices higher and is read from the head down."""
    short = Geometry.from_dicom(
        (16, *SHAPE[1:]), (0.8, 0.7), -3.0, (-30.0, -40.0, -20.0 + 3.0 * 19), (1, 0, 0, 0, 1, 0)
    )
    anna = record("A", [Box(1, 0, 0, 9, 9, "IGM"), Box(10, 0, 0, 9, 9, "IGM")])
    ben = record("A", [Box(9, 0, 0, 9, 9, "IGM")], "ben", geometry=short)
    got = compare([anna, ben], "anna", "ben")
    assert got.overall.matched == 1 and got.overall.recall.value == 1
    assert got.not_compared == (1, 0)
    assert sum(got.overall.slices) == 16
    back = compare([anna, ben], "ben", "anna")
    assert back.not_compared == (0, 1) and back.overall.f1.value == 1
    assert any("could not be compared" in note for note in back.notes)


def test_stacks_without_common_coordinates_are_not_compared():
    anna = record("A", [Box(1, 0, 0, 9, 9, "IGM")])
    ben = record("A", [Box(1, 0, 0, 9, 9, "IGM")], "ben", geometry=stack(True), frame_of_reference="1.77")
    got = compare([anna, ben], "anna", "ben")
    assert got.not_compared == (1, 1) and got.overall.f1.value is None
    assert any("no coordinates in common" in note for note in got.notes)


def test_a_box_of_another_frame_of_reference_is_not_taken_for_one_of_this_stack(tmp_path):
    kept = journal(tmp_path, "1", "anna")
    kept.add(Box(3, 0, 0, 9, 9, "IGM"))
    moved = Placing(stack(True), "1.9.moved")
    later = journal(tmp_path, "1", "anna", placing=moved)
    later.add(Box(4, 0, 0, 9, 9, "IGM"))
    (got,) = read(tmp_path)
    assert [box.z for box in got.boxes] == [4] and got.hidden == 1


def test_old_journals_without_a_stack_are_compared_by_images_or_numbers():
    box = Box(3, 0, 0, 9, 9, "IGM")
    anna, ben = record("A", [box]), record("A", [box], "ben", geometry=None, frame_of_reference="")
    got = compare([anna, ben], "anna", "ben")
    assert got.overall.matched == 1 and any("by their slice numbers" in note for note in got.notes)
    frames = placing("A")._frames[0]
    anna = replace(anna, images={"A-0": frames[3]})
    turned = record("A", [replace(box, z=16), replace(box, z=2)], "ben", geometry=None)
    turned = replace(turned, images={"A-0": frames[3], "A-1": frames[17]})
    got = compare([anna, turned], "anna", "ben")
    assert got.overall.matched == 1 and got.not_compared == (0, 1)


def test_readers_readings_and_suggestions_from_their_journals(tmp_path):
    """Anna reads four cases, one of them twice, with a model's suggestions; Ben reads three."""
    for case in range(4):
        truth = lesions(10 + case)
        anna = journal(tmp_path, str(case), "anna")
        anna.offer([replace(box, label="NME") for box in truth[:4]], "model:demo")
        anna.accept(anna.offers[0].id, "IGM")
        anna.reject(anna.offers[0].id)
        moved = anna.boxes[0]
        anna.move(moved.id, replace(moved, y1=moved.y1 + 3))
        anna.add_many(truth[1:])
        anna.mark("done")
        if case < 3:
            ben = journal(tmp_path, str(case), "ben")
            ben.add_many(seen_by(truth, case))
            ben.mark("done")
    again = journal(tmp_path, "0", "anna", reading=2)
    again.add_many(lesions(10)[:5])
    again.mark("done")
    records = read(tmp_path)
    assert raters(records) == ("anna", "anna#2", "ben", "model:demo")
    with pytest.raises(AnnotationError, match="Name the two"):
        choose(records)
    with pytest.raises(AnnotationError, match="no boxes of carl"):
        choose(records, ("anna", "carl"))
    with pytest.raises(AnnotationError, match="anna#2"):
        choose(records, ("anna", "anna"))
    assert choose(records, ("ben", "anna")) == ("ben", "anna")
    assert choose([one for one in records if one.rater != "anna#2"]) == ("anna", "ben")

    got = compare(records, "anna", "ben")
    assert len(got.cases) == 3 and got.only_first == ("case3",)
    assert 0.5 < got.overall.f1.low < got.overall.f1.value < got.overall.f1.high <= 1
    assert got.overall.iou_quartiles[0] <= got.overall.iou_median.value <= got.overall.iou_quartiles[1]
    assert got == compare(records, "anna", "ben"), "the same every time"
    within = compare(records, "anna", "anna#2")
    assert len(within.cases) == 1 and within.overall.second_boxes == 5 and within.overall.precision.value == 1
    model = compare(records, "model:demo", "anna")
    assert model.overall.first_boxes == 16, "suggestions count as they were made, answered or not"
    assert any("shown these very suggestions: 4" in note for note in model.notes)
    assert not any("suggestions" in note for note in got.notes)
    assert model.overall.slices[1] == 0
    (case,) = [one for one in records if one.rater == "anna" and one.case_id == "case0"]
    offered = {box.z: box for box in case.suggested["model:demo"]}
    assert offered[lesions(10)[0].z].label == "NME", "before the reader gave it another class"

    rows = got.rows()
    assert {row["class"] for row in rows} == {"all lesions", "IGM", "NME"}
    f1 = next(row for row in rows if row["figure"] == "f1" and row["class"] == "all lesions")
    assert (f1["value"], f1["low"]) == (got.overall.f1.value, got.overall.f1.low)
    assert json.loads(json.dumps(got.to_json(), allow_nan=False))["overall"]["matched"] == got.overall.matched


def test_suggestions_that_were_replaced_do_not_count(tmp_path):
    kept = journal(tmp_path, "1", "anna")
    first, second = lesions(3)[:2], lesions(4)[:3]
    kept.offer(first, "model:a")
    kept.accept(kept.offers[0].id)
    kept.offer(second, "model:a")
    (got,) = read(tmp_path)
    assert [box.z for box in got.suggested["model:a"]] == [first[0].z, *(box.z for box in second)]


def test_real_ultrasound_boxes_agree_with_shifted_ones_as_computed_by_hand(data_dir):
    """Boxes around the masks of 391 pictures, against the same drawn two pixels wider on every side."""
    with (data_dir / "busi_odd" / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["box_y0"]]
    assert len(rows) > 200
    anna, ben, expected = [], [], []
    for row in rows:
        y0, x0, y1, x1 = (float(row[f"box_{name}"]) for name in ("y0", "x0", "y1", "x1"))
        geometry = Geometry.from_dicom(
            (1, int(row["height_px"]), int(row["width_px"])), (1, 1), 1, (0, 0, 0), (1, 0, 0, 0, 1, 0)
        )
        shared = {"geometry": geometry, "frame_of_reference": "", "uid": ""}
        anna.append(record(row["file"], [Box(0, y0, x0, y1, x1, row["label"])], **shared))
        wider = Box(0, y0 - 2, x0 - 2, y1 + 2, x1 + 2, row["label"])
        ben.append(record(row["file"], [wider], "ben", **shared))
        expected.append((y1 - y0) * (x1 - x0) / ((y1 - y0 + 4) * (x1 - x0 + 4)))
    got = compare([*anna, *ben], "anna", "ben", iou=0.85)
    expected = np.array(expected)
    assert got.overall.matched == int((expected >= 0.85).sum()) < len(rows)
    np.testing.assert_allclose(got.ious, expected[expected >= 0.85])
    assert got.overall.iou_median.value == pytest.approx(np.median(expected[expected >= 0.85]))
    assert {one.label for one in got.classes} == {"benign", "malignant"}
    assert got.overall.label_kappa.value == 1
    assert got.overall.f1.low < got.overall.f1.value < got.overall.f1.high
