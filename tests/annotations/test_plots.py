"""The figure shows the numbers, in colours that everybody can tell apart."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from box_readers import Clock, journal, lesions, seen_by
from napari_breast_ai.annotations import AnnotationError
from napari_breast_ai.annotations.agreement import agreement
from napari_breast_ai.annotations.cases import find_journals, read_case
from napari_breast_ai.annotations.pace import pace
from napari_breast_ai.annotations.plots import agreement_figure, save_figure
from napari_breast_ai.annotations.raters import readings


@pytest.fixture
def records(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    for case in range(12):
        truth = lesions(case)
        for reader, boxes, seconds in (("anna", truth, 6), ("ben", seen_by(truth, case, shift=2.5), 11)):
            kept = journal(tmp_path, str(case), reader)
            kept.enter()
            for box in boxes:
                clock.wait(seconds)
                kept.add(box)
            kept.mark("done")
    return [read_case(path) for path in find_journals([tmp_path])]


def drawn(records):
    result = agreement(readings(records, "anna"), readings(records, "ben"))
    return result, agreement_figure(result, pace(records))


def texts(axes) -> str:
    labels = [axes.get_title("left"), axes.get_title("right"), axes.get_xlabel(), axes.get_ylabel()]
    labels += [text.get_text() for text in (*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels())]
    return "\n".join(labels)


def test_the_panels_say_what_the_numbers_say(records):
    result, figure = drawn(records)
    overlaps, detection, confusion, speed = figure.axes
    assert sum(patch.get_height() for patch in overlaps.patches) == result.overall.matched == len(result.ious)
    assert f"median {result.overall.iou_median.value:.2f}" in texts(overlaps)
    for one in (result.overall, *result.classes):
        assert f"{one.f1.value:.2f}" in texts(detection) and one.label in texts(detection)
    (image,) = confusion.images
    np.testing.assert_array_equal(image.get_array(), result.confusion)
    assert str(result.confusion[0][0]) in texts(confusion) and "kappa" in texts(confusion)
    slices = sum(len({box.z for box in lesions(case)}) for case in range(12))
    assert f"{3600 * slices / (12 * 6 * 6):.0f} an hour: {slices} images" in texts(speed)
    assert "published: 335" in texts(speed)
    assert "6.0 s a box" in texts(speed) and "11.0 s a box" in texts(speed)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_same_numbers_give_the_same_file(records, tmp_path, ending):
    first = save_figure(drawn(records)[1], tmp_path / "new folder" / f"a.{ending}")
    second = save_figure(drawn(records)[1], tmp_path / f"b.{ending}")
    assert first.read_bytes() == second.read_bytes()
    if ending == "png":
        with Image.open(first) as image:
            assert image.size == (1320, 960)
            colours = {tuple(pixel[:3]) for pixel in np.unique(np.asarray(image).reshape(-1, 4), axis=0)}
        assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)} <= colours, "Okabe and Ito's"


def test_nothing_to_show_is_said(records, tmp_path):
    empty = [replace(record, boxes=(), actions=()) for record in records]
    result = agreement(readings(empty, "anna"), readings(empty, "ben"))
    figure = agreement_figure(result)
    said = "\n".join(texts(axes) for axes in figure.axes)
    assert said.count("no boxes match") == 2 and "undefined" in said and "no times are known" in said
    save_figure(figure, tmp_path / "empty.png")


def test_long_and_odd_names_do_not_break_it(records, tmp_path):
    odd = [
        replace(record, reader="$x^2$ " + "very long name " * 5) if record.reader == "ben" else record
        for record in records
    ]
    result = agreement(
        readings(odd, "anna"), readings(odd, odd[-1].rater if odd[-1].reader != "anna" else odd[1].rater)
    )
    save_figure(agreement_figure(result, pace(odd)), tmp_path / "odd.svg")


def test_a_figure_needs_a_name_that_can_be_written(records, tmp_path):
    _, figure = drawn(records)
    with pytest.raises(AnnotationError, match=r"\.png or \.svg"):
        save_figure(figure, tmp_path / "figure.jpeg")
    (tmp_path / "file").write_text("")
    with pytest.raises(AnnotationError, match="cannot be written"):
        save_figure(figure, tmp_path / "file" / "a.png")
