"""Files into a reader's journal: nothing that is there changes, and one undo takes it all back."""

import json
from dataclasses import replace

import pytest

from box_readers import SHAPE, journal, lesions, placing
from napari_breast_ai.annotations import AnnotationError, Journal
from napari_breast_ai.annotations.cases import read_case
from napari_breast_ai.annotations.coco import read_coco, to_coco
from napari_breast_ai.annotations.exchange import CaseItems, Item
from napari_breast_ai.annotations.importing import import_items
from napari_breast_ai.annotations.lesions import lesions as grouped
from napari_breast_ai.annotations.tables import read_table, to_table
from napari_breast_ai.core import NORMAL_TISSUE, Box, FrameRef


def bare(boxes):
    return [replace(box, id="", author="", lesion="", origin="", edited=False) for box in boxes]


@pytest.fixture
def exported(tmp_path):
    """Anna's journal of case 1 with a lesion over three slices, and its files."""
    anna = journal(tmp_path, "1", "anna")
    first = anna.add(Box(5, 10, 10, 20.125, 20, "NME"))
    anna.add_many([Box(z, 11, 10, 20, 21, "NME", lesion=first.id) for z in (6, 7)])
    anna.add(Box(9, 40, 40, 50, 50, "IGM"))
    anna.say_empty(12)
    record = read_case(anna.path)
    coco, table = tmp_path / "boxes.json", tmp_path / "boxes.csv"
    coco.write_text(json.dumps(to_coco([record])[0]))
    table.write_text(to_table([record])[0], encoding="utf-8")
    return {"record": record, "json": read_coco(coco), "csv": read_table(table)}


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_whole_case_comes_over_in_one_undoable_step(tmp_path, exported, kind):
    ben = journal(tmp_path, "1", "ben")
    own = ben.add(Box(2, 1, 1, 9, 9, "IGM"))
    got = import_items(ben, placing("1"), exported[kind].cases, "boxes.x", "case1")
    record = exported["record"]
    assert (len(got.added), got.present, got.empty, got.notes) == (4, 0, 1, ())
    assert bare(ben.boxes) == bare([own, *record.boxes])
    assert {box.origin for box in got.added} == {"import:boxes.x"} and not any(
        box.edited for box in got.added
    )
    assert {box.author for box in got.added} == {"anna"}
    assert not {box.id for box in got.added} & {box.id for box in record.boxes}, "ids are new"
    assert [len(one.boxes) for one in grouped(got.added)] == [3, 1], "lesions stay together"
    assert ben.empty_slices == (12,)
    assert ben.undo()
    assert ben.boxes == (own,) and ben.empty_slices == ()
    assert ben.redo() and len(ben.boxes) == 5
    assert Journal(ben.path, "ben").boxes == ben.boxes


def test_what_is_there_already_is_skipped_and_counted(tmp_path, exported):
    ben = journal(tmp_path, "1", "ben")
    first = exported["record"].boxes[0]
    near = ben.add(Box(5, first.y0 + 0.01, first.x0, first.y1 - 0.009, first.x1, "NME"))
    before = ben.path.read_bytes()
    got = import_items(ben, placing("1"), exported["json"].cases, "b.json")
    assert len(got.added) == 3 and got.present == 1
    assert ben.box(near.id) == near and ben.path.read_bytes().startswith(before)
    assert {box.lesion for box in got.added if box.label == "NME"} == {near.id}, (
        "the others join the box that is there"
    )
    again = import_items(ben, placing("1"), exported["json"].cases, "b.json")
    assert (again.added, again.present) == ((), 5), "four boxes and a slice without"
    assert "there already: 5" in str(again)
    size = ben.path.stat().st_size
    import_items(ben, placing("1"), exported["json"].cases, "b.json")
    assert ben.path.stat().st_size == size, "nothing new, nothing written"


@pytest.mark.parametrize(
    "change",
    [{"y0": 0.0111}, {"x1": -0.02}, {"label": "IGM"}, {"z": 1}],
    ids=["row", "column", "class", "slice"],
)
def test_a_box_that_differs_is_another_box(tmp_path, exported, change):
    first = exported["record"].boxes[0]
    more = {
        name: value if name == "label" else getattr(first, name) + value for name, value in change.items()
    }
    ben = journal(tmp_path, "1", "ben")
    ben.add(replace(first, id="", lesion="", **more))
    got = import_items(ben, placing("1"), exported["json"].cases, "b.json")
    assert got.present == 0 and len(got.added) == 4


def items(*made: Item, study_uid: str = "") -> list[CaseItems]:
    return [CaseItems("case1", study_uid, "", 1, made)]


