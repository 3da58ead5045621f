"""A model of radiomics and clinical values in the Review dock: asked for what it needs, and scored by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hand import Window
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from conftest import make_volume
from napari_breast_ai.annotations.log import Turn
from napari_breast_ai.annotations.worklist import Case, Worklist
from napari_breast_ai.core import LabelGroup
from napari_breast_ai.models import RECIPES, load_bundle
from napari_breast_ai.models.table import TableModel
from napari_breast_ai.models.table_bundle import load_any_bundle, save_table_bundle
from napari_breast_ai.models.table_ranges import CaseRanges, Span
from napari_breast_ai.models.table_spec import Column, Member, RadiomicsSpec, TableSpec
from napari_breast_ai.viewer import tasks
from napari_breast_ai.viewer.ranging import UNLIKE
from napari_breast_ai.viewer.session import Session
from napari_breast_ai.viewer.table_scoring import missing
from napari_breast_ai.viewer.widgets import model_panel

BLOCKS = ("radiomics", "clinical")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle whose score rises with the lesion's mean, with age, and after the menopause."""
    spec = TableSpec(
        name="radiomics-clinical",
        recipe="radiomics-clinical",
        preparation=RECIPES["squeezenet-narrow"].preparation,
        radiomics=RadiomicsSpec(families=("stat",), resample_mm=0),
        deep=None,
        columns=(
            Column("radiomics", "stat_mean"),
            Column("clinical", "age"),
            Column("clinical", "menopause", "category", ("post", "pre")),
        ),
        members=(Member("kind", BLOCKS, "logistic"),),
        groups=(LabelGroup("kind", ("IGM", "NME"), "softmax"),),
    )
    arrays = {
        "0.fill": np.array([20.0, 50.0, 0.5, 0.5]),
        "0.mean": np.array([20.0, 50.0, 0.5, 0.5]),
        "0.scale": np.array([40.0, 10.0, 1.0, 1.0]),
        "0.chosen": np.arange(4),
        "0.weight": np.array([[0.5, 1.0, 1.0, 0.0]]),
        "0.bias": np.array([0.2]),
    }
    ranges = CaseRanges(
        40,
        {"radiomics/stat_mean": Span(0.0, 200.0, 0.0, 200.0), "clinical/age": Span(31.0, 66.0, 30.0, 67.0)},
    )
    told = {"data": "Synthetic numbers.", "calibration": None, "case_ranges": ranges.to_json()}
    return save_table_bundle(
        tmp_path / "radiomics-clinical", TableModel(spec, arrays), None, card="By hand.", evaluation=told
    )


@pytest.fixture
def window(open_window: Callable[..., Window]) -> Window:
    return open_window()


