"""Pace from journals whose clock is moved by hand."""

import json

import pytest

from box_readers import Clock, journal, lesions
from napari_breast_ai.annotations import AnnotationError
from napari_breast_ai.annotations.cases import find_journals, read_case
from napari_breast_ai.annotations.pace import REFERENCE, pace
from napari_breast_ai.core import Box


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def box(z: int) -> Box:
    return Box(z, 10, 10, 20, 20, "NME")


def report(folder, **more):
    return pace([read_case(path) for path in find_journals([folder])], **more)


def test_a_sitting_with_a_pause_and_a_second_sitting(tmp_path, clock):
    kept = journal(tmp_path, "1", "anna")
    kept.enter()
    for z, seconds in ((1, 8), (2, 4), (3, 6)):  # 18 s, three boxes
        clock.wait(seconds)
        kept.add(box(z))
    clock.wait(200)  # a pause
    kept.say_empty(4)
    clock.wait(2)
    kept.leave()
    clock.wait(3600)  # away: no pause, no work
    kept.enter()
    clock.wait(10)
    kept.add(box(5))
    clock.wait(60)  # the limit itself still counts
    kept.mark("done")
    got = report(tmp_path)
    (case,) = got.cases
    assert case.images == 5 and case.boxes == 4
    assert case.active_s == pytest.approx(18 + 2 + 10 + 60)
    assert (case.pauses, case.paused_s) == (1, 200)
    assert case.seconds_per_box == pytest.approx(7), "median of 8, 4, 6 and 10"
    assert case.images_per_hour == pytest.approx(3600 * 5 / 90)
    assert case.seconds_per_image == pytest.approx(18)
    assert "335 images" in REFERENCE and "10.7 s" in got.reference
    longer = report(tmp_path, limit_s=300).cases[0]
    assert longer.pauses == 0 and longer.active_s == pytest.approx(290)
    shorter = report(tmp_path, limit_s=5).cases[0]
    assert shorter.pauses == 5 and shorter.seconds_per_box == pytest.approx(4)


def test_readers_are_summed_over_their_cases_and_readings_kept_apart(tmp_path, clock):
    for case in ("1", "2"):
        for reader, seconds, reading in (("anna", 5, 1), ("ben", 10, 1), ("anna", 3, 2)):
            kept = journal(tmp_path, case, reader, reading)
            kept.enter()
            for one in range(4):
                clock.wait(seconds)
                kept.add(box(one))
            kept.leave()
    got = report(tmp_path)
    assert [one.reader for one in got.readers] == ["anna#2", "anna", "ben"]
    by_name = {one.reader: one for one in got.readers}
    assert by_name["anna"].cases == 2 and by_name["anna"].images == 8
    assert by_name["anna"].active_s == pytest.approx(40) and by_name["anna"].seconds_per_box == 5
    assert by_name["ben"].images_per_hour == pytest.approx(360)
    assert by_name["anna#2"].seconds_per_image == pytest.approx(3)
    assert json.loads(json.dumps(got.to_json(), allow_nan=False))["readers"][1]["images"] == 8
    assert len(got.rows()) == 3 + 6


def test_boxes_of_one_action_share_its_time_and_accepted_ones_count(tmp_path, clock):
    kept = journal(tmp_path, "1", "anna")
    kept.offer([box(8), box(9)], "model:demo")
    kept.enter()
    clock.wait(1)
    kept.add(box(1))
    clock.wait(12)
    kept.add_many([box(2), box(3), box(4)])
    clock.wait(2)
    kept.accept([offer.id for offer in kept.offers])
    (case,) = report(tmp_path).cases
    assert case.boxes == 6 and case.images == 6
    assert case.seconds_per_box == pytest.approx(2.5), "median of 1, 4, 4, 4, 1, 1"


def test_imported_boxes_were_drawn_by_nobody(tmp_path, clock):
    kept = journal(tmp_path, "1", "anna")
    kept.enter()
    clock.wait(5)
    kept.add(box(1))
    clock.wait(1)
    kept.add_many([Box(z, 10, 10, 20, 20, "NME", origin="import:x.csv") for z in (2, 3, 4)])
    clock.wait(4)
    kept.move(kept.boxes[1].id, Box(2, 11, 11, 20, 20, "NME"))
    (case,) = report(tmp_path).cases
    assert case.boxes == 1 and case.seconds_per_box == 5
    assert case.images == 2, "the one drawn and the imported one that was moved"


def test_a_case_without_lesions_is_one_answer(tmp_path, clock):
    kept = journal(tmp_path, "1", "anna")
    kept.enter()
    clock.wait(20)
    kept.say_empty(None)
    (case,) = report(tmp_path).cases
    assert case.images == 1 and case.images_per_hour == pytest.approx(180) and case.seconds_per_box is None


def test_a_clock_that_is_set_back_takes_no_time(tmp_path, clock):
    kept = journal(tmp_path, "1", "anna")
    kept.enter()
    clock.wait(5)
    kept.add(box(1))
    clock.wait(-3000)
    kept.add(box(2))
    clock.wait(5)
    kept.add(box(3))
    (case,) = report(tmp_path).cases
    assert case.active_s == pytest.approx(10) and case.pauses == 0


def test_journals_without_times_or_images_say_why(tmp_path, clock):
    kept = journal(tmp_path, "1", "anna")
    kept.add(box(1))
    kept.delete(kept.boxes[0].id)
    (case,) = report(tmp_path).cases
    assert case.images_per_hour is None and "No slice" in case.reason
    kept.add(box(1))
    (case,) = report(tmp_path).cases
    assert case.images_per_hour is None and "no time between actions" in case.reason
    old = tmp_path / "old" / "boxes-1-anna.jsonl"
    old.parent.mkdir()
    old.write_text(
        '{"schema":"napari-breast-ai/journal","version":1,"study_uid":"1","reader":"anna"}\n'
        '{"do":"add","box":{"z":1,"y0":0,"x0":0,"y1":3,"x1":3,"label":"NME","id":"a"}}\n'
        '{"do":"add","at":"yesterday","box":{"z":2,"y0":0,"x0":0,"y1":3,"x1":3,"label":"NME","id":"b"}}\n'
    )
    (case,) = report(old.parent).cases
    assert case.images == 2 and case.boxes == 2 and "no times" in case.reason
    json.dumps(report(old.parent).to_json(), allow_nan=False)


def test_bad_arguments_are_sentences(tmp_path):
    with pytest.raises(AnnotationError, match="above 0"):
        pace([], limit_s=float("nan"))
    with pytest.raises(AnnotationError, match="no journals"):
        pace([])


def test_a_real_rhythm_of_many_boxes(tmp_path, clock):
    """At ten seconds a slice the pace is 360 images an hour, whatever the slices."""
    kept = journal(tmp_path, "1", "anna")
    kept.enter()
    boxes = {one.z: one for one in lesions(0, 6)}
    for one in boxes.values():
        clock.wait(10)
        kept.add(one)
    (case,) = report(tmp_path).cases
    assert case.images_per_hour == pytest.approx(360) and case.seconds_per_image == pytest.approx(10)
