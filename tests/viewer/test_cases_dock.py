"""The Cases dock with real mouse and key events: find, decide, undo, open."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QTreeWidgetItem, QWidget

from conftest import make_prediction
from napari_breast_ai import study
from napari_breast_ai.phantom import write_dicom
from napari_breast_ai.study import Loader, read_study, scan
from napari_breast_ai.viewer import notices, tasks
from napari_breast_ai.viewer.session import get_session

pytestmark = [
    pytest.mark.gui,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:vispy"),
]


class Hand:
    """The dock in a window, and a hand on mouse and keyboard."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.session = get_session(viewer, "anna")
        _, self.dock = viewer.window.add_plugin_dock_widget("napari-breast-ai", "Cases")
        self.tree = self.dock.tree
        QTest.qWait(50)

    def wait(self, true: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(true, timeout=60_000)

    def look_at(self, path: Path) -> None:
        self.session.cases.scan(path)
        self.wait(lambda: self.session.cases.index is not None and not self.session.workers.running("scan"))
        QTest.qWait(30)

    def items(self) -> list[QTreeWidgetItem]:
        return [one for one in self.tree._items() if not one.isHidden()]

    def item(self, start: str, under: QTreeWidgetItem | None = None) -> QTreeWidgetItem:
        """The first visible row whose name holds `start`."""
        return next(
            one for one in self.items() if start in one.text(0) and (under is None or one.parent() is under)
        )

    def point(self, item: QTreeWidgetItem, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        self.tree.scrollToItem(item)
        pos = self.tree.visualItemRect(item).center()
        QTest.mouseClick(self.tree.viewport(), Qt.MouseButton.LeftButton, modifier, pos)
        QTest.qWait(30)

    def press(self, name: str) -> None:
        button = self.dock.buttons[name]
        assert button.isEnabled(), name
        self.click(button)

    def click(self, widget: QWidget) -> None:
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=widget.rect().center())
        QTest.qWait(30)

    def key(self, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        self.tree.setFocus()
        QTest.keyClick(self.tree, key, modifier)
        QTest.qWait(30)


@pytest.fixture
def hand(make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hand]:
    monkeypatch.setattr(tasks, "list_models", lambda session, done: None)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1600, 1000)
    made = Hand(viewer, qtbot)
    yield made
    made.session.shut_down()
    made.__dict__.clear()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sentences: list[str] = []
    for name in ("warn", "complain"):
        monkeypatch.setattr(notices, name, sentences.append)
    return sentences


@pytest.fixture
def case(tmp_path: Path, dicom_of: Callable[..., Any]) -> Path:
    folder = tmp_path / "case"
    dicom_of(folder, "siemens", "nme", seed=2)
    (folder / "letter.txt").write_text("no image")
    return folder


def test_find_decide_undo_open(hand: Hand, case: Path, told: list[str]) -> None:
    hand.look_at(case)
    (dce,) = [g for g in scan(case).groups if g.role == "dce"]
    assert hand.tree.group is not None and hand.tree.group.key == dce.key, "the likely group is chosen"
    names = [one.text(0) for one in hand.items()]
    assert names[0].startswith("Patient ") and "Unused, because" in names

    # Open the group's row with the keyboard and choose its second phase with the mouse.
    hand.key(Qt.Key.Key_Right)
    group = hand.tree.currentItem()
    assert group.isExpanded() and group.childCount() == 6
    hand.point(group.child(1))
    hand.press("pre")
    assert hand.tree.group.pre_contrast == 1
    assert "✎" in hand.dock.details.text() and "(anna)" in hand.dock.details.text()

    hand.key(Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert [p.key for p in hand.session.cases.index.groups[0].phases][:2] == [
        dce.phases[1].key,
        dce.phases[0].key,
    ]
    assert len(hand.session.cases.decisions) == 2

    # Open with Return: the order and the pre-contrast phase are in the pixels, also by another door.
    hand.key(Qt.Key.Key_Return)
    hand.wait(lambda: hand.session.volume is not None and hand.session.complete)
    volume = hand.session.volume
    np.testing.assert_array_equal(volume.data, read_study(case).data)
    assert volume.pre_contrast == 0, "the person's pre-contrast phase went up"
    assert any(one.font(0).bold() for one in hand.items()), "the group on the screen is marked"

    hand.press("undo")
    hand.press("undo")
    assert not hand.dock.buttons["undo"].isEnabled()
    assert hand.session.cases.index.groups[0].overruled == ()
    assert [p.key for p in hand.session.cases.index.groups[0].phases] == [p.key for p in dce.phases]


def test_split_merge_set_aside_and_undo_of_one_group(hand: Hand, case: Path, told: list[str]) -> None:
    hand.look_at(case)
    hand.key(Qt.Key.Key_Right)
    group = hand.tree.currentItem()
    hand.point(group.child(4))
    hand.point(group.child(5), Qt.KeyboardModifier.ShiftModifier)
    hand.press("split")
    sizes = sorted(g.n_phases for g in hand.session.cases.index.groups if g.overruled)
    assert sizes == [2, 4]

    parts = [one for one in hand.items() if "✎" in one.text(0)]
    hand.point(parts[0])
    hand.point(parts[1], Qt.KeyboardModifier.ControlModifier)
    hand.press("merge")
    (whole,) = [g for g in hand.session.cases.index.groups if g.overruled]
    assert whole.n_phases == 6 and len(whole.overruled) == 2

    hand.point(hand.item("✎"))
    hand.press("ignore")
    assert "ignored" in hand.item("✎").text(1)
    hand.press("undo group")
    assert not hand.session.cases.decisions
    assert not any("✎" in one.text(0) for one in hand.items())

    # What cannot be is said and changes nothing.
    others = [one for one in hand.items() if one.parent() and one.text(1) in ("DCE", "DCE FS", "subtraction")]
    hand.point(others[0])
    hand.point(others[1], Qt.KeyboardModifier.ControlModifier)
    hand.press("merge")
    hand.press("undo")
    assert not hand.session.cases.decisions


def test_role_by_the_menu(hand: Hand, case: Path, told: list[str]) -> None:
    hand.look_at(case)
    hand.point(hand.item("", under=hand.tree.currentItem().parent()))
    key = hand.tree.group.key
    action = next(one for one in hand.dock.role_menu.actions() if one.text() == "T2")
    action.trigger()
    (found,) = [g for g in hand.session.cases.index.groups if g.key == key]
    assert found.role == "t2" and hand.tree.group.key == key, "the choice stays"


def test_filter_by_typing(hand: Hand, case: Path) -> None:
    hand.look_at(case)
    QTest.keyClicks(hand.dock.filter, "subtraction")
    QTest.qWait(30)
    roles = {one.text(1) for one in hand.items() if one.text(1)}
    assert roles == {"subtraction"}
    assert not any("Unused" in one.text(0) for one in hand.items())
    hand.dock.filter.clear()
    QTest.keyClicks(hand.dock.filter, "letter")
    assert [one.text(0) for one in hand.items()][-1] == "letter.txt"


def test_cases_of_other_formats_are_listed(hand: Hand, case: Path) -> None:
    import nibabel

    for number in range(2):
        image = nibabel.Nifti1Image(np.zeros((6, 5, 4), np.int16), np.eye(4))
        nibabel.save(image, case / f"anna_{number:04d}.nii.gz")
    hand.look_at(case)
    top = hand.item("Other formats")
    (row,) = [top.child(i) for i in range(top.childCount())]
    assert (row.text(0), row.text(1), row.text(2)) == ("anna", "NIfTI", "2 × 6 × 5 × 4")
    assert "anna_0001.nii.gz" in row.toolTip(0)
    assert hand.tree.group is not None, "the dynamic series is still what is chosen"
    hand.tree.clearSelection()
    assert "2 of other formats, 1 unused" in hand.dock.details.text()


def test_cancel_and_what_is_missing(
    hand: Hand, case: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = threading.Event()

    def held(path: Any, progress: Any) -> Any:
        stopped.wait(30)
        return scan(path, progress)

    monkeypatch.setattr(study, "scan", held)
    hand.session.cases.scan(case)
    assert hand.dock.progress.isVisible()
    hand.click(hand.dock.progress.cancel_button)
    stopped.set()
    hand.wait(lambda: not hand.session.workers.running("scan"))
    assert hand.session.cases.index is None and not hand.dock.progress.isVisible()
    hand.session.cases.scan(case / "absent")
    hand.wait(lambda: bool(told))
    assert "There is no file or folder" in told[0] and hand.dock.message.text() == told[0]


def test_everything_at_once(hand: Hand, data_dir: Path, told: list[str]) -> None:
    """All real files in one tree: each file is counted, none is lost, and it stays usable."""
    hand.look_at(data_dir / "dicom")
    index = hand.session.cases.index
    rows = [one for one in hand.tree._items() if one.data(0, Qt.ItemDataRole.UserRole)[0] == "group"]
    assert len(rows) == len(index.groups)
    files = [one for one in hand.tree._items() if one.data(0, Qt.ItemDataRole.UserRole)[0] == "file"]
    assert len(files) == len(index.unused)
    on_disk = sum(path.is_file() for path in (data_dir / "dicom").rglob("*"))
    grouped = {path for group in index.groups for path in group.paths}
    assert len(grouped) + len(files) == on_disk
    hand.tree.clearSelection()
    assert f"{on_disk} files" in hand.dock.details.text()


def test_beside_in_a_second_canvas(hand: Hand, case: Path, told: list[str]) -> None:
    """The subtraction of the same study beside it: its slice follows, and its canvas shows the slice."""
    hand.look_at(case)
    hand.key(Qt.Key.Key_Return)
    hand.wait(lambda: hand.session.volume is not None and hand.session.complete)
    QTest.qWait(100)
    hand.point(next(one for one in hand.items() if one.text(1) == "subtraction"))
    before = len(hand.viewer.window.dock_widgets)
    hand.key(Qt.Key.Key_B)
    hand.wait(lambda: len(hand.viewer.window.dock_widgets) == before + 1)
    QTest.qWait(300)
    name = next(key for key in hand.viewer.window.dock_widgets if key.startswith("Beside"))
    dock = hand.viewer.window.dock_widgets[name]
    beside = dock.beside
    hand.session.go_to(1)
    QTest.qWait(100)
    assert round(beside.model.dims.point[-3] / beside.volume.geometry.spacing[0]) == 1
    assert "Slice 1 of 0–5, 0.0 mm" in dock.line.text()
    hand.wait(lambda: dock.canvas.isVisible() and dock.canvas.width() > 250)
    hand.viewer.window.remove_dock_widget(dock)
    QTest.qWait(50)
    dock.shut()
    hand.session.go_to(3)
    assert not beside.model.layers
    assert told == ["6 series are joined as phases of one scan."]


def test_a_series_beside_goes_with_its_study(
    hand: Hand, case: Path, tmp_path: Path, phantom_factory: Callable[..., Any], told: list[str]
) -> None:
    """It stays while its study does, in whatever order of phases, and goes when another patient comes, or nobody."""
    session = hand.session

    def beside() -> list[Any]:
        return [dock for name, dock in hand.viewer.window.dock_widgets.items() if name.startswith("Beside")]

    def open_study() -> None:
        hand.key(Qt.Key.Key_Return)
        hand.wait(lambda: session.volume is not None and session.complete and session.workers.busy is None)
        QTest.qWait(100)

    def open_beside() -> Any:
        hand.point(next(one for one in hand.items() if one.text(1) == "subtraction"))
        hand.key(Qt.Key.Key_B)
        hand.wait(lambda: len(beside()) == 1)
        return beside()[0].beside

    hand.look_at(case)
    open_study()
    model = open_beside()
    first = session.volume
    hand.point(next(one for one in hand.items() if one.font(0).bold()))
    hand.key(Qt.Key.Key_Right)
    hand.point(hand.tree.currentItem().child(1))
    hand.press("pre")
    hand.wait(lambda: session.volume is not first and session.complete)
    QTest.qWait(50)
    assert len(beside()) == 1, "the phases of the same study are told otherwise"
    session.go_to(4)
    QTest.qWait(50)
    assert round(float(model.index[0])) == 4, "and it is linked to what is on the screen now"

    other = tmp_path / "other"
    write_dicom(phantom_factory("igm", seed=3, shape=(6, 64, 64)), other, "siemens")
    hand.look_at(other)
    open_study()
    assert beside() == [] and not model.model.layers, "another patient"

    model = open_beside()
    hand.viewer.layers.remove("Dynamic")
    QTest.qWait(50)
    assert session.volume is None
    assert beside() == [] and not model.model.layers, "nobody"
    assert not any("wrong" in one for one in told)


class TestTheScreenFollows:
    """A decision about the study on the screen is seen at once, and what is in memory is not read again."""

    @pytest.fixture
    def reads(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many images are read, once the study is there."""
        found: list[int] = []
        read = Loader._read

        def counted(loader: Loader, part: Any) -> None:
            found.append(len(part))
            read(loader, part)

        monkeypatch.setattr(Loader, "_read", counted)
        return found

    @pytest.fixture
    def shown(self, hand: Hand, case: Path, told: list[str], reads: list[int]) -> Hand:
        hand.look_at(case)
        hand.key(Qt.Key.Key_Right)
        hand.key(Qt.Key.Key_Return)
        self.settled(hand)
        hand.session.go_to(4, 2)
        reads.clear()
        told.clear()
        return hand

    @staticmethod
    def settled(hand: Hand) -> None:
        session = hand.session
        hand.wait(lambda: session.volume is not None and session.complete and session.workers.busy is None)
        QTest.qWait(30)

    @staticmethod
    def row(hand: Hand, phase: int) -> QTreeWidgetItem:
        """The row of a phase of the group on the screen."""
        group = next(one for one in hand.items() if one.font(0).bold())
        group.setExpanded(True)
        return group.child(phase)

    def check(self, hand: Hand, case: Path, image: Any, reads: list[int]) -> None:
        """The screen shows what opening anew would show, and still the same image."""
        self.settled(hand)
        before = list(reads)
        session, fresh = hand.session, read_study(case)
        reads[:] = before
        assert session.volume.pre_contrast == fresh.pre_contrast
        assert session.volume.times == fresh.times and session.volume.frames == fresh.frames
        np.testing.assert_array_equal(session.volume.data, fresh.data)
        dynamic = hand.viewer.layers["Dynamic"]
        np.testing.assert_array_equal(dynamic._slice.image.raw, image)
        assert any(one.font(0).bold() for one in hand.items())

    def test_pre_contrast_order_and_undo(self, shown: Hand, case: Path, reads: list[int]) -> None:
        session, dynamic = shown.session, shown.viewer.layers["Dynamic"]
        dynamic.contrast_limits = (10, 200)
        shown.viewer.layers["Subtraction"].visible = True
        shown.viewer.scene.camera.zoom = 3.5
        image, pixels = np.array(session.volume.data[2, 4]), session.volume.data
        shown.point(self.row(shown, 1))
        shown.press("pre")
        self.check(shown, case, image, reads)
        assert session.volume.pre_contrast == 1 and session.volume.data is pixels
        subtraction = shown.viewer.layers["Subtraction"]
        np.testing.assert_array_equal(subtraction.data[2, 4], pixels[2, 4].astype(np.float32) - pixels[1, 4])
        assert subtraction.visible and tuple(shown.viewer.layers["Dynamic"].contrast_limits) == (10, 200)
        assert shown.viewer.scene.camera.zoom == 3.5

        shown.point(self.row(shown, 2))
        shown.key(Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
        self.check(shown, case, image, reads)
        assert (session.slice_index, session.phase_index) == (4, 3), "the image has a new place"

        shown.press("undo")
        shown.press("undo")
        self.check(shown, case, image, reads)
        assert (session.phase_index, session.volume.pre_contrast) == (2, 0)
        assert reads == [], "everything was in memory"

    def test_split_and_merge(self, shown: Hand, case: Path, reads: list[int]) -> None:
        session = shown.session
        image = np.array(session.volume.data[2, 4])
        shown.point(self.row(shown, 4))
        shown.point(self.row(shown, 5), Qt.KeyboardModifier.ShiftModifier)
        shown.press("split")
        self.check(shown, case, image, reads)
        assert session.volume.n_phases == 4 and reads == []
        parts = [one for one in shown.items() if "✎" in one.text(0)]
        shown.point(parts[0])
        shown.point(parts[1], Qt.KeyboardModifier.ControlModifier)
        shown.press("merge")
        self.check(shown, case, image, reads)
        assert session.volume.n_phases == 6
        assert sum(reads) == 2 * 6, "only what the screen did not have"

    def test_what_changes_no_image_changes_nothing(
        self, shown: Hand, reads: list[int], told: list[str]
    ) -> None:
        volume = shown.session.volume
        shown.point(next(one for one in shown.items() if one.font(0).bold()))
        shown.press("ignore")
        other = next(one for one in shown.items() if one.text(1) == "subtraction")
        shown.point(other)
        shown.press("ignore")
        self.settled(shown)
        assert shown.session.volume is volume and reads == [] and told == []

    def test_a_prediction_of_what_was_is_taken_off(self, shown: Hand, told: list[str]) -> None:
        shown.session.set_prediction(make_prediction(shown.session.volume))
        shown.point(self.row(shown, 1))
        shown.press("pre")
        self.settled(shown)
        assert shown.session.prediction is None
        assert any("run the model again" in one for one in told)