def test_what_the_reader_said_stays(tmp_path):
    ben = journal(tmp_path, "1", "ben")
    ben.say_empty(3)
    ben.add(Box(4, 1, 1, 9, 9, "IGM"))
    said = items(
        Item("line 2", Box(3, 1, 1, 9, 9, "IGM"), 3),
        Item("line 3", None, 4),
        Item("line 4", Box(3, 1, 1, 9, 9, NORMAL_TISSUE), 3),
        Item("line 5", Box(6, 1, 1, 9, 9, "IGM"), 6),
        Item("line 6", None, 6),
        Item("line 7", None, 3),
        Item("line 8", None, None),
    )
    got = import_items(ben, placing("1"), said, "x.csv")
    assert [box.z for box in got.added] == [3, 6]
    assert ben.empty_slices == (3,) and not ben.empty_case
    assert got.present == 1
    assert [note.split(" is left out")[0] for note in got.notes] == [
        "Line 2 of x.csv",
        "Line 3 of x.csv",
        "Line 6 of x.csv",
        "Line 8 of x.csv",
    ]
    assert "slice 3 is without a lesion" in got.notes[0] and "slice 4 has boxes of lesions" in got.notes[1]


def test_a_case_said_to_be_empty_stays_so_and_can_be_taken_over(tmp_path):
    ben = journal(tmp_path, "1", "ben")
    got = import_items(ben, placing("1"), items(Item("line 2", None, None)), "x.csv")
    assert got.empty == 1 and ben.empty_case
    got = import_items(ben, placing("1"), items(Item("line 2", Box(3, 1, 1, 9, 9, "IGM"), 3)), "y.csv")
    assert not got.added and ben.empty_case and "the case is without a lesion" in got.notes[0]
    assert ben.undo() and not ben.empty_case


@pytest.mark.parametrize(
    ("item", "word"),
    [
        (Item("line 2", Box(99, 1, 1, 9, 9, "IGM"), 99), "slice 99"),
        (Item("line 2", Box(3, 500, 1, 509, 9, "IGM"), 3), "outside the image"),
        (Item("line 2", Box(3, 1, 1, 9, 9, "IGM"), 3, size=(512, 512)), "512 rows"),
        (Item("line 2", None, 77), "slice 77"),
    ],
)
def test_what_does_not_fit_the_study_is_left_out(tmp_path, item, word):
    ben = journal(tmp_path, "1", "ben")
    good = Item("line 3", Box(3, 1, 1, 9, 9, "IGM"), 3, size=SHAPE[1:])
    got = import_items(ben, placing("1"), items(item, good), "x.csv")
    assert len(got.added) == 1 and word in got.notes[0]


def test_the_stored_image_decides_where_the_file_names_it(tmp_path):
    """The file was written with the slices sorted the other way."""
    ben = journal(tmp_path, "1", "ben", flipped=True)
    box = Box(3, 1, 1, 9, 9, "IGM")
    told = Item("line 2", box, 3, FrameRef("1.2.1.3"))
    got = import_items(ben, placing("1", flipped=True), items(told), "x.csv")
    assert [one.z for one in got.added] == [SHAPE[0] - 1 - 3]
    other = Item("line 2", box, 3, FrameRef("1.2.1.999"))
    got = import_items(ben, placing("1", flipped=True), items(other, study_uid=ben.study_uid), "x.csv")
    assert not got.added and "not part of the series" in got.notes[0]
    got = import_items(ben, placing("1", flipped=True), items(other, study_uid="9.9"), "x.csv")
    assert [one.z for one in got.added] == [3], "images with new UIDs: the number holds"


def test_many_boxes_of_two_readers_come_once(tmp_path):
    truth = lesions(4)
    said = [
        CaseItems("case1", "", reader, 1, tuple(Item(f"line {n}", box, box.z) for n, box in enumerate(truth)))
        for reader in ("anna", "ben")
    ]
    got = import_items(journal(tmp_path, "1", "carl"), placing("1"), said, "x.csv")
    assert len(got.added) == len(truth) == got.present
    assert {box.author for box in got.added} == {"carl"}


def test_a_journal_of_a_newer_program_is_not_touched(tmp_path):
    ben = journal(tmp_path, "1", "ben")
    ben.add(Box(3, 1, 1, 9, 9, "IGM"))
    text = ben.path.read_text().replace('"version":3', '"version":99')
    ben.path.write_text(text)
    newer = Journal(ben.path, "ben", placing=placing("1"))
    with pytest.raises(AnnotationError, match="newer version"):
        import_items(newer, placing("1"), items(Item("line 2", Box(4, 1, 1, 9, 9, "IGM"), 4)), "x.csv")
    assert ben.path.read_text() == text
