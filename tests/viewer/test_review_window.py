"""The Review dock in a real window: parts that fold, bars, lesions, strip, colours, and what the person thinks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from hand import Window
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QScrollArea,
    QScrollBar,
    QTabBar,
)

from conftest import make_prediction, make_volume
from napari_breast_ai.annotations import Journal
from napari_breast_ai.annotations.protocol import Protocol
from napari_breast_ai.core import Box, LabelGroup
from napari_breast_ai.inference.aggregation import aggregate
from napari_breast_ai.models import AggregationSpec, load_bundle
from napari_breast_ai.viewer import layers as look
from napari_breast_ai.viewer import notices, tasks
from napari_breast_ai.viewer.ranging import UNLIKE
from napari_breast_ai.viewer.widgets.lesion_bars import MOST

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]

WHOLE = (QAbstractSpinBox, QComboBox, QLineEdit, QAbstractItemView, QTabBar)
"""Controls that are made of others."""


@pytest.fixture
def window(make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    monkeypatch.setattr(notices, "warn", lambda text: None)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    made = Window(viewer, qtbot)
    yield made
    made.session.shut_down()
    made.__dict__.clear()


def seen(window: Window, widget: Any) -> bool:
    """Whether all of a widget lies in what the dock shows of its column."""
    frame = window.dock._scroll.viewport()
    top = widget.mapTo(frame, QPoint(0, 0)).y()
    return bool(widget.isVisible() and top >= 0 and top + widget.height() <= frame.height())


def test_parts_fold_and_stay_so_and_the_result_comes_into_view(window: Window) -> None:
    session, dock = window.session, window.dock
    assert list(dock.column)[:6] == ["study", "boxes", "model", "range", "result", "explanation"]
    volume = make_volume(48)
    session.show_study(volume)
    window.settle()
    session.set_prediction(make_prediction(volume))
    window.settle(250)
    assert seen(window, dock.result.bars) and seen(window, dock.result.strip), "without scrolling"
    assert seen(window, dock.overlay.opacity) and seen(window, dock.overlay.threshold)

    dock.bring_up(dock.study)
    heading = dock.study.heading
    window.click(heading, QPoint(12, heading.height() // 2))
    assert dock.study.folded and not dock.study.open_button.isVisible()
    assert dock.study._brief._text == volume.description
    heading.setFocus()
    QTest.keyClick(heading, Qt.Key.Key_Space)
    assert not dock.study.folded and dock.study.open_button.isVisible()
    QTest.keyClick(heading, Qt.Key.Key_Space)
    # Another dock of the same user begins as this one was left.
    from napari_breast_ai.viewer.widgets.review import ReviewDock

    again = ReviewDock(window.viewer)
    assert again.study.folded and not again.boxes.folded
    again.links.cut()
    again.deleteLater()
    window.settle()


def test_bars_have_intervals_and_points_and_lesions_have_their_own(window: Window) -> None:
    session, dock = window.session, window.dock
    volume = make_volume(8)
    session.show_study(volume)
    made = make_prediction(volume)
    case = replace(
        made.case,
        intervals={"IGM": (0.1, 0.5)},
        interval_rule="95 % intervals: from somewhere. They say something.",
    )
    session.set_prediction(replace(made, case=case))
    window.settle(200)
    lesion, igm, nme = dock.result.bars.rows
    assert igm.number == "0.25 (0.10–0.50)" and "95 % interval 0.100 to 0.500" in igm.words
    assert lesion.interval is None and lesion.number == "0.90", "no interval is drawn where there is none"
    assert dock.result.rule.text() == "The rule, in a sentence."
    assert not dock.result.details.isVisible()
    window.click(dock.result.more, QPoint(12, dock.result.more.height() // 2))
    assert dock.result.details.isVisible() and "They say something." in dock.result.details.text()
    # The interval is painted: its pixels differ from those of the same bar without it.
    picture = dock.result.bars.grab().toImage()
    dock.result.bars.set_rows([lesion, replace(igm, interval=None), nme])
    dock.result.bars.set_rows([lesion, replace(igm, interval=(0.1, 0.5)), nme])
    assert dock.result.bars.grab().toImage() == picture
    dock.result.bars.set_rows([lesion, replace(igm, interval=(0.2, 0.5)), nme])
    assert dock.result.bars.grab().toImage() != picture
    dock.result.bars.set_rows([lesion, replace(igm, point=0.6), nme])
    assert "below the model's operating point 0.600" in dock.result.bars.row_at(25).words

    lesions = dock.result.lesions
    assert not lesions.isVisible()
    for z, label in ((2, "IGM"), (5, "NME"), (7, "NME")):
        session.journal.add(Box(z, 3, 3, 20, 20, label))
    session.go_to(7)
    window.settle()
    assert lesions.isVisible() and len(lesions.bars.rows) == 3 * MOST
    assert lesions.bars.rows[0].caption == "Lesion 3, boxed as NME", "what is in view comes first"
    assert lesions.bars.rows[0].value == pytest.approx(float(made.probabilities["lesion"][7]), abs=1e-6)
    assert "3 lesions" in lesions.more.text() and "whole slices" in dock.result.details.text()
    session.go_to(2)
    assert lesions.bars.rows[0].caption == "Lesion 1, boxed as IGM"


def test_the_strip_by_mouse_and_keys(window: Window) -> None:
    session, strip = window.session, window.dock.result.strip
    volume = make_volume(30)
    session.show_study(volume)
    session.set_prediction(make_prediction(volume))
    session.journal.add(Box(11, 3, 3, 20, 20, "IGM"))
    session.journal.add(Box(11, 3, 23, 20, 30, "IGM"))
    window.settle(200)
    window.click(strip, QPoint(round(strip.x_of(11)), 30))
    assert session.slice_index == 11 and strip.window().focusWidget() is strip
    told = strip.describe(11)
    assert told.startswith("Slice 11, lesion 0.21, IGM 0.43") and told.endswith("boxed as 2 × IGM")
    for key, wanted in (
        (Qt.Key.Key_Right, 12), (Qt.Key.Key_Left, 11), (Qt.Key.Key_PageDown, 21), (Qt.Key.Key_End, 29),
        (Qt.Key.Key_Right, 29), (Qt.Key.Key_PageUp, 19), (Qt.Key.Key_Home, 0),
    ):  # fmt: skip
        QTest.keyClick(strip, key)
        assert session.slice_index == wanted, key
    assert window.viewer.dims.current_step[1] == 0


def test_the_explanations_controls_by_hand(window: Window) -> None:
    session, panel = window.session, window.dock.overlay
    volume = make_volume()
    session.show_study(volume)
    session.set_prediction(make_prediction(volume))
    window.settle(200)
    assert panel.bars[look.ATTENTION].isVisible() and not panel.bars[look.GRADCAM].isVisible()
    assert "0.5: half of the place is lesion" in panel.meanings.text()
    panel.against_box.setFocus()
    QTest.keyClick(panel.against_box, Qt.Key.Key_End)
    assert (session.display.label, session.display.against) == ("lesion", "NME"), "NME gives up being the one"
    assert session.display.gradcam and panel.bars[look.GRADCAM].ticks() == (-1, -0.5, 0, 0.5, 1)
    assert "more for lesion than for NME" in panel.meanings.text()
    panel.style_box.setFocus()
    QTest.keyClick(panel.style_box, Qt.Key.Key_Down)
    assert session.display.style == "lines" and session.heat.layer(look.GRADCAM_LINES).visible
    before = panel.bars[look.ATTENTION].grab().toImage()
    panel.colors_box.setFocus()
    QTest.keyClick(panel.colors_box, Qt.Key.Key_End)
    assert session.display.attention_colors == "cividis" != session.display.gradcam_colors
    assert panel.bars[look.ATTENTION].grab().toImage() != before
    QTest.keyClick(panel.against_box, Qt.Key.Key_Home)
    assert session.display.against == "" and session.heat.layer(look.GRADCAM).name == "Grad-CAM lesion"


def test_what_the_person_thinks_is_kept(window: Window) -> None:
    session, panel = window.session, window.dock.opinion
    volume = make_volume()
    session.show_study(volume)
    window.settle()
    assert panel.own_box.isVisible() and not panel.buttons["agree"].isVisible()
    session.set_prediction(make_prediction(volume))
    window.settle()
    assert not panel.own_box.isVisible() and panel.buttons["agree"].isEnabled()
    window.click(panel.buttons["disagree"])
    panel.note.setFocus()
    QTest.keyClicks(panel.note, "ring, not clumped")
    QTest.keyClick(panel.note, Qt.Key.Key_Return)
    (first, second) = Journal(session.journal.path, "anna").opinions
    assert (first.answer, first.seen, first.note, first.model) == ("disagree", True, "", "by-hand")
    assert (second.answer, second.note, second.said["NME"]) == ("disagree", "ring, not clumped", 0.75)
    assert panel.buttons["disagree"].isChecked() and "You disagree with by-hand." in panel.text.text()
    session.show_study(make_volume(uid="9.9"))
    assert panel.note.text() == "" and panel.own_box.isVisible(), "another case, nothing said"


def test_the_models_answer_waits_for_the_readers_own(window: Window) -> None:
    session, dock = window.session, window.dock
    session.set_protocol(Protocol(opinion="before"))
    volume = make_volume()
    session.show_study(volume)
    window.settle()
    names = [layer.name for layer in window.viewer.layers]
    session.set_prediction(make_prediction(volume))
    window.settle(200)
    assert session.prediction is None and session.top_slice() is None
    assert [layer.name for layer in window.viewer.layers] == names and "IGM" not in session.readout.text
    assert not dock.result.bars.isVisible() and "The model has answered" in dock.result.empty.text()
    assert dock.result.strip.describe(5) == "Slice 5" and seen(window, dock.opinion.own_button)
    session.live.switch(True)
    session.journal.add(Box(5, 3, 3, 20, 20, "NME"))
    assert not session.workers.running(tasks.RUN) and session.prediction is None

    dock.opinion.own_box.setFocus()
    QTest.keyClick(dock.opinion.own_box, Qt.Key.Key_Home)
    window.click(dock.opinion.own_button)
    session.live.switch(False)
    window.settle(200)
    assert (
        session.prediction is not None
        and dock.result.bars.isVisible()
        and "Attention" in str(window.viewer.layers)
    )
    window.click(dock.opinion.buttons["agree"])
    said = Journal(session.journal.path, "anna").opinions
    assert [(one.answer, one.seen) for one in said] == [("IGM", False), ("agree", True)]

    # Another reader at the same screen has not said anything yet, and the first one comes back to what she knows.
    session.set_reader("berta")
    assert session.prediction is None and not dock.result.bars.isVisible()
    session.set_reader("anna")
    assert session.prediction is not None
    session.set_reader("berta")
    session.set_protocol(Protocol())
    assert session.prediction is not None, "nothing waits where the project does not ask"


def test_side_by_side_scrolls_and_moves_together(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    session, panel = window.session, window.dock.compare
    volume = make_volume()
    session.show_study(volume)
    session.set_prediction(make_prediction(volume))
    session.journal.add(Box(5, 3, 3, 20, 20, "IGM"))
    window.settle(100)
    zoom = window.viewer.scene.camera.zoom
    window.click(panel.boxes_button)
    window.settle(400)
    second = panel._open.beside.model
    assert [layer.name for layer in second.layers] == ["Dynamic", "Boxes"] and len(
        second.layers["Boxes"].data
    ) == 1
    assert second.scene.camera.zoom == window.viewer.scene.camera.zoom <= zoom
    (area,) = window.dock.findChildren(QScrollArea)
    assert area.widget().width() <= area.viewport().width(), (
        "beside a second view the dock is narrow, and whole"
    )
    session.go_to(3, 2)
    assert tuple(second.dims.current_step)[:2] == (2, 3)
    second.dims.set_current_step(1, 6)
    assert session.slice_index == 6
    window.viewer.scene.camera.zoom *= 2
    assert second.scene.camera.zoom == window.viewer.scene.camera.zoom
    second.scene.camera.center = (0, 12.0, 15.0)
    assert tuple(window.viewer.scene.camera.center)[-2:] == (12.0, 15.0)
    session.journal.add(Box(6, 3, 3, 20, 20, "NME"))
    assert len(second.layers["Boxes"].data) == 2 and "2 boxes" in panel._open.beside.text

    other = replace(make_prediction(volume), model=replace(make_prediction(volume).model, name="the other"))
    monkeypatch.setattr("napari_breast_ai.inference.predict", lambda volume, bundle, **more: other)
    window.dock.model._add("the other", "demo-attention-squeezenet", "")
    window.dock.model._add("no model", "nothing", "")
    window.settle()
    panel.refresh()
    # Chosen in the panel's own list, by its keys.
    panel.box.setFocus()
    QTest.keyClick(panel.box, Qt.Key.Key_End)
    assert panel.box.currentText() == "no model"
    QTest.keyClick(panel.box, Qt.Key.Key_Up)
    assert panel.box.currentText() == "the other"
    window.click(panel.model_button)
    window.wait(lambda: panel._open is not None and panel._open.beside.title == "the other")
    second = panel._open.beside.model
    assert "Attention" in second.layers and second.layers["Attention"].visible
    # This little study is unlike the second model's training: its numbers are not shown as certain, and why is said.
    beside = panel._open.beside
    assert beside.doubt == UNLIKE and beside.doubts
    assert panel.bars.isVisible() and "lesion 0.900" in panel.bars.accessibleDescription()
    assert all(one in panel.doubt.text() for one in (UNLIKE, *beside.doubts)) and panel.doubt.isVisible()
    assert UNLIKE in unescape(panel._open.line.text())
    unsure = panel.bars.grab().toImage()
    beside.report = replace(beside.report, findings=())
    panel.refresh()
    assert unsure != panel.bars.grab().toImage() and not panel.doubt.isVisible(), "they were hatched"
    session.set_display(gradcam=True, label="IGM", opacity=0.4)
    assert second.layers["Grad-CAM IGM"].opacity == 0.4
    session.show_study(make_volume(uid="9.9"))
    assert panel._open is None and not panel.close_button.isEnabled(), "it goes with its study"
    session.set_protocol(Protocol(opinion="before"))
    window.click(panel.model_button)
    assert panel._open is None and "say first" in window.said[-1]


def test_the_second_view_goes_by_its_cross_and_with_its_study(window: Window) -> None:
    session, panel = window.session, window.dock.compare
    session.show_study(make_volume())
    window.settle(100)
    docked = len(window.viewer.window.dock_widgets)

    def open_view() -> None:
        window.click(panel.boxes_button)
        window.settle(300)
        assert panel.close_button.isEnabled() and len(window.viewer.window.dock_widgets) == docked + 1

    open_view()
    # As the cross at its title does.
    panel._open.parentWidget().destroyOnClose()
    window.settle(100)
    assert panel._open is None and not panel.close_button.isEnabled()
    session.show_study(make_volume(uid="9.9"))
    open_view()
    window.click(panel.close_button)
    window.settle(100)
    assert len(window.viewer.window.dock_widgets) == docked and not panel.close_button.isEnabled()
    open_view()
    # Nobody is there to close it, when the next study comes.
    window.viewer.window.remove_dock_widget(window.dock)
    window.dock.links.cut()
    session.show_study(make_volume(uid="9.9.9"))
    window.settle(100)
    assert not any("Beside" in name for name in window.viewer.window.dock_widgets)


def test_an_answer_of_the_model_before_says_so(window: Window) -> None:
    session, result = window.session, window.dock.result
    volume = make_volume()
    session.show_study(volume)
    made = make_prediction(volume)
    session.set_prediction(made)
    window.settle()
    assert "not of the model" not in result.warnings.text()
    session.set_bundle(load_bundle("demo-attention-squeezenet"))
    assert "answers of “by-hand”, not of the model that is chosen now" in result.warnings.text()
    session.set_prediction(replace(made, model=session.bundle.ref))
    assert "not of the model" not in result.warnings.text()

    # Where no gate tells which slices show a lesion, boxes do: what a box changes at the next run only is said.
    assert not result.outdated.isVisible(), "a gate tells it"
    free = LabelGroup("kind", ("IGM", "NME"), "softmax")
    case, warned = aggregate(made.probabilities, made.slices, (free,), AggregationSpec(), None)
    plain = replace(made, groups=(free,), case=case)
    session.set_prediction(plain)
    assert warned and not result.outdated.isVisible()
    window.viewer.reset_view()
    session.go_to(3)
    window.click(window.dock.boxes.draw_button)
    window.drag((10, 10), (25, 30))
    assert result.outdated.isVisible() and "the case's score of kind" in result.outdated.text()
    assert "at the next Run" in result.outdated.text()
    case, _ = aggregate(made.probabilities, made.slices, (free,), AggregationSpec(), (3,))
    session.set_prediction(replace(plain, case=case))
    assert not result.outdated.isVisible()
    window.drag((12, 32), (25, 45))
    assert len(session.journal.boxes) == 2 and not result.outdated.isVisible(), "the same slices vote"
    session.go_to(4)
    window.drag((10, 10), (25, 30))
    assert result.outdated.isVisible()
    window.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not result.outdated.isVisible()


def test_the_question_before_the_answer_comes_into_view_in_every_case(window: Window) -> None:
    session, dock = window.session, window.dock
    session.set_protocol(Protocol(opinion="before"))
    for uid in ("1.1", "2.2"):
        volume = make_volume(uid=uid)
        session.show_study(volume)
        dock.bring_up(dock.study)
        window.settle(200)
        assert not seen(window, dock.opinion.own_button)
        session.set_prediction(make_prediction(volume))
        window.settle(200)
        assert seen(window, dock.opinion.own_button), uid


def test_every_control_says_what_it_does(window: Window) -> None:
    docks = dict(window.docks)
    for name in ("Annotate", "Cases", "Kinetics", "Train"):
        _, docks[name] = window.viewer.window.add_plugin_dock_widget("napari-breast-ai", name, tabify=True)
    silent = []
    for name, dock in docks.items():
        for kind in (QAbstractButton, QComboBox, QAbstractSlider, QAbstractSpinBox, QLineEdit):
            for one in dock.findChildren(kind):
                around = one.parent()
                while around is not dock and not isinstance(around, WHOLE):
                    around = around.parent()
                # A part of a control needs no words of its own.
                if around is dock and not isinstance(one, QScrollBar) and not one.toolTip():
                    silent.append((name, type(one).__name__, getattr(one, "text", one.accessibleName)()))
    assert not silent, str(silent)