@pytest.mark.gui
@pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy")
def test_a_case_is_scored_by_hand(window: Window, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mirp", reason="mirp is not installed")
    session, dock = window.session, window.dock
    panel = dock.model
    session.show_study(make_volume(12, 96, 112), None)
    window.viewer.reset_view()
    session.go_to(6)
    monkeypatch.setattr(model_panel, "choose_bundle", lambda parent: str(folder))
    window.click(panel.folder_button)
    window.wait(lambda: session.bundle is not None)
    window.settle()
    assert not panel.slice_button.isVisible() and panel.volume_button.text() == "Score this case"
    assert "Draw a box" in panel.text.text() and "age, menopause" in panel.text.text()
    assert list(panel.values.entries) == ["age", "menopause"] and panel.values.isVisible()

    window.click(panel.volume_button)
    window.wait(lambda: not session.workers.running(tasks.RUN))
    assert session.prediction is None and "no box marks one yet" in window.said[-1]

    window.click(dock.boxes.draw_button)
    window.drag((30, 20), (60, 50))
    assert len(session.journal.boxes) == 1 and "Draw a box" not in panel.text.text()
    unknown = scored(window)
    assert "Not known of this case: age and menopause." in dock.result.warnings.text()
    assert "no clinical value" in dock.result.rule.text()

    age, stage = panel.values.entries["age"], panel.values.entries["menopause"]
    age.setFocus()
    QTest.keyClicks(age, "many")
    QTest.keyClick(age, Qt.Key.Key_Return)
    assert "is no number" in panel.values.problem.text()
    age.selectAll()
    QTest.keyClicks(age, "60")
    QTest.keyClick(age, Qt.Key.Key_Return)
    stage.setFocus()
    QTest.keyClick(stage, Qt.Key.Key_Down)
    assert session.values.known() == {"age": "60", "menopause": "post"}
    assert "Boxes or values have changed since the case was scored" in panel.text.text()
    known = scored(window)
    assert panel.text.text() == "This model scores the whole case, not slices."
    # One standard deviation of age, and half of one of the category, times their weights.
    logit = [np.log(p / (1 - p)) for p in (known, unknown)]
    assert logit[0] - logit[1] == pytest.approx(1.5, abs=1e-5)
    assert "age 60 and menopause post" in dock.result.rule.text() and "1 slice" in dock.result.rule.text()
    assert f"NME {known:.2f}" in dock.result.bars.accessibleDescription()
    assert not dock.overlay.gradcam.isEnabled() and "no heat map" in dock.overlay.note.text()
    assert "not scored" not in session.readout.text and session.slice_index == 6
    # In range, and then not: hatched, and the value's name is said.
    assert session.range.doubt == "" and "features and values are within" in dock.range.fine.text()
    age.selectAll()
    QTest.keyClicks(age, "95")
    QTest.keyClick(age, Qt.Key.Key_Return)
    certain = dock.result.bars.grab().toImage()
    scored(window)
    assert session.range.doubt == UNLIKE
    assert "“age” is 95" in dock.range.reasons.text() and "between 31 and 66" in dock.range.reasons.text()
    assert "stat_mean" not in dock.range.reasons.text() and dock.range.isVisible()
    unsure = dock.result.bars.grab().toImage()
    assert certain != unsure
    session.set_bundle(load_bundle("demo-attention-squeezenet"))
    assert session.range.doubt == UNLIKE and "radiomics-clinical" in dock.range.fine.text()
    session.set_bundle(load_any_bundle(folder))
    age = panel.values.entries["age"]
    window.click(dock.live.switch)
    assert "no attention" in dock.live.note.text() and not session.workers.running(tasks.RUN)

    # Another study: what was typed belongs to the one before.
    session.show_study(make_volume(6, 96, 112, uid="1.2.9"), None)
    window.settle()
    assert session.values.known() == {"age": "", "menopause": ""} and age.text() == ""
    # Another model comes while a value is being typed: the line that goes loses the keys, and says that it is done.
    QTest.keyClicks(age, "5")
    session.set_bundle(None)
    age.editingFinished.emit()
    window.settle()
    assert not panel.values.isVisible() and panel.slice_button.isVisible()


def scored(window: Window) -> float:
    """Press the button, and what the dock then says of NME."""
    session = window.session
    before = session.prediction
    window.click(window.dock.model.volume_button)
    window.wait(lambda: session.prediction is not before)
    window.settle()
    assert session.prediction.slices == ()
    return float(session.prediction.case.probabilities["NME"])


def test_a_worklist_tells_what_is_asked(session: Session, folder: Path, tmp_path: Path) -> None:
    bundle = load_any_bundle(folder)
    session.set_bundle(bundle)
    assert missing(session) == "" and session.values.known() == {}
    session.show_study(make_volume(), None)
    assert session.values.known() == {"age": "", "menopause": ""}
    columns = {"Age": " 47 ", "menopause": "pre", "diagnosis": "IGM"}
    session.reading.worklist = Worklist(tmp_path / "t.csv", (Case("c1", tmp_path, columns),))
    session.reading.turn = Turn("c1")
    assert session.values.known() == {"age": "47", "menopause": "pre"}
    assert "Draw a box" in missing(session) and "Tell it" not in missing(session)
    told: list[int] = []
    session.values.changed.connect(lambda: told.append(1))
    session.values.tell("age", "47")
    assert not told, "nothing new"
    session.values.tell("age", "")
    assert told and session.values.known()["age"] == "", "a person may know better than the table"
    session.reading.worklist = session.reading.turn = None
