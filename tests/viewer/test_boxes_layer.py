"""What a person does to the boxes layer is in the journal at once, and the layer shows the journal."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import make_volume
from napari_breast_ai.annotations import Journal, journal_path
from napari_breast_ai.core import Box, BreastAIError, FrameRef
from napari_breast_ai.viewer import notices
from napari_breast_ai.viewer.palette import label_color, rgba
from napari_breast_ai.viewer.session import Session


@pytest.fixture
def case(session: Session, tmp_path: Path) -> Session:
    folder = tmp_path / "case"
    folder.mkdir()
    session.show_study(make_volume(), str(folder))
    return session


def corners(z: float, y0: float, x0: float, y1: float, x1: float) -> np.ndarray:
    return np.array([[z, y0, x0], [z, y0, x1], [z, y1, x1], [z, y1, x0]])


def on_disk(session: Session) -> tuple[Box, ...]:
    assert session.journal is not None
    return Journal(session.journal.path, "anna").boxes


def layer(session: Session) -> Any:
    assert session.boxes.layer is not None
    return session.boxes.layer


def edges(box: Box) -> tuple[float, ...]:
    return box.z, box.y0, box.x0, box.y1, box.x1


def test_a_drawn_box_is_on_disk_with_its_class_and_image(case: Session) -> None:
    case.go_to(3, 2)
    case.set_label("NME")
    layer(case).add_rectangles(corners(3, 20.25, 9.5, 5.5, 30))
    (box,) = on_disk(case)
    assert edges(box) == (3, 5.5, 9.5, 20.25, 30.0)
    assert (box.label, box.author) == ("NME", "anna")
    assert case.journal is not None
    assert case.journal.image(box.id) == FrameRef("1.2.3.2.3")
    assert case.journal.path.parent.parent.name == "case", "beside the case"
    assert layer(case).features["id"].tolist() == [box.id]


def test_small_outside_and_tilted_shapes(case: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "warn", lambda sentence: None)
    layer(case).add_rectangles(corners(3, 10, 10, 10.4, 10.3))
    layer(case).add_rectangles(corners(3, -20, -20, -5, -5))
    layer(case).add_rectangles(corners(12, 5, 5, 9, 9))
    layer(case).add_rectangles(np.array([[1.0, 5, 5], [1, 5, 9], [4, 5, 9], [4, 5, 5]]))
    assert on_disk(case) == () and len(layer(case).data) == 0
    # Over the edge: clipped. Turned: the box around it.
    layer(case).add_rectangles(corners(3, -7, 30, 10, 99))
    layer(case).add_polygons(np.array([[3.0, 10, 20], [3, 15, 25], [3, 20, 20], [3, 15, 15]]))
    assert [edges(box) for box in on_disk(case)] == [(3, -0.5, 30, 10, 49.5), (3, 10, 15, 20, 25)]
    assert layer(case).shape_type == ["rectangle", "rectangle"]
    np.testing.assert_allclose(layer(case).data[1].max(axis=0), (3, 20, 25))


def test_moves_deletions_and_copies(case: Session) -> None:
    layer(case).add_rectangles(corners(3, 5, 5, 10, 10))
    layer(case).add_rectangles(corners(4, 5, 5, 10, 10))
    first, second = on_disk(case)
    moved = [layer(case).data[0] + np.array([0, 2, 3]), layer(case).data[1]]
    layer(case).data = moved
    assert [edges(box) for box in on_disk(case)] == [(3, 7, 8, 12, 13), (4, 5, 5, 10, 10)]
    assert [box.id for box in on_disk(case)] == [first.id, second.id]
    layer(case).selected_data = {0}
    layer(case).remove_selected()
    assert [box.id for box in on_disk(case)] == [second.id]
    case.go_to(4)
    layer(case).selected_data = {0}
    layer(case)._copy_data()
    case.go_to(6)
    layer(case)._paste_data()
    ids = [box.id for box in on_disk(case)]
    assert len(set(ids)) == 2 and sorted(box.z for box in on_disk(case)) == [4, 6]


def test_undo_and_redo_move_the_layer(case: Session) -> None:
    layer(case).add_rectangles(corners(3, 5, 5, 10, 10))
    layer(case).add_rectangles(corners(4, 6, 6, 10, 10))
    layer(case).remove([0])
    case.boxes.undo()
    assert [row[:, 0].max() for row in layer(case).data] == [3, 4]
    case.boxes.undo()
    case.boxes.undo()
    assert len(layer(case).data) == 0 == len(on_disk(case))
    case.boxes.redo()
    case.boxes.redo()
    assert len(layer(case).data) == 2 == len(on_disk(case))
    assert layer(case).features["id"].tolist() == [box.id for box in on_disk(case)]


def test_classes_colour_and_relabel(case: Session) -> None:
    case.set_label("NME")
    layer(case).add_rectangles(corners(3, 5, 5, 10, 10))
    case.set_label("IGM")
    layer(case).add_rectangles(corners(3, 15, 5, 20, 10))
    wanted = [rgba(label_color("NME")), rgba(label_color("IGM"))]
    np.testing.assert_allclose(layer(case).edge_color, wanted, atol=1e-6)
    layer(case).selected_data = {0}
    case.set_label("other benign")
    assert [box.label for box in on_disk(case)] == ["other benign", "IGM"]
    np.testing.assert_allclose(layer(case).edge_color[0], rgba(label_color("other benign")), atol=1e-6)
    case.boxes.undo()
    assert layer(case).features["label"].tolist() == ["NME", "IGM"]
    layer(case).selected_data = set()
    case.set_label("abscess")
    layer(case).add_rectangles(corners(3, 25, 5, 30, 10))
    assert [box.label for box in on_disk(case)] == ["NME", "IGM", "abscess"]
    np.testing.assert_allclose(layer(case).edge_color[2], rgba(label_color("abscess")), atol=1e-6)


def test_label_edited_in_the_features_table(case: Session) -> None:
    layer(case).add_rectangles(corners(3, 5, 5, 10, 10))
    features = layer(case).features.copy()
    features.loc[0, "label"] = "NME"
    layer(case).features = features
    assert [box.label for box in on_disk(case)] == ["NME"]


def test_boxes_are_there_again_on_opening(case: Session, tmp_path: Path) -> None:
    case.set_label("NME")
    layer(case).add_rectangles(corners(3, 5, 5, 10, 10))
    before = on_disk(case)
    case.show_study(make_volume(uid="9.9"), str(tmp_path / "case"))
    assert len(layer(case).data) == 0, "another study in the same folder has its own boxes"
    case.show_study(make_volume(), str(tmp_path / "case"))
    assert on_disk(case) == before and layer(case).features["label"].tolist() == ["NME"]
    np.testing.assert_allclose(layer(case).edge_color[0], rgba(label_color("NME")), atol=1e-6)


def test_removing_the_layer_deletes_no_box(case: Session) -> None:
    layer(case).add_rectangles(corners(3, 5, 5, 10, 10))
    case.viewer.layers.remove("Boxes")
    assert case.boxes.layer is None and len(on_disk(case)) == 1
    case.boxes.draw()
    case.boxes.undo()
    assert on_disk(case) == ()


def test_what_cannot_be_saved_is_said_kept_and_saved_later(
    case: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer(case).add_rectangles(corners(3, 5, 5, 10, 10))
    told: list[str] = []
    monkeypatch.setattr(notices, "warn", told.append)
    assert case.journal is not None
    inode = case.journal.path.stat().st_ino
    real = os.fsync

    def full(handle: int) -> None:
        if os.fstat(handle).st_ino == inode:
            raise OSError(28, "No space left on device")
        real(handle)

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full)
        layer(case).add_rectangles(corners(4, 5, 5, 10, 10))
        assert len(told) == 1 and "No space left" in told[0] and "Not saved" in case.keeper.trouble
    assert len(layer(case).data) == 2 and len(on_disk(case)) == 1
    case.keeper.retry()
    assert not case.keeper.trouble and len(on_disk(case)) == 2


def test_a_newer_journal_is_shown_and_cannot_be_edited(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(notices, "warn", told.append)
    volume = make_volume()
    journal = Journal(journal_path(tmp_path, volume.identity, "anna"), "anna")
    journal.add(Box(3, 5, 5, 10, 10, "NME"))
    journal.path.write_text(journal.path.read_text().replace('"version":3', '"version":9'))
    session.show_study(volume, str(tmp_path))
    assert "newer version" in told[0]
    assert len(layer(session).data) == 1 and not layer(session).editable


def test_draw_switches_the_mode(case: Session) -> None:
    seen: list[bool] = []
    case.boxes.mode_changed.connect(lambda: seen.append(case.boxes.drawing))
    case.boxes.draw()
    assert layer(case).mode == "add_rectangle" and case.viewer.layers.selection.active is layer(case)
    assert case.boxes.drawing and seen[-1] is True
    case.viewer.layers.selection.active = case.viewer.layers["Dynamic"]
    assert not case.boxes.drawing and seen[-1] is False
    case.boxes.draw(False)
    assert layer(case).mode == "pan_zoom"


def test_bad_actions_reach_nobody_else(case: Session) -> None:
    assert case.journal is not None
    with pytest.raises(BreastAIError):
        case.journal.delete("nobody")
    assert len(layer(case).data) == 0


def test_an_empty_layer_rests_until_somebody_draws(case: Session) -> None:
    layers = case.viewer.layers
    image = layers.selection.active
    assert image is not layer(case) and not layer(case).visible
    case.boxes.draw()
    assert layer(case).visible, "it must be shown to be drawn in"
    layers.selection.active = image
    assert not layer(case).visible
    layer(case).add_rectangles(corners(3, 5, 5, 10, 10))
    assert layer(case).visible, "a box that is made must be seen"
    # A person who hides boxes keeps them hidden.
    layer(case).visible = False
    layers.selection.active = layer(case)
    layers.selection.active = image
    assert not layer(case).visible
    layer(case).visible = True
    case.boxes.undo()
    assert len(layer(case).data) == 0 and not layer(case).visible
    case.boxes.redo()
    assert len(layer(case).data) == 1 and layer(case).visible
