"""The report of a case: what it says, and that it names nobody."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_breast_ai.core import Box, DceVolume, Geometry, Prediction
from napari_breast_ai.inference import InferenceError, predict
from napari_breast_ai.inference.case_page import case_page, write_case_page
from napari_breast_ai.inference.case_report import WRITTEN, Answer, CaseReport, Removal, case_report
from napari_breast_ai.inference.case_sheet import case_sheet, write_case_sheet
from napari_breast_ai.inference.overlay import draw_slice
from napari_breast_ai.inference.questions import table
from napari_breast_ai.inference.questions.course import Course, lines_of
from napari_breast_ai.inference.taught import columns, judged_on, taught_scores
from napari_breast_ai.models import load_bundle
from napari_breast_ai.models.bundle import Bundle

BOXES = (
    Box(2, 9.5, 19.5, 29.5, 39.5, "NME", author="DR DOE", lesion="a"),
    Box(3, 9.5, 19.5, 29.5, 39.5, "NME", author="DR DOE", lesion="a"),
    Box(4, 12.5, 40.5, 20.5, 50.5, "IGM", author="DR DOE"),
)


REMOVED = lines_of(
    [
        table.answered(key, 0.5, 0.4, course=Course((0.0, 0.5, 1.0), scores, (0.8, 0.5, 0.2)))
        for key, scores in (("deletion", (0.9, 0.2, 0.1)), ("insertion", (0.1, 0.8, 0.9)))
    ]
)

STUDY = ("2 dynamic series are in “/data/DOE_JANE”; this is “DOE JANE dyn” (series 4). Open another one.",)


@pytest.fixture(scope="module")
def prediction(volume: DceVolume, bundles: Callable[[str], Bundle]) -> Prediction:
    return predict(volume, bundles("gated"), device="cpu")


@pytest.fixture(scope="module")
def report(volume: DceVolume, prediction: Prediction, bundles: Callable[[str], Bundle]) -> CaseReport:
    return case_report(
        replace(volume, description="DOE JANE", warnings=STUDY),
        BOXES,
        replace(prediction, warnings=(*STUDY, *prediction.warnings), case=replace(
            prediction.case, intervals={"lesion": (0.25, 0.75)}, interval_rule="95 % intervals: of folds.")),
        replace(bundles("gated"), evaluation={
            "data": "315 images of a cohort",
            "figures": {"validation": {"lesion/per patient/AUC": {"value": 0.875, "low": 0.8, "high": 0.95, "n": 60}}},
        }),
        answers=[Answer("Peak in the box", "2 of 3 slices"), Answer("Random weights change it", "no", failed=True)],
        removal=Removal("Attention, score of IGM, slice 3", "IGM", REMOVED),
        opinions=["“ring” & more"],
    )  # fmt: skip


def test_it_says_what_is_there(report: CaseReport, prediction: Prediction) -> None:
    assert report.title == "Case report"
    assert [one.label for one in report.scores] == list(prediction.labels)
    lesion = report.scores[0]
    assert lesion.value == prediction.case.probabilities["lesion"]
    assert lesion.text == f"{lesion.value:.2f} (0.25 to 0.75)"
    assert report.rule == f"{prediction.case.rule} 95 % intervals: of folds."
    said = "2 dynamic series are in “…”; this is “…” (series 4). Open another one."
    assert report.warnings == (said, *prediction.warnings)
    # 20 × 20 pixels of 0.8 × 1.2 mm on two slices 3 mm apart; then 10 × 8 on one.
    assert [row[:4] for row in report.lesion_rows] == [
        ("1", "NME", "2 to 3", "16 × 24 × 6"),
        ("2", "IGM", "4", "8 × 10 × 3"),
    ]
    assert [one.name for one in report.curves] == ["lesion 1", "lesion 2"]
    assert [one.row for one in report.taught] == [
        ("lesion", "yes or no", "0.88 (0.80 to 0.95)", "60"),
        ("diagnosis: IGM against NME", "IGM, NME; asked where there is a lesion", "not measured", ""),
    ]
    assert "cross-validation" in report.judged
    assert ("Voxels", "0.80 × 1.20 × 3.00 mm") in report.facts
    assert len(report.slices) == 3 and all(one.heat is not None for one in report.slices)


def test_the_page_stands_alone_and_names_nobody(report: CaseReport, tmp_path: Path) -> None:
    text = write_case_page(report, tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
    assert "DOE" not in text
    assert "“ring” &amp; more" in text
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', text) == []
    assert text.count("<img ") == 6
    assert 'class=failed><th scope="row">Random weights change it' in text
    assert "Research use only" in text and report.rule.split(";")[0] in text
    for one in report.scores:
        assert one.text in text
    for one in report.taught:
        assert all(cell in text for cell in one.row)
    assert "hottest taken away: area 0.35 (random order 0.50)" in text and "score of IGM, slice 3" in text
    assert "hottest put back: area 0.65" in text and text.count("<svg xmlns") == 2
    assert "Jane" in case_page(replace(report, subject="Jane"))


def test_the_sheet_is_one_page_with_everything_inside_it(report: CaseReport, tmp_path: Path) -> None:
    once = write_case_sheet(report, tmp_path / "a.pdf").read_bytes()
    again = write_case_sheet(report, tmp_path / "b.pdf").read_bytes()
    said = " ".join(text.get_text() for text in case_sheet(report).texts)
    assert all(one.sentence in said for one in report.taught) and report.judged[:30] in said
    drawn = next(one for one in case_sheet(report).axes if one.get_ylabel() == "score of IGM")
    assert [list(one.get_ydata()) for one in drawn.lines[::2]] == [[0.9, 0.2, 0.1], [0.1, 0.8, 0.9]]
    assert once == again and once.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", once)) == 1
    long = replace(
        report,
        warnings=("A sentence that a reader must see, and which is so long that it takes two lines. " * 2,)
        * 3,
        opinions=("Someone said a great deal about this case, far more than fits into one line here.",) * 12,
    )
    figure = case_sheet(long)
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    for text in figure.texts:
        extent = text.get_window_extent()
        assert extent.x0 >= 0 and extent.x1 <= width, text.get_text()
        assert extent.y0 >= 0 and extent.y1 <= height, text.get_text()
    assert any("the rest is on the HTML page" in text.get_text() for text in figure.texts)


def test_the_test_is_told_before_the_cross_validation_and_each_of_several_classes(
    bundles: Callable[[str], Bundle],
) -> None:
    bundle = bundles("gated")
    several = replace(bundle.spec.groups[1], labels=("IGM", "NME", "IDC"))
    figure = {"value": 0.5, "low": None, "high": None, "n": 9}
    figures = {
        "validation": {"lesion/per patient/AUC": figure},
        "test": {"IDC against the rest/per patient/AUC": figure | {"value": 0.75}},
    }
    told = replace(
        bundle,
        spec=replace(bundle.spec, groups=(bundle.spec.groups[0], several)),
        evaluation={"figures": figures},
    )
    assert [one.auc for one in taught_scores(told)] == ["not measured"] * 3 + ["0.75"]
    assert taught_scores(told)[-1].question == "diagnosis: IDC against the rest"
    assert "The patients are those of the test" in judged_on(told.evaluation) and judged_on({}) == ""


def test_the_figures_of_phantoms_are_not_those_of_patients() -> None:
    demo = load_bundle("demo-attention-squeezenet")
    taught = taught_scores(demo)
    assert columns(taught)[2:] == ("AUC per phantom (95 % interval)", "phantoms")
    assert all(one.sentence.endswith(" phantoms.") for one in taught)
    assert judged_on(demo.evaluation).startswith("The phantoms are those of the test")


def test_warnings_without_room_are_counted(report: CaseReport) -> None:
    sheet = case_sheet(replace(report, warnings=tuple(f"Warning {i}." for i in range(6))))
    said = [text.get_text() for text in sheet.texts]
    assert "Warning 3." in said and "Warning 4." not in said
    assert "… and 2 more warnings on the HTML page." in said


def test_what_a_device_wrote_beside_its_picture_is_not_in_the_report(
    volume: DceVolume, prediction: Prediction
) -> None:
    """The model saw a part of the screen; beside it stands a name."""
    data = volume.data.copy()
    data[1:, :, :8] = data.max()
    screen = replace(volume, data=data)
    shown = case_report(screen, (), replace(prediction, region=(8, 0, 40, 64))).slices[0]
    whole = case_report(screen, (), prediction).slices[0]
    for picture, open_ in ((shown.plain, whole.plain), (shown.heat, whole.heat)):
        assert np.asarray(open_).max(axis=2)[5:60, 60:300].mean() > 200
        assert np.asarray(picture).max(axis=2)[5:60, 60:300].mean() < 1


def test_a_picture_that_is_shown_whole_is_to_be_searched_for_names(
    volume: DceVolume, prediction: Prediction
) -> None:
    picture = replace(
        volume,
        data=volume.data[:1, :1],
        geometry=replace(volume.geometry, shape=(1, *volume.geometry.shape[1:])),
        times=replace(volume.times, start_s=volume.times.start_s[:1], source=volume.times.source[:1]),
    )
    assert WRITTEN in case_report(picture).warnings and WRITTEN in case_page(case_report(picture))
    assert WRITTEN not in case_report(volume).warnings
    cut = replace(prediction, region=(8, 0, 40, 64))
    assert WRITTEN not in case_report(volume, (), cut).warnings


def test_what_is_unlike_the_training_is_said_and_no_score_is_shown_as_certain(
    volume: DceVolume, prediction: Prediction
) -> None:
    told = case_report(
        volume, BOXES, prediction, doubts=["The slices lie 9 mm apart; in the training 2 to 5 mm."]
    )
    assert told.doubtful and told.warnings[0].startswith("The slices lie 9 mm apart")
    text = case_page(told)
    assert "The slices lie 9 mm apart" in text and 'fill-opacity="0.35"' in text
    assert 'fill-opacity="1"' in case_page(replace(told, doubtful=False))
    hatched = [patch for axes in case_sheet(told).axes for patch in axes.patches if patch.get_hatch()]
    assert len(hatched) == sum(one.value is not None for one in told.scores) > 0


def test_without_a_model_or_boxes_it_shows_the_study(volume: DceVolume) -> None:
    bare = case_report(volume)
    assert bare.scores == () and bare.model == () and bare.taught == () and bare.answers == ()
    assert [one.caption for one in bare.slices] == ["Slice 2"]
    assert bare.slices[0].heat is None
    assert "No box was drawn." in case_page(bare)
    assert "What the model says" not in case_page(bare)
    assert case_sheet(bare) is not None
    boxed = case_report(volume, BOXES)
    assert [one.caption for one in boxed.slices] == ["Slice 2", "Slice 4"]


def test_one_phase_has_no_curve_and_says_so(volume: DceVolume) -> None:
    single = replace(volume, data=volume.data[:1], times=replace(
        volume.times, start_s=volume.times.start_s[:1], source=volume.times.source[:1]))  # fmt: skip
    made = case_report(single, BOXES)
    assert made.curves == ()
    assert "There is one phase" in case_page(made)
    assert "peak initial enhancement" not in made.lesion_columns


def test_pictures_are_upright_with_the_boxes_where_they_belong(volume: DceVolume) -> None:
    """A study stored head down and left to right: both are turned, and the box with the pixels."""
    grey = np.zeros(volume.geometry.shape[1:], np.float32)
    grey[10:30, 20:40] = 1
    box = Box(3, 9.5, 19.5, 29.5, 39.5, "NME")
    plain = np.asarray(draw_slice(grey, volume, 3, [box]))
    turned_affine = volume.geometry.affine.copy()
    turned_affine[:, 1:3] *= -1
    turned = replace(volume, geometry=Geometry(volume.geometry.shape, volume.geometry.spacing, turned_affine))
    stored = np.asarray(draw_slice(grey[::-1, ::-1], turned, 3, [Box(3, 9.5, 23.5, 29.5, 43.5, "NME")]))
    assert plain.shape == stored.shape
    inside = np.abs(plain.astype(int) - stored.astype(int)).max(axis=2) > 60
    assert inside.mean() < 0.01


def test_a_place_that_cannot_be_written_is_said(report: CaseReport, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in (write_case_page, write_case_sheet):
        with pytest.raises(InferenceError, match=r"could not be written to .* Choose another place\."):
            write(report, tmp_path / "file" / "report.pdf")
